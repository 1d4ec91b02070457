"""From exact projections to pictures that look like class averages.

A class average is a projection seen through three filters: its resolution (a fall-off that ends
softly), the transfer function of the microscope (which weakens the lowest frequencies and so draws
a dark halo round the particle), and the round mask of the classification, flat outside. Its noise
is the mean of many interpolated, filtered particles: smooth, weak at the lowest frequencies,
falling towards the resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray, Pose
from cryocorr_tui.core.simulation.projection import frequencies, image_from_spectrum, project

__all__ = [
    "JUNK_KINDS",
    "MASK_DIAMETER",
    "JunkKind",
    "Optics",
    "clean_view",
    "coloured_noise",
    "draw_class_average",
    "draw_junk",
    "particle_mask",
]

JunkKind = Literal["noise", "blob", "edge", "overlap"]
JUNK_KINDS: tuple[JunkKind, ...] = get_args(JunkKind)

# The disc inside which signal and noise are measured, as a part of the box.
MASK_DIAMETER = 0.9

_HALO_PERIOD = 130.0  # Å: details larger than this are weakened …
_HALO_DEPTH = 0.85  # … by up to this part
_NOISE_PERIOD = 40.0  # Å: noise falls beyond this


@dataclass(frozen=True)
class Optics:
    """How a class average was sampled.

    ``box`` is its side in pixels (even), ``pixel_size`` in Å; ``spread`` is that of the particle's
    `Structure`, in Å.
    """

    box: int
    pixel_size: float
    spread: float = 0.0

    def signal_filter(self, resolution: float) -> FloatArray:
        """Return the weight of each Fourier coefficient of a particle at `resolution` in Å."""
        s = frequencies(self.box, self.pixel_size)
        halo = 1 - _HALO_DEPTH * np.exp(-0.5 * (s * _HALO_PERIOD) ** 2)
        spread = np.exp(-2 * (np.pi * s * self.spread) ** 2)
        return np.asarray(halo * spread * self._fall_off(s, resolution), dtype=np.float32)

    def noise_filter(self, resolution: float) -> FloatArray:
        """Return the weight of each Fourier coefficient of white noise at `resolution` in Å."""
        s = frequencies(self.box, self.pixel_size)
        colour = (1 - 0.9 * np.exp(-0.5 * (s * _HALO_PERIOD) ** 2)) / (1 + (s * _NOISE_PERIOD) ** 2)
        return np.asarray(np.sqrt(colour) * self._fall_off(s, resolution), dtype=np.float32)

    def _fall_off(self, s: FloatArray, resolution: float) -> FloatArray:
        """Return a Gaussian fall-off that ends in a raised cosine, zero from Nyquist on."""
        nyquist = 0.5 / self.pixel_size
        start = min(0.9 / resolution, 0.8 * nyquist)
        stop = min(1.2 / resolution, nyquist)
        edge = np.clip((s - start) / (stop - start), 0, 1)
        taper = 0.5 * (1 + np.cos(np.pi * edge))
        return np.asarray(np.exp(-((s * resolution) ** 2)) * taper, dtype=np.float32)


def particle_mask(box: int) -> NDArray[np.bool_]:
    """Return the disc of `MASK_DIAMETER` about the centre, (box, box)."""
    return _radius(box) <= MASK_DIAMETER * box / 2


def clean_view(
    points: NDArray[np.floating],
    weights: FloatArray,
    *,
    optics: Optics,
    resolution: float,
    pose: Pose | None = None,
) -> FloatArray:
    """Return a particle without noise or mask, (box, box), mean 0 and variance 1 in the disc.

    Parameters
    ----------
    points : (n, 2)
        Atoms in the plane of the picture: x right, y down, in pixels from the centre.
    weights : (n,) float32
    resolution : float
        Å.
    pose : Pose, optional
        Moves the atoms before they are rendered.
    """
    spectrum = project(points, weights, box=optics.box, pose=pose)
    return _standardised(image_from_spectrum(spectrum * optics.signal_filter(resolution)))


def coloured_noise(rng: np.random.Generator, *, optics: Optics, resolution: float) -> FloatArray:
    """Return noise like that of a class average, (box, box), mean 0 and variance 1 in the disc."""
    white = rng.standard_normal((optics.box, optics.box), dtype=np.float32)
    spectrum = np.fft.rfft2(white) * optics.noise_filter(resolution)
    return _standardised(image_from_spectrum(spectrum.astype(np.complex64)))


def draw_class_average(
    signal: FloatArray,
    rng: np.random.Generator,
    *,
    optics: Optics,
    resolution: float,
    snr: float,
) -> FloatArray:
    """Return a clean picture with noise, a solvent rim and the round mask of the classification.

    Parameters
    ----------
    signal : (box, box) float32
        As `clean_view` returns it.
    resolution : float
        Å.
    snr : float
        Variance of the signal over that of the noise inside `particle_mask`, above 0.

    Returns
    -------
    (box, box) float32
        Particle bright, 0 outside the mask.
    """
    noise = coloured_noise(rng, optics=optics, resolution=resolution) / np.float32(np.sqrt(snr))
    radius = _radius(optics.box) / (optics.box / 2)
    # Neighbouring particles, averaged over every direction, brighten the rim a little.
    rim = np.float32(rng.uniform(0, 0.35)) * radius**6
    picture = signal + noise + rim
    picture -= np.median(picture[(radius > 0.8) & (radius <= MASK_DIAMETER)])
    edge = np.clip((radius - (MASK_DIAMETER - 0.02)) / 0.06, 0, 1)
    return np.asarray(picture * (0.5 * (1 + np.cos(np.pi * edge))), dtype=np.float32)


def draw_junk(
    kind: JunkKind,
    points: NDArray[np.floating],
    weights: FloatArray,
    rng: np.random.Generator,
    *,
    optics: Optics,
    resolution: float,
) -> FloatArray:
    """Return the clean picture of a class that no one would keep, (box, box) float32.

    Parameters
    ----------
    kind : {"noise", "blob", "edge", "overlap"}
        Nothing at all; smears without detail; the edge of the carbon film; two particles in one
        box.
    points, weights
        The particle that the overlap shows, as in `clean_view`.
    resolution : float
        Å.
    """
    box = optics.box
    if kind == "noise":
        return np.zeros((box, box), dtype=np.float32)
    if kind == "blob":
        count = int(rng.integers(2, 5))
        places = rng.normal(0, 0.09 * box, (count, 2))
        sizes = rng.uniform(0.5, 1.0, count).astype(np.float32)
        return clean_view(places, sizes, optics=optics, resolution=0.16 * box * optics.pixel_size)
    if kind == "edge":
        angle = rng.uniform(0, 2 * np.pi)
        y, x = _offsets(box)
        depth = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(0.1, 0.25) * box
        return _standardised(np.tanh(depth / (0.03 * box)))
    angle = rng.uniform(0, 2 * np.pi)
    away = 0.2 * box * np.array([np.cos(angle), np.sin(angle)])
    turned = points @ Pose(rotation=rng.uniform(0, 360)).linear().T
    both = np.concatenate([points + away, turned - away])
    inside = np.abs(both).max(axis=1) < box / 2
    return clean_view(
        both[inside], np.tile(weights, 2)[inside], optics=optics, resolution=2 * resolution
    )


def _standardised(image: FloatArray) -> FloatArray:
    inside = image[particle_mask(len(image))]
    return np.asarray((image - inside.mean()) / inside.std(), dtype=np.float32)


def _offsets(box: int) -> tuple[FloatArray, FloatArray]:
    """Return y and x of each pixel from the centre, (box, 1) and (1, box)."""
    offset = np.arange(box, dtype=np.float32) - box // 2
    return offset[:, None], offset[None, :]


def _radius(box: int) -> FloatArray:
    y, x = _offsets(box)
    return np.asarray(np.hypot(y, x), dtype=np.float32)
