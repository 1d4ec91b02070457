"""Overlay pixels are filled from the picture around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solveh_banded
from scipy.sparse.csgraph import reverse_cuthill_mckee

from cryocorr_tui.core.model import FloatArray

__all__ = ["remove_labels"]

TENSION = 1 / 5**2  # 1/px²
REACH = 2  # pixels that a stencil reaches
THIN = 7.0  # pixels from the middle of a hole to its rim; wider ones get no slope from it

LARGEST = 256  # pixels of the smaller side; larger pictures are filled at half the resolution

_LAPLACE = {(0, 0): 4.0, (-1, 0): -1.0, (1, 0): -1.0, (0, -1): -1.0, (0, 1): -1.0}


def remove_labels(image: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Return a class average with its overlay pixels filled smoothly.

    The filled pixels u solve Δ²u − t Δu = 0 between those that are left (a thin plate under a
    little tension t), which continues grey level and slope across the thin strokes of text. Wide
    holes, in which slopes would run away, are filled with Δu = 0. Large pictures are filled at half
    the resolution, or a quarter …: they are compared in smaller boxes anyway.

    Parameters
    ----------
    image : (h, w) float32
    mask : (h, w) bool
        True for overlay pixels.

    Returns
    -------
    (h, w) float32
        A copy; where every pixel is overlay, unchanged.
    """
    if image.shape != mask.shape:
        raise ValueError(f"expected a mask of shape {image.shape}, received {mask.shape}")
    filled = np.array(image, dtype=np.float32)
    if not mask.any() or mask.all():
        return filled
    if min(image.shape) > LARGEST:
        filled[mask] = _filled_at_half(filled, mask)[mask]
        return filled
    # Wide holes first: their equations ask nothing of other holes, those of thin ones may.
    wide = _in_wide_holes(mask)
    for stencil, hole in ((_LAPLACE, wide), (_PLATE, mask & ~wide)):
        if hole.any():
            filled[hole] = _solved(filled, hole, stencil)
    return filled


def _filled_at_half(image: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Return a picture filled at half the resolution, at its own again."""
    height, width = image.shape
    half = (width + 1) // 2, (height + 1) // 2
    left = (~mask).astype(np.float32)
    known = cv2.resize(left, half, interpolation=cv2.INTER_AREA)
    grey = cv2.resize(np.where(mask, np.float32(0), image), half, interpolation=cv2.INTER_AREA)
    small = remove_labels(np.asarray(grey / np.maximum(known, 1e-6), np.float32), known < 0.25)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _solved(
    image: FloatArray, hole: NDArray[np.bool_], stencil: dict[tuple[int, int], float]
) -> NDArray[np.float64]:
    """Return the pixels of a hole at which a symmetric stencil sums to 0."""
    count = int(hole.sum())
    unknown = np.full(hole.shape, -1)
    unknown[hole] = np.arange(count)
    # Mirrored at the edges of the picture, the edge pixel repeated.
    around = np.pad(unknown, REACH, mode="symmetric")
    grey = np.pad(image, REACH, mode="symmetric").ravel()
    rows, columns = np.nonzero(hole)
    offsets = np.array([dy * around.shape[1] + dx for dy, dx in stencil])
    at = offsets[:, None] + (rows + REACH) * around.shape[1] + columns + REACH
    column = around.ravel()[at]
    weight = np.array(list(stencil.values()))[:, None]
    wanted = -(weight * np.where(column < 0, grey[at], 0.0)).sum(axis=0)
    kind, row = np.nonzero(column >= 0)
    column = column[kind, row]
    # Numbered along the strokes, each unknown meets but a few numbers near its own.
    pattern = sparse.csr_array((np.ones(len(row), np.int8), (row, column)), shape=(count, count))
    order = reverse_cuthill_mckee(pattern, symmetric_mode=True)
    rank = np.empty(count, np.intp)
    rank[order] = np.arange(count)
    below = rank[row] - rank[column]
    lower = below >= 0
    band = int(below.max()) + 1
    entries = np.bincount(
        below[lower] * count + rank[column[lower]],
        weights=weight[kind[lower], 0],
        minlength=band * count,
    )
    values = np.empty(count)
    values[order] = solveh_banded(
        entries.reshape(band, count), wanted[order], lower=True, check_finite=False
    )
    return values


def _plate() -> dict[tuple[int, int], float]:
    """Return the stencil of the thin plate under tension, L² + tL."""
    stencil = {at: TENSION * weight for at, weight in _LAPLACE.items()}
    for (y0, x0), first in _LAPLACE.items():
        for (y1, x1), second in _LAPLACE.items():
            at = y0 + y1, x0 + x1
            stencil[at] = stencil.get(at, 0.0) + first * second
    return stencil


_PLATE = _plate()


def _in_wide_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each pixel whether it lies in a hole that is wide somewhere."""
    holes = mask.astype(np.uint8)
    count, labels = cv2.connectedComponents(holes, connectivity=4)
    depth = np.zeros(count)
    np.maximum.at(depth, labels[mask], cv2.distanceTransform(holes, cv2.DIST_L2, 3)[mask])
    return np.asarray(depth[labels] > THIN)
