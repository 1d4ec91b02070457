"""Pairs of speckle pictures with a known displacement field, to measure DIC against.

Every speckle is a Gaussian known by formula. The deformed picture shows at each pixel the value of
the pattern at the material point that was carried there, evaluated by the same formula: nothing is
interpolated, so the field is exact to rounding.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.model import FloatArray

__all__ = ["SPECKLE_FILES", "SpecklePair", "sample_field", "speckle_pair", "write_speckle_pair"]

Coordinates = NDArray[np.float64]
Field = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]

SPECKLE_FILES = ("dic_reference.tif", "dic_deformed.tif", "dic_field.csv")

_AREA_PER_SPECKLE = 5.0  # in σ²: neighbours overlap, so hardly a spot is empty
_REACH = 6.0  # in σ, where a speckle is down to 1.5e-8
_CHUNK = 4096  # speckles at a time


@dataclass(frozen=True, eq=False)
class SpecklePair:
    """Two pictures, (height, width) float32 in 0…1."""

    reference: FloatArray
    deformed: FloatArray


def sample_field(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Return the displacement (dy, dx) in pixels of the sample pair, 256×256.

    A shift, a stretch of 0.4 % along x and a bulge of 1.5 px along y::

        dy = −0.62 + 1.5·exp(−((y − 128)² + (x − 128)²) / (2·45²))
        dx = 0.35 + 0.004·(x − 128)
    """
    bulge = np.exp(-((y - 128) ** 2 + (x - 128) ** 2) / (2 * 45**2))
    return -0.62 + 1.5 * bulge, 0.35 + 0.004 * (x - 128) + 0 * y


def speckle_pair(
    height: int, width: int, field: Field, *, sigma: float = 1.6, seed: int = 0
) -> SpecklePair:
    """Return a speckle picture and the same one deformed by `field`.

    Parameters
    ----------
    height, width : int
        Pixels.
    field : callable
        Takes y and x of points in the reference, in pixels, and returns their displacement
        (dy, dx); a point at (y, x) is found at (y + dy, x + dx) in the deformed picture. Its
        gradient must stay well below 1. It is also asked for points somewhat outside.
    sigma : float
        Of the speckles, in pixels; their visible diameter is about 4 σ.
    seed : int

    Raises
    ------
    ValueError
        If the field folds the picture over.
    """
    reach = int(np.ceil(_REACH * sigma))
    y, x = np.mgrid[: height + 2 * reach, : width + 2 * reach].astype(np.float64) - reach
    origin_y, origin_x = _carried_from(y, x, field)
    margin = float(max(np.abs(origin_y - y).max(), np.abs(origin_x - x).max())) + reach
    rng = np.random.default_rng(seed)
    low, high = -margin, np.array([height, width]) + margin
    count = round(float(np.prod(high - low)) / (_AREA_PER_SPECKLE * sigma**2))
    centres = rng.uniform(low, high, (count, 2))
    strengths = rng.uniform(0.5, 1.0, count)
    reference = _pattern(y, x, centres, centres, strengths, sigma=sigma, reach=reach)
    carried = centres + np.stack(field(centres[:, 0], centres[:, 1]), axis=1)
    deformed = _pattern(origin_y, origin_x, centres, carried, strengths, sigma=sigma, reach=reach)
    brightest = 1.02 * max(reference.max(), deformed.max())
    return SpecklePair(
        reference=(reference / brightest).astype(np.float32),
        deformed=(deformed / brightest).astype(np.float32),
    )


def write_speckle_pair(folder: Path) -> None:
    """Write the sample pair, 8-bit, and its true field at every subset's centre, as CSV.

    The centres are those of subsets of 32 pixels, 16 apart: 15.5, 31.5 …
    """
    pair = speckle_pair(256, 256, sample_field)
    reference_file, deformed_file, field_file = SPECKLE_FILES
    for name, picture in ((reference_file, pair.reference), (deformed_file, pair.deformed)):
        with atomic_path(folder / name) as part:
            grey = np.rint(picture * 255).astype(np.uint8)
            tifffile.imwrite(part, grey, photometric="minisblack", metadata=None, software=False)
    y, x = (axis.ravel() for axis in np.mgrid[15.5:241:16, 15.5:241:16])
    dy, dx = sample_field(y, x)
    with atomic_path(folder / field_file) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("y", "x", "dy", "dx"))
        writer.writerows(np.stack([y, x, dy, dx], axis=1).tolist())


def _carried_from(y: Coordinates, x: Coordinates, field: Field) -> tuple[Coordinates, Coordinates]:
    """Return the material points that the field carries to (y, x): p + field(p) = (y, x)."""
    py, px = y, x
    for _ in range(200):
        dy, dx = field(py, px)
        step = float(np.abs([y - dy - py, x - dx - px]).max())
        py, px = y - dy, x - dx
        if step < 1e-11 * max(y.size, x.size):
            return py, px
    raise ValueError(f"expected a field that can be undone, received one off by {step:.2g} px")


def _pattern(
    y: Coordinates,
    x: Coordinates,
    centres: Coordinates,
    seen_at: Coordinates,
    strengths: NDArray[np.float64],
    *,
    sigma: float,
    reach: int,
) -> NDArray[np.float64]:
    """Return the sum of all speckles at the material points (y, x), less a rim of `reach` pixels.

    ``y, x`` are (height + 2·reach, width + 2·reach); `seen_at` is where in the picture, rim
    excluded, each speckle lies, so that only pixels near it are visited.
    """
    rows, columns = y.shape
    total = np.zeros(rows * columns)
    window = np.arange(-reach, reach + 1)
    nearest = np.rint(seen_at).astype(np.int64) + reach
    for start in range(0, len(centres), _CHUNK):
        part = slice(start, start + _CHUNK)
        row = nearest[part, 0, None, None] + window[:, None]  # (n, w, 1)
        column = nearest[part, 1, None, None] + window  # (n, 1, w)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        speckle, _, _ = np.nonzero(inside)
        place = (row * columns + column)[inside]
        centre = centres[part][speckle]
        squared = (y.ravel()[place] - centre[:, 0]) ** 2 + (x.ravel()[place] - centre[:, 1]) ** 2
        light = strengths[part][speckle] * np.exp(-squared / (2 * sigma**2))
        total += np.bincount(place, light, minlength=total.size)
    return total.reshape(rows, columns)[reach : rows - reach, reach : columns - reach]
