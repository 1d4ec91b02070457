"""Squares of one shape below each other in one picture, so that one call does for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Strip", "strips_of"]

Bytes = NDArray[np.uint8]
Pixel = TypeVar("Pixel", bound=np.generic)

MOST_PIXELS = 2**17  # of a strip: it stays in the cache, and 16 bits number its strokes
GAP = 8  # rows between squares, or
GAP_OF_SIDE = 0.06  # more than half of any window that is moved over a strip


@dataclass(frozen=True)
class Strip:
    """How squares lie in a strip, a picture of (n · pitch, width) pixels.

    Attributes
    ----------
    squares : tuple of int
        Their indices, from top to bottom.
    height, width : int
        Of each.
    """

    squares: tuple[int, ...]
    height: int
    width: int

    @property
    def pitch(self) -> int:
        """Rows from one square to the next."""
        side = min(self.height, self.width)
        return self.height + max(GAP, math.ceil(GAP_OF_SIDE * side))

    def lay(
        self, pictures: Sequence[NDArray[Pixel]] | Mapping[int, NDArray[Pixel]], between: int
    ) -> NDArray[Pixel]:
        """Return the pictures of these squares, out of those of all, in a strip."""
        first = pictures[self.squares[0]]
        rows = np.full((len(self.squares), self.pitch, *first.shape[1:]), between, first.dtype)
        for row, square in zip(rows, self.squares, strict=True):
            row[: self.height] = pictures[square]
        return rows.reshape(-1, *first.shape[1:])

    def each(self, strip: NDArray[Pixel]) -> NDArray[Pixel]:
        """Return the squares of a strip, (n, height, width, …), as a view."""
        return self._rows(strip)[:, : self.height]

    def between(self, strip: NDArray[Pixel]) -> NDArray[Pixel]:
        """Return the rows below each square of a strip, as a view."""
        return self._rows(strip)[:, self.height :]

    def open(self, strip: Bytes, window: tuple[int, int]) -> Bytes:
        """Return the morphological opening of each square; what lies between has no meaning."""
        return np.asarray(cv2.dilate(self.erode(strip, window), np.ones(window, np.uint8)))

    def erode(self, strip: Bytes, window: tuple[int, int]) -> Bytes:
        """Return the erosion of each square, 0 between; changes what lies between in `strip`."""
        self.between(strip)[:] = 255
        eroded = cv2.erode(strip, np.ones(window, np.uint8))
        self.between(eroded)[:] = 0
        return np.asarray(eroded, np.uint8)

    def mirror(self, strip: NDArray[Pixel], reach: int) -> None:
        """Continue each square upwards and downwards by its mirror image, as OpenCV's filters do.

        Above the first, there is no room, and they do so themselves.
        """
        rows = self._rows(strip)
        last = self.height - 2
        rows[:, self.height : self.height + reach] = rows[:, last - reach + 1 : last + 1][:, ::-1]
        rows[:-1, -reach:] = rows[1:, 1 : reach + 1][:, ::-1]

    def _rows(self, strip: NDArray[Pixel]) -> NDArray[Pixel]:
        return strip.reshape(len(self.squares), self.pitch, *strip.shape[1:])


def strips_of(shapes: Sequence[tuple[int, ...]], squares: Sequence[int]) -> Iterator[Strip]:
    """Divide squares into strips, those of different shapes into different ones.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of all squares: height, width, and what else has to agree within a strip.
    squares : sequence of int
        Indices of those to be divided.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for square in squares:
        alike.setdefault(shapes[square], []).append(square)
    for (height, width, *_), own in alike.items():
        most = max(1, MOST_PIXELS // (height * width))
        for first in range(0, len(own), most):
            yield Strip(tuple(own[first : first + most]), height, width)
