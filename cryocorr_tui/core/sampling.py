"""Many aligned pictures at once, sampled on whatever device they are.

The plain form of `sampling_kernels.sample_aligned`, which does one pair in compiled code on the
host; a test holds both equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

__all__ = ["PosedPairs", "on_square", "parts", "put_back", "sample_pairs"]

_MOST_TOGETHER = 2**15  # matrix products of one batch, which every card can do


@dataclass(frozen=True, eq=False)
class PosedPairs:
    """Pairs of a tile, each at one pose; a pair may be there more than once.

    Attributes
    ----------
    i, j : (p,) integer
        Row and column of each.
    poses : (p, 4) float32
        Rotation in degrees, shift y, shift x in pixels of i, mirrored; `model.Pose`'s convention.
    """

    i: Any
    j: Any
    poses: Any

    def __len__(self) -> int:
        return int(self.i.shape[0])

    def at(self, places: Any) -> PosedPairs:
        """Return the pairs at some places, (m,) integer."""
        xp = array_namespace(self.i)
        return PosedPairs(
            xp.take(self.i, places), xp.take(self.j, places), xp.take(self.poses, places, axis=0)
        )

    def part(self, places: slice) -> PosedPairs:
        """Return the pairs of a slice."""
        return PosedPairs(self.i[places], self.j[places], self.poses[places, :])


def sample_pairs(pictures: Any, which: Any, poses: Any, x: Any, y: Any, oversampling: int) -> Any:
    """Sample picture j of each pair, turned and shifted by its pose, at offsets from i's centre.

    Parameters
    ----------
    pictures : (m, side, side) float32
        Pictures j on a grid `oversampling` times as fine; their centre is ``side // 2``.
    which : (p,) integer
        Picture of each pair.
    poses : (p, 4) float32
        Rotation in degrees, shift y, shift x in pixels of i, mirrored; `model.Pose`'s convention.
    x, y : (pixels,) float32
        Offsets from the centre of i.
    oversampling : int

    Returns
    -------
    (p, pixels) float32
        Bilinear values; beyond the border of j its outermost pixel is repeated.
    """
    xp = array_namespace(pictures)
    side = pictures.shape[-1]
    offsets = xp.stack([x, y, xp.ones_like(x)])
    # (p, 2, 3) @ (3, pixels): row and column in picture j
    position = xp.clip(_affine_maps(poses, side, oversampling) @ offsets, 0, side - 1.001)
    cell = xp.astype(position, xp.int32)
    part = position - xp.astype(cell, xp.float32)
    part_v, part_u = part[:, 0, :], part[:, 1, :]
    first = xp.astype(which, xp.int32) * (side * side)
    at = xp.reshape(first[:, None] + cell[:, 0, :] * side + cell[:, 1, :], (-1,))
    flat = xp.reshape(pictures, (-1,))

    def row_of_cell(step: int) -> Any:
        nearer = xp.reshape(xp.take(flat, at + step), part_u.shape)
        farther = xp.reshape(xp.take(flat, at + (step + 1)), part_u.shape)
        return nearer + part_u * (farther - nearer)

    upper = row_of_cell(0)
    return upper + part_v * (row_of_cell(side) - upper)


def on_square(values: Any, inside: Any, box: int) -> Any:
    """Lay the pixels of a mask back on their square, 0 elsewhere.

    Parameters
    ----------
    values : (p, pixels) float32
    inside : (pixels,) integer
        Flat index of each, rising.
    box : int

    Returns
    -------
    (p, box, box) float32
    """
    xp = array_namespace(values)
    every = xp.arange(box * box, dtype=inside.dtype, device=inside.device)
    place = xp.clip(xp.searchsorted(inside, every), 0, inside.shape[0] - 1)
    within = xp.astype(xp.take(inside, place) == every, values.dtype)
    return xp.reshape(xp.take(values, place, axis=1) * within, (-1, box, box))


def parts(count: int, bytes_each: float, memory: float) -> Iterator[slice]:
    """Cut `count` items of so many bytes into slices that fit `memory`, of one item at least."""
    together = max(1, int(min(_MOST_TOGETHER, memory / bytes_each)))
    for first in range(0, count, together):
        yield slice(first, min(first + together, count))


def put_back(values: Any, mask: Any, rest: Any) -> Any:
    """Return `rest` with `values` in their order where `mask` is True, without a scattered write.

    Parameters
    ----------
    values : (m, ...) array
        One for each True of `mask`.
    mask : (n,) bool
    rest : (n, ...) array
    """
    xp = array_namespace(mask)
    if not values.shape[0]:
        return rest
    place = xp.clip(xp.cumulative_sum(xp.astype(mask, xp.int32)) - 1, 0, values.shape[0] - 1)
    chosen = xp.reshape(mask, (-1, *(1,) * (values.ndim - 1)))
    return xp.where(chosen, xp.take(values, place, axis=0), rest)


def _affine_maps(poses: Any, side: int, oversampling: int) -> Any:
    """Return (p, 2, 3) float32: factors of x, of y and of 1 in row and column of picture j."""
    xp = array_namespace(poses)
    # A pose is few numbers: in double precision they cost nothing.
    poses = xp.astype(poses, xp.float64)
    angle = poses[:, 0] * (math.pi / 180)
    cosine, sine = xp.cos(angle) * oversampling, xp.sin(angle) * oversampling
    shift_y, shift_x = poses[:, 1], poses[:, 2]
    mirror = xp.where(poses[:, 3] > 0.5, -xp.ones_like(angle), xp.ones_like(angle))
    back_y, back_x = sine * shift_x + cosine * shift_y, cosine * shift_x - sine * shift_y
    row = [sine, cosine, side // 2 - back_y]
    column = [mirror * cosine, -mirror * sine, side // 2 - mirror * back_x]
    maps = xp.stack([xp.stack(row, axis=1), xp.stack(column, axis=1)], axis=1)
    return xp.astype(maps, xp.float32)
