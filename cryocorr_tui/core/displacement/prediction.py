"""What one pass expects of the next: a smooth field, and the picture deformed by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryocorr_tui.core.displacement.subsets import SubsetGrid
from cryocorr_tui.core.displacement.validation import find_outliers, replaced, trend
from cryocorr_tui.core.model import FloatArray

__all__ = ["Prediction", "nothing_expected", "predict", "turned", "undeformed"]

Vectors = NDArray[np.float64]

MEDIAN_THRESHOLD = 2.0
SMOOTHING = 0.6  # vectors


@dataclass(frozen=True, eq=False)
class Prediction:
    """A field that is linear between the nodes of a grid, and beyond its outermost two.

    ``y`` (rows,) and ``x`` (columns,) are the nodes, at least two each, ``dy`` and ``dx`` (rows,
    columns) the displacement there, all in pixels.
    """

    y: Vectors
    x: Vectors
    dy: Vectors
    dx: Vectors

    def at(self, y: Vectors, x: Vectors) -> tuple[Vectors, Vectors]:
        """Return dy and dx, (len(y), len(x)), where rows `y` and columns `x` cross."""
        by_y, by_x = _between(self.y, y), _between(self.x, x)
        return by_y @ self.dy @ by_x.T, by_y @ self.dx @ by_x.T

    def warps(self, grid: SubsetGrid) -> Vectors:
        """Return (n, 6): what is expected of each subset, as `registration.refine` has it."""
        y, x = grid.centre_y, grid.centre_x
        dy, dx = self.at(y, x)
        dyy, dyx, dxy, dxx = self._gradients(y, x, grid.block / 2)
        return np.stack([dy, dyy, dyx, dx, dxy, dxx], axis=-1).reshape(-1, 6)

    def doubled(self) -> Prediction:
        """Return the same field in a picture of twice the size."""
        return Prediction(2 * self.y + 0.5, 2 * self.x + 0.5, 2 * self.dy, 2 * self.dx)

    def _gradients(self, y: Vectors, x: Vectors, reach: float) -> list[Vectors]:
        """Return ∂dy/∂y, ∂dy/∂x, ∂dx/∂y and ∂dx/∂x, means over ± `reach` pixels."""
        low_y, high_y = self.at(y - reach, x), self.at(y + reach, x)
        low_x, high_x = self.at(y, x - reach), self.at(y, x + reach)
        return [
            (high[part] - low[part]) / (2 * reach)
            for part in range(2)
            for low, high in ((low_y, high_y), (low_x, high_x))
        ]


def nothing_expected() -> Prediction:
    """Return the field that is 0 everywhere."""
    ends = np.array([0.0, 1.0])
    return Prediction(ends, ends, np.zeros((2, 2)), np.zeros((2, 2)))


def turned(shape: tuple[int, ...], rotation: float) -> Prediction:
    """Return the rotation of a picture about its centre, degrees counter-clockwise on screen."""
    height, width = shape
    y, x = np.array([0.0, height - 1.0]), np.array([0.0, width - 1.0])
    v, u = np.meshgrid(y - (height - 1) / 2, x - (width - 1) / 2, indexing="ij")
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    return Prediction(y, x, (cosine - 1) * v - sine * u, (cosine - 1) * u + sine * v)


def predict(
    grid: SubsetGrid, dy: Vectors, dx: Vectors, trusted: NDArray[np.bool_]
) -> Prediction | None:
    """Return the field that the trusted vectors tell, without outliers and smoothed.

    Parameters
    ----------
    grid : SubsetGrid
    dy, dx : (rows, columns) float64
    trusted : (rows, columns) bool

    Returns
    -------
    Prediction or None
        None where too few vectors are left, or they lie in one row.
    """
    trusted = trusted & ~find_outliers(dy, dx, trusted, threshold=MEDIAN_THRESHOLD)
    if min(grid.shape) < 2 or trusted.sum() < 4:
        return None
    smooth = []
    for part in (dy, dx):
        # What lies between good vectors, or beyond them, follows the plane of all.
        plane = trend(part, trusted)
        values, known = part - plane, trusted
        while not known.all():
            values, filled = replaced(values, known, manner="mean")
            known = known | filled
        smooth.append(plane + ndimage.gaussian_filter(values, SMOOTHING, mode="nearest"))
    return Prediction(grid.centre_y, grid.centre_x, smooth[0], smooth[1])


def undeformed(
    values: FloatArray, known: NDArray[np.bool_], expected: Prediction
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the deformed picture as the reference would see it, were the prediction right.

    Parameters
    ----------
    values : (height, width) float32
    known : (height, width) bool
    expected : Prediction

    Returns
    -------
    values : (height, width) float32
        Cubic interpolation.
    known : (height, width) bool
        Also False where the prediction points out of the picture.
    """
    if not (expected.dy.any() or expected.dx.any()):
        return values, known
    height, width = values.shape
    y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    dy, dx = expected.at(y, x)
    at_y, at_x = (dy + y[:, None]).astype(np.float32), (dx + x).astype(np.float32)
    inside = (at_y >= -0.5) & (at_y <= height - 0.5) & (at_x >= -0.5) & (at_x <= width - 0.5)
    if not known.all():
        unknown = cv2.remap((~known).astype(np.float32), at_x, at_y, cv2.INTER_LINEAR)
        inside &= unknown == 0
    warped = cv2.remap(values, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.where(inside, warped, np.float32(0)), inside


def _between(nodes: Vectors, places: Vectors) -> Vectors:
    """Return (places, nodes): what each node weighs at each place in linear interpolation."""
    left = np.clip(np.searchsorted(nodes, places) - 1, 0, len(nodes) - 2)
    part = (places - nodes[left]) / (nodes[left + 1] - nodes[left])
    weights = np.zeros((len(places), len(nodes)))
    rows = np.arange(len(places))
    weights[rows, left], weights[rows, left + 1] = 1 - part, part
    return weights
