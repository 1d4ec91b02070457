"""The line that says how far the run is, and how busy the machine."""

from __future__ import annotations

import pytest

from cryocorr_tui.core.events import StageProgressed, StageStarted, TileScored
from cryocorr_tui.core.load import CardLoad, Load, LoadSampler
from cryocorr_tui.tui.pair_numbers import angle, signed
from cryocorr_tui.tui.progress import Progress
from cryocorr_tui.tui.widgets.status_line import load_in_words, progress_bar

GIB = 2**30


def test_progress_follows_the_events() -> None:
    progress = Progress("run").after(StageStarted("comparing pairs", 100, 20, 0.1))
    assert (progress.stage, progress.done, progress.total) == ("comparing pairs", 20, 100)
    assert progress.share == progress.pace.before == 0.1
    progress = progress.after(TileScored(slice(0, 1), slice(0, 1), 60, 100, 0.55))
    assert (progress.done, progress.share, progress.pace.before) == (60, 0.55, 0.1)
    assert progress.in_words().startswith("comparing pairs 55%")
    assert "left" in progress.in_words()


def test_a_stage_without_a_share_of_work_counts_its_steps() -> None:
    progress = (
        Progress("run").after(StageStarted("reading", 4)).after(StageProgressed("reading", 1))
    )
    assert progress.share == 0.25
    assert Progress("run").after(StageStarted("grouping", 0)).in_words() == "grouping"


@pytest.mark.parametrize(
    ("share", "bar"), [(0, "····"), (0.5, "██··"), (0.53, "██▏·"), (1, "████"), (2, "████")]
)
def test_the_bar_is_as_full_as_the_share(share: float, bar: str) -> None:
    assert progress_bar(share, 4) == bar


def test_the_meter_without_a_card_says_so() -> None:
    load = Load(cpu=0.5, own_cpu=1.25, used=3 * GIB, total=24 * GIB, own=GIB // 2)
    assert load_in_words(load) == ("CPU 50% (own 1.2 cores) · RAM 3.0/24.0 GiB (own 0.5) · no GPU")
    assert load_in_words(load, short=True) == "CPU 50% · RAM 3.0G · no GPU"


def test_every_card_is_on_the_meter_and_mig_is_a_normal_state() -> None:
    cards = (
        CardLoad("H100", 0.97, 40 * GIB, 80 * GIB, 39 * GIB),
        CardLoad("A100 MIG", None, GIB, 10 * GIB, None),
    )
    told = load_in_words(Load(0, 0, 0, GIB, 0, cards))
    assert "GPU0 97% 40.0/80.0 GiB (own 39.0)" in told
    assert told.endswith("GPU1 n/a 1.0/10.0 GiB")


def test_a_sample_is_of_this_machine_and_process() -> None:
    load = LoadSampler().sample()
    assert 0 <= load.cpu <= 1
    assert 0 < load.own < load.used <= load.total


def test_angles_and_shifts_are_rounded_into_their_range() -> None:
    assert [angle(value) for value in (359.97, 0.0, 12.34)] == ["0.0°", "0.0°", "12.3°"]
    assert [signed(value) for value in (-0.04, 0.0, -1.26)] == ["+0.0", "+0.0", "-1.3"]
