"""Matches refined to a hundredth of a pixel: image registration of every subset.

Inverse-compositional Gauss-Newton on the zero-normalised sum of squared differences (Pan, Li &
Tong 2013, doi:10.1007/s11340-013-9717-6; Gao et al. 2015, doi:10.1016/j.optlaseng.2014.05.013),
affine subsets or such that only shift, cubic B-spline interpolation. Unlike a curve laid through
three values of a correlation map it has no preference for whole pixels.

On the host the compiled kernel of `registration_kernels` does it; elsewhere the plain form below,
batched over subsets, stays on the device. Both take the same steps and a test holds them equal.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, is_numpy_array

from cryocorr_tui.core.displacement import registration_kernels
from cryocorr_tui.core.displacement.pictures import MARGIN, Deformed, Reference
from cryocorr_tui.core.displacement.subsets import windows

__all__ = ["refine", "refine_bytes", "sample_spline"]

STEPS = 25
STILL = 2e-3  # pixels that the rim of a subset moves in the last step
RIDGE = 1e-9  # part of the trace of a Hessian: stripes hold no place along themselves
_PARAMETERS = 6


def refine(
    reference: Reference,
    deformed: Deformed,
    corners: Any,
    start: Any,
    *,
    block: int,
    affine: bool = True,
) -> tuple[Any, Any]:
    """Refine matches.

    Parameters
    ----------
    reference : Reference
    deformed : Deformed
    corners : (n, 2) int32
        First row and column of each subset.
    start : (n, 6) float64
        Where to begin: dy, ∂dy/∂y, ∂dy/∂x, dx, ∂dx/∂y, ∂dx/∂x, about the centre of the subset.
    block : int
    affine : bool
        Subsets turn and stretch too; else they only shift, as deformed as they are at the start.

    Returns
    -------
    warps : (n, 6) float64
        As `start`.
    found : (n, 4) float64
        Correlation coefficient, variance of dy and of dx in px² (the residual of the match taken
        for noise that is independent from pixel to pixel; `uncertainty` tells what it is), and 1
        where the climb came to rest, 0 where it did not or left the picture.
    """
    if is_numpy_array(start):
        return registration_kernels.refine(  # type: ignore[no-any-return]
            reference.values,
            reference.slope_y,
            reference.slope_x,
            reference.weight,
            deformed.coefficients,
            corners,
            start,
            block,
            STEPS,
            STILL,
            RIDGE,
            affine,
        )
    return _refine_plain(reference, deformed, corners, start, block, affine)


def refine_bytes(block: int) -> int:
    """Return the bytes of the device that one subset takes in the plain form, generously."""
    return 160 * block * block


def sample_spline(coefficients: Any, y: Any, x: Any) -> Any:
    """Sample a cubic B-spline.

    Parameters
    ----------
    coefficients : (height + 2 MARGIN, width + 2 MARGIN) float32
        As in `pictures.Deformed`.
    y, x : float64
        Places in pixels, of any shape; within 1 px of the picture, else they are moved there.

    Returns
    -------
    float32
        Of the shape of `y`.
    """
    xp = array_namespace(coefficients)
    height, width = coefficients.shape
    y = xp.clip(y, -1.0, height - 2.0 * MARGIN) + MARGIN
    x = xp.clip(x, -1.0, width - 2.0 * MARGIN) + MARGIN
    row, column = xp.floor(y), xp.floor(x)
    by_y = _spline_weights(xp.astype(y - row, xp.float32))
    by_x = _spline_weights(xp.astype(x - column, xp.float32))
    first = (xp.astype(row, xp.int32) - 1) * width + xp.astype(column, xp.int32) - 1
    flat, place = xp.reshape(coefficients, (-1,)), xp.reshape(first, (-1,))
    value = xp.zeros_like(by_y[0])
    for down, weight_y in enumerate(by_y):
        line = xp.zeros_like(value)
        for right, weight_x in enumerate(by_x):
            taken = xp.take(flat, place + (down * width + right))
            line = line + weight_x * xp.reshape(taken, value.shape)
        value = value + weight_y * line
    return value


def _spline_weights(part: Any) -> tuple[Any, Any, Any, Any]:
    """Return the four weights of a cubic B-spline at a part of a cell, 0…1."""
    rest = 1 - part
    cube, rest_cube = part * part * part, rest * rest * rest
    inner = (4 - 6 * part * part + 3 * cube) / 6
    outer = (4 - 6 * rest * rest + 3 * rest_cube) / 6
    return rest_cube / 6, inner, outer, cube / 6


def _refine_plain(
    reference: Reference,
    deformed: Deformed,
    corners: Any,
    start: Any,
    block: int,
    affine: bool,
) -> tuple[Any, Any]:
    xp = array_namespace(start)
    half = (block - 1) / 2
    along = xp.arange(block, dtype=xp.float64, device=start.device) - half
    v = xp.reshape(along[:, None] * xp.ones_like(along)[None, :], (1, -1))
    u = xp.reshape(xp.ones_like(along)[:, None] * along[None, :], (1, -1))
    centre = xp.astype(corners, xp.float64) + half

    basis, count, energy = _basis(reference, corners, block, v, u)
    slopes = basis[:, 2:, :]
    inverse = _inverse(slopes, affine)
    projection = slopes @ xp.permute_dims(basis[:, :2, :], (0, 2, 1))  # (n, 6, p) @ (n, p, 2)
    projection = xp.astype(projection, xp.float64)

    warps, alive = start, energy > 0
    correlation = xp.zeros_like(energy)
    rested = xp.zeros_like(alive)
    for _ in range(STEPS):
        alive = alive & _inside(warps, centre, half, deformed.coefficients.shape)
        if not bool(xp.any(alive)):
            break
        sampled = _matched(deformed, warps, centre, v, u)
        # (n, 8, p) @ (n, p, 1): Σfg, Σg and Σ slope·g, then Σg²
        sums = xp.astype((basis @ sampled[:, :, None])[:, :, 0], xp.float64)
        square = xp.astype(xp.sum(basis[:, 1, :] * sampled * sampled, axis=1), xp.float64)
        power = square - sums[:, 1] * sums[:, 1] / count
        alive = alive & (power > 0)
        power = xp.where(alive, power, 1.0)
        gain = xp.sqrt(energy / power)[:, None]
        ahead = gain * (sums[:, 2:] - (sums[:, 1] / count)[:, None] * projection[:, :, 1])
        step = xp.sum(inverse * (ahead - projection[:, :, 0])[:, None, :], axis=2)
        step = xp.where(alive[:, None], step, xp.zeros_like(step))
        warps = _composed(warps, step)
        reached = sums[:, 0] / xp.sqrt(xp.where(energy > 0, energy, 1.0) * power)
        correlation = xp.where(alive, reached, correlation)
        rests = alive & (_rim(step, half) < STILL)
        rested = rested | rests
        alive = alive & ~rests
    noise = 2 * energy * xp.maximum(1 - correlation, xp.zeros_like(energy))
    noise = noise / xp.maximum(count - _PARAMETERS - 2, xp.ones_like(count))
    found = [correlation, noise * inverse[:, 0, 0], noise * inverse[:, 3, 3]]
    return warps, xp.stack([*found, xp.astype(rested, xp.float64)], axis=1)


def _basis(reference: Reference, corners: Any, block: int, v: Any, u: Any) -> tuple[Any, Any, Any]:
    """Return what a matched subset is multiplied by.

    Returns
    -------
    basis : (n, 8, pixels) float32
        Values less their mean, weights, and how the values change with each of the six parameters.
    count, energy : (n,) float64
        Pixels that count (1 at least), and Σ of the first squared.
    """
    xp = array_namespace(corners)
    shape = (corners.shape[0], -1)
    values, slope_y, slope_x, weight = (
        xp.reshape(windows(picture, corners, block), shape)
        for picture in (
            reference.values,
            reference.slope_y,
            reference.slope_x,
            reference.weight,
        )
    )
    count = xp.maximum(xp.sum(weight, axis=1), xp.ones_like(weight[:, 0]))
    mean = xp.sum(weight * values, axis=1) / count
    centred = weight * (values - mean[:, None])
    gy, gx = weight * slope_y, weight * slope_x
    v, u = xp.astype(v, xp.float32), xp.astype(u, xp.float32)
    basis = xp.stack([centred, weight, gy, gy * v, gy * u, gx, gx * v, gx * u], axis=1)
    energy = xp.sum(centred * centred, axis=1)
    return basis, xp.astype(count, xp.float64), xp.astype(energy, xp.float64)


def _inverse(slopes: Any, affine: bool) -> Any:
    """Return (n, 6, 6) float64: the inverse Hessians of slopes (n, 6, pixels).

    0 for the parameters that stay as they are where subsets are not `affine`.
    """
    xp = array_namespace(slopes)
    hessian = xp.astype(slopes @ xp.permute_dims(slopes, (0, 2, 1)), xp.float64)
    identity = xp.eye(_PARAMETERS, dtype=xp.float64, device=hessian.device)
    trace = xp.sum(hessian * identity, axis=(1, 2))
    # A subset without any slope is never climbed from; its Hessian need only be invertible.
    floor = xp.where(trace > 0, RIDGE * trace, xp.ones_like(trace))
    hessian = hessian + floor[:, None, None] * identity
    if affine:
        return xp.linalg.inv(hessian)
    free = xp.asarray([1, 0, 0, 1, 0, 0], dtype=xp.float64, device=hessian.device)
    both = free[:, None] * free[None, :]
    return both * xp.linalg.inv(both * hessian + (1 - free) * identity)


def _matched(deformed: Deformed, warps: Any, centre: Any, v: Any, u: Any) -> Any:
    """Return (n, pixels) float32: the deformed picture under each warped subset."""
    dy, dyy, dyx, dx, dxy, dxx = (warps[:, k][:, None] for k in range(_PARAMETERS))
    y = centre[:, 0][:, None] + dy + (1 + dyy) * v + dyx * u
    x = centre[:, 1][:, None] + dx + dxy * v + (1 + dxx) * u
    return sample_spline(deformed.coefficients, y, x)


def _inside(warps: Any, centre: Any, half: float, shape: tuple[int, int]) -> Any:
    """Return (n,) bool: whether all of a matched subset lies within 1 px of the picture."""
    xp = array_namespace(warps)
    inside = xp.ones_like(warps[:, 0], dtype=xp.bool)
    ends = (
        xp.abs(1 + warps[:, 1]) + xp.abs(warps[:, 2]),
        xp.abs(warps[:, 4]) + xp.abs(1 + warps[:, 5]),
    )
    for axis, reach in enumerate(ends):
        middle = centre[:, axis] + warps[:, 3 * axis]
        inside = inside & (middle - half * reach >= -1.0)
        inside = inside & (middle + half * reach <= shape[axis] - 2.0 * MARGIN)
    return inside


def _rim(step: Any, half: float) -> Any:
    """Return (n,): how far a step moves the rim of a subset at most, in pixels."""
    xp = array_namespace(step)
    size = xp.abs(step)
    return xp.maximum(
        size[:, 0] + half * (size[:, 1] + size[:, 2]),
        size[:, 3] + half * (size[:, 4] + size[:, 5]),
    )


def _composed(warps: Any, step: Any) -> Any:
    """Return (n, 6): the inverse of each step, then the warp."""
    xp = array_namespace(warps)
    a, b, c, d = 1 + step[:, 1], step[:, 2], step[:, 4], 1 + step[:, 5]
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    y, x = -(a * step[:, 0] + b * step[:, 3]), -(c * step[:, 0] + d * step[:, 3])
    yy, yx, xy, xx = 1 + warps[:, 1], warps[:, 2], warps[:, 4], 1 + warps[:, 5]
    composed = [
        warps[:, 0] + yy * y + yx * x,
        yy * a + yx * c - 1,
        yy * b + yx * d,
        warps[:, 3] + xy * y + xx * x,
        xy * a + xx * c,
        xy * b + xx * d - 1,
    ]
    return xp.stack(composed, axis=1)
