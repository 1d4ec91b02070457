"""Fourier transforms of real pictures, on whatever device they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.backend import threads_here
from cryocorr_tui.core.model import FloatArray

__all__ = ["irfft2", "low_rfft2", "rfft2"]


def rfft2(images: Any, side: int | None = None) -> Any:
    """Return the half plane of the transform of pictures, padded by zeros to `side` first.

    Parameters
    ----------
    images : (..., box, box) real
    side : int, optional
        By default `box`.

    Returns
    -------
    (..., side, side // 2 + 1) complex
        In the precision of the pictures.
    """
    shape = None if side is None else (side, side)
    if is_numpy_array(images):
        return fft.rfft2(images, s=shape, workers=threads_here())
    return array_namespace(images).fft.rfftn(images, s=shape, axes=(-2, -1))


def low_rfft2(images: FloatArray, columns: int) -> NDArray[np.complex64]:
    """Return the first columns of `rfft2` of pictures on the host, without making the others.

    Parameters
    ----------
    images : (..., box, box) float32
    columns : int

    Returns
    -------
    (..., box, columns) complex64
    """
    along_rows = fft.rfft(images, workers=threads_here())[..., :columns]
    low: NDArray[np.complex64] = fft.fft(along_rows, axis=-2, workers=threads_here())
    return low


def irfft2(spectra: Any, side: int) -> Any:
    """Return real pictures (..., side, side) from `rfft2`; the spectra may be overwritten."""
    if is_numpy_array(spectra):
        return fft.irfft2(spectra, s=(side, side), workers=threads_here(), overwrite_x=True)
    return array_namespace(spectra).fft.irfftn(spectra, s=(side, side), axes=(-2, -1))
