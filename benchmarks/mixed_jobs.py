"""Simulated 2D jobs as they come: some popular views, many seen once, and junk.

The truth tells pairs of the same view from unrelated ones; what lies between, neighbouring views
and the same view of another structure, is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.engine import FIELD
from benchmarks.labelled_sets import pose_about_centre
from cryocorr_tui.core.model import ClassAverage, FloatArray
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

__all__ = ["MixedJob", "mixed_job"]

DIRECTIONS = 150  # of view, of each structure: neighbours are about 10° apart
POPULAR = 3  # views that share the matches between them
THINNED = 4  # one of so many atoms is drawn: plenty at these resolutions, and faster
UNRELATED = 30.0  # degrees between directions of view from which on two views are unrelated


@dataclass(frozen=True, eq=False)
class MixedJob:
    """Class averages of one job.

    Attributes
    ----------
    classes : sequence of ClassAverage
        n of them.
    same : (n, n) bool
        Pairs of the same view of the same structure.
    unrelated : (n, n) bool
        Pairs of particles whose directions of view are more than `UNRELATED` degrees apart.
    junk : (n,) bool
        Classes without a particle, or with two.
    """

    classes: Sequence[ClassAverage]
    same: NDArray[np.bool_]
    unrelated: NDArray[np.bool_]
    junk: NDArray[np.bool_]


def mixed_job(n: int, *, snr: float, matches: float, junk: float, box: int, seed: int) -> MixedJob:
    """Simulate n class averages of the 60S, 40S and 80S.

    Parameters
    ----------
    n : int
    snr : float
        Variance of signal over that of noise; each class has ½ to 2 times as much.
    matches : float
        Part of all pairs of particles that shall show the same view.
    junk : float
        Part of the classes.
    box : int
        Pixels.
    seed : int
    """
    rng = np.random.default_rng(seed)
    structures = _structures()
    directions = view_matrices(DIRECTIONS)
    is_junk = np.zeros(n, dtype=bool)
    is_junk[rng.permutation(n)[: round(junk * n)]] = True
    kind, view = _shown(n, matches, len(structures), rng)
    with threadpool_limits(limits=1, user_api="blas"):  # many small products
        images = [
            _picture(
                structures[kind[k]],
                _in_plane(structures[kind[k]], directions[view[k]], box),
                JUNK_KINDS[int(rng.integers(len(JUNK_KINDS)))] if is_junk[k] else None,
                snr=snr * 2 ** rng.uniform(-1, 1),
                box=box,
                rng=rng,
            )
            for k in range(n)
        ]
    towards = directions[view, 2]
    apart = np.abs(towards @ towards.T) < np.cos(np.radians(UNRELATED))  # from behind: mirrored
    particles = ~is_junk[:, None] & ~is_junk
    np.fill_diagonal(particles, False)
    return MixedJob(
        classes=[ClassAverage(k, "job", k, image) for k, image in enumerate(images)],
        same=(kind[:, None] == kind) & (view[:, None] == view) & particles,
        unrelated=apart & particles,
        junk=is_junk,
    )


def _shown(
    n: int, matches: float, structures: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw structure and direction of n classes: `POPULAR` views, every other one seen once."""
    # Each popular view has the same share of the classes, so matches = POPULAR × share².
    popular = POPULAR if matches < 0.25 else 1
    each = round(n * np.sqrt(matches / popular))
    pool = rng.permutation(structures * DIRECTIONS)
    often = np.repeat(pool[:popular], each)[:n]
    once = pool[popular : popular + n - often.size]
    kind, view = np.divmod(np.concatenate([often, once]), DIRECTIONS)
    order = rng.permutation(n)
    return kind[order], view[order]


def _picture(
    structure: Structure,
    points: NDArray[np.float64],
    junk: JunkKind | None,
    *,
    snr: float,
    box: int,
    rng: np.random.Generator,
) -> FloatArray:
    optics = Optics(box, FIELD / box, structure.spread)
    resolution = 2.2 * optics.pixel_size * rng.uniform(1.1, 1.6)
    if junk is None:
        signal = clean_view(
            points,
            structure.weights,
            optics=optics,
            resolution=resolution,
            pose=pose_about_centre(rng, box),
        )
    else:
        resolution *= 1.5
        signal = draw_junk(
            junk, points, structure.weights, rng, optics=optics, resolution=resolution
        )
    return draw_class_average(signal, rng, optics=optics, resolution=resolution, snr=snr)


def _in_plane(
    structure: Structure, direction: NDArray[np.float64], box: int
) -> NDArray[np.float64]:
    centre = np.average(structure.positions, axis=0, weights=structure.weights)
    return (structure.positions - centre) @ direction[:2].T / (FIELD / box)


def _structures() -> list[Structure]:
    whole = read_structure(sample_data() / "6zu5_backbone.cif.gz")
    groups = read_subsets(sample_data() / "chain_groups.json")
    return [_thinned(chain_subset(whole, name, groups[name])) for name in ("60S", "40S", "80S")]


def _thinned(structure: Structure) -> Structure:
    return replace(
        structure,
        positions=structure.positions[::THINNED],
        weights=structure.weights[::THINNED],
        chains=structure.chains[::THINNED],
    )
