"""A lattice of equal boxes: what a montage is once its rows and columns are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "Cells", "Lattice"]

Boxes = NDArray[np.float64]  # (n, 4) x0, y0, x1, y1
Cells = NDArray[np.intp]  # (n, 2) row, column

LEAST_VISIBLE = 0.1  # of a side: a cell of which less lies in the picture does not count


@dataclass(frozen=True)
class Lattice:
    """Boxes of one size: cell (row, column) begins at ``(y + row·pitch_y, x + column·pitch_x)``.

    All in pixels, sub-pixel.
    """

    x: float
    y: float
    pitch_x: float
    pitch_y: float
    width: float
    height: float

    @classmethod
    def through(cls, boxes: Boxes, cells: Cells) -> Lattice:
        """Fit a lattice to boxes of known row and column, by least squares of their centres.

        One row says nothing of its distance to the next: the gap is then that of the columns.
        """
        width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
        pitch_x, x = _line_through(cells[:, 1], boxes[:, 0::2].mean(axis=1))
        pitch_y, y = _line_through(cells[:, 0], boxes[:, 1::2].mean(axis=1))
        if math.isnan(pitch_x):
            pitch_x = width if math.isnan(pitch_y) else width + pitch_y - height
        if math.isnan(pitch_y):
            pitch_y = height + pitch_x - width
        corner = float(x - width / 2), float(y - height / 2)
        return cls(*corner, float(pitch_x), float(pitch_y), float(width), float(height))

    def boxes(self, cells: Cells) -> Boxes:
        """Return the boxes of cells."""
        x0 = self.x + cells[:, 1] * self.pitch_x
        y0 = self.y + cells[:, 0] * self.pitch_y
        return np.stack([x0, y0, x0 + self.width, y0 + self.height], axis=1)

    def cells_within(self, shape: tuple[int, ...]) -> Cells:
        """Return every cell that lies in a picture of `shape`, even in part."""
        rows = _indices(self.y, self.pitch_y, self.height, shape[0])
        columns = _indices(self.x, self.pitch_x, self.width, shape[1])
        row, column = np.meshgrid(rows, columns, indexing="ij")
        return np.stack([row.ravel(), column.ravel()], axis=1).astype(np.intp)

    def grown(self, pixels: float) -> Lattice:
        """Return the same lattice of boxes that are larger by `pixels` on each side."""
        return replace(
            self,
            x=self.x - pixels,
            y=self.y - pixels,
            width=self.width + 2 * pixels,
            height=self.height + 2 * pixels,
        )

    def scaled(self, factor: float) -> Lattice:
        """Return the same lattice in a picture that is `factor` times larger."""
        return Lattice(
            self.x * factor,
            self.y * factor,
            self.pitch_x * factor,
            self.pitch_y * factor,
            self.width * factor,
            self.height * factor,
        )


def _line_through(index: NDArray[np.intp], centre: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and origin of centre against index; the slope is NaN for a single index."""
    if np.ptp(index) == 0:
        return math.nan, float(np.median(centre))
    slope, origin = np.polyfit(index, centre, 1)
    return float(slope), float(origin)


def _indices(origin: float, pitch: float, side: float, length: int) -> NDArray[np.intp]:
    hidden = (1.0 - LEAST_VISIBLE) * side
    first = math.ceil((-hidden - origin) / pitch)
    last = math.floor((length - LEAST_VISIBLE * side - origin) / pitch)
    return np.arange(first, last + 1)
