"""Weights of the Fourier rings of the working pictures, by how much each ring tells.

Two class averages of one view share their signal and not their noise. Of all filters, the one that
tells best whether two noisy pictures share a signal weighs the product of their transforms by
ρ / ((1 − ρ²) P) in each ring, with P the mean power and ρ the correlation that two pictures of one
signal have there (the ML processor of Knapp & Carter 1976, doi:10.1109/TASSP.1976.1162830, whose
coherence is ρ and whose cross spectrum is ρ P). With noise of power N in both, ρ = 1 − N / P (Frank
& Al-Ali 1975, doi:10.1038/256376a0). N is read off the rim of the mask, where particles hardly
reach, so the rim must not be blank: where it is, all rings count as signal, and are whitened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.fourier import irfft2, rfft2
from cryocorr_tui.core.memory import room_for
from cryocorr_tui.core.metrics import shell_index
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.preprocessing import WorkingSet, disc_mask, standardise

__all__ = ["ring_weights", "weigh_rings", "weighted"]

RIM = 0.62  # of the diameter of the mask: what lies further out tells of noise
SOFT_EDGE = 0.1  # of the diameter: of both windows

# A correlation as small as this may be chance: it is taken off, and the rest spread from 0 to 1.
# Most rings are high ones; a little weight on each that holds noise only would outweigh all others.
DOUBTED = 0.1

# No ring counts as known better than so: two class averages also differ in pose and resolution.
LARGEST_CORRELATION = 0.7

# Of the power of the strongest ring, added to that of each: weaker rings are not blown up to it.
FLOOR = 0.01

_AT_ONCE = 256  # pictures, which bounds the memory of their transforms


def weighted(working: WorkingSet, weighting: str) -> WorkingSet:
    """Return a working set with its rings weighted.

    Parameters
    ----------
    working : WorkingSet
    weighting : {"none", "snr"}
        One of `model.SPECTRAL_WEIGHTINGS`; "none" returns `working` itself.

    Returns
    -------
    WorkingSet
        Pictures of zero mean and unit variance inside the mask again.
    """
    if weighting == "none":
        return working
    weights = ring_weights(working.images, working.mask)
    images = weigh_rings(working.images, weights)
    standardise(images, working.mask, out=images)
    images.setflags(write=False)
    return replace(working, images=images)


def ring_weights(images: FloatArray, mask: FloatArray) -> NDArray[np.float64]:
    """Return the weight of each Fourier ring of a set, √(ρ / ((1 − ρ²) P)).

    Each picture of a pair has the square root of what weighs their product.

    Parameters
    ----------
    images : (n, box, box) float32
        Zero mean and unit variance inside `mask`; pictures that are 0 everywhere count for nothing.
    mask : (box, box) float32
        The disc, 0 or 1.

    Returns
    -------
    (box // 2 + 1,) float64
        By whole frequency, in periods a box; the strongest is 1. All 1 where no ring stands out
        of the noise.
    """
    box = mask.shape[-1]
    diameter = 2 * np.sqrt(mask.sum() / np.pi)
    edge = SOFT_EDGE * diameter
    whole = disc_mask(box, diameter, edge=edge)
    rim = whole * (1 - disc_mask(box, RIM * diameter + edge, edge=edge))
    power, noise = _ring_power(images, whole), _ring_power(images, rim)
    certain = (1 - noise / power - DOUBTED) / (1 - DOUBTED)
    correlation = np.clip(certain, 0, LARGEST_CORRELATION)
    correlation = np.convolve(np.pad(correlation, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    if not correlation.any():
        return np.ones(box // 2 + 1)
    floored = power + FLOOR * power.max()
    weights = np.sqrt(correlation / ((1 - correlation**2) * floored))
    return np.asarray(weights / weights.max())


def weigh_rings(images: FloatArray, weights: NDArray[np.float64]) -> FloatArray:
    """Multiply the Fourier rings of pictures, with linear steps from each to the next.

    Parameters
    ----------
    images : (n, box, box) float32
    weights : (box // 2 + 1,) float64
        By whole frequency; the corners beyond the last have its weight.

    Returns
    -------
    (n, box, box) float32
    """
    box = images.shape[-1]
    frequency = box * np.hypot(np.fft.fftfreq(box)[:, np.newaxis], np.fft.rfftfreq(box))
    transfer = np.interp(frequency, np.arange(weights.size), weights).astype(np.float32)
    result = room_for(images.shape)
    for part in _parts(len(images)):
        result[part] = irfft2(rfft2(images[part]) * transfer, box)
    return result


def _ring_power(images: FloatArray, window: FloatArray) -> NDArray[np.float64]:
    """Return (box // 2 + 1,): mean power of pictures in a window, by ring and per its area."""
    box = window.shape[-1]
    power = np.zeros((box, box // 2 + 1))
    for part in _parts(len(images)):
        mean = np.tensordot(images[part], window / window.sum(), axes=2)
        shown = (images[part] - mean[:, np.newaxis, np.newaxis]) * window
        power += (np.abs(rfft2(shown)) ** 2).sum(axis=0, dtype=np.float64)
    shell, weight = shell_index(box)
    shell, weight = shell.ravel(), weight.ravel()
    rings = np.bincount(shell, weight * power.ravel()) / np.bincount(shell, weight)
    rings[0] = rings[1]  # the mean was taken off
    return np.asarray(rings[: box // 2 + 1] / (len(images) * np.square(window).sum()))


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE))
