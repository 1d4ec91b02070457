"""Masked correlation of a whole picture with a view in all rotations, mirror states and scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.fourier import irfft2, rfft2
from cryocorr_tui.core.model import FloatArray, Pose
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.reference.placement import Placement, Pyramid
from cryocorr_tui.core.reference.reading import Reference

__all__ = ["LEAST_CORRELATION", "Places", "find_places", "strongest"]

LEAST_CORRELATION = 0.25  # of a place worth a closer look

_MOST_PLACES = (
    10_000  # noise has a peak on every few pixels; a closer look at all would take minutes
)

_DISC = 18.0  # pixels: diameter of the view's disc in the small copy of the picture
_LARGEST_SLIP = 0.7  # pixels at the rim between two scales
_BLOCK = 128  # pixels: side of the FFTs
_CPU_BYTES = 4 << 20  # worked on at once: what the cache holds
_GPU_BYTES = 256 << 20
_FAINTEST = 1e-3  # local contrast, as a part of the picture's, below which there is none


@dataclass(frozen=True, eq=False)
class Places:
    """Where the correlation peaks: (n, 2) float64 x and y in the picture, (n,) scale there.

    The highest peak comes first.
    """

    centres: NDArray[np.float64]
    scales: NDArray[np.float64]

    def every(self, step: int) -> Places:
        """Return the first of every `step` places."""
        return Places(self.centres[::step], self.scales[::step])


def find_places(
    pyramid: Pyramid,
    reference: Reference,
    *,
    scales: tuple[float, float],
    mirror: bool,
    backend: Backend,
) -> Places:
    """Return the places of a picture that resemble the reference in some pose.

    Parameters
    ----------
    pyramid : Pyramid
        Of the picture.
    reference : Reference
    scales : (low, high)
        Pixels of the picture per pixel of the reference.
    mirror : bool
        Whether mirror images count.
    backend : Backend

    Returns
    -------
    Places
        No two are nearer than discs of the smallest scale that touch; where there are very many,
        the highest peaks.
    """
    reduction = max(1.0, reference.diameter / _DISC)
    height, width = pyramid.shape
    rows, columns = max(1, round(height / reduction)), max(1, round(width / reduction))
    small = pyramid.reduced(rows, columns).astype(np.float64)
    small -= small.mean()
    contrast = small.std()
    # A constant picture has nothing but rounding errors.
    small *= 1 / contrast if contrast > 1e-6 * np.abs(pyramid.reduced(1, 1)).max() else 0
    diameter = reference.diameter / reduction
    steps = _scale_steps(scales, diameter / 2)
    side = math.ceil(diameter * steps[-1]) // 2 * 2 + 3
    tiling = _Tiling(small.shape, side, max(_BLOCK, fft.next_fast_len(3 * side, real=True)))
    tiles = tiling.cut(small)
    best = np.zeros(small.shape, dtype=np.float32)
    at_scale = np.zeros(small.shape, dtype=np.float32)
    for scale in steps:
        disc = disc_mask(side, diameter * scale)
        views = _in_all_poses(reference, disc, reduction / scale, mirror=mirror)
        scores = tiling.joined(_strongest_of_all(tiles, views, disc, backend))
        rim = math.floor(diameter * scale / 2)  # nearer to the edge the disc leaves the picture
        scores[:rim], scores[rows - rim :], scores[:, :rim], scores[:, columns - rim :] = 0, 0, 0, 0
        at_scale[scores > best] = scale
        np.maximum(best, scores, out=best)
    reach = max(1, math.floor(0.45 * diameter * steps[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    peaks = (best >= cv2.dilate(best, disc)) & (best >= LEAST_CORRELATION)
    y, x = np.nonzero(peaks)
    order = np.argsort(-best[y, x], kind="stable")[:_MOST_PLACES]
    y, x = y[order], x[order]
    return Places(
        centres=(np.column_stack([x, y]) + 0.5) * [width / columns, height / rows] - 0.5,
        scales=at_scale[y, x].astype(np.float64),
    )


def strongest(tiles: Any, views: Any, disc: Any, *, bytes_at_once: int = _CPU_BYTES) -> Any:
    """Correlate tiles of a picture with many views and keep the best of each place.

    Namespace and device are those of the arguments.

    Parameters
    ----------
    tiles : (n, block, block) float64
        Parts of a picture of about zero mean and unit variance.
    views : (m, side, side) float32
        Zero outside the disc, zero mean and unit norm.
    disc : (side, side) float32
        0 or 1; the picture's local mean and energy are taken in it.
    bytes_at_once : int
        Bounds the working memory.

    Returns
    -------
    (n, block − side + 1, block − side + 1) float32
        The largest correlation coefficient over all views, −1…1, by their top left corner; 0 where
        the picture has no contrast inside the disc.

    References
    ----------
    Padfield, D. (2012), doi:10.1109/TIP.2011.2173203: masked normalised cross-correlation. With
    one disc that no rotation changes, local mean and energy are shared by all views.
    """
    xp = array_namespace(tiles)
    count, block, _ = tiles.shape
    valid = slice(0, block - disc.shape[-1] + 1)
    # In double precision, since square and mean nearly cancel where contrast is low.
    pixels = xp.sum(xp.astype(disc, xp.float64))
    window = xp.conj(rfft2(xp.astype(disc, xp.float64), block))
    spectra = rfft2(tiles, block)
    total = irfft2(spectra * window, block)[:, valid, valid]
    energy = irfft2(rfft2(tiles**2, block) * window, block)[:, valid, valid] - total**2 / pixels
    seen = energy > pixels * _FAINTEST**2
    gain = xp.where(seen, 1 / xp.sqrt(xp.where(seen, energy, 1.0)), 0.0)

    spectra = xp.astype(spectra, xp.complex64)[:, None, :, :]
    best = xp.full_like(gain, -xp.inf, dtype=xp.float32)
    together = max(1, bytes_at_once // (count * block * block * 8))
    for first in range(0, views.shape[0], together):
        last = min(first + together, views.shape[0])
        those = xp.conj(rfft2(views[first:last, ...], block))
        products = irfft2(spectra * those[None, ...], block)[..., valid, valid]
        best = xp.maximum(best, xp.max(products, axis=1))
    return best * xp.astype(gain, xp.float32)


def _strongest_of_all(
    tiles: NDArray[np.float64], views: FloatArray, disc: FloatArray, backend: Backend
) -> FloatArray:
    """Return `strongest` of any number of tiles, a host array."""
    bytes_at_once = _GPU_BYTES if backend.is_cuda else _CPU_BYTES
    together = max(1, bytes_at_once // (64 * tiles.shape[-1] ** 2))
    on_device = backend.to_device(views), backend.to_device(disc)
    parts = [
        backend.to_host(
            strongest(
                backend.to_device(tiles[first : first + together]),
                *on_device,
                bytes_at_once=bytes_at_once,
            )
        )
        for first in range(0, len(tiles), together)
    ]
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Tiling:
    """How a picture of `shape` is cut so that every view of `side` lies whole in one tile."""

    shape: tuple[int, ...]
    side: int
    block: int

    @property
    def step(self) -> int:
        return self.block - self.side + 1

    @property
    def grid(self) -> tuple[int, int]:
        rows, columns = self.shape
        return -(-rows // self.step), -(-columns // self.step)

    def cut(self, picture: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return overlapping tiles (n, block, block); beyond the picture is 0."""
        before = self.side // 2
        widths = [
            (before, count * self.step + self.side - 1 - before - length)
            for count, length in zip(self.grid, self.shape, strict=True)
        ]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(picture, widths), (self.block, self.block)
        )[:: self.step, :: self.step]
        return np.ascontiguousarray(windows.reshape(-1, self.block, self.block))

    def joined(self, parts: FloatArray) -> FloatArray:
        """Return the picture (rows, columns) of results (n, step, step), by the views' centres."""
        (down, across), (rows, columns) = self.grid, self.shape
        whole = parts.reshape(down, across, self.step, self.step).swapaxes(1, 2)
        joined = whole.reshape(down * self.step, across * self.step)[:rows, :columns]
        return np.array(joined)


def _in_all_poses(
    reference: Reference, disc: FloatArray, step: float, *, mirror: bool
) -> FloatArray:
    """Return the reference in all rotations and mirror states, (m, side, side), standardised.

    ``step`` is reference pixels per pixel of the result.
    """
    pyramid = Pyramid(reference.image)
    centre = np.full(2, reference.box // 2, dtype=np.float64)
    # Angular orders of the finest detail, a quarter of the sampling frequency, at the rim; each
    # order takes two samples of the circle.
    count = math.ceil(2 * 2 * math.pi * (reference.diameter / step / 2) / 4)
    poses = [
        Pose(360.0 * k / count, mirrored=state)
        for state in ((False, True) if mirror else (False,))
        for k in range(count)
    ]
    views = np.stack(
        [pyramid.sample(Placement(pose.linear().T * step, centre), len(disc)) for pose in poses]
    )
    views -= views[:, disc > 0].mean(axis=1)[:, None, None]
    views *= disc
    norm = np.sqrt((views**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(views / np.where(norm > 0, norm, 1), dtype=np.float32)


def _scale_steps(scales: tuple[float, float], radius: float) -> NDArray[np.float64]:
    """Return scales so close that none between them moves the rim by more than `_LARGEST_SLIP`."""
    low, high = scales
    count = math.ceil(math.log(high / low) * radius / (2 * _LARGEST_SLIP)) + 1
    return np.geomspace(low, high, count)
