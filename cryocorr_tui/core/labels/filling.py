"""Overlay pixels are filled from the picture around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from cryocorr_tui.core.model import FloatArray

__all__ = ["remove_labels"]

TENSION = 1 / 5**2  # 1/px²
THIN = 7.0  # pixels from the middle of a hole to its rim; wider ones get no slope from it

_LAPLACE = {(0, 0): 4.0, (-1, 0): -1.0, (1, 0): -1.0, (0, -1): -1.0, (0, 1): -1.0}


def remove_labels(image: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Return a class average with its overlay pixels filled smoothly.

    The filled pixels u solve Δ²u − t Δu = 0 between those that are left (a thin plate under a
    little tension t), which continues grey level and slope across the thin strokes of text. Wide
    holes, in which slopes would run away, are filled with Δu = 0.

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
    rows, columns = np.nonzero(mask)
    unknown = np.full(mask.shape, -1)
    unknown[mask] = np.arange(len(rows))
    known = np.zeros(len(rows))
    wide = _in_wide_holes(mask)[mask]
    row, column, weights = [], [], []
    for (dy, dx), plate in _PLATE.items():
        weight = np.where(wide, _LAPLACE.get((dy, dx), 0.0), plate)
        y = _mirrored(rows + dy, mask.shape[0])
        x = _mirrored(columns + dx, mask.shape[1])
        at = unknown[y, x]
        inside = np.flatnonzero((at >= 0) & (weight != 0))
        row.append(inside)
        column.append(at[inside])
        weights.append(weight[inside])
        known -= weight * np.where(at < 0, image[y, x], 0.0)
    entries = np.concatenate(weights), (np.concatenate(row), np.concatenate(column))
    system = sparse.csc_array(entries, shape=(len(rows), len(rows)))
    # The stencils are symmetric and positive: no pivots need be looked for.
    factors = splu(
        system, diag_pivot_thresh=0.0, options={"SymmetricMode": True}, permc_spec="MMD_AT_PLUS_A"
    )
    filled[mask] = factors.solve(known)
    return filled


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


def _mirrored(at: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return positions reflected at the edges of the picture, the edge pixel repeated."""
    at = np.where(at < 0, -1 - at, at)
    return np.where(at >= size, 2 * size - 1 - at, at)
