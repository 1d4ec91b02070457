from __future__ import annotations

import pytest

from cryocorr_tui.tui.names import shortened

JOBS = [
    "relion_run_of_the_80S_ribosome_job025_it_025_classes.mrcs",
    "relion_run_of_the_80S_ribosome_job030_it_025_classes.mrcs",
]


def test_a_name_that_fits_is_left_alone() -> None:
    assert shortened("stack.mrcs", 10, ["stock.mrcs"]) == "stack.mrcs"


def test_a_long_name_is_cut_in_its_middle() -> None:
    assert shortened("class_averages_of_a_long_job.mrcs", 17) == "class…ng_job.mrcs"


@pytest.mark.parametrize("room", [16, 20, 30, 40])
def test_what_tells_names_apart_stays(room: int) -> None:
    first, second = (shortened(name, room, JOBS) for name in JOBS)
    assert "job025" in first
    assert "job030" in second
    assert len(first) == len(second) == room


def test_a_difference_at_the_begin_or_the_end_stays_too() -> None:
    names = ["first_of_many_class_averages.mrcs", "other_of_many_class_averages.mrcs"]
    assert [shortened(name, 15, names)[:4] for name in names] == ["firs", "othe"]
    names = ["class_averages_of_one_job_1.mrcs", "class_averages_of_one_job_2.mrcs"]
    assert [shortened(name, 15, names)[-6:] for name in names] == ["1.mrcs", "2.mrcs"]


@pytest.mark.parametrize("room", range(-1, 60))
def test_the_room_is_never_exceeded(room: int) -> None:
    for name in JOBS:
        assert len(shortened(name, room, JOBS)) <= max(room, 0)
