"""The engine as a run uses it, without the store: all pairs of some pictures, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.budget import Budget
from cryocorr_tui.core.model import PAIR_FIELDS, ClassAverage, FloatArray, Settings
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.similarity import PairScorer
from cryocorr_tui.core.simulation import SimulatedSet, SimulationSettings, simulate_class_averages
from cryocorr_tui.core.spectral import weighted
from cryocorr_tui.core.store import Tile

__all__ = ["FIELD", "as_classes", "score_all", "simulated"]

FIELD = 384.0  # Å; side of the simulated box, which the whole ribosome fits into


def simulated(
    *, views: int, replicates: int, box: int, snr: float = 4.0, seed: int = 0
) -> SimulatedSet:
    """Return views × replicates class averages of each of the 60S, 40S and 80S, without junk."""
    return simulate_class_averages(
        SimulationSettings(
            views=views,
            replicates=replicates,
            box=box,
            pixel_size=FIELD / box,
            snr=snr,
            junk=0,
            seed=seed,
        )
    )


def as_classes(images: FloatArray) -> list[ClassAverage]:
    """Return (n, box, box) pictures as the class averages of one source of unknown pixel size."""
    return [ClassAverage(k, "simulated", k, image) for k, image in enumerate(images)]


def score_all(
    classes: Sequence[ClassAverage], settings: Settings
) -> dict[str, NDArray[np.float32]]:
    """Prepare class averages and score all pairs i < j.

    Returns
    -------
    dict of (n, n) float32
        Each of `PAIR_FIELDS`; NaN on and below the diagonal.
    """
    working = weighted(prepare(classes, settings), settings.spectral_weighting)
    n, backend = len(working.images), Backend("cpu")
    budget = Budget.of(working, backend.free_memory() / 2, on_card=False)
    fields = np.full((len(PAIR_FIELDS), n, n), np.nan, dtype=np.float32)
    scored = score_tiles(
        _tiles(n, budget.tile(n)),
        [backend],
        lambda on: PairScorer(working, settings, on, memory=budget.memory),
    )
    for tile, block in scored:
        fields[:, tile.rows, tile.cols] = block
    return dict(zip(PAIR_FIELDS, fields, strict=True))


def _tiles(n: int, side: int) -> Iterator[Tile]:
    """Yield the tiles of a run of n classes, row by row."""
    edges = [slice(start, min(start + side, n)) for start in range(0, n, side)]
    for row, rows in enumerate(edges):
        for col in range(row, len(edges)):
            yield Tile(row, col, rows, edges[col])
