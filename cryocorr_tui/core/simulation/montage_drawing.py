"""Montages of class averages drawn as other programs draw them, with the place of every square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray

__all__ = ["DrawnMontage", "draw_cryosparc_montage", "draw_relion_montage"]

_PAGE = 24  # grey of the page between and around cryoSPARC's squares
_GREEN = (40, 255, 20)
_WHITE = (255, 255, 255)
_OVERSAMPLING = 4  # letters are drawn large and reduced, or they would be ragged
_SCALE_BARS = (10, 20, 50, 100, 200, 500, 1000)  # Å


@dataclass(frozen=True, eq=False)
class DrawnMontage:
    """A montage and where its class averages are.

    Attributes
    ----------
    picture : (height, width) or (height, width, 3) uint8
        Grey or RGB.
    squares : (n, 4) int32
        x, y (top-left corner), width and height of each class average in pixels, in the order of
        the images; lines and gaps between them are excluded.
    """

    picture: NDArray[np.uint8]
    squares: NDArray[np.int32]


def draw_relion_montage(images: FloatArray, *, columns: int = 10, line: int = 0) -> DrawnMontage:
    """Draw class averages as ``relion_display`` does: grey, side by side, each from black to white.

    Parameters
    ----------
    images : (n, box, box) float32
    columns : int
        Squares in a row; the rest of the last row is black.
    line : int
        Width in pixels of the black lines between the squares; 0 lets them touch.
    """
    box = images.shape[-1]
    squares = _grid(len(images), columns=columns, side=box, gap=line, margin=0)
    picture = _page(squares, margin=0, grey=0)
    for image, (x, y, width, height) in zip(images, squares, strict=True):
        picture[y : y + height, x : x + width] = _grey(image)
    return DrawnMontage(picture, squares)


def draw_cryosparc_montage(
    images: FloatArray,
    *,
    particles: Sequence[int],
    resolution: Sequence[float],
    ess: Sequence[float],
    pixel_size: float,
    columns: int = 10,
    side: int = 128,
) -> DrawnMontage:
    """Draw class averages as cryoSPARC does: apart, on a dark page, with green text on each.

    Parameters
    ----------
    images : (n, box, box) float32
    particles, resolution, ess : n numbers each
        What is printed: the count above; Å and effective number of classes below.
    pixel_size : float
        Å per pixel of the images, for the scale bar on the first square.
    columns : int
        Squares in a row.
    side : int
        Of each square as drawn, in pixels.
    """
    gap = max(side // 32, 2)
    squares = _grid(len(images), columns=columns, side=side, gap=gap, margin=gap)
    picture = cv2.cvtColor(_page(squares, margin=gap, grey=_PAGE), cv2.COLOR_GRAY2RGB)
    rows = zip(images, particles, resolution, ess, squares, strict=True)
    for image, count, angstroms, classes, (x, y, width, height) in rows:
        large = cv2.resize(_grey(image), (side, side), interpolation=cv2.INTER_CUBIC)
        square = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)
        _print_centred(square, f"{count} ptcls", height=side * 0.065, middle=side * 0.06)
        _print_centred(
            square, f"{angstroms:.1f} A {classes:.0f} ess", height=side * 0.065, middle=side * 0.94
        )
        picture[y : y + height, x : x + width] = square
    x, y = squares[0, :2]
    _draw_scale_bar(picture[y : y + side, x : x + side], pixel_size * images.shape[-1] / side)
    return DrawnMontage(picture, squares)


def _grid(count: int, *, columns: int, side: int, gap: int, margin: int) -> NDArray[np.int32]:
    row, column = np.divmod(np.arange(count, dtype=np.int32), columns)
    corner = np.stack([column, row], axis=1) * (side + gap) + margin
    return np.column_stack([corner, np.full((count, 2), side)]).astype(np.int32)


def _page(squares: NDArray[np.int32], *, margin: int, grey: int) -> NDArray[np.uint8]:
    width, height = (squares[:, :2] + squares[:, 2:]).max(axis=0) + margin
    return np.full((height, width), grey, dtype=np.uint8)


def _grey(image: FloatArray) -> NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    stretched = (image - low) * (255 / max(high - low, 1e-12))
    return np.asarray(np.rint(stretched), dtype=np.uint8)


def _print_centred(
    square: NDArray[np.uint8],
    text: str,
    *,
    height: float,
    middle: float,
    colour: tuple[int, int, int] = _GREEN,
) -> None:
    """Print `text` on an RGB square, `height` px high, centred on the row `middle`, in place."""
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, 5
    scale = cv2.getFontScaleFromHeight(font, round(height * _OVERSAMPLING), thickness)
    (wide, high), _ = cv2.getTextSize(text, font, scale, thickness)
    rows, columns = square.shape[:2]
    ink = np.zeros((rows * _OVERSAMPLING, columns * _OVERSAMPLING), dtype=np.uint8)
    left = (ink.shape[1] - wide) // 2
    bottom = round(middle * _OVERSAMPLING) + high // 2
    cv2.putText(ink, text, (left, bottom), font, scale, 255, thickness, cv2.LINE_AA)
    ink = cv2.resize(ink, (columns, rows), interpolation=cv2.INTER_AREA)
    opacity = ink[..., None].astype(np.float32) / 255
    square[:] = np.rint(square + opacity * (np.array(colour, np.float32) - square))


def _draw_scale_bar(square: NDArray[np.uint8], pixel_size: float) -> None:
    """Draw an upright scale bar of about a third of an RGB square at its left, in place."""
    side = len(square)
    wanted = side * pixel_size / 3
    angstroms = min(_SCALE_BARS, key=lambda length: abs(length - wanted))
    half = angstroms / pixel_size / 2
    top, bottom = round(side / 2 - half), round(side / 2 + half)
    square[top:bottom, round(0.1 * side) : round(0.1 * side) + max(side // 96, 1)] = _WHITE
    # Turned by a quarter, the left rim becomes the bottom one.
    turned = np.ascontiguousarray(np.rot90(square, -1))
    _print_centred(turned, f"{angstroms} A", height=side * 0.06, middle=side * 0.05, colour=_WHITE)
    square[:] = np.rot90(turned)
