from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from cryocorr_tui.core.inputs import Inputs
from cryocorr_tui.core.model import PAIR_FIELDS, ClassAverage, Quality, Settings
from cryocorr_tui.core.preprocessing import WorkingSet
from cryocorr_tui.core.ranking import PairFilter, Ranker, Ranking, rank_pairs
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.significance import Null
from cryocorr_tui.core.store import RunStore, Tile
from cryocorr_tui.core.survey import Survey

# Blends of the pairs of five classes; 4 was not scored. Qualities 1, 1, 0.25, 0.25: the weights of
# pairs are 1, 0.5 and 0.25.
BLEND = {(0, 1): 0.4, (0, 2): 0.9, (0, 3): 0.2, (1, 2): 0.6, (1, 3): -0.3, (2, 3): 0.8}
SCORE = {(0, 2): 0.45, (0, 1): 0.4, (1, 2): 0.3, (2, 3): 0.2, (0, 3): 0.1, (1, 3): 0.0}
SOURCES = ("jobs/j1.mrcs", "jobs/j1.mrcs", "jobs/j2.mrcs", "jobs/j2.mrcs", "jobs/j2.mrcs")
LABELS = np.array([1, 2, 1, 0, 0])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = RunStore.create(tmp_path, n=5, tile=2, fingerprint="", manifest={})
    image = np.zeros((4, 4), dtype=np.float32)
    quality = np.array([1, 1, 0.25, 0.25, 0.5], dtype=np.float32)
    return Run(
        sources=Inputs(),
        classes=tuple(ClassAverage(k, source, k, image) for k, source in enumerate(SOURCES)),
        working=WorkingSet(
            images=np.zeros((5, 4, 4), dtype=np.float32),
            mask=np.ones((4, 4), dtype=np.float32),
            scale=np.ones(5),
            pixel_size=None,
            contrast=np.ones(5, dtype=np.int8),
            reasons=("", "", "", "", "is constant"),
            max_shift=1.0,
        ),
        quality=Quality(quality, *[quality] * 5),
        settings=Settings(),
        fingerprint="",
        store=store,
    )


def fill(run: Run, tiles: Iterable[Tile] | None = None) -> None:
    values = np.full((len(PAIR_FIELDS), 5, 5), np.nan, dtype=np.float32)
    for (i, j), blend in BLEND.items():
        values[:, i, j] = 10 * i + j  # a value of its own in the other fields
        values[PAIR_FIELDS.index("blend"), i, j] = blend
        values[PAIR_FIELDS.index("mirrored"), i, j] = i == 1
    for tile in run.store.tiles() if tiles is None else tiles:
        run.store.write(tile, values[:, tile.rows, tile.cols])


def pairs(ranking: Ranking) -> list[tuple[int, int]]:
    return list(zip(ranking.i.tolist(), ranking.j.tolist(), strict=True))


@pytest.fixture
def ranking(run: Run) -> Ranking:
    fill(run)
    return rank_pairs(run)


def shown(ranking: Ranking, wanted: PairFilter) -> set[tuple[int, int]]:
    passes = wanted.passes(ranking, sources=SOURCES, labels=LABELS)
    return {pair for pair, yes in zip(pairs(ranking), passes, strict=True) if yes}


def test_pairs_come_with_the_best_score_first(ranking: Ranking) -> None:
    assert pairs(ranking) == list(SCORE)
    np.testing.assert_allclose(ranking.score, list(SCORE.values()), atol=1e-6)


def test_a_pair_brings_all_its_numbers(ranking: Ranking) -> None:
    k = ranking.find(1, 2)
    assert k is not None
    assert ranking.ncc[k] == ranking.rotation[k] == ranking.period[k] == 12
    assert ranking.mirrored[k]
    assert ranking.weight[k] == 0.5
    assert ranking.quality[k] == 0.25
    assert not ranking.same_source[k]
    assert np.isnan(ranking.p_value[k])
    assert ranking.find(0, 4) is None


def test_ids_are_sorted_by_each_of_the_measures(run: Run) -> None:
    fill(run)
    ranker = Ranker(run)
    ranker.read()
    ranking = ranker.ranking(Survey(Null(0.0, 0.1, np.array([0.5, 0, 0, 0, 0]), 6)))
    by = {
        sort: np.array(pairs(ranking))[ranking.sorted_by(sort)].tolist()
        for sort in ("quality", "both", "p-value")
    }
    # Only 0-1 has two good classes; the others follow by score.
    assert by["quality"] == [[0, 1], [0, 2], [1, 2], [2, 3], [0, 3], [1, 3]]
    # 0.4 × 1, then 0.45 × 0.25, …
    assert by["both"] == [[0, 1], [0, 2], [1, 2], [2, 3], [0, 3], [1, 3]]
    # Class 0 is much like everything: its 0.9 is arctanh 1.47 − 0.5 and tells less than 0.8, 1.10.
    assert by["p-value"][:3] == [[2, 3], [0, 2], [1, 2]]
    assert ((ranking.q_value >= 0) & (ranking.q_value <= 1)).all()


def test_only_the_best_are_held_however_they_arrive(run: Run) -> None:
    fill(run)
    assert pairs(rank_pairs(run, limit=3)) == list(SCORE)[:3]


def test_a_run_that_goes_on_gives_what_it_has_and_then_the_rest(run: Run) -> None:
    tiles = list(run.store.tiles())
    fill(run, tiles[:1])
    ranker = Ranker(run)
    ranker.read()
    assert pairs(ranker.ranking()) == [(0, 1)]
    fill(run, tiles[1:])
    ranker.read()
    assert pairs(ranker.ranking()) == list(SCORE)
    assert ranker.scored == 6


def test_reading_stops_when_it_is_told_to(run: Run) -> None:
    fill(run)
    ranker = Ranker(run)
    ranker.read(stopped=lambda: True)
    assert len(ranker.ranking()) == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PairFilter(), set(SCORE)),
        (PairFilter(score=0.3), {(0, 2), (0, 1), (1, 2)}),
        (PairFilter(quality=0.5), {(0, 1)}),
        (PairFilter(sources="same"), {(0, 1), (2, 3)}),
        (PairFilter(sources="other", score=0.25), {(0, 2), (1, 2)}),
        (PairFilter(grouping="inside"), {(0, 2)}),  # label 0 is no group: 3 is with nobody
        (PairFilter(grouping="across"), set(SCORE) - {(0, 2)}),
        (PairFilter(group=1), {(0, 2)}),
        (PairFilter(group=2), set()),
        (PairFilter(text="3"), {(0, 3), (1, 3), (2, 3)}),
        (PairFilter(text="3-0"), {(0, 3)}),
        (PairFilter(text="3 0"), {(0, 3)}),
        (PairFilter(text="J1"), set(SCORE) - {(2, 3)}),
        (PairFilter(text="j1 j2"), set(SCORE) - {(2, 3), (0, 1)}),
        (PairFilter(text="jobs"), set()),  # the name of the file, not of its folder
        (PairFilter(text="elsewhere"), set()),
    ],
)
def test_pairs_are_filtered(
    ranking: Ranking, wanted: PairFilter, expected: set[tuple[int, int]]
) -> None:
    assert shown(ranking, wanted) == expected


def test_without_groups_all_pairs_are_across(ranking: Ranking) -> None:
    assert PairFilter(grouping="across").passes(ranking).all()
    assert not PairFilter(grouping="inside").passes(ranking).any()
    assert not PairFilter(group=1).passes(ranking).any()
