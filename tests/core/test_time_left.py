"""What is told of the time that is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryocorr_tui.core.time_left import Pace, share_of


def test_nothing_is_known_before_the_first_step() -> None:
    assert Pace(5.0).seconds_left(9.0, 0.0) is None
    assert Pace(5.0).left(9.0, 0.0) == "4 s"


def test_the_first_step_counts_until_there_is_a_second_one() -> None:
    pace = Pace(0.0).after(30.0, 0.1)
    assert pace.seconds_left(30.0, 0.1) == pytest.approx(270)
    pace = pace.after(40.0, 0.2)  # the start took 20 s
    assert pace.seconds_left(40.0, 0.2) == pytest.approx(80)
    assert pace.left(40.0, 0.2) == "1 min 20 s left"


def test_what_an_earlier_run_did_took_no_time() -> None:
    pace = Pace(0.0, before=0.5).after(10.0, 0.5).after(12.0, 0.6)
    assert pace.seconds_left(12.0, 0.6) == pytest.approx(48)


def test_once_all_is_done_it_is_how_long_it_took() -> None:
    assert Pace(10.0).after(60.0, 0.5).left(111.0, 1.0) == "1 min 41 s"


@given(
    start=st.floats(0, 100),
    speed=st.floats(1e-3, 1),
    shares=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=20, unique=True),
)
def test_at_an_even_speed_it_is_right_whatever_the_start_took(
    start: float, speed: float, shares: list[float]
) -> None:
    pace = Pace(0.0)
    for share in sorted(shares):
        now = start + share / speed
        pace = pace.after(now, share)
    seconds = pace.seconds_left(now, share)
    assert seconds == pytest.approx((1 - share) / speed, rel=1e-3, abs=1e-3)


def test_a_share_of_the_work_is_that_of_the_steps_where_none_is_told() -> None:
    assert share_of(None, 1, 4) == 0.25
    assert share_of(0.4, 1, 4) == 0.4
    assert share_of(None, 0, 0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")]
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert Pace(0.0).left(seconds, 1.0) == words
