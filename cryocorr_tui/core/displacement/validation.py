"""Which vectors are to be trusted, and what may stand in for the others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["find_outliers", "replaced", "trend"]

Vectors = NDArray[np.float64]

NOISE = 0.1  # pixels by which neighbours may always differ (Westerweel & Scarano's ε)
ROUNDS = 3  # a vector that was judged by outliers is judged again without them
FEWEST = 3  # valid neighbours by which a vector can be judged


def find_outliers(
    dy: Vectors, dx: Vectors, valid: NDArray[np.bool_], *, threshold: float
) -> NDArray[np.bool_]:
    """Find vectors that differ from their neighbours, by the normalised median test.

    A vector's distance from the median of its valid neighbours, over the median of their own
    distances from it plus `NOISE` (Westerweel & Scarano 2005, doi:10.1007/s00348-005-0016-6). The
    plane that the field follows as a whole, such as a rotation, is taken off first, as it would
    hide outliers inside the field and make some of its corners. Neighbours are the 8 around a
    vector, or the 24 where fewer than 3 of these are valid.

    Parameters
    ----------
    dy, dx : (rows, columns) float64
        In pixels.
    valid : (rows, columns) bool
        What is left out neither judges nor is judged.
    threshold : float
        2 is usual.

    Returns
    -------
    (rows, columns) bool
    """
    parts = [part - trend(part, valid) for part in (dy, dx)]
    outlier = np.zeros_like(valid)
    for _ in range(ROUNDS):
        trusted = valid & ~outlier
        squared, enough = _normalised(parts, trusted, reach=1)
        if not enough[valid].all():
            farther, enough_farther = _normalised(parts, trusted, reach=2)
            squared = np.where(enough, squared, farther)
            enough |= enough_farther
        before, outlier = outlier, valid & enough & (squared > threshold**2)
        if np.array_equal(before, outlier):
            break
    return outlier


def _normalised(
    parts: Sequence[Vectors], trusted: NDArray[np.bool_], *, reach: int
) -> tuple[Vectors, NDArray[np.bool_]]:
    """Return squared normalised distances from the median of what lies around, and where enough do.

    Parameters
    ----------
    parts : sequence of (rows, columns) float64
    trusted : (rows, columns) bool
        What judges.
    reach : int
        Vectors to either side.
    """
    squared = np.zeros(trusted.shape)
    for part in parts:
        around = _neighbours(np.where(trusted, part, np.nan), reach=reach)
        median = _median(around)
        spread = _median(np.abs(around - median[..., None]))
        squared += ((part - median) / (spread + NOISE)) ** 2
    number = _neighbours(trusted.astype(np.float64), 0.0, reach).sum(axis=-1)
    return squared, number >= FEWEST


def replaced(
    values: Vectors,
    valid: NDArray[np.bool_],
    *,
    manner: str,
    wanted: NDArray[np.bool_] | None = None,
) -> tuple[Vectors, NDArray[np.bool_]]:
    """Put values of valid neighbours, in 5 × 5 vectors, in the place of invalid ones.

    Parameters
    ----------
    values : (rows, columns) float64
    valid : (rows, columns) bool
    manner : str
        "median", or "mean", weighted by 1 / distance².
    wanted : (rows, columns) bool, optional
        What may be replaced, by default all that is invalid.

    Returns
    -------
    values : (rows, columns) float64
    replaced : (rows, columns) bool
        Those of them that had a valid neighbour.
    """
    around = _neighbours(np.where(valid, values, np.nan), reach=2)
    known = np.isfinite(around)
    if manner == "median":
        found = _median(around)
    else:
        y, x = (np.delete(offset.ravel(), 12) for offset in np.mgrid[-2:3, -2:3])
        weight = np.where(known, 1 / (y**2 + x**2), 0)
        total = weight.sum(axis=-1)
        found = (weight * np.where(known, around, 0)).sum(axis=-1) / np.where(total > 0, total, 1)
    filled = (~valid if wanted is None else wanted & ~valid) & known.any(axis=-1)
    return np.where(filled, found, values), filled


def trend(values: Vectors, valid: NDArray[np.bool_]) -> Vectors:
    """Return the plane through the valid ones of values (rows, columns), outliers left aside.

    0 where there are too few for a plane.
    """
    rows, columns = values.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([np.ones_like(y), y, x], axis=-1)
    used, plane = valid, np.zeros_like(values)
    for _ in range(10):
        if used.sum() < 6:
            break
        factors, *_ = np.linalg.lstsq(terms[used], values[used], rcond=None)
        plane = terms @ factors
        distance = np.abs(values - plane)
        before, used = used, valid & (distance <= 3 * np.median(distance[valid]) + NOISE)
        if np.array_equal(before, used):
            break
    return plane


def _neighbours(values: Vectors, beyond: float = np.nan, reach: int = 1) -> Vectors:
    """Return (rows, columns, k): what lies around each place, itself left out."""
    side = 2 * reach + 1
    around = sliding_window_view(np.pad(values, reach, constant_values=beyond), (side, side))
    others = np.arange(side**2) != side**2 // 2
    return np.asarray(around.reshape(*values.shape, side**2)[..., others])


def _median(values: Vectors) -> Vectors:
    """Return medians along the last axis of what is not NaN; NaN where all is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=-1))
