"""Ink: how much of a pixel is overlay, told by its colour or by white or black strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray

__all__ = ["chroma_of", "colour_ink", "coloured", "colours_of", "stroke_ink"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

STRONG = 48  # of 255: a colour that no grey picture shows, JPEG artefacts included
WEAK = 14  # beside a strong one: the soft rim of a letter
RIM = 2  # pixels that the soft rim may be wide
MOST_COLOURED = 0.3  # of all pixels; above, the picture itself is drawn in colour
NEIGHBOUR_HUES = 25.0  # degrees within which two hues are one colour
LEAST_SHARE = 0.03  # of the coloured pixels, for a colour of its own
SAMPLES = 40_000


def chroma_of(rgb: Bytes) -> Bytes:
    """Return (h, w) uint8: largest less smallest of red, green and blue, 0 for grey."""
    red, green, blue = cv2.split(rgb)
    largest = cv2.max(cv2.max(red, green), blue)
    smallest = cv2.min(cv2.min(red, green), blue)
    return np.asarray(cv2.subtract(largest, smallest))


def coloured(chroma: Bytes) -> Mask:
    """Return (h, w) bool: pixels of clear colour with their soft rim."""
    strong = (chroma > STRONG).astype(np.uint8)
    near = cv2.dilate(strong, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    return np.asarray((near > 0) & (chroma > WEAK))


def colours_of(squares: Sequence[Bytes]) -> list[NDArray[np.float32]]:
    """Find the few colours that overlays are drawn in.

    Parameters
    ----------
    squares : sequence of (h, w, 3) uint8

    Returns
    -------
    list of (2,) float32
        Chroma of each colour at full ink, see `_chroma_plane`; empty for grey pictures and for
        pictures that are drawn in colours themselves.
    """
    found, pixels = [], 0
    for rgb in squares:
        pixels += rgb.shape[0] * rgb.shape[1]
        found.append(rgb[chroma_of(rgb) > STRONG])
    strong = np.concatenate(found) if found else np.empty((0, 3), np.uint8)
    if not 0 < len(strong) < MOST_COLOURED * pixels:
        return []
    strong = strong[:: max(1, len(strong) // SAMPLES)]
    plane = _chroma_plane(strong)
    strength = np.linalg.norm(plane, axis=1)
    hue = np.degrees(np.arctan2(plane[:, 1], plane[:, 0]))
    left = np.ones(len(plane), bool)
    colours: list[NDArray[np.float32]] = []
    while left.sum() > LEAST_SHARE * len(plane):
        votes = np.histogram(hue[left] % 360, bins=36, range=(0, 360), weights=strength[left])[0]
        peak = 10.0 * int(np.argmax(votes)) + 5.0
        own = left & (_hue_distance(hue, peak) <= NEIGHBOUR_HUES)
        full = own & (strength >= np.percentile(strength[own], 85))
        colours.append(np.median(plane[full], axis=0).astype(np.float32))
        left &= ~own
    return colours


def colour_ink(rgb: Bytes, colour: NDArray[np.float32]) -> FloatArray:
    """Return (h, w) float32 in 0…1: how much of each pixel is ink of `colour`."""
    plane = _chroma_plane(rgb)
    ink = plane @ (colour / (colour @ colour))
    strength = np.hypot(plane[..., 0], plane[..., 1])
    hue = np.degrees(np.arctan2(plane[..., 1], plane[..., 0]))
    of_colour = np.degrees(np.arctan2(colour[1], colour[0]))
    ink[(strength > STRONG) & (_hue_distance(hue, of_colour) > NEIGHBOUR_HUES + 10)] = 0
    return np.clip(ink, 0, 1)


def stroke_ink(grey: Bytes, *, widest: int) -> FloatArray:
    """Return (h, w) float32 in 0…1: how much of each pixel is a thin white stroke.

    Parameters
    ----------
    grey : (h, w) uint8
        Inverted to find black strokes.
    widest : int
        Pixels that a stroke may be wide.
    """
    element = np.ones((2 * widest + 1, 2 * widest + 1), np.uint8)
    ground = cv2.morphologyEx(grey, cv2.MORPH_OPEN, element)
    room = cv2.subtract(np.uint8(255), ground).astype(np.float32)
    return np.asarray((grey.astype(np.float32) - ground) / np.maximum(room, 60))


def _chroma_plane(rgb: Bytes) -> FloatArray:
    """Return (…, 2) float32: the colour without its grey, the hue its direction."""
    red, green, blue = (rgb[..., k].astype(np.float32) for k in range(3))
    return np.stack([red - (green + blue) / 2, np.sqrt(np.float32(0.75)) * (green - blue)], axis=-1)


def _hue_distance(hue: FloatArray, other: float) -> FloatArray:
    return np.asarray(np.abs((hue - other + 180) % 360 - 180))
