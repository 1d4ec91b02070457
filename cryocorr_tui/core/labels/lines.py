"""Lines of print in the ink of one square, and where they stand on all squares of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.ink import label_type
from cryocorr_tui.core.model import FloatArray

__all__ = ["Line", "Place", "aligned", "find_lines", "places_of"]

LEAST_HEIGHT = 5  # pixels
TALLEST = 0.25  # of the side of the square; frames and particles are taller
WIDEST_SPACE = 1.6  # of the height of the line; further apart are two lines
SAME_FOOT = 2.0  # pixels
ALIGNED = 0.25  # of the height of a digit: half as much as a lost one moves a centred line
FEW = 4  # lines, below which their alignment is not known
MOST = 0.6  # of the lines agree, where they are aligned at all
SAME_HEIGHT = 0.12  # of the height, or one pixel


@dataclass(frozen=True, eq=False)
class Line:
    """One line of print.

    Attributes
    ----------
    square : int
        Index of the square it is printed on.
    left, top, right, bottom : int
        The box around its glyphs, pixels of the square.
    around : (h, w) float32
        Ink of the box with `above` rows above and some below it, and one column on the left (none
        at the edge of the square) and one on the right, 0…1.
    above : int
    inked : (right − left,) bool
        The columns that hold ink.
    head, foot : float
        Where the ink of the first atom begins and ends, fractional rows of the square.
    """

    square: int
    left: int
    top: int
    right: int
    bottom: int
    around: FloatArray
    above: int
    inked: NDArray[np.bool_]
    head: float
    foot: float

    @property
    def ink(self) -> FloatArray:
        """`around` without the columns beside the box, (h, right − left)."""
        before = min(self.left, 1)
        return self.around[:, before : before + self.right - self.left]

    @property
    def rim(self) -> FloatArray:
        """Ink of the box and of one pixel around it, as far as there is one."""
        return self.around[max(self.above - 1, 0) : self.above + self.bottom - self.top + 1]

    @cached_property
    def atoms(self) -> NDArray[np.intp]:
        """First and past-the-last column of each unbroken run of ink, left to right, (n, 2)."""
        padded = np.concatenate([[False], self.inked, [False]])
        edges: NDArray[np.intp] = np.flatnonzero(padded[1:] != padded[:-1])
        return edges.reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Place:
    """Lines that stand at one height of their squares, as a program prints them.

    Attributes
    ----------
    lines : tuple of Line
    digit : float
        Height of a digit in pixels.
    feet : (n,) float
        Base line of each, fractional rows.
    """

    lines: tuple[Line, ...]
    digit: float
    feet: NDArray[np.float64]


def find_lines(ink: FloatArray, square: int, *, full: float, faint: float) -> Iterator[Line]:
    """Find the lines of print in the ink of a square, from top to bottom.

    Parameters
    ----------
    ink : (h, w) float32
        0…1.
    square : int
        Index of the square.
    full : float
        Ink from which on a pixel is part of a glyph.
    faint : float
        Ink below which a column between glyphs is empty.
    """
    side = min(ink.shape)
    inked = (ink > full).view(np.uint8)
    rows = np.flatnonzero(inked.any(axis=1))
    if not len(rows):
        return
    first = int(rows[0])
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        inked[first : rows[-1] + 1], connectivity=8, ltype=label_type(ink.shape)
    )
    x, y, wide, high, _ = stats[1:].T
    frame = (high > TALLEST * side) | ((wide > 0.3 * side) & (high < 0.05 * side))
    # Points and grains between the letters are found with the ink of the line they lie in.
    y = y + first
    boxes = np.stack([y, y + high, x, x + wide], axis=1)[~frame & (high >= LEAST_HEIGHT - 2)]
    for row in _runs(boxes.tolist(), begin=0, gap=0):
        height = _reach(row, 0)
        if not LEAST_HEIGHT <= height <= TALLEST * side:
            continue
        for words in _runs(row, begin=2, gap=WIDEST_SPACE * height):
            if _reach(words, 0) >= LEAST_HEIGHT:
                top, bottom = min(box[0] for box in words), max(box[1] for box in words)
                left, right = min(box[2] for box in words), max(box[3] for box in words)
                yield _line(ink, square, left, top, right, bottom, faint)


def places_of(lines: Sequence[Line], least: float = 1) -> Iterator[Place]:
    """Put lines together that have one base line and one height of digits, most common first.

    Places of fewer lines than `least` are left out.
    """
    feet = np.array([line.foot for line in lines])
    heights = feet - np.array([line.head for line in lines])
    # Most lines lie where too few others do, and need not be compared with all.
    ordered = np.sort(feet)
    beside = np.searchsorted(ordered, feet + SAME_FOOT, "right")
    beside -= np.searchsorted(ordered, feet - SAME_FOOT, "left")
    middles = np.flatnonzero(beside >= least)
    near = (np.abs(feet[middles, None] - feet) <= SAME_FOOT) & (
        np.abs(heights[middles, None] - heights) <= np.maximum(1.0, SAME_HEIGHT * heights)
    )
    while len(middles):
        counts = near.sum(axis=1)
        most = int(counts.argmax())
        if counts[most] < least:
            return
        best = near[most].copy()
        own = feet[best]
        foot, digit = float(np.median(own)), float(np.median(heights[best]))
        # Squares may lie a part of a pixel off; a larger difference is a first glyph that hangs.
        members = tuple(line for line, near_by in zip(lines, best, strict=True) if near_by)
        yield Place(members, digit, np.where(np.abs(own - foot) <= 1.0, own, foot))
        near &= ~best
        near[best[middles]] = False


def aligned(place: Place) -> NDArray[np.bool_]:
    """Say of each line of a place whether it is aligned as most are: left, centred or right.

    Of a line that is not, a glyph at one end was overlooked, or something else was taken for one.
    All are, where too few lines stand there or most agree in none of the three.
    """
    edges = np.array([(line.left, line.right) for line in place.lines], np.float64)
    everywhere = np.ones(len(edges), bool)
    if len(edges) < FEW:
        return everywhere
    marks = np.stack([edges[:, 0], edges.mean(axis=1), edges[:, 1]], axis=1)
    off = np.abs(marks - np.median(marks, axis=0))
    agree = off <= max(ALIGNED * place.digit, 1.0)
    best = agree[:, int(agree.sum(axis=0).argmax())]
    return best if best.mean() >= MOST else everywhere


def _line(
    ink: FloatArray, square: int, left: int, top: int, right: int, bottom: int, faint: float
) -> Line:
    beside = (bottom - top) // 2  # where a faint glyph would be lost otherwise
    left, right = max(left - beside, 0), min(right + beside, ink.shape[1])
    inked = ink[top:bottom, left:right].max(axis=0) > faint
    left, right = left + int(inked.argmax()), right - int(inked[::-1].argmax())
    inked = inked[inked.argmax() : len(inked) - inked[::-1].argmax()]
    above = min(top, (bottom - top) // 2)
    around = ink[top - above : bottom + (bottom - top) // 2, max(left - 1, 0) : right + 1].copy()
    first = left + (int(inked.argmin()) or len(inked))  # where the first atom ends
    start = max(top - 1, 0)
    head, foot = _extent(ink[start : bottom + 1, left:first].max(axis=1).tolist())
    return Line(square, left, top, right, bottom, around, above, inked, start + head, start + foot)


def _runs(boxes: list[list[int]], *, begin: int, gap: float) -> list[list[list[int]]]:
    """Split boxes (top, bottom, left, right) where an axis shows more than `gap` empty pixels.

    Lists rather than arrays: there are few boxes, and there are many squares.
    """
    runs: list[list[list[int]]] = []
    reach = -math.inf
    for box in sorted(boxes, key=lambda box: box[begin]):
        if box[begin] > reach + gap:
            runs.append([])
        runs[-1].append(box)
        reach = max(reach, box[begin + 1])
    return runs


def _reach(boxes: list[list[int]], begin: int) -> int:
    """Return how far boxes reach along an axis."""
    return max(box[begin + 1] for box in boxes) - min(box[begin] for box in boxes)


def _extent(profile: list[float]) -> tuple[float, float]:
    """Return where ink begins and ends along a profile; pixel k reaches from k to k + 1."""
    full = max(profile)
    inside = [k for k, ink in enumerate(profile) if ink >= 0.5 * full]
    first, last = inside[0], inside[-1]
    # A pixel that ink covers by a part shows that part.
    above = sum(profile[max(first - 1, 0) : first + 1]) / full
    below = sum(profile[last : last + 2]) / full
    return first + 1 - above, last + below
