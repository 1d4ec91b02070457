"""The polar Fourier grid on which rotation, shift and mirror are cheap.

The Fourier transform of a class average is sampled on rings about the origin. Around a ring, a
rotation is a cyclic move, so the Fourier series of each ring (its *ring spectrum*) only changes
phase; a left-right mirror conjugates it; a shift multiplies each sample by a known phase. Real
pictures make half of each ring the conjugate of the other half.

All functions take arrays of any namespace of the array API standard and stay on their device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

__all__ = [
    "PolarGrid",
    "ring_samples",
    "ring_spectra",
    "rotation_basis",
    "shift_lattice",
    "shift_phases",
]

_ANGLES_AT_ONCE = 8  # bounds the memory of the Fourier matrix to a few tens of MB


@dataclass(frozen=True)
class PolarGrid:
    """Rings in the Fourier plane of a square picture.

    Attributes
    ----------
    box : int
        Side of the pictures in pixels.
    rings : int
        Rings at 1, 2, … `rings` Fourier pixels (cycles per box).
    rotations : int
        Rotations of a full circle; a multiple of 4. Half as many samples lie on half a ring.
    """

    box: int
    rings: int
    rotations: int

    @classmethod
    def for_box(cls, box: int) -> PolarGrid:
        """Return the grid of the coarse search for working pictures of `box` pixels.

        Rings up to 0.3 of the sampling frequency carry the shape of a class average; the finer
        ones are left to the refinement. Rotation steps of 128 in a circle move the rim of the mask
        by less than one period of the finest ring.
        """
        return cls(box=box, rings=max(4, round(0.3 * box)), rotations=128)

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        """(rotations/2, rings, 2) float64: (fy, fx) in cycles per pixel, y down."""
        angle = 2 * np.pi * np.arange(self.rotations // 2) / self.rotations
        radius = np.arange(1, self.rings + 1) / self.box
        return np.stack([np.sin(angle)[:, None] * radius, np.cos(angle)[:, None] * radius], axis=-1)


def shift_lattice(radius: float) -> NDArray[np.float64]:
    """Return the whole-pixel shifts (s, 2) as (dy, dx) within `radius` pixels, nearest first."""
    reach = int(np.floor(radius + 1e-9))
    axis = np.arange(-reach, reach + 1, dtype=np.float64)
    dy, dx = (part.ravel() for part in np.meshgrid(axis, axis, indexing="ij"))
    length = np.hypot(dy, dx)
    inside = length <= radius + 1e-9
    order = np.lexsort((dx[inside], dy[inside], length[inside]))
    return np.stack([dy[inside], dx[inside]], axis=1)[order]


def ring_samples(images: Any, grid: PolarGrid) -> Any:
    """Sample the Fourier transform of pictures on half rings, exactly, by matrix products.

    Parameters
    ----------
    images : (n, box, box) float32
        Masked pictures; their centre is the pixel ``box // 2``.
    grid : PolarGrid
        Where to sample.

    Returns
    -------
    (rotations/2, n, rings) complex64
        Weighted by the square root of the ring's radius, so that a plain sum over samples is an
        integral over the Fourier plane, and scaled so that each picture's power over the full
        rings is 1 (0 for an empty picture).
    """
    xp = array_namespace(images)
    n, box, _ = images.shape
    quarters = [xp.reshape(part, (n, -1)) for part in _parity_parts(images)]
    offset = np.arange(box // 2 + 1)
    weight = np.sqrt(np.arange(1, grid.rings + 1))
    parts = []
    for first in range(0, grid.rotations // 2, _ANGLES_AT_ONCE):
        frequency = grid.frequencies[first : first + _ANGLES_AT_ONCE]
        angle_y, angle_x = (
            2 * np.pi * offset[:, None] * frequency[..., axis].reshape(-1) for axis in (0, 1)
        )
        gain = np.tile(weight, len(frequency))
        waves_y = [_beside(images, wave(angle_y)) for wave in (np.cos, np.sin)]
        waves_x = [_beside(images, wave(angle_x) * gain) for wave in (np.cos, np.sin)]
        even_even, even_odd, odd_even, odd_odd = (
            part @ xp.reshape(of_y[:, None, :] * of_x, (-1, len(gain)))
            for part, (of_y, of_x) in zip(quarters, product(waves_y, waves_x), strict=True)
        )
        sampled = (even_even - odd_odd) - 1j * (even_odd + odd_even)
        sampled = xp.reshape(sampled, (n, len(frequency), grid.rings))
        parts.append(xp.permute_dims(sampled, (1, 0, 2)))
    samples = xp.concat(parts, axis=0)
    power = 2 * xp.sum(xp.real(samples) ** 2 + xp.imag(samples) ** 2, axis=(0, 2), keepdims=True)
    gain = xp.where(power > 0, 1 / xp.sqrt(xp.where(power > 0, power, 1.0)), 0.0)
    return samples * gain


def _parity_parts(images: Any) -> tuple[Any, Any, Any, Any]:
    """Fold pictures about their centre into parts that are even or odd in y and in x.

    Plane waves are products of cosines (even) and sines (odd), so a quarter of the plane suffices.

    Returns
    -------
    even_even, even_odd, odd_even, odd_odd : (n, box // 2 + 1, box // 2 + 1)
        By y, then by x, at offsets 0, 1, … from the centre.
    """

    def folded(part: Any) -> tuple[Any, Any]:
        """Fold along the last axis."""
        xp, box = array_namespace(part), part.shape[-1]
        nothing = xp.zeros_like(part[..., :1])
        if box % 2 == 0:  # an even box has one more pixel before its centre than behind it
            part = xp.concat([part, nothing], axis=-1)
        centre = box // 2
        behind = part[..., centre:]
        before = xp.concat([nothing, xp.flip(part[..., :centre], axis=-1)], axis=-1)
        return behind + before, behind - before

    xp = array_namespace(images)
    by_x = folded(images)
    even, odd = (
        [xp.matrix_transpose(part) for part in pair]
        for pair in zip(*(folded(xp.matrix_transpose(part)) for part in by_x), strict=True)
    )
    return even[0], even[1], odd[0], odd[1]


def ring_spectra(samples: Any) -> tuple[Any, Any]:
    """Return the Fourier series around full rings, the non-negative orders only.

    Parameters
    ----------
    samples : (rotations/2, ..., rings) complex64
        Half rings; the other half is their conjugate, as the pictures are real.

    Returns
    -------
    even, odd : (2, orders, ..., rings) float32
        Real and imaginary part of the even orders 0, 2, … rotations/2 and of the odd ones, scaled
        so that the power of all orders, negative ones too, is that of all samples.
    """
    xp = array_namespace(samples)
    half, *shape = samples.shape
    # On the full ring the real part repeats after half a turn, so it holds the even orders; the
    # imaginary part changes sign there and holds the odd ones. As a matrix product over the few
    # orders this beats a strided FFT.
    angle = np.pi * np.arange(half) / half
    scale = 2.0 / math.sqrt(2 * half)
    parity = []
    for first, part in ((0, xp.real(samples)), (1, xp.imag(samples))):
        turn = np.outer(np.arange(first, half + 1, 2), angle)
        cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
        matrix = np.concatenate([sine, cosine] if first else [cosine, -sine])
        product = _beside(samples, matrix) @ xp.reshape(part, (half, -1))
        parity.append(xp.reshape(product, (2, len(turn), *shape)))
    return parity[0], parity[1]


def shift_phases(like: Any, grid: PolarGrid, shifts: NDArray[np.float64]) -> Any:
    """Return the factor of each sample that stands for moving a picture *back* by each shift.

    Correlating i moved back by s with j is correlating i with j moved by s.

    Parameters
    ----------
    like : array
        Tells namespace and device.
    grid : PolarGrid
        The sampling.
    shifts : (s, 2) float64
        (dy, dx) in pixels.

    Returns
    -------
    (rotations/2, s, rings) complex64
    """
    phase = 2 * np.pi * np.einsum("ard,sd->asr", grid.frequencies, shifts)
    return _beside(like, np.exp(1j * phase), complex_values=True)


def rotation_basis(like: Any, grid: PolarGrid) -> tuple[Any, Any, Any, Any]:
    """Return the matrices that turn products of ring spectra into correlations over rotation.

    The correlation of A with B turned by φ is Σₖ wₖ Re(conj(Aₖ) Bₖ exp(ikφ)). Its part with the
    real part of B is Σₖ wₖ (Re A cos kφ + Im A sin kφ) Re B, which a mirror of B keeps; the rest is
    Σₖ wₖ (Im A cos kφ − Re A sin kφ) Im B, which a mirror negates. Even and odd orders come apart,
    since φ and φ + 180° differ only in the sign of the odd ones.

    Returns
    -------
    kept_even, kept_odd, negated_even, negated_odd : (rotations/2, 2 × orders) float32
        Rows: rotations in [0, 180°). Columns: what multiplies Re A, then Im A.
    """
    order = np.arange(grid.rotations // 2 + 1)
    angle = 2 * np.pi * np.arange(grid.rotations // 2) / grid.rotations
    weight = np.where((order == 0) | (order == order[-1]), 1.0, 2.0)
    cosine = np.cos(np.outer(angle, order)) * weight
    sine = np.sin(np.outer(angle, order)) * weight
    matrices = [
        _beside(like, np.hstack([of_real[:, parity::2], of_imaginary[:, parity::2]]))
        for of_real, of_imaginary in ((cosine, sine), (-sine, cosine))
        for parity in (0, 1)
    ]
    return matrices[0], matrices[1], matrices[2], matrices[3]


def _beside(like: Any, array: NDArray[Any], *, complex_values: bool = False) -> Any:
    """Copy a host array to the namespace and device of `like`, in single precision."""
    xp = array_namespace(like)
    dtype = np.complex64 if complex_values else np.float32
    return xp.asarray(np.ascontiguousarray(array, dtype=dtype), device=device(like))
