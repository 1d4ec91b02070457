from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryocorr_tui.core import grouping
from cryocorr_tui.core.grouping import (
    cuts,
    group_classes,
    groups_at,
    mean_inside,
    moved_cut,
    redundancy,
)
from cryocorr_tui.core.significance import Null


def blends(
    views: list[int], *, same: float = 0.62, other: float = 0.33, noise: float = 0.05, seed: int = 0
) -> NDArray[np.float32]:
    """Make the blends of classes that show the given views, with symmetric noise."""
    view = np.array(views)
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(0, noise, (view.size, view.size)), k=1)
    values = np.where(view[:, np.newaxis] == view, same, other) + upper + upper.T
    np.fill_diagonal(values, np.nan)
    return values.astype(np.float32)


def partition(labels: NDArray[np.int32]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


@pytest.mark.parametrize(
    "views",
    [
        [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5,
        [0] * 8 + [1] * 4 + [2] * 2 + list(range(3, 40)),  # mostly groups of one
        [0] * 10 + [1] * 10,  # nearly half of all pairs are matches
        [k // 3 for k in range(60)],
        [k % 20 for k in range(60)],
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_noisy_blocks_are_found(views: list[int], seed: int) -> None:
    groups = group_classes(blends(views, noise=0.035, seed=seed))
    assert partition(groups.labels) == partition(np.array(views, dtype=np.int32))


def test_junk_that_is_like_nothing_stays_alone() -> None:
    views = [0] * 6 + [1] * 6 + [2] * 6
    values = blends([*views, 3, 4, 5, 6, 7, 8])
    values[18:, :] -= 0.25
    values[:, 18:] -= 0.25
    assert partition(group_classes(values).labels) == partition(
        np.array([*views, 3, 4, 5, 6, 7, 8], dtype=np.int32)
    )


def test_duplicates_are_not_taken_for_the_only_groups() -> None:
    views = [k // 4 for k in range(48)]
    values = blends(views)
    for k in range(0, 48, 4):
        values[k, k + 1] = values[k + 1, k] = 0.999
    assert partition(group_classes(values).labels) == partition(np.array(views, dtype=np.int32))


@pytest.mark.parametrize("seed", range(4))
def test_without_any_structure_hardly_two_classes_are_joined(seed: int) -> None:
    groups = group_classes(blends(list(range(150)), noise=0.07, seed=seed))
    assert np.bincount(groups.labels).max() <= 2
    assert groups.representatives.size >= 147


@pytest.mark.parametrize(("blend", "expected"), [(0.9, [1, 1]), (0.2, [1, 2])])
def test_two_classes_are_one_group_or_two(blend: float, expected: list[int]) -> None:
    groups = group_classes(blends([0, 0], same=blend, noise=0))
    assert groups.labels.tolist() == expected
    assert "too few" in groups.criterion


def test_a_null_that_is_given_decides_the_range_of_the_cut() -> None:
    values = blends([0, 0, 1, 1], same=0.3, other=0.05, noise=0.01)
    assert group_classes(values).representatives.size == 4
    strict = Null(location=-0.1, scale=0.08, levels=np.zeros(4), pairs=1000)
    assert group_classes(values, null=strict).labels.tolist() == [1, 1, 2, 2]


def test_groups_are_numbered_by_falling_size_then_by_first_member() -> None:
    groups = group_classes(blends([9, 5, 5, 7, 7, 7, 4, 4, *range(20, 40)]))
    assert groups.labels[:8].tolist() == [4, 2, 2, 1, 1, 1, 3, 3]
    assert groups.labels[8:].tolist() == list(range(5, 25))


def test_the_order_keeps_groups_together_and_unscored_classes_last() -> None:
    values = blends([k % 5 for k in range(30)])
    values[[3, 17], :] = np.nan
    values[:, [3, 17]] = np.nan
    groups = group_classes(values)
    assert sorted(groups.order.tolist()) == list(range(30))
    assert groups.order[-2:].tolist() == [3, 17]
    assert groups.labels[[3, 17]].tolist() == [0, 0]
    assert groups.linkage.shape == (27, 4)
    ordered = groups.labels[groups.order[:-2]]
    assert np.count_nonzero(np.diff(ordered)) == 4


def test_the_heights_are_1_minus_the_mean_blend() -> None:
    values = blends([0, 0, 1], same=0.8, other=0.2, noise=0)
    np.testing.assert_allclose(group_classes(values).linkage[:, 2], [0.2, 0.8], rtol=1e-6)


def test_neighbours_stand_next_to_each_other() -> None:
    place = np.array([3, 0, 5, 1, 4, 2])
    values = (0.95 - 0.1 * np.abs(place[:, np.newaxis] - place)).astype(np.float32)
    order = place[group_classes(values).order].tolist()
    assert order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])


def test_above_a_size_the_order_is_not_optimised_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "LARGEST_ORDERED", 10)
    groups = group_classes(blends([k % 4 for k in range(12)]))
    assert "not in optimal order" in groups.criterion
    assert sorted(groups.order.tolist()) == list(range(12))


def test_a_few_missing_pairs_do_not_change_the_groups() -> None:
    views = [k // 5 for k in range(40)]
    values = blends(views)
    for i, j in ((0, 1), (0, 30), (12, 14), (22, 39)):
        values[i, j] = values[j, i] = np.nan
    assert partition(group_classes(values).labels) == partition(np.array(views, dtype=np.int32))


def test_the_representative_is_the_best_and_most_typical_member() -> None:
    values = blends([0, 0, 0, 1], noise=0)
    values[0, 1] = values[1, 0] = 0.9
    values[0, 2] = values[2, 0] = 0.9
    assert group_classes(values).representatives.tolist() == [0, 3]
    quality = np.array([0.2, 0.9, 0.5, 0.1], dtype=np.float32)
    assert group_classes(values, quality=quality).representatives.tolist() == [1, 3]
    quality[1] = np.nan
    assert group_classes(values, quality=quality).representatives.tolist() == [2, 3]


@pytest.mark.parametrize("n", [0, 1, 4])
def test_classes_without_any_pair_are_in_no_group(n: int) -> None:
    groups = group_classes(np.full((n, n), np.nan, dtype=np.float32))
    assert groups.labels.tolist() == [0] * n
    assert groups.order.tolist() == list(range(n))
    assert groups.representatives.size == 0
    assert np.isnan(groups.threshold)


def test_the_diagonal_and_the_argument_are_left_alone() -> None:
    values = blends([k // 5 for k in range(30)])
    ones = values.copy()
    np.fill_diagonal(ones, 1)
    before = ones.copy()
    np.testing.assert_array_equal(group_classes(ones).labels, group_classes(values).labels)
    np.testing.assert_array_equal(ones, before)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 25), missing=st.floats(0, 0.9), seed=st.integers(0, 1000))
def test_any_matrix_gives_a_sound_grouping(n: int, missing: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.uniform(-1, 1, (n, n)), k=1)
    values = (upper + upper.T).astype(np.float32)
    holes = np.triu(rng.random((n, n)) < missing, k=1)
    values[holes | holes.T] = np.nan
    groups = group_classes(values)
    scored = np.flatnonzero(groups.labels)
    assert sorted(groups.order.tolist()) == list(range(n))
    assert groups.linkage.shape == (max(scored.size - 1, 0), 4)
    sizes = np.bincount(groups.labels)[1:]
    assert (np.diff(sizes) <= 0).all()
    assert groups.representatives.size == sizes.size
    assert groups.labels[groups.representatives].tolist() == list(range(1, sizes.size + 1))
    assert not groups.labels.flags.writeable


def test_a_matrix_that_is_not_square_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\), received \(2, 3\)"):
        group_classes(np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"quality of shape \(2,\), received \(3,\)"):
        group_classes(np.zeros((2, 2), dtype=np.float32), quality=np.ones(3, dtype=np.float32))


def chain() -> NDArray[np.float32]:
    """Blends of 0 and 1, 0.9; of 2 and 3, 0.8; of the two couples, 0.5; 4 was not scored."""
    values = np.full((5, 5), np.nan, dtype=np.float32)
    values[:4, :4] = 0.5
    values[0, 1] = values[1, 0] = 0.9
    values[2, 3] = values[3, 2] = 0.8
    np.fill_diagonal(values, np.nan)
    return values


def test_every_cut_gives_groups_of_its_own_from_all_alone_to_all_together() -> None:
    blend = chain()
    found = group_classes(blend)
    labels = [groups_at(found, cut, blend=blend).labels.tolist() for cut in cuts(found)]
    assert labels == [[1, 2, 3, 4, 0], [1, 1, 2, 3, 0], [1, 1, 2, 2, 0], [1, 1, 1, 1, 0]]


def test_classes_that_are_the_same_picture_can_be_parted_as_well() -> None:
    blend = chain()
    blend[0, 1] = blend[1, 0] = 1.0
    found = group_classes(blend)
    assert groups_at(found, cuts(found)[0], blend=blend).labels.tolist() == [1, 2, 3, 4, 0]


def test_a_cut_at_the_automatic_height_gives_the_automatic_groups() -> None:
    blend = blends([k // 3 for k in range(30)], noise=0.035)
    quality = np.linspace(0, 1, 30, dtype=np.float32)
    found = group_classes(blend, quality=quality)
    again = groups_at(found, found.threshold, blend=blend, quality=quality)
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.representatives, found.representatives)
    assert "by hand" in again.criterion


def test_without_any_merge_there_is_nothing_to_cut() -> None:
    assert cuts(group_classes(np.full((2, 2), np.nan, dtype=np.float32))).size == 0


def test_one_of_each_group_is_kept_and_the_rest_is_redundant() -> None:
    blend = chain()
    found = groups_at(group_classes(blend), 0.15, blend=blend)  # {0, 1} and 2, 3 alone
    some = redundancy(found, np.array([100.0, 30.0, 7.0, 5.0, 1.0]))
    assert (some.classes, some.of, some.part) == (1, 4, 0.25)
    assert some.particles == 30.0
    assert np.isnan(redundancy(found, np.full(5, np.nan)).particles)


def test_the_cut_moves_merge_by_merge_and_no_further_than_there_are_any() -> None:
    blend = chain()
    found = groups_at(group_classes(blend), 0.12, blend=blend)  # {0, 1}, 2, 3

    def sizes(steps: int) -> int:
        moved = groups_at(found, moved_cut(found, steps), blend=blend)
        return len(moved.representatives)

    assert [sizes(steps) for steps in (-9, -1, 0, 1, 2, 9)] == [4, 4, 3, 2, 1, 1]


def test_the_mean_inside_a_group_is_over_its_scored_pairs() -> None:
    blend = chain()
    assert mean_inside(blend, np.array([0, 1, 2])) == pytest.approx((0.9 + 0.5 + 0.5) / 3)
    assert mean_inside(blend, np.array([0, 1, 4])) == pytest.approx(0.9)
    assert np.isnan(mean_inside(blend, np.array([3])))
