"""From matches to a field: what is valid and why not, strain, rigid part, replacement."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.displacement.levels import Level
from cryocorr_tui.core.displacement.passes import Matches, leaves_picture
from cryocorr_tui.core.displacement.rigid import rigid_motion, without_rigid
from cryocorr_tui.core.displacement.searching import CONSTANT
from cryocorr_tui.core.displacement.strain import strain
from cryocorr_tui.core.displacement.subsets import subset_sums
from cryocorr_tui.core.displacement.uncertainty import uncertainty
from cryocorr_tui.core.displacement.validation import find_outliers, replaced
from cryocorr_tui.core.model import (
    DisplacementField,
    DisplacementSettings,
    FloatArray,
    frozen_array,
)
from cryocorr_tui.core.words import are, counted

__all__ = ["REASONS", "described", "make_field"]

# Why a vector is invalid; of several reasons the first counts.
REASONS = (
    "masked",  # more than half of the subset
    "constant",  # no texture in the subset
    "out of image",  # the matched subset leaves the deformed picture, or covers unknown pixels
    "no match",  # nothing in the search area that could be matched
    "low correlation",
    "no subpixel fit",  # the refinement did not come to rest near the peak of the search
    "low peak ratio",
    "outlier",  # the normalised median test
)
Stretch = tuple[FloatArray | None, FloatArray | None, FloatArray | None]

LEAST_WEIGHT = 0.5


def make_field(level: Level, matches: Matches, settings: DisplacementSettings) -> DisplacementField:
    """Judge the matches of a level and do with them what the settings ask for."""
    grid, shape = level.grid, level.grid.shape
    y, x = (part.ravel() for part in np.meshgrid(grid.centre_y, grid.centre_x, indexing="ij"))
    known = matches.matched
    dy, dx = (np.where(known, matches.warps[:, k], np.nan) for k in (0, 3))
    reason = _reasons(level, matches, settings)
    valid = reason == ""
    stretch = _stretch(dy.reshape(shape), dx.reshape(shape), valid.reshape(shape), settings)
    motion = None
    if settings.remove_rigid and valid.any():
        motion = rigid_motion(*(part[valid] for part in (y, x, dy, dx)))
        dy, dx = without_rigid(y, x, dy, dx, motion)
    filled = np.zeros(len(y), dtype=bool)
    if settings.replacement != "none":
        grids = [part.reshape(shape) for part in (dy, dx, valid)]
        # What the user has masked shall stay so.
        wanted = (reason != "masked").reshape(shape)
        replace = partial(replaced, manner=settings.replacement, wanted=wanted)
        (dy, filled), (dx, _) = (replace(part, grids[2]) for part in grids[:2])
        dy, dx, filled = dy.ravel(), dx.ravel(), filled.ravel()
    return DisplacementField(
        y=frozen_array(y),
        x=frozen_array(x),
        dy=frozen_array(dy),
        dx=frozen_array(dx),
        magnitude=frozen_array(np.hypot(dy, dx)),
        correlation=frozen_array(np.where(known, matches.correlation, np.nan)),
        peak_ratio=frozen_array(np.where(known, matches.peak_ratio, np.nan)),
        uncertainty=frozen_array(uncertainty(level, matches, settings.smoothing)),
        valid=frozen_array(valid, np.bool_),
        reason=frozen_array(reason, reason.dtype),
        replaced=frozen_array(filled, np.bool_),
        shape=shape,
        picture_shape=(level.deformed.values.shape[0], level.deformed.values.shape[1]),
        settings=settings,
        exx=stretch[0],
        eyy=stretch[1],
        exy=stretch[2],
        rigid=motion,
    )


def _stretch(
    dy: NDArray[np.float64],
    dx: NDArray[np.float64],
    valid: NDArray[np.bool_],
    settings: DisplacementSettings,
) -> Stretch:
    """Return exx, eyy and exy, (n,) float32, or None of each."""
    if not settings.strain_window:
        return None, None, None
    exx, eyy, exy = (
        frozen_array(part.ravel())
        for part in strain(dy, dx, valid, spacing=settings.spacing, window=settings.strain_window)
    )
    return exx, eyy, exy


def _reasons(level: Level, matches: Matches, settings: DisplacementSettings) -> NDArray[np.str_]:
    """Return (n,) text: why each vector is invalid, empty where it is valid."""
    masked, constant = _without_content(level)
    weak = ~matches.matched | (matches.correlation < settings.min_correlation)
    found = {
        "masked": masked,
        "constant": constant,
        "out of image": matches.outside | (weak & _expected_outside(level, matches, weak)),
        "no match": ~matches.matched,
        "low correlation": weak,
        "no subpixel fit": ~matches.refined,
        "low peak ratio": matches.peak_ratio < settings.min_peak_ratio,
    }
    good = ~np.any(list(found.values()), axis=0)
    if settings.median_threshold > 0:
        dy, dx = (matches.warps[:, k].reshape(level.grid.shape) for k in (0, 3))
        trusted, threshold = good.reshape(level.grid.shape), settings.median_threshold
        found["outlier"] = find_outliers(dy, dx, trusted, threshold=threshold).ravel()
    names = [name for name in REASONS if name in found]
    return np.select([found[name] for name in names], names, default="")


def _expected_outside(level: Level, matches: Matches, weak: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n,) bool: which subsets the good ones around them expect out of the picture.

    Nobody asks where none is `weak`.
    """
    expected = matches.expected_next(level.grid) if weak.any() else None
    if expected is None:
        return np.zeros(len(level.grid), dtype=bool)
    return leaves_picture(level, expected.warps(level.grid), level.grid.corners)


def _without_content(level: Level) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (n,) bool, twice: subsets that are masked, and that are constant."""
    weight = level.reference.weight
    values = level.reference.values * weight
    count, total, square = (
        subset_sums(part, level.grid) for part in (weight, values, values * values)
    )
    masked = count < LEAST_WEIGHT * level.grid.block**2
    energy = square - total**2 / np.maximum(count, 1)
    return masked, energy <= CONSTANT * count


def described(field: DisplacementField) -> str:
    """Return a field in a sentence: how many vectors are valid, why others not, how far they go."""
    valid = field.valid
    good = int(valid.sum())
    said = f"{good} of {counted(len(valid), 'vector')} {are(good)} valid"
    lost = [(name, int((field.reason == name).sum())) for name in REASONS]
    if any(count for _, count in lost):
        said += f" ({', '.join(f'{name} {count}' for name, count in lost if count)})"
    if valid.any():
        magnitude, uncertainty = field.magnitude[valid], field.uncertainty[valid]
        said += (
            f"; magnitude {np.median(magnitude):.3g} px (median), up to {magnitude.max():.3g} px, "
            f"known to {np.median(uncertainty):.2g} px"
        )
    if field.rigid is not None:
        moved = field.rigid
        said += (
            f"; taken off: {moved.rotation:.3g}° counter-clockwise about y {moved.centre_y:.1f}, "
            f"x {moved.centre_x:.1f}, then y {moved.shift_y:+.3g} px, x {moved.shift_x:+.3g} px"
        )
    return f"{said}."
