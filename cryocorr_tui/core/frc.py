"""The FRC period of all pairs of a tile, on whatever device its pictures are.

The curves are compiled on the host, see `ring_kernels`; elsewhere the plain forms below stay on the
device. Everything else is written once, in `metrics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.fourier import rfft2
from cryocorr_tui.core.metrics import (
    CORRECT_FROM,
    FRC_THRESHOLD,
    RANDOMISE_BELOW,
    corrected,
    first_below,
    frc_crossing,
    random_phases,
    shell_index,
    with_phases,
)
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.ring_kernels import aligned_ring_curves
from cryocorr_tui.core.sampling import PosedPairs, on_square, parts, put_back, sample_pairs
from cryocorr_tui.core.scoring_kernels import MetricRows

__all__ = ["CUTOFFS", "FrcRows", "RingAgreement", "ring_curves", "ring_matrix"]

_SOFT_EDGE = 0.05  # of the box: width of the soft edge of the mask of Fourier transforms
CUTOFFS = (0.04, 0.08, 0.13, 0.2, 0.3, 0.42)  # phase-randomised from these frequencies on, 1/px
_BYTES_PER_PIXEL = 96  # of a pair: its samples, masked picture and two spectra


@dataclass(frozen=True, eq=False)
class FrcRows:
    """Pictures i as the ring correlation sees them.

    Attributes
    ----------
    metrics : MetricRows
    spectra : (rows, box, box // 2 + 1) complex64
        Softly masked.
    random_spectra : (cutoffs × rows, box, box // 2 + 1) complex64
    """

    metrics: MetricRows
    spectra: Any
    random_spectra: Any


class RingAgreement:
    """How fine the detail is to which aligned pairs of one set of pictures agree.

    Parameters
    ----------
    images : (n, box, box) float32
        Standardised pictures, on the host.
    mask : (box, box) float32
        The disc the metrics are taken in, 0 or 1.
    seed : int
        Of the random phases.
    backend : Backend
        Where the work is done.
    memory : float
        Bytes of a card that may be held beside the pictures; the host needs next to none.
    """

    def __init__(
        self, images: FloatArray, mask: FloatArray, *, seed: int, backend: Backend, memory: float
    ) -> None:
        box = images.shape[-1]
        diameter = 2 * math.sqrt(float(mask.sum()) / math.pi)
        self.soft = disc_mask(box, diameter, edge=_SOFT_EDGE * box) * mask
        self._images = images
        self._seed = seed
        self._backend = backend
        self._bytes_each = _BYTES_PER_PIXEL * box**2
        self._memory = math.inf if backend.is_host else memory
        # The curves of most unrelated pairs fall early: the host begins with their first shells.
        self._shells = box // 2 + 1
        self._first_shells = box // 8 if backend.is_host else self._shells
        self._cutoffs = [max(2, round(cutoff * box)) for cutoff in CUTOFFS]
        self._levels = backend.to_device(np.array(self._cutoffs))
        self._soft = backend.to_device(self.soft)
        self._shell = backend.to_device(shell_index(box)[0])
        self._soft_inside = backend.to_device(self.soft[mask > 0])
        self._rings = backend.to_device(ring_matrix(box))

    def rows(self, ids: slice, metrics: MetricRows, random: Any) -> FrcRows:
        """Return what `period` wants of pictures i.

        ``metrics`` and ``random``, from `randomised`, are theirs, on the device.
        """
        images = self._backend.to_device(self._images[ids])
        return FrcRows(
            metrics=metrics,
            spectra=rfft2(images * self._soft),
            random_spectra=rfft2(random * self._soft),
        )

    def randomised(self, ids: slice) -> Any:
        """Return (cutoffs × n, box, box) float32: the pictures with phases random from each."""
        images = self._backend.to_device(self._images[ids])
        xp, box = array_namespace(images), images.shape[-1]
        # Every class has its own phases: two alike would correlate by construction. They are drawn
        # on the host, so that they are the same wherever the work is done.
        seeds = [self._seed * 1_000_003 + number for number in range(ids.start, ids.stop)]
        drawn = np.stack([random_phases(box, seed) for seed in seeds])
        phases, spectra = self._backend.to_device(drawn), rfft2(images)
        return xp.concat(
            [with_phases(spectra, phases, self._shell >= cutoff) for cutoff in self._cutoffs]
        )

    def period(self, rows: FrcRows, fine: Any, random: Any, scores: Any) -> Any:
        """Return the FRC = 0.5 period of every pair.

        Parameters
        ----------
        rows : FrcRows
            Pictures i.
        fine : (c, 2 box, 2 box) float32
            Pictures j from `alignment.oversample`.
        random : (cutoffs × c, box, box) float32
            From `randomised`.
        scores : (r, c, 8) float32
            From `election.elect`.

        Returns
        -------
        (r, c) float64
            In working pixels; NaN where a pair has no score.
        """
        xp = array_namespace(scores)
        # By columns, so that the scattered reads of a picture j stay in the cache.
        scored = xp.matrix_transpose(xp.isfinite(scores[..., 0]))
        j, i = xp.nonzero(scored)
        scored = xp.reshape(scored, (-1,))
        poses = xp.reshape(xp.permute_dims(scores[..., 4:], (1, 0, 2)), (-1, 4))
        pairs = PosedPairs(i, j, xp.take(poses, xp.nonzero(scored)[0], axis=0))
        found = [
            self._period(rows, fine, random, scores.shape[:2], pairs.part(some))
            for some in parts(len(pairs), self._bytes_each, self._memory)
        ]
        period = xp.full(scored.shape, xp.nan, dtype=xp.float64, device=fine.device)
        if found:
            period = put_back(xp.concat(found), scored, period)
        return xp.matrix_transpose(xp.reshape(period, scores.shape[1::-1]))

    def curves(
        self, rows: FrcRows, fine: Any, random: Any, shape: tuple[int, int], pairs: PosedPairs
    ) -> Any:
        """Return (p, shells) float64: corrected FRC of some pairs of a tile of `shape`."""
        curve = self._curve(rows, rows.spectra, fine, pairs, self._shells)
        of_random, cutoff = self._of_random(rows, random, shape, pairs, curve)
        return corrected(curve, of_random, cutoff)

    def _period(
        self, rows: FrcRows, fine: Any, random: Any, shape: tuple[int, int], pairs: PosedPairs
    ) -> Any:
        """Return (p,) float64: the period of some pairs of a tile of `shape`."""
        xp, box = array_namespace(fine), self.soft.shape[0]
        curve = self._curve(rows, rows.spectra, fine, pairs, self._first_shells)
        falls_at = first_below(curve, FRC_THRESHOLD)
        # The correction begins two shells beyond the cut-off: a curve that has crossed before
        # is not moved by it, as with most unrelated pairs.
        is_late = falls_at >= self._cutoff_of(curve)[1] + CORRECT_FROM
        is_late = is_late | (falls_at == self._first_shells)
        period = frc_crossing(curve, box)
        late = xp.nonzero(is_late)[0]
        if not late.shape[0]:
            return period
        late_pairs = pairs.at(late)
        if self._first_shells == self._shells:
            curve = xp.take(curve, late, axis=0)
        else:
            curve = self._curve(rows, rows.spectra, fine, late_pairs, self._shells)
        of_random, cutoff = self._of_random(rows, random, shape, late_pairs, curve)
        return put_back(frc_crossing(corrected(curve, of_random, cutoff), box), is_late, period)

    def _of_random(
        self, rows: FrcRows, random: Any, shape: tuple[int, int], pairs: PosedPairs, curve: Any
    ) -> tuple[Any, Any]:
        """Return (p, shells), the FRC of pairs with random phases, and where those begin, (p,)."""
        level, cutoff = self._cutoff_of(curve)
        at_level = PosedPairs(level * shape[0] + pairs.i, level * shape[1] + pairs.j, pairs.poses)
        return self._curve(rows, rows.random_spectra, random, at_level, self._shells), cutoff

    def _cutoff_of(self, curve: Any) -> tuple[Any, Any]:
        """Return number and shell of the cut-off for each curve (p, shells)."""
        xp = array_namespace(curve)
        falls_at = first_below(curve, RANDOMISE_BELOW)
        level = xp.clip(xp.searchsorted(self._levels, falls_at, side="right") - 1, min=0)
        return level, xp.take(self._levels, level)

    def _curve(
        self, rows: FrcRows, spectra: Any, pictures: Any, pairs: PosedPairs, shells: int
    ) -> Any:
        """Return (p, shells): FRC of ``spectra[i]`` with ``pictures[j]`` at each pose."""
        metrics, box = rows.metrics, self.soft.shape[0]
        if is_numpy_array(pictures):
            pixels = metrics.x, metrics.y, metrics.inside, self._soft_inside
            return aligned_ring_curves(
                spectra, pairs.i, pictures, pairs.j, pairs.poses, pixels, shells
            )
        sampled = sample_pairs(
            pictures, pairs.j, pairs.poses, metrics.x, metrics.y, pictures.shape[-1] // box
        )
        masked = on_square(sampled * self._soft_inside, metrics.inside, box)
        spectra = array_namespace(spectra).take(spectra, pairs.i, axis=0)
        return ring_curves(spectra, rfft2(masked), self._rings)


def ring_curves(first: Any, second: Any, rings: Any) -> Any:
    """Return the ring correlation of spectra, as `ring_kernels` does on the host.

    Parameters
    ----------
    first, second : (p, box, box // 2 + 1) complex64
        From ``rfftn``, of any array namespace.
    rings : (box × (box // 2 + 1), box // 2 + 1) float32
        From `ring_matrix`; sums over rings are products with it, always in one order.

    Returns
    -------
    (p, box // 2 + 1) float64
    """
    xp = array_namespace(first)
    pairs, _, shells = first.shape

    def sums(values: Any) -> Any:
        return xp.astype(xp.reshape(values, (pairs, -1)) @ rings, xp.float64)

    real, imag = (xp.real(first), xp.real(second)), (xp.imag(first), xp.imag(second))
    cross = sums(real[0] * real[1] + imag[0] * imag[1])
    power = sums(real[0] ** 2 + imag[0] ** 2) * sums(real[1] ** 2 + imag[1] ** 2)
    known = power > 0
    curve = xp.where(known, cross / xp.sqrt(xp.where(known, power, 1.0)), 0.0)
    return xp.where(xp.arange(shells, device=first.device) == 0, 1.0, curve)


def ring_matrix(box: int) -> NDArray[np.float32]:
    """Return (box × (box // 2 + 1), box // 2 + 1) float32: the weight of samples in rings."""
    shell, weight = shell_index(box)
    rings = shell.reshape(-1, 1) == np.arange(box // 2 + 1)
    return np.asarray(rings * weight.reshape(-1, 1), dtype=np.float32)
