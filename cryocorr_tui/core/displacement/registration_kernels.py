"""Refinement of matches in compiled code; the same steps as the plain form in `registration`.

A subset is the work of one thread, so the result does not depend on their number.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.displacement.pictures import MARGIN
from cryocorr_tui.core.model import FloatArray

__all__ = ["refine"]

_ENDLESS = 1_000_000  # pixels
_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(parallel=True, cache=True)
def refine(
    values: FloatArray,
    slope_y: FloatArray,
    slope_x: FloatArray,
    weight: FloatArray,
    coefficients: FloatArray,
    corners: NDArray[np.int32],
    start: NDArray[np.float64],
    block: int,
    steps: int,
    still: float,
    ridge: float,
    affine: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb from every start; see `registration.refine`."""
    n = len(start)
    warps = start.copy()
    found = np.zeros((n, 4))
    half = (block - 1) / 2
    for i in numba.prange(n):
        top, left = corners[i, 0], corners[i, 1]
        pieces = np.empty((4, block, block), dtype=np.float32)
        count, energy = _pieces(values, slope_y, slope_x, weight, top, left, pieces)
        if energy <= 0:
            continue
        inverse, projection = _inverse_hessian(pieces, half, ridge, affine)
        row = np.empty(block, dtype=np.float32)
        sums = np.empty(9)
        warp = warps[i]
        for _ in range(steps):
            if not _inside(warp, top + half, left + half, half, coefficients.shape):
                break
            _sums(coefficients, pieces, warp, top + half, left + half, half, row, sums)
            power = sums[1] - sums[0] * sums[0] / count
            if power <= 0:
                break
            gain = math.sqrt(energy / power)
            step = np.zeros(6)
            for a in range(6):
                for b in range(6):
                    slope = gain * (sums[3 + b] - sums[0] / count * projection[1, b])
                    step[a] += inverse[a, b] * (slope - projection[0, b])
            _compose(warp, step)
            found[i, 0] = sums[2] / math.sqrt(energy * power)
            moved = max(
                abs(step[0]) + half * (abs(step[1]) + abs(step[2])),
                abs(step[3]) + half * (abs(step[4]) + abs(step[5])),
            )
            if moved < still:
                found[i, 3] = 1.0
                break
        noise = 2 * energy * max(1 - found[i, 0], 0.0) / max(count - 8, 1.0)
        found[i, 1] = noise * inverse[0, 0]
        found[i, 2] = noise * inverse[3, 3]
    return warps, found


@numba.njit(cache=True, error_model="numpy", fastmath=_FAST)
def _pieces(
    values: FloatArray,
    slope_y: FloatArray,
    slope_x: FloatArray,
    weight: FloatArray,
    top: int,
    left: int,
    pieces: FloatArray,
) -> tuple[float, float]:
    """Fill in values less their mean, both slopes and weights; return pixels and energy."""
    block = pieces.shape[1]
    count = total = 0.0
    for y in range(block):
        for x in range(block):
            w = weight[top + y, left + x]
            pieces[3, y, x] = w
            count += w
            total += w * values[top + y, left + x]
    mean = np.float32(total / max(count, 1.0))
    energy = 0.0
    for y in range(block):
        for x in range(block):
            w = pieces[3, y, x]
            centred = w * (values[top + y, left + x] - mean)
            pieces[0, y, x] = centred
            pieces[1, y, x] = w * slope_y[top + y, left + x]
            pieces[2, y, x] = w * slope_x[top + y, left + x]
            energy += centred * centred
    return count, energy


@numba.njit(cache=True, error_model="numpy", fastmath=_FAST)
def _inverse_hessian(
    pieces: FloatArray, half: float, ridge: float, affine: bool
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Return the inverse Hessian of the six parameters, and Σ slope·f and Σ slope of each."""
    block = pieces.shape[1]
    products = np.zeros((3, 6))  # of yy, yx, xx; with 1, y, x, y², yx, x²
    projection = np.zeros((2, 6))
    for line in range(block):
        v = line - half
        f, gy, gx = pieces[0, line], pieces[1, line], pieces[2, line]
        # Single numbers, which stay in registers, where an array would not.
        yy = yy_u = yy_uu = yx = yx_u = yx_uu = xx = xx_u = xx_uu = np.float32(0)
        y_f = y_fu = x_f = x_fu = y_1 = y_u = x_1 = x_u = np.float32(0)
        for q in range(block):
            u = np.float32(q) - np.float32(half)
            down, right = gy[q], gx[q]
            down_u, right_u = down * u, right * u
            yy += down * down
            yy_u += down * down_u
            yy_uu += down_u * down_u
            yx += down * right
            yx_u += down * right_u
            yx_uu += down_u * right_u
            xx += right * right
            xx_u += right * right_u
            xx_uu += right_u * right_u
            y_f += down * f[q]
            y_fu += down_u * f[q]
            x_f += right * f[q]
            x_fu += right_u * f[q]
            y_1 += down
            y_u += down_u
            x_1 += right
            x_u += right_u
        _add_moments(products[0], v, yy, yy_u, yy_uu)
        _add_moments(products[1], v, yx, yx_u, yx_uu)
        _add_moments(products[2], v, xx, xx_u, xx_uu)
        _add_slopes(projection[0], v, y_f, y_fu, x_f, x_fu)
        _add_slopes(projection[1], v, y_1, y_u, x_1, x_u)
    hessian = np.empty((6, 6))
    for a in range(6):
        for b in range(6):
            kind = a // 3 + b // 3
            first, second = min(a % 3, b % 3), max(a % 3, b % 3)
            moment = second if first == 0 else first + second + 1
            hessian[a, b] = products[kind, moment]
    floor = ridge * np.trace(hessian)
    for a in range(6):
        hessian[a, a] += floor
    if affine:
        return np.linalg.inv(hessian), projection
    inverse = np.zeros((6, 6))
    inverse[::3, ::3] = np.linalg.inv(np.ascontiguousarray(hessian[::3, ::3]))
    return inverse, projection


@numba.njit(cache=True)
def _add_moments(
    sums: NDArray[np.float64], v: float, plain: float, by_u: float, by_uu: float
) -> None:
    """Add the moments of one line to those with 1, y, x, y², yx and x²."""
    sums[0] += plain
    sums[1] += v * plain
    sums[2] += by_u
    sums[3] += v * v * plain
    sums[4] += v * by_u
    sums[5] += by_uu


@numba.njit(cache=True)
def _add_slopes(
    sums: NDArray[np.float64], v: float, down: float, down_u: float, right: float, right_u: float
) -> None:
    """Add what one line gives to each of the six parameters."""
    sums[0] += down
    sums[1] += v * down
    sums[2] += down_u
    sums[3] += right
    sums[4] += v * right
    sums[5] += right_u


@numba.njit(cache=True)
def _inside(
    warp: NDArray[np.float64], y: float, x: float, half: float, shape: tuple[int, int]
) -> bool:
    """Tell whether all of a matched subset lies within 1 px of the picture."""
    reach_y = half * (abs(1 + warp[1]) + abs(warp[2]))
    reach_x = half * (abs(warp[4]) + abs(1 + warp[5]))
    last_y, last_x = shape[0] - 2 * MARGIN, shape[1] - 2 * MARGIN
    y, x = y + warp[0], x + warp[3]
    inside_y = y - reach_y >= -1.0 and y + reach_y <= last_y
    return bool(inside_y and x - reach_x >= -1.0 and x + reach_x <= last_x)


@numba.njit(cache=True, error_model="numpy", fastmath=_FAST)
def _sums(
    coefficients: FloatArray,
    pieces: FloatArray,
    warp: NDArray[np.float64],
    y: float,
    x: float,
    half: float,
    row: FloatArray,
    sums: NDArray[np.float64],
) -> None:
    """Fill `sums` with Σg, Σg², Σfg and Σ slope·g of the six parameters, g the matched subset."""
    block = len(row)
    sums[:] = 0
    for line in range(block):
        v = line - half
        # Of the first pixel of the row, in the grid of the coefficients.
        at_y = MARGIN + y + v + warp[0] + warp[1] * v - warp[2] * half
        at_x = MARGIN + x - half + warp[3] + warp[4] * v - warp[5] * half
        _sample_row(coefficients, at_y, at_x, warp[2], 1 + warp[5], row)
        total = square = common = np.float32(0)
        down = down_u = right = right_u = np.float32(0)
        f, gy, gx, w = pieces[0, line], pieces[1, line], pieces[2, line], pieces[3, line]
        for q in range(block):
            g = row[q]
            u = np.float32(q) - np.float32(half)
            total += w[q] * g
            square += w[q] * g * g
            common += f[q] * g
            slope = gy[q] * g
            down += slope
            down_u += u * slope
            slope = gx[q] * g
            right += slope
            right_u += u * slope
        sums[0] += total
        sums[1] += square
        sums[2] += common
        _add_slopes(sums[3:], v, down, down_u, right, right_u)


@numba.njit(cache=True, error_model="numpy", fastmath=_FAST)
def _sample_row(
    coefficients: FloatArray, y: float, x: float, step_y: float, step_x: float, out: FloatArray
) -> None:
    """Sample a cubic spline along a line.

    The line is cut into runs whose pixels lie in one row of cells and in neighbouring cells each:
    there the loads are contiguous and the arithmetic vectorises. Pictures are turned and stretched
    little, so a run is mostly the whole line. A pixel that rounding puts a hair beyond its cell
    does no harm, as the pieces of the spline join smoothly.
    """
    # A plain number would make all of it double precision.
    one, three, four, six = np.float32(1), np.float32(3), np.float32(4), np.float32(6)
    scale = np.float32(1 / 36)
    slip = np.float32(step_x - 1)
    rise = np.float32(step_y)
    first = 0
    while first < len(out):
        at_y, at_x = y + first * step_y, x + first * step_x
        row, column = math.floor(at_y), math.floor(at_x)
        part_y, part_x = np.float32(at_y - row), np.float32(at_x - column)
        count = min(_run(part_x, slip), _run(part_y, rise), len(out) - first)
        above = coefficients[row - 1, column - 1 : column + count + 2]
        here = coefficients[row, column - 1 : column + count + 2]
        below = coefficients[row + 1, column - 1 : column + count + 2]
        beyond = coefficients[row + 2, column - 1 : column + count + 2]
        for q in range(count):
            v = part_y + rise * np.float32(q)
            u = part_x + slip * np.float32(q)
            v1, u1 = one - v, one - u
            a, d = v1 * v1 * v1, v * v * v
            b, c = four - six * v * v + three * d, four - six * v1 * v1 + three * a
            e, h = u1 * u1 * u1, u * u * u
            f, g = four - six * u * u + three * h, four - six * u1 * u1 + three * e
            at_0 = a * above[q] + b * here[q] + c * below[q] + d * beyond[q]
            at_1 = a * above[q + 1] + b * here[q + 1] + c * below[q + 1] + d * beyond[q + 1]
            at_2 = a * above[q + 2] + b * here[q + 2] + c * below[q + 2] + d * beyond[q + 2]
            at_3 = a * above[q + 3] + b * here[q + 3] + c * below[q + 3] + d * beyond[q + 3]
            value = e * at_0 + f * at_1 + g * at_2 + h * at_3
            out[first + q] = value * scale
        first += count


@numba.njit(cache=True, error_model="numpy")
def _run(part: np.float32, slip: np.float32) -> int:
    """Return how many steps of `slip` a place in a cell, 0…1, can take before it leaves it."""
    if slip == 0:
        return _ENDLESS
    steps = (1 - part) / slip if slip > 0 else part / -slip
    return int(steps) + 1 if steps < _ENDLESS else _ENDLESS


@numba.njit(cache=True)
def _compose(warp: NDArray[np.float64], step: NDArray[np.float64]) -> None:
    """Put the inverse of `step` before `warp`."""
    a, b, c, d = 1 + step[1], step[2], step[4], 1 + step[5]
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    y, x = -(a * step[0] + b * step[3]), -(c * step[0] + d * step[3])
    yy, yx, xy, xx = 1 + warp[1], warp[2], warp[4], 1 + warp[5]
    warp[0] += yy * y + yx * x
    warp[3] += xy * y + xx * x
    warp[1] = yy * a + yx * c - 1
    warp[2] = yy * b + yx * d
    warp[4] = xy * a + xx * c
    warp[5] = xy * b + xx * d - 1
