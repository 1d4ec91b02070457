"""A run folder, opened again without naming what it was made of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import particles, write_montage, write_picture, write_stack

from cryocorr_tui.core.analysis import (
    AnalysisFinished,
    Event,
    MatchFinished,
    RunOpened,
    analyze,
    match,
)
from cryocorr_tui.core.errors import CryocorrError, InputError, OutputError
from cryocorr_tui.core.events import TileScored
from cryocorr_tui.core.inputs import (
    Inputs,
    correct_squares,
    read_sources,
    replace_squares,
    to_class_averages,
)
from cryocorr_tui.core.intake import InputsTaken, take_in
from cryocorr_tui.core.model import MetricWeights, PairAlignment, Settings, Square
from cryocorr_tui.core.reopening import reopen
from cryocorr_tui.core.run import Run

SETTINGS = Settings(weights=MetricWeights(1.0, 0.5, 0.0), box=24, memory=0.03)


def last(events: Iterable[Event]) -> AnalysisFinished:
    *_, event = events
    assert isinstance(event, AnalysisFinished)
    return event


def taken_from(files: list[Path]) -> Inputs:
    found = [e.inputs for e in take_in(files, Settings()) if isinstance(e, InputsTaken)]
    return found[0]


def read_only(files: list[Path]) -> Inputs:
    inputs = Inputs()
    list(read_sources(files, Settings(), inputs))
    return inputs


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "stack.mrcs", particles(12), 2.5)


def test_a_finished_run_opens_with_its_files_and_settings_and_scores_nothing(
    stack: Path, tmp_path: Path
) -> None:
    before = last(analyze([stack], tmp_path / "run", SETTINGS)).run
    events = list(reopen(tmp_path / "run"))
    after = last(events).run
    assert before is not None
    assert after is not None
    assert not any(isinstance(event, TileScored) for event in events)
    assert after.settings == SETTINGS
    assert [item.source for item in after.classes] == [str(stack)] * 12
    assert after.pair(2, 5) == before.pair(2, 5)
    assert after.groups is not None


def test_a_run_that_was_cut_off_goes_on_where_it_was(stack: Path, tmp_path: Path) -> None:
    events = analyze([stack], tmp_path / "run", SETTINGS, write=False)
    with contextlib.closing(events):  # type: ignore[type-var]
        next(event for event in events if isinstance(event, TileScored))
    opened = [event for event in reopen(tmp_path / "run") if isinstance(event, RunOpened)]
    assert opened[0].run.store.pairs_done() == 66  # all of them by now
    assert not list((tmp_path / "run").glob("*.csv"))


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        list(reopen(tmp_path))


def test_inputs_that_have_gone_or_changed_are_told(stack: Path, tmp_path: Path) -> None:
    list(analyze([stack], tmp_path / "run", SETTINGS))
    stack.rename(tmp_path / "elsewhere.mrcs")
    with pytest.raises(InputError, match="no such file"):
        list(reopen(tmp_path / "run"))
    write_stack(stack, particles(12, seed=9), 2.5)
    with pytest.raises(CryocorrError, match="other inputs"):
        list(reopen(tmp_path / "run"))


def test_inputs_are_found_from_another_folder(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    list(analyze([Path("stack.mrcs")], Path("run"), SETTINGS))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    run = last(reopen(Path("../run"))).run
    assert run is not None
    assert run.classes[0].source == str(stack)


def test_two_sets_open_as_two_sets(tmp_path: Path) -> None:
    images = particles(7)
    first = write_stack(tmp_path / "a.mrcs", images[:4], 2.5)
    second = write_stack(tmp_path / "b.mrcs", images[4:], 2.5)
    list(match([first], [second], tmp_path / "run", SETTINGS))
    *_, event = reopen(tmp_path / "run")
    assert isinstance(event, MatchFinished)
    assert event.classes == (4, 3)


def test_squares_corrected_by_hand_are_compared_and_come_back(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "grid.png", particles(12, 48))
    taken = taken_from([montage])
    squares = taken.detections[0].squares
    nudged = replace(squares[0], x=squares[0].x + 1)
    correct_squares(taken, 0, [nudged, *squares[1:9]])
    assert len(to_class_averages(taken)) == 9
    done = last(analyze([montage], tmp_path / "run", Settings(), taken=taken, write=False))
    again = last(reopen(tmp_path / "run"))
    assert done.classes == again.classes == 9
    assert again.run is not None
    assert again.run.classes[0].x == nudged.x
    with pytest.raises(OutputError, match="other inputs or with other settings"):
        list(analyze([montage], tmp_path / "run", Settings(), resume=True))


def test_a_run_that_is_read_with_another_quality_weight_opens_with_it(
    stack: Path, tmp_path: Path
) -> None:
    list(analyze([stack], tmp_path / "run", SETTINGS, write=False))
    other = replace(SETTINGS, quality_weight=0.0)
    events = list(analyze([stack], tmp_path / "run", other, write=False, resume=True))
    assert not any(isinstance(event, TileScored) for event in events)
    run = last(reopen(tmp_path / "run")).run
    assert run is not None
    assert run.settings == other
    assert run.pair(2, 5).weight == 1


def test_squares_placed_by_hand_where_there_is_no_grid_come_back(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "grid.png", particles(12, 48))
    field = np.zeros((220, 260), np.float32)
    one, other = particles(2, 48, seed=5)
    field[40:88, 30:78], field[91:139, 120:168] = one, other
    scattered = write_picture(tmp_path / "scattered.png", field)
    taken = read_only([montage, scattered])
    replace_squares(taken, 0, taken_from([montage]).detections[0].squares)
    replace_squares(taken, 1, [Square(x, y, 48, 48, 0.0) for x, y in ((30, 40), (120, 91))])
    for files, squares in (([montage, scattered], 14), ([scattered], 2)):
        run = tmp_path / f"run{squares}"
        chosen = taken.copy()
        chosen.sources[:] = [s for s in taken.sources if Path(s.source) in files]
        chosen.detections = dict(enumerate(list(taken.detections.values())[-len(files) :]))
        done = last(analyze(files, run, Settings(), taken=chosen, write=False))
        again = last(reopen(run))
        assert done.classes == again.classes == squares
        assert again.run is not None
        assert [(item.x, item.y) for item in again.run.classes[-2:]] == [(30, 40), (120, 91)]


def test_only_pictures_have_squares_to_correct(stack: Path) -> None:
    with pytest.raises(ValueError, match="stack"):
        correct_squares(taken_from([stack]), 0, [])


def test_a_pair_is_read_in_either_direction(stack: Path, tmp_path: Path) -> None:
    run = last(analyze([stack], tmp_path / "run", SETTINGS)).run
    assert run is not None
    there, back = run.pair(3, 8), run.pair(8, 3)
    assert (there.i, there.j, back.i, back.j) == (3, 8, 8, 3)
    assert there.score == back.score == pytest.approx(max(there.blend, 0) * there.weight)
    assert there.pose is not None
    assert back.pose is not None
    corner = np.array([5.0, 7.0])
    moved = there.pose.linear() @ corner + (there.pose.shift_x, there.pose.shift_y)
    returned = back.pose.linear() @ moved + (back.pose.shift_x, back.pose.shift_y)
    assert returned == pytest.approx(corner, abs=1e-4)
    assert there.frc_resolution_angstrom == pytest.approx(
        2.5 * there.frc_resolution_px, nan_ok=True
    )


def test_a_pair_of_two_pixel_sizes_is_given_in_pixels_of_the_first_class(tmp_path: Path) -> None:
    coarse, fine = particles(4, 32), particles(4, 64)
    files = [
        write_stack(tmp_path / "a.mrcs", coarse, 4.0),
        write_stack(tmp_path / "b.mrcs", fine, 2.0),
    ]
    run = last(analyze(files, tmp_path / "run", Settings())).run
    assert run is not None
    there, back = run.pair(1, 6), run.pair(6, 1)
    assert back.frc_resolution_px == pytest.approx(2 * there.frc_resolution_px, nan_ok=True)
    assert back.pixel_size == pytest.approx(2.0)
    assert shift(back) == pytest.approx(2 * shift(there), rel=1e-5)


def shift(pair: PairAlignment) -> float:
    assert pair.pose is not None
    return float(np.hypot(pair.pose.shift_y, pair.pose.shift_x))


def test_a_pair_that_was_not_scored_has_a_reason_and_no_pose(tmp_path: Path) -> None:
    images = particles(4)
    images[2] = 1.0
    run = last(analyze([write_stack(tmp_path / "s.mrcs", images)], tmp_path / "run", SETTINGS)).run
    assert isinstance(run, Run)
    pair = run.pair(2, 3)
    assert pair.pose is None
    assert np.isnan(pair.score)
    assert pair.reason == "class 2 is constant"
