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
FINE = 4  # columns of a line per column of a glyph's picture
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
    cuts : (c,) int
        Columns where glyphs may begin or end.
    inked : (c − 1,) bool
        Whether there is ink between a cut and the next.
    ends : (n, 2) int
        First and last cut of each piece.
    pictures : (n, pixels) float32
        Each as a glyph's picture.
    """

    cuts: NDArray[np.intp]
    inked: NDArray[np.bool_]
    ends: NDArray[np.intp]
    pictures: FloatArray


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
    slip, font = np.unravel_index(int(fits.argmax()), fits.shape)
    return _decode(lines, bank.of_font(int(font)), SLIPS[slip], place.digit)


def _pieces(line: Line, foot: float, digit: float) -> _Pieces:
    cuts, inked = _cuts(line, digit)
    ends = []
    for first in np.flatnonzero(inked):
        for last in range(first + 1, len(cuts)):
            width = cuts[last] - cuts[first]
            if last > first + 1 and width > THICKEST * digit:
                break
            if not inked[last - 1]:
                break
            if last == first + 1 or width >= THINNEST * digit:
                ends.append((first, last))
    base = foot - (line.top - line.above)
    return _Pieces(cuts, inked, np.array(ends), _pictures(line.ink, cuts[ends], base, digit))


def _cuts(line: Line, digit: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the columns where glyphs may begin or end, and which stretches between hold ink."""
    columns = line.ink[line.above : line.above + line.bottom - line.top].sum(axis=0)
    cuts: list[int] = []
    inked: list[bool] = []
    for left, right in line.atoms:
        if cuts:
            inked.append(False)
        inside = _valleys(columns[left:right]) + left if right - left > 0.5 * digit else ()
        stretch = [int(left), *(int(x) for x in inside), int(right)]
        cuts += stretch
        inked += [True] * (len(stretch) - 1)
    return np.array(cuts), np.array(inked)


def _valleys(ink: FloatArray) -> NDArray[np.intp]:
    """Return the columns at which a run of ink is thinner than on both sides."""
    before = np.maximum.accumulate(ink)[:-2]
    after = np.maximum.accumulate(ink[::-1])[::-1][2:]
    middle = ink[1:-1]
    low = (middle <= ink[:-2]) & (middle <= ink[2:]) & (middle < VALLEY * np.minimum(before, after))
    return np.flatnonzero(low) + 1


def _pictures(ink: FloatArray, spans: NDArray[np.intp], base: float, digit: float) -> FloatArray:
    """Return stretches of a line as glyphs' pictures, flat, digits on the row `base` of the line.

    Parameters
    ----------
    ink : (h, w) float32
    spans : (n, 2) int
        First and past-the-last column of each.
    base : float
    digit : float
        Height in pixels.
    """
    weight = ink.sum(axis=0)
    mass = _sums(weight, spans)
    centre = _sums(weight * (np.arange(len(weight)) + 0.5), spans) / np.maximum(mass, 1e-6)
    scale = DIGIT / digit
    fine = FINE * scale
    if scale < 0.8:  # else pixels would be skipped
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 / scale, borderType=cv2.BORDER_CONSTANT)
    # Distances are from the pixels' edges; the centre of pixel k lies at k + 0.5.
    down = ABOVE + DIGIT - base * scale + 0.5 * scale - 0.5
    matrix = np.array([[fine, 0.0, 0.5 * fine - 0.5], [0.0, scale, down]])
    size = math.ceil(len(weight) * fine), ABOVE + DIGIT + BELOW
    large = cv2.warpAffine(ink, matrix, size, flags=cv2.INTER_LINEAR)
    offsets = (np.arange(WIDE) + 0.5 - WIDE / 2) * FINE
    columns = np.floor(centre[:, None] * fine + offsets).astype(np.intp)
    first, last = np.rint(spans.T[..., None] * fine)
    inside = (columns >= first) & (columns < last)
    pictures = large[:, np.clip(columns, 0, size[0] - 1)] * inside
    return np.ascontiguousarray(pictures.transpose(1, 0, 2)).reshape(len(spans), -1)


def _sums(values: FloatArray, spans: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sums over stretches."""
    upto = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(upto[spans[:, 1]] - upto[spans[:, 0]])


def _shifted(pictures: FloatArray, slip: int) -> FloatArray:
    """Return pictures moved down by `slip` rows, standardised."""
    return unit(np.roll(pictures, slip * WIDE, axis=1))


def _fits(lines: Sequence[_Pieces], bank: GlyphBank, digit: float) -> FloatArray:
    """Return (slips, fonts): how well the lines can be read, mean correlation."""
    fits = []
    for line in lines:
        scores = np.stack([_shifted(line.pictures, slip) @ bank.vectors.T for slip in SLIPS])
        best = scores.reshape(len(SLIPS), len(line.pictures), bank.fonts.max() + 1, -1).max(axis=3)
        fits.append(_best_paths(line, np.moveaxis(best, 1, 0), digit)[0])
    return np.mean(fits, axis=0, dtype=np.float32)


def _decode(
    lines: Sequence[_Pieces], bank: GlyphBank, slip: int, digit: float
) -> list[tuple[Glyph, ...]]:
    scores = _shifted(np.concatenate([line.pictures for line in lines]), slip) @ bank.vectors.T
    best = scores.argmax(axis=1)
    left = np.maximum(1 - np.maximum(scores, 0) ** 2, 1e-3)
    numeric = np.flatnonzero(np.char.isdigit(bank.characters) | (bank.characters == "."))
    order = np.argsort(left[:, numeric], axis=1)[:, :2]
    every = np.arange(len(scores))
    spans = np.concatenate([line.cuts[line.ends] for line in lines]) / digit
    residue, rival = left[every, numeric[order[:, 0]]], left[every, numeric[order[:, 1]]]
    glyphs = [
        Glyph(str(c), str(d), float(r), float(v / r), float(r / s), float(x), float(y))
        for c, d, r, v, s, (x, y) in zip(
            bank.characters[best],
            bank.characters[numeric[order[:, 0]]],
            residue,
            rival,
            left[every, best],
            spans,
            strict=True,
        )
    ]
    read, start = [], 0
    for line in lines:
        stop = start + len(line.pictures)
        _, via = _best_paths(line, scores[start:stop].max(axis=1), digit)
        read.append(tuple(glyphs[start + piece] for piece in _path(line, via)))
        start = stop
    return read


def _best_paths(
    pieces: _Pieces, scores: FloatArray, digit: float
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Divide a line into the glyphs that explain it best, in several ways at once.

    Parameters
    ----------
    pieces : _Pieces
    scores : (n, …) float32
        How well each piece is explained in each way.
    digit : float
        Height in pixels.

    Returns
    -------
    (…) float32, (c, …) int
        Mean score by width; the piece that ends best at each cut, −1 where nothing does.
    """
    widths = np.diff(pieces.cuts)
    value = np.full((len(pieces.cuts), *scores.shape[1:]), -np.inf, np.float32)
    value[0] = 0.0
    via = np.full(value.shape, -1)
    order = np.argsort(pieces.ends[:, 1], kind="stable")
    stops = np.searchsorted(pieces.ends[order, 1], np.arange(len(value) + 1))
    for cut in range(1, len(value)):
        if not pieces.inked[cut - 1]:
            value[cut] = value[cut - 1]
        for piece in order[stops[cut] : stops[cut + 1]]:
            first = pieces.ends[piece, 0]
            width = pieces.cuts[cut] - pieces.cuts[first]
            reached = value[first] + scores[piece] * width - COST * digit
            better = reached > value[cut]
            value[cut] = np.where(better, reached, value[cut])
            via[cut] = np.where(better, piece, via[cut])
    return value[-1] / float(widths[pieces.inked].sum()), via


def _path(pieces: _Pieces, via: NDArray[np.intp]) -> list[int]:
    """Return the pieces of one way from left to right."""
    chosen: list[int] = []
    cut = len(via) - 1
    while cut > 0:
        if via[cut] >= 0:
            chosen.append(int(via[cut]))
            cut = int(pieces.ends[via[cut], 0])
        else:
            cut -= 1
    return chosen[::-1]
