"""Fourier transforms of real pictures, on whatever device they are."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, is_numpy_array
from scipy import fft

from cryocorr_tui.core.backend import threads_here

__all__ = ["irfft2", "rfft2"]


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


def irfft2(spectra: Any, side: int) -> Any:
    """Return real pictures (..., side, side) from `rfft2`; the spectra may be overwritten."""
    if is_numpy_array(spectra):
        return fft.irfft2(spectra, s=(side, side), workers=threads_here(), overwrite_x=True)
    return array_namespace(spectra).fft.irfftn(spectra, s=(side, side), axes=(-2, -1))
