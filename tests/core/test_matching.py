from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryocorr_tui.core import matching
from cryocorr_tui.core.matching import find_matches
from cryocorr_tui.core.model import PAIR_FIELDS
from cryocorr_tui.core.store import RunStore

NAN = float("nan")


def store_of(folder: Path, blend: list[list[float]], tile: int = 2) -> RunStore:
    """A finished store of two sets; the rotation of a pair is 10 i + j."""
    values = np.array(blend, dtype=np.float32)
    rows, cols = values.shape
    block = np.zeros((len(PAIR_FIELDS), rows, cols), dtype=np.float32)
    i, j = np.ogrid[:rows, rows : rows + cols]
    block[0] = values
    block[PAIR_FIELDS.index("rotation_deg")] = 10 * i + j
    block[:, np.isnan(values)] = np.nan
    store = RunStore.create(
        folder, n=rows + cols, tile=tile, split=rows, fingerprint="abc", manifest={}
    )
    for each in store.tiles():
        store.write(each, block[:, each.rows, each.cols.start - rows : each.cols.stop - rows])
    return store


@pytest.mark.parametrize("at_once", [1, 1000])
def test_each_class_finds_its_best_and_mutual_ones_are_known(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", at_once)
    blend = [[0.1, 0.9, 0.3, 0.2], [0.2, 0.8, 0.1, NAN], [0.6, 0.5, 0.1, NAN]]
    with store_of(tmp_path, blend) as store:
        found = find_matches(store, quality=np.ones(7, dtype=np.float32), quality_weight=1.0)
    assert found.partner.tolist() == [4, 4, 3, 2, 0, 0, 0]
    assert found.mutual.tolist() == [True, False, True, True, True, False, False]
    np.testing.assert_allclose(found.score, [0.9, 0.8, 0.6, 0.6, 0.9, 0.3, 0.2])
    i, j = found.pair_ids()
    np.testing.assert_array_equal(found.pairs[PAIR_FIELDS.index("rotation_deg")], 10 * i + j)


def test_quality_weighs_the_score_and_chooses_no_partner(tmp_path: Path) -> None:
    quality = np.array([1.0, 0.25, 1.0], dtype=np.float32)
    with store_of(tmp_path, [[0.8, 0.6]]) as store:
        weighted = find_matches(store, quality=quality, quality_weight=1.0)
        plain = find_matches(store, quality=quality, quality_weight=0.0)
    assert weighted.partner.tolist() == plain.partner.tolist() == [1, 0, 0]
    np.testing.assert_allclose(plain.score, [0.8, 0.8, 0.6])
    np.testing.assert_allclose(weighted.score, [0.4, 0.4, 0.6])


def test_a_class_that_was_not_scored_has_no_partner_and_is_none(tmp_path: Path) -> None:
    with store_of(tmp_path, [[NAN, NAN], [0.5, NAN]]) as store:
        found = find_matches(store, quality=np.ones(4, dtype=np.float32), quality_weight=1.0)
    assert found.partner.tolist() == [-1, 2, 1, -1]
    assert found.mutual.tolist() == [False, True, True, False]
    assert np.isnan(found.score).tolist() == [True, False, False, True]


def test_one_set_alone_has_no_matches(tmp_path: Path) -> None:
    with (
        RunStore.create(tmp_path, n=2, tile=2, fingerprint="abc", manifest={}) as store,
        pytest.raises(ValueError, match="store of two sets"),
    ):
        find_matches(store, quality=np.ones(2, dtype=np.float32), quality_weight=1.0)
