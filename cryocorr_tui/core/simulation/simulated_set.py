"""Class averages with exact truth: what is simulated, the plan of it, and the pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.model import FloatArray, Pose, frozen_array
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation.class_averages import (
    JUNK_KINDS,
    JunkKind,
    Optics,
    clean_view,
    draw_class_average,
    draw_junk,
)
from cryocorr_tui.core.simulation.projection import view_matrices
from cryocorr_tui.core.simulation.structure import (
    Structure,
    chain_subset,
    read_structure,
    read_subsets,
)

__all__ = [
    "ClassTruth",
    "SimulatedSet",
    "SimulationSettings",
    "Simulator",
    "relative_pose",
    "simulate_class_averages",
]

_BUNDLED_STRUCTURE = "6zu5_backbone.cif.gz"
_BUNDLED_SUBSETS = "chain_groups.json"


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate: structures × views × replicates class averages, and some junk.

    Attributes
    ----------
    structure : Path or None
        mmCIF or PDB file; None for the bundled backbone model of a ribosome.
    views : int
        Directions of view, spread evenly over half a sphere.
    replicates : int
        Class averages of each view of each structure.
    box : int
        Side of the class averages in pixels, even.
    pixel_size : float
        Å.
    snr : float
        Variance of the signal over that of the noise inside a disc of 0.9 of the box.
    contrast : {"bright", "dark"}
        Whether particles are brighter or darker than what is around them.
    junk : int
        Classes that no one would keep: noise, blobs, carbon edges, overlapping particles in turn.
    max_shift : float
        Radius in pixels of the disc that particles are off centre by. Two of them can be twice as
        far apart, which is the range that a search covers by default (4 pixels).
    mirror : bool
        Half of the replicates are mirrored.
    subsets : mapping of name to chains, or None
        Each is a structure of its own. None for the whole file (or, for the bundled ribosome,
        its 60S and 40S subunits and both, the 80S).
    seed : int
        The same settings give the same class averages.
    """

    structure: Path | None = None
    views: int = 6
    replicates: int = 3
    box: int = 96
    pixel_size: float = 4.0
    snr: float = 4.0
    contrast: Literal["bright", "dark"] = "bright"
    junk: int = 6
    max_shift: float = 2.0
    mirror: bool = True
    subsets: Mapping[str, tuple[str, ...]] | None = None
    seed: int = 0


@dataclass(frozen=True)
class ClassTruth:
    """What is really shown by one simulated class average.

    Attributes
    ----------
    class_id : int
        0-based place in the stack.
    structure, view
        Name of the structure and number of the view; empty and None for junk.
    pose : Pose or None
        How the clean view is brought onto this class average; None for junk.
    junk : str
        Kind of junk, or empty.
    snr : float
        Signal over noise variance; 0 where there is nothing but noise.
    particles : int
    resolution : float
        Å.
    """

    class_id: int
    structure: str
    view: int | None
    pose: Pose | None
    junk: JunkKind | Literal[""]
    snr: float
    particles: int
    resolution: float


@dataclass(frozen=True, eq=False)
class SimulatedSet:
    """Simulated class averages and their truth, in the order of the stack.

    ``images`` is (n, box, box) float32 and ``pixel_size`` in Å.
    """

    images: FloatArray
    truth: tuple[ClassTruth, ...]
    pixel_size: float

    def same_view(self) -> NDArray[np.bool_]:
        """Return which pairs show the same view of the same structure, (n, n); none with junk."""
        shown = [(t.structure, t.view) for t in self.truth]
        numbers = {pair: number for number, pair in enumerate(dict.fromkeys(shown))}
        label = np.array([numbers[pair] for pair in shown])
        real = np.array([not t.junk for t in self.truth])
        same = (label[:, None] == label[None, :]) & real[:, None] & real[None, :]
        return np.asarray(same, dtype=np.bool_)


def relative_pose(truth_i: ClassTruth, truth_j: ClassTruth) -> Pose:
    """Return the pose that brings class j onto class i, both of the same view.

    Raises
    ------
    ValueError
        If the two do not show the same view of the same structure.
    """
    i, j = truth_i.pose, truth_j.pose
    shown_i, shown_j = (truth_i.structure, truth_i.view), (truth_j.structure, truth_j.view)
    if i is None or j is None or shown_i != shown_j:
        raise ValueError(f"expected one view of one structure, received {shown_i} and {shown_j}")
    mirrored = i.mirrored != j.mirrored
    # Rotating by −a and then mirroring is mirroring and then rotating by a.
    rotation = i.rotation + j.rotation if mirrored else i.rotation - j.rotation
    turn = Pose(rotation % 360.0, mirrored=mirrored)
    x, y = np.array([i.shift_x, i.shift_y]) - turn.linear() @ [j.shift_x, j.shift_y]
    return replace(turn, shift_y=float(y), shift_x=float(x))


class Simulator:
    """Class averages still to be rendered: their truth is drawn, their pictures come one by one.

    Parameters
    ----------
    settings : SimulationSettings

    Attributes
    ----------
    truth : tuple of ClassTruth
        In the order of the stack: particles and junk shuffled, as a classification leaves them.

    Raises
    ------
    InputError
        If the structure cannot be read or lacks a chain.
    SettingsError
        If the settings make no sense or the particle does not fit into the box.
    """

    def __init__(self, settings: SimulationSettings) -> None:
        _validate(settings)
        self.settings = settings
        self._structures = {structure.name: structure for structure in _structures(settings)}
        self._planes = {
            (name, view): _in_plane(structure, matrix, settings)
            for name, structure in self._structures.items()
            for view, matrix in enumerate(view_matrices(settings.views))
        }
        self._threads = ThreadpoolController()
        self.truth = _draw_truths(settings, list(self._planes))

    def class_average(self, class_id: int) -> FloatArray:
        """Return one class average, (box, box) float32, the same whichever others are rendered."""
        settings, truth = self.settings, self.truth[class_id]
        rng = np.random.default_rng((settings.seed, class_id))
        # Junk of two overlapping particles shows the first structure.
        shown = next(iter(self._planes)) if truth.view is None else (truth.structure, truth.view)
        structure, points = self._structures[shown[0]], self._planes[shown]
        optics = Optics(settings.box, settings.pixel_size, structure.spread)
        # The products are small: threads that wait for each other would only slow them down.
        with self._threads.limit(limits=1, user_api="blas"):
            if truth.junk:
                signal = draw_junk(
                    truth.junk,
                    points,
                    structure.weights,
                    rng,
                    optics=optics,
                    resolution=truth.resolution,
                )
            else:
                signal = clean_view(
                    points,
                    structure.weights,
                    optics=optics,
                    resolution=truth.resolution,
                    pose=truth.pose,
                )
        picture = draw_class_average(
            signal, rng, optics=optics, resolution=truth.resolution, snr=truth.snr or settings.snr
        )
        return picture if settings.contrast == "bright" else -picture


def simulate_class_averages(settings: SimulationSettings) -> SimulatedSet:
    """Return simulated class averages with their truth, all at once.

    Raises
    ------
    InputError
        If the structure cannot be read or lacks a chain.
    SettingsError
        If the settings make no sense or the particle does not fit into the box.
    """
    simulator = Simulator(settings)
    images = [simulator.class_average(truth.class_id) for truth in simulator.truth]
    return SimulatedSet(
        images=frozen_array(images),
        truth=simulator.truth,
        pixel_size=settings.pixel_size,
    )


def _draw_truths(
    settings: SimulationSettings, views: list[tuple[str, int]]
) -> tuple[ClassTruth, ...]:
    rng = np.random.default_rng(settings.seed)
    shown: list[tuple[str, int | None, JunkKind | Literal[""]]] = [
        (structure, view, "") for structure, view in views for _ in range(settings.replicates)
    ]
    shown += [("", None, JUNK_KINDS[k % len(JUNK_KINDS)]) for k in range(settings.junk)]
    return tuple(
        _draw_truth(class_id, *shown[place], settings=settings, rng=rng)
        for class_id, place in enumerate(rng.permutation(len(shown)))
    )


def _draw_truth(
    class_id: int,
    structure: str,
    view: int | None,
    junk: JunkKind | Literal[""],
    *,
    settings: SimulationSettings,
    rng: np.random.Generator,
) -> ClassTruth:
    # Rounded, so that the printed truth is the whole truth.
    radius = settings.max_shift * math.sqrt(rng.uniform())
    angle = rng.uniform(0, 2 * math.pi)
    pose = Pose(
        rotation=round(rng.uniform(0, 359.99), 2),
        shift_y=round(radius * math.sin(angle), 3),
        shift_x=round(radius * math.cos(angle), 3),
        mirrored=bool(rng.uniform() < 0.5) and settings.mirror,
    )
    fineness = rng.uniform()
    best = max(2.2 * settings.pixel_size, 8.0)
    resolution = best * (1.1 + 0.5 * (1 - fineness) + (0.8 if junk else 0))
    particles = int(200 + 4000 * fineness**2 * (0.3 if junk else 1) + rng.integers(0, 400))
    return ClassTruth(
        class_id=class_id,
        structure=structure,
        view=view,
        pose=None if junk else pose,
        junk=junk,
        snr=0.0 if junk == "noise" else settings.snr,
        particles=particles,
        resolution=round(resolution, 2),
    )


def _structures(settings: SimulationSettings) -> list[Structure]:
    path, subsets = settings.structure, settings.subsets
    if path is None:
        path = sample_data() / _BUNDLED_STRUCTURE
        subsets = subsets or read_subsets(sample_data() / _BUNDLED_SUBSETS)
    whole = read_structure(path)
    if not subsets:
        return [whole]
    return [chain_subset(whole, name, chains) for name, chains in subsets.items()]


def _in_plane(
    structure: Structure, view: NDArray[np.float64], settings: SimulationSettings
) -> NDArray[np.float64]:
    """Return the atoms as the view shows them: (n, 2), x and y in pixels from the centre of mass.

    Raises
    ------
    SettingsError
        If they do not fit into the box at every pose.
    """
    centre = np.average(structure.positions, axis=0, weights=structure.weights)
    offsets = structure.positions - centre
    reach = float(np.linalg.norm(offsets, axis=1).max()) / settings.pixel_size + settings.max_shift
    if reach > settings.box / 2 - 1:
        raise SettingsError(
            f"{structure.name} does not fit into a box of {settings.box} pixels of "
            f"{settings.pixel_size:g} Å; take a box of {2 * math.ceil(reach + 1)} or larger pixels."
        )
    return offsets @ view[:2].T / settings.pixel_size


def _validate(settings: SimulationSettings) -> None:
    rules = {
        "views must be 1 or more": settings.views >= 1,
        "replicates must be 1 or more": settings.replicates >= 1,
        "the box must be even and 16 pixels or more": settings.box >= 16 and settings.box % 2 == 0,
        "the pixel size must be above 0 Å": settings.pixel_size > 0,
        "the SNR must be above 0": settings.snr > 0,
        "contrast must be bright or dark": settings.contrast in ("bright", "dark"),
        "junk must be 0 or more": settings.junk >= 0,
        "the largest shift must be 0 or more": settings.max_shift >= 0,
        "the seed must be 0 or more": settings.seed >= 0,
    }
    for rule, kept in rules.items():
        if not kept:
            raise SettingsError(f"Nothing can be simulated so: {rule}.")
