"""Exact projections of atoms: the band-limited image is computed, never interpolated.

The Fourier transform of n point scatterers at (x, y) is Σ wₐ·exp(−2πi(f_x·xₐ + f_y·yₐ)), which is
separable in x and y. So all coefficients of an image are one product of two matrices over the
atoms, exact for any position of any atom; turning, mirroring or shifting the *atoms* therefore
gives the exact image of every pose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray, Pose

__all__ = ["frequencies", "image_from_spectrum", "project", "view_matrices"]

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def view_matrices(views: int) -> NDArray[np.float64]:
    """Return `views` viewing directions spread evenly over half a sphere.

    The other half is left out since a particle seen from behind is the mirror image of what is
    seen from the front: no two of these views are near mirror pairs. The directions lie on a
    golden-angle spiral (Swinbank & Purser 2006, doi:10.1256/qj.05.227).

    Returns
    -------
    (views, 3, 3) float64
        Rotation matrices; the rows are the picture's x axis (right), its y axis (down) and the
        direction of view (away from the viewer), in the frame of the structure.
    """
    if views < 1:
        raise ValueError(f"expected at least 1 view, received {views}")
    index = np.arange(views)
    z = 1 - (index + 0.5) / views
    ring = np.sqrt(1 - z**2)
    longitude = index * _GOLDEN_ANGLE
    towards = np.stack([ring * np.cos(longitude), ring * np.sin(longitude), z], axis=1)
    # z < 1 for every view, so the structure's own z axis always tells which way is up.
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(towards, right), towards], axis=1)


def project(
    points: NDArray[np.floating],
    weights: FloatArray,
    *,
    box: int,
    pose: Pose | None = None,
) -> NDArray[np.complex64]:
    """Return the Fourier transform of the projection of points, moved by a pose.

    Parameters
    ----------
    points : (n, 2)
        x, y in pixels from the centre of the picture, x right and y down.
    weights : (n,) float32
    box : int
        Side of the image in pixels, even; its centre is the pixel ``(box // 2, box // 2)``.
    pose : Pose, optional
        Moves the points before they are rendered, shift in pixels.

    Returns
    -------
    (box, box // 2 + 1) complex64
        As ``numpy.fft.rfft2`` of the image would be; the Nyquist row and column are zero.
    """
    if box < 2 or box % 2:
        raise ValueError(f"expected an even box, received {box}")
    pose = Pose() if pose is None else pose
    moved = points @ pose.linear().T + [pose.shift_x, pose.shift_y]
    half = box // 2
    # cos and sin of 2πkx/box for k = 0 … half − 1; real products cost half of complex ones.
    x_waves = _waves(moved[:, 0] + half, half, box)
    y_waves = _waves(moved[:, 1] + half, half, box) * weights
    products = y_waves @ x_waves.T  # (2k, n) @ (n, 2k)
    cos_cos, cos_sin = products[:half, :half], products[:half, half:]
    sin_cos, sin_sin = products[half:, :half], products[half:, half:]
    spectrum = np.zeros((box, half + 1), dtype=np.complex64)
    spectrum[:half, :half] = (cos_cos - sin_sin) - 1j * (sin_cos + cos_sin)
    spectrum[-1:half:-1, :half] = ((cos_cos + sin_sin) + 1j * (sin_cos - cos_sin))[1:]
    return spectrum


def frequencies(box: int, pixel_size: float) -> FloatArray:
    """Return the frequency of each coefficient of `project` in 1/Å, (box, box // 2 + 1)."""
    y = np.fft.fftfreq(box, pixel_size)[:, None]
    x = np.fft.rfftfreq(box, pixel_size)[None, :]
    return np.asarray(np.hypot(y, x), dtype=np.float32)


def image_from_spectrum(spectrum: NDArray[np.complex64]) -> FloatArray:
    """Return the (box, box) float32 image of a transform as `project` returns it."""
    box = len(spectrum)
    return np.fft.irfft2(spectrum, s=(box, box)).astype(np.float32)


def _waves(coordinate: NDArray[np.float64], count: int, box: int) -> FloatArray:
    """Return cos then sin of 2πkx/box, (2·count, n)."""
    orders = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi / box)
    phase = np.outer(orders, coordinate.astype(np.float32))
    return np.concatenate([np.cos(phase), np.sin(phase)])
