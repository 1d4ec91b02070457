"""Printed lines into text: glyphs by correlation with known ones, and what their order allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.glyphs import ABOVE, BELOW, DIGIT, WIDE, GlyphBank, glyph_bank, unit
from cryocorr_tui.core.labels.lines import Line, Place
from cryocorr_tui.core.model import FloatArray

__all__ = ["Glyph", "read_places"]

SLIPS = (-1, 0, 1)  # rows by which a base line may be measured wrongly
THINNEST, THICKEST = 0.08, 1.4  # widths of a glyph in heights of a digit
WITHIN = 0.15  # heights of a digit: the gap that a broken glyph may show
VALLEY = 0.75  # of the ink around it: where touching glyphs may be cut


@dataclass(frozen=True)
class Glyph:
    """One glyph as read.

    Attributes
    ----------
    character : str
    score : float
        Correlation with the glyph it was taken for, −1…1.
    margin : float
        By how much that exceeds the correlation with the most similar other digit.
    """

    character: str
    score: float
    margin: float


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Stretches of a line that may be one glyph each.

    ``ends[k]`` are the first and the past-the-last of the line's cuts that piece k spans, and
    ``cuts`` the columns of the cuts; ``inked`` says of each stretch between neighbouring cuts
    whether it holds ink.
    """

    cuts: NDArray[np.intp]
    inked: NDArray[np.bool_]
    ends: NDArray[np.intp]
    pictures: FloatArray


def read_places(places: Sequence[Place]) -> list[list[tuple[Glyph, ...]]]:
    """Read lines of print that were drawn in one colour, hence, it is assumed, in one font.

    Returns
    -------
    list of list of tuple of Glyph
        For each line of each place its glyphs from left to right, without spaces.
    """
    pieces = [
        [_pieces(line, foot, place.digit) for line, foot in zip(place.lines, place.feet, strict=True)]
        for place in places
    ]
    banks = [glyph_bank(place.digit) for place in places]
    font = _font(pieces, banks)
    return [
        [_decode(line, bank.of_font(font)) for line in lines]
        for lines, bank in zip(pieces, banks, strict=True)
    ]


def _pieces(line: Line, foot: float, digit: float) -> _Pieces:
    cuts, inked = _cuts(line, digit)
    ends = []
    for first in range(len(inked)):
        if not inked[first]:
            continue
        for last in range(first + 1, len(cuts)):
            width = cuts[last] - cuts[first]
            if width > max(THICKEST * digit, cuts[first + 1] - cuts[first]):
                break
            gaps = np.diff(cuts)[first:last][~inked[first:last]]
            if len(gaps) and gaps.max() > WITHIN * digit:
                break
            if inked[last - 1] and width >= THINNEST * digit:
                ends.append((first, last))
    pictures = np.stack(
        [_picture(line.ink, cuts[first], cuts[last], foot, digit) for first, last in ends]
    )
    return _Pieces(cuts, inked, np.array(ends), pictures)


def _cuts(line: Line, digit: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the columns where glyphs may begin or end, and which stretches between hold ink."""
    columns = line.ink[line.top : line.bottom].sum(axis=0)
    cuts, inked = [], []
    for left, right in line.atoms:
        if cuts:
            inked.append(False)
        inside = [
            x
            for x in range(left + 1, right)
            if columns[x] <= min(columns[x - 1], columns[x + 1] if x + 1 < right else np.inf)
            and columns[x] < VALLEY * min(columns[left:x].max(), columns[x:right].max())
        ] if right - left > 0.5 * digit else []
        whole = [int(left), *inside, int(right)]
        cuts += whole
        inked += [True] * (len(whole) - 1)
    return np.array(cuts), np.array(inked)


def _picture(ink: FloatArray, left: int, right: int, foot: float, digit: float) -> FloatArray:
    """Return the ink between two columns as a glyph's picture, digits `DIGIT` rows high."""
    scale = DIGIT / digit
    top = max(0, int(foot - digit - ABOVE / scale) - 1)
    part = ink[top : int(foot + BELOW / scale) + 2, left:right]
    weight = part.sum(axis=0)
    centre = float(weight @ (np.arange(right - left) + 0.5)) / max(float(weight.sum()), 1e-6)
    # Positions are those of edges; the centre of pixel k lies at k + 0.5.
    shift_x = WIDE / 2 - centre * scale
    shift_y = ABOVE + DIGIT - (foot - top) * scale
    matrix = np.array(
        [
            [scale, 0.0, shift_x + 0.5 * scale - 0.5],
            [0.0, scale, shift_y + 0.5 * scale - 0.5],
        ]
    )
    how = cv2.INTER_LINEAR if scale > 0.8 else cv2.INTER_AREA
    return np.asarray(cv2.warpAffine(part, matrix, (WIDE, ABOVE + DIGIT + BELOW), flags=how))


def _font(pieces: Sequence[Sequence[_Pieces]], banks: Sequence[GlyphBank]) -> int:
    """Return the font that the uncut glyphs look like most."""
    total: dict[int, float] = {}
    for lines, bank in zip(pieces, banks, strict=True):
        for line in lines[:20]:
            scores = unit(line.pictures) @ bank.vectors.T
            for font in np.unique(bank.fonts):
                best = scores[:, bank.fonts == font].max(axis=1)
                total[int(font)] = total.get(int(font), 0.0) + _best_path(line, best)[0]
    return max(total, key=lambda font: total[font])


def _decode(pieces: _Pieces, bank: GlyphBank) -> tuple[Glyph, ...]:
    scores = np.max(
        [unit(np.roll(pieces.pictures, slip, axis=1)) @ bank.vectors.T for slip in SLIPS], axis=0
    )
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    digits = np.char.isdigit(bank.characters) | (bank.characters == ".")
    others = np.where(digits & (np.arange(len(digits)) != best[:, None]), scores, -1.0).max(axis=1)
    return tuple(
        Glyph(str(bank.characters[best[k]]), float(top[k]), float(top[k] - others[k]))
        for k in _best_path(pieces, top)[1]
    )


def _best_path(pieces: _Pieces, scores: NDArray[np.floating]) -> tuple[float, list[int]]:
    """Return the mean score, by width, of the best division into glyphs, and its pieces."""
    count = len(pieces.cuts)
    value = np.full(count, -np.inf)
    value[0] = 0.0
    via = np.full(count, -1)
    widths = np.diff(pieces.cuts)
    order = np.argsort(pieces.ends[:, 0], kind="stable")
    at = 0
    for cut in range(count):
        if cut and not pieces.inked[cut - 1] and value[cut - 1] > value[cut]:
            value[cut], via[cut] = value[cut - 1], -2
        while at < len(order) and pieces.ends[order[at], 0] == cut:
            piece = int(order[at])
            end = pieces.ends[piece, 1]
            gain = scores[piece] * (pieces.cuts[end] - pieces.cuts[cut])
            if value[cut] + gain > value[end]:
                value[end], via[end] = value[cut] + gain, piece
            at += 1
    chosen: list[int] = []
    cut = count - 1
    while cut > 0:
        if via[cut] >= 0:
            chosen.append(int(via[cut]))
            cut = int(pieces.ends[via[cut], 0])
        else:
            cut -= 1
    inked = float(widths[pieces.inked].sum())
    return float(value[-1]) / inked, chosen[::-1]
