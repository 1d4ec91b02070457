"""How far a field depends on block size and search area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from cryocorr_tui.core.displacement.measuring import (
    FieldMeasured,
    measure_displacement,
)
from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.events import StageProgressed, StageStarted
from cryocorr_tui.core.model import DisplacementField, DisplacementSettings, FloatArray

__all__ = [
    "BLOCK_SIZES",
    "MULTIPLIERS",
    "FieldsCompared",
    "SettingsTried",
    "SweepCell",
    "sweep_settings",
]

BLOCK_SIZES = (16, 24, 32, 48, 64)
MULTIPLIERS = (1.5, 2.0, 3.0)
LEAST_PLACES = 200  # where fields are compared, on a regular grid


@dataclass(frozen=True)
class SweepCell:
    """A field in numbers.

    Attributes
    ----------
    block_size, search_area_multiplier
        The settings.
    vectors : int
    valid_part : float
        0…1. The other numbers are of valid vectors only, NaN where there is none; medians.
    dy, dx, magnitude, correlation, peak_ratio, uncertainty : float
    deviation : float
        Root mean square distance in pixels from the field that is, place by place, the median of
        all settings; where both are known. Small where the field does not depend on the settings.
    compared_part : float
        Part of the places at which that could be told, 0…1.
    """

    block_size: int
    search_area_multiplier: float
    vectors: int
    valid_part: float
    dy: float
    dx: float
    magnitude: float
    correlation: float
    peak_ratio: float
    uncertainty: float
    deviation: float
    compared_part: float


@dataclass(frozen=True, eq=False)
class SettingsTried:
    """A field with one pair of settings is measured."""

    field: DisplacementField


@dataclass(frozen=True)
class FieldsCompared:
    """All fields are measured, and compared with each other."""

    cells: tuple[SweepCell, ...]


SweepEvent = StageStarted | StageProgressed | SettingsTried | FieldsCompared


def sweep_settings(
    reference: FloatArray,
    deformed: FloatArray,
    settings: DisplacementSettings | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    block_sizes: Sequence[int] = BLOCK_SIZES,
    multipliers: Sequence[float] = MULTIPLIERS,
) -> Iterator[SweepEvent]:
    """Measure the field with every pair of block size and search area.

    Parameters
    ----------
    reference, deformed, settings, mask
        As of `measure_displacement`; all fields have the step of the settings.
    block_sizes : sequence of int
        Those that do not fit the pictures are left out.
    multipliers : sequence of float

    Yields
    ------
    SweepEvent
        The last one is `FieldsCompared`.

    Raises
    ------
    CryocorrError
        As of `measure_displacement`; also where no block size fits.
    """
    settings = settings or DisplacementSettings()
    blocks = [block for block in block_sizes if block <= min(reference.shape)]
    if not blocks:
        raise SettingsError(
            f"None of the block sizes {', '.join(map(str, block_sizes))} fits the pictures; choose "
            "smaller ones."
        )
    trials = [
        replace(
            settings,
            block_size=block,
            step=settings.spacing,  # one for all: a coarser grid would differ by being coarser
            search_area_multiplier=multiplier,
        )
        for block in blocks
        for multiplier in multipliers
    ]
    fields: list[DisplacementField] = []
    yield StageStarted("settings", len(trials))
    for trial in trials:
        for event in measure_displacement(reference, deformed, trial, mask=mask):
            if isinstance(event, FieldMeasured):
                fields.append(event.field)
                yield SettingsTried(event.field)
            # At every event, so that one may stop within a field too.
            yield StageProgressed("settings", len(fields))
    yield FieldsCompared(_compared(fields))


def _compared(fields: Sequence[DisplacementField]) -> tuple[SweepCell, ...]:
    places = _places(fields[0].picture_shape)
    found = np.stack([_at(field, places) for field in fields])  # (fields, places, 2)
    known = np.isfinite(found[..., 0])
    middle = np.full(found.shape[1:], np.nan)
    some = known.any(axis=0)
    middle[some] = np.nanmedian(found[:, some], axis=0)
    squared = ((found - middle) ** 2).sum(axis=-1)
    return tuple(
        _cell(field, squared[k][known[k]], float(known[k].mean())) for k, field in enumerate(fields)
    )


def _cell(
    field: DisplacementField, squared: NDArray[np.float64], compared_part: float
) -> SweepCell:
    def median(values: FloatArray) -> float:
        return float(np.median(values[field.valid])) if field.valid.any() else float("nan")

    return SweepCell(
        block_size=field.settings.block_size,
        search_area_multiplier=field.settings.search_area_multiplier,
        vectors=len(field.y),
        valid_part=float(field.valid.mean()),
        dy=median(field.dy),
        dx=median(field.dx),
        magnitude=median(field.magnitude),
        correlation=median(field.correlation),
        peak_ratio=median(field.peak_ratio),
        uncertainty=median(field.uncertainty),
        deviation=float(np.sqrt(squared.mean())) if squared.size else float("nan"),
        compared_part=compared_part,
    )


def _places(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return (n, 2): places on a square lattice over a picture, `LEAST_PLACES` or more."""
    pitch = max(1.0, float(np.sqrt(shape[0] * shape[1] / LEAST_PLACES)))
    y, x = (np.arange(pitch / 2, side, pitch) for side in shape)
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)


def _at(field: DisplacementField, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2): dy and dx of valid vectors, interpolated; NaN where none are around."""
    nowhere = np.full(places.shape, np.nan)
    valid = field.valid
    if valid.sum() < 4:
        return nowhere
    y_x = np.stack([field.y[valid], field.x[valid]], axis=1)
    dy_dx = np.stack([field.dy[valid], field.dx[valid]], axis=1)
    try:
        return np.asarray(LinearNDInterpolator(y_x, dy_dx)(places))
    except QhullError:  # all in one row
        return nowhere
