"""White and black print: strokes that stand at one place of most squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.glyphs import unit
from cryocorr_tui.core.labels.ink import label_type, stroke_ink
from cryocorr_tui.core.labels.lines import Line, Place, find_lines, places_of
from cryocorr_tui.core.labels.meaning import Meaning, read_lines
from cryocorr_tui.core.labels.shapes import find_bars
from cryocorr_tui.core.labels.strips import Strip, strips_of
from cryocorr_tui.core.model import FloatArray

__all__ = ["take_strokes"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

STROKE = 0.02  # of the side: half the width of the widest stroke of a letter
WHITE = 0.65, 0.45  # ink that a white letter reaches somewhere, and a light grey one
GRAIN = 1.6  # ink of a stroke in terms of what nine of ten pixels stay below
FULL_STROKE = 0.38  # ink of a white stroke that is surely part of a letter
FAINT_STROKE = 0.3  # ink below which a column between letters is empty
RIM = 0.15  # ink of the soft rim of a letter
NEW = 0.1  # of the lines of a place, below which it has been found already
BESIDE = 0.8  # of the height of a digit: where the next one would stand
AS_DENSE = 0.5  # in terms of the ink of a line: what beside it may be a digit
FIRST = 64  # squares, taken at random, of which
HINT = 0.3  # must have a line at a place for the others to be looked at
COMMON = 0.5  # of the squares must have a line at a place,
CONVINCING = 0.6  # of which so many must be readable, or
REGULAR = 0.65  # of the squares, and at least
LEAST_REGULAR = 6  # of them, must have a line at exactly this place,
NEAR_EDGE = 0.27  # of the height, at most, away from top or bottom
MOST_ALIKE = 0.6, 0.8  # correlation of lines of different squares; of those with
SOME = 3  # glyphs or more, which may begin with a word
SAMPLE = 40  # lines whose likeness is measured
FEW = 3  # squares, below which one says nothing about the other


def take_strokes(
    greys: Sequence[Bytes], masks: Sequence[Mask], *, dark: bool
) -> list[tuple[Line, Meaning]]:
    """Add white or black print and bars to masks; return the lines with what they say.

    Parameters
    ----------
    greys : sequence of (h, w) uint8
        The squares.
    masks : sequence of (h, w) bool
        What is known to be overlay on each; changed.
    dark : bool
        Look for black print instead of white.
    """
    squares = np.random.default_rng(0).permutation(len(greys)).tolist()
    first, others = squares[:FIRST], squares[FIRST:]
    lines: dict[float, list[Line]] = {white: [] for white in WHITE}
    _add_lines(lines, first, greys, masks, dark=dark)
    said: list[tuple[Line, Meaning]] = []
    height = float(np.median([len(grey) for grey in greys]))
    unprinted = masks
    for white, found in lines.items():
        promising = _may_print(found, masks) if others else True
        if others and (promising or white == WHITE[0]):  # bars are there in any case
            _add_lines({white: found} if promising else {}, others, greys, unprinted, dark=dark)
        if not promising:
            continue
        found.sort(key=lambda line: line.square)
        earlier = [mask.copy() for mask in masks]
        if white == WHITE[0]:
            unprinted = earlier
        for place, read, new in _printed_places(found, earlier, height):
            for (line, meaning), is_new in zip(read, new, strict=True):
                grey, mask = greys[line.square], masks[line.square]
                if is_new:
                    whole = not meaning.text or _is_all(
                        line, _ink_beside(line, ~grey if dark else grey, mask), place.digit
                    )
                    said.append((line, meaning if whole else Meaning()))
                left, top, right, bottom = _box_around([line])
                mask[top:bottom, left:right] |= line.rim > RIM
            _mask_around(place, greys, masks, dark=dark)
    return said


def _mask_around(
    place: Place, greys: Sequence[Bytes], masks: Sequence[Mask], *, dark: bool
) -> None:
    """Add the print at a place to the masks of squares on which it could not be told for a line."""
    anywhere = _box_around(place.lines)
    lineless = sorted(set(range(len(greys))) - {line.square for line in place.lines})
    for strip in strips_of([grey.shape for grey in greys], lineless):
        _, strokes = _strokes(greys, masks, strip, dark=dark)
        (clear,) = _clear(strokes, strip, WHITE[:1])
        for square, ink in zip(strip.squares, strip.each(clear), strict=True):
            masks[square] |= _print_in(ink, anywhere)


def _add_lines(
    lines: dict[float, list[Line]],
    squares: Sequence[int],
    greys: Sequence[Bytes],
    masks: Sequence[Mask],
    *,
    dark: bool,
) -> None:
    """Add the lines on some squares for each white to `lines`, and their bars to masks."""
    for strip in strips_of([grey.shape for grey in greys], squares):
        bright, ink = _strokes(greys, masks, strip, dark=dark)
        for number, bars in find_bars(bright, ink, strip):
            masks[strip.squares[number]][bars] = True
            strip.each(ink)[number][bars] = 0
        for found, clear in zip(lines.values(), _clear(ink, strip, list(lines)), strict=True):
            found += find_lines(clear, strip, full=FULL_STROKE, faint=FAINT_STROKE)


def _may_print(lines: Sequence[Line], masks: Sequence[Mask]) -> bool:
    """Say whether enough of the lines of the first squares stand at one place, any not masked."""
    return any(
        not _is_masked(line, masks[line.square])
        for place in places_of(lines, HINT * FIRST)
        for line in place.lines
    )


def _is_all(line: Line, rows: FloatArray, digit: float) -> bool:
    """Say whether no ink as dense as that of a line stands beside it, where a digit was lost.

    `rows` holds the ink of all strokes in the rows of the line.
    """
    density = float(rows[:, line.left : line.right].mean())
    wide = max(round(BESIDE * digit), 2)
    beside = rows[:, max(line.left - wide, 0) : line.left], rows[:, line.right :][:, :wide]
    return all(part.size == 0 or part.mean() < AS_DENSE * density for part in beside)


def _is_masked(line: Line, mask: Mask) -> bool:
    """Say whether most of a line is known to be overlay."""
    inked = line.ink[line.above :][: line.bottom - line.top] > FULL_STROKE
    masked = mask[line.top : line.bottom, line.left : line.right] & inked
    return bool(2 * np.count_nonzero(masked) > np.count_nonzero(inked))


def _strokes(
    greys: Sequence[Bytes], masks: Sequence[Mask], strip: Strip, *, dark: bool
) -> tuple[Bytes, FloatArray]:
    """Return squares, inverted where `dark`, and the ink of strokes not known to be overlay."""
    bright = strip.lay(greys, 0)
    if dark:
        bright = ~bright
    widest = _widest(strip.height, strip.width)
    ink = stroke_ink(bright, strip.open(bright, (2 * widest + 1, 2 * widest + 1)))
    ink[strip.lay(masks, True)] = 0
    return bright, ink


def _ink_beside(line: Line, bright: Bytes, mask: Mask) -> FloatArray:
    """Return the ink of strokes in the rows of a line."""
    widest = _widest(*bright.shape)
    top = max(line.top - 2 * widest, 0)
    rows = bright[top : line.bottom + 2 * widest]
    window = np.ones((2 * widest + 1, 2 * widest + 1), np.uint8)
    ink = stroke_ink(rows, cv2.morphologyEx(rows, cv2.MORPH_OPEN, window))
    ink = ink[line.top - top : line.bottom - top]
    ink[mask[line.top : line.bottom]] = 0
    return ink


def _widest(height: int, width: int) -> int:
    """Return how many pixels a stroke on a square may be wide."""
    return int(max(3, round(STROKE * min(height, width))))


def _clear(ink: FloatArray, strip: Strip, whites: Sequence[float]) -> Iterator[FloatArray]:
    """Yield the ink of strokes that are white somewhere and rise above their square's grain."""
    sample = strip.each(ink)[:, 1::4, 1::4].reshape(len(strip.squares), -1)
    ninth = int(0.9 * sample.shape[1])
    grain = GRAIN * np.partition(sample, ninth, axis=1)[:, ninth].astype(np.float64)
    last = None
    for white in whites:
        level = np.minimum(np.maximum(grain, 0.3), white - 0.05).astype(np.float32)
        if last is None or (level != last).any():
            last = level
            above = ink > np.repeat(level, strip.pitch)[:, None]
            count, labels = cv2.connectedComponents(
                above.view(np.uint8), connectivity=8, ltype=label_type(ink.shape)
            )
            at = np.flatnonzero(above)  # few, so that only these are looked at from here on
            stroke, density = labels.ravel()[at], ink.ravel()[at]
        whole = np.zeros(count, bool)
        whole[stroke[density >= white]] = True
        kept = np.zeros(ink.shape, np.uint8)
        kept.ravel()[at[whole[stroke]]] = 1
        yield cv2.copyTo(ink, cv2.dilate(kept, np.ones((3, 3), np.uint8)))


def _printed_places(
    lines: Sequence[Line], masks: Sequence[Mask], height: float
) -> Iterator[tuple[Place, list[tuple[Line, Meaning]], list[bool]]]:
    """Yield the places whose lines are print rather than parts of particles.

    With each come its lines, what they say, and whether most of their ink is not yet masked.
    """
    squares = len(masks)
    least = COMMON * squares if squares >= FEW else 1
    for place in places_of(lines, least):
        new = [not _is_masked(line, masks[line.square]) for line in place.lines]
        if np.mean(new) >= NEW:
            read = read_lines(place, squares)
            readable = sum(bool(meaning.text) for _, meaning in read)
            if readable >= CONVINCING * len(read) or _is_regular(place, squares, height):
                yield place, read, new


def _is_regular(place: Place, squares: int, height: float) -> bool:
    """Say whether most squares show different glyphs on exactly the same rows, near an edge.

    Details of particles do not keep to the same rows, unless the squares show one particle, and
    then they are alike; filaments keep to the middle.
    """
    rows = np.array([(line.head, line.foot) for line in place.lines])
    head, foot = np.median(rows, axis=0)
    exact = (np.abs(rows - (head, foot)) <= 1.2).all(axis=1)
    lines = {line.square: line for line, own in zip(place.lines, exact, strict=True) if own}
    if len(lines) < max(REGULAR * squares, LEAST_REGULAR):
        return False
    if NEAR_EDGE < (head + foot) / 2 / height < 1 - NEAR_EDGE:
        return False
    several = np.median([len(line.atoms) for line in lines.values()]) >= SOME
    likeness = _likeness(list(lines.values())[:SAMPLE], round(head), round(foot))
    return likeness < MOST_ALIKE[bool(several)]


def _likeness(lines: Sequence[Line], top: int, bottom: int) -> float:
    """Return the median correlation of lines where they stand, between two rows."""
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    strips = np.zeros((len(lines), bottom - top, right - left), np.float32)
    for strip, line in zip(strips, lines, strict=True):
        part = line.ink[max(top - line.top + line.above, 0) :][: bottom - top]
        strip[: len(part), line.left - left : line.right - left] = part
    flat = unit(strips)
    return float(np.median((flat @ flat.T)[np.triu_indices(len(flat), 1)]))


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
    result[top:bottom, left:right] = (part > RIM) & (part.max(initial=0.0) > FULL_STROKE)
    return result
