"""One pair at any pose: the metrics and the FRC as the search takes them, and NCC round the circle.

Always on the host: one pair is nothing for a card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.alignment import FINALISTS, OVERSAMPLING, oversample
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.frc import RingAgreement
from cryocorr_tui.core.metrics import frc_crossing
from cryocorr_tui.core.model import METRICS, FloatArray, Pose
from cryocorr_tui.core.sampling import PosedPairs
from cryocorr_tui.core.sampling_kernels import sample_aligned
from cryocorr_tui.core.scoring_kernels import HARDLY, metric_rows, score_finalists

if TYPE_CHECKING:
    from cryocorr_tui.core.run import Run

__all__ = [
    "ANGLES",
    "PoseScorer",
    "PoseScores",
    "RotationProfile",
    "rotation_profile",
    "score_pose",
]

ANGLES = np.arange(0.0, 360.0, 2.0)  # degrees at which a profile is taken


@dataclass(frozen=True, eq=False)
class PoseScores:
    """How alike a pair is at one pose; what cannot be told is NaN.

    Attributes
    ----------
    ncc, ssim, nmi, blend : float
        As in ``pairs.csv``.
    frc : (shells,) float64
        Corrected Fourier ring correlation, −1…1.
    frequency : (shells,) float64
        Of those shells, in 1/px of class i.
    frc_resolution_px : float
        Period at which `frc` first falls through 0.5, in source pixels of class i.
    """

    ncc: float
    ssim: float
    nmi: float
    blend: float
    frc: NDArray[np.float64]
    frequency: NDArray[np.float64]
    frc_resolution_px: float


@dataclass(frozen=True, eq=False)
class RotationProfile:
    """NCC at one shift for all of `ANGLES`, (180,) float32 each; NaN where it cannot be told."""

    plain: FloatArray
    mirrored: FloatArray

    def of(self, mirrored: bool) -> FloatArray:
        """Return the profile of a mirror state."""
        return self.mirrored if mirrored else self.plain


class PoseScorer:
    """Scores one pair at many poses.

    All is taken in the frame of the class that comes first in the run, as the search does, so
    (i, j) and (j, i) have the same scores; poses and periods are those of (i, j).

    Parameters
    ----------
    run : Run
        Where both are from.
    i, j : int
        Two class ids.
    """

    def __init__(self, run: Run, i: int, j: int) -> None:
        first, second = min(i, j), max(i, j)
        working = run.working
        overlay = working.overlay
        unknown = replace(
            working, overlay=None if overlay is None else overlay[[first, second]]
        ).unknown
        hidden_i, hidden_j = (None, None) if unknown is None else (unknown[:1], unknown[1:])
        self._turned_over = i > j
        self._scale = float(working.scale[i])
        self._weights = run.settings.weights
        self._hidden = hidden_j
        self._rows = metric_rows(working.images[first : first + 1], working.mask, hidden_i)
        self._fine = oversample(working.images[second : second + 1])
        # The whole set, since the random phases of a class hang on its place in it.
        self._agreement = RingAgreement(
            working.images,
            working.mask,
            seed=run.settings.seed,
            backend=Backend("cpu"),
            memory=0,
        )
        own = slice(first, first + 1)
        self._frc_rows = self._agreement.rows(own, self._rows, self._agreement.randomised(own))
        self._random = self._agreement.randomised(slice(second, second + 1))

    def score(self, pose: Pose) -> PoseScores:
        """Return the metrics with class j brought onto i by `pose`, shifts in pixels of i."""
        box = len(self._agreement.soft)
        poses = self._in_first_frame([pose])
        standing = np.zeros((1, 1, FINALISTS), dtype=bool)
        standing[..., 0] = True
        finalists = np.zeros((1, 1, FINALISTS, 4), dtype=np.float32)
        finalists[0, 0, 0] = poses[0]
        scores = score_finalists(self._rows, self._fine, finalists, standing, self._hidden)
        ncc, ssim, nmi = scores[0, 0, 0].tolist()
        shares = [self._weights.of(metric) for metric in METRICS]
        blend = float(np.dot(shares, (ncc, ssim, nmi)) / sum(shares))
        one = np.zeros(1, dtype=np.int64)
        curve = self._agreement.curves(
            self._frc_rows, self._fine, self._random, (1, 1), PosedPairs(one, one, poses)
        )[0]
        known = not np.isnan(blend)
        return PoseScores(
            ncc=ncc,
            ssim=ssim,
            nmi=nmi,
            blend=blend,
            frc=curve if known else np.full(curve.shape, np.nan),
            frequency=np.arange(len(curve)) / (box * self._scale),
            frc_resolution_px=float(frc_crossing(curve, box)) * self._scale if known else np.nan,
        )

    def rotation_profile(self, pose: Pose) -> RotationProfile:
        """Return the NCC round the circle, for both mirror states, at the shift of `pose`."""
        poses = [
            replace(pose, rotation=float(angle), mirrored=mirrored)
            for mirrored in (False, True)
            for angle in ANGLES
        ]
        hidden = np.zeros((0, 1, 1), np.float32) if self._hidden is None else self._hidden
        plain, mirrored = _ncc_at(
            self._rows.values[0],
            self._rows.unknown,
            self._fine[0],
            hidden.astype(np.float32),
            self._in_first_frame(poses),
            self._rows.x,
            self._rows.y,
        ).reshape(2, -1)
        return RotationProfile(plain, mirrored)

    def _in_first_frame(self, poses: list[Pose]) -> NDArray[np.float32]:
        """Return (n, 4) float32: as the kernels want them, in working pixels."""
        found = [
            replace(pose, shift_y=pose.shift_y / self._scale, shift_x=pose.shift_x / self._scale)
            for pose in poses
        ]
        if self._turned_over:
            found = [pose.inverse() for pose in found]
        return np.array(
            [(pose.rotation, pose.shift_y, pose.shift_x, pose.mirrored) for pose in found],
            dtype=np.float32,
        )


def score_pose(run: Run, i: int, j: int, pose: Pose) -> PoseScores:
    """Return the scores of one pair at one pose; `PoseScorer` does many of them faster."""
    return PoseScorer(run, i, j).score(pose)


def rotation_profile(run: Run, i: int, j: int) -> RotationProfile:
    """Return the NCC round the circle at the shift that was found; none where none was."""
    return PoseScorer(run, i, j).rotation_profile(run.pair(i, j).pose or Pose())


@numba.njit(cache=True, nogil=True)
def _ncc_at(
    values: NDArray[np.float32],
    unknown_i: NDArray[np.bool_],
    fine: NDArray[np.float32],
    unknown_j: NDArray[np.float32],
    poses: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the NCC of picture i with picture j at each pose, over what no print covers.

    Parameters
    ----------
    values : (pixels,) float32
        Picture i inside the mask.
    unknown_i : (1, pixels) or (0, pixels) bool
    fine : (2 box, 2 box) float32
        Picture j from `alignment.oversample`.
    unknown_j : (1, box, box) or (0, …) float32
    poses : (n, 4) float32
    x, y : (pixels,) float32
        Offsets of the pixels from the centre.

    Returns
    -------
    (n,) float32
        NaN where a picture is constant.
    """
    pixels = len(values)
    result = np.empty(len(poses), dtype=np.float32)
    sampled = np.empty(pixels, dtype=np.float32)
    covered = np.zeros(pixels, dtype=np.float32)
    shown = np.ones(pixels, dtype=np.float32)
    if len(unknown_i) > 0:
        shown[unknown_i[0]] = 0
    both = shown.copy()
    for k in range(len(poses)):
        sample_aligned(fine, poses[k], x, y, sampled, OVERSAMPLING)
        if len(unknown_j) > 0:
            sample_aligned(unknown_j[0], poses[k], x, y, covered, 1)
            for p in range(pixels):
                both[p] = shown[p] if covered[p] < HARDLY else np.float32(0)
        result[k] = _correlation(values, sampled, both)
    return result


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _correlation(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]
) -> float:
    """Return the correlation coefficient over pixels of weight 1; NaN for a constant."""
    count = sum_i = sum_j = square_i = square_j = common = 0.0
    for p in range(len(first)):
        w, a, b = np.float64(weight[p]), np.float64(first[p]), np.float64(second[p])
        count += w
        sum_i += w * a
        sum_j += w * b
        square_i += w * a * a
        square_j += w * b * b
        common += w * a * b
    if count < 2:
        return np.nan
    power_i = square_i - sum_i * sum_i / count
    power_j = square_j - sum_j * sum_j / count
    if power_i <= 1e-12 * square_i or power_j <= 1e-12 * square_j:
        return np.nan
    return float((common - sum_i * sum_j / count) / np.sqrt(power_i * power_j))
