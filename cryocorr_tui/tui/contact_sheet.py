"""Class averages as small grey pictures, alone and in rows: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["best_columns", "contact_sheet", "grey_thumbnail"]

GAP = 1 / 16  # of a thumbnail, between two
GAP_GREY = 24
OUTLIERS = 0.5  # per cent of the pixels that may be black, and white


def grey_thumbnail(image: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """Return an image in a square, its grey range stretched.

    Parameters
    ----------
    image : (h, w) of any real dtype
        Pixels that are no numbers become black.
    side : int
        Of the square in pixels; the image is as large as it fits, in the middle.

    Returns
    -------
    (side, side) uint8
    """
    height, width = image.shape
    scale = side / max(height, width)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    finite = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    filtering = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(finite, shape[::-1], interpolation=filtering)
    low, high = np.percentile(small, [OUTLIERS, 100 - OUTLIERS])
    gain = 255 / (high - low) if high > low else 0.0
    square = np.zeros((side, side), np.uint8)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    square[top : top + shape[0], left : left + shape[1]] = np.clip((small - low) * gain, 0, 255)
    return square


def contact_sheet(
    images: Sequence[NDArray[Any]], columns: int, side: int, *, gap: int | None = None
) -> NDArray[np.uint8]:
    """Lay images out in rows, in reading order.

    Parameters
    ----------
    images : sequence of (h, w)
    columns : int
        Images in a row.
    side : int
        Of the square of each, in pixels.
    gap : int, optional
        Pixels between two; by default a part of `side`.

    Returns
    -------
    (height, width) uint8
    """
    gap = max(1, round(GAP * side)) if gap is None else gap
    rows = max(1, math.ceil(len(images) / columns))
    step = side + gap
    sheet = np.full((rows * step - gap, columns * step - gap), GAP_GREY, np.uint8)
    for k, image in enumerate(images):
        y, x = k // columns * step, k % columns * step
        sheet[y : y + side, x : x + side] = grey_thumbnail(image, side)
    return sheet


def best_columns(count: int, aspect: float) -> int:
    """Return in how many columns `count` squares fill a room of `aspect` (width / height) best."""
    return max(
        range(1, max(count, 1) + 1),
        key=lambda columns: min(aspect / columns, 1 / math.ceil(count / columns)),
    )
