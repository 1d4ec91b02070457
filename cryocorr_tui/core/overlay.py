"""The picture a person checks a detection with: boxes, numbers, confidence by colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection import grey_picture
from cryocorr_tui.core.model import Detection, Montage, Square

__all__ = ["confidence_colour", "draw_overlay"]

Colour = tuple[int, int, int]

# Vermilion to yellow to sky blue: told apart by every kind of colour vision, and by lightness
# (Okabe & Ito's palette, doi:10.1038/nmeth.1618).
CONFIDENCE_COLOURS = np.array([(213, 94, 0), (240, 228, 66), (86, 180, 233)], np.float64)
CUT_COLOUR: Colour = (160, 160, 160)
PRINT_COLOUR: Colour = (204, 121, 167)  # reddish purple
BLACK: Colour = (0, 0, 0)


def draw_overlay(montage: Montage, detection: Detection) -> NDArray[np.uint8]:
    """Draw the squares of a detection on its montage, laid out grey.

    Each square is framed in the colour of its confidence (vermilion 0, yellow ½, sky blue 1) and
    bears its place in `detection.squares`, from 0; squares that the edge of the picture cuts are
    crossed out in grey. Print that is masked out is tinted reddish purple.

    Returns
    -------
    (height, width, 3) uint8
        RGB.
    """
    canvas: NDArray[np.uint8] = cv2.cvtColor(grey_picture(montage.picture), cv2.COLOR_GRAY2RGB)
    for square in detection.squares:
        _tint_print(canvas, square)
    for index, square in enumerate(detection.squares):
        colour = CUT_COLOUR if square.cut else confidence_colour(square.confidence)
        _frame(canvas, square, colour)
        if square.cut:
            _cross_out(canvas, square)
        _number(canvas, square, str(index), colour)
    return canvas


def confidence_colour(confidence: float) -> Colour:
    """Return the RGB colour of a confidence in 0…1."""
    place = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLOURS) - 1)
    red, green, blue = (
        np.interp(place, range(len(CONFIDENCE_COLOURS)), channel)
        for channel in CONFIDENCE_COLOURS.T
    )
    return round(red), round(green), round(blue)


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


def _number(canvas: NDArray[np.uint8], square: Square, text: str, colour: Colour) -> None:
    """Write a number on a black plate in the upper left corner of a square."""
    (x, y), _ = _corners(square)
    size = max(0.3, min(square.width, square.height) / 300)
    thick = max(1, round(1.6 * size))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    cv2.rectangle(canvas, (x, y), (x + width + 3, y + height + below + 2), BLACK, cv2.FILLED)
    at = (x + 2, y + height + 2)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def _cross_out(canvas: NDArray[np.uint8], square: Square) -> None:
    first, last = _corners(square)
    cv2.line(canvas, first, last, CUT_COLOUR, 1, cv2.LINE_AA)
    cv2.line(canvas, (first[0], last[1]), (last[0], first[1]), CUT_COLOUR, 1, cv2.LINE_AA)
