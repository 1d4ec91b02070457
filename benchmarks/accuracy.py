"""Poses against simulated truth, and the fast search against brute force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.brute_force import best_blends
from benchmarks.engine import as_classes, score_all, simulated
from benchmarks.labelled_sets import real_stacks
from benchmarks.measuring import Cell, Options, Table
from cryocorr_tui.core.backend import usable_cpus
from cryocorr_tui.core.model import ClassAverage, FloatArray, MetricWeights, Settings
from cryocorr_tui.core.preprocessing import fourier_resample, prepare
from cryocorr_tui.core.simulation import SimulatedSet, relative_pose

__all__ = ["run"]

SIGNAL_TO_NOISE = (8.0, 4.0, 2.0, 1.0)
TOLERANCE = 0.01  # of the blend

Work = tuple[FloatArray, FloatArray, FloatArray, MetricWeights]  # i, j, mask
Blends = tuple[float, float, float]


def run(options: Options) -> list[Table]:
    """Return pose errors at several SNR, and the agreement with brute force."""
    return [_pose_errors(options), _agreement(options)]


def pose_errors(
    simulated_set: SimulatedSet, found: dict[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Compare the poses of all same-view pairs with the truth.

    Returns
    -------
    rotation, shift : (m,) float64
        Errors in degrees and pixels of the pairs whose mirror state is right.
    mirror : (pairs,) bool
        Where it is right.
    """
    pairs = np.argwhere(np.triu(simulated_set.same_view(), 1))
    truth = [relative_pose(simulated_set.truth[i], simulated_set.truth[j]) for i, j in pairs]
    true_turn = np.array([pose.rotation for pose in truth])
    true_shift = np.array([(pose.shift_y, pose.shift_x) for pose in truth])
    at = tuple(pairs.T)
    right = (found["mirrored"][at] > 0.5) == [pose.mirrored for pose in truth]
    turn = np.abs((found["rotation_deg"][at] - true_turn + 180) % 360 - 180)
    shift = np.stack([found["shift_y_px"][at], found["shift_x_px"][at]], axis=1) - true_shift
    return turn[right], np.hypot(*shift.T)[right], right


def _pose_errors(options: Options) -> Table:
    box, views, replicates, seeds = (32, 2, 2, 1) if options.quick else (96, 6, 5, 3)
    rows: list[tuple[Cell, ...]] = []
    for snr in SIGNAL_TO_NOISE[1:2] if options.quick else SIGNAL_TO_NOISE:
        turns, shifts, mirrors = [], [], []
        for seed in range(seeds):
            made = simulated(views=views, replicates=replicates, box=box, snr=snr, seed=seed)
            found = score_all(as_classes(made.images), Settings(seed=seed))
            errors = pose_errors(made, found)
            turns.append(errors[0])
            shifts.append(errors[1])
            mirrors.append(errors[2])
        turn, shift = np.concatenate(turns), np.concatenate(shifts)
        mirror = np.concatenate(mirrors)
        rows.append(
            (
                f"SNR {snr:g}",
                len(mirror),
                float(np.median(turn)),
                float(np.percentile(turn, 90)),
                float(np.median(shift)),
                float(np.percentile(shift, 90)),
                100 * float(mirror.mean()),
            )
        )
    return Table(
        f"Poses of same-view pairs against simulated truth, box {box}",
        (
            "",
            "pairs",
            "rotation ° median",
            "p90",
            "shift px median",
            "p90",
            "mirror right %",
        ),
        tuple(rows),
        (
            f"60S, 40S and 80S, {views} views of each, {replicates} class averages of each view, "
            f"{seeds} seeds; errors are those of the pairs whose mirror state is right.",
        ),
    )


def _agreement(options: Options) -> Table:
    box, count = (32, 1) if options.quick else (64, 400 if options.large else 100)
    sets = []
    for snr in (4.0,) if options.quick else (4.0, 0.5):
        made = simulated(views=2 if options.quick else 6, replicates=3, box=box, snr=snr, seed=1)
        sets.append((f"simulated, SNR {snr:g}", as_classes(made.images)))
    if options.data is not None:
        for name, images in real_stacks(options.data):
            sets.append((name, as_classes(fourier_resample(images, box))))
    with ProcessPoolExecutor(
        usable_cpus(), mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        every = map if options.quick else pool.map  # a process starts when it is first needed
        rows = [_agreement_row(name, classes, count, every) for name, classes in sets]
    return Table(
        f"Blend found by the search against brute force, box {box}, pairs at random",
        (
            "",
            "pairs",
            f"within {TOLERANCE} of the same poses %",
            "worst shortfall",
            "of best NCC peak %",
            "worst shortfall",
            "of best blend of any pose %",
            "worst shortfall",
            "mean shortfall",
        ),
        tuple(rows),
        (
            "Brute force: NCC at the same poses as the search, 128 rotations × 49 shifts × 2 "
            "mirror states, by OpenCV, and the blend at the 200 highest. From the best six hills "
            "one simplex climbs the NCC, as the search does, and one the blend itself, which the "
            "search does not. A shortfall is brute force minus search.",
        ),
    )


def _agreement_row(
    name: str,
    classes: Sequence[ClassAverage],
    count: int,
    every: Callable[[Callable[[Work], Blends], list[Work]], Iterable[Blends]],
) -> tuple[Cell, ...]:
    settings = Settings(max_shift=4.0)
    working = prepare(classes, settings)
    found = score_all(classes, settings)["blend"]
    pairs = np.stack(np.triu_indices(len(classes), 1), axis=1)
    pairs = np.random.default_rng(0).permutation(pairs)[:count]
    work = [
        (working.images[i], working.images[j], working.mask, settings.weights) for i, j in pairs
    ]
    brute = np.array(list(every(_brute_force, work)))
    of_lattice, of_ncc, of_blend = brute.T - found[tuple(pairs.T)]
    return (
        name,
        len(pairs),
        100 * float((of_lattice <= TOLERANCE).mean()),
        float(of_lattice.max()),
        100 * float((of_ncc <= TOLERANCE).mean()),
        float(of_ncc.max()),
        100 * float((of_blend <= TOLERANCE).mean()),
        float(of_blend.max()),
        float(of_blend.mean()),
    )


def _brute_force(work: Work) -> Blends:
    first, second, mask, weights = work
    return best_blends(first, second, mask, max_shift=4.0, weights=weights)
