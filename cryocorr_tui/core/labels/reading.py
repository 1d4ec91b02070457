"""Printed lines into glyphs, by correlation with known ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.glyphs import ABOVE, BELOW, DIGIT, WIDE, GlyphBank, glyph_bank, unit
from cryocorr_tui.core.labels.lines import Line, Place
from cryocorr_tui.core.model import FloatArray

__all__ = ["Glyph", "read_place"]

SLIPS = (-1, 0, 1)  # rows by which a base line may be measured wrongly
LEAST_DIGIT = 6.0  # pixels; in smaller print 6 and 8 are one
SAMPLE = 8  # lines of a place that tell its font
THINNEST, THICKEST = 0.08, 1.4  # widths of a glyph in heights of a digit
LEAST_FIT = 0.8  # mean correlation of the lines of a place with one font; print has more
RIM = 0.5  # pixels, the soft end of a glyph
VALLEY = 0.92  # of the ink on both sides: where touching glyphs may be cut
COST = 0.02  # of a glyph, in heights of a digit: two halves must fit clearly better than the whole


@dataclass(frozen=True)
class Glyph:
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
    """Stretches of a line that may be one glyph each.

    Attributes
    ----------
    cuts : list of int
        Columns where glyphs may begin or end.
    inked : list of bool
        Whether there is ink between a cut and the next.
    ends : list of (int, int)
        First and last cut of each piece.
    """

    cuts: list[int]
    inked: list[bool]
    ends: list[tuple[int, int]]

    @property
    def spans(self) -> NDArray[np.intp]:
        """First and past-the-last column of each piece, (n, 2)."""
        return np.asarray(np.array(self.cuts)[np.array(self.ends)], np.intp)

    @property
    def inked_width(self) -> int:
        """How many columns lie between cuts that hold ink between them."""
        return sum(
            right - left
            for left, right, ink in zip(self.cuts, self.cuts[1:], self.inked, strict=False)
            if ink
        )


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
    fits = _fits(place, bank)
    if fits.max() < LEAST_FIT:
        return unread
    slip, font = np.unravel_index(int(fits.argmax()), fits.shape)
    return _decode(place, bank.of_font(int(font)), SLIPS[slip])


def _pieces(line: Line, digit: float) -> _Pieces:
    cuts, inked = _cuts(line, digit)
    ends = []
    for first, has_ink in enumerate(inked):
        if not has_ink:
            continue
        for last in range(first + 1, len(cuts)):
            width = cuts[last] - cuts[first]
            if not inked[last - 1] or (last > first + 1 and width > THICKEST * digit):
                break
            if last == first + 1 or width >= THINNEST * digit:
                ends.append((first, last))
    return _Pieces(cuts, inked, ends)


def _cuts(line: Line, digit: float) -> tuple[list[int], list[bool]]:
    """Return the columns where glyphs may begin or end, and which stretches between hold ink."""
    columns = line.ink[line.above : line.above + line.bottom - line.top].sum(axis=0).tolist()
    cuts: list[int] = []
    inked: list[bool] = []
    for left, right in line.atoms.tolist():
        if cuts:
            inked.append(False)
        inside = _valleys(columns[left:right]) if right - left > 0.5 * digit else []
        stretch = [left, *(left + x for x in inside), right]
        cuts += stretch
        inked += [True] * (len(stretch) - 1)
    return cuts, inked


def _valleys(ink: list[float]) -> list[int]:
    """Return the columns at which a run of ink is thinner than on both sides."""
    before = list(accumulate(ink, max))
    after = list(accumulate(ink[::-1], max))[::-1]
    return [
        k
        for k in range(1, len(ink) - 1)
        if ink[k] <= min(ink[k - 1], ink[k + 1])
        and ink[k] < VALLEY * min(before[k - 1], after[k + 1])
    ]


def _pictures(line: Line, spans: NDArray[np.intp], foot: float, digit: float) -> FloatArray:
    """Return stretches of a line as pictures of glyphs, standardised.

    Digits are `DIGIT` rows high there and stand on the row of `foot`.
    """
    pixels = digit / DIGIT  # per row or column of a picture
    # Distances are from the pixels' edges; the centre of pixel k lies at k + 0.5.
    weight = line.ink.sum(axis=0)
    moment = weight * (np.arange(len(weight)) + 0.5)
    sums = np.zeros((2, len(weight) + 1))
    np.cumsum([weight, moment], axis=1, out=sums[:, 1:])
    weights, moments = sums[:, spans[:, 1]] - sums[:, spans[:, 0]]
    centre = moments / np.maximum(weights, 1e-6)
    base = foot - (line.top - line.above)
    down = (np.arange(ABOVE + DIGIT + BELOW) + 0.5 - ABOVE - DIGIT) * pixels + base - 0.5
    across = (np.arange(WIDE) + 0.5 - WIDE / 2) * pixels + centre[:, None] - 0.5
    ink = line.ink
    if pixels > 1.25:  # else pixels would be skipped
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 * pixels, borderType=cv2.BORDER_CONSTANT)
    rows = np.maximum(0, 1 - np.abs(down[:, None] - np.arange(len(ink)))).astype(np.float32)
    columns = (rows @ ink).T.copy()
    left = np.floor(across).astype(np.intp)
    share = (across - left).astype(np.float32)
    pictures = np.zeros((len(spans), WIDE, len(down)), np.float32)
    for column, part in ((left, 1 - share), (left + 1, share)):
        part[(column < spans[:, :1]) | (column >= spans[:, 1:])] = 0
        pictures += part[..., None] * columns.take(column, axis=0, mode="clip")
    return unit(pictures)


def _fits(place: Place, bank: GlyphBank) -> FloatArray:
    """Return (slips, fonts): how well the first lines can be read, mean correlation."""
    lines = [_pieces(line, place.digit) for line in place.lines[:SAMPLE]]
    ends = np.cumsum([len(line.ends) for line in lines])[:-1]
    best = []
    for slip in SLIPS:
        pictures = [
            _pictures(line, pieces.spans, _slipped(foot, slip, place.digit), place.digit)
            for line, pieces, foot in zip(place.lines, lines, place.feet, strict=False)
        ]
        scores = np.concatenate(pictures) @ bank.vectors.T
        best.append(scores.reshape(len(scores), bank.fonts.max() + 1, -1).max(axis=2))
    fits = [
        _best_mean(line, scores, place.digit)
        for line, scores in zip(lines, np.split(np.concatenate(best, axis=1), ends), strict=True)
    ]
    return np.asarray(np.mean(fits, axis=0).reshape(len(SLIPS), -1), np.float32)


def _slipped(foot: float, slip: int, digit: float) -> float:
    """Return a base line that is `slip` rows of a picture off, in pixels."""
    return foot - slip * digit / DIGIT


def _decode(place: Place, bank: GlyphBank, slip: int) -> list[tuple[Glyph, ...]]:
    numeric = np.flatnonzero(np.char.isdigit(bank.characters) | (bank.characters == "."))
    read = []
    for line, foot in zip(place.lines, place.feet, strict=True):
        pieces = _pieces(line, place.digit)
        spans = pieces.spans
        pictures = _pictures(line, spans, _slipped(foot, slip, place.digit), place.digit)
        scores = pictures @ bank.vectors.T
        path = _best_path(pieces, scores.max(axis=1).tolist(), place.digit)
        # At either end of a glyph a pixel is inked in part.
        ends = (spans[path] + (RIM, -RIM)) / place.digit
        unexplained = np.maximum(1 - np.maximum(scores[path], 0) ** 2, 1e-3).astype(np.float64)
        order = numeric[np.argsort(unexplained[:, numeric], axis=1)[:, :2]]
        best = unexplained.argmin(axis=1)
        residue, rival = np.take_along_axis(unexplained, order, axis=1).T
        read.append(
            tuple(
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
        )
    return read


def _best_mean(pieces: _Pieces, scores: FloatArray, digit: float) -> NDArray[np.float64]:
    """Return the mean score by width of the glyphs that explain a line best.

    Parameters
    ----------
    pieces : _Pieces
    scores : (pieces, n) float32
        In n readings.
    digit : float

    Returns
    -------
    (n,) float64
    """
    gain = scores * np.diff(pieces.spans, axis=1) - COST * digit
    value = np.full((len(pieces.cuts), scores.shape[1]), -math.inf)
    value[0] = 0
    # By their last cut, with the blanks among them, so that what they begin with is known.
    steps = [(last, first, gain[k]) for k, (first, last) in enumerate(pieces.ends)]
    blank = np.zeros(scores.shape[1])
    steps += [(cut + 1, cut, blank) for cut, ink in enumerate(pieces.inked) if not ink]
    for last, first, gained in sorted(steps, key=lambda step: step[0]):
        np.maximum(value[last], value[first] + gained, out=value[last])
    return np.asarray(value[-1] / pieces.inked_width)


def _best_path(pieces: _Pieces, scores: list[float], digit: float) -> list[int]:
    """Divide a line into the glyphs that explain it best, from left to right."""
    # Lists rather than arrays: the steps are few and small, and there are many lines.
    cuts, count = pieces.cuts, len(pieces.cuts)
    value = [0.0] + [-math.inf] * (count - 1)
    via = [-1] * count  # −1: nothing is printed before this cut
    into: list[list[int]] = [[] for _ in cuts]
    for piece, (_, last) in enumerate(pieces.ends):
        into[last].append(piece)
    for cut in range(1, count):
        if not pieces.inked[cut - 1]:
            value[cut] = value[cut - 1]
        for piece in into[cut]:
            first = pieces.ends[piece][0]
            reached = value[first] + scores[piece] * (cuts[cut] - cuts[first]) - COST * digit
            if reached > value[cut]:
                value[cut], via[cut] = reached, piece
    chosen: list[int] = []
    cut = count - 1
    while cut > 0:
        if via[cut] >= 0:
            chosen.append(via[cut])
            cut = pieces.ends[via[cut]][0]
        else:
            cut -= 1
    return chosen[::-1]
