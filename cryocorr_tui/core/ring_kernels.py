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
from cryocorr_tui.core.sampling_kernels import lay_on_square, sample_aligned

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
    angle = 2 * np.pi / box * np.outer(np.arange(shells), np.arange(box))
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    along_x = np.concatenate([cosine, sine]).T.copy()
    along_y = cosine[:, : box // 2 + 1].copy(), sine[:, : box // 2 + 1].copy()
    curves: NDArray[np.float64] = _curves(
        spectra, i, pictures, j, poses, *pixels, along_x, *along_y, *shell_index(box)
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
    along_x: NDArray[np.float32],
    cosine_y: NDArray[np.float32],
    sine_y: NDArray[np.float32],
    shell: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> NDArray[np.float64]:
    box = spectra.shape[1]
    shells, half = cosine_y.shape
    oversampling = pictures.shape[1] // box
    curves = np.empty((len(i), shells))
    for pair in numba.prange(len(i)):
        sampled = np.empty(len(x), dtype=np.float32)
        sample_aligned(pictures[j[pair]], poses[pair], x, y, sampled, oversampling)
        sampled *= mask
        square = np.zeros((box, box), dtype=np.float32)
        lay_on_square(sampled, inside, square)
        # The Fourier transform: sums over cosines and sines of x, then of y.
        by_x = np.dot(_folded(square, half), along_x)
        even, odd = np.dot(cosine_y, by_x[:half]), np.dot(sine_y, by_x[half:])
        _correlate(spectra[i[pair]], even, odd, shell, weight, curves[pair])
    return curves


@numba.njit(cache=True)
def _folded(square: NDArray[np.float32], half: int) -> NDArray[np.float32]:
    """Return (2 half, box): the part of a picture that is even along y, below it the odd one.

    Sums over half the rows are then the transform of all.
    """
    box = square.shape[0]
    parts = np.zeros((2, half, box), dtype=np.float32)
    for top in range(half):
        even, odd = parts[0, top], parts[1, top]
        upper, lower = square[top], square[(box - top) % box]
        if 2 * top % box == 0:  # row 0, and that of the highest frequency
            even[:] = upper
            continue
        for c in range(box):
            even[c] = upper[c] + lower[c]
            odd[c] = upper[c] - lower[c]
    return parts.reshape(2 * half, box)


@numba.njit(cache=True)
def _correlate(
    spectrum: NDArray[np.complex64],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    shell: NDArray[np.int64],
    weight: NDArray[np.float32],
    curve: NDArray[np.float64],
) -> None:
    """Fill `curve` from a spectrum and from another's parts, even and odd along y.

    Those are (shells, 2 shells): sums over cosines of x, then over sines.
    """
    box, shells = spectrum.shape[0], len(curve)
    cross, power_a, power_b = np.zeros(shells + 1), np.zeros(shells + 1), np.zeros(shells + 1)
    for up in range(shells):
        for along in range(shells):
            at, w = min(shell[up, along], shells), weight[up, along]
            for sign in (1, -1):
                row = up if sign > 0 else box - up
                if sign < 0 and (up == 0 or row == up):
                    continue
                a = spectrum[row, along]
                real = even[up, along] - sign * odd[up, shells + along]
                imaginary = -(even[up, shells + along] + sign * odd[up, along])
                cross[at] += w * (a.real * real + a.imag * imaginary)
                power_a[at] += w * (a.real * a.real + a.imag * a.imag)
                power_b[at] += w * (real * real + imaginary * imaginary)
    for s in range(shells):
        power = power_a[s] * power_b[s]
        curve[s] = cross[s] / math.sqrt(power) if power > 0 else 0.0
    curve[0] = 1.0
