"""How likely chance alone gives a blend: p-values of pairs, and q-values over all of them.

A blend is the best over thousands of poses, so unrelated pairs do not centre on 0, and their upper
tail is longer than a normal one. Nor are all classes alike: a smooth one, or junk, correlates more
(or less) with everything. So Fisher's z (``arctanh``, doi:10.2307/2331838) of an unrelated pair is
taken as the level of the one class + that of the other + a residual, and the residual as the
maximum of `POSES` independent normal values of one mean and one standard deviation. All of it comes
from the pairs of the run: an empirical null (Efron 2004, doi:10.1198/016214504000000089), read off
below the median, where matches do not reach.

How many unrelated pairs of simulated jobs then lie below p = 0.05 stands in docs/significance.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, log_ndtr, ndtri

from cryocorr_tui.core.model import FloatArray

__all__ = ["FEWEST_PAIRS", "POSES", "FalseDiscoveryRate", "Null", "fit_null"]

POSES = 10
FEWEST_PAIRS = 20

# Quantile of the pairs of one class that tells its level: low, since up to half of them may be
# matches.
LEVEL = 0.2

# Quantiles of all residuals that tell mean and deviation. Both lie above `LEVEL`: a fitted level
# draws the residuals of its class towards that quantile from either side, and a deviation read
# across it would be too small, the more so the fewer the classes.
BULK = (0.35, 0.5)

# Of a class with fewer partners than these only a part of the level that they tell is believed: a
# single partner would explain its own pair away.
FEW_PARTNERS = 20

# Levels depend on each other through the pairs; so often, and they have settled.
ROUNDS = 10

# p-values are counted in so many bins a decade, over so many decades: double precision ends there.
BINS, DECADES = 1000, 320
SMALLEST = float(np.finfo(np.float64).tiny)

# Keeps Fisher's z finite where two classes are the same picture; the largest float32 below 1.
LARGEST_BLEND = 1 - 2.0**-24

Float = TypeVar("Float", np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Null:
    """What unrelated pairs of a run give.

    Attributes
    ----------
    location, scale : float
        Mean and standard deviation of Fisher's z of a single pose of two ordinary classes; NaN
        where there were too few pairs to tell.
    levels : (n,) float64
        What each class adds to it.
    pairs : int
        Pairs it was fitted to.
    """

    location: float
    scale: float
    levels: NDArray[np.float64]
    pairs: int

    def p_values(
        self, blend: NDArray[np.floating], i: NDArray[np.integer], j: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Return the chance that an unrelated pair of the same classes reaches `blend`, one-sided.

        Parameters
        ----------
        blend : array of float
            −1 to 1.
        i, j : array of int
            Class ids, of shapes that broadcast to that of `blend`.

        Returns
        -------
        float64
            Of the shape of `blend`, at most 1 and never 0: what is smaller than any number of
            double precision is given as `SMALLEST`. NaN where the blend or the null is.
        """
        residual = _fisher_z(np.asarray(blend, np.float64)) - self.levels[i] - self.levels[j]
        x = (residual - self.location) / self.scale
        return np.asarray(np.maximum(-np.expm1(POSES * log_ndtr(x)), SMALLEST), np.float64)

    def blend_at(self, p: float, *, rank: float = 0.5) -> float:
        """Return the blend that two unrelated classes reach with probability `p`.

        Parameters
        ----------
        p : float
            0 to 1, one-sided.
        rank : float
            Where both classes stand among all by their level: 0 the lowest, 1 the highest.
        """
        level = float(np.quantile(self.levels, rank))
        chance = self.location + self.scale * ndtri((1 - p) ** (1 / POSES))
        return float(np.tanh(2 * level + chance))


def fit_null(blend: FloatArray, partners: NDArray[np.integer] | None = None) -> Null:
    """Fit the null to pairs of a run, true matches among them.

    It assumes that of the pairs of each class less than half are matches; where nearly all classes
    show one view, "unrelated" means "as alike as usual here".

    Parameters
    ----------
    blend : (n, m) float32
        Of every class with each of the partners, −1 to 1; NaN where a pair was not scored, is not
        of the run, or is a class with itself.
    partners : (m,) int, optional
        Class ids; all n classes by default.

    Returns
    -------
    Null
        With NaN for location and scale if fewer than `FEWEST_PAIRS` pairs were scored or the bulk
        of them has one and the same blend.
    """
    n = len(blend)
    partners = np.arange(n) if partners is None else partners
    if blend.shape != (n, partners.size):
        raise ValueError(f"expected blend of shape ({n}, {partners.size}), received {blend.shape}")
    z = _fisher_z(blend)
    known = ~np.isnan(z)
    # Two partners meet twice, as (i, j) and (j, i).
    pairs = int(known.sum() - known[partners].sum() // 2)
    unknown = Null(np.nan, np.nan, np.zeros(n), pairs)
    if pairs < FEWEST_PAIRS:
        return unknown
    levels = _levels(z, partners)
    z -= levels[:, np.newaxis]
    z -= levels[partners]
    low, high = np.quantile(z[known], BULK)
    expected_low, expected_high = ndtri(np.array(BULK) ** (1 / POSES))
    scale = (high - low) / (expected_high - expected_low)
    if not scale > np.finfo(np.float32).eps:
        return unknown
    return Null(float(low - scale * expected_low), float(scale), levels.astype(np.float64), pairs)


@dataclass
class FalseDiscoveryRate:
    """Counts p-values as they come, block by block, and then tells the q-value of each.

    Benjamini & Yekutieli 2001 (doi:10.1214/aos/1013699998), which holds whatever the dependence;
    pairs that share a class do depend on each other. The p-values are not kept but counted in
    `BINS` bins a decade and each taken as the upper end of its bin, so that memory does not grow
    with the pairs: a q-value is never below the exact one, and above it by less than 0.25 %.
    """

    counts: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(BINS * DECADES + 1, dtype=np.int64)
    )

    def add(self, p_values: NDArray[np.floating]) -> None:
        """Count p-values, 0 to 1; NaN is not counted."""
        bins = _bins(p_values[~np.isnan(p_values)])
        self.counts += np.bincount(bins, minlength=self.counts.size)

    def q_values(self, p_values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the false discovery rate at which each pair would just be called.

        Parameters
        ----------
        p_values : array of float
            Some of those that were counted, 0 to 1; NaN is passed through.

        Returns
        -------
        float64
            Of the same shape, 0 to 1.
        """
        result = np.full(p_values.shape, np.nan)
        known = ~np.isnan(p_values)
        result[known] = self._by_bin()[_bins(p_values[known])]
        return result

    def _by_bin(self) -> NDArray[np.float64]:
        rank = np.cumsum(self.counts[::-1])[::-1]  # pairs of this p-value or a smaller one
        tests = int(rank[0])
        if not tests:
            return np.ones(self.counts.size)
        ends = 10.0 ** (-np.arange(self.counts.size) / BINS)
        harmonic = float(digamma(tests + 1) + np.euler_gamma)  # 1 + 1/2 + … + 1/tests
        with np.errstate(divide="ignore"):
            rate = ends * (tests * harmonic) / rank
        # The least rate of any larger p-value; bin 0 is that of the largest.
        return np.minimum(np.minimum.accumulate(rate), 1.0)


def _bins(p_values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the bin of each p-value; bin 0 ends at 1."""
    decades = -np.log10(np.maximum(p_values, 10.0**-DECADES, dtype=np.float64))
    return np.asarray(np.clip(decades, 0, None) * BINS, dtype=np.int64)


def _levels(z: FloatArray, partners: NDArray[np.integer]) -> FloatArray:
    """Return (n,) float32: how much more alike to everything each class is than an ordinary one."""
    count = np.count_nonzero(~np.isnan(z), axis=1)
    trust = np.minimum(count / FEW_PARTNERS, 1).astype(np.float32)
    scored = np.flatnonzero(count)
    levels = np.zeros(len(z), dtype=np.float32)
    for _ in range(ROUNDS):
        told = _known_quantile(z[scored] - levels[partners], LEVEL)
        told = trust[scored] * (told - np.median(told))
        # Half a step: pairs hold the levels of both, and whole steps would swing.
        levels[scored] += (told - levels[scored]) / 2
    return levels


def _known_quantile(values: FloatArray, share: float) -> FloatArray:
    """Return (n,): ``nanquantile`` along rows that have values, without a call for each row."""
    ranked = np.sort(values, axis=1)  # NaN come last
    place = share * (np.count_nonzero(~np.isnan(ranked), axis=1) - 1)
    below = np.floor(place).astype(np.int64)
    rows = np.arange(len(ranked))
    lower, upper = ranked[rows, below], ranked[rows, np.ceil(place).astype(np.int64)]
    told: FloatArray = lower + (upper - lower) * (place - below).astype(values.dtype)
    return told


def _fisher_z(blend: NDArray[Float]) -> NDArray[Float]:
    largest = blend.dtype.type(LARGEST_BLEND)
    return np.asarray(np.arctanh(np.clip(blend, -largest, largest)), dtype=blend.dtype)
