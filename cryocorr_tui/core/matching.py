"""Counterparts: for each class of two sets, the one of the other set that it is most like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray
from cryocorr_tui.core.scoring import pair_score, pair_weight
from cryocorr_tui.core.store import RunStore

__all__ = ["Matches", "find_matches"]

PAIRS_AT_ONCE = 500_000  # about 50 MB


@dataclass(frozen=True, eq=False)
class Matches:
    """The best partner of each of n classes.

    Attributes
    ----------
    partner : (n,) int64
        Class id in the other set; −1 where a class was not scored.
    score : (n,) float32
        Of that pair, 0 to 1; NaN without a partner.
    pairs : (fields, n) float32
        That pair as the store has it, in the order of `model.PAIR_FIELDS`.
    """

    partner: NDArray[np.int64]
    score: FloatArray
    pairs: FloatArray

    @property
    def mutual(self) -> NDArray[np.bool_]:
        """(n,) bool, True where each of two classes is the best partner of the other."""
        back = self.partner[self.partner]
        mutual = (self.partner >= 0) & (back == np.arange(self.partner.size))
        return np.asarray(mutual, dtype=np.bool_)

    def pair_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return i and j, each (n,), of the pair of each class that has a partner."""
        ids = np.arange(self.partner.size)
        return np.minimum(ids, self.partner), np.maximum(ids, self.partner)


def find_matches(store: RunStore, *, quality: FloatArray, quality_weight: float) -> Matches:
    """Find the partner of the highest blend for each class; of equals, that of the lowest id.

    Not of the highest score: weighted by quality, a good picture of another view would pass for the
    counterpart of a poor one.

    Parameters
    ----------
    store : RunStore
        Of two sets; read band by band.
    quality : (n,) float32
        0 to 1.
    quality_weight : float
        See `scoring.pair_weight`.

    Returns
    -------
    Matches

    Raises
    ------
    OutputError
        If the store is damaged.
    """
    if store.split is None:
        raise ValueError("expected the store of two sets, received that of one")
    partner = np.full(store.n, -1)
    best = np.full(store.n, -np.inf, dtype=np.float32)
    pairs = np.full((len(PAIR_FIELDS), store.n), np.nan, dtype=np.float32)

    def take(
        ids: NDArray[np.intp], of: NDArray[np.intp], blend: FloatArray, i_j: FloatArray
    ) -> None:
        """Keep what is better than the best so far: classes `ids`, partners `of`."""
        better = blend > best[ids]
        partner[ids[better]] = of[better]
        best[ids[better]] = blend[better]
        pairs[:, ids[better]] = i_j[:, better]

    cols = np.arange(store.cols.start, store.cols.stop)
    for band in store.bands(PAIRS_AT_ONCE):
        rows = np.arange(band.start, band.stop)
        window = store.window(band, store.cols)
        blend = window[PAIR_FIELDS.index("blend")]
        blend = np.where(np.isnan(blend), np.float32(-np.inf), blend)
        col, row = blend.argmax(axis=1), blend.argmax(axis=0)
        down, across = np.arange(rows.size), np.arange(cols.size)
        take(rows, cols[col], blend[down, col], window[:, down, col])
        take(cols, rows[row], blend[row, across], window[:, row, across])
    weight = pair_weight(quality, quality[partner], quality_weight)
    score = pair_score(pairs[PAIR_FIELDS.index("blend")], weight)  # NaN without a partner
    return Matches(partner=partner, score=score, pairs=pairs)
