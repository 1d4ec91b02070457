"""Two pictures made ready to be compared, and coarser copies of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryocorr_tui.core.model import FloatArray

__all__ = [
    "MARGIN",
    "Deformed",
    "Reference",
    "deformed_picture",
    "halved",
    "reference_picture",
    "slopes_of",
]

REACH = 4.0  # σ, to which a Gaussian goes
MARGIN = 3  # spline coefficients kept beyond each border: positions may be 1 px outside

# The slope of a cubic B-spline at its knots, and its value there.
_SLOPE, _VALUE = np.array([-0.5, 0.0, 0.5]), np.array([1 / 6, 4 / 6, 1 / 6])


@dataclass(frozen=True, eq=False)
class Reference:
    """The picture that is cut into subsets; each array is (height, width) float32.

    Attributes
    ----------
    values
        Standardised grey values; 0 where not known.
    slope_y, slope_x
        Derivatives of the cubic spline through them, per pixel.
    weight
        1 for pixels that count, 0 for masked ones.
    """

    values: FloatArray
    slope_y: FloatArray
    slope_x: FloatArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class Deformed:
    """The picture that subsets are looked for in.

    Attributes
    ----------
    values : (height, width) float32
        Standardised grey values; 0 where not known.
    known : (height, width) bool
    coefficients : (height + 2 MARGIN, width + 2 MARGIN) float32
        Of the cubic B-spline through the values, mirrored at the border.
    """

    values: FloatArray
    known: NDArray[np.bool_]
    coefficients: FloatArray


def reference_picture(
    picture: FloatArray, mask: NDArray[np.bool_], smoothing: float = 0.0
) -> Reference:
    """Prepare a picture (height, width), NaN where not known; `mask` is True where it counts."""
    values = _prepared(picture, smoothing)
    weight = (mask & np.isfinite(picture)).astype(np.float32)
    return Reference(values, *slopes_of(values), weight)


def deformed_picture(picture: FloatArray, smoothing: float = 0.0) -> Deformed:
    """Prepare a picture (height, width), NaN where not known."""
    values = _prepared(picture, smoothing)
    coefficients = ndimage.spline_filter(values, 3, output=np.float32, mode="mirror")
    padded = np.pad(coefficients, MARGIN, mode="reflect")
    return Deformed(values, np.isfinite(picture), padded)


def slopes_of(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives along y and x of the cubic spline through (height, width) values."""
    coefficients = ndimage.spline_filter(values, 3, output=np.float32, mode="mirror")
    along_y, along_x = (
        cv2.sepFilter2D(coefficients, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101)
        for across, down in ((_VALUE, _SLOPE), (_SLOPE, _VALUE))
    )
    return along_y, along_x


def smoothed(values: FloatArray, sigma: float) -> FloatArray:
    """Return values (height, width) smoothed by a Gaussian of `sigma` pixels, 0 for none."""
    if not sigma:
        return values
    side = 2 * math.ceil(REACH * sigma) + 1
    smooth: FloatArray = cv2.GaussianBlur(
        values, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101
    )
    return smooth


def halved(picture: FloatArray) -> FloatArray:
    """Return a picture of half the size, the mean of 2 × 2 pixels each; NaN spreads.

    Pixel y of the coarse picture is centred on 2 y + 0.5 of the fine one.
    """
    height, width = (side // 2 for side in picture.shape)
    coarse: FloatArray = cv2.resize(
        picture[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA
    )
    return coarse


def _prepared(picture: FloatArray, smoothing: float) -> FloatArray:
    """Return zero mean and unit variance, smoothed; single precision then always suffices."""
    known = np.isfinite(picture)
    whole = bool(known.all())
    (mean,), (spread,) = cv2.meanStdDev(picture, mask=None if whole else known.view(np.uint8))
    standard = ((picture - mean) / (spread or 1.0)).astype(np.float32)
    if not whole:
        standard = np.where(known, standard, np.float32(0))
    smooth = smoothed(standard, smoothing)
    if smoothing and not whole:
        # What is not known shall not darken what is beside it.
        part = smoothed(known.astype(np.float32), smoothing)
        smooth = np.where(known, smooth / np.where(known, part, 1), np.float32(0))
    return smooth
