"""A pair for the eye: class j laid on class i at the source pixels of i, and pictures of both.

One code of colour throughout: magenta is the first picture, green the second. They differ in
lightness as well, and every kind of colour vision tells them apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray, Pose, frozen_array
from cryocorr_tui.core.preprocessing import disc_mask, enhance, fourier_resample, standardise

if TYPE_CHECKING:
    from cryocorr_tui.core.run import Run

__all__ = [
    "aligned_pictures",
    "difference",
    "difference_picture",
    "laid_on",
    "overlay",
    "source_mask",
    "to_grey",
]

DARKEST, BRIGHTEST = 0.5, 99.5  # percentiles that become black and white
WIDEST = 2.0  # standard deviations of a difference that have the full colour
MAGENTA, GREEN = np.array([255, 0, 255]), np.array([0, 255, 0])


def aligned_pictures(
    run: Run, i: int, j: int, pose: Pose | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return class i as its source shows it, and class j laid on it.

    Parameters
    ----------
    run : Run
        Where both are from.
    i, j : int
        Class ids.
    pose : Pose, optional
        Brings j onto i, shifts in source pixels of i; by default the one that was found, and where
        the pair was not scored none: j as it is, only scaled.

    Returns
    -------
    (box, box) float32, twice
        Read-only, box and pixels of class i. The second has its own grey scale, turned over where
        the contrast of its source is opposite, and NaN where class j has no data.
    """
    if pose is None:
        pose = run.pair(i, j).pose or Pose()
    first, second = run.classes[i].image, run.classes[j].image
    sign = np.float32(run.working.contrast[i] * run.working.contrast[j])
    laid = laid_on(sign * second, pose, box=len(first), pixels=run.source_pixels(j, i))
    return frozen_array(first), frozen_array(laid)


def laid_on(picture: FloatArray, pose: Pose, *, box: int, pixels: float = 1.0) -> FloatArray:
    """Return a picture mirrored, turned and shifted by a pose.

    Parameters
    ----------
    picture : (side, side) float32
    pose : Pose
        Shifts in pixels of the result.
    box : int
        Side of the result in pixels.
    pixels : float
        Pixels of `picture` that are as long as one of the result.

    Returns
    -------
    (box, box) float32
        Cubic interpolation; NaN outside the picture.
    """
    if pixels > 1:  # fine detail that coarser pixels cannot hold would show as false detail
        coarse = max(1, round(len(picture) / pixels))
        pixels *= coarse / len(picture)
        picture = fourier_resample(picture[None], coarse)[0]
    side = len(picture)
    back = pixels * pose.linear().T
    centre = np.array([box // 2 + pose.shift_x, box // 2 + pose.shift_y])
    matrix = np.column_stack([back, side // 2 - back @ centre])
    laid = cv2.warpAffine(
        picture,
        matrix,
        (box, box),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.where(_covered(matrix, side, box), laid, np.float32(np.nan))


def source_mask(run: Run, i: int) -> NDArray[np.bool_]:
    """Return (box, box) bool: the disc of the metrics at the source pixels of class i."""
    diameter = 2 * math.sqrt(float(run.working.mask.sum()) / math.pi)
    return disc_mask(len(run.classes[i].image), diameter * float(run.working.scale[i])) > 0


def difference(first: FloatArray, second: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Return how far two aligned pictures differ, in standard deviations.

    Parameters
    ----------
    first, second : (box, box) float32
        Each is brought to zero mean and unit variance inside the mask first; NaN is not known.
    mask : (box, box) bool

    Returns
    -------
    (box, box) float32
        ``first − second``; NaN outside the mask and where either is not known.
    """
    known = mask & np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return np.full(first.shape, np.nan, dtype=np.float32)
    pictures = np.stack([np.where(known, first, 0), np.where(known, second, 0)])
    one, other = standardise(pictures.astype(np.float32), known.astype(np.float32))
    return np.where(known, one - other, np.float32(np.nan))


def difference_picture(difference: FloatArray, *, colour: bool = True) -> NDArray[np.uint8]:
    """Return a difference in magenta (first is more) and green; black where there is none.

    Parameters
    ----------
    difference : (h, w) float32
        In standard deviations; NaN becomes black as well.
    colour : bool
        Without, the picture is grey: white where first is more, black where second is.

    Returns
    -------
    (h, w, 3) uint8, or (h, w) uint8 without colour
    """
    part = np.clip(np.nan_to_num(difference) / WIDEST, -1, 1)
    if not colour:
        return np.asarray(np.rint(127.5 + 127.5 * part), dtype=np.uint8)
    more, less = np.maximum(part, 0)[..., None], np.maximum(-part, 0)[..., None]
    return np.asarray(np.rint(more * MAGENTA + less * GREEN), dtype=np.uint8)


def overlay(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8: a grey picture in magenta and one in green, grey where they agree."""
    return np.stack([first, second, first], axis=-1)


def to_grey(picture: FloatArray, *, enhanced: bool = False) -> NDArray[np.uint8]:
    """Return a picture in 8 bit.

    Parameters
    ----------
    picture : (h, w) float32
        Any range; its percentiles 0.5 and 99.5 become black and white.
    enhanced : bool
        Bring out weak detail (CLAHE).

    Returns
    -------
    (h, w) uint8
        Black where the picture is not finite, grey where it is constant.
    """
    known = np.isfinite(picture)
    if not known.any():
        return np.zeros(picture.shape, dtype=np.uint8)
    values = picture[known]
    low, high = np.percentile(values, (DARKEST, BRIGHTEST))
    if enhanced:
        levels = enhance(np.where(known, picture, np.median(values)))
    elif high > low:
        levels = np.clip((np.where(known, picture, low) - low) / (high - low), 0, 1)
    else:
        levels = np.full(picture.shape, 0.5, dtype=np.float32)
    return np.asarray(np.where(known, np.rint(255 * levels), 0), dtype=np.uint8)


def _covered(matrix: NDArray[np.float64], side: int, box: int) -> NDArray[np.bool_]:
    """Return (box, box) bool: which pixels an affine map takes into a picture of `side` pixels."""
    offset = np.arange(box)
    by_x, by_y = matrix[:, 0], matrix[:, 1]
    inside = np.ones((box, box), dtype=bool)
    for axis in range(2):
        at = by_x[axis] * offset + by_y[axis] * offset[:, None] + matrix[axis, 2]
        inside &= (at > -0.5) & (at < side - 0.5)
    return inside
