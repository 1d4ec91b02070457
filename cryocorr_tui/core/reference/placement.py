"""Where the reference lies in a picture, how the picture looks there, and the best place nearby."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.preprocessing import disc_mask

__all__ = ["Placement", "Pyramid", "Template"]

_STEPS = 8
_LONGEST_STEP = 1.5  # pixels at the rim of the disc; further the linearisation does not hold
_STILL = 0.02  # pixels at the rim
_FLAT = 3e-7  # contrast in terms of the mean: a few rounding errors of single precision


@dataclass(frozen=True, eq=False)
class Placement:
    """How a view lies in a picture: what is off its centre by (x, y) = o, at centre + linear @ o.

    Attributes
    ----------
    linear : (2, 2) float64
        Rotation, mirror and scale, as `model.Pose.linear` times the scale.
    centre : (2,) float64
        x and y of the view's centre in the picture; whole numbers are the centres of pixels.
    """

    linear: NDArray[np.float64]
    centre: NDArray[np.float64]

    @property
    def mirrored(self) -> bool:
        """Whether the view is mirrored left-right before it is rotated."""
        return _determinant(self.linear) < 0

    @property
    def scale(self) -> float:
        """Pixels of the picture per pixel of the view."""
        return math.sqrt(abs(_determinant(self.linear)))

    @property
    def rotation(self) -> float:
        """Degrees counter-clockwise on screen, in [0, 360)."""
        # The second column is scale × (sin, cos), mirrored or not.
        angle = math.degrees(math.atan2(self.linear[0, 1], self.linear[1, 1]))
        return angle % 360.0 % 360.0

    def undone(self, shift: NDArray[np.float64], turn: float, growth: float) -> Placement:
        """Take a small motion of the view back.

        Parameters
        ----------
        shift : (2,) float64
            x and y in pixels of the view.
        turn : float
            Radians from x towards y.
        growth : float
            Relative.
        """
        c, s = math.cos(turn), math.sin(turn)
        linear = self.linear @ np.array([[c, s], [-s, c]]) * math.exp(-growth)
        return Placement(linear, self.centre - linear @ shift)


class Pyramid:
    """A picture with reduced copies of itself, so that sampling it coarsely skips no pixel.

    Parameters
    ----------
    picture : (height, width) float32
    """

    def __init__(self, picture: FloatArray) -> None:
        self._levels = {0: np.ascontiguousarray(picture)}

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self._levels[0].shape
        return height, width

    def reduced(self, height: int, width: int) -> FloatArray:
        """Return the picture at a size that is not larger; edges stay edges."""
        size = (width, height)
        copy: FloatArray = cv2.resize(self._levels[0], size, interpolation=cv2.INTER_AREA)
        return copy

    def sample(self, placement: Placement, side: int) -> FloatArray:
        """Return what lies under a view of `side` pixels, (side, side) float32.

        Its pixel ``side // 2`` shows the centre; beyond the picture its edge goes on.
        """
        octaves = 2 * math.log2(placement.scale)
        level = self._level(max(0, round(octaves)))
        factor = np.array(level.shape[::-1]) / np.array(self.shape[::-1])
        linear = placement.linear * factor[:, None]
        corner = (placement.centre + 0.5) * factor - 0.5 - linear.sum(axis=1) * (side // 2)
        patch: FloatArray = cv2.warpAffine(
            level,
            np.column_stack([linear, corner]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return patch

    def _level(self, half_octave: int) -> FloatArray:
        if half_octave not in self._levels:
            height, width = (max(1, round(side * 2 ** (-half_octave / 2))) for side in self.shape)
            self._levels[half_octave] = self.reduced(height, width)
        return self._levels[half_octave]


class Template:
    """A view at one resolution, with its derivatives, on the pixels of its disc.

    The enhanced correlation coefficient method (Evangelidis & Psarakis 2008,
    doi:10.1109/TPAMI.2008.113) in its inverse form: the derivatives by shift, turn and growth are
    those of the view and are computed once, each step only samples the picture.

    Parameters
    ----------
    image : (side, side) float32
        With contrast inside the disc.
    diameter : float
        Of the disc in pixels.
    zoom : float
        Pixels of the view itself per pixel of `image`.
    """

    def __init__(self, image: FloatArray, diameter: float, zoom: float) -> None:
        self._side = len(image)
        self._zoom = zoom
        self._radius = diameter / 2
        self._inside = np.flatnonzero(disc_mask(self._side, diameter))
        offset = np.arange(self._side) - self._side // 2
        x, y = offset[None, :], offset[:, None]
        slope_y, slope_x = np.gradient(image.astype(np.float64))
        by_motion = [slope_x, slope_y, slope_y * x - slope_x * y, slope_x * x + slope_y * y]
        slopes = np.stack([slope.reshape(-1)[self._inside] for slope in by_motion])
        values, norm = self._standardised(image)
        self._values = values
        self._slopes = (slopes - slopes.mean(axis=1, keepdims=True)) / norm
        # What is round has no slope by turn; the ridge keeps the matrix invertible.
        hessian = self._slopes @ self._slopes.T
        self._inverse_hessian = np.linalg.inv(hessian + 1e-9 * np.trace(hessian) * np.eye(4))
        self._own_motion = self._inverse_hessian @ (self._slopes @ values)
        self._unexplained = 1 - float((self._slopes @ values) @ self._own_motion)

    def aligned(self, pyramid: Pyramid, start: Placement) -> tuple[Placement, float]:
        """Return the best placement near `start` and its correlation coefficient, −1…1.

        Where the picture is flat the correlation is 0.
        """
        placement, best, highest = start, start, -1.0
        for _ in range(_STEPS):
            here = Placement(placement.linear * self._zoom, placement.centre)
            seen, norm = self._standardised(pyramid.sample(here, self._side))
            if norm == 0:
                return start, 0.0
            correlation = float(self._values @ seen)
            if correlation > highest:
                best, highest = placement, correlation
            slope = self._slopes @ seen
            agreement = correlation - float(self._own_motion @ slope)
            if agreement <= 0:
                break
            motion = self._inverse_hessian @ slope * (self._unexplained / agreement)
            motion -= self._own_motion
            length = math.hypot(*motion[:2]) + self._radius * math.hypot(*motion[2:])
            if length < _STILL:
                break
            motion *= min(1.0, _LONGEST_STEP / length)
            shift, turn, growth = motion[:2] * self._zoom, float(motion[2]), float(motion[3])
            placement = placement.undone(shift, turn, growth)
        return best, highest

    def _standardised(self, image: FloatArray) -> tuple[NDArray[np.float64], float]:
        """Return the pixels of the disc with zero mean and unit norm, and the norm they had."""
        values = image.reshape(-1)[self._inside].astype(np.float64)
        mean = values.mean()
        values -= mean
        norm = float(np.linalg.norm(values))
        if norm <= _FLAT * abs(mean) * math.sqrt(len(values)):
            return np.zeros_like(values), 0.0
        return values / norm, norm


def _determinant(matrix: NDArray[np.float64]) -> float:
    return float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
