"""Strain, from planes laid through the vectors around each subset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["strain"]

Vectors = NDArray[np.float64]

FEWEST = 0.3  # part of the window that must be valid


def strain(
    dy: Vectors, dx: Vectors, valid: NDArray[np.bool_], *, spacing: float, window: int
) -> tuple[Vectors, Vectors, Vectors]:
    """Return the Green-Lagrange strain of a field.

    The gradients are those of a plane through the valid vectors of a window, by least squares (Pan
    et al. 2009, doi:10.1016/j.optlaseng.2008.10.014, pointwise least squares).

    Parameters
    ----------
    dy, dx : (rows, columns) float64
        In pixels.
    valid : (rows, columns) bool
        What is left out does not count.
    spacing : float
        Pixels from vector to vector.
    window : int
        Vectors across the window, odd.

    Returns
    -------
    exx, eyy, exy : (rows, columns) float64
        Without unit; a rigid rotation gives none. NaN where less than a third of the window is
        valid or no plane is determined.
    """
    dy_dy, dy_dx = _slopes(dy, valid, spacing, window)
    dx_dy, dx_dx = _slopes(dx, valid, spacing, window)
    exx = dx_dx + (dx_dx**2 + dy_dx**2) / 2
    eyy = dy_dy + (dy_dy**2 + dx_dy**2) / 2
    exy = (dx_dy + dy_dx + dx_dx * dx_dy + dy_dx * dy_dy) / 2
    return exx, eyy, exy


def _slopes(
    values: Vectors, valid: NDArray[np.bool_], spacing: float, window: int
) -> tuple[Vectors, Vectors]:
    """Return ∂/∂y and ∂/∂x of planes fitted in a window around each place."""
    half = window // 2
    along = np.arange(-half, half + 1, dtype=np.float64)
    y, x = np.meshgrid(along, along, indexing="ij")
    weight = valid.astype(np.float64)
    known = np.where(valid, values, 0)

    def total(of: Vectors, factor: Vectors) -> Vectors:
        return np.asarray(ndimage.correlate(of, factor, mode="constant"))

    terms = (np.ones_like(y), y, x)
    normal = np.stack([[total(weight, a * b) for a in terms] for b in terms])
    right = np.stack([total(known, a) for a in terms])
    normal, right = np.moveaxis(normal, (0, 1), (-2, -1)), np.moveaxis(right, 0, -1)
    solvable = (normal[..., 0, 0] >= FEWEST * window**2) & (np.linalg.det(normal) > 1e-6)
    normal = np.where(solvable[..., None, None], normal, np.eye(3))
    plane = np.linalg.solve(normal, right[..., None])[..., 0]
    down, across = (np.where(solvable, plane[..., k] / spacing, np.nan) for k in (1, 2))
    return down, across
