"""Printed lines into glyphs, by correlation with known ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    pictures : (n, pixels) float32
        Each as a glyph's picture.
    """

    cuts: list[int]
    inked: list[bool]
    ends: list[tuple[int, int]]
    pictures: FloatArray

    @property
    def spans(self) -> NDArray[np.intp]:
        """First and past-the-last column of each piece, (n, 2)."""
        return np.asarray(np.array(self.cuts)[np.array(self.ends)], np.intp)


def read_place(place: Place) -> list[tuple[Glyph, ...]]:
    """Read the lines of one place, which were drawn in one font, it is assumed.

    Returns
    -------
    list of tuple of Glyph
        For each line its glyphs from left to right, without spaces; none of print that is too
        small.
    """
    if place.digit < LEAST_DIGIT:
        return [() for _ in place.lines]
    lines = [
        _pieces(line, foot, place.digit) for line, foot in zip(place.lines, place.feet, strict=True)
    ]
    bank = glyph_bank(place.digit)
    fits = _fits(lines[:SAMPLE], bank, place.digit)
    if fits.max() < LEAST_FIT:
        return [() for _ in lines]
    slip, font = np.unravel_index(int(fits.argmax()), fits.shape)
    return _decode(lines, bank.of_font(int(font)), SLIPS[slip], place.digit)


def _pieces(line: Line, foot: float, digit: float) -> _Pieces:
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
    base = foot - (line.top - line.above)
    pictures = [_picture(line.ink[:, cuts[a] : cuts[b]], base, digit) for a, b in ends]
    return _Pieces(cuts, inked, ends, np.stack(pictures))


def _cuts(line: Line, digit: float) -> tuple[list[int], list[bool]]:
    """Return the columns where glyphs may begin or end, and which stretches between hold ink."""
    columns = line.ink[line.above : line.above + line.bottom - line.top].sum(axis=0)
    cuts: list[int] = []
    inked: list[bool] = []
    for left, right in line.atoms.tolist():
        if cuts:
            inked.append(False)
        inside = _valleys(columns[left:right]) + left if right - left > 0.5 * digit else ()
        stretch = [left, *(int(x) for x in inside), right]
        cuts += stretch
        inked += [True] * (len(stretch) - 1)
    return cuts, inked


def _valleys(ink: FloatArray) -> NDArray[np.intp]:
    """Return the columns at which a run of ink is thinner than on both sides."""
    before = np.maximum.accumulate(ink)[:-2]
    after = np.maximum.accumulate(ink[::-1])[::-1][2:]
    middle = ink[1:-1]
    low = (middle <= ink[:-2]) & (middle <= ink[2:]) & (middle < VALLEY * np.minimum(before, after))
    return np.flatnonzero(low) + 1


def _picture(ink: FloatArray, base: float, digit: float) -> FloatArray:
    """Return ink as a glyph's picture, flat: digits `DIGIT` rows high on the row `base`."""
    scale = DIGIT / digit
    weight = ink.sum(axis=0)
    centre = float(weight @ (np.arange(len(weight)) + 0.5)) / max(float(weight.sum()), 1e-6)
    # Distances are from the pixels' edges; the centre of pixel k lies at k + 0.5.
    across = WIDE / 2 - centre * scale + 0.5 * scale - 0.5
    down = ABOVE + DIGIT - base * scale + 0.5 * scale - 0.5
    if scale < 0.8:  # else pixels would be skipped
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 / scale, borderType=cv2.BORDER_CONSTANT)
    matrix = np.array([[scale, 0.0, across], [0.0, scale, down]])
    picture = cv2.warpAffine(ink, matrix, (WIDE, ABOVE + DIGIT + BELOW), flags=cv2.INTER_LINEAR)
    return np.asarray(picture.ravel(), np.float32)


def _shifted(pictures: FloatArray, slip: int) -> FloatArray:
    """Return pictures moved down by `slip` rows, standardised."""
    return unit(np.roll(pictures, slip * WIDE, axis=1))


def _fits(lines: Sequence[_Pieces], bank: GlyphBank, digit: float) -> FloatArray:
    """Return (slips, fonts): how well the lines can be read, mean correlation."""
    pictures = np.concatenate([line.pictures for line in lines])
    ends = np.cumsum([len(line.pictures) for line in lines])[:-1]
    fits = []
    for slip in SLIPS:
        scores = _shifted(pictures, slip) @ bank.vectors.T
        best = scores.reshape(len(scores), bank.fonts.max() + 1, -1).max(axis=2)
        fits.append(
            [
                np.mean(
                    [
                        _best_path(line, part.tolist(), digit)[0]
                        for line, part in zip(lines, np.split(of_font, ends), strict=True)
                    ]
                )
                for of_font in best.T
            ]
        )
    return np.array(fits, np.float32)


def _decode(
    lines: Sequence[_Pieces], bank: GlyphBank, slip: int, digit: float
) -> list[tuple[Glyph, ...]]:
    numeric = np.flatnonzero(np.char.isdigit(bank.characters) | (bank.characters == "."))
    read = []
    for line in lines:
        scores = _shifted(line.pictures, slip) @ bank.vectors.T
        path = _best_path(line, scores.max(axis=1).tolist(), digit)[1]
        glyphs = []
        # At either end of a glyph a pixel is inked in part.
        ends = (line.spans[path] + (RIM, -RIM)) / digit
        for piece, (left, right) in zip(path, ends, strict=True):
            unexplained = np.maximum(1 - np.maximum(scores[piece], 0) ** 2, 1e-3)
            first, second = numeric[np.argsort(unexplained[numeric])[:2]]
            best = int(unexplained.argmin())
            residue = float(unexplained[first])
            glyphs.append(
                Glyph(
                    str(bank.characters[best]),
                    str(bank.characters[first]),
                    residue,
                    rivalry=float(unexplained[second]) / residue,
                    doubt=residue / float(unexplained[best]),
                    left=float(left),
                    right=float(right),
                )
            )
        read.append(tuple(glyphs))
    return read


def _best_path(pieces: _Pieces, scores: list[float], digit: float) -> tuple[float, list[int]]:
    """Divide a line into the glyphs that explain it best.

    Returns
    -------
    mean score by width, pieces from left to right
    """
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
    inked = sum(
        right - left for left, right, ink in zip(cuts, cuts[1:], pieces.inked, strict=False) if ink
    )
    return value[-1] / inked, chosen[::-1]
