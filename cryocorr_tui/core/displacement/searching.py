"""Every subset sought in its search area: zero-normalised cross-correlation, many at once.

Numerators come from batched real FFTs; as the subsets have zero mean, the mean of what lies under
them drops out. Denominators are the local energies of the deformed picture, from integral images,
so each value is a true correlation coefficient (Lewis 1995, "Fast normalized cross-correlation",
Vision Interface 120-123).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.backend import threads_here
from cryocorr_tui.core.displacement import search_kernels
from cryocorr_tui.core.displacement.pictures import Reference
from cryocorr_tui.core.displacement.subsets import window_sums, windows
from cryocorr_tui.core.model import FloatArray

__all__ = [
    "CONSTANT",
    "NO_MATCH",
    "SearchField",
    "find_peaks",
    "search",
    "search_bytes",
    "search_field",
]

NO_MATCH = -2.0  # below every coefficient: nothing here can be matched
HIGHEST_RATIO = 100.0
CONSTANT = 1e-7  # part of the variance of the whole picture below which a window is constant


@dataclass(frozen=True, eq=False)
class SearchField:
    """A deformed picture as the search sees it, widened by the reach on every side.

    Attributes
    ----------
    values : (height + 2 reach, width + 2 reach) float32
        0 outside the picture.
    inverse_root : (height − block + 1 + 2 reach, width − block + 1 + 2 reach) float32
        1 / √energy of the window of a block that begins `reach` pixels further up and left; 0 where
        it is constant or not wholly known.
    """

    values: Any
    inverse_root: Any


def search_field(
    values: FloatArray, known: NDArray[np.bool_], *, block: int, reach: int
) -> SearchField:
    """Prepare a deformed picture, (height, width) float32 of unit variance, for `search`."""
    energy = window_sums(values * values, block) - window_sums(values, block) ** 2 / block**2
    usable = energy > CONSTANT * block**2
    if not known.all():
        usable &= window_sums(~known, block) < 0.5
    inverse_root = 1 / np.sqrt(np.where(usable, energy, np.inf).astype(np.float32))
    return SearchField(np.pad(values, reach), np.pad(inverse_root, reach))


def search(reference: Reference, field: SearchField, corners: Any, *, block: int) -> Any:
    """Find the best match of every subset.

    Parameters
    ----------
    reference : Reference
    field : SearchField
        Of the deformed picture; its reach is the largest displacement, in each direction.
    corners : (n, 2) int32
        First row and column of each subset.
    block : int

    Returns
    -------
    (n, 4) float32
        Coefficient of the highest peak (`NO_MATCH`: there is none), ratio of it to the second,
        displacement dy and dx in pixels by a parabola through the neighbours of the peak.
    """
    reach = (field.values.shape[0] - reference.values.shape[0]) // 2
    area = windows(field.values, corners, block + 2 * reach)
    if is_numpy_array(area):
        pictures = reference.values, reference.weight
        template, norm = search_kernels.templates(*pictures, corners, block, CONSTANT)
        product = _correlated(template, area, reach)
        return search_kernels.peaks(product, norm, field.inverse_root, corners)
    template, norm = _templates(reference, corners, block)
    product = _correlated(template, area, reach)
    xp = array_namespace(product)
    inverse = windows(field.inverse_root, corners, 2 * reach + 1)
    norm = norm[:, None, None]
    usable = (inverse > 0) & (norm > 0)
    coefficient = product * inverse / xp.where(norm > 0, norm, xp.ones_like(norm))
    return find_peaks(xp.where(usable, coefficient, NO_MATCH * xp.ones_like(coefficient)))


def search_bytes(block: int, reach: int) -> int:
    """Return the bytes of the device that one subset takes in `search`, generously."""
    side = fft.next_fast_len(block + 2 * reach, real=True)
    return int(40 * side * side)


def find_peaks(coefficient: Any) -> Any:
    """Find the two highest peaks of correlation maps.

    Parameters
    ----------
    coefficient : (n, k, k) float32
        `NO_MATCH` where there is none; the middle is displacement 0.

    Returns
    -------
    (n, 4) float32
        As of `search`. Peaks are not lower than any of their 8 neighbours.
    """
    xp = array_namespace(coefficient)
    n, side, _ = coefficient.shape
    flat = xp.reshape(coefficient, (n, -1))
    place = xp.argmax(flat, axis=1)
    highest = xp.max(flat, axis=1)
    row, column = place // side, place % side

    def at(down: int, right: int) -> Any:
        """Return the value beside the peak; where the map ends, the lowest there is."""
        y, x = row + down, column + right
        inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
        index = xp.where(inside, y * side + x, place)
        value = xp.take_along_axis(flat, index[:, None], axis=1)[:, 0]
        return xp.where(inside, value, NO_MATCH * xp.ones_like(value))

    first = xp.arange(side * side, device=flat.device)[None, :] == place[:, None]
    others = _is_peak(coefficient) & ~xp.reshape(first, coefficient.shape)
    least = highest / HIGHEST_RATIO
    second = xp.max(
        xp.reshape(xp.where(others, coefficient, -xp.ones_like(coefficient)), (n, -1)), axis=1
    )
    ratio = xp.where(second > least, highest / xp.where(second > least, second, 1.0), HIGHEST_RATIO)
    found = highest > NO_MATCH
    middle = side // 2
    y = xp.astype(row - middle, highest.dtype) + _summit(at(-1, 0), highest, at(1, 0))
    x = xp.astype(column - middle, highest.dtype) + _summit(at(0, -1), highest, at(0, 1))
    zero = xp.zeros_like(highest)
    ratio = xp.where(found & (highest > 0), ratio, zero)
    return xp.stack([highest, ratio, xp.where(found, y, zero), xp.where(found, x, zero)], axis=1)


def _templates(reference: Reference, corners: Any, block: int) -> tuple[Any, Any]:
    """Return subsets less their mean, 0 where masked or constant, and the norm of each.

    Returns
    -------
    template : (n, block, block) float32
    norm : (n,) float32
    """
    values = windows(reference.values, corners, block)
    weight = windows(reference.weight, corners, block)
    xp = array_namespace(values)
    count = xp.sum(weight, axis=(1, 2), keepdims=True)
    total = xp.sum(values * weight, axis=(1, 2), keepdims=True)
    centred = (values - total / xp.where(count > 0, count, xp.ones_like(count))) * weight
    energy = xp.sum(centred * centred, axis=(1, 2), keepdims=True)
    textured = energy > CONSTANT * count
    norm = xp.sqrt(xp.where(textured, energy, xp.zeros_like(energy)))
    return xp.where(textured, centred, xp.zeros_like(centred)), norm[:, 0, 0]


def _correlated(template: Any, area: Any, reach: int) -> Any:
    """Return (n, 2 reach + 1, 2 reach + 1): Σ template · area for every place of the template.

    Transforms as long as the area: what wraps around are the places not asked for.
    """
    side, count = area.shape[-1], 2 * reach + 1
    if is_numpy_array(area):
        long, cores = fft.next_fast_len(side, real=True), threads_here()
        spectrum = fft.rfft2(area, s=(long, long), workers=cores)
        # Row by row first: rows of zeros need no transform, nor rows of the result that fall away.
        half = fft.rfft(template, n=long, axis=-1, workers=cores)
        half = fft.fft(half, n=long, axis=-2, workers=cores, overwrite_x=True)
        spectrum *= np.conj(half, out=half)
        rows = fft.ifft(spectrum, axis=-2, workers=cores, overwrite_x=True)[:, :count, :]
        return fft.irfft(rows, n=long, axis=-1, workers=cores)[:, :, :count]
    xp = array_namespace(area)
    spectrum = xp.fft.rfftn(area, axes=(-2, -1))
    half = xp.fft.rfftn(template, s=(side, side), axes=(-2, -1))
    return xp.fft.irfftn(spectrum * xp.conj(half), s=(side, side), axes=(-2, -1))[:, :count, :count]


def _is_peak(values: Any) -> Any:
    """Return (n, k, k) bool: not lower than the 8 neighbours, beyond the border there are none."""
    # The maximum of 3 × 3 is that of the maxima of three rows.
    return values >= _highest_of_three(_highest_of_three(values, 1), 2)


def _highest_of_three(values: Any, axis: int) -> Any:
    """Return the maximum of each value and its two neighbours along an axis (1 or 2)."""
    xp = array_namespace(values)
    edge = NO_MATCH * xp.ones_like(values[:, :1, :] if axis == 1 else values[:, :, :1])
    wide = xp.concat([edge, values, edge], axis=axis)
    if axis == 1:
        before, after = wide[:, :-2, :], wide[:, 2:, :]
    else:
        before, after = wide[:, :, :-2], wide[:, :, 2:]
    return xp.maximum(values, xp.maximum(before, after))


def _summit(before: Any, peak: Any, after: Any) -> Any:
    """Return where a parabola through three values has its maximum, −½…½; 0 where one lacks."""
    xp = array_namespace(peak)
    bend = 2 * peak - before - after
    usable = (before > NO_MATCH) & (after > NO_MATCH) & (bend > 0)
    return xp.where(usable, (after - before) / (2 * xp.where(usable, bend, 1.0)), 0.0)
