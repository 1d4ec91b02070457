"""Squares of a montage, corrected by hand: dropped, added, moved, resized, and all that undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import Square

__all__ = ["EditedSquares", "free_place", "moved", "neighbour", "resized"]

SMALLEST = 8.0  # pixels
OVERLAP = 0.25  # of a square's side, from which on another square is in its place


class EditedSquares:
    """The squares of one montage; each change may be taken back.

    Parameters
    ----------
    squares : sequence of Square
        As they were found.
    height, width : int
        Of the montage in pixels; squares stay inside.
    bottom_up : bool
        Count rows from the bottom.
    """

    def __init__(
        self, squares: Sequence[Square], height: int, width: int, *, bottom_up: bool = False
    ) -> None:
        self._history = [tuple(squares)]
        self._shape = height, width
        self._bottom_up = bottom_up

    @property
    def squares(self) -> tuple[Square, ...]:
        """As they are now. What is printed on a changed one is not known (``labels`` is None)."""
        return self._history[-1]

    @property
    def can_undo(self) -> bool:
        """Whether anything was changed."""
        return len(self._history) > 1

    def drop(self, k: int) -> None:
        """Leave square `k` out."""
        self._history.append(self.squares[:k] + self.squares[k + 1 :])

    def add(self, square: Square) -> int:
        """Put a square at its place in reading order, and return its index."""
        before = [self._comes_before(other, square) for other in self.squares]
        k = max((index + 1 for index, is_before in enumerate(before) if is_before), default=0)
        self._history.append((*self.squares[:k], square, *self.squares[k:]))
        return k

    def move(self, k: int, dy: float, dx: float) -> None:
        """Move square `k` by pixels."""
        self._change(k, moved(self.squares[k], dy, dx, self._shape))

    def resize(self, k: int, by: float) -> None:
        """Make the sides of square `k` longer by pixels, about its centre."""
        self._change(k, resized(self.squares[k], by, self._shape))

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        if not self.can_undo:
            return False
        self._history.pop()
        return True

    def _change(self, k: int, square: Square) -> None:
        changed = list(self.squares)
        changed[k] = square
        self._history.append(tuple(changed))

    def _comes_before(self, first: Square, second: Square) -> bool:
        down = _centre(second)[0] - _centre(first)[0]
        if abs(down) < second.height / 2:
            return first.x < second.x
        return (down > 0) != self._bottom_up


def moved(square: Square, dy: float, dx: float, shape: tuple[int, int]) -> Square:
    """Return a square elsewhere, inside a picture of `shape` (height, width)."""
    return _placed(square, square.y + dy, square.x + dx, square.height, square.width, shape)


def resized(square: Square, by: float, shape: tuple[int, int]) -> Square:
    """Return a square with sides longer by `by` pixels, about its centre and inside a picture."""
    height = float(np.clip(square.height + by, SMALLEST, shape[0]))
    width = float(np.clip(square.width + by, SMALLEST, shape[1]))
    y = square.y + (square.height - height) / 2
    x = square.x + (square.width - width) / 2
    return _placed(square, y, x, height, width, shape)


def _placed(
    square: Square, y: float, x: float, height: float, width: float, shape: tuple[int, int]
) -> Square:
    """Return a square at a place that the user vouches for; what was known of it is forgotten."""
    return replace(
        square,
        y=float(np.clip(y, 0, max(shape[0] - height, 0))),
        x=float(np.clip(x, 0, max(shape[1] - width, 0))),
        height=height,
        width=width,
        confidence=1.0,
        cut=False,
        labels=None,
        hit=None,
    )


def free_place(squares: Sequence[Square], shape: tuple[int, int]) -> Square:
    """Return a square of the common size at the first free place of their rows and columns.

    Where all places are taken, and where there are no squares, it stands in the middle of the
    picture of `shape` (height, width).
    """
    if not squares:
        side = float(max(min(shape) / 4, SMALLEST))
        return Square((shape[1] - side) / 2, (shape[0] - side) / 2, side, side, confidence=1.0)
    height = float(np.median([square.height for square in squares]))
    width = float(np.median([square.width for square in squares]))
    rows = _lines(np.array([square.y for square in squares]), height)
    columns = _lines(np.array([square.x for square in squares]), width)
    for y in rows:
        for x in columns:
            inside = y + height <= shape[0] and x + width <= shape[1]
            if inside and not any(
                abs(other.y - y) < (1 - OVERLAP) * height
                and abs(other.x - x) < (1 - OVERLAP) * width
                for other in squares
            ):
                return Square(x, y, width, height, confidence=1.0)
    middle = Square(0.0, 0.0, width, height, confidence=1.0)
    return moved(middle, (shape[0] - height) / 2, (shape[1] - width) / 2, shape)


def _lines(places: NDArray[np.float64], side: float) -> list[float]:
    """Return the rows, or the columns, in which squares stand."""
    ordered = np.sort(places)
    breaks = np.flatnonzero(np.diff(ordered) > side / 2) + 1
    return [float(np.median(line)) for line in np.split(ordered, breaks)]


def neighbour(squares: Sequence[Square], k: int, dy: int, dx: int) -> int:
    """Return the square nearest to square `k` in a direction; `k` itself where there is none.

    Parameters
    ----------
    squares : sequence of Square
    k : int
    dy, dx : int
        −1, 0 or 1, one of them 0.
    """
    centres = np.array([_centre(square) for square in squares])
    step = centres - centres[k]
    along = step @ [dy, dx]
    across = np.abs(step @ [dx, dy])
    reach = (squares[k].height if dy else squares[k].width) / 2
    ahead = np.flatnonzero(along > reach)
    if not ahead.size:
        return k
    return int(ahead[np.argmin(along[ahead] + 3 * across[ahead])])


def _centre(square: Square) -> tuple[float, float]:
    return square.y + square.height / 2, square.x + square.width / 2
