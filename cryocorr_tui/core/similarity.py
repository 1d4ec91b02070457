"""The N² search, tile by tile: coarse search, refinement, election by the blend, FRC.

A tile is a block of rows i by columns j of the pair matrix. What belongs to a row of tiles (ring
spectra at every shift, derivatives, window statistics) is made once for that row; what belongs to a
column is kept as far as memory allows. All of it lies on the device, and of a tile only its block
of fields leaves it.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from cryocorr_tui.core.alignment import Templates, oversample, templates
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.budget import Budget
from cryocorr_tui.core.election import elect, shortlist
from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.frc import FrcRows, RingAgreement
from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray, MetricWeights, Settings
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import WorkingSet, disc_mask
from cryocorr_tui.core.refinement import refine, settle
from cryocorr_tui.core.scoring_kernels import MetricRows, compiled_before, metric_rows, thin_rows
from cryocorr_tui.core.search import CoarseSearch, ColumnSpectra, RowSpectra

__all__ = ["PairScorer", "Stopped", "score_tiny", "warm_up"]

_WAYS_OUT = "close what else uses it, or choose a smaller --box or another --device"
_ROWS_AT_ONCE = 2  # rows of tiles: one that comes to its end, and the next


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A tile was given up, since `PairScorer.stop` was called."""


class PairScorer:
    """Scores tiles of pairs of one working set; on the host from several threads, if wanted.

    Parameters
    ----------
    working : WorkingSet
        The class averages.
    settings : Settings
        ``weights``, ``mirror`` and ``seed`` are used.
    backend : Backend
        Where all pairs are searched, refined and scored.
    memory : float
        Bytes of that device the run may use.
    """

    def __init__(
        self, working: WorkingSet, settings: Settings, backend: Backend, *, memory: float
    ) -> None:
        self._working = working
        self._backend = backend
        self._weights = _normalised(settings.weights)
        self._usable = working.usable
        self._unknown = working.unknown
        budget = Budget.of(working, memory, on_card=not backend.is_host)
        self._passing = budget.passing
        try:
            with backend.current():
                self._agreement = RingAgreement(
                    working.images,
                    working.mask,
                    seed=settings.seed,
                    backend=backend,
                    memory=self._passing,
                )
                self._search = CoarseSearch(
                    self._softly_masked(slice(0, 1)),
                    shift_lattice(working.max_shift),
                    mirror=settings.mirror,
                )
        except backend.out_of_memory as error:
            raise DeviceError(f"{backend.name} has no memory left; {_WAYS_OUT}.") from error
        self._too_many = math.inf  # pairs at a time that memory did not suffice for
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._rows: OrderedDict[int, _Rows] = OrderedDict()
        self._columns: OrderedDict[tuple[int, int], _Columns] = OrderedDict()
        self._rows_kept = _ROWS_AT_ONCE if backend.is_host else 1
        self._columns_kept = budget.columns

    def score(self, rows: slice, columns: slice) -> FloatArray:
        """Score the pairs i < j of one tile.

        Where the memory of the device does not suffice, the tile is scored in halves.

        Parameters
        ----------
        rows, columns : slice
            Class ids i and j.

        Returns
        -------
        (fields, rows, columns) float32
            In the order of `model.PAIR_FIELDS`; NaN where nothing could be scored.

        Raises
        ------
        DeviceError
            If memory does not suffice for one pair.
        Stopped
            If `stop` is called meanwhile.
        """
        pairs = (rows.stop - rows.start) * (columns.stop - columns.start)
        if pairs < self._too_many:
            try:
                with self._backend.computing():
                    return self._score(rows, columns)
            except self._backend.out_of_memory:
                # Nothing can be freed in here: the traceback still holds the arrays of the tile.
                self._too_many = pairs
            with self._lock:
                self._rows.clear()
                self._columns.clear()
            self._backend.release()
        return self._score_in_halves(rows, columns)

    def stop(self) -> None:
        """Have every `score` end soon, within the longest of its steps."""
        self._stopped.set()

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped

    def _score_in_halves(self, rows: slice, columns: slice) -> FloatArray:
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height == width == 1:
            raise DeviceError(
                f"The memory of {self._backend.name} does not suffice for one pair; {_WAYS_OUT}."
            )
        if width >= height:
            middle = columns.start + width // 2
            halves = slice(columns.start, middle), slice(middle, columns.stop)
            return np.concatenate([self.score(rows, half) for half in halves], axis=2)
        middle = rows.start + height // 2
        halves = slice(rows.start, middle), slice(middle, rows.stop)
        return np.concatenate([self.score(half, columns) for half in halves], axis=1)

    def _score(self, rows: slice, columns: slice) -> FloatArray:
        ids_i, ids_j = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        wanted = ids_i[:, None] < ids_j
        wanted &= self._usable[ids_i][:, None] & self._usable[ids_j]
        if not wanted.any():
            return np.full((len(PAIR_FIELDS), *wanted.shape), np.nan, dtype=np.float32)
        self._go_on()
        # Columns first: on the diagonal the row is made of the same pictures.
        right, left = self._columns_of(columns), self._rows_of(rows)
        self._go_on()
        candidates = self._search.candidates(left.spectra, right.spectra, memory=self._passing)
        self._go_on()
        poses, reached = refine(
            left.templates,
            right.fine,
            candidates,
            self._backend.to_device(wanted),
            max_shift=self._working.max_shift,
            memory=self._passing,
        )
        self._go_on()
        election = self._weights, right.unknown
        standing = shortlist(
            left.thin, right.fine, poses, reached > -math.inf, *election, memory=self._passing
        )
        self._go_on()
        poses = settle(
            left.templates,
            right.fine,
            poses,
            standing,
            max_shift=self._working.max_shift,
            memory=self._passing,
        )
        self._go_on()
        scores = elect(
            left.frc.metrics, right.fine, poses, standing, *election, memory=self._passing
        )
        self._go_on()
        period = self._agreement.period(left.frc, right.fine, right.pictures.random, scores)
        # The one place where a result leaves the device.
        return self._backend.to_host(_block(scores, period, left.scale))

    def _rows_of(self, rows: slice) -> _Rows:
        with self._lock:  # whoever wants the same row waits for it
            if rows.start not in self._rows or self._rows[rows.start].rows != rows:
                while len(self._rows) >= self._rows_kept:
                    self._rows.popitem(last=False)  # its memory is free for the next
                self._rows[rows.start] = self._prepared(rows)
            return self._rows[rows.start]

    def _prepared(self, rows: slice) -> _Rows:
        images, mask = self._working.images[rows], self._working.mask
        unknown = None if self._unknown is None else self._unknown[rows]
        metrics = self._backend.moved(metric_rows(images, mask, unknown))
        columns = self._columns.get((rows.start, rows.stop))
        pictures = columns.pictures if columns else self._pictures_of(rows)
        return _Rows(
            rows=rows,
            scale=self._backend.to_device(self._working.scale[rows]),
            spectra=self._search.rows(pictures.samples),
            templates=self._backend.moved(templates(images, mask)),
            thin=self._backend.moved(thin_rows(images, mask, unknown)),
            frc=self._agreement.rows(rows, metrics, pictures.random),
        )

    def _columns_of(self, columns: slice) -> _Columns:
        key = columns.start, columns.stop
        with self._lock:
            if key in self._columns:
                self._columns.move_to_end(key)
                return self._columns[key]
        pictures = self._pictures_of(columns)
        unknown = None if self._unknown is None else self._unknown[columns]
        made = _Columns(
            pictures=pictures,
            spectra=self._search.columns(pictures.samples),
            fine=self._backend.to_device(oversample(self._working.images[columns])),
            unknown=None if unknown is None else self._backend.to_device(unknown),
        )
        width = columns.stop - columns.start
        with self._lock:
            while self._columns and (len(self._columns) + 1) * width > self._columns_kept:
                self._columns.popitem(last=False)
            self._columns[key] = made
        return made

    def _pictures_of(self, ids: slice) -> _Pictures:
        masked = self._softly_masked(ids)
        return _Pictures(self._search.samples(masked), self._agreement.randomised(ids))

    def _softly_masked(self, ids: slice) -> Any:
        return self._backend.to_device(self._working.images[ids] * self._agreement.soft)


@dataclass(frozen=True, eq=False)
class _Pictures:
    """What rows and columns are made of."""

    samples: Any  # from `CoarseSearch.samples`
    random: Any  # (cutoffs × pictures, box, box) float32


@dataclass(frozen=True, eq=False)
class _Rows:
    rows: slice
    scale: Any  # (rows,) float64, source pixels per working pixel
    spectra: RowSpectra
    templates: Templates
    thin: MetricRows
    frc: FrcRows


@dataclass(frozen=True, eq=False)
class _Columns:
    pictures: _Pictures
    spectra: ColumnSpectra
    fine: Any  # (columns, 2 box, 2 box) float32
    unknown: Any | None  # (columns, box, box) bool


def _block(scores: Any, period: Any, scale: Any) -> Any:
    """Return (fields, rows, columns) float32 in the order of `model.PAIR_FIELDS`."""
    xp = array_namespace(scores)
    scale = scale[:, None]
    values = {
        "blend": scores[..., 0],
        "ncc": scores[..., 1],
        "ssim": scores[..., 2],
        "nmi": scores[..., 3],
        "frc_resolution_px": period * scale,
        "rotation_deg": scores[..., 4] % 360.0,  # single precision rounds up to 360
        "shift_y_px": scores[..., 5] * scale,
        "shift_x_px": scores[..., 6] * scale,
        "mirrored": scores[..., 7],
    }
    return xp.stack([xp.astype(values[name], xp.float32) for name in PAIR_FIELDS])


def _normalised(weights: MetricWeights) -> tuple[float, float, float]:
    total = weights.ncc + weights.ssim + weights.nmi
    return weights.ncc / total, weights.ssim / total, weights.nmi / total


def warm_up(backend: Backend) -> None:
    """Compile every kernel on two tiny pictures, so that no later tile has to wait for it.

    Numba's code of the process that compiles differs in the last bit of the SSIM from what it loads
    ever after. So that a first run gives the bytes of every later one, another process compiles.
    """
    if backend.is_host and not compiled_before():
        code = (
            "from cryocorr_tui.core.backend import Backend; "
            "from cryocorr_tui.core.similarity import score_tiny; score_tiny(Backend('cpu'))"
        )
        subprocess.run(
            [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    score_tiny(backend)


def score_tiny(backend: Backend) -> None:
    """Score two tiny pictures."""
    box = 24
    ramp = np.linspace(-1, 1, box, dtype=np.float32)
    images = np.stack([np.outer(ramp, ramp**2), np.outer(ramp**2, ramp)]).astype(np.float32)
    working = WorkingSet(
        images=images,
        mask=disc_mask(box, 0.9 * box),
        scale=np.ones(2),
        pixel_size=None,
        contrast=np.ones(2, dtype=np.int8),
        reasons=("", ""),
        max_shift=1.0,
    )
    PairScorer(working, Settings(), backend, memory=1e9).score(slice(0, 2), slice(0, 2))
