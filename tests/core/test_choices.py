from __future__ import annotations

import numpy as np

from cryocorr_tui.core.choices import Choices
from cryocorr_tui.core.model import Groups


def groups(threshold: float) -> Groups:
    nothing = np.empty(0, dtype=np.int32)
    return Groups(nothing, nothing, np.empty((0, 4)), threshold, nothing, "")


def test_what_is_dropped_can_be_kept_again() -> None:
    choices = Choices(5, None)
    choices.drop([1, 3])
    choices.keep([3])
    assert choices.dropped == {1}


def test_of_redundant_classes_one_is_kept_even_if_it_was_dropped() -> None:
    choices = Choices(5, None)
    choices.drop([0, 4])
    choices.keep_only([0], [0, 1, 2])
    assert choices.dropped == {1, 2, 4}


def test_each_decision_is_taken_back_by_itself() -> None:
    choices = Choices(5, None)
    choices.drop([1])
    choices.assign([1, 2], 7)
    choices.assign([1], None)
    assert choices.assigned == {2: 7}
    assert choices.undo()
    assert choices.assigned == {1: 7, 2: 7}
    assert choices.undo()
    assert not choices.assigned
    assert choices.undo()
    assert not choices.dropped
    assert not choices.undo()


def test_what_changes_nothing_need_not_be_taken_back() -> None:
    choices = Choices(5, None)
    choices.keep([1])
    choices.assign([1], None)
    assert not choices.can_undo


def test_a_cut_moved_step_by_step_is_taken_back_at_once() -> None:
    first = groups(0.3)
    choices = Choices(5, first)
    choices.drop([1])
    for threshold in (0.4, 0.5, 0.6):
        choices.regroup(groups(threshold))
    assert choices.groups is not first
    assert choices.automatic is first
    choices.undo()
    assert choices.groups is first
    assert choices.dropped == {1}


def test_a_cut_moved_back_to_where_it_was_is_no_decision() -> None:
    first = groups(0.3)
    choices = Choices(5, first)
    choices.regroup(groups(0.4))
    choices.regroup(first)
    assert not choices.can_undo


def test_a_table_tells_what_was_decided() -> None:
    choices = Choices(3, None)
    choices.drop([1])
    choices.assign([2], 4)
    assert choices.columns() == {"kept": ["true", "false", "true"], "assigned": ["", "", 4]}
