"""Ink: how much of a pixel is overlay, told by its colour or by white or black strokes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels.strips import Strip
from cryocorr_tui.core.model import FloatArray

__all__ = [
    "STRONG",
    "chroma_of",
    "colour_inks",
    "coloured",
    "colours_of",
    "label_type",
    "median_of",
    "stroke_ink",
]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

STRONG = 36  # of 255: a colour that no grey picture shows, JPEG artefacts included
WEAK = 14  # beside a strong one: the soft rim of a letter
RIM = 2  # pixels that the soft rim may be wide
MOST_COLOURED = 0.3  # of all pixels; above, the picture itself is drawn in colour
NEIGHBOUR_HUES = 25.0  # degrees within which two hues are one colour
OTHER_HUE = 35.0  # degrees from which on a pixel is not of a colour
AROUND = 9  # pixels, side of the window that tells the grey under the ink
LEAST_SHARE = 0.03  # of the coloured pixels, for a colour of its own
BAND = 256  # rows at a time, to save memory
SAMPLES = 40_000


def chroma_of(rgb: Bytes) -> Bytes:
    """Return (h, w) uint8: largest less smallest of red, green and blue, 0 for grey."""
    chroma = np.empty(rgb.shape[:2], np.uint8)
    for top in range(0, len(rgb), BAND):
        red, green, blue = cv2.split(rgb[top : top + BAND])
        largest = cv2.max(cv2.max(red, green), blue)
        smallest = cv2.min(cv2.min(red, green), blue)
        chroma[top : top + BAND] = cv2.subtract(largest, smallest)
    return chroma


def coloured(chroma: Bytes) -> Mask:
    """Return (h, w) bool: pixels of clear colour with their soft rim."""
    strong = (chroma > STRONG).astype(np.uint8)
    near = cv2.dilate(strong, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    return np.asarray((near > 0) & (chroma > WEAK))


def colours_of(rgb: Bytes, at: NDArray[np.intp], share: float) -> list[NDArray[np.float32]]:
    """Find the few colours that overlays are drawn in.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    at : (n,) int
        Where its pixels are of clear colour, counted along the rows.
    share : float
        Of all pixels that are looked at.

    Returns
    -------
    list of (3,) float32
        Red, green and blue of each at full ink, 0…255; empty for grey pictures and for pictures
        that are drawn in colours themselves.
    """
    if not 0 < share < MOST_COLOURED:
        return []
    strong = rgb.reshape(-1, 3)[at[:: max(1, len(at) // SAMPLES)]]
    hue, strength = _hue(strong)
    left = np.ones(len(strong), bool)
    colours: list[NDArray[np.float32]] = []
    while left.sum() > LEAST_SHARE * len(strong):
        votes = np.histogram(hue[left] % 360, bins=36, range=(0, 360), weights=strength[left])[0]
        peak = 10.0 * int(np.argmax(votes)) + 5.0
        own = left & (_apart(hue, peak) <= NEIGHBOUR_HUES)
        full = own & (strength >= np.percentile(strength[own], 85))
        colours.append(np.median(strong[full], axis=0).astype(np.float32))
        left &= ~own
    return colours


def colour_inks(
    rgb: Bytes,
    grey: Bytes,
    tint: Mask,
    colours: Sequence[NDArray[np.float32]],
    strip: Strip,
) -> Iterator[FloatArray]:
    """Yield how much of each pixel is ink of each colour.

    Each coloured pixel is taken for a mixture of the colour and of the grey that lies around the
    coloured ones: JPEG keeps colours at half the resolution, but light and dark at the full one.

    Parameters
    ----------
    rgb : (n · pitch, w, 3) uint8
    grey : (n · pitch, w) uint8
        The luminance of `rgb`.
    tint : (n · pitch, w) bool
        The `coloured` pixels.
    colours : sequence of (3,) float32
        Red, green and blue at full ink.
    strip : Strip
        How the squares lie in these.

    Yields
    ------
    (n · pitch, w) float32
        0…1; 0 on pixels that are grey or of another hue.
    """
    own = cv2.dilate(tint.view(np.uint8), np.ones((3, 3), np.uint8))
    strip.between(own)[:] = 0
    at = np.flatnonzero(own.view(bool))
    ground = _ground_under(grey, own, at, strip)
    pixels = rgb.reshape(-1, 3).take(at, axis=0).T.astype(np.float32)
    hue, strength = _hue(pixels.T)
    for colour in colours:
        towards = [full - ground for full in colour]
        mixture = sum((pixel - ground) * way for pixel, way in zip(pixels, towards, strict=True))
        mixture /= sum(way * way for way in towards)
        other = (strength > STRONG) & (_apart(hue, float(_hue(colour)[0])) > OTHER_HUE)
        ink = np.zeros(grey.shape, np.float32)
        ink.ravel()[at] = np.where(other, 0, np.clip(mixture, 0, 1))
        yield ink


def _ground_under(grey: Bytes, ink: Bytes, at: NDArray[np.intp], strip: Strip) -> FloatArray:
    """Return the mean grey around the pixels of `ink` (1, else 0), which are `at`, without it."""
    left = 1 - ink
    clear = grey * left
    for part in (left, clear):
        strip.mirror(part, AROUND // 2)
    pixels, levels = (
        cv2.boxFilter(part, cv2.CV_16U, (AROUND, AROUND), normalize=False).ravel()[at]
        for part in (left, clear)
    )
    ground = levels.astype(np.float32) / np.maximum(pixels, 1)
    nothing = np.flatnonzero(pixels == 0)
    number = at[nothing] // (strip.pitch * strip.width)
    for square in np.unique(number).tolist():
        ground[nothing[number == square]] = median_of(strip.each(grey)[square])
    return np.asarray(ground, np.float32)


def median_of(levels: Bytes) -> float:
    """Return the median of grey levels, by their histogram."""
    up_to = np.cumsum(cv2.calcHist([levels], [0], None, [256], [0, 256]))
    middle = (levels.size + 1) // 2, levels.size // 2 + 1
    return float(np.searchsorted(up_to, middle).mean())


def stroke_ink(grey: Bytes, ground: Bytes) -> FloatArray:
    """Return (h, w) float32 in 0…1: how much of each pixel is a thin white stroke.

    Parameters
    ----------
    grey : (h, w) uint8
        Inverted to find black strokes.
    ground : (h, w) uint8
        Its morphological opening, in which no thin stroke is left.
    """
    above, room = cv2.subtract(grey, ground), np.maximum(~ground, 40)
    return np.asarray(cv2.divide(above, room, dtype=cv2.CV_32F), np.float32)


def label_type(shape: tuple[int, ...]) -> int:
    """Return OpenCV's type of labels: 16 bits, which are found in half the time, where they do."""
    height, width = shape
    most = ((height + 1) // 2) * ((width + 1) // 2)  # connected components and the ground
    return int(cv2.CV_16U if most < 2**16 - 1 else cv2.CV_32S)


def _hue(rgb: NDArray[np.generic]) -> tuple[FloatArray, FloatArray]:
    """Return the hue in degrees and the strength, 0…255, of colours (…, 3)."""
    red, green, blue = (rgb[..., k].astype(np.float32) for k in range(3))
    x, y = red - (green + blue) / 2, np.sqrt(np.float32(0.75)) * (green - blue)
    return np.degrees(np.arctan2(y, x)), np.hypot(x, y)


def _apart(hue: FloatArray, other: float) -> FloatArray:
    """Return the angle between hues, 0…180 degrees."""
    return np.asarray(np.abs((hue - other + 180) % 360 - 180))
