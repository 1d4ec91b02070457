"""The best pairs of a run, ranked and filtered: what a gallery of pairs shows.

The pairs are taken from the store tile by tile and only the best by score are held, so memory does
not grow with the classes; a run that still goes on gives the pairs it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.scoring import pair_score, pair_weight
from cryocorr_tui.core.survey import Survey

__all__ = [
    "GROUPINGS",
    "MOST_PAIRS",
    "SORTS",
    "SOURCES",
    "PairFilter",
    "Ranker",
    "Ranking",
    "rank_pairs",
]

MOST_PAIRS = 200_000

SORTS = ("score", "quality", "both", "p-value")
SOURCES = ("all", "same", "other")
GROUPINGS = ("all", "inside", "across")

BLEND = PAIR_FIELDS.index("blend")

_Pairs = tuple[NDArray[np.int32], FloatArray, FloatArray]  # (2, m) ids, (fields, m), (m,) scores


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best m pairs of a run, best score first; what is not known is NaN.

    Attributes
    ----------
    i, j : (m,) int32
        Class ids, i < j.
    score, blend, weight, ncc, ssim, nmi : (m,) float32
        As in ``pairs.csv``.
    period : (m,) float32
        Where the FRC falls through 0.5, in source pixels of i.
    rotation, shift_y, shift_x : (m,) float32
        Pose that brings j onto i; degrees and source pixels of i.
    mirrored : (m,) bool
        The same.
    p_value, q_value : (m,) float64
        0 to 1; NaN until the run has scored all pairs.
    quality : (m,) float32
        The smaller one of the two classes, 0 to 1.
    same_source : (m,) bool
        Both come from one file.
    """

    i: NDArray[np.int32]
    j: NDArray[np.int32]
    score: FloatArray
    blend: FloatArray
    weight: FloatArray
    ncc: FloatArray
    ssim: FloatArray
    nmi: FloatArray
    period: FloatArray
    rotation: FloatArray
    shift_y: FloatArray
    shift_x: FloatArray
    mirrored: NDArray[np.bool_]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    quality: FloatArray
    same_source: NDArray[np.bool_]

    def __len__(self) -> int:
        return self.i.size

    def sorted_by(self, sort: str) -> NDArray[np.intp]:
        """Return the places of all pairs, best first; ties go to the higher score.

        Parameters
        ----------
        sort : str
            One of `SORTS`. "quality" is the smaller one of the two classes; "both" is score ×
            quality, so that a pair must be good in both, and which other pairs there are does not
            matter; "p-value" takes the least likely by chance first.
        """
        value = {
            "score": -self.score,
            "quality": -self.quality,
            "both": -self.score * self.quality,
            "p-value": self.p_value,
        }[sort]
        return np.argsort(value, kind="stable")  # the pairs stand by score already

    def find(self, i: int, j: int) -> int | None:
        """Return the place of a pair; None where it is not among the best."""
        places = np.flatnonzero((self.i == i) & (self.j == j))
        return int(places[0]) if places.size else None


@dataclass(frozen=True)
class PairFilter:
    """Which pairs to show.

    Attributes
    ----------
    score, quality : float
        The least ones.
    sources : str
        One of `SOURCES`: both classes of one file, of two, or either.
    grouping : str
        One of `GROUPINGS`: both classes in one group, in two, or either.
    group : int or None
        Only pairs with both classes in this group.
    text : str
        Words that must all fit: "12" a pair with class 12, "12-40" that very pair, anything else a
        pair with a class from a source whose name holds it.
    """

    score: float = 0.0
    quality: float = 0.0
    sources: str = "all"
    grouping: str = "all"
    group: int | None = None
    text: str = ""

    def passes(
        self,
        ranking: Ranking,
        *,
        sources: Sequence[str] = (),
        labels: NDArray[np.integer] | None = None,
    ) -> NDArray[np.bool_]:
        """Tell which pairs to show.

        Parameters
        ----------
        ranking : Ranking
            All of m pairs.
        sources : sequence of str
            The path of each of the n classes.
        labels : (n,) int, optional
            The group of each class, 0 for none; without them every pair is across groups.

        Returns
        -------
        (m,) bool
        """
        shown = np.ones(len(ranking), dtype=bool)
        if self.score > 0:
            shown &= ranking.score >= self.score
        if self.quality > 0:
            shown &= ranking.quality >= self.quality
        if self.sources != "all":
            shown &= ranking.same_source == (self.sources == "same")
        if self.grouping != "all" or self.group is not None:
            shown &= self._fits_groups(ranking, labels)
        for word in self.text.lower().split():
            shown &= _fits_word(word, ranking, sources)
        return shown

    def _fits_groups(
        self, ranking: Ranking, labels: NDArray[np.integer] | None
    ) -> NDArray[np.bool_]:
        if labels is None:
            return np.full(len(ranking), self.grouping == "across" and self.group is None)
        first, second = labels[ranking.i], labels[ranking.j]
        together = (first == second) & (first > 0)
        fits = np.ones(len(ranking), dtype=bool)
        if self.grouping != "all":
            fits = together == (self.grouping == "inside")
        return fits if self.group is None else fits & together & (first == self.group)


def _fits_word(word: str, ranking: Ranking, sources: Sequence[str]) -> NDArray[np.bool_]:
    fits: NDArray[np.bool_]
    if pair := re.fullmatch(r"(\d+)[-–](\d+)", word):
        i, j = sorted((int(pair[1]), int(pair[2])))
        fits = (ranking.i == i) & (ranking.j == j)
    elif word.isdecimal():
        fits = (ranking.i == int(word)) | (ranking.j == int(word))
    else:
        named = {source: word in PurePath(source).name.lower() for source in set(sources)}
        of_class = np.array([named[source] for source in sources], dtype=bool)
        fits = of_class[ranking.i] | of_class[ranking.j]
    return fits


def rank_pairs(run: Run, *, limit: int = MOST_PAIRS) -> Ranking:
    """Return the best pairs of a run by score, those that are scored so far.

    Parameters
    ----------
    run : Run
        Finished or not.
    limit : int
        Pairs at most.

    Raises
    ------
    OutputError
        If the store is damaged.
    """
    ranker = Ranker(run, limit=limit)
    ranker.read()
    return ranker.ranking(run.survey)


class Ranker:
    """Finds the best pairs of a run, and more of them while it goes on; several threads may ask.

    Parameters
    ----------
    run : Run
        Finished or not.
    limit : int
        Pairs to hold; those of the lowest scores are let go.
    """

    def __init__(self, run: Run, *, limit: int = MOST_PAIRS) -> None:
        self.run, self._limit = run, limit
        self._lock = Lock()
        self._read: set[tuple[int, int]] = set()
        self._ids = np.empty((2, 0), dtype=np.int32)
        self._values = np.empty((len(PAIR_FIELDS), 0), dtype=np.float32)
        self._score = np.empty(0, dtype=np.float32)
        self._least = -np.inf  # what a pair must reach once there are enough
        self.scored = 0  # pairs that were looked at

    def read(self, *, stopped: Callable[[], bool] = lambda: False) -> None:
        """Take in the tiles that are new in the store; fewer once it is `stopped`.

        Raises
        ------
        OutputError
            If the store is damaged.
        """
        with self._lock:
            store = self.run.store
            new: list[_Pairs] = []
            waiting = 0
            for tile in store.tiles():
                if stopped():
                    break
                if (tile.row, tile.col) in self._read or not store.done(tile):
                    continue
                self._read.add((tile.row, tile.col))
                new.append(self._best_of(tile.rows, tile.cols))
                waiting += new[-1][2].size
                if waiting > self._limit:
                    self._take(new)
                    new, waiting = [], 0
            self._take(new)

    def ranking(self, survey: Survey | None = None) -> Ranking:
        """Return the best pairs among those that were read.

        Parameters
        ----------
        survey : Survey, optional
            Of the run, once all pairs are scored: tells p- and q-values.
        """
        with self._lock:  # what is held is replaced, never changed
            ids, values, score = self._ids, self._values, self._score
        run, order = self.run, np.argsort(-score, kind="stable")
        i, j = ids[:, order]
        pair = dict(zip(PAIR_FIELDS, values[:, order], strict=True))
        quality = run.quality.quality
        p_value = q_value = np.full(i.size, np.nan)
        if survey is not None:
            p_value, q_value = survey.chance(pair["blend"], i, j)
        _, source = np.unique([item.source for item in run.classes], return_inverse=True)
        return Ranking(
            i=i,
            j=j,
            score=score[order],
            blend=pair["blend"],
            weight=pair_weight(quality[i], quality[j], run.settings.quality_weight),
            ncc=pair["ncc"],
            ssim=pair["ssim"],
            nmi=pair["nmi"],
            period=pair["frc_resolution_px"],
            rotation=pair["rotation_deg"],
            shift_y=pair["shift_y_px"],
            shift_x=pair["shift_x_px"],
            mirrored=pair["mirrored"] != 0,
            p_value=p_value,
            q_value=q_value,
            quality=np.minimum(quality[i], quality[j]),
            same_source=source[i] == source[j],
        )

    def _best_of(self, rows: slice, cols: slice) -> _Pairs:
        """Return ids, fields and scores of those pairs of a tile that may be among the best."""
        window = self.run.store.window(rows, cols)
        quality = self.run.quality.quality
        weight = pair_weight(
            quality[rows, np.newaxis], quality[cols], self.run.settings.quality_weight
        )
        score = pair_score(window[BLEND], weight)
        known = ~np.isnan(score)
        self.scored += int(known.sum())
        y, x = np.nonzero(known & (score >= self._least))
        return (
            np.stack([y + rows.start, x + cols.start]).astype(np.int32),
            window[:, y, x],
            score[y, x],
        )

    def _take(self, new: list[_Pairs]) -> None:
        """Hold the best of what was held and of what is new."""
        ids, values, score = (
            np.concatenate([held, *parts], axis=-1)
            for held, *parts in zip((self._ids, self._values, self._score), *new, strict=True)
        )
        if score.size > self._limit:
            best = np.argpartition(-score, self._limit - 1)[: self._limit]
            ids, values, score = ids[:, best], values[:, best], score[best]
            self._least = float(score.min())
        self._ids, self._values, self._score = ids, values, score
