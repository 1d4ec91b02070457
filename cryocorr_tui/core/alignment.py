"""Refinement of poses by maximising the correlation coefficient.

The enhanced correlation coefficient method (Evangelidis & Psarakis 2008,
doi:10.1109/TPAMI.2008.113) in its inverse form: the derivatives are those of picture i and are
computed once, each step only samples picture j once. Compiled for the CPU, parallel over pairs; the
result of a pair does not depend on the number of threads. On other devices `refinement` takes the
same steps in plain form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.fourier import irfft2, rfft2
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.preprocessing import fourier_resample
from cryocorr_tui.core.sampling_kernels import sample_aligned
from cryocorr_tui.core.search import Candidates

__all__ = [
    "OVERSAMPLING",
    "Templates",
    "mask_radius",
    "oversample",
    "refine",
    "settle",
    "templates",
]

OVERSAMPLING = 2  # bilinear interpolation of this finer picture is exact enough
FINALISTS = 5  # poses of a pair that stand for election by the blend
# What is left out: coarse peaks this much below the best one, and refined poses this ÷ box below
# the best NCC (of a quarter of the pixels, which are fewer in a smaller box). Of 3,048 pairs of six
# sets at box 64 and 128, 11 fall more than 0.01 below the best blend of all poses, just as many as
# with 0.05 and 3.2.
UNPROMISING = 0.04
HOPELESS = 2.8
COARSE_STEPS = 3  # on a quarter of the mask's pixels
STILL = 0.02  # the last of them moves the rim of the mask by less than this many pixels
FINE_STEPS = 5  # on half of the mask's pixels
SETTLED = 0.1  # the last of them, as above
_GAP = 8  # pixels, half a cache line
LONGEST_STEP = 2.0  # pixels at the rim; further away the linearisation does not hold
DISTINCT = 2.0  # pixels at the rim or of shift that make two poses different


@dataclass(frozen=True, eq=False)
class Templates:
    """Pictures i as the refinement sees them, on every other pixel of the mask, as on a chessboard.

    Neighbours tell the same in a class average: the poses are as good as from all pixels.

    Attributes
    ----------
    values : (n, pixels) float32
        Zero mean, unit norm.
    slopes : (n, 3, pixels) float32
        Derivatives by rotation (radians) and shift in x and y, zero mean.
    inverse_hessian : (n, 3, 3) float64
    projection : (n, 3) float64
        Slopes times values.
    x, y : (pixels,) float32
        Offsets of the pixels from the centre; the first `coarse` of them are every other one of
        every other row, a quarter of the mask.
    coarse : int
    """

    values: FloatArray
    slopes: FloatArray
    inverse_hessian: NDArray[np.float64]
    projection: NDArray[np.float64]
    x: FloatArray
    y: FloatArray
    coarse: int


def oversample(images: FloatArray) -> FloatArray:
    """Return (n, 2 box, 2 box) float32: pictures j on a grid twice as fine, by Fourier padding.

    As `preprocessing.fourier_resample` does, which an odd box needs to keep its centre; the half
    plane suffices for an even one.
    """
    count, box, _ = images.shape
    finer: FloatArray = _gap_between_rows(count, OVERSAMPLING * box)
    if box % 2:
        finer[:] = fourier_resample(images, OVERSAMPLING * box)
        return finer
    spectra, half, fine = rfft2(images), box // 2, OVERSAMPLING * box
    spectra[:, half] *= 0.5  # waves of the highest frequency are now two, forth and back
    spectra[:, :, half] *= 0.5
    padded = np.zeros((count, fine, box + 1), dtype=np.complex64)
    padded[:, : half + 1, : half + 1] = spectra[:, : half + 1]
    padded[:, -half:, : half + 1] = spectra[:, half:]
    np.multiply(irfft2(padded, fine), np.float32(OVERSAMPLING**2), out=finer)
    return finer


def _gap_between_rows(count: int, side: int) -> FloatArray:
    """Return (n, side, side) float32, not filled, whose rows do not lie a power of two apart.

    Pixels above each other would otherwise drive each other out of the cache.
    """
    return np.empty((count, side, side + _GAP), dtype=np.float32)[..., :side]


def templates(images: FloatArray, mask: FloatArray) -> Templates:
    """Prepare pictures i for `refine`.

    Parameters
    ----------
    images : (n, box, box) float32
        Standardised pictures.
    mask : (box, box) float32
        0 or 1.

    Returns
    -------
    Templates
    """
    box = images.shape[-1]
    yy, xx = np.nonzero(mask > 0)
    chequered = (yy + xx) % 2 == 0
    yy, xx = yy[chequered], xx[chequered]
    quarter = yy % 2 == 0
    order = np.argsort(~quarter, kind="stable")
    yy, xx = yy[order], xx[order]
    y, x = (yy - box // 2).astype(np.float32), (xx - box // 2).astype(np.float32)
    slope_y = np.gradient(images, axis=1)[:, yy, xx]
    slope_x = np.gradient(images, axis=2)[:, yy, xx]
    values = _zero_mean(images[:, yy, xx])
    norm = np.sqrt(np.sum(values.astype(np.float64) ** 2, axis=1))
    gain = (1 / np.where(norm > 0, norm, 1)).astype(np.float32)
    values = values * gain[:, None]
    slopes = _zero_mean(np.stack([slope_y * x - slope_x * y, slope_x, slope_y], axis=1))
    slopes = slopes * gain[:, None, None]
    hessian = np.einsum("nap,nbp->nab", slopes, slopes, dtype=np.float64, optimize=True)
    # A flat picture has no slopes; the ridge keeps its (unused) matrix invertible.
    ridge = np.eye(3) * (1e-9 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] + 1e-30)
    # Fancy indexing leaves the classes along the fastest axis; the kernels run along pixels.
    return Templates(
        values=np.ascontiguousarray(values),
        slopes=np.ascontiguousarray(slopes),
        inverse_hessian=np.linalg.inv(hessian + ridge),
        projection=np.einsum("nap,np->na", slopes, values, dtype=np.float64),
        x=x,
        y=y,
        coarse=int(quarter.sum()),
    )


def refine(
    rows: Templates,
    columns: FloatArray,
    candidates: Candidates,
    wanted: NDArray[np.bool_],
    *,
    max_shift: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Refine the coarse poses of a tile and return the best distinct ones.

    On a quarter of the mask's pixels; `settle` goes on from there.

    Parameters
    ----------
    rows : Templates
        Pictures i.
    columns : (c, 2 box, 2 box) float32
        Pictures j from `oversample`.
    candidates : Candidates
        From the coarse search.
    wanted : (r, c) bool
        Which pairs to refine.
    max_shift : float
        Radius in working pixels that shifts stay within.

    Returns
    -------
    poses : (r, c, FINALISTS, 4) float32
        Rotation in degrees, shift y, shift x in working pixels, mirrored 0 or 1; the best of each
        mirror state come first, then the next best poses.
    ncc : (r, c, FINALISTS) float32
        Correlation coefficient; −inf where there is no finalist.
    """
    return _refine_tile(  # type: ignore[no-any-return]
        rows.values,
        rows.slopes,
        rows.inverse_hessian,
        rows.projection,
        rows.x,
        rows.y,
        rows.coarse,
        columns,
        candidates.correlation,
        candidates.rotation,
        candidates.shift_y,
        candidates.shift_x,
        wanted,
        np.float32(max_shift),
    )


def settle(
    rows: Templates,
    columns: FloatArray,
    poses: NDArray[np.float32],
    standing: NDArray[np.bool_],
    *,
    max_shift: float,
) -> NDArray[np.float32]:
    """Refine every finalist that stands on all pixels of the templates.

    Parameters
    ----------
    rows, columns, max_shift
        As for `refine`.
    poses : (r, c, FINALISTS, 4) float32
        From `refine`.
    standing : (r, c, FINALISTS) bool
        Which of them stand; the others stay as they are.

    Returns
    -------
    (r, c, FINALISTS, 4) float32
    """
    return _settle_tile(  # type: ignore[no-any-return]
        rows.values,
        rows.slopes,
        rows.inverse_hessian,
        rows.projection,
        rows.x,
        rows.y,
        columns,
        poses,
        standing,
        np.float32(max_shift),
    )


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _sums(
    picture: NDArray[np.float32],
    values: NDArray[np.float32],
    slopes: NDArray[np.float32],
    count: int,
    sums: NDArray[np.float64],
) -> None:
    """Fill `sums` with the three Σ slope·j, Σij, Σj and Σj² over the first `count` pixels."""
    total = square = common = turn = along_x = along_y = np.float32(0)
    for p in range(count):
        value = picture[p]
        total += value
        square += value * value
        common += values[p] * value
        turn += slopes[0, p] * value
        along_x += slopes[1, p] * value
        along_y += slopes[2, p] * value
    sums[0], sums[1], sums[2] = turn, along_x, along_y
    sums[3], sums[4], sums[5] = common, total, square


@numba.njit(cache=True)
def _ncc(sums: NDArray[np.float64], count: int, part: float) -> float:
    """Return the correlation coefficient of unit-norm values with j; −2 where j is constant."""
    power = sums[5] - sums[4] * sums[4] / count
    return float(sums[3] / math.sqrt(power * part)) if power > 0 else -2.0


@numba.njit(cache=True)
def _times(matrix: NDArray[np.float64], a: float, b: float, c: float) -> tuple[float, float, float]:
    """Return a 3×3 matrix times (a, b, c)."""
    return (
        matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c,
        matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c,
        matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c,
    )


@numba.njit(cache=True)
def _step(
    pose: NDArray[np.float32],
    sums: NDArray[np.float64],
    inverse_hessian: NDArray[np.float64],
    projection: NDArray[np.float64],
    part: float,
    radius: float,
    max_shift: float,
) -> float:
    """Move `pose` to the linearised maximum; return how far the rim of the mask moved, in px."""
    # Three numbers at a time, written out: arrays this small cost more to make than to add up.
    solved = _times(inverse_hessian, projection[0], projection[1], projection[2])
    ahead = (sums[3] - sums[0] * solved[0] - sums[1] * solved[1] - sums[2] * solved[2]) / part
    if ahead <= 0:
        return 0.0
    common = projection[0] * solved[0] + projection[1] * solved[1] + projection[2] * solved[2]
    gain = (1.0 - common) / ahead / part
    ascent = _times(inverse_hessian, sums[0] * gain, sums[1] * gain, sums[2] * gain)
    turn, along_x, along_y = ascent[0] - solved[0], ascent[1] - solved[1], ascent[2] - solved[2]
    length = max(abs(turn) * radius, math.hypot(along_x, along_y))
    if length > LONGEST_STEP:
        shorter = LONGEST_STEP / length
        turn, along_x, along_y = turn * shorter, along_x * shorter, along_y * shorter
    cosine, sine = math.cos(turn), math.sin(turn)
    shift_x = along_x + cosine * pose[2] - sine * pose[1]
    shift_y = along_y + sine * pose[2] + cosine * pose[1]
    distance = math.hypot(shift_x, shift_y)
    if distance > max_shift:
        shift_x *= max_shift / distance
        shift_y *= max_shift / distance
    pose[0] = (pose[0] - math.degrees(turn)) % 360.0
    pose[1] = shift_y
    pose[2] = shift_x
    return float(length)


@numba.njit(cache=True)
def mask_radius(pixels: int) -> float:
    """Return the radius of the mask in pixels; the templates hold half of it."""
    return math.sqrt(2 * pixels / math.pi)


@numba.njit(cache=True)
def _climb(
    fine: NDArray[np.float32],
    pose: NDArray[np.float32],
    values: NDArray[np.float32],
    slopes: NDArray[np.float32],
    inverse_hessian: NDArray[np.float64],
    projection: NDArray[np.float64],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    pixels: int,
    steps: int,
    enough: float,
    max_shift: float,
    buffer: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> float:
    """Move `pose` up its hill and return the highest NCC met on the way.

    On the pixels (x, y), some of the `pixels` of the templates. Whoever gains nothing more stops; a
    step of less than `enough` is the last one. What the last step leads to is not looked at.
    """
    count = len(x)
    part = count / pixels
    trial = pose.copy()
    found = -np.inf
    for step in range(steps):
        sample_aligned(fine, trial, x, y, buffer, OVERSAMPLING)
        _sums(buffer, values, slopes, count, sums)
        reached = _ncc(sums, count, part)
        if reached <= found:
            break
        found = reached
        pose[:] = trial
        moved = _step(
            trial, sums, inverse_hessian, projection, part, mask_radius(pixels), max_shift
        )
        if moved < enough or step == steps - 1:
            pose[:] = trial
            break
    return float(found)


@numba.njit(parallel=True, nogil=True, cache=True)
def _refine_tile(
    values: NDArray[np.float32],
    slopes: NDArray[np.float32],
    inverse_hessian: NDArray[np.float64],
    projection: NDArray[np.float64],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    coarse: int,
    columns: NDArray[np.float32],
    correlation: NDArray[np.float32],
    rotation: NDArray[np.float32],
    shift_y: NDArray[np.float32],
    shift_x: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    max_shift: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count_rows, count_columns = wanted.shape
    candidates = len(correlation)
    half = candidates // 2
    pixels = len(x)
    hopeless = HOPELESS * OVERSAMPLING / columns.shape[-1]
    poses = np.zeros((count_rows, count_columns, FINALISTS, 4), dtype=np.float32)
    ncc = np.full((count_rows, count_columns, FINALISTS), -np.inf, dtype=np.float32)
    for pair in numba.prange(count_rows * count_columns):
        # i runs fastest: the scattered reads of a picture j then stay in the cache.
        j, i = pair // count_rows, pair % count_rows
        if not wanted[i, j]:
            continue
        buffer = np.empty(pixels, dtype=np.float32)
        sums = np.empty(6, dtype=np.float64)
        found = np.full(candidates, -np.inf)
        pose = np.zeros((candidates, 4), dtype=np.float32)
        promising = correlation[:, i, j].max() - UNPROMISING
        for k in range(candidates):
            if correlation[k, i, j] == -np.inf or correlation[k, i, j] < promising:
                continue
            pose[k, 0] = rotation[k, i, j]
            pose[k, 1] = shift_y[k, i, j]
            pose[k, 2] = shift_x[k, i, j]
            pose[k, 3] = k // half
            found[k] = _climb(
                columns[j], pose[k], values[i], slopes[i], inverse_hessian[i], projection[i],
                x[:coarse], y[:coarse], pixels, COARSE_STEPS, STILL, max_shift, buffer, sums,
            )  # fmt: skip
        finalists = _distinct(found, pose, mask_radius(pixels))
        for place in range(FINALISTS):
            k = finalists[place]
            if k >= 0 and found[k] >= found.max() - hopeless:
                ncc[i, j, place] = found[k]
                poses[i, j, place] = pose[k]
    return poses, ncc


@numba.njit(parallel=True, nogil=True, cache=True)
def _settle_tile(
    values: NDArray[np.float32],
    slopes: NDArray[np.float32],
    inverse_hessian: NDArray[np.float64],
    projection: NDArray[np.float64],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    columns: NDArray[np.float32],
    poses: NDArray[np.float32],
    standing: NDArray[np.bool_],
    max_shift: float,
) -> NDArray[np.float32]:
    count_rows, count_columns = standing.shape[:2]
    pixels = len(x)
    settled = poses.copy()
    for pair in numba.prange(count_rows * count_columns):
        j, i = pair // count_rows, pair % count_rows
        if not standing[i, j].any():
            continue
        buffer = np.empty(pixels, dtype=np.float32)
        sums = np.empty(6, dtype=np.float64)
        for place in range(FINALISTS):
            if not standing[i, j, place]:
                continue
            _climb(
                columns[j], settled[i, j, place], values[i], slopes[i], inverse_hessian[i],
                projection[i], x, y, pixels, FINE_STEPS, SETTLED, max_shift, buffer, sums,
            )  # fmt: skip
    return settled


@numba.njit(cache=True)
def _distinct(
    found: NDArray[np.float64], pose: NDArray[np.float32], radius: float
) -> NDArray[np.int64]:
    """Return the best candidate of each mirror state, then the best others, −1 for none.

    A candidate that lies next to a chosen one climbed the same hill and does not stand beside it.
    """
    half = len(found) // 2
    chosen = np.full(FINALISTS, -1, dtype=np.int64)
    left = found.copy()
    for place in range(FINALISTS):
        first, last = (place * half, (place + 1) * half) if place < 2 else (0, len(found))
        best = first + np.argmax(left[first:last])
        if left[best] == -np.inf:
            continue
        chosen[place] = best
        for k in range(best // half * half, (best // half + 1) * half):
            turn = abs(pose[k, 0] - pose[best, 0])
            rim = math.radians(min(turn, 360.0 - turn)) * radius
            moved = math.hypot(pose[k, 1] - pose[best, 1], pose[k, 2] - pose[best, 2])
            if max(rim, moved) <= DISTINCT:
                left[k] = -np.inf
    return chosen


def _zero_mean(values: FloatArray) -> FloatArray:
    centred: FloatArray = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
    return centred.astype(np.float32)
