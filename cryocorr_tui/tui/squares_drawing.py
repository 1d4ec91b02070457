"""Squares drawn on their montage, for a screen of few pixels: a pure function."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import Square
from cryocorr_tui.core.overlay import CUT_COLOUR, confidence_colour

__all__ = ["draw_squares"]

CURSOR_COLOUR = (255, 255, 255)
FRAME_COLOUR = (230, 159, 0)  # orange of Okabe & Ito's palette
FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTERS = 22  # height in pixels of the font at size 1
READABLE = 9.0  # pixels of the screen: the lowest letters that are drawn
DIMMED = 0.55  # of the grey of a square that takes no part


def draw_squares(
    canvas: NDArray[np.uint8],
    squares: Sequence[Square],
    *,
    scale: float,
    pen: float,
    cursor: int | None = None,
    frame: Square | None = None,
) -> NDArray[np.uint8]:
    """Draw squares on a picture.

    Each is framed in the colour of its confidence (vermilion 0, yellow ½, sky blue 1), cut ones are
    grey and crossed out, the one under the cursor is white. Numbers, and the scores of hits, are
    written where there is room to read them.

    Parameters
    ----------
    canvas : (height, width, 3) uint8
        The picture, RGB; left as it is.
    squares : sequence of Square
        In pixels of the montage.
    scale : float
        Pixels of the canvas per pixel of the montage.
    pen : float
        Pixels of the canvas per pixel of the screen: lines are as wide, to be seen.
    cursor : int, optional
        Index of a square.
    frame : Square, optional
        One that is being placed.

    Returns
    -------
    (height, width, 3) uint8
    """
    drawn: NDArray[np.uint8] = canvas.copy()
    thick = max(1, round(pen))
    for k, square in enumerate(squares):
        colour = CUT_COLOUR if square.cut else confidence_colour(square.confidence)
        _outline(drawn, square, scale, thick, colour)
        if square.cut:
            first, last = _corners(square, scale)
            cv2.line(drawn, first, last, colour, thick)
        _write(drawn, square, scale, pen, str(k), colour)
        if square.hit is not None:
            _write(drawn, square, scale, pen, f"{square.hit.score:.2f}", colour, below=True)
    if cursor is not None and cursor < len(squares):
        _outline(drawn, squares[cursor], scale, 2 * thick, CURSOR_COLOUR)
    if frame is not None:
        _outline(drawn, frame, scale, 2 * thick, FRAME_COLOUR)
    return drawn


def _corners(square: Square, scale: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last pixel of a square on the canvas."""
    first = round(square.x * scale), round(square.y * scale)
    return first, (
        round((square.x + square.width) * scale) - 1,
        round((square.y + square.height) * scale) - 1,
    )


def _outline(
    canvas: NDArray[np.uint8],
    square: Square,
    scale: float,
    thick: int,
    colour: tuple[int, int, int],
) -> None:
    """Draw a frame inside the border of a square, so that neighbours do not hide each other."""
    (left, top), (right, bottom) = _corners(square, scale)
    canvas[top : top + thick, left : right + 1] = colour
    canvas[max(bottom + 1 - thick, 0) : bottom + 1, left : right + 1] = colour
    canvas[top : bottom + 1, left : left + thick] = colour
    canvas[top : bottom + 1, max(right + 1 - thick, 0) : right + 1] = colour


def _write(
    canvas: NDArray[np.uint8],
    square: Square,
    scale: float,
    pen: float,
    text: str,
    colour: tuple[int, int, int],
    *,
    below: bool = False,
) -> None:
    """Write in the upper or lower left corner of a square, where there is room for it."""
    size = square.height * scale / 7 / LETTERS
    if size * LETTERS / pen < READABLE:
        return
    thick = max(1, round(1.6 * size))
    (width, height), under = cv2.getTextSize(text, FONT, size, thick)
    (left, top), (_, bottom) = _corners(square, scale)
    if below:
        top = bottom - height - under
    cv2.rectangle(canvas, (left, top), (left + width, top + height + under), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (left, top + height), FONT, size, colour, thick, cv2.LINE_AA)
