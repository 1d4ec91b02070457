"""How likely chance alone gives a blend: p-values of pairs, and q-values over all of them.

A blend is the best over thousands of poses, so unrelated pairs do not centre on 0 and their upper
tail is longer than a normal one. The null used here is that of a maximum: Fisher's z
(``arctanh``, doi:10.2307/2331838) of one pose is taken as normal, neighbouring poses are alike, and
what is left acts as the best of `POSES` independent ones. Its two free parameters come from the
pairs of the run.

`POSES` was chosen by calibration. At p < 0.05, 4 to 9 % of unrelated pairs of random pictures of
different smoothness were called in runs of 40 and 100 classes (a normal tail: 6 to 11 %, a Gumbel
tail: 1 to 4 %), and 0 to 3 % of pairs of real classes of different complexes and of unrelated pairs
among simulated matches and junk, for which p is therefore on the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri
from scipy.stats import false_discovery_control

__all__ = ["FEWEST_PAIRS", "POSES", "Null", "benjamini_yekutieli", "fit_null"]

POSES = 10
FEWEST_PAIRS = 20

# Quantiles that the fit looks at. Two views of as many classes each make 47 % of the pairs matches.
BULK = (0.3, 0.5)

# Keeps Fisher's z finite where two classes are the same picture.
LARGEST_BLEND = 1 - 2.0**-24


@dataclass(frozen=True)
class Null:
    """What unrelated pairs of a run give.

    Attributes
    ----------
    location, scale : float
        Mean and standard deviation of Fisher's z of a single pose; NaN where there were too few
        pairs to tell.
    n : int
        Pairs it was fitted to.
    """

    location: float
    scale: float
    n: int

    def p_values(self, blend: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the chance that an unrelated pair reaches `blend`, one-sided.

        Parameters
        ----------
        blend : array of float
            −1 to 1.

        Returns
        -------
        float64
            Of the same shape, 0 to 1; NaN where the blend or the null is.
        """
        x = (_fisher_z(blend) - self.location) / self.scale
        return np.asarray(-np.expm1(POSES * log_ndtr(x)), dtype=np.float64)

    def blend_at(self, p: float) -> float:
        """Return the blend that an unrelated pair reaches with probability `p`."""
        return float(np.tanh(self.location + self.scale * ndtri((1 - p) ** (1 / POSES))))


def fit_null(blend: NDArray[np.floating]) -> Null:
    """Fit the null to all pairs of a run, true matches among them.

    The fit looks at the pairs between two quantiles below the median (`BULK`) alone: matches in the
    upper tail do not widen it, nor does junk, whose pairs fill the lower one. It assumes that less
    than half of all pairs are matches; where nearly all classes show one view, "unrelated" means
    "as alike as usual here".

    Parameters
    ----------
    blend : (m,) float
        −1 to 1; NaN where a pair was not scored.

    Returns
    -------
    Null
        With NaN for both parameters if fewer than `FEWEST_PAIRS` pairs were scored or the bulk of
        them has one and the same blend.
    """
    z = _fisher_z(blend)
    z = z[~np.isnan(z)]
    if z.size < FEWEST_PAIRS:
        return Null(np.nan, np.nan, z.size)
    low, high = np.quantile(z, BULK)
    expected_low, expected_high = ndtri(np.array(BULK) ** (1 / POSES))
    scale = (high - low) / (expected_high - expected_low)
    if scale == 0:
        return Null(np.nan, np.nan, z.size)
    return Null(float(low - scale * expected_low), float(scale), z.size)


def benjamini_yekutieli(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return q-values: the false discovery rate at which each pair would just be called.

    Benjamini & Yekutieli 2001, doi:10.1214/aos/1013699998, holds whatever the dependence, and pairs
    that share a class do depend on each other.

    Parameters
    ----------
    p_values : (m,) float
        0 to 1; NaN is passed through and not counted.

    Returns
    -------
    (m,) float64
        0 to 1.
    """
    q_values = np.full(p_values.shape, np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        q_values[known] = false_discovery_control(p_values[known], method="by")
    return q_values


def _fisher_z(blend: NDArray[np.floating]) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(blend, dtype=np.float64), -LARGEST_BLEND, LARGEST_BLEND)
    return np.asarray(np.arctanh(clipped), dtype=np.float64)
