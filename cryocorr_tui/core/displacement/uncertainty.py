"""How well a match is known, from what noise does to it.

The refinement tells a variance as if the residual of the match were noise that is independent from
pixel to pixel, and the slopes of the subset were free of it. Neither holds: smoothing spreads noise
over pixels, and noise has slopes of its own, which in a noisy picture are most of what is measured
and say nothing of where a subset lies. With noise of variance w in each pixel before smoothing (in
the difference of both pictures; half of it in the reference), G the smoothing, D the derivative::

    variance = w Σ(G slope)² / H²,   H = Σ slope² − pixels · w / 2 · |G D|²

where slope is as measured, so that w Σ(G slope)² also holds the product of both noises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.displacement.levels import Level
from cryocorr_tui.core.displacement.passes import Matches
from cryocorr_tui.core.displacement.pictures import slopes_of, smoothed
from cryocorr_tui.core.displacement.subsets import subset_sums
from cryocorr_tui.core.model import FloatArray

__all__ = ["uncertainty"]

LEAST_SLOPE = 0.05  # of the measured energy of the slopes that is believed to be the subset's own
PARAMETERS = 8  # six of the warp, scale and offset of the grey values


def uncertainty(level: Level, matches: Matches, smoothing: float) -> NDArray[np.float64]:
    """Return the standard uncertainty of a displacement, root mean square of dy and dx.

    Parameters
    ----------
    level : Level
    matches : Matches
        Of its subsets.
    smoothing : float
        σ in pixels that both pictures were smoothed with.

    Returns
    -------
    (n,) float64
        Pixels; NaN where a match was not refined.
    """
    reference = level.reference

    def sums(values: FloatArray) -> NDArray[np.float64]:
        return subset_sums(values * reference.weight, level.grid)

    count = np.maximum(sums(np.ones_like(reference.values)), 1)
    energy = sums(reference.values**2) - sums(reference.values) ** 2 / count
    residual = 2 * energy * (1 - matches.correlation) / np.maximum(count - PARAMETERS, 1)
    alone, of_slope = _noise_energies(smoothing)
    white = np.maximum(residual, 0) / alone
    factors = []
    for slope in (reference.slope_y, reference.slope_x):
        measured = np.maximum(sums(slope**2), np.finfo(np.float32).tiny)
        smooth = sums(smoothed(slope, smoothing) ** 2)
        own = np.maximum(measured - count * white / 2 * of_slope, LEAST_SLOPE * measured)
        factors.append(measured * smooth / (alone * own**2))
    variance = matches.variance * np.stack(factors, axis=1)
    return np.asarray(np.sqrt(variance.mean(axis=1)))


def _noise_energies(smoothing: float) -> tuple[float, float]:
    """Return the variance of smoothed noise, and of its slope, of noise of variance 1."""
    impulse = np.zeros((65, 65), dtype=np.float32)
    impulse[32, 32] = 1
    response = smoothed(impulse, smoothing)
    slope, _ = slopes_of(response)
    return float((response**2).sum()), float((slope**2).sum())
