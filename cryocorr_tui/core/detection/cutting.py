"""Squares cut out of their montage, what is printed on them filled in."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.labels import remove_labels
from cryocorr_tui.core.model import Detection, FloatArray, Montage, Square
from cryocorr_tui.core.preprocessing import COVERED

__all__ = ["cut_out", "overlays_of"]


def cut_out(montage: Montage, detection: Detection) -> FloatArray:
    """Return the whole squares as grey class averages of one box.

    What `Square.labels` tells to be print is filled smoothly. Squares of another size are resampled
    to the median box (by area when they shrink, else cubic); `Detection.notes` says so where sizes
    differ by more than a pixel.

    Returns
    -------
    (n, box, box) float32
        In the order of `detection`, cut squares left out, grey levels of the picture.
    """
    whole = _whole_squares(detection)
    box = _common_box(whole)
    images = np.empty((len(whole), box, box), np.float32)
    for image, square in zip(images, whole, strict=True):
        x, y = round(square.x), round(square.y)
        pixels = montage.picture[y : y + round(square.height), x : x + round(square.width)]
        part: FloatArray = pixels.astype(np.float32)
        if part.ndim == 3:
            part = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        if square.labels is not None:
            part = remove_labels(part, square.labels.mask)
        image[:] = _resized(part, box)
    return images


def overlays_of(detection: Detection) -> NDArray[np.bool_]:
    """Return what print covers of each of the pictures that `cut_out` returns.

    Returns
    -------
    (n, box, box) bool
        True where a pixel shows print rather than the class average.
    """
    whole = _whole_squares(detection)
    box = _common_box(whole)
    overlays = np.zeros((len(whole), box, box), bool)
    for overlay, square in zip(overlays, whole, strict=True):
        if square.labels is not None and square.labels.mask.any():
            overlay[:] = _resized(square.labels.mask.astype(np.float32), box) > COVERED
    return overlays


def _whole_squares(detection: Detection) -> list[Square]:
    whole = [square for square in detection.squares if not square.cut]
    if not whole:
        raise ValueError("expected a detection with at least one whole square, received none")
    return whole


def _common_box(squares: list[Square]) -> int:
    return round(float(np.median([(s.width + s.height) / 2 for s in squares])))


def _resized(part: FloatArray, box: int) -> FloatArray:
    if part.shape == (box, box):
        return part
    how = cv2.INTER_AREA if min(part.shape) >= box else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (box, box), interpolation=how), np.float32)
