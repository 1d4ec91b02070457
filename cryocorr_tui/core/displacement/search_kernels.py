"""What surrounds the transforms of a search, in compiled code: templates, normalised maps, peaks.

The same as the plain forms in `searching`; a test holds both equal.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray

__all__ = ["peaks", "templates"]

_NO_MATCH = np.float32(-2.0)
_HIGHEST_RATIO = np.float32(100.0)


@numba.njit(parallel=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def templates(
    values: FloatArray, weight: FloatArray, corners: NDArray[np.int32], block: int, constant: float
) -> tuple[FloatArray, FloatArray]:
    """Cut subsets out of the reference, as the plain `searching._templates` does.

    Parameters
    ----------
    values, weight : (height, width) float32
        As in `pictures.Reference`.
    corners : (n, 2) int32
    block : int
    constant : float
        Mean square of a subset below which it is constant.

    Returns
    -------
    template : (n, block, block) float32
    norm : (n,) float32
    """
    template = np.zeros((len(corners), block, block), dtype=np.float32)
    norm = np.zeros(len(corners), dtype=np.float32)
    for i in numba.prange(len(corners)):
        top, left = corners[i, 0], corners[i, 1]
        w = weight[top : top + block, left : left + block]
        f = values[top : top + block, left : left + block]
        count = total = energy = np.float32(0)
        for y in range(block):
            for x in range(block):
                count += w[y, x]
                total += w[y, x] * f[y, x]
        mean = total / max(count, np.float32(1))
        for y in range(block):
            for x in range(block):
                centred = w[y, x] * (f[y, x] - mean)
                template[i, y, x] = centred
                energy += centred * centred
        if energy > constant * count:
            norm[i] = np.sqrt(energy)
        else:
            template[i] = 0
    return template, norm


@numba.njit(parallel=True, cache=True, error_model="numpy")
def peaks(
    product: FloatArray, norm: FloatArray, inverse_root: FloatArray, corners: NDArray[np.int32]
) -> FloatArray:
    """Normalise numerators of correlation maps and find their two highest peaks.

    Parameters
    ----------
    product : (n, k, k) float32
    norm : (n,) float32
        Root of the energy of each subset; 0 where it is constant.
    inverse_root : (h, w) float32
        `searching.SearchField.inverse_root`.
    corners : (n, 2) int32
        Where in it the k × k places of each subset begin.

    Returns
    -------
    (n, 4) float32
        As of `searching.search`.
    """
    n, side, _ = product.shape
    found = np.empty((n, 4), dtype=np.float32)
    for i in numba.prange(n):
        # A rim that no peak is on spares every question of whether a neighbour exists.
        values = np.full((side + 2, side + 2), _NO_MATCH, dtype=np.float32)
        if norm[i] > 0:
            _normalise(product[i], np.float32(1) / norm[i], inverse_root, corners[i], values)
        _find(values, found[i])
    return found


@numba.njit(cache=True, error_model="numpy")
def _normalise(
    product: FloatArray,
    scale: np.float32,
    inverse_root: FloatArray,
    corner: NDArray[np.int32],
    values: FloatArray,
) -> None:
    side = len(product)
    for y in range(side):
        inverse = inverse_root[corner[0] + y, corner[1] : corner[1] + side]
        row = product[y]
        out = values[y + 1, 1 : side + 1]
        for x in range(side):
            out[x] = row[x] * scale * inverse[x] if inverse[x] > 0 else _NO_MATCH


@numba.njit(cache=True, error_model="numpy")
def _find(values: FloatArray, found: FloatArray) -> None:
    """Fill `found` with height, ratio and place of the highest peak of a map with a rim."""
    side = len(values) - 2
    highest = _NO_MATCH
    y0 = x0 = side // 2 + 1
    for y in range(1, side + 1):
        for x in range(1, side + 1):
            if values[y, x] > highest:
                highest, y0, x0 = values[y, x], y, x
    found[0] = highest
    found[1] = found[2] = found[3] = 0
    if highest == _NO_MATCH:
        return
    middle = side // 2 + 1
    found[2] = y0 - middle + _summit(values[y0 - 1, x0], highest, values[y0 + 1, x0])
    found[3] = x0 - middle + _summit(values[y0, x0 - 1], highest, values[y0, x0 + 1])
    if highest <= 0:
        return
    second = highest / _HIGHEST_RATIO
    for y in range(1, side + 1):
        for x in range(1, side + 1):
            value = values[y, x]
            if value > second and (y != y0 or x != x0) and _is_peak(values, y, x):
                second = value
    found[1] = min(highest / second, _HIGHEST_RATIO)


@numba.njit(cache=True)
def _is_peak(values: FloatArray, y: int, x: int) -> bool:
    for v in range(y - 1, y + 2):
        for u in range(x - 1, x + 2):
            if values[v, u] > values[y, x]:
                return False
    return True


@numba.njit(cache=True)
def _summit(before: np.float32, peak: np.float32, after: np.float32) -> np.float32:
    """Return where a parabola through three values has its maximum; 0 where one lacks."""
    bend = 2 * peak - before - after
    if before <= _NO_MATCH or after <= _NO_MATCH or bend <= 0:
        return np.float32(0)
    return np.float32((after - before) / (2 * bend))
