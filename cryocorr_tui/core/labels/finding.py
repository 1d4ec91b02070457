"""What is printed and drawn on the squares of a montage: where it is, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.filling import remove_labels
from cryocorr_tui.core.labels.glyphs import unit
from cryocorr_tui.core.labels.ink import (
    chroma_of,
    colour_ink,
    coloured,
    colours_of,
    stroke_ink,
)
from cryocorr_tui.core.labels.lines import Line, Place, aligned, find_lines, places_of
from cryocorr_tui.core.labels.meaning import Meaning, counting, meanings
from cryocorr_tui.core.labels.reading import read_place
from cryocorr_tui.core.labels.shapes import find_bars, find_plate, has_frame
from cryocorr_tui.core.model import FloatArray, Montage, Square, frozen_array

__all__ = ["Labels", "erase_labels", "find_labels"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

COMMON = 0.5  # of the squares must have a line at a place, for strokes without colour
CONVINCING = 0.6  # of these lines must be readable, or
REGULAR = 0.65  # of the squares, and at least
LEAST_REGULAR = 4  # of them, must have a line at exactly this place,
NEAR_EDGE = 0.27  # of the height, at most, away from top or bottom
MOST_ALIKE = 0.6, 0.8  # correlation of lines of different squares; of those with
SOME = 3  # glyphs or more, which may begin with a word
SAMPLE = 40  # lines whose likeness is measured
FEW = 3  # squares, below which one says nothing about the other
NUMBERED = 0.3  # of the squares must have a number at a place for it to be their class's
WHITE = 0.65  # ink that a white letter reaches somewhere
GRAIN = 1.6  # ink of a stroke in terms of what nine of ten pixels stay below
FULL_STROKE = 0.38  # ink of a white stroke that is surely part of a letter
STROKE = 0.02  # of the side: half the width of the widest stroke of a letter
PLATED = 8  # pixels, least height of print that may stand on a plate


@dataclass(frozen=True, eq=False)
class Labels:
    """What is printed and drawn on one square.

    Attributes
    ----------
    mask : (h, w) bool
        True for pixels of the square, as `detection.cut_out` cuts it, that show text, a bar or a
        frame rather than the class average, with a rim of one pixel.
    text : str
        The lines that could be read, parted by "; "; what could not be read is left out.
    particles, resolution : float or None
        Count and Å.
    class_index : int or None
        The number of the class, as printed.
    selected : bool
        A coloured frame is drawn around the square.
    """

    mask: Mask
    text: str = ""
    particles: float | None = None
    resolution: float | None = None
    class_index: int | None = None
    selected: bool = False


def find_labels(montage: Montage, squares: Sequence[Square]) -> tuple[Labels, ...]:
    """Find the text, scale bars and frames on the squares of a montage, and read the numbers.

    Coloured pixels on a grey picture are overlay, and so are straight white or black bars with
    their captions. White or black strokes are overlay where at least half of the squares have a
    line of them at one place that can be read, or nearly all have one at exactly the same rows:
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
    for bright in greys, [255 - part for part in greys]:
        said += _take_strokes(bright, masks)
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


def erase_labels(montage: Montage, squares: Sequence[Square], labels: Sequence[Labels]) -> Montage:
    """Return the montage in grey, overlay pixels of its squares filled smoothly.

    What is cut out of it can be scored as if nothing had been printed: see `remove_labels`.

    Parameters
    ----------
    montage : Montage
    squares, labels : sequences of one length
        As given to and returned by `find_labels`.
    """
    picture = montage.picture.astype(np.float32)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    for square, label in zip(squares, labels, strict=True):
        left, top, right, bottom = _box_of(square)
        part = picture[top:bottom, left:right]
        part[:] = remove_labels(part, label.mask)
    return replace(montage, picture=frozen_array(picture))


def _byte_pictures(picture: NDArray[np.generic]) -> tuple[Bytes | None, Bytes]:
    """Return a picture as RGB (None where it has no colours) and as grey, uint8."""
    if picture.dtype == np.uint8:
        levels = np.ascontiguousarray(picture, np.uint8)
    else:
        values = np.nan_to_num(picture.astype(np.float32), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        scale = 255.0 / (high - low) if high > low else 0.0
        levels = np.rint((values - low) * scale).astype(np.uint8)
    if levels.ndim == 2:
        return None, levels
    return levels, cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)


def _box_of(square: Square) -> Box:
    """Return left, top, right and bottom of the pixels that `cut_out` takes."""
    left, top = round(square.x), round(square.y)
    return left, top, left + round(square.width), top + round(square.height)


def _cut(picture: Bytes, box: Box) -> Bytes:
    left, top, right, bottom = box
    return np.ascontiguousarray(picture[top:bottom, left:right])


def _lines(inks: Sequence[FloatArray], *, full: float, faint: float) -> list[Line]:
    return [
        line
        for square, ink in enumerate(inks)
        for line in find_lines(ink, square, full=full, faint=faint)
    ]


def _read(place: Place, squares: int) -> list[tuple[Line, Meaning]]:
    """Return the lines of a place, and what they say as far as it can be read."""
    found = [
        meaning if whole else Meaning()
        for meaning, whole in zip(meanings(read_place(place)), aligned(place), strict=True)
    ]
    if squares >= FEW and len(place.lines) < NUMBERED * squares:
        # A caption or a title: it may well hold a number, but not one of its class.
        found = [Meaning()] * len(found)
    return list(zip(place.lines, found, strict=True))


def _take_coloured(
    rgb: Bytes, grey: Bytes, boxes: Sequence[Box], masks: Sequence[Mask]
) -> tuple[list[tuple[Line, Meaning]], Mask]:
    """Add coloured pixels to `masks`; return the print, what it says, and which are framed."""
    said: list[tuple[Line, Meaning]] = []
    framed = np.zeros(len(boxes), bool)
    parts = [_cut(rgb, box) for box in boxes]
    cells = _cells(boxes, grey.shape)
    for colour in colours_of(parts):
        inks = []
        for k, ((left, top, right, bottom), cell) in enumerate(zip(boxes, cells, strict=True)):
            x, y = cell[:2]
            ink = colour_ink(_cut(rgb, cell), _cut(grey, cell), colour)
            framed[k] |= has_frame(ink, (left - x, top - y, right - x, bottom - y))
            inks.append(np.ascontiguousarray(ink[top - y : bottom - y, left - x : right - x]))
            masks[k][:] |= coloured(chroma_of(parts[k]))
        for place in places_of(_lines(inks, full=0.4, faint=0.2)):
            said += _read(place, len(boxes))
    return said, framed


def _take_strokes(greys: Sequence[Bytes], masks: Sequence[Mask]) -> list[tuple[Line, Meaning]]:
    """Add white print and white bars to `masks`, and return the print with what it says."""
    inks = []
    for grey, mask in zip(greys, masks, strict=True):
        ink = stroke_ink(grey, widest=max(3, round(STROKE * min(grey.shape))))
        ink[mask] = 0
        mask |= find_bars(grey, ink)
        ink[mask] = 0
        inks.append(_clear_strokes(ink))
    said = []
    least = COMMON * len(greys) if len(greys) >= FEW else 1
    for place in places_of(_lines(inks, full=FULL_STROKE, faint=0.3)):
        if len(place.lines) < least:
            continue
        read = _read(place, len(greys))
        readable = sum(bool(meaning.text) for _, meaning in read) >= CONVINCING * len(read)
        if not readable and not _is_regular(place, inks):
            continue
        said += read
        printed = {line.square: _box_around([line]) for line in place.lines}
        anywhere = _box_around(place.lines)
        for square, ink in enumerate(inks):
            # On other squares, what is printed here could not even be told to be a line.
            masks[square] |= _print_in(ink, printed.get(square, anywhere))
    return said


def _is_regular(place: Place, inks: Sequence[FloatArray]) -> bool:
    """Say whether most squares show different glyphs on exactly the same rows, near an edge.

    Details of particles do not keep to the same rows, unless the squares show one particle, and
    then they are alike; filaments keep to the middle.
    """
    rows = np.array([(line.head, line.foot) for line in place.lines])
    exact = (np.abs(rows - np.median(rows, axis=0)) <= 1.2).all(axis=1)
    lines = {line.square: line for line, own in zip(place.lines, exact, strict=True) if own}
    if len(lines) < max(REGULAR * len(inks), LEAST_REGULAR):
        return False
    middle = float(np.median(rows)) / inks[0].shape[0]
    if NEAR_EDGE < middle < 1 - NEAR_EDGE:
        return False
    top, bottom = (round(float(edge)) for edge in np.median(rows, axis=0))
    left, right = (
        min(line.left for line in lines.values()),
        max(line.right for line in lines.values()),
    )
    height, width = np.min([ink.shape for ink in inks], axis=0)
    parts = np.stack(
        [inks[square][top : min(bottom, height), left : min(right, width)] for square in lines]
    )
    alike = unit(parts[:SAMPLE]) @ unit(parts[:SAMPLE]).T
    several = np.median([len(line.atoms) for line in lines.values()]) >= SOME
    most = MOST_ALIKE[1] if several else MOST_ALIKE[0]
    return float(np.median(alike[np.triu_indices(len(alike), 1)])) < most


def _box_around(lines: Sequence[Line]) -> Box:
    """Return the box around lines with a rim of a pixel."""
    return (
        max(min(line.left for line in lines) - 1, 0),
        max(min(line.top for line in lines) - 1, 0),
        max(line.right for line in lines) + 1,
        max(line.bottom for line in lines) + 1,
    )


def _print_in(ink: FloatArray, box: Box) -> Mask:
    """Return the ink inside a box, where any of it is full."""
    left, top, right, bottom = box
    result = np.zeros(ink.shape, bool)
    part = ink[top:bottom, left:right]
    result[top:bottom, left:right] = (part > 0.15) & (part.max(initial=0.0) > FULL_STROKE)
    return result


def _clear_strokes(ink: FloatArray) -> FloatArray:
    """Return the ink of strokes that are white somewhere and rise above the picture's grain."""
    grain = GRAIN * float(np.percentile(ink[1::4, 1::4], 90))
    if ink.max(initial=0.0) < WHITE:
        return np.zeros_like(ink)
    count, labels = cv2.connectedComponents(
        (ink > min(max(grain, 0.3), 0.6)).astype(np.uint8), connectivity=8
    )
    white = np.zeros(count, bool)
    white[labels[ink >= WHITE]] = True
    near = cv2.dilate(white[labels].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.where(near, ink, np.float32(0))


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
            (
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
