"""Which part of a picture is seen, in which cells, and with which pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["View", "Viewport"]


@dataclass(frozen=True)
class View:
    """A way to look at a picture.

    Attributes
    ----------
    centre_y, centre_x : float
        The point in the middle, in pixels of the picture; (0, 0) is the outer corner of its first
        pixel. Where the part seen would reach beyond the picture, it is moved back inside.
    zoom : float
        1 shows the whole picture as large as it fits, 2 the half of its height and width.
    """

    centre_y: float
    centre_x: float
    zoom: float = 1.0


@dataclass(frozen=True)
class Viewport:
    """A part of a picture and the cells that show it.

    Attributes
    ----------
    y, x, height, width : int
        The part, in pixels of the picture.
    top, left, rows, columns : int
        The cells, within the room there is.
    """

    y: int
    x: int
    height: int
    width: int
    top: int
    left: int
    rows: int
    columns: int

    @classmethod
    def fit(
        cls,
        shape: tuple[int, ...],
        view: View | None,
        *,
        rows: int,
        columns: int,
        cell: tuple[float, float],
    ) -> Viewport:
        """Place a picture in the middle of the room, its aspect kept to within half a cell.

        Parameters
        ----------
        shape : (height, width, ...)
            Of the picture; neither is 0.
        view : View or None
            None shows the whole picture.
        rows, columns : int
            The room, at least one cell.
        cell : (height, width)
            Of a cell, in any unit.
        """
        height, width = shape[:2]
        room = rows * cell[0], columns * cell[1]
        view = view or View(height / 2, width / 2)
        scale = min(room[0] / height, room[1] / width) * max(view.zoom, 1e-6)
        seen_height = min(max(round(room[0] / scale), 1), height)
        seen_width = min(max(round(room[1] / scale), 1), width)
        # Again from whole pixels: so their rounding moves a border, but distorts nothing.
        scale = min(room[0] / seen_height, room[1] / seen_width, scale)
        used_rows = min(max(round(seen_height * scale / cell[0]), 1), rows)
        used_columns = min(max(round(seen_width * scale / cell[1]), 1), columns)
        return cls(
            y=min(max(round(view.centre_y - seen_height / 2), 0), height - seen_height),
            x=min(max(round(view.centre_x - seen_width / 2), 0), width - seen_width),
            height=seen_height,
            width=seen_width,
            top=(rows - used_rows) // 2,
            left=(columns - used_columns) // 2,
            rows=used_rows,
            columns=used_columns,
        )

    def sample(self, image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        """Return the part at a given size.

        Parameters
        ----------
        image : ndarray, (h, w) or (h, w, 3) uint8
            The picture; grey stays grey.
        height, width : int
            In pixels.

        Returns
        -------
        ndarray, (height, width) or (height, width, 3) uint8
        """
        part = image[self.y : self.y + self.height, self.x : self.x + self.width]
        # Smaller: means, since a cubic filter would alias. Larger: smooth, since a class average
        # is band-limited, and the squares of the nearest pixel are detail that it does not have.
        smaller = height * width < self.height * self.width
        import cv2  # slow to load: the first frame has no picture

        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=how)
        return cast("NDArray[np.uint8]", resized)
