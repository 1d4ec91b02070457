"""Displacement between two pictures by digital image correlation: a field that tells its doubts.

``measure_displacement`` is the door: subsets of the reference are sought in the deformed picture by
zero-normalised cross-correlation, refined by image registration, pass by pass, and judged.
"""

from cryocorr_tui.core.displacement.advice import advice
from cryocorr_tui.core.displacement.checking import REPLACEMENTS, SUBSET_SHAPES
from cryocorr_tui.core.displacement.field import REASONS, described
from cryocorr_tui.core.displacement.measuring import (
    DisplacementEvent,
    FieldMeasured,
    displacement_field,
    measure_displacement,
)
from cryocorr_tui.core.displacement.pair_settings import pair_settings
from cryocorr_tui.core.displacement.sweep import (
    FieldsCompared,
    SettingsTried,
    SweepCell,
    sweep_settings,
)

__all__ = [
    "REASONS",
    "REPLACEMENTS",
    "SUBSET_SHAPES",
    "DisplacementEvent",
    "FieldMeasured",
    "FieldsCompared",
    "SettingsTried",
    "SweepCell",
    "advice",
    "described",
    "displacement_field",
    "measure_displacement",
    "pair_settings",
    "sweep_settings",
]
