"""Lines of print in the ink of one square, and where they stand on all squares of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
    ink : (h, right − left) float32
        Ink of the box and of `above` rows above and some below it, 0…1.
    above : int
    atoms : (n, 2) int
        First and past-the-last column of `ink` of each unbroken run of ink, from left to right.
    head, foot : float
        Where the ink of the first atom begins and ends, fractional rows of the square.
    """

    square: int
    left: int
    top: int
    right: int
    bottom: int
    ink: FloatArray
    above: int
    atoms: NDArray[np.intp]
    head: float
    foot: float


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
    inked = (ink > full).astype(np.uint8)
    rows = np.flatnonzero(inked.any(axis=1))
    if not len(rows):
        return
    first = int(rows[0])
    _, _, stats, _ = cv2.connectedComponentsWithStats(inked[first : rows[-1] + 1], connectivity=8)
    x, y, wide, high, _ = (stats[1:, column] for column in range(5))
    frame = (high > TALLEST * side) | ((wide > 0.3 * side) & (high < 0.05 * side))
    # Points and grains between the letters are found with the ink of the line they lie in.
    y = y + first
    boxes = np.stack([y, y + high, x, x + wide], axis=1)[~frame & (high >= LEAST_HEIGHT - 2)]
    for row in _runs(boxes, axis=0, gap=0):
        height = row[:, 1].max() - row[:, 0].min()
        if not LEAST_HEIGHT <= height <= TALLEST * side:
            continue
        for words in _runs(row, axis=1, gap=WIDEST_SPACE * height):
            top, bottom = int(words[:, 0].min()), int(words[:, 1].max())
            if bottom - top >= LEAST_HEIGHT:
                yield _line(
                    ink, square, int(words[:, 2].min()), top, int(words[:, 3].max()), bottom, faint
                )


def places_of(lines: Sequence[Line]) -> list[Place]:
    """Put lines together that have one base line and one height of digits, most common first."""
    left = list(lines)
    places = []
    while left:
        feet = np.array([line.foot for line in left])
        heights = np.array([line.foot - line.head for line in left])
        near = (np.abs(feet[:, None] - feet) <= SAME_FOOT) & (
            np.abs(heights[:, None] - heights) <= np.maximum(1.0, SAME_HEIGHT * heights)
        )
        best = near[int(np.argmax(near.sum(axis=1)))]
        foot, digit = float(np.median(feet[best])), float(np.median(heights[best]))
        # Squares may lie a part of a pixel off; a larger difference is a first glyph that hangs.
        feet = np.where(np.abs(feet - foot) <= 1.0, feet, foot)
        members = tuple(line for line, own in zip(left, best, strict=True) if own)
        places.append(Place(members, digit, feet[best]))
        left = [line for line, own in zip(left, best, strict=True) if not own]
    return places


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
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inked, [False]]).astype(np.int8)))
    atoms = edges.reshape(-1, 2)
    above = min(top, (bottom - top) // 2)
    part = ink[top - above : bottom + (bottom - top) // 2, left:right].copy()
    start = max(above - 1, 0)
    first = part[start : above + bottom - top + 1, atoms[0, 0] : atoms[0, 1]].max(axis=1)
    head, foot = (edge + start + top - above for edge in _extent(first))
    return Line(square, left, top, right, bottom, part, above, atoms, head, foot)


def _runs(boxes: NDArray[np.integer], *, axis: int, gap: float) -> Iterator[NDArray[np.integer]]:
    """Split boxes (top, bottom, left, right) where an axis shows more than `gap` empty pixels."""
    if not len(boxes):
        return
    boxes = boxes[np.argsort(boxes[:, 2 * axis], kind="stable")]
    reach = np.maximum.accumulate(boxes[:, 2 * axis + 1])
    yield from np.split(boxes, np.flatnonzero(boxes[1:, 2 * axis] > reach[:-1] + gap) + 1)


def _extent(profile: FloatArray) -> tuple[float, float]:
    """Return where ink begins and ends along a profile; pixel k reaches from k to k + 1."""
    share = profile / profile.max()
    inside = np.flatnonzero(share >= 0.5)
    first, last = int(inside[0]), int(inside[-1])
    # A pixel that ink covers by a part shows that part.
    above = float(share[first]) + (float(share[first - 1]) if first else 0.0)
    below = float(share[last]) + (float(share[last + 1]) if last + 1 < len(share) else 0.0)
    return first + 1 - above, last + below
