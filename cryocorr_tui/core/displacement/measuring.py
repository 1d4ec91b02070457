"""A displacement field, pass by pass: a generator that may be abandoned at any event."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend, choose_backend
from cryocorr_tui.core.displacement.checking import check_pictures, check_settings
from cryocorr_tui.core.displacement.field import make_field
from cryocorr_tui.core.displacement.levels import Level, make_levels
from cryocorr_tui.core.displacement.passes import Matcher, Matches
from cryocorr_tui.core.displacement.prediction import nothing_expected
from cryocorr_tui.core.events import LOADING, Notice, StageProgressed, StageStarted
from cryocorr_tui.core.model import DisplacementField, DisplacementSettings, FloatArray

__all__ = ["DisplacementEvent", "FieldMeasured", "displacement_field", "measure_displacement"]


@dataclass(frozen=True, eq=False)
class FieldMeasured:
    """The field is measured."""

    field: DisplacementField


DisplacementEvent = StageStarted | StageProgressed | Notice | FieldMeasured


def displacement_field(
    reference: FloatArray,
    deformed: FloatArray,
    settings: DisplacementSettings | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    backend: Backend | None = None,
) -> DisplacementField:
    """Measure a field, as `measure_displacement` does, without events."""
    events = measure_displacement(reference, deformed, settings, mask=mask, backend=backend)
    return next(event.field for event in events if isinstance(event, FieldMeasured))


def measure_displacement(
    reference: FloatArray,
    deformed: FloatArray,
    settings: DisplacementSettings | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    backend: Backend | None = None,
) -> Iterator[DisplacementEvent]:
    """Find where every subset of one picture lies in another.

    Parameters
    ----------
    reference, deformed : (height, width) float32
        NaN where nothing is known: masked in the reference, never matched in the deformed picture.
    settings : DisplacementSettings, optional
    mask : (height, width) bool, optional
        True for pixels of the reference that count; by default all. A subset of which less than
        half counts is masked, of others the rest is left out.
    backend : Backend, optional
        By default that of ``settings.device``.

    Yields
    ------
    DisplacementEvent
        The last one is `FieldMeasured`.

    Raises
    ------
    InputError
        Pictures that cannot be compared.
    SettingsError
        Settings that contradict each other or the pictures.
    DeviceError
        A card that is asked for and is not there.
    """
    settings = settings or DisplacementSettings()
    check_settings(settings)
    mask = check_pictures(reference, deformed, mask, settings)
    if backend is None:
        backend, note = choose_backend(settings.device)
        if note:
            yield Notice(note, warning=False)
    yield StageStarted(LOADING, 0)
    try:
        with backend.computing():
            _warm_up(backend)
            levels = make_levels(reference, deformed, mask, settings, backend)
            matches = yield from _passes(levels, Matcher(settings, backend))
            field = make_field(levels[0], matches, settings)
    finally:
        backend.release()
    yield FieldMeasured(field)


def _passes(levels: list[Level], matcher: Matcher) -> Generator[DisplacementEvent, None, Matches]:
    """Go from the coarsest pictures to the finest, each pass where the last expects the subsets."""
    passes = matcher.settings.passes
    expected = nothing_expected()
    if passes > 1 or len(levels) > 1:
        expected = yield from matcher.best_turn(levels[-1])
    for halvings in range(len(levels) - 1, 0, -1):
        level, stage = levels[halvings], f"subsets, pictures 1/{2**halvings} the size"
        matches = yield from matcher.find(level, expected, stage)
        expected = (matches.expected_next(level.grid) or expected).doubled()
    for number in range(1, passes):
        matches = yield from matcher.find(levels[0], expected, f"subsets, pass {number}")
        expected = matches.expected_next(levels[0].grid) or expected
    last = "subsets" if passes == 1 else f"subsets, pass {passes}"
    return (yield from matcher.find(levels[0], expected, last))


@cache
def _warm_up(backend: Backend) -> None:
    """Compile every kernel on a tiny picture: the first time takes half a minute."""
    box, settings = 24, DisplacementSettings(block_size=8, step=8)
    picture = np.random.default_rng(0).normal(size=(box, box)).astype(np.float32)
    known = np.ones((box, box), dtype=bool)
    levels = make_levels(picture, picture, known, settings, backend)
    for _ in _passes(levels, Matcher(settings, backend)):
        pass
