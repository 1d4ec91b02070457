"""Refinement of the coarse poses of a tile, on whatever device its arrays are.

On the host the compiled kernel of `alignment` does it; elsewhere the plain form below, batched over
all candidates of all pairs, stays on the device. Both take the same steps in the same order, and a
test holds them equal.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace, is_numpy_array

from cryocorr_tui.core import alignment
from cryocorr_tui.core.alignment import (
    COARSE_STEPS,
    DISTINCT,
    FINALISTS,
    FINE_STEPS,
    HOPELESS,
    LONGEST_STEP,
    OVERSAMPLING,
    SETTLED,
    STILL,
    UNPROMISING,
    Templates,
    mask_radius,
)
from cryocorr_tui.core.sampling import PosedPairs, parts, put_back, sample_pairs
from cryocorr_tui.core.search import Candidates

__all__ = ["refine", "settle"]

_BYTES_PER_PIXEL = 128  # of a candidate: what sampling and the gathered template hold at a time


def refine(
    rows: Templates,
    columns: Any,
    candidates: Candidates,
    wanted: Any,
    *,
    max_shift: float,
    memory: float,
) -> tuple[Any, Any]:
    """Refine the coarse poses of a tile and return the best distinct ones.

    Parameters
    ----------
    rows : Templates
        Pictures i.
    columns : (c, 2 box, 2 box) float32
        Pictures j from `alignment.oversample`.
    candidates : Candidates
        From the coarse search.
    wanted : (r, c) bool
        Which pairs to refine.
    max_shift : float
        Radius in working pixels that shifts stay within.
    memory : float
        Bytes of the device that may be held beside the arguments; the host needs next to none.

    Returns
    -------
    poses, ncc
        As of `alignment.refine`, on the device of the arguments.
    """
    if is_numpy_array(columns):
        return alignment.refine(rows, columns, candidates, wanted, max_shift=max_shift)
    xp = array_namespace(columns)
    found, poses = _refined(rows, columns, candidates, wanted, max_shift, memory)
    finalist, ncc = _distinct(found, poses, mask_radius(rows.x.shape[0]))
    stands = ncc >= xp.max(found, axis=0) - HOPELESS * OVERSAMPLING / columns.shape[-1]
    ncc = xp.where(stands, ncc, -xp.inf)
    poses = xp.where((ncc > -xp.inf)[..., None], _taken(poses, finalist), 0.0)
    return (
        xp.permute_dims(poses, (1, 2, 0, 3)),
        xp.permute_dims(xp.astype(ncc, xp.float32), (1, 2, 0)),
    )


def settle(
    rows: Templates,
    columns: Any,
    poses: Any,
    standing: Any,
    *,
    max_shift: float,
    memory: float,
) -> Any:
    """Refine every finalist that stands on all pixels of the templates.

    Parameters
    ----------
    rows, columns, max_shift, memory
        As for `refine`.
    poses : (r, c, FINALISTS, 4) float32
        From `refine`.
    standing : (r, c, FINALISTS) bool
        Which of them stand; the others stay as they are.

    Returns
    -------
    (r, c, FINALISTS, 4) float32
        On the device of the arguments.
    """
    if is_numpy_array(columns):
        return alignment.settle(rows, columns, poses, standing, max_shift=max_shift)
    xp = array_namespace(columns)
    i, j, _ = xp.nonzero(standing)
    taken = xp.reshape(standing, (-1,))
    start = xp.reshape(poses, (-1, 4))
    trials = PosedPairs(i, j, xp.take(start, xp.nonzero(taken)[0], axis=0))
    pixels = rows.x.shape[0]
    _, ended = _climb(rows, columns, trials, pixels, FINE_STEPS, SETTLED, max_shift, memory)
    return xp.reshape(put_back(ended, taken, start), poses.shape)


def _refined(
    rows: Templates,
    columns: Any,
    candidates: Candidates,
    wanted: Any,
    max_shift: float,
    memory: float,
) -> tuple[Any, Any]:
    """Climb from every promising candidate.

    Returns
    -------
    found : (candidates, r, c) float64
        NCC, −inf where nobody climbed.
    poses : (candidates, r, c, 4) float32
    """
    xp = array_namespace(columns)
    correlation = candidates.correlation
    promising = xp.max(correlation, axis=0) - UNPROMISING
    tried = wanted & (correlation > -xp.inf) & (correlation >= promising)
    k, i, j = xp.nonzero(tried)
    taken = xp.reshape(tried, (-1,))
    place = xp.nonzero(taken)[0]
    start = [
        xp.take(xp.reshape(part, (-1,)), place)
        for part in (candidates.rotation, candidates.shift_y, candidates.shift_x)
    ]
    mirrored = xp.astype(k >= correlation.shape[0] // 2, xp.float32)
    trials = PosedPairs(i, j, xp.stack([*start, mirrored], axis=1))
    found, poses = _climb(
        rows, columns, trials, rows.coarse, COARSE_STEPS, STILL, max_shift, memory
    )
    everywhere = xp.full_like(xp.reshape(correlation, (-1,)), -xp.inf, dtype=xp.float64)
    nowhere = xp.zeros((taken.shape[0], 4), dtype=xp.float32, device=columns.device)
    return (
        xp.reshape(put_back(found, taken, everywhere), correlation.shape),
        xp.reshape(put_back(poses, taken, nowhere), (*correlation.shape, 4)),
    )


def _climb(
    rows: Templates,
    columns: Any,
    trials: PosedPairs,
    count: int,
    steps: int,
    enough: float,
    max_shift: float,
    memory: float,
) -> tuple[Any, Any]:
    """Return the highest NCC, (n,) float64, on the way up from each trial, and the pose there.

    On the first `count` pixels. Whoever gains nothing more stops; a step of less than `enough` is
    the last one. What the last step leads to is not looked at.
    """
    xp = array_namespace(columns)
    part = count / rows.x.shape[0]
    poses = trials.poses
    found = xp.full((len(trials),), -xp.inf, dtype=xp.float64, device=columns.device)
    alive = xp.ones_like(found, dtype=xp.bool)
    sums = xp.zeros((len(trials), 6), dtype=xp.float64, device=columns.device)
    for number in range(steps):
        climbing = trials.at(xp.nonzero(alive)[0])
        sums = put_back(_sums(rows, columns, climbing, count, memory), alive, sums)
        reached = _ncc(sums, count, part)
        better = alive & (reached > found)
        found = xp.where(better, reached, found)
        stepped, moved = _step(rows, trials, sums, part, max_shift)
        ended = better & ((moved < enough) | (number == steps - 1))
        poses = xp.where(better[:, None], xp.where(ended[:, None], stepped, trials.poses), poses)
        trials = replace(trials, poses=stepped)
        alive = better & ~ended
    return found, poses


def _sums(rows: Templates, columns: Any, trials: PosedPairs, count: int, memory: float) -> Any:
    """Return (n, 6) float64: the three Σ slope·j, Σij, Σj and Σj² over the first `count` pixels."""
    xp = array_namespace(columns)
    templates = xp.concat([rows.slopes, rows.values[:, None, :]], axis=1)[..., :count]
    x, y = rows.x[:count], rows.y[:count]
    result = [xp.zeros((0, 6), dtype=xp.float32, device=columns.device)]
    for part in parts(len(trials), _BYTES_PER_PIXEL * count, memory):
        some = trials.part(part)
        sampled = sample_pairs(columns, some.j, some.poses, x, y, OVERSAMPLING)
        # (n, 4, pixels) @ (n, pixels, 1)
        products = xp.take(templates, some.i, axis=0) @ sampled[..., None]
        total, square = xp.sum(sampled, axis=1), xp.sum(sampled * sampled, axis=1)
        result.append(xp.concat([products[..., 0], total[:, None], square[:, None]], axis=1))
    return xp.astype(xp.concat(result), xp.float64)


def _ncc(sums: Any, count: int, part: float) -> Any:
    """Return the correlation coefficient of unit-norm values with j; −2 where j is constant."""
    xp = array_namespace(sums)
    power = sums[:, 5] - sums[:, 4] * sums[:, 4] / count
    root = xp.sqrt(xp.where(power > 0, power * part, 1.0))
    return xp.where(power > 0, sums[:, 3] / root, -2.0)


def _step(
    rows: Templates, trials: PosedPairs, sums: Any, part: float, max_shift: float
) -> tuple[Any, Any]:
    """Return poses moved to the linearised maximum, and how far the rim of the mask moved, in px.

    Parameters
    ----------
    rows : Templates
    trials : PosedPairs
    sums : (n, 6) float64
        From `_sums`.
    part : float
        Share of the pixels that were summed over.
    max_shift : float
    """
    xp, poses = array_namespace(sums), trials.poses
    inverse_hessian = xp.take(rows.inverse_hessian, trials.i, axis=0)
    projection = xp.take(rows.projection, trials.i, axis=0)
    slope_j = sums[:, :3] / part
    solved_i = _times(inverse_hessian, projection)
    ahead = sums[:, 3] / part - xp.sum(slope_j * solved_i, axis=1)
    climbs = ahead > 0
    gain = (1.0 - xp.sum(projection * solved_i, axis=1)) / xp.where(climbs, ahead, 1.0)
    step = _times(inverse_hessian, slope_j * gain[:, None]) - solved_i
    length = xp.maximum(
        xp.abs(step[:, 0]) * mask_radius(rows.x.shape[0]), xp.hypot(step[:, 1], step[:, 2])
    )
    step = step * (LONGEST_STEP / xp.maximum(length, LONGEST_STEP))[:, None]

    rotation, shift_y, shift_x = (xp.astype(poses[:, at], xp.float64) for at in range(3))
    cosine, sine = xp.cos(step[:, 0]), xp.sin(step[:, 0])
    moved_x = step[:, 1] + cosine * shift_x - sine * shift_y
    moved_y = step[:, 2] + sine * shift_x + cosine * shift_y
    distance = xp.hypot(moved_x, moved_y)
    within = xp.where(distance > max_shift, max_shift / xp.maximum(distance, max_shift), 1.0)
    turned = (rotation - step[:, 0] * (180 / math.pi)) % 360.0
    stepped = xp.stack([turned, moved_y * within, moved_x * within], axis=1)
    stepped = xp.concat([xp.astype(stepped, xp.float32), poses[:, 3:]], axis=1)
    return xp.where(climbs[:, None], stepped, poses), xp.where(climbs, length, 0.0)


def _times(matrices: Any, vectors: Any) -> Any:
    """Return (n, 3): matrices (n, 3, 3) times vectors (n, 3); n may be too large for one batch."""
    xp = array_namespace(matrices)
    return xp.sum(matrices * vectors[:, None, :], axis=2)


def _distinct(found: Any, pose: Any, radius: float) -> tuple[Any, Any]:
    """Choose the best candidate of each mirror state, then the best others.

    A candidate that lies next to a chosen one climbed the same hill and does not stand beside it.

    Returns
    -------
    finalist : (finalists, r, c) integer
        Number of the candidate.
    reached : (finalists, r, c) float64
        Its NCC, −inf where there is none.
    """
    xp = array_namespace(found)
    candidates = found.shape[0]
    half = candidates // 2
    number = xp.reshape(xp.arange(candidates, device=found.device), (-1, 1, 1))
    left, finalist, reached = found, [], []
    for place in range(FINALISTS):
        first, last = (place * half, (place + 1) * half) if place < 2 else (0, candidates)
        best = first + xp.argmax(left[first:last, ...], axis=0)
        finalist.append(best)
        reached.append(xp.take_along_axis(left, best[None, ...], axis=0)[0, ...])
        leader = _taken(pose, best)
        turn = xp.abs(pose[..., 0] - leader[..., 0])
        rim = xp.minimum(turn, 360.0 - turn) * (math.pi / 180 * radius)
        moved = xp.hypot(pose[..., 1] - leader[..., 1], pose[..., 2] - leader[..., 2])
        beside = (number // half == best // half) & (xp.maximum(rim, moved) <= DISTINCT)
        left = xp.where(beside, -xp.inf, left)
    return xp.stack(finalist), xp.stack(reached)


def _taken(pose: Any, candidate: Any) -> Any:
    """Return (..., r, c, 4): the poses (candidates, r, c, 4) of the candidates (..., r, c)."""
    xp = array_namespace(pose)
    index = xp.reshape(candidate, (-1, *pose.shape[1:3], 1))
    index = xp.broadcast_to(index, (*index.shape[:3], 4))
    return xp.reshape(xp.take_along_axis(pose, index, axis=0), (*candidate.shape, 4))
