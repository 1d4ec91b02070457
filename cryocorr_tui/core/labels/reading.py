"""Printed lines into glyphs, by correlation with known ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.glyphs import ABOVE, BELOW, DIGIT, WIDE, GlyphBank, glyph_bank, unit
from cryocorr_tui.core.labels.lines import Place
from cryocorr_tui.core.model import FloatArray

__all__ = ["Glyph", "read_place"]

SLIPS = (-1, 0, 1)  # rows by which a base line may be measured wrongly
LEAST_DIGIT = 6.0  # pixels; in smaller print 6 and 8 are one
SAMPLE = 8  # lines of a place that tell its font
AT_ONCE = 16  # lines whose pictures fit the cache
THINNEST, THICKEST = 0.08, 1.4  # widths of a glyph in heights of a digit
LEAST_FIT = 0.8  # mean correlation of the lines of a place with one font; print has more
RIM = 0.5  # pixels, the soft end of a glyph
VALLEY = 0.92  # of the ink on both sides: where touching glyphs may be cut
COST = 0.02  # of a glyph, in heights of a digit: two halves must fit clearly better than the whole


class Glyph(NamedTuple):
    """One glyph as read.

    Attributes
    ----------
    character : str
        What it looks like most.
    digit : str
        The digit, or the point, that it looks like most.
    residue : float
        Share of the picture that `digit` leaves unexplained, 0…1.
    rivalry : float
        What the next digit leaves unexplained in terms of `residue`: the larger, the surer.
    doubt : float
        `residue` in terms of what `character` leaves unexplained; 1 where they are the same.
    left, right : float
        Where its ink begins and ends along the line, in heights of a digit.
    """

    character: str
    digit: str
    residue: float
    rivalry: float
    doubt: float
    left: float
    right: float


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Stretches of lines that may be one glyph each, ordered by where they end, then begin.

    Attributes
    ----------
    cuts : (c,) int
        Columns of their line where glyphs may begin or end: those of each atom, in turn.
    starts : (c,) bool
        Whether a cut is where an atom begins.
    atoms : (lines,) int
        How many atoms each line has.
    first, last : (n,) int
        The cuts between which a piece lies.
    line : (n,) int
        The line that it is part of.
    """

    cuts: NDArray[np.intp]
    starts: NDArray[np.bool_]
    atoms: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    line: NDArray[np.intp]

    @property
    def spans(self) -> NDArray[np.intp]:
        """First and past-the-last column of each piece, (n, 2)."""
        return np.stack([self.cuts[self.first], self.cuts[self.last]], axis=1)

    @property
    def ends(self) -> NDArray[np.intp]:
        """The last cut of each atom."""
        return np.flatnonzero(np.append(self.starts[1:], True))


def read_place(place: Place) -> list[tuple[Glyph, ...]]:
    """Read the lines of one place, which were drawn in one font, it is assumed.

    Returns
    -------
    list of tuple of Glyph
        For each line its glyphs from left to right, without spaces; none of print that is too
        small.
    """
    unread: list[tuple[Glyph, ...]] = [() for _ in place.lines]
    if place.digit < LEAST_DIGIT:
        return unread
    bank = glyph_bank(place.digit)
    fits = _fits(_some(place, 0, SAMPLE), bank)
    if fits.max() < LEAST_FIT:
        return unread
    slip, font = np.unravel_index(int(fits.argmax()), fits.shape)
    own = bank.of_font(int(font))
    return [
        line
        for first in range(0, len(place.lines), AT_ONCE)
        for line in _decode(_some(place, first, first + AT_ONCE), own, SLIPS[slip])
    ]


def _some(place: Place, first: int, last: int) -> Place:
    return Place(place.lines[first:last], place.digit, place.feet[first:last])


def _pieces(place: Place) -> _Pieces:
    """Return the pieces of all lines of a place."""
    atoms = np.concatenate([line.atoms for line in place.lines])
    count = np.array([len(line.atoms) for line in place.lines])
    line_of = np.repeat(np.arange(len(count)), count)
    inside, valleys = _valleys(place, atoms, line_of)
    number = np.concatenate([np.repeat(np.arange(len(atoms)), 2), inside])
    cuts = np.concatenate([atoms.ravel(), valleys])
    order = np.lexsort((cuts, number))
    cuts, number = cuts[order], number[order]
    first, last = [], []
    for apart in range(1, len(cuts)):
        begin = np.flatnonzero(number[apart:] == number[:-apart])
        if not len(begin):
            break
        width = cuts[begin + apart] - cuts[begin]
        if apart > 1:
            digits = width / place.digit
            begin = begin[(digits >= THINNEST) & (digits <= THICKEST)]
        first.append(begin)
        last.append(begin + apart)
    begin, end = np.concatenate(first), np.concatenate(last)
    order = np.lexsort((begin, end))
    begin, end = begin[order], end[order]
    starts = np.diff(number, prepend=-1) > 0
    return _Pieces(cuts, starts, count, begin, end, line_of[number[begin]])


def _valleys(
    place: Place, atoms: NDArray[np.intp], line_of: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where atoms wider than a glyph are thinner than on both sides: atoms and columns."""
    wide = np.flatnonzero(atoms[:, 1] - atoms[:, 0] > 0.5 * place.digit)
    if not len(wide):
        return wide, wide
    columns = [
        line.ink[line.above : line.above + line.bottom - line.top].sum(axis=0)
        for line in place.lines
    ]
    ink = np.zeros((len(wide), int((atoms[wide, 1] - atoms[wide, 0]).max())), np.float32)
    for row, line, (left, right) in zip(
        ink, line_of[wide].tolist(), atoms[wide].tolist(), strict=True
    ):
        row[: right - left] = columns[line][left:right]
    before = np.maximum.accumulate(ink, axis=1)[:, :-2]
    after = np.maximum.accumulate(ink[:, ::-1], axis=1)[:, -3::-1]
    here = ink[:, 1:-1]
    thin = here <= np.minimum(ink[:, :-2], ink[:, 2:])
    # Past its end, the ink of an atom is 0, and so is what follows.
    thin &= here < VALLEY * np.minimum(before, after).astype(np.float64)
    atom, column = np.nonzero(thin)
    return wide[atom], atoms[wide[atom], 0] + column + 1


def _pictures(place: Place, pieces: _Pieces, slip: int) -> FloatArray:
    """Return pieces of the lines of a place as pictures of glyphs, standardised.

    Digits are `DIGIT` rows high there and stand on the row of their line's foot, if that is `slip`
    rows off.
    """
    pixels = place.digit / DIGIT  # per row or column of a picture
    ink = _stacked([line.ink for line in place.lines])
    # Distances are from the pixels' edges; the centre of pixel k lies at k + 0.5.
    weight = ink.sum(axis=1)
    moment = weight * (np.arange(ink.shape[2]) + 0.5)
    sums = np.zeros((2, len(weight), weight.shape[1] + 1))
    np.cumsum([weight, moment], axis=2, out=sums[..., 1:])
    spans = pieces.spans
    weights, moments = sums[:, pieces.line, spans[:, 1]] - sums[:, pieces.line, spans[:, 0]]
    centre = moments / np.maximum(weights, 1e-6)
    base = place.feet - slip * pixels - [line.top - line.above for line in place.lines]
    down = (np.arange(ABOVE + DIGIT + BELOW) + 0.5 - ABOVE - DIGIT) * pixels + base[:, None] - 0.5
    across = (np.arange(WIDE) + 0.5 - WIDE / 2) * pixels + centre[:, None] - 0.5
    if pixels > 1.25:  # else pixels would be skipped
        ink = _stacked([_softened(line.ink, pixels) for line in place.lines])
    rows = np.maximum(0, 1 - np.abs(down[..., None] - np.arange(ink.shape[1]))).astype(np.float32)
    columns = (rows @ ink).swapaxes(1, 2).reshape(-1, down.shape[1])
    left = np.floor(across).astype(np.intp)
    share = (across - left).astype(np.float32)
    start = pieces.line[:, None] * ink.shape[2]
    nearest = []
    for column, part in ((left, 1 - share), (left + 1, share)):
        part[(column < spans[:, :1]) | (column >= spans[:, 1:])] = 0
        nearest.append(columns.take(start + column, axis=0, mode="clip"))
        nearest[-1] *= part[..., None]
    before, after = nearest
    before += after
    return unit(before)


def _stacked(parts: Sequence[FloatArray]) -> FloatArray:
    """Return (n, h, w): parts of any shape, 0 below and to the right of them."""
    height, width = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    stack = np.zeros((len(parts), height, width), np.float32)
    for room, part in zip(stack, parts, strict=True):
        room[: part.shape[0], : part.shape[1]] = part
    return stack


def _softened(ink: FloatArray, pixels: float) -> FloatArray:
    soft = cv2.GaussianBlur(ink, (0, 0), 0.4 * pixels, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft, np.float32)


def _fits(place: Place, bank: GlyphBank) -> FloatArray:
    """Return (slips, fonts): how well lines can be read, mean correlation."""
    pieces = _pieces(place)
    fonts = int(bank.fonts.max()) + 1
    scores = np.concatenate(
        [
            (_pictures(place, pieces, slip) @ bank.vectors.T)
            .reshape(len(pieces.line), fonts, -1)
            .max(axis=2)
            for slip in SLIPS
        ],
        axis=1,
    )
    value, _ = _best(pieces, scores, place.digit)
    ends = pieces.ends
    first = np.cumsum(pieces.atoms) - pieces.atoms
    inked = np.add.reduceat(pieces.cuts[ends] - pieces.cuts[pieces.starts], first)
    fits = np.add.reduceat(value[ends], first) / inked[:, None]
    return np.asarray(fits.mean(axis=0).reshape(len(SLIPS), fonts), np.float32)


def _decode(place: Place, bank: GlyphBank, slip: int) -> list[tuple[Glyph, ...]]:
    numeric = np.flatnonzero(np.char.isdigit(bank.characters) | (bank.characters == "."))
    pieces = _pieces(place)
    scores = _pictures(place, pieces, slip) @ bank.vectors.T
    _, into = _best(pieces, scores.max(axis=1)[:, None], place.digit)
    path = _path(pieces, into)
    # At either end of a glyph a pixel is inked in part.
    ends = (pieces.spans[path] + (RIM, -RIM)) / place.digit
    unexplained = np.maximum(1 - np.maximum(scores[path], 0) ** 2, 1e-3).astype(np.float64)
    order = numeric[np.argsort(unexplained[:, numeric], axis=1)[:, :2]]
    best = unexplained.argmin(axis=1)
    residue, rival = np.take_along_axis(unexplained, order, axis=1).T
    glyphs = list(
        map(
            Glyph,
            bank.characters[best].tolist(),
            bank.characters[order[:, 0]].tolist(),
            residue.tolist(),
            (rival / residue).tolist(),
            (residue / unexplained.min(axis=1)).tolist(),
            *ends.T.tolist(),
        )
    )
    count = np.bincount(pieces.line[path], minlength=len(place.lines)).tolist()
    return [tuple(islice(rest, n)) for rest in [iter(glyphs)] for n in count]


def _best(
    pieces: _Pieces, scores: FloatArray, digit: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Divide atoms into the glyphs that explain them best.

    Parameters
    ----------
    pieces : _Pieces
    scores : (pieces, n) float32
        In n readings.
    digit : float

    Returns
    -------
    (cuts, n) float64
        Score by width of what explains an atom best up to each cut, less the glyphs' costs.
    (cuts,) int
        The last piece of it in the first reading; −1 where an atom begins.
    """
    gain = scores * np.diff(pieces.spans, axis=1) - COST * digit
    value = np.where(pieces.starts[:, None], 0.0, np.full(scores.shape[1], -math.inf))
    into = np.full(len(value), -1)
    begin = np.flatnonzero(pieces.starts)
    place_in_atom = np.arange(len(value)) - np.repeat(begin, np.diff(begin, append=len(value)))
    step = place_in_atom[pieces.last]
    for number in range(1, int(step.max()) + 1):
        own = np.flatnonzero(step == number)
        reached = value[pieces.first[own]] + gain[own]
        last = pieces.last[own]
        groups = np.flatnonzero(np.diff(last, prepend=-1))
        value[last[groups]] = np.maximum.reduceat(reached, groups)
        chosen = np.flatnonzero(reached[:, 0] == value[last, 0])[::-1]
        into[last[chosen]] = own[chosen]  # the first of equals
    return value, into


def _path(pieces: _Pieces, into: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the pieces that lead to the end of each atom, from left to right, line by line."""
    path = []
    at = pieces.ends
    while len(at):
        piece = into[at]
        path.append(piece)
        at = pieces.first[piece]
        at = at[~pieces.starts[at]]
    return np.sort(np.concatenate(path))
