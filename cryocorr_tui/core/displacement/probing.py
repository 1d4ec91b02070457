"""One vector of a field for the eye: the subset, and what it was matched with."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cryocorr_tui.core.model import DisplacementField, FloatArray

__all__ = ["found_at", "subset_and_match"]


def found_at(field: DisplacementField, k: int) -> tuple[float, float]:
    """Return y and x of the place where subset `k` was found in the deformed picture.

    A rigid part that was taken off the field is put back.
    """
    y, x = float(field.y[k] + field.dy[k]), float(field.x[k] + field.dx[k])
    motion = field.rigid
    if motion is None:
        return y, x
    cosine, sine = math.cos(math.radians(motion.rotation)), math.sin(math.radians(motion.rotation))
    v, u = y - motion.centre_y, x - motion.centre_x
    # Counter-clockwise on screen, where y runs down.
    return (
        motion.centre_y + motion.shift_y + cosine * v - sine * u,
        motion.centre_x + motion.shift_x + sine * v + cosine * u,
    )


def subset_and_match(
    reference: FloatArray, deformed: FloatArray, field: DisplacementField, k: int
) -> tuple[FloatArray, FloatArray | None]:
    """Cut subset `k` and its match out of their pictures.

    Parameters
    ----------
    reference, deformed : (height, width) float32
        As they were measured; NaN where not known.
    field : DisplacementField
    k : int
        Number of the vector.

    Returns
    -------
    subset, match : (block, block) float32
        The match is cut where it was found, interpolated, but not deformed; beyond the border of
        the picture it repeats that. None where there is none.
    """
    subset = _cut(reference, float(field.y[k]), float(field.x[k]), field.settings.block_size)
    y, x = found_at(field, k)
    if not math.isfinite(y + x):
        return subset, None
    return subset, _cut(deformed, y, x, field.settings.block_size)


def _cut(picture: FloatArray, y: float, x: float, block: int) -> FloatArray:
    cut = cv2.getRectSubPix(picture, (block, block), (x, y))
    return np.asarray(cut, dtype=np.float32)
