"""Data with exact truth: class averages from a structure, and speckles with a known field."""

from cryocorr_tui.core.simulation.simulate import (
    OUTPUT_FILES,
    ClassSimulated,
    SimulationFinished,
    simulate,
)
from cryocorr_tui.core.simulation.simulated_set import (
    ClassTruth,
    SimulatedSet,
    SimulationSettings,
    Simulator,
    relative_pose,
    simulate_class_averages,
)
from cryocorr_tui.core.simulation.speckle import (
    SpecklePair,
    sample_field,
    speckle_pair,
    write_speckle_pair,
)
from cryocorr_tui.core.simulation.structure import read_subsets

__all__ = [
    "OUTPUT_FILES",
    "ClassSimulated",
    "ClassTruth",
    "SimulatedSet",
    "SimulationFinished",
    "SimulationSettings",
    "Simulator",
    "SpecklePair",
    "read_subsets",
    "relative_pose",
    "sample_field",
    "simulate",
    "simulate_class_averages",
    "speckle_pair",
    "write_speckle_pair",
]
