"""The exhaustive coarse search: all rotations, shifts and mirror states of a tile of pairs at once.

For every ring order the products of all pictures of the rows (at all shifts) with all pictures of
the columns are one matrix product, and a second matrix product over the orders gives every
rotation; nothing loops over pairs or angles. With real arithmetic the mirrored state costs nothing:
writing A for a row and B for a column picture, conj(A)·B and conj(A)·conj(B) are made of the same
four real products.

Array namespace and device are those of the arguments; on the host a compiled kernel keeps the
products in the cache, elsewhere the plain formula beside it runs; a test holds them equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from numpy.typing import NDArray

from cryocorr_tui.core.polar import (
    PolarGrid,
    ring_samples,
    ring_spectra,
    rotation_basis,
    shift_phases,
)
from cryocorr_tui.core.sampling import parts

__all__ = ["Candidates", "CoarseSearch", "ColumnSpectra", "RowSpectra"]

PEAKS = 3  # distinct rotations kept for each mirror state
_DISTINCT_DEG = 8.0  # nearer rotations belong to the same peak


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best distinct coarse poses of a tile, (2 × `PEAKS`, rows, columns) float32.

    They stay on the device of the search. The first `PEAKS` are not mirrored, the others are.
    ``correlation`` is −inf where a peak does not exist; rotation in degrees, shifts in working
    pixels.
    """

    correlation: Any
    rotation: Any
    shift_y: Any
    shift_x: Any


class CoarseSearch:
    """The coarse search among pictures of one size; it holds none of them.

    Parameters
    ----------
    like : (n, box, box) float32
        Any pictures on the device the search shall run on: tell device and size.
    shifts : (s, 2) float64
        Searched (dy, dx) in pixels.
    mirror : bool
        Whether the mirrored state is searched too.
    """

    def __init__(self, like: Any, shifts: NDArray[np.float64], *, mirror: bool = True) -> None:
        self.grid = PolarGrid.for_box(like.shape[-1])
        self.shifts = shifts
        self.mirror = mirror
        self._phases = shift_phases(like, self.grid, shifts)
        self._basis = rotation_basis(like, self.grid)
        xp = array_namespace(like)
        self._shifts = [
            xp.asarray(along.astype(np.float32), device=device(like)) for along in shifts.T
        ]

    def samples(self, images: Any) -> Any:
        """Return `polar.ring_samples` of pictures (n, box, box), softly masked, with zero mean."""
        return ring_samples(images, self.grid)

    def rows(self, samples: Any) -> RowSpectra:
        """Return ring spectra at every shift from the `samples` of pictures i."""
        return RowSpectra(*ring_spectra(samples[:, :, None, :] * self._phases[:, None, :, :]))

    def columns(self, samples: Any) -> ColumnSpectra:
        """Return ring spectra from the `samples` of pictures j."""
        even, odd = ring_spectra(samples)
        return ColumnSpectra(_rings_before_last(even), _rings_before_last(odd))

    def profiles(self, rows: RowSpectra, columns: ColumnSpectra) -> tuple[Any, Any]:
        """Return the best correlation over shifts for every rotation and mirror state.

        Returns
        -------
        best : (2, rotations, rows, columns) float32
            −1…1; the second entry is the mirrored state. Rotation in steps of 360° / rotations.
        shift : same shape, integer
            Index of the shift that gave it.
        """
        if is_numpy_array(rows.even):
            right = np.ascontiguousarray(columns.even), np.ascontiguousarray(columns.odd)
            best, shift = _profiles_compiled(rows.even, rows.odd, *right, self._basis)
            return best, shift
        return best_shift(*correlate(rows, columns, self._basis))

    def candidates(
        self, rows: RowSpectra, columns: ColumnSpectra, *, memory: float = math.inf
    ) -> Candidates:
        """Return the best distinct peaks of every pair of a tile; see `Candidates`.

        Where the compiled kernel does not run, some columns at a time, so that the correlations at
        every shift fit `memory` bytes.
        """
        if is_numpy_array(rows.even):
            return self._candidates(rows, columns)
        # Correlations at every pose in single precision: the four of `correlate`, their sums and
        # differences, both halves of the circle.
        column = 4 * 4 * rows.even.shape[2] * len(self.shifts) * 2 * self.grid.rotations
        return _joined(
            [
                self._candidates(rows, columns.part(some))
                for some in parts(columns.even.shape[-1], column, memory)
            ]
        )

    def _candidates(self, rows: RowSpectra, columns: ColumnSpectra) -> Candidates:
        best, shift = self.profiles(rows, columns)
        values, rotation, index = _distinct_peaks(best, shift, self.grid.rotations)
        xp = array_namespace(values)
        if not self.mirror:
            values[PEAKS:, ...] = -xp.inf
        shift_y, shift_x = (
            xp.reshape(xp.take(along, xp.reshape(index, (-1,))), index.shape)
            for along in self._shifts
        )
        step = 360.0 / self.grid.rotations
        return Candidates(values, xp.astype(rotation, xp.float32) * step, shift_y, shift_x)


def _joined(pieces: list[Candidates]) -> Candidates:
    """Return the candidates of neighbouring columns as one."""
    if len(pieces) == 1:
        return pieces[0]
    xp = array_namespace(pieces[0].correlation)
    return Candidates(
        *(
            xp.concat([getattr(piece, field.name) for piece in pieces], axis=2)
            for field in fields(Candidates)
        )
    )


@dataclass(frozen=True, eq=False)
class RowSpectra:
    """Ring spectra of pictures i at every shift.

    ``even`` and ``odd`` are (2, orders, rows, shifts, rings) float32 on the device.
    """

    even: Any
    odd: Any


@dataclass(frozen=True, eq=False)
class ColumnSpectra:
    """Ring spectra of pictures j.

    ``even`` and ``odd`` are (2, orders, rings, columns) float32 on the device: the right-hand sides
    of all products.
    """

    even: Any
    odd: Any

    def part(self, some: slice) -> ColumnSpectra:
        """Return some of the columns."""
        return ColumnSpectra(self.even[..., some], self.odd[..., some])


def correlate(
    rows: RowSpectra, columns: ColumnSpectra, basis: tuple[Any, Any, Any, Any]
) -> tuple[Any, Any, Any, Any]:
    """Correlate ring spectra over all rotations.

    Parameters
    ----------
    rows : RowSpectra
    columns : ColumnSpectra
    basis : tuple of arrays
        From `polar.rotation_basis`.

    Returns
    -------
    kept_even, kept_odd, negated_even, negated_odd : (rotations/2, rows, shifts, columns) float32
        For a rotation φ in [0, 180°) the correlation is kept + negated, that of the mirrored state
        kept − negated; even and odd parts add at φ and subtract at φ + 180°.
    """
    xp = array_namespace(rows.even)
    results = []
    for part in (0, 1):  # real part of the columns, then their imaginary part
        for left, right, matrix in zip(
            (rows.even, rows.odd),
            (columns.even, columns.odd),
            basis[2 * part : 2 * part + 2],
            strict=True,
        ):
            two, orders, count, shifts, rings = left.shape
            flat = xp.reshape(left, (two, orders, count * shifts, rings))
            # (2, orders, rows × shifts, rings) @ (orders, rings, columns), then over the orders
            products = flat @ right[part, ...]
            correlation = matrix @ xp.reshape(products, (two * orders, -1))
            results.append(xp.reshape(correlation, (-1, count, shifts, right.shape[-1])))
    return results[0], results[1], results[2], results[3]


def best_shift(
    kept_even: Any, kept_odd: Any, negated_even: Any, negated_odd: Any
) -> tuple[Any, Any]:
    """Return the maximum over shifts and where it is, for all rotations and mirror states.

    Parameters
    ----------
    kept_even, kept_odd, negated_even, negated_odd : (rotations/2, rows, shifts, columns) float32
        From `correlate`.

    Returns
    -------
    best, index : (2, rotations, rows, columns)
    """
    xp = array_namespace(kept_even)
    kept_plus, kept_minus = kept_even + kept_odd, kept_even - kept_odd
    negated_plus, negated_minus = negated_even + negated_odd, negated_even - negated_odd
    values = xp.stack(
        [
            xp.concat([kept_plus + negated_plus, kept_minus + negated_minus], axis=0),
            xp.concat([kept_plus - negated_plus, kept_minus - negated_minus], axis=0),
        ]
    )
    return xp.max(values, axis=3), xp.argmax(values, axis=3)


@numba.njit(parallel=True, nogil=True, cache=True)
def _profiles_compiled(
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    right_even: NDArray[np.float32],
    right_odd: NDArray[np.float32],
    basis: tuple[NDArray[np.float32], ...],
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Do what `correlate` and `best_shift` do, a row at a time, so that all stays in the cache."""
    rows, shifts, columns = even.shape[2], even.shape[3], right_even.shape[3]
    half = basis[0].shape[0]
    best = np.full((2, 2 * half, rows, columns), -np.inf, dtype=np.float32)
    index = np.zeros((2, 2 * half, rows, columns), dtype=np.int16)
    for row in numba.prange(rows):
        kept_even = _row_over_rotations(even, right_even[0], basis[0], row)
        kept_odd = _row_over_rotations(odd, right_odd[0], basis[1], row)
        negated_even = _row_over_rotations(even, right_even[1], basis[2], row)
        negated_odd = _row_over_rotations(odd, right_odd[1], basis[3], row)
        for angle in range(half):
            # Not mirrored and mirrored, each at the angle and at 180° more.
            values = np.empty((4, columns), dtype=np.float32)
            top = np.full(4 * columns, -np.inf, dtype=np.float32)
            top_shift = np.zeros(4 * columns, dtype=np.int32)  # as wide as a value: it vectorises
            for shift in range(shifts):
                at = slice(shift * columns, (shift + 1) * columns)
                _all_states(
                    kept_even[angle, at], kept_odd[angle, at], negated_even[angle, at],
                    negated_odd[angle, at], values,
                )  # fmt: skip
                _keep_highest(values.reshape(-1), np.int32(shift), top, top_shift)
            for state in range(4):
                mirror, turned = state // 2, angle + state % 2 * half
                of_state = slice(state * columns, (state + 1) * columns)
                best[mirror, turned, row] = top[of_state]
                index[mirror, turned, row] = top_shift[of_state]
    return best, index


@numba.njit(cache=True)
def _all_states(
    kept_even: NDArray[np.float32],
    kept_odd: NDArray[np.float32],
    negated_even: NDArray[np.float32],
    negated_odd: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Fill `values`, (4, columns), as `best_shift` adds the parts of a correlation up."""
    for column in range(values.shape[1]):
        kept_plus = kept_even[column] + kept_odd[column]
        kept_minus = kept_even[column] - kept_odd[column]
        negated_plus = negated_even[column] + negated_odd[column]
        negated_minus = negated_even[column] - negated_odd[column]
        values[0, column] = kept_plus + negated_plus
        values[1, column] = kept_minus + negated_minus
        values[2, column] = kept_plus - negated_plus
        values[3, column] = kept_minus - negated_minus


@numba.njit(cache=True)
def _keep_highest(
    values: NDArray[np.float32],
    shift: np.int32,
    top: NDArray[np.float32],
    top_shift: NDArray[np.int32],
) -> None:
    for k in range(len(values)):
        higher = values[k] > top[k]
        top[k] = values[k] if higher else top[k]
        top_shift[k] = shift if higher else top_shift[k]


@numba.njit(cache=True)
def _row_over_rotations(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    matrix: NDArray[np.float32],
    row: int,
) -> NDArray[np.float32]:
    """Return (rotations/2, shifts × columns) of one row picture with all columns."""
    orders, shifts, columns = left.shape[1], left.shape[3], right.shape[2]
    products = np.empty((2, orders, shifts, columns), dtype=np.float32)
    for part in range(2):
        for order in range(orders):
            np.dot(left[part, order, row], right[order], products[part, order])
    flat = products.reshape(2 * orders, shifts * columns)
    correlation: NDArray[np.float32] = np.dot(matrix, flat)
    return correlation


def _distinct_peaks(best: Any, shift: Any, rotations: int) -> tuple[Any, Any, Any]:
    """Return value, rotation index and shift index of the highest local maxima over rotation.

    Each is (2 × PEAKS, rows, columns), unmirrored first; −inf where there is no further peak.
    """
    reach = math.floor(_DISTINCT_DEG / 360.0 * rotations)
    if is_numpy_array(best):
        values, rotation, chosen = _distinct_peaks_compiled(best, shift, reach)
        return values, rotation, chosen
    xp = array_namespace(best)
    is_peak = (best >= xp.roll(best, 1, axis=1)) & (best > xp.roll(best, -1, axis=1))
    left = xp.where(is_peak, best, -xp.inf)
    angles = xp.reshape(xp.arange(rotations, device=best.device), (1, rotations, 1, 1))
    values, rotation, chosen = [], [], []
    for _ in range(PEAKS):
        top = xp.argmax(left, axis=1, keepdims=True)
        values.append(xp.max(left, axis=1))
        rotation.append(xp.squeeze(top, axis=1))
        chosen.append(xp.squeeze(xp.take_along_axis(shift, top, axis=1), axis=1))
        distance = xp.abs(angles - top)
        distance = xp.minimum(distance, rotations - distance)
        left = xp.where(distance <= reach, -xp.inf, left)

    def by_mirror(parts: list[Any]) -> Any:
        stacked = xp.stack(parts, axis=1)  # (2, PEAKS, rows, columns)
        return xp.reshape(stacked, (2 * PEAKS, *best.shape[2:]))

    return by_mirror(values), by_mirror(rotation), by_mirror(chosen)


@numba.njit(parallel=True, nogil=True, cache=True)
def _distinct_peaks_compiled(
    best: NDArray[np.float32], shift: NDArray[np.int16], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Do what `_distinct_peaks` does, a row of pairs at a time."""
    _, rotations, rows, columns = best.shape
    values = np.full((2 * PEAKS, rows, columns), -np.inf, dtype=np.float32)
    rotation = np.zeros((2 * PEAKS, rows, columns), dtype=np.int64)
    chosen = np.zeros((2 * PEAKS, rows, columns), dtype=np.int64)
    for row in numba.prange(rows):
        left = np.empty(rotations, dtype=np.float32)
        for state in range(2):
            for column in range(columns):
                for turn in range(rotations):
                    value = best[state, turn, row, column]
                    before = best[state, turn - 1, row, column]  # −1 is the last one
                    after = best[state, (turn + 1) % rotations, row, column]
                    left[turn] = value if value >= before and value > after else -np.inf
                for peak in range(PEAKS):
                    top = np.argmax(left)
                    values[state * PEAKS + peak, row, column] = left[top]
                    rotation[state * PEAKS + peak, row, column] = top
                    chosen[state * PEAKS + peak, row, column] = shift[state, top, row, column]
                    for away in range(-reach, reach + 1):
                        left[(top + away) % rotations] = -np.inf
    return values, rotation, chosen


def _rings_before_last(spectra: Any) -> Any:
    """Return (2, orders, rings, n) from (2, orders, n, rings), contiguous for the products."""
    xp = array_namespace(spectra)
    return xp.asarray(xp.permute_dims(spectra, (0, 1, 3, 2)), copy=True)
