"""Straight things drawn on squares: scale bars with their captions, plates under text, frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.ink import label_type, median_of
from cryocorr_tui.core.labels.strips import Strip
from cryocorr_tui.core.model import FloatArray

__all__ = ["find_bars", "find_plate", "has_frame"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = Sequence[int]  # left, top, width, height

LEAST_LENGTH = 0.1  # of the side of the square; at least 13 pixels
LONGEST = 0.9  # of the side; longer is a border line
BESIDE = 0.2  # of the side, at least, from the middle to a bar: there is the particle
LEAST_RATIO = 4.0  # length of a bar in terms of its thickness
CONSTANT = 10.0  # grey levels that a bar may vary by
STEP = 50.0  # grey levels between a bar and what lies beside it
ALONG = 0.75  # of a bar, at least, this is so: its caption may come near
LEVEL = 2  # pixels by which the ends of letters of one line may differ
CAPTION = 0.16  # of the side: how far from its bar a caption is looked for
FLAT = 3.0  # grey levels that half of a plate varies by between the letters
APART = 15.0  # grey levels between a plate and the picture around it
SHADOW = 3  # pixels around a plate that its soft rim or shadow may take
FULL = 0.85  # share of its own box that a plate covers
SIDE = 0.35  # share of each side that a frame must be seen along; text may stand on it
FRAME = 0.55  # the same of all four


def find_bars(grey: Bytes, strokes: FloatArray, strip: Strip) -> Iterator[tuple[int, Mask]]:
    """Find white scale bars and their captions, whichever way they run.

    Parameters
    ----------
    grey : (n · pitch, w) uint8
        Inverted to find black ones.
    strokes : (n · pitch, w) float32
        Ink of thin white strokes, 0…1.
    strip : Strip
        How the squares lie in both.

    Yields
    ------
    int, (h, w) bool
        Number of a square in its strip that has some, and the pixels of them.
    """
    least = max(12, round(LEAST_LENGTH * min(strip.height, strip.width))) | 1  # odd: no shift
    bright = ((strokes > 0.5) & (grey > 200)).view(np.uint8)
    windows = (1, least), (least, 1)
    level, upright = (strip.erode(bright, window) for window in windows)
    is_level, is_upright = (_any_of_each(strip, lines) for lines in (level, upright))
    for number in np.flatnonzero(is_level | is_upright).tolist():
        own, ink, white = (
            strip.each(grey)[number],
            strip.each(strokes)[number],
            strip.each(bright)[number],
        )
        found = np.zeros((strip.height, strip.width), bool)
        if is_level[number]:
            lines = cv2.dilate(strip.each(level)[number], np.ones(windows[0], np.uint8))
            found |= _level_bars(own, ink, white, lines)
        if is_upright[number]:
            lines = cv2.dilate(strip.each(upright)[number], np.ones(windows[1], np.uint8))
            found |= _level_bars(own.T, ink.T, white.T, lines.T).T
        if found.any():
            yield number, found


def _any_of_each(strip: Strip, lines: Bytes) -> NDArray[np.bool_]:
    """Say which squares of a strip show any pixel, where none lies between them."""
    return np.asarray(lines.reshape(len(strip.squares), -1).max(axis=1) > 0)


def _level_bars(grey: Bytes, strokes: FloatArray, bright: Bytes, lines: Bytes) -> Mask:
    """Find the bars that run from left to right, among the straight `lines` of `bright` pixels."""
    found = np.zeros(grey.shape, bool)
    kind = label_type(grey.shape)
    x, y, wide, high = cv2.boundingRect(lines)
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        lines[y : y + high, x : x + wide], connectivity=8, ltype=kind
    )
    stats[:, :2] += x, y
    bars = [bar for *bar, area in stats[1:].tolist() if _is_bar(grey, bar, area)]
    if not bars:
        return found
    _, strokes_of, boxes, _ = cv2.connectedComponentsWithStats(bright, connectivity=8, ltype=kind)
    for bar in bars:
        x, y, wide, high = bar
        if _is_whole(bar, boxes[strokes_of[y, x + wide // 2]]) and not _is_letter(bar, boxes[1:]):
            found[max(y - 1, 0) : y + high + 1, max(x - 1, 0) : x + wide + 1] = True
            found |= _caption(strokes, bright, x, y, wide, high)
    return found


def _is_bar(grey: Bytes, bar: Box, area: int) -> bool:
    """Say whether `area` pixels in a line are a bar: even, beside the particle, on dark ground."""
    x, y, wide, high = bar
    height, side = len(grey), min(grey.shape)
    inside = grey[y : y + high, x : x + wide]
    return bool(
        LEAST_RATIO * high <= wide <= LONGEST * side
        and area >= FULL * wide * high
        and abs(y + high / 2 - height / 2) >= BESIDE * height
        and inside.std() <= CONSTANT
        and _stands_out(grey, x, y, wide, high, float(np.median(inside)))
    )


def _is_letter(bar: Box, strokes: NDArray[np.integer]) -> bool:
    """Say whether another stroke begins and ends where a bar does, beside it: they are 1 and l."""
    ends = np.abs(strokes[:, 0] - bar[0]) <= LEVEL
    ends &= np.abs(strokes[:, 0] + strokes[:, 2] - (bar[0] + bar[2])) <= LEVEL
    below, above = strokes[:, 1] - (bar[1] + bar[3]), bar[1] - (strokes[:, 1] + strokes[:, 3])
    gap = np.maximum(below, above)  # negative for the stroke that the bar itself is
    return bool((ends & (gap >= 0) & (gap <= bar[2])).any())


def _is_whole(bar: Box, stroke: Box) -> bool:
    """Say whether a bar is all of its stroke but for the marks at its ends."""
    marks = max(4, 3 * bar[3])
    return bool(
        stroke[0] >= bar[0] - marks
        and stroke[1] >= bar[1] - marks
        and stroke[2] <= bar[2] + 2 * marks
        and stroke[3] <= bar[3] + 2 * marks
    )


def _stands_out(grey: Bytes, x: int, y: int, wide: int, high: int, level: float) -> bool:
    """Say whether the picture is darker all around a bar, two pixels away from it."""
    if y < 3 or y + high + 3 > grey.shape[0]:
        return False  # a line at the border of the square
    ends = [column for column in (x - 3, x + wide + 2) if 0 <= column < grey.shape[1]]
    beside = grey[[y - 3, y + high + 2], x : x + wide]
    beyond = np.array([float(grey[y : y + high, column].mean()) for column in ends])
    return bool((level - beside > STEP).mean() > ALONG and (level - beyond > STEP).all())


def _caption(strokes: FloatArray, bright: Bytes, x: int, y: int, wide: int, high: int) -> Mask:
    """Return the letters beside a bar: thin strokes that lie within its length, at its level."""
    reach = round(CAPTION * min(bright.shape))
    window = np.zeros(bright.shape, bool)
    slip = wide // 8
    window[max(y - reach, 0) : y + high + reach, max(x - slip, 0) : x + wide + slip] = True
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (strokes > 0.4).astype(np.uint8), connectivity=8
    )
    inside = np.bincount(labels[window], minlength=count) == stats[:, cv2.CC_STAT_AREA]
    at_level = np.bincount(labels[bright > 0], minlength=count) > 0
    small = stats[:, 2:4].max(axis=1) <= 0.75 * reach
    letter = inside & at_level & small
    letter[0] = False
    return np.asarray(letter[labels]) if letter.sum() >= 2 else np.zeros(bright.shape, bool)


def find_plate(grey: Bytes, overlay: Mask, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Find the flat plate that letters stand on, where there is one.

    Parameters
    ----------
    grey : (h, w) uint8
    overlay : (h, w) bool
        The letters.
    box : int × 4
        Left, top, right and bottom of the letters.

    Returns
    -------
    slice, slice
        Rows and columns of the plate with its rim; empty where the letters stand on the picture.
    """
    none = slice(0, 0), slice(0, 0)
    left, top, right, bottom = box
    between = ~overlay[top:bottom, left:right]
    if not between.any():
        return none
    ground = grey[top:bottom, left:right][between]
    level = median_of(ground)
    if np.count_nonzero(np.abs(ground - np.float32(level)) <= FLAT) < 0.5 * len(ground):
        return none
    height, width = grey.shape
    reach = max(6, 2 * (bottom - top))
    y0, x0 = max(top - reach, 0), max(left - reach, 0)
    y1, x1 = min(bottom + reach, height), min(right + reach, width)
    near = grey[y0:y1, x0:x1]
    beyond = np.ones(near.shape, bool)
    beyond[reach // 2 : -(reach // 2), reach // 2 : -(reach // 2)] = False
    apart = abs(median_of(near[beyond]) - level)
    if apart < APART:
        return none
    same = (np.abs(near - np.float32(level)) < 0.4 * apart) | overlay[y0:y1, x0:x1]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(same.astype(np.uint8), connectivity=4)
    own = np.bincount(labels[top - y0 : bottom - y0, left - x0 : right - x0].ravel())
    own[0] = 0
    x, y, wide, high, area = (int(v) for v in stats[int(own.argmax())])
    inner = (
        (x > 0 or x0 == 0)
        and (y > 0 or y0 == 0)
        and (x + wide < x1 - x0 or x1 == width)
        and (y + high < y1 - y0 or y1 == height)
    )
    if not inner or area < FULL * wide * high:
        return none
    return (
        slice(max(y0 + y - SHADOW, 0), y0 + y + high + SHADOW),
        slice(max(x0 + x - SHADOW, 0), x0 + x + wide + SHADOW),
    )


def has_frame(ink: FloatArray, square: tuple[int, int, int, int]) -> bool:
    """Say whether a frame of one colour runs along all four sides of a square.

    Parameters
    ----------
    ink : (h, w) float32
        Ink of that colour in the square and its half of the gaps around, 0…1.
    square : int × 4
        Left, top, right and bottom of the square in it.
    """
    left, top, right, bottom = square
    drawn = (ink > 0.5).astype(np.uint8)
    if drawn.sum(axis=0, dtype=np.intp).max() < SIDE * (bottom - top):
        return False
    across, along = max((right - left) // 10, 4), max((bottom - top) // 10, 4)
    level = cv2.morphologyEx(drawn, cv2.MORPH_OPEN, np.ones((1, across), np.uint8))
    upright = cv2.morphologyEx(drawn, cv2.MORPH_OPEN, np.ones((along, 1), np.uint8))
    rows = level.sum(axis=1) / (right - left)
    columns = upright.sum(axis=0) / (bottom - top)
    third_y, third_x = (bottom - top) // 3, (right - left) // 3
    seen = (
        rows[: top + third_y].max(),
        rows[bottom - third_y :].max(),
        columns[: left + third_x].max(),
        columns[right - third_x :].max(),
    )
    return bool(min(seen) >= SIDE and np.mean(seen) >= FRAME)
