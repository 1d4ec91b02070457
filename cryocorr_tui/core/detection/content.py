"""What boxes of a picture show: nothing, one level, a drawing, colours, or a class average."""

from __future__ import annotations

import math
from functools import reduce
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection.lattice import Boxes, Lattice

__all__ = ["FLAT", "gutter_level", "is_drawing", "levels", "show_images"]

Bytes = NDArray[np.uint8]
Pixel = TypeVar("Pixel", bound=np.generic)

FLAT = 0.985  # share of pixels at one level from which on a square is constant
BRIGHT_PAPER = 200.0  # grey level of the paper of plots, texts and buttons
LEAST_PAPER = 0.3  # share of a drawing that is paper
LEAST_DARK_PAPER = 0.8  # the same on paper of another level, which has no noise at all
# Ink is at one level where so many of its pixels are within the tolerance of it. Thick lines of it
# leave, eroded, less than what is left of a disc of one level, as masked class averages may be.
ONE_INK, INK_TOLERANCE = 0.3, 5
SOLID = 0.55
LEAST_SECOND = 0.1  # share of the rarer level where there are only two, as in charts
INSET = 0.08  # of the box: keeps borders and their blur out
SAMPLE = 40  # boxes that are looked at closely


def levels(grey: Bytes, boxes: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median level of each box and the share of its pixels within ±3 of it."""
    level, flat = np.full(len(boxes), np.nan), np.ones(len(boxes))
    for index, box in enumerate(boxes):
        part = _inside(grey, box)
        if part.size:
            level[index] = np.median(part)
            flat[index] = np.mean(np.abs(part.astype(np.int16) - level[index]) <= 3)
    return level, flat


def gutter_level(grey: Bytes, boxes: Boxes, lattice: Lattice) -> float:
    """Return the grey level of the gutters beside the boxes of a lattice, NaN where they touch."""
    strips = []
    for axis, gap in (
        (0, lattice.pitch_x - lattice.width),
        (1, lattice.pitch_y - lattice.height),
    ):
        if gap < 0.7:
            continue
        picture = grey if axis == 0 else grey.T
        for box in boxes:
            at = int(box[axis + 2] + gap / 2)
            if 0 <= at < picture.shape[1]:
                strips.append(picture[max(0, int(box[1 - axis])) : int(box[3 - axis]), at])
    pixels = np.concatenate(strips) if strips else np.empty(0)
    return float(np.median(pixels)) if pixels.size else math.nan


def show_images(
    picture: NDArray[np.generic], grey: Bytes, boxes: Boxes, *, drawings: float = 0.5
) -> bool:
    """Say whether boxes show grey images, not nothing, nor a share of drawings and colours."""
    _, flat = levels(grey, boxes)
    if np.mean(flat < FLAT) < 0.25:
        return False
    sample = boxes[:: max(1, len(boxes) // SAMPLE)]
    other = [_is_coloured(picture, box) or is_drawing(grey, box) for box in sample]
    return bool(np.mean(other) < drawings)


def is_drawing(grey: Bytes, box: NDArray[np.float64]) -> bool:
    """Say whether a box holds a drawing on paper: a plot, text, a table, an icon.

    The ink of a drawing is thin or of one level; a particle is thick and shaded. A picture of two
    levels is a chart.
    """
    part = _inside(grey, box).astype(np.float32)
    if min(part.shape) < 8:
        return True
    some = part[:: max(1, len(part) // 64)].astype(np.intp)
    second, first = np.sort(np.bincount(some.ravel(), minlength=2))[-2:]
    if second > LEAST_SECOND * some.size and first + second == some.size:
        return True
    rim = np.ones(part.shape, bool)
    rim[2:-2, 2:-2] = False
    paper = float(np.median(part[rim]))
    off = np.abs(part - paper)
    bright = paper >= BRIGHT_PAPER
    if np.mean(off <= (3 if bright else 0)) < (LEAST_PAPER if bright else LEAST_DARK_PAPER):
        return False
    ink = off > 12
    side = max(5, min(part.shape) // 20)
    core = cv2.erode(ink.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    if bright and _is_one_ink(part[ink]) and core.sum() < SOLID * ink.sum():
        return True
    slope = np.hypot(cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)) / 4
    return bool(np.count_nonzero(core & (slope > 1.5)) < max(0.005 * core.size, 0.5 * core.sum()))


def _is_one_ink(levels: NDArray[np.float32]) -> bool:
    """Say whether many pixels are about one level, as those of thick lines in one ink are."""
    counts = np.bincount(levels.astype(np.intp), minlength=256)
    near = np.convolve(counts, np.ones(2 * INK_TOLERANCE + 1))
    return bool(near.max() > ONE_INK * counts.sum())


def _is_coloured(picture: NDArray[np.generic], box: NDArray[np.float64]) -> bool:
    """Say whether most pixels of a box have a colour."""
    part = _inside(picture, box)
    if picture.ndim < 3 or not part.size:
        return False
    step = max(1, min(part.shape[:2]) // 64)
    channels = np.moveaxis(part[::step, ::step].astype(np.float32), 2, 0)
    # Channel by channel: numpy is slow where it reduces over a few neighbours in memory.
    most, least = reduce(np.maximum, channels), reduce(np.minimum, channels)
    return bool(np.mean(most - least > 0.1 * max(float(most.max()), 1.0)) > 0.5)


def _inside(picture: NDArray[Pixel], box: NDArray[np.float64]) -> NDArray[Pixel]:
    x0, y0, x1, y1 = box
    dx, dy = INSET * (x1 - x0), INSET * (y1 - y0)
    rows = slice(max(0, round(y0 + dy)), max(0, round(y1 - dy)))
    columns = slice(max(0, round(x0 + dx)), max(0, round(x1 - dx)))
    return picture[rows, columns]
