"""The picture a person checks a detection with: boxes, numbers, confidence by colour, poses."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryocorr_tui.core.detection import grey_picture
from cryocorr_tui.core.model import Detection, Hit, Montage, Pose, Square

__all__ = ["confidence_colour", "draw_overlay"]

Colour = tuple[int, int, int]

# Vermilion to yellow to sky blue: told apart by every kind of colour vision, and by lightness
# (Okabe & Ito's palette, doi:10.1038/nmeth.1618).
CONFIDENCE_COLOURS = np.array([(213, 94, 0), (240, 228, 66), (86, 180, 233)], np.float64)
OVERLAP = 0.95  # of the mean side: nearer squares share more than their borders
SMALL = 0.6  # size of a number where squares overlap
CUT_COLOUR: Colour = (160, 160, 160)
PRINT_COLOUR: Colour = (204, 121, 167)  # reddish purple
BLACK: Colour = (0, 0, 0)
BAND = 256  # rows that are converted at a time, to save memory
FONT = cv2.FONT_HERSHEY_SIMPLEX

# Strokes of an F in terms of its height, x to the right and y down from its middle. It has no
# symmetry, so that it shows at a glance how it is turned and whether it is mirrored.
LETTER_F = np.array(
    [[(-0.25, 0.5), (-0.25, -0.5)], [(-0.25, -0.5), (0.35, -0.5)], [(-0.25, -0.05), (0.2, -0.05)]]
)


def draw_overlay(montage: Montage, detection: Detection) -> NDArray[np.uint8]:
    """Draw the squares of a detection on its montage, laid out grey.

    Each square is framed in the colour of its confidence (vermilion 0, yellow ½, sky blue 1) and
    bears its place in `detection.squares`, from 0; squares that the edge of the picture cuts are
    crossed out in grey. Print that is masked out is tinted reddish purple. A hit also bears its
    score, lower left, and, upper right, an F turned and mirrored as the reference is there. Where
    boxes of hits overlap, they bear small numbers only, so that the picture stays in sight.

    Returns
    -------
    (height, width, 3) uint8
        RGB.
    """
    canvas = _in_grey(montage.picture)
    for square in detection.squares:
        _tint_print(canvas, square)
    crowded = _crowded(detection.squares)
    colours = [
        CUT_COLOUR if square.cut else confidence_colour(square.confidence)
        for square in detection.squares
    ]
    for square, colour in zip(detection.squares, colours, strict=True):
        _frame(canvas, square, colour)
        if square.cut:
            _cross_out(canvas, square)
    for index, (square, colour) in enumerate(zip(detection.squares, colours, strict=True)):
        _number(canvas, square, str(index), colour, small=bool(crowded[index]))
        if square.hit is not None and not crowded[index]:
            _score(canvas, square, square.hit, colour)
            _pose(canvas, square, square.hit, colour)
    return canvas


def _in_grey(picture: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return a picture in grey, as RGB."""
    if picture.dtype != np.uint8:
        return np.asarray(cv2.cvtColor(grey_picture(picture), cv2.COLOR_GRAY2RGB), np.uint8)
    canvas = np.empty((*picture.shape[:2], 3), np.uint8)
    for top in range(0, len(picture), BAND):
        rows = slice(top, top + BAND)
        cv2.cvtColor(grey_picture(picture[rows]), cv2.COLOR_GRAY2RGB, dst=canvas[rows])
    return canvas


def confidence_colour(confidence: float) -> Colour:
    """Return the RGB colour of a confidence in 0…1."""
    place = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLOURS) - 1)
    red, green, blue = (
        np.interp(place, range(len(CONFIDENCE_COLOURS)), channel)
        for channel in CONFIDENCE_COLOURS.T
    )
    return round(red), round(green), round(blue)


def _crowded(squares: Sequence[Square]) -> NDArray[np.bool_]:
    """Say which squares overlap another; only hits do."""
    if len(squares) < 2:
        return np.zeros(len(squares), bool)
    centre = np.array([(s.x + s.width / 2, s.y + s.height / 2) for s in squares])
    side = np.array([(s.width, s.height) for s in squares])
    crowded = np.zeros(len(squares), bool)
    for one, other in cKDTree(centre).query_pairs(side.max(), p=np.inf):
        apart = np.abs(centre[one] - centre[other])
        if np.all(apart < OVERLAP * (side[one] + side[other]) / 2):
            crowded[[one, other]] = True
    return crowded


def _corners(square: Square) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last pixel of a square."""
    x, y = round(square.x), round(square.y)
    return (x, y), (x + round(square.width) - 1, y + round(square.height) - 1)


def _tint_print(canvas: NDArray[np.uint8], square: Square) -> None:
    if square.labels is None:
        return
    (x, y), _ = _corners(square)
    mask = square.labels.mask
    part = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    part[mask] = (part[mask] + np.array(PRINT_COLOUR, dtype=np.uint16)) // 2


def _frame(canvas: NDArray[np.uint8], square: Square, colour: Colour) -> None:
    first, last = _corners(square)
    thick = max(1, round(min(square.width, square.height) / 80))
    cv2.rectangle(canvas, first, last, colour, thick)


def _number(
    canvas: NDArray[np.uint8], square: Square, text: str, colour: Colour, *, small: bool
) -> None:
    """Write a number in the upper left corner of a square."""
    (x, y), _ = _corners(square)
    lettering = _lettering(square, SMALL if small else 1.0)
    _, height = _plate_size(text, lettering)
    _plate(canvas, text, (x, y + height - 1), lettering, colour)


def _score(canvas: NDArray[np.uint8], square: Square, hit: Hit, colour: Colour) -> None:
    """Write the score of a hit in the lower left corner of its square."""
    (x, _), (_, y) = _corners(square)
    _plate(canvas, f"{hit.score:.2f}", (x, y), _lettering(square), colour)


def _pose(canvas: NDArray[np.uint8], square: Square, hit: Hit, colour: Colour) -> None:
    """Draw an F in the pose of a hit on a black plate in the upper right corner of its square."""
    (_, y), (x, _) = _corners(square)
    height = max(8.0, min(square.width, square.height) / 7)
    side = round(1.3 * height)  # of the plate: an F is as long across
    cv2.rectangle(canvas, (x - side, y), (x, y + side), BLACK, cv2.FILLED)
    linear = Pose(hit.rotation, mirrored=hit.mirrored).linear()
    strokes = [x - side / 2, y + side / 2] + height * LETTER_F @ linear.T
    sixteenths = np.rint(16 * strokes).astype(np.int32)
    thick = max(1, round(height / 10))
    cv2.polylines(canvas, list(sixteenths), False, colour, thick, cv2.LINE_AA, shift=4)


def _plate(
    canvas: NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    lettering: tuple[float, int],
    colour: Colour,
) -> None:
    """Write a text on a black plate of which `corner` is the lower left pixel."""
    (x, y), (width, height) = corner, _plate_size(text, lettering)
    cv2.rectangle(canvas, (x, y - height + 1), (x + width - 1, y), BLACK, cv2.FILLED)
    size, thick = lettering
    _, below = cv2.getTextSize(text, FONT, size, thick)
    cv2.putText(canvas, text, (x + 2, y - below), FONT, size, colour, thick, cv2.LINE_AA)


def _plate_size(text: str, lettering: tuple[float, int]) -> tuple[int, int]:
    """Return width and height in pixels."""
    (width, height), below = cv2.getTextSize(text, FONT, *lettering)
    return width + 4, height + below + 3


def _lettering(square: Square, scale: float = 1.0) -> tuple[float, int]:
    """Return the size of letters and the width of their strokes."""
    size = max(0.3, scale * min(square.width, square.height) / 300)
    return size, max(1, round(1.6 * size))


def _cross_out(canvas: NDArray[np.uint8], square: Square) -> None:
    first, last = _corners(square)
    cv2.line(canvas, first, last, CUT_COLOUR, 1, cv2.LINE_AA)
    cv2.line(canvas, (first[0], last[1]), (last[0], first[1]), CUT_COLOUR, 1, cv2.LINE_AA)
