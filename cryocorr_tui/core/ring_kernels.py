"""FRC curves of many aligned pairs in compiled code, all shells or the first few of them.

`frc` does the same in plain form on other devices; a test holds both equal. A pair is the work of
one thread, and its pictures stay in the cache from the sampling to the sums over rings.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.metrics import shell_index
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.sampling_kernels import sample_aligned

__all__ = ["aligned_ring_curves"]


def aligned_ring_curves(
    spectra: NDArray[np.complex64],
    i: NDArray[np.int64],
    pictures: FloatArray,
    j: NDArray[np.int64],
    poses: NDArray[np.float32],
    pixels: tuple[FloatArray, FloatArray, NDArray[np.int64], FloatArray],
    shells: int,
) -> NDArray[np.float64]:
    """Return the ring correlation of spectra i with pictures j, aligned and masked.

    Parameters
    ----------
    spectra : (r, box, box // 2 + 1) complex64
        Of pictures i, masked, from ``rfft2``.
    i, j : (p,) int64
        Spectrum and picture of each pair. Neighbours of one j are done sooner.
    pictures : (c, side, side) float32
        Pictures j; their side is a multiple of `box`, which tells by how much they are oversampled.
    poses : (p, 4) float32
        As for `sampling_kernels.sample_aligned`.
    pixels : tuple of (pixels,) arrays
        Of the mask: offsets x and y from the centre, flat index in the box, value of the mask.
    shells : int
        How many to return, from 0 on; box // 2 + 1 are all.

    Returns
    -------
    (p, shells) float64
        1 at shell 0, 0 where a ring is empty; see `metrics.ring_correlation`.
    """
    box = spectra.shape[1]
    angle = 2 * np.pi / box * np.outer(np.arange(box // 2 + 1), np.arange(shells))
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    upright = np.ascontiguousarray(cosine.T), np.ascontiguousarray(sine.T)
    curves: NDArray[np.float64] = _curves(
        spectra, i, pictures, j, poses, *pixels, cosine, sine, *upright, *shell_index(box)
    )
    return curves


@numba.njit(parallel=True, nogil=True, cache=True)
def _curves(
    spectra: NDArray[np.complex64],
    i: NDArray[np.int64],
    pictures: NDArray[np.float32],
    j: NDArray[np.int64],
    poses: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    inside: NDArray[np.int64],
    mask: NDArray[np.float32],
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    upright_cosine: NDArray[np.float32],
    upright_sine: NDArray[np.float32],
    shell: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> NDArray[np.float64]:
    box = spectra.shape[1]
    half, shells = cosine.shape
    oversampling = pictures.shape[1] // box
    curves = np.empty((len(i), shells))
    for pair in numba.prange(len(i)):
        sampled = np.empty(len(x), dtype=np.float32)
        sample_aligned(pictures[j[pair]], poses[pair], x, y, sampled, oversampling)
        square = np.zeros((box, box), dtype=np.float32)
        flat = square.reshape(-1)
        for p in range(len(inside)):
            flat[inside[p]] = sampled[p] * mask[p]
        by_x, by_y = _folded(square, half)
        # Even and odd parts of the transform along x, then along y.
        by_x = np.dot(by_x.reshape(2 * half, half), cosine)
        by_y = np.dot(by_y.reshape(2 * half, half), sine)
        both_even = np.dot(upright_cosine, by_x[:half])
        odd_y = np.dot(upright_sine, by_x[half:])
        odd_x = np.dot(upright_cosine, by_y[:half])
        both_odd = np.dot(upright_sine, by_y[half:])
        _correlate(spectra[i[pair]], both_even, odd_y, odd_x, both_odd, shell, weight, curves[pair])
    return curves


@numba.njit(cache=True)
def _folded(
    square: NDArray[np.float32], half: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the parts of a picture that are even along x, and those that are odd.

    Each (2, half, half), first what is even along y, then what is odd. Sums of cosines and sines
    over half the pixels are then the Fourier transform: a quarter of the products.
    """
    box = square.shape[0]
    even = np.zeros((2, half, half), dtype=np.float32)
    odd = np.zeros((2, half, half), dtype=np.float32)
    rows = np.zeros((2, box), dtype=np.float32)
    for top in range(half):
        bottom = (box - top) % box
        if bottom == top:  # row 0, and that of the highest frequency
            rows[0], rows[1] = square[top], 0
        else:
            for c in range(box):
                rows[0, c] = square[top, c] + square[bottom, c]
                rows[1, c] = square[top, c] - square[bottom, c]
        for part in range(2):
            row, sums, differences = rows[part], even[part, top], odd[part, top]
            for c in range(1, box - half + 1):
                sums[c] = row[c] + row[box - c]
                differences[c] = row[c] - row[box - c]
            sums[0] = row[0]
            if box % 2 == 0:
                sums[half - 1] = row[half - 1]
                differences[half - 1] = 0
    return even, odd


@numba.njit(cache=True)
def _correlate(
    spectrum: NDArray[np.complex64],
    both_even: NDArray[np.float32],
    odd_y: NDArray[np.float32],
    odd_x: NDArray[np.float32],
    both_odd: NDArray[np.float32],
    shell: NDArray[np.int64],
    weight: NDArray[np.float32],
    curve: NDArray[np.float64],
) -> None:
    """Fill `curve` from a spectrum and the even and odd parts, (shells, shells), of another."""
    box, shells = spectrum.shape[0], len(curve)
    cross, power_a, power_b = np.zeros(shells + 1), np.zeros(shells + 1), np.zeros(shells + 1)
    for up in range(shells):
        for along in range(shells):
            at, w = min(shell[up, along], shells), weight[up, along]
            even, odd = both_even[up, along], both_odd[up, along]
            for sign in (1, -1):
                row = up if sign > 0 else box - up
                if sign < 0 and (up == 0 or row == up):
                    continue
                a = spectrum[row, along]
                real = even - sign * odd
                imaginary = -(odd_x[up, along] + sign * odd_y[up, along])
                cross[at] += w * (a.real * real + a.imag * imaginary)
                power_a[at] += w * (a.real * a.real + a.imag * a.imag)
                power_b[at] += w * (real * real + imaginary * imaginary)
    for s in range(shells):
        power = power_a[s] * power_b[s]
        curve[s] = cross[s] / math.sqrt(power) if power > 0 else 0.0
    curve[0] = 1.0
