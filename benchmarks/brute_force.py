"""The same poses as the fast search, one after the other, by OpenCV and the plain formulas.

Slow and simple on purpose: it shares with the search only the prepared pictures, the pose
convention and the definitions of the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cryocorr_tui.core.metrics import ncc, nmi, ssim
from cryocorr_tui.core.model import FloatArray, MetricWeights, Pose
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import fourier_resample

__all__ = ["best_blends"]

ROTATIONS = 128
# Poses of the highest NCC that the blend is taken at: in 80 pairs at SNR 4 and 0.5 the pose of the
# best blend was never beyond the 59th.
TALLEST = 200
HILLS = 12  # poses of the highest NCC, none next to another, to climb from
REFINED = 6  # of these, how many are refined
APART = (9.0, 1.5)  # degrees and pixels: nearer poses climb the same hill


def best_blends(
    first: FloatArray,
    second: FloatArray,
    mask: FloatArray,
    *,
    max_shift: float,
    weights: MetricWeights,
) -> tuple[float, float, float]:
    """Return the best blend of a pair over the lattice, at a peak of the NCC, and at any pose.

    The NCC is taken at every pose of the lattice that the search looks at (rotations × shifts ×
    mirror states), the blend at the highest of them. From the best hills a simplex (Nelder & Mead)
    climbs the NCC, as the search does, and another the blend itself.

    Parameters
    ----------
    first, second : (box, box) float32
        Standardised pictures i and j, of an even box.
    mask : (box, box) float32
        0 or 1.
    max_shift : float
        Radius of the shifts in pixels.
    weights : MetricWeights
    """
    box = first.shape[-1]
    # On a grid twice as fine linear interpolation loses nothing; for an even box the pixel
    # (x, y) of the picture is (2x, 2y) there.
    fine = fourier_resample(second[None], 2 * box)[0]

    def aligned(pose: Pose) -> FloatArray:
        matrix = 2 * pose.sampling_matrix(box)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(fine, matrix, (box, box), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        )

    inside = mask > 0
    reference = first[inside] - first[inside].mean()

    def correlation(pose: Pose) -> float:
        values = aligned(pose)[inside]
        values = values - values.mean()
        return float(values @ reference / (np.linalg.norm(values) * np.linalg.norm(reference)))

    def blend(pose: Pose) -> float:
        moved = aligned(pose)
        values = [metric(first, moved, mask) for metric in (ncc, ssim, nmi)]
        each = [weights.ncc, weights.ssim, weights.nmi]
        return float(np.dot(values, each) / sum(each))

    poses = [
        Pose(360.0 * turn / ROTATIONS, float(dy), float(dx), mirrored)
        for mirrored, turn, (dy, dx) in product(
            (False, True), range(ROTATIONS), shift_lattice(max_shift)
        )
    ]
    poses.sort(key=correlation, reverse=True)
    of_lattice = max(blend(pose) for pose in poses[:TALLEST])
    hills = sorted(_apart(poses, HILLS), key=blend, reverse=True)[:REFINED]
    of_ncc, of_blend = (
        max(blend(_climb(pose, height, max_shift)) for pose in hills)
        for height in (correlation, blend)
    )
    return of_lattice, of_ncc, max(of_ncc, of_blend)


def _apart(poses: list[Pose], count: int) -> list[Pose]:
    """Return the first `count` poses that are not next to an earlier one."""
    kept: list[Pose] = []
    for pose in poses:
        if len(kept) == count:
            break
        if not any(_near(pose, other) for other in kept):
            kept.append(pose)
    return kept


def _near(pose: Pose, other: Pose) -> bool:
    turn = abs(pose.rotation - other.rotation)
    away = np.hypot(pose.shift_y - other.shift_y, pose.shift_x - other.shift_x)
    return (
        pose.mirrored == other.mirrored
        and min(turn, 360 - turn) < APART[0]
        and bool(away < APART[1])
    )


def _climb(start: Pose, height: Callable[[Pose], float], max_shift: float) -> Pose:
    """Return the pose of the top nearest to `start`; shifts stay within the radius."""

    def pose_of(values: NDArray[np.float64]) -> Pose:
        rotation, dy, dx = values
        inwards = min(1.0, max_shift / max(float(np.hypot(dy, dx)), 1e-9))
        return Pose(float(rotation) % 360.0, dy * inwards, dx * inwards, start.mirrored)

    origin = np.array([start.rotation, start.shift_y, start.shift_x])
    steps = np.array([[0, 0, 0], [1.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    best = minimize(
        lambda values: -height(pose_of(values)),
        origin,
        method="Nelder-Mead",
        options={"initial_simplex": origin + steps, "xatol": 0.01, "fatol": 1e-5},
    )
    return pose_of(best.x)
