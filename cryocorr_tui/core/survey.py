"""What a run tells of chance, read band by band, so that memory does not grow with the pairs.

Two readings: a sample of pairs of every class, to which the null is fitted, then all pairs, whose
p-values are counted. The second one also counts similar pairs at the edge of the search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray
from cryocorr_tui.core.preprocessing import WorkingSet
from cryocorr_tui.core.significance import FalseDiscoveryRate, Null, fit_null
from cryocorr_tui.core.store import RunStore

__all__ = ["Survey", "begin_survey", "count_pairs"]

# Classes of either set that every class of the other is looked at with, to fit the null.
PARTNERS = 512
# They are taken in runs of this length, evenly spread: neighbours lie in one tile of the store.
RUN_OF_PARTNERS = 32

PAIRS_AT_ONCE = 500_000  # about 50 MB

# p-value of pairs whose pose at the edge of the search is worth a warning; in large runs less, so
# that chance alone would bring no such pair.
SIMILAR = 0.01
EDGE = 0.99  # of the largest shift


@dataclass(eq=False)
class Survey:
    """What is known of all pairs of a run together; filled by `count_pairs`.

    Attributes
    ----------
    null : Null
        What unrelated pairs give.
    rate : FalseDiscoveryRate
        All p-values, counted.
    at_largest_shift : int
        Pairs that hardly are unrelated and have their pose at the edge of the search.
    """

    null: Null
    rate: FalseDiscoveryRate = field(default_factory=FalseDiscoveryRate)
    at_largest_shift: int = 0

    def chance(
        self, blend: FloatArray, i: NDArray[np.integer], j: NDArray[np.integer]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return p-values and q-values of pairs.

        Parameters
        ----------
        blend : (m,) float32
            −1 to 1, NaN where a pair was not scored.
        i, j : (m,) int
            Class ids.

        Returns
        -------
        (m,) float64, (m,) float64
            0 to 1, NaN where unknown.
        """
        p_values = self.null.p_values(blend, i, j)
        return p_values, self.rate.q_values(p_values)


def begin_survey(store: RunStore) -> Survey:
    """Fit the null to a sample of all pairs; none is counted yet.

    Raises
    ------
    OutputError
        If the store is damaged.
    """
    sets = (store.rows,) if store.split is None else (store.rows, store.cols)
    runs = [run for ids in sets for run in _evenly(ids)]
    blend = np.concatenate(
        [store.symmetric("blend", slice(0, store.n), run) for run in runs], axis=1
    )
    return Survey(fit_null(blend, np.concatenate([np.arange(run.start, run.stop) for run in runs])))


def count_pairs(store: RunStore, working: WorkingSet, survey: Survey) -> Iterator[int]:
    """Count all pairs into `survey`, yielding how many rows of pairs are read.

    Raises
    ------
    OutputError
        If the store is damaged.
    """
    similar = min(SIMILAR, 1 / store.pairs)
    j = np.arange(store.cols.start, store.cols.stop)
    for rows in store.bands(PAIRS_AT_ONCE):
        i = np.arange(rows.start, rows.stop)[:, np.newaxis]
        pair = dict(zip(PAIR_FIELDS, store.window(rows, store.cols), strict=True))
        p_values = survey.null.p_values(pair["blend"], i, j)
        survey.rate.add(p_values)
        shift = np.hypot(pair["shift_y_px"], pair["shift_x_px"]) / working.scale[i]
        reached = (p_values < similar) & (shift > EDGE * working.max_shift)
        survey.at_largest_shift += int(reached.sum())
        yield rows.stop


def _evenly(ids: slice) -> list[slice]:
    """Return runs of class ids, `PARTNERS` in all, spread over `ids`; all where there are fewer."""
    count = ids.stop - ids.start
    if count <= PARTNERS:
        return [ids]
    starts = np.linspace(0, count - RUN_OF_PARTNERS, PARTNERS // RUN_OF_PARTNERS)
    # On the grid of runs, which tiles of the usual sizes share.
    starts = np.rint(starts / RUN_OF_PARTNERS).astype(int) * RUN_OF_PARTNERS + ids.start
    return [slice(start, min(start + RUN_OF_PARTNERS, ids.stop)) for start in starts.tolist()]
