"""What is printed and drawn on the squares of a montage: where it is, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.ink import STRONG, chroma_of, colour_inks, coloured, colours_of
from cryocorr_tui.core.labels.lines import Line, find_lines, places_of
from cryocorr_tui.core.labels.meaning import Meaning, counting, read_lines
from cryocorr_tui.core.labels.shapes import find_plate, has_frame
from cryocorr_tui.core.labels.strips import Strip, strips_of
from cryocorr_tui.core.labels.strokes import take_strokes
from cryocorr_tui.core.model import FloatArray, Labels, Montage, Square, frozen_array

__all__ = ["find_labels"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Pixel = TypeVar("Pixel", bound=np.generic)

COMMON = 0.5  # of the squares whose gaps are coloured, for a coloured ground
BAND = 256  # rows that are converted at a time, to save memory
GROUND = 0.8  # of a gap is coloured there
PLATED = 8  # pixels, least height of print that may stand on a plate


class Box(NamedTuple):
    """Whole pixels of a picture, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int


def find_labels(montage: Montage, squares: Sequence[Square]) -> tuple[Labels, ...]:
    """Find the text, scale bars and frames on the squares of a montage, and read the numbers.

    Coloured pixels on a grey picture are overlay, and so are straight white or black bars with
    their captions. White or black strokes are overlay where at least half of the squares have a
    line of them at one place that can be read, or most have different ones at exactly one place:
    nothing else tells print safely from particles. The opaque plate under print belongs to it. In
    pictures that are drawn in colours, colour tells nothing.

    Numbers are read glyph by glyph by comparison with a few common fonts; a number is given only
    where each of its glyphs is sure.

    Parameters
    ----------
    montage : Montage
    squares : sequence of Square
        Of this montage, whole or cut.

    Returns
    -------
    tuple of Labels
        One for each square, in their order.
    """
    if not squares:
        return ()
    rgb, grey = _byte_pictures(montage.picture)
    boxes = [_box_of(square) for square in squares]
    greys = [_cut(grey, box) for box in boxes]
    masks = [np.zeros(part.shape, bool) for part in greys]
    said: list[tuple[Line, Meaning]] = []
    selected = np.zeros(len(squares), bool)
    if rgb is not None:
        said, selected = _take_coloured(rgb, grey, boxes, masks)
    for dark in (False, True):
        said += take_strokes(greys, masks, dark=dark)
    for line, _ in said:
        if line.bottom - line.top >= PLATED:
            rows, columns = find_plate(
                greys[line.square],
                masks[line.square],
                (line.left, line.top, line.right, line.bottom),
            )
            masks[line.square][rows, columns] = True
    meanings_of = _by_square(said, boxes)
    return tuple(_labels(mask, meanings_of[k], bool(selected[k])) for k, mask in enumerate(masks))


def _byte_pictures(picture: NDArray[np.generic]) -> tuple[Bytes | None, Bytes]:
    """Return a picture as RGB (None where it has no colours) and as grey, uint8."""
    if picture.dtype == np.uint8:
        levels = np.ascontiguousarray(picture, np.uint8)
    else:
        low, high = _extremes(picture)
        scale = 255.0 / (high - low) if high > low else 0.0
        levels = np.empty(picture.shape, np.uint8)
        for top in range(0, len(picture), BAND):
            part = picture[top : top + BAND]
            levels[top : top + BAND] = np.rint((_finite(part) - low) * scale)
    if levels.ndim == 2:
        return None, levels
    return levels, cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)


def _extremes(picture: NDArray[np.generic]) -> tuple[float, float]:
    """Return the least and the largest value."""
    ends = []
    for top in range(0, len(picture), BAND):
        band = _finite(picture[top : top + BAND])
        ends += [float(band.min()), float(band.max())]
    return min(ends), max(ends)


def _finite(values: NDArray[np.generic]) -> FloatArray:
    return np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)


def _box_of(square: Square) -> Box:
    """Return left, top, right and bottom of the pixels that `cut_out` takes."""
    left, top = round(square.x), round(square.y)
    return Box(left, top, left + round(square.width), top + round(square.height))


def _cut(picture: NDArray[Pixel], box: Box) -> NDArray[Pixel]:
    return picture[box.top : box.bottom, box.left : box.right]


def _within(box: Box, cell: Box) -> Box:
    """Return a box in the pixels of a cell around it."""
    left, top, right, bottom = box
    return Box(left - cell.left, top - cell.top, right - cell.left, bottom - cell.top)


def _take_coloured(
    rgb: Bytes, grey: Bytes, boxes: Sequence[Box], masks: Sequence[Mask]
) -> tuple[list[tuple[Line, Meaning]], Mask]:
    """Add coloured pixels to `masks`; return the print, what it says, and which are framed."""
    framed = np.zeros(len(boxes), bool)
    chroma = chroma_of(rgb)
    strong = (chroma > STRONG).view(np.uint8)
    if not cv2.countNonZero(strong):
        return [], framed
    cells = _cells(boxes, grey.shape)
    if _gaps_are_coloured(strong, boxes, cells):
        cells = list(boxes)
    at = [_pixels_in(strong, cell) for cell in cells]
    area = sum(_cut(grey, cell).size for cell in cells)
    del strong  # a large picture wants the memory
    clear = np.concatenate(at)
    colours = colours_of(rgb, clear, len(clear) / area)
    if not colours:
        return [], framed
    lines: list[list[Line]] = [[] for _ in colours]
    inside = [_within(box, cell) for box, cell in zip(boxes, cells, strict=True)]
    shapes = [(*_cut(grey, cell).shape, *box) for cell, box in zip(cells, inside, strict=True)]
    tinted = [k for k, pixels in enumerate(at) if len(pixels)]
    del at, clear
    for strip in strips_of(shapes, tinted):
        square = inside[strip.squares[0]]  # in its cell, the same in all
        inner = Strip(strip.squares, *masks[strip.squares[0]].shape)
        chroma_here, rgb_here, grey_here = (
            strip.lay({k: _cut(part, cells[k]) for k in strip.squares}, 0)
            for part in (chroma, rgb, grey)
        )
        tint = coloured(chroma_here)
        for k, own in zip(strip.squares, strip.each(tint), strict=True):
            masks[k][:] |= _cut(own, square)
        inks = colour_inks(rgb_here, grey_here, tint, colours, strip)
        for ink, found in zip(inks, lines, strict=True):
            of_cells = dict(zip(strip.squares, strip.each(ink), strict=True))
            framed[[k for k, own in of_cells.items() if has_frame(own, square)]] = True
            of_squares = {k: _cut(own, square) for k, own in of_cells.items()}
            found += find_lines(inner.lay(of_squares, 0), inner, full=0.4, faint=0.2)
    said = [
        pair
        for found in lines
        for place in places_of(sorted(found, key=lambda line: line.square))
        for pair in read_lines(place, len(boxes))
    ]
    return said, framed


def _pixels_in(strong: Bytes, cell: Box) -> NDArray[np.intp]:
    """Return where there is any colour in a cell, counted along the rows of the picture."""
    inside = np.flatnonzero(_cut(strong, cell).view(bool))
    beyond = strong.shape[1] - (cell.right - cell.left)  # pixels from the end of a row to the next
    first = cell.top * strong.shape[1] + cell.left
    return np.asarray(inside + (inside // (cell.right - cell.left) * beyond + first), np.intp)


def _gaps_are_coloured(strong: Bytes, boxes: Sequence[Box], cells: Sequence[Box]) -> bool:
    """Say whether the squares lie on a coloured ground, which is no frame around them."""
    filled = []
    for box, cell in zip(boxes, cells, strict=True):
        around, inside = _cut(strong, cell), _cut(strong, box)
        gap = around.size - inside.size
        tinted = cv2.countNonZero(around) - cv2.countNonZero(inside)
        filled.append(gap > 0 and tinted > GROUND * gap)
    return bool(np.mean(filled) > COMMON)


def _cells(boxes: Sequence[Box], shape: tuple[int, ...]) -> list[Box]:
    """Return each square with its half of the gaps around it, where frames are drawn."""
    height, width = shape
    edges = np.array(boxes)
    cells = []
    for left, top, right, bottom in boxes:
        reach = 0.15 * min(right - left, bottom - top)
        beside = edges[(edges[:, 1] < bottom) & (edges[:, 3] > top)]
        below = edges[(edges[:, 0] < right) & (edges[:, 2] > left)]
        cells.append(
            Box(
                left - _half_gap(left - beside[:, 2], reach, left),
                top - _half_gap(top - below[:, 3], reach, top),
                right + _half_gap(beside[:, 0] - right, reach, width - right),
                bottom + _half_gap(below[:, 1] - bottom, reach, height - bottom),
            )
        )
    return cells


def _half_gap(gaps: NDArray[np.integer], most: float, room: int) -> int:
    """Return half the distance to the nearest neighbour on one side, in pixels."""
    gaps = gaps[gaps >= -2]
    half = max(int(gaps.min()), 0) / 2 if len(gaps) else most
    return int(min(half, most, room))


def _by_square(said: Sequence[tuple[Line, Meaning]], boxes: Sequence[Box]) -> list[list[Meaning]]:
    """Return what is printed on each square from top to bottom, lone numbers only as indices."""
    ordered = sorted(said, key=lambda pair: (pair[0].square, pair[0].top, pair[0].left))
    lone: list[int | None] = [None] * len(boxes)
    for line, meaning in ordered:
        if meaning.lone is not None:
            lone[line.square] = meaning.lone
    index = counting(lone, _right_of(boxes))
    result: list[list[Meaning]] = [[] for _ in boxes]
    for line, meaning in ordered:
        if meaning.lone is not None:
            number = index[line.square]
            meaning = Meaning() if number is None else replace(meaning, index=number)
        if meaning.text:
            result[line.square].append(meaning)
    return result


def _right_of(boxes: Sequence[Box]) -> list[int | None]:
    """Return the next square to the right of each, in its row."""
    edges = np.array(boxes)
    result: list[int | None] = []
    for left, top, right, bottom in boxes:
        overlap = np.minimum(edges[:, 3], bottom) - np.maximum(edges[:, 1], top)
        distance = np.where(
            (overlap > 0.5 * (bottom - top)) & (edges[:, 0] > left), edges[:, 0] - right, np.inf
        )
        nearest = int(distance.argmin())
        result.append(nearest if distance[nearest] < right - left else None)
    return result


def _labels(mask: Mask, said: Sequence[Meaning], selected: bool) -> Labels:
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    index = _only(meaning.index for meaning in said)
    return Labels(
        mask=frozen_array(rim, bool),
        text="; ".join(meaning.text for meaning in said),
        particles=_only(meaning.particles for meaning in said),
        resolution=_only(meaning.resolution for meaning in said),
        class_index=None if index is None else int(index),
        selected=selected,
    )


def _only(values: Iterable[float | None]) -> float | None:
    """Return the one value that is known; None where there is none, or several that differ."""
    known = {value for value in values if value is not None}
    return known.pop() if len(known) == 1 else None
