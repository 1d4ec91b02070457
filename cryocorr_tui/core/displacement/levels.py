"""Both pictures at every size of the pyramid, on the host and on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.displacement.pictures import (
    Deformed,
    Reference,
    deformed_picture,
    halved,
    reference_picture,
)
from cryocorr_tui.core.displacement.subsets import SubsetGrid, subset_grid
from cryocorr_tui.core.model import DisplacementSettings, FloatArray

__all__ = ["Level", "make_levels"]

MOST_HALVINGS = 3
FEWEST_BLOCKS = 3  # across the coarsest picture


@dataclass(frozen=True, eq=False)
class Level:
    """Both pictures at one size, the grid of subsets on them, and copies on the device."""

    reference: Reference
    deformed: Deformed
    grid: SubsetGrid
    reference_on_device: Reference
    deformed_on_device: Deformed


def make_levels(
    reference: FloatArray,
    deformed: FloatArray,
    mask: NDArray[np.bool_],
    settings: DisplacementSettings,
    backend: Backend,
) -> list[Level]:
    """Return both pictures as they are, then halved again and again."""
    levels = []
    for halvings in range(_halvings(reference.shape, settings) + 1):
        if halvings:
            reference, deformed = halved(reference), halved(deformed)
            mask = halved(mask.astype(np.float32)) > 0.5
        first = reference_picture(reference, mask, settings.smoothing)
        second = deformed_picture(deformed, settings.smoothing)
        grid = subset_grid(*reference.shape, block=settings.block_size, step=settings.spacing)
        levels.append(Level(first, second, grid, backend.moved(first), backend.moved(second)))
    return levels


def _halvings(shape: tuple[int, ...], settings: DisplacementSettings) -> int:
    if settings.pyramid is not None:
        return settings.pyramid
    blocks = min(shape) / (FEWEST_BLOCKS * settings.block_size)
    if settings.passes == 1 or blocks < 1:
        return 0
    return min(MOST_HALVINGS, math.floor(math.log2(blocks)))
