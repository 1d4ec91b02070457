"""Sampling of one picture at one pose, in compiled code: what the host's search does most.

`sampling` does the same in plain form for many pairs on whatever device; a test holds both equal.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["lay_on_square", "sample_aligned"]

_LANES = 8  # pixels that are one vector


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def sample_aligned(
    fine: NDArray[np.float32],
    pose: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    out: NDArray[np.float32],
    oversampling: int,
) -> None:
    """Sample picture j, turned and shifted by `pose`, at offsets (x, y) from the centre of i.

    Parameters
    ----------
    fine : (side, side) float32
        Picture j on a grid `oversampling` times as fine; its centre is ``side // 2``. Its rows may
        lie apart in memory, the pixels of a row may not.
    pose : (4,) float32
        Rotation in degrees, shift y, shift x in pixels of i, mirrored; `model.Pose`'s convention.
    x, y, out : (p,) float32
        `out` receives bilinear values; beyond the border of j its outermost pixel is repeated.
    oversampling : int
    """
    side = fine.shape[0]
    angle = math.radians(pose[0])
    cosine = np.float32(math.cos(angle) * oversampling)
    sine = np.float32(math.sin(angle) * oversampling)
    mirror = np.float32(-1.0 if pose[3] > 0.5 else 1.0)
    zero, last = np.float32(0), np.float32(side - 1.001)
    origin_u = np.float32(side // 2) - mirror * (cosine * pose[2] - sine * pose[1])
    origin_v = np.float32(side // 2) - (sine * pose[2] + cosine * pose[1])
    u_by_x, u_by_y = mirror * cosine, -mirror * sine
    whole = len(x) // _LANES * _LANES
    for p in range(0, whole, _LANES):
        _sample_eight(fine, u_by_x, u_by_y, origin_u, sine, cosine, origin_v, last, x, y, out, p)
    for p in range(whole, len(x)):
        u = min(max(u_by_x * x[p] + u_by_y * y[p] + origin_u, zero), last)
        v = min(max(sine * x[p] + cosine * y[p] + origin_v, zero), last)
        left, top = np.int32(u), np.int32(v)
        part_u, part_v = u - np.float32(left), v - np.float32(top)
        upper, lower = fine[top, left : left + 2], fine[top + 1, left : left + 2]
        left_mixed = upper[0] + part_v * (lower[0] - upper[0])
        right_mixed = upper[1] + part_v * (lower[1] - upper[1])
        out[p] = left_mixed + part_u * (right_mixed - left_mixed)


@numba.njit(cache=True)
def lay_on_square(
    values: NDArray[np.float32], inside: NDArray[np.int64], square: NDArray[np.float32]
) -> None:
    """Lay the pixels of a mask back on their square; its other pixels stay as they are.

    Parameters
    ----------
    values : (p,) float32
    inside : (p,) int64
        Flat index of each, rising.
    square : (rows, columns) float32
    """
    flat = square.reshape(-1)
    p = 0
    while p < len(values):
        first = inside[p]
        if p + _LANES <= len(values) and inside[p + _LANES - 1] == first + _LANES - 1:
            # Neighbours, which are one store as unsigned indices, that cannot count from the end.
            source, target = np.uint64(p), np.uint64(first)
            for lane in range(_LANES):
                flat[target + np.uint64(lane)] = values[source + np.uint64(lane)]
            p += _LANES
        else:
            flat[first] = values[p]
            p += 1


@intrinsic
def _sample_eight(
    typing_context: Any,
    fine: Any,
    u_by_x: Any,
    u_by_y: Any,
    origin_u: Any,
    v_by_x: Any,
    v_by_y: Any,
    origin_v: Any,
    last: Any,
    x: Any,
    y: Any,
    out: Any,
    first: Any,
) -> Any:
    """Do what the loop at the end of `sample_aligned` does, for eight pixels from `first` on.

    In the compiler's own terms, since it does not see by itself that left and right neighbour are
    one load, nor that the rest is vectors of eight: this takes a third of the time.
    """
    if any(array.dtype != types.float32 for array in (fine, x, y, out)):
        return None  # which is an error where it is called
    signature = types.void(
        fine, u_by_x, u_by_y, origin_u, v_by_x, v_by_y, origin_v, last, x, y, out, first
    )
    return signature, _eight_sampled


_INDEX, _INT, _SINGLE = ir.IntType(64), ir.IntType(32), ir.FloatType()
_PAIR, _EIGHT = ir.VectorType(_SINGLE, 2), ir.VectorType(_SINGLE, _LANES)
_EIGHT_INTS = ir.VectorType(_INT, _LANES)
_FUSED = ("contract", "nsz")


def _eight_sampled(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Write the instructions of `_sample_eight`."""

    def array(number: int) -> Any:
        return context.make_array(signature.args[number])(context, builder, arguments[number])

    def eight_of(number: int) -> Any:
        first = builder.gep(array(number).data, [arguments[11]])
        return builder.bitcast(first, _EIGHT.as_pointer())

    def chosen(lanes: list[int], first: Any, second: Any) -> Any:
        mask = ir.Constant(ir.VectorType(_INT, len(lanes)), lanes)
        return builder.shuffle_vector(first, second, mask)

    def spread(value: Any, kind: Any) -> Any:
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT, 0))
        return chosen([0] * _LANES, one, one)

    def joined(parts: list[Any]) -> Any:
        while len(parts) > 1:
            lanes = list(range(2 * parts[0].type.count))
            parts = [chosen(lanes, *parts[k : k + 2]) for k in range(0, len(parts), 2)]
        return parts[0]

    def plus_product(summand: Any, a: Any, b: Any) -> Any:
        return builder.fadd(summand, builder.fmul(a, b, flags=_FUSED), flags=_FUSED)

    def mixed(part: Any, first: Any, second: Any) -> Any:
        return plus_product(first, part, builder.fsub(second, first, flags=_FUSED))

    def lesser(relation: str, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(relation, a, b), a, b)

    x, y = builder.load(eight_of(8), align=4), builder.load(eight_of(9), align=4)
    last, zero = spread(arguments[7], _EIGHT), ir.Constant(_EIGHT, [0.0] * _LANES)

    def cell_of(by_x: Any, by_y: Any, origin: Any) -> tuple[Any, Any]:
        """Return along one axis the pixel before each position, and how far beyond it that is."""
        by_x, by_y, origin = (spread(value, _EIGHT) for value in (by_x, by_y, origin))
        position = plus_product(plus_product(origin, by_y, y), by_x, x)
        position = lesser("<", lesser(">", position, zero), last)
        before = builder.fptosi(position, _EIGHT_INTS)
        beyond = builder.fsub(position, builder.sitofp(before, _EIGHT), flags=_FUSED)
        return before, beyond

    left, part_u = cell_of(*arguments[1:4])
    top, part_v = cell_of(*arguments[4:7])
    picture = array(0)
    row = builder.sdiv(builder.extract_value(picture.strides, 0), ir.Constant(_INDEX, 4))
    at = builder.add(builder.mul(top, spread(builder.trunc(row, _INT), _EIGHT_INTS)), left)
    corners = []
    for lane in range(_LANES):
        place = builder.sext(builder.extract_element(at, ir.Constant(_INT, lane)), _INDEX)
        corners.append(builder.gep(picture.data, [place]))

    def mixed_across(half: range) -> Any:
        """Return left and right neighbours of four pixels, in turn, mixed of upper and lower."""

        def pairs(down: Any) -> Any:
            places = [builder.gep(corners[lane], [down]) for lane in half]
            kind = _PAIR.as_pointer()
            return joined([builder.load(builder.bitcast(at, kind), align=4) for at in places])

        twice = [lane for lane in half for _ in range(2)]
        return mixed(chosen(twice, part_v, part_v), pairs(ir.Constant(_INDEX, 0)), pairs(row))

    halves = mixed_across(range(_LANES // 2)), mixed_across(range(_LANES // 2, _LANES))
    left_mixed = chosen(list(range(0, 2 * _LANES, 2)), *halves)
    right_mixed = chosen(list(range(1, 2 * _LANES, 2)), *halves)
    builder.store(mixed(part_u, left_mixed, right_mixed), eight_of(10), align=4)
    return context.get_dummy_value()
