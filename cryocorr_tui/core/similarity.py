"""The N² search, tile by tile: coarse search, refinement, election by the blend, FRC.

A tile is a block of rows i by columns j of the pair matrix. What belongs to a row of tiles (ring
spectra at every shift, derivatives, window statistics) is made once for that row; what belongs to a
column is kept as far as memory allows.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.alignment import Templates, oversample, refine, templates
from cryocorr_tui.core.backend import Backend, compiled_code, usable_cpus
from cryocorr_tui.core.metrics import (
    CORRECT_FROM,
    FRC_THRESHOLD,
    RANDOMISE_BELOW,
    corrected,
    first_below,
    frc_crossing,
    phase_randomised,
    shell_index,
)
from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray, MetricWeights, Settings
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import WorkingSet, disc_mask
from cryocorr_tui.core.scoring_kernels import (
    MetricRows,
    elect,
    metric_rows,
    resample,
    ring_sums,
)
from cryocorr_tui.core.search import CoarseSearch, ShiftedRows

__all__ = ["PairScorer", "tile_size", "warm_up"]

_SOFT_EDGE = 0.05  # of the box: width of the soft edge of the mask of Fourier transforms
_CUTOFFS = (0.04, 0.08, 0.13, 0.2, 0.3, 0.42)  # phase-randomised from these frequencies on, 1/px
_FRC_AT_ONCE = 64  # pairs whose spectra are held at a time
_LARGEST_TILE = 32  # about a quarter of a second on two cores, which is how long a cancel waits
_COLUMN_CACHE = 512e6  # bytes, at most


def tile_size(n: int, box: int, memory: float) -> int:
    """Return the side of a tile so that one tile's pictures fit in a quarter of `memory` bytes.

    Parameters
    ----------
    n : int
        Class averages of the run.
    box : int
        Working box in pixels.
    memory : float
        Bytes the run may use.
    """
    pair = 4 * box * box * 2  # the aligned picture and a passing copy
    return max(1, min(_LARGEST_TILE, n, math.isqrt(max(1, int(memory / 4 / pair)))))


class PairScorer:
    """Scores tiles of pairs of one working set.

    Parameters
    ----------
    working : WorkingSet
        The class averages.
    settings : Settings
        ``weights``, ``mirror`` and ``seed`` are used.
    backend : Backend
        Where the coarse search runs; everything after it runs on the host.
    memory : float
        Bytes the run may use.
    """

    def __init__(
        self, working: WorkingSet, settings: Settings, backend: Backend, *, memory: float
    ) -> None:
        box = working.images.shape[-1]
        self._working = working
        self._seed = settings.seed
        self._weights = _normalised(settings.weights)
        self._usable = working.usable
        self._unknown = working.unknown
        diameter = 2 * math.sqrt(float(working.mask.sum()) / math.pi)
        self._soft = disc_mask(box, diameter, edge=_SOFT_EDGE * box) * working.mask
        self._cutoffs = [max(2, round(cutoff * box)) for cutoff in _CUTOFFS]
        self._search = CoarseSearch(
            backend.to_device(np.asarray(working.images * self._soft)),
            shift_lattice(working.max_shift),
            mirror=settings.mirror,
            to_host=backend.to_host,
        )
        self._rows: _Rows | None = None
        self._columns: OrderedDict[int, _Columns] = OrderedDict()
        self._column_cache = min(memory / 4, _COLUMN_CACHE)

    def score(self, rows: slice, columns: slice) -> FloatArray:
        """Score the pairs i < j of one tile.

        Parameters
        ----------
        rows, columns : slice
            Class ids i and j.

        Returns
        -------
        (fields, rows, columns) float32
            In the order of `model.PAIR_FIELDS`; NaN where nothing could be scored.
        """
        ids_i, ids_j = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        wanted = ids_i[:, None] < ids_j
        wanted &= self._usable[ids_i][:, None] & self._usable[ids_j]
        block = np.full((len(PAIR_FIELDS), *wanted.shape), np.nan, dtype=np.float32)
        if not wanted.any():
            return block
        with compiled_code():
            left, right = self._rows_of(rows), self._columns_of(columns)
            candidates = self._search.candidates(left.shifted, columns)
            poses, reached = refine(
                left.templates, right.fine, candidates, wanted, max_shift=self._working.max_shift
            )
            scores = elect(
                left.metrics,
                right.fine,
                poses,
                reached > -np.inf,
                self._weights,
                None if self._unknown is None else self._unknown[columns],
            )
            period = self._frc_period(left, right, scores)
        scale = self._working.scale[ids_i][:, None]
        values = {
            "blend": scores[..., 0],
            "ncc": scores[..., 1],
            "ssim": scores[..., 2],
            "nmi": scores[..., 3],
            "frc_resolution_px": period * scale,
            "rotation_deg": scores[..., 4] % np.float32(360),  # single precision rounds up to 360
            "shift_y_px": scores[..., 5] * scale,
            "shift_x_px": scores[..., 6] * scale,
            "mirrored": scores[..., 7],
        }
        for at, name in enumerate(PAIR_FIELDS):
            block[at] = values[name]
        return block

    def _rows_of(self, rows: slice) -> _Rows:
        if self._rows is None or self._rows.rows != rows:
            images = self._working.images[rows]
            masked = fft.rfft2(images * self._soft)
            random = fft.rfft2(self._randomised(rows) * self._soft)
            self._rows = _Rows(
                rows=rows,
                shifted=self._search.shifted(rows),
                templates=templates(images, self._working.mask),
                metrics=metric_rows(
                    images,
                    self._working.mask,
                    None if self._unknown is None else self._unknown[rows],
                ),
                spectra=masked,
                random_spectra=random.reshape(-1, *masked.shape[1:]),
            )
        return self._rows

    def _columns_of(self, columns: slice) -> _Columns:
        if columns.start in self._columns:
            self._columns.move_to_end(columns.start)
            return self._columns[columns.start]
        random = self._randomised(columns)
        made = _Columns(
            fine=oversample(self._working.images[columns]),
            random=random.reshape(-1, *random.shape[2:]),
        )
        size = made.fine.nbytes + made.random.nbytes
        while self._columns and (len(self._columns) + 1) * size > self._column_cache:
            self._columns.popitem(last=False)
        self._columns[columns.start] = made
        return made

    def _randomised(self, ids: slice) -> FloatArray:
        """Return (cutoffs, n, box, box) float32: the pictures with phases random from each."""
        images = self._working.images[ids]
        result = np.empty((len(self._cutoffs), *images.shape), dtype=np.float32)
        for at, cutoff in enumerate(self._cutoffs):
            for k, image in enumerate(images):
                # Every class has its own phases: two alike would correlate by construction.
                seed = self._seed * 1_000_003 + ids.start + k
                result[at, k] = phase_randomised(image, cutoff, seed=seed)
        return result

    def _frc_period(self, left: _Rows, right: _Columns, scores: FloatArray) -> NDArray[np.float64]:
        """Return (rows, columns) float64: the FRC = 0.5 period in working pixels."""
        # By columns, so that the scattered reads of a picture j stay in the cache.
        pairs = np.argwhere(np.isfinite(scores[..., 0].T))[:, ::-1]
        period = np.full(scores.shape[:2], np.nan)
        for first in range(0, len(pairs), _FRC_AT_ONCE):
            i, j = pairs[first : first + _FRC_AT_ONCE].T
            poses = np.ascontiguousarray(scores[i, j, 4:])
            curve = self._curve(left, left.spectra, i, right.fine, j, poses)
            falls_at = first_below(curve, RANDOMISE_BELOW)
            level = np.searchsorted(self._cutoffs, falls_at, side="right") - 1
            level = np.maximum(level, 0)
            # The correction begins two shells beyond the cut-off: a curve that has crossed before
            # is not moved by it, as with most unrelated pairs.
            start = np.array(self._cutoffs)[level] + CORRECT_FROM
            late = np.flatnonzero(first_below(curve, FRC_THRESHOLD) >= start)
            random = self._curve(
                left,
                left.random_spectra,
                level[late] * scores.shape[0] + i[late],
                right.random,
                level[late] * scores.shape[1] + j[late],
                poses[late],
            )
            for at, cutoff in enumerate(self._cutoffs):
                same = level[late] == at
                curve[late[same]] = corrected(curve[late[same]], random[same], cutoff)
            period[i, j] = frc_crossing(curve, self._soft.shape[0])
        return period

    def _curve(
        self,
        left: _Rows,
        spectra: NDArray[np.complex64],
        first: NDArray[np.intp],
        pictures: FloatArray,
        second: NDArray[np.intp],
        poses: FloatArray,
    ) -> NDArray[np.float64]:
        """Return (p, shells): FRC of ``spectra[first]`` with ``pictures[second]`` at `poses`."""
        metrics = left.metrics
        soft = self._soft.reshape(-1)[metrics.inside]
        masked = resample(
            pictures, second, poses, metrics.x, metrics.y, metrics.inside, soft, len(self._soft)
        )
        shell, weight = shell_index(len(self._soft))
        transformed = fft.rfft2(masked, workers=usable_cpus())
        curve: NDArray[np.float64] = ring_sums(spectra, first, transformed, shell, weight)
        return curve


@dataclass(frozen=True, eq=False)
class _Rows:
    rows: slice
    shifted: ShiftedRows
    templates: Templates
    metrics: MetricRows
    spectra: NDArray[np.complex64]  # (rows, box, box // 2 + 1), softly masked
    random_spectra: NDArray[np.complex64]  # (cutoffs × rows, box, box // 2 + 1)


@dataclass(frozen=True, eq=False)
class _Columns:
    fine: FloatArray  # (columns, 2 box, 2 box)
    random: FloatArray  # (cutoffs × columns, box, box)


def _normalised(weights: MetricWeights) -> tuple[float, float, float]:
    total = weights.ncc + weights.ssim + weights.nmi
    return weights.ncc / total, weights.ssim / total, weights.nmi / total


def warm_up(backend: Backend) -> None:
    """Compile every kernel on two tiny pictures, so that no later tile has to wait for it."""
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
