"""Lines of print in the ink of one square, and where they stand on all squares of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.ink import label_type
from cryocorr_tui.core.labels.strips import Strip
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


def find_lines(ink: FloatArray, strip: Strip, *, full: float, faint: float) -> list[Line]:
    """Find the lines of print in the ink of squares, from top to bottom of each.

    Parameters
    ----------
    ink : (n · pitch, width) float32
        0…1, of a strip of squares; 0 between them.
    strip : Strip
    full : float
        Ink from which on a pixel is part of a glyph.
    faint : float
        Ink below which a column between glyphs is empty.
    """
    side = min(strip.height, strip.width)
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        (ink > full).view(np.uint8), connectivity=8, ltype=label_type(ink.shape)
    )
    x, y, wide, high, _ = stats[1:].T
    frame = (high > TALLEST * side) | ((wide > 0.3 * side) & (high < 0.05 * side))
    # Points and grains between the letters are found with the ink of the line they lie in.
    glyph = ~frame & (high >= LEAST_HEIGHT - 2)
    boxes = np.stack([x, y, x + wide, y + high])[:, glyph]
    boxes = boxes[:, np.argsort(boxes[1])]
    row = _runs(boxes[1], boxes[3])
    _, top, _, bottom = _boxes_around(boxes, row)
    height = (bottom - top)[row]
    plausible = (height >= LEAST_HEIGHT) & (height <= TALLEST * side)
    boxes, row, height = boxes[:, plausible], row[plausible], height[plausible]
    order = np.argsort(row * strip.width + boxes[0])
    boxes, row, height = boxes[:, order], row[order], height[order]
    apart = row * (3 * strip.width)  # rows in turn, where no run reaches from one to the next
    word = _runs(boxes[0] + apart, boxes[2] + apart, WIDEST_SPACE * height)
    boxes = _boxes_around(boxes, word)
    return _lines(ink, strip, boxes[:, boxes[3] - boxes[1] >= LEAST_HEIGHT], faint)


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


def _runs(
    begin: NDArray[np.integer],
    end: NDArray[np.integer],
    gap: float | NDArray[np.floating] = 0.0,
) -> NDArray[np.intp]:
    """Return which run each stretch is in: stretches less than `gap` apart, ordered by begin."""
    reach = np.maximum.accumulate(end)
    new = begin > np.concatenate([begin[:1], reach[:-1]]) + gap
    return np.cumsum(new)


def _boxes_around(boxes: NDArray[np.integer], run: NDArray[np.intp]) -> NDArray[np.integer]:
    """Return left, top, right and bottom, (4, n), of each run of boxes, ordered by run."""
    first = np.flatnonzero(np.diff(run, prepend=-1))
    if not len(first):
        return boxes
    least = np.minimum.reduceat(boxes[:2], first, axis=1)
    return np.concatenate([least, np.maximum.reduceat(boxes[2:], first, axis=1)])


def _lines(ink: FloatArray, strip: Strip, boxes: NDArray[np.integer], faint: float) -> list[Line]:
    """Return the lines in boxes of a strip, each as wide as its ink."""
    left, top, right, bottom = boxes
    beside = (bottom - top) // 2  # where a faint glyph would be lost otherwise
    left, right = np.maximum(left - beside, 0), np.minimum(right + beside, strip.width)
    densest = np.zeros((len(top), strip.width), np.float32)
    for line, (x0, y0, x1, y1) in zip(densest, _each(left, top, right, bottom), strict=True):
        np.maximum.reduce(ink[y0:y1, x0:x1], axis=0, out=line[x0:x1])
    inked = densest > faint
    left, right = inked.argmax(axis=1), strip.width - inked[:, ::-1].argmax(axis=1)
    empty = ~inked & (np.arange(strip.width) > left[:, None])
    past_atom = np.where(empty.any(axis=1), empty.argmax(axis=1), strip.width)
    number = top // strip.pitch
    offset = number * strip.pitch
    head, foot = _extents(ink, left, np.maximum(top - 1, 0), past_atom, bottom + 1) - offset
    above = np.minimum(top - offset, beside)
    below = np.minimum(bottom + beside, offset + strip.height)
    around = _each(np.maximum(left - 1, 0), top - above, right + 1, below)
    return [
        Line(
            strip.squares[number],
            *(x0, y0, x1, y1),
            around=ink[up:down, west:east].copy(),
            above=over,
            inked=columns[x0:x1],
            head=begin,
            foot=end,
        )
        for number, (x0, y0, x1, y1), (west, up, east, down), over, columns, begin, end in zip(
            number.tolist(),
            _each(left, top - offset, right, bottom - offset),
            around,
            above.tolist(),
            inked,
            head.tolist(),
            foot.tolist(),
            strict=True,
        )
    ]


def _each(*edges: NDArray[np.integer]) -> list[list[int]]:
    return [list(box) for box in zip(*(edge.tolist() for edge in edges), strict=True)]


def _extents(
    ink: FloatArray,
    left: NDArray[np.integer],
    top: NDArray[np.integer],
    right: NDArray[np.integer],
    bottom: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Return (2, n): where the ink of each box begins and ends; row k reaches from k to k + 1."""
    # A row without ink on either side.
    profile = np.zeros((len(top), int((bottom - top).max(initial=0)) + 2))
    for line, (x0, y0, x1, y1) in zip(profile, _each(left, top, right, bottom), strict=True):
        line[1 : 1 + y1 - y0] = np.maximum.reduce(ink[y0:y1, x0:x1], axis=1)
    full = profile.max(axis=1)
    inside = profile >= 0.5 * full[:, None]
    own = np.arange(len(profile))
    first = inside.argmax(axis=1)
    last = profile.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    # A row that ink covers by a part shows that part.
    above = (profile[own, first - 1] + profile[own, first]) / full
    below = (profile[own, last] + profile[own, last + 1]) / full
    return np.stack([top + first - above, top + (last - 1 + below)])
