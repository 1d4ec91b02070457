"""Subsets of a picture: where they lie, and many of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["SubsetGrid", "subset_grid", "subset_sums", "window_sums", "windows"]


@dataclass(frozen=True, eq=False)
class SubsetGrid:
    """Square subsets of ``block`` pixels on a regular grid.

    ``top`` (rows,) and ``left`` (columns,) int32 are their first pixels.
    """

    block: int
    top: NDArray[np.int32]
    left: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.top) * len(self.left)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of subsets."""
        return len(self.top), len(self.left)

    @property
    def corners(self) -> NDArray[np.int32]:
        """(n, 2) int32: first row and column of each subset in raster order."""
        both = np.meshgrid(self.top, self.left, indexing="ij")
        return np.ascontiguousarray(np.stack(both, axis=-1).reshape(-1, 2))

    @property
    def centre_y(self) -> NDArray[np.float64]:
        """(rows,): top pixel + (block − 1) / 2."""
        return self.top.astype(np.float64) + (self.block - 1) / 2

    @property
    def centre_x(self) -> NDArray[np.float64]:
        """(columns,)."""
        return self.left.astype(np.float64) + (self.block - 1) / 2


def subset_grid(height: int, width: int, *, block: int, step: int) -> SubsetGrid:
    """Return all whole subsets of a picture from its top-left corner on, `step` pixels apart."""
    top, left = (np.arange(0, side - block + 1, step, dtype=np.int32) for side in (height, width))
    return SubsetGrid(block, top, left)


def windows(picture: Any, corners: Any, side: int) -> Any:
    """Cut squares out of a picture.

    Parameters
    ----------
    picture : (height, width) array
    corners : (n, 2) int32
        First row and column of each; the square must lie inside.
    side : int

    Returns
    -------
    (n, side, side) array
        Copies.
    """
    if is_numpy_array(picture):
        return sliding_window_view(picture, (side, side))[corners[:, 0], corners[:, 1]]
    xp = array_namespace(picture)
    along = xp.arange(side, dtype=corners.dtype, device=picture.device)
    row = corners[:, 0][:, None] + along
    column = corners[:, 1][:, None] + along
    place = row[:, :, None] * picture.shape[1] + column[:, None, :]
    values = xp.take(xp.reshape(picture, (-1,)), xp.reshape(place, (-1,)))
    return xp.reshape(values, place.shape)


def window_sums(values: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Return sums over all windows of a picture.

    Parameters
    ----------
    values : (height, width) float32, float64 or bool
    block : int
        Side of a window.

    Returns
    -------
    (height − block + 1, width − block + 1) float64
        At the first pixel of each window.
    """
    rows, columns = (side - block + 1 for side in values.shape)
    plain, size = _plain(values), (block, block)
    sums = cv2.boxFilter(plain, cv2.CV_64F, size, anchor=(0, 0), normalize=False)
    return np.asarray(sums[:rows, :columns])


def subset_sums(values: NDArray[Any], grid: SubsetGrid) -> NDArray[np.float64]:
    """Return (n,) float64: sums of a picture over the subsets of a grid, by its integral image."""
    total = cv2.integral(_plain(values), sdepth=cv2.CV_64F)
    rows = total[grid.top + grid.block] - total[grid.top]
    return np.asarray(rows[:, grid.left + grid.block] - rows[:, grid.left]).ravel()


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that OpenCV takes."""
    return values.view(np.uint8) if values.dtype == np.bool_ else values
