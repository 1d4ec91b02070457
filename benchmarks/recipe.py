"""The recipe that people write: turn, shift and mirror by OpenCV, and score every pose in full.

All rotations in steps of 5°, NCC, scikit-image's SSIM and mutual information from a histogram at
each, over the same shifts and mirror states as the search. One pair takes many seconds, so poses
drawn at random are timed on one core and the whole is extrapolated.
"""

from __future__ import annotations

import time
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from benchmarks.engine import as_classes, score_all, simulated
from benchmarks.measuring import Options, Table, measured
from cryocorr_tui.core.model import FloatArray, Pose, Settings
from cryocorr_tui.core.polar import shift_lattice

__all__ = ["run"]

MAX_SHIFT = 4.0
STEP = 5  # degrees


def run(options: Options) -> list[Table]:
    """Compare CPU time per pair, on the same pictures and in the same run."""
    box, views, timed = (32, 2, 8) if options.quick else (128, 20, 400)
    images = simulated(views=views, replicates=2, box=box).images
    shifts = len(shift_lattice(MAX_SHIFT))
    poses = shifts * 2 * (360 // STEP)
    per_pose = measured(partial(seconds_per_pose, images, timed), options).result
    ours = measured(partial(_score_all, images), options)
    pairs = len(images) * (len(images) - 1) / 2
    recipe_pair, our_pair = poses * per_pose, ours.cpu / pairs
    return [
        Table(
            f"Against the plain recipe, {box}², per pair on one core",
            ("", "poses", "seconds", "ratio"),
            (
                ("recipe, rotations only (extrapolated)", 360 // STEP, 360 // STEP * per_pose, ""),
                ("recipe, same search space (extrapolated)", poses, recipe_pair, 1.0),
                (f"cryocorr, CPU time, N = {len(images)}", "", our_pair, recipe_pair / our_pair),
                (
                    "cryocorr, wall time on all cores",
                    "",
                    ours.wall / pairs,
                    recipe_pair * pairs / ours.wall,
                ),
            ),
            (
                f"The recipe is extrapolated from {timed} random poses of {timed // 4} pairs, "
                f"{per_pose * 1e3:.2f} ms a pose; it neither refines nor computes an FRC.",
            ),
        )
    ]


def seconds_per_pose(images: FloatArray, timed: int) -> float:
    """Return the mean time on one core to move one picture by OpenCV and score it thrice."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    lattice = shift_lattice(MAX_SHIFT)
    unit = (images - images.min()) / np.ptp(images)
    box = unit.shape[-1]
    seconds = 0.0
    for number in range(timed):
        if number % 4 == 0:
            first, second = unit[rng.choice(len(unit), 2, replace=False)]
        dy, dx = lattice[rng.integers(len(lattice))]
        pose = Pose(float(rng.integers(360 // STEP) * STEP), dy, dx, bool(rng.integers(2)))
        began = time.perf_counter()
        moved = cv2.warpAffine(
            second,
            pose.sampling_matrix(box),
            (box, box),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        score_plainly(first, moved)
        seconds += time.perf_counter() - began
    return seconds / timed


def score_plainly(first: FloatArray, second: FloatArray) -> tuple[float, float, float]:
    """Return NCC, SSIM and mutual information in nats of two pictures in 0…1."""
    a, b = first.ravel() - first.mean(), second.ravel() - second.mean()
    ncc = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    ssim = float(structural_similarity(first, second, data_range=1.0))
    joint, _, _ = np.histogram2d(first.ravel(), second.ravel(), bins=32, range=[[0, 1], [0, 1]])
    return ncc, ssim, _mutual_information(joint / joint.sum())


def _mutual_information(joint: NDArray[np.float64]) -> float:
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())


def _score_all(images: FloatArray) -> None:
    score_all(as_classes(images), Settings(max_shift=MAX_SHIFT))
