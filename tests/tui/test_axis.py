from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryocorr_tui.core.grouping import group_classes
from cryocorr_tui.core.model import ClassAverage
from cryocorr_tui.tui.axis import BORDER, Axis, by_group, by_quality, by_source


def classes(*sources: str) -> list[ClassAverage]:
    image = np.zeros((4, 4), dtype=np.float32)
    return [ClassAverage(k, source, k, image) for k, source in enumerate(sources)]


def axis(n: int, *borders: int) -> Axis:
    return Axis(np.arange(n, dtype=np.int32), np.array(borders, dtype=np.int32))


def test_a_border_stands_where_another_source_begins() -> None:
    found = by_source(classes("a", "a", "b", "a"), slice(0, 4))
    assert found.ids.tolist() == [0, 1, 2, 3]
    assert found.borders.tolist() == [2, 3]


def test_an_axis_may_hold_one_of_two_sets() -> None:
    found = by_source(classes("a", "b", "b", "c"), slice(1, 4))
    assert found.ids.tolist() == [1, 2, 3]
    assert found.borders.tolist() == [2]


def test_by_quality_the_best_comes_first_and_the_unknown_last() -> None:
    quality = np.array([0.2, np.nan, 0.9, 0.5], dtype=np.float32)
    assert by_quality(quality, slice(0, 4)).ids.tolist() == [2, 3, 0, 1]


def test_by_group_members_stand_together_and_are_joined_lower_than_strangers() -> None:
    blend = np.full((5, 5), 0.2, dtype=np.float32)
    blend[np.ix_([0, 3], [0, 3])] = 0.9
    blend[np.ix_([1, 4], [1, 4])] = 0.8
    found = by_group(group_classes(blend))
    assert found.heights is not None
    places = {int(k): place for place, k in enumerate(found.ids)}
    assert abs(places[0] - places[3]) == abs(places[1] - places[4]) == 1
    assert found.heights[min(places[0], places[3])] == pytest.approx(0.1)
    assert found.heights[min(places[1], places[4])] == pytest.approx(0.2)
    assert np.sort(found.heights)[-1] == pytest.approx(0.8)


def test_a_class_that_was_not_scored_is_joined_to_nothing() -> None:
    blend = np.full((3, 3), 0.5, dtype=np.float32)
    blend[2] = blend[:, 2] = np.nan
    found = by_group(group_classes(blend))
    assert found.ids.tolist()[-1] == 2
    assert found.heights is not None
    assert np.isnan(found.heights[-1])


@given(n=st.integers(1, 300), pooled=st.sampled_from([1, 2, 4, 16]), data=st.data())
def test_every_class_has_one_slot_and_none_reaches_over_a_border(
    n: int, pooled: int, data: st.DataObject
) -> None:
    borders = sorted(data.draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=5)) - {n})
    found = axis(n, *borders).slots(pooled)
    inside = [
        (start, stop)
        for start, stop in zip(found.starts.tolist(), found.stops.tolist(), strict=True)
        if start != BORDER
    ]
    assert [place for span in inside for place in range(*span)] == list(range(n))
    assert all(stop - start <= pooled for start, stop in inside)
    assert not any(start < border < stop for border in borders for start, stop in inside)
    for place in (0, n // 2, n - 1):
        slot = found.of(place)
        assert found.starts[slot] <= place < found.stops[slot]


def test_borders_that_would_take_more_room_than_classes_are_not_drawn() -> None:
    assert BORDER in axis(32, 16).slots(1).starts
    assert BORDER not in axis(4, 1, 2, 3).slots(1).starts
