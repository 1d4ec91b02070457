"""Squares of montages at an unknown zoom: the same field as a stack, or its pixels."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import particles, rows, write_montage, write_stack
from devices import StrictBackend
from phantoms import as_classes, disc_noise

from cryocorr_tui.core import analysis
from cryocorr_tui.core.analysis import Event, MatchFinished, analyze, match
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.events import Notice, StageStarted, TileScored
from cryocorr_tui.core.model import ClassAverage, Settings, settings_from
from cryocorr_tui.core.preprocessing import crop_or_pad, fourier_resample, prepare
from cryocorr_tui.core.reopening import reopen
from cryocorr_tui.core.run_recipe import read_recipe
from cryocorr_tui.core.simulation import (
    SimulatedSet,
    SimulationSettings,
    relative_pose,
    simulate_class_averages,
)
from cryocorr_tui.core.zoom import (
    CLEAR,
    Zoom,
    in_question,
    pixel_for_pixel,
    standing_out,
    tell_zoom,
)

BOX, PIXEL_SIZE, VIEWS = 64, 6.0, 7
Draw = Callable[[np.ndarray], np.ndarray]
TABLES = ("matches.csv", "classes.csv", "pairs.csv", "matrix.csv")


def job(seed: int) -> SimulatedSet:
    """One class average of each view of three structures, and some junk; noise is by the seed."""
    return simulate_class_averages(
        SimulationSettings(
            views=VIEWS, replicates=1, box=BOX, pixel_size=PIXEL_SIZE, junk=2, seed=seed
        )
    )


def padded(images: np.ndarray, by: float = 1.4) -> np.ndarray:
    return crop_or_pad(images, round(by * images.shape[-1]))


def cropped(images: np.ndarray) -> np.ndarray:
    return crop_or_pad(images, round(0.8 * images.shape[-1]))


def shrunk(images: np.ndarray) -> np.ndarray:
    return fourier_resample(images, round(0.7 * images.shape[-1]))


def magnified(images: np.ndarray) -> np.ndarray:
    return fourier_resample(images, round(1.4 * images.shape[-1]))


def squares(images: np.ndarray) -> list[ClassAverage]:
    return [
        replace(item, x=0.0, y=0.0, width=1.0, height=1.0)
        for item in as_classes(images, source="m.png")
    ]


def told(drawn: Sequence[ClassAverage], others: Sequence[ClassAverage]) -> Zoom:
    return tell_zoom([*drawn, *others], Settings(), Backend("cpu"), memory=1e9)


def last(events: list[Event]) -> MatchFinished:
    assert isinstance(events[-1], MatchFinished)
    return events[-1]


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.warning]


@pytest.fixture(scope="module")
def jobs() -> tuple[SimulatedSet, SimulatedSet]:
    """The same views with other noise and other poses."""
    return job(1), job(2)


@pytest.fixture(scope="module")
def files(
    jobs: tuple[SimulatedSet, SimulatedSet], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A stack, and a montage of the other job, drawn pixel for pixel in larger squares."""
    folder = tmp_path_factory.mktemp("jobs")
    stack = write_stack(folder / "stack.mrcs", jobs[0].images, PIXEL_SIZE)
    return stack, write_montage(folder / "m.png", padded(jobs[1].images), columns=6)


# What stands out


def scores(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.4, 0.05, shape)


def test_partners_stand_out_whichever_side_they_are_sought_from() -> None:
    blend = scores((12, 30))
    blend[np.arange(12), np.arange(12)] = 0.9
    assert standing_out(blend) > 2 * CLEAR
    assert standing_out(blend.T) == pytest.approx(standing_out(blend))


def test_chance_and_a_picture_that_is_like_all_others_do_not_stand_out() -> None:
    blend = scores((12, 30))
    assert standing_out(blend) < CLEAR
    blend[:, 4] += 0.5
    assert standing_out(blend) < CLEAR


def test_pictures_that_cannot_be_compared_change_nothing() -> None:
    blend = scores((12, 30))
    blend[np.arange(12), np.arange(12)] = 0.9
    more = np.insert(np.insert(blend, 3, np.nan, axis=0), 7, np.nan, axis=1)
    assert standing_out(more) == standing_out(blend)


def test_three_of_a_side_tell_nothing() -> None:
    assert standing_out(np.eye(3)) == 0.0
    assert standing_out(np.full((5, 5), np.nan)) == 0.0


# Which geometry


@pytest.mark.parametrize(
    ("draw", "drawn"),
    [(padded, "pixels"), (cropped, "pixels"), (shrunk, "field"), (magnified, "field")],
)
def test_the_pictures_tell_what_squares_show(
    draw: Draw, drawn: str, jobs: tuple[SimulatedSet, SimulatedSet]
) -> None:
    for pixel_size in (PIXEL_SIZE, None):
        zoom = told(
            squares(draw(jobs[1].images)), as_classes(jobs[0].images, pixel_size=pixel_size)
        )
        assert zoom.drawn == drawn
        assert "m.png show the" in zoom.finding
        assert zoom.doubt == ""


def test_a_few_squares_of_many_and_many_of_a_few_are_told(
    jobs: tuple[SimulatedSet, SimulatedSet],
) -> None:
    first, second = jobs[0].images, padded(jobs[1].images)
    assert told(squares(second[::3]), as_classes(first)).drawn == "pixels"
    assert told(squares(second), as_classes(first[::3])).drawn == "pixels"


@pytest.mark.parametrize("draw", [padded, shrunk])
def test_noise_and_other_particles_cannot_be_told(draw: Draw) -> None:
    for drawn, others in (
        (disc_noise(24, 48, seed=1), disc_noise(40, 48, seed=2)),
        (particles(20, 48, seed=1), particles(30, 48, seed=2)),
    ):
        zoom = told(squares(draw(drawn)), as_classes(others))
        assert zoom.drawn == "field"
        assert zoom.finding == ""
        assert "the pictures do not tell" in zoom.doubt


def test_a_few_squares_are_said_to_be_too_few() -> None:
    images = particles(3, 48)
    assert "too few to tell" in told(squares(padded(images)), as_classes(images)).doubt


def test_the_same_pictures_tell_the_same_again(jobs: tuple[SimulatedSet, SimulatedSet]) -> None:
    drawn, others = squares(padded(jobs[1].images)), as_classes(jobs[0].images)
    assert told(drawn, others) == told(drawn, others)


def test_another_device_tells_the_same(jobs: tuple[SimulatedSet, SimulatedSet]) -> None:
    drawn, others = squares(padded(jobs[1].images[:8])), as_classes(jobs[0].images[:8])
    on_device = tell_zoom([*drawn, *others], Settings(), StrictBackend(), memory=1e9)
    assert on_device == told(drawn, others)


def test_it_is_in_question_only_where_nothing_else_tells() -> None:
    images = particles(4, 40)
    drawn, others = squares(padded(images)), as_classes(images)
    auto = Settings()
    assert in_question([*drawn, *others], auto)
    assert not in_question([*drawn, *others], Settings(drawn="field"))
    assert not in_question(drawn, auto)
    assert not in_question(others, auto)
    assert not in_question([*squares(images), *others], auto)
    known = [replace(item, pixel_size=2.0) for item in drawn]
    assert not in_question([*known, *others], auto)


# The frame of squares drawn pixel for pixel


@pytest.mark.parametrize("pixel_size", [None, 3.0])
def test_squares_drawn_pixel_for_pixel_lie_on_the_pixels_of_the_stack(
    pixel_size: float | None,
) -> None:
    images = particles(4, 40)
    classes = [*squares(padded(images)), *as_classes(images, pixel_size=pixel_size)]
    for given in (classes, pixel_for_pixel(classes)):
        working = prepare(given, Settings(drawn="pixels"))
        assert working.images.shape == (8, 40, 40)
        assert working.pixel_size == pixel_size
        np.testing.assert_allclose(working.images[:4], working.images[4:], atol=1e-5)
        np.testing.assert_array_equal(working.scale, np.ones(8))
        assert any("cropped to the smallest" in note for note in working.notes)


def test_the_squares_take_the_one_pixel_size_of_the_others() -> None:
    drawn = squares(particles(4, 56))
    fine, coarse = (as_classes(particles(4, 40), pixel_size=size) for size in (2.0, 3.0))
    assert {item.pixel_size for item in pixel_for_pixel([*drawn, *fine])} == {2.0}
    with pytest.raises(InputError, match=r"m\.png: .* pixels of 2 to 3 Å"):
        prepare(pixel_for_pixel([*drawn, *fine, *coarse]), Settings(drawn="pixels"))


def test_squares_beside_two_boxes_of_one_pixel_size_can_only_show_pixels(
    jobs: tuple[SimulatedSet, SimulatedSet],
) -> None:
    small = as_classes(crop_or_pad(jobs[0].images[:10], 56), pixel_size=PIXEL_SIZE)
    others = [*small, *as_classes(jobs[0].images[10:], pixel_size=PIXEL_SIZE)]
    assert told(squares(padded(jobs[1].images)), others).drawn == "pixels"


# Whole runs


def test_a_montage_drawn_pixel_for_pixel_finds_its_stack_and_the_poses(
    files: tuple[Path, Path], jobs: tuple[SimulatedSet, SimulatedSet], tmp_path: Path
) -> None:
    events = list(match(files[:1], files[1:], tmp_path / "run", Settings()))
    assert "telling the zoom of squares" in [e.stage for e in events if isinstance(e, StageStarted)]
    assert any(
        isinstance(e, Notice) and not e.warning and "pixel for pixel: best partners" in e.text
        for e in events
    )
    assert last(events).doubt == ""
    first, second = (made.truth for made in jobs)
    n = len(first)
    classes = rows(tmp_path / "run" / "classes.csv")
    assert {row["pixel_size_angstrom"] for row in classes} == {str(PIXEL_SIZE)}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["drawn"] == "pixels"
    right, moved = 0, []
    for row in rows(tmp_path / "run" / "matches.csv")[:n]:
        i, j = first[int(row["class_id"])], second[int(row["match_source_index"])]
        if i.junk or (i.structure, i.view) != (j.structure, j.view):
            continue
        right += 1
        truth = relative_pose(i, j)
        assert (row["mirrored"] == "true") == truth.mirrored
        moved.append(float(row["shift_y_px"]) - truth.shift_y)
        moved.append(float(row["shift_x_px"]) - truth.shift_x)
    assert right >= 3 * VIEWS - 1
    assert np.median(np.abs(moved)) < 0.3


def test_a_montage_at_another_zoom_finds_its_stack(
    files: tuple[Path, Path], jobs: tuple[SimulatedSet, SimulatedSet], tmp_path: Path
) -> None:
    montage = write_montage(tmp_path / "zoomed.png", magnified(jobs[1].images), columns=6)
    events = list(match(files[:1], [montage], tmp_path / "run", Settings()))
    assert any(isinstance(e, Notice) and "the same field as the other" in e.text for e in events)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["drawn"] == "field"
    assert min(last(events).found) >= 3 * VIEWS - 2


def test_a_pixel_size_that_is_given_is_that_of_scaled_squares_only_where_that_is_said(
    files: tuple[Path, Path], jobs: tuple[SimulatedSet, SimulatedSet], tmp_path: Path
) -> None:
    montage = write_montage(tmp_path / "zoomed.png", magnified(jobs[1].images), columns=6)
    given = Settings(pixel_size=PIXEL_SIZE)
    wrong = list(match(files[:1], [montage], tmp_path / "wrong", given))
    assert any("give --drawn field too if they are scaled" in text for text in warnings(wrong))
    assert max(last(wrong).found) < VIEWS
    right = list(match(files[:1], [montage], tmp_path / "right", replace(given, drawn="field")))
    assert not any("--drawn" in text for text in warnings(right))
    assert min(last(right).found) >= 3 * VIEWS - 2


def test_what_is_given_is_taken_without_a_look(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by_pictures = last(list(match(files[:1], files[1:], tmp_path / "auto", Settings())))
    monkeypatch.setattr(analysis, "tell_zoom", None)
    given = last(list(match(files[:1], files[1:], tmp_path / "given", Settings(drawn="pixels"))))
    assert given.found == told_by_pictures.found
    for name in TABLES:
        assert (given.folder / name).read_bytes() == (told_by_pictures.folder / name).read_bytes()
    wrong = last(list(match(files[:1], files[1:], tmp_path / "wrong", Settings(drawn="field"))))
    assert max(wrong.found) < VIEWS
    assert wrong.run is not None
    assert wrong.run.drawn == "field"


def test_what_could_not_be_told_is_said_and_stays_with_the_verdict(tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "s.mrcs", particles(9, 40, seed=1), 3.0)
    montage = write_montage(tmp_path / "m.png", particles(8, 56, seed=2))
    events = list(match([stack], [montage], tmp_path / "run", Settings()))
    doubt = last(events).doubt
    assert "Give --drawn pixels if" in doubt
    assert doubt in warnings(events)


def test_a_resumed_run_and_a_reopened_one_are_the_same(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    several_tiles = Settings(memory=0.09)
    whole = last(list(match(files[:1], files[1:], tmp_path / "whole", several_tiles)))
    events = match(files[:1], files[1:], tmp_path / "cut", several_tiles)
    assert isinstance(events, Generator)
    with contextlib.closing(events):
        next(event for event in events if isinstance(event, TileScored))
    again = list(match(files[:1], files[1:], tmp_path / "cut", several_tiles, resume=True))
    assert last(again).run is not None
    for name in TABLES:
        assert (whole.folder / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    *_, reopened = reopen(tmp_path / "cut")
    assert isinstance(reopened, MatchFinished)
    assert reopened.run is not None
    assert reopened.run.drawn == "pixels"
    assert read_recipe(tmp_path / "cut").settings == several_tiles


def test_settings_of_a_run_from_before_there_was_a_choice_are_the_same_field(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    list(analyze([files[0]], tmp_path / "run", Settings(box=24)))
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings_from(kept) == Settings(box=24)
    del kept["drawn"]
    assert settings_from(kept) == Settings(box=24, drawn="field")
