"""The pair viewer by its keys: what it looks at, how B is turned, and that scores follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from snapshots import lines_of
from textual.pilot import Pilot

from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.ranking import rank_pairs
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.pair_looks import Look, Magnifier, pictures_of
from cryocorr_tui.tui.pair_table import as_text, in_short, rows_of_class, rows_of_pair
from cryocorr_tui.tui.screens.pair_viewer import PairViewer, Panel
from cryocorr_tui.tui.session import Session

WIDE, NARROW = (160, 48), (80, 24)
WORK = {"look", "rank", "save"}  # what threads do for the viewer


@asynccontextmanager
async def opened(
    run: Run, i: int, j: int, *, size: tuple[int, int] = WIDE, **options: object
) -> AsyncIterator[tuple[Pilot[None], PairViewer]]:
    """The viewer over an app with a run."""
    app = CryocorrApp(Session(run=run, finished=True, output=Path("unused")))
    async with app.run_test(size=size) as pilot:
        viewer = PairViewer(i, j, **options)
        await app.push_screen(viewer)
        await settled(pilot)
        yield pilot, viewer


async def settled(pilot: Pilot[None]) -> None:
    """Wait until pictures and scores of the latest look are there."""
    await pilot.pause()
    while any(w.group in WORK and not w.is_finished for w in pilot.app.workers):
        await pilot.pause(0.01)
    await pilot.pause()
    while any(w.group == "drawing" and not w.is_finished for w in pilot.app.workers):
        await pilot.pause(0.01)
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


def displayed(viewer: PairViewer) -> set[str]:
    return {panel.id.removeprefix("panel-") for panel in viewer.query(Panel) if panel.display}


async def test_it_opens_at_the_found_pose_with_its_scores_and_everything_in_sight(
    finished_run: Run,
) -> None:
    async with opened(finished_run, 0, 1) as (_, viewer):
        pair = finished_run.pair(0, 1)
        assert viewer.look.pose == pair.pose
        assert not viewer.by_hand
        assert viewer.scores.ncc == pytest.approx(pair.ncc, abs=1e-3)
        assert displayed(viewer) == {"a", "b", "difference", "overlay"}
        assert len(viewer.query("#viewer-plots > *")) == 2
        for panel in viewer.query(Panel):
            assert panel.drawing is not None


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 48)])
async def test_names_of_numbers_are_whole_however_long_those_of_files_are(
    finished_run: Run, size: tuple[int, int]
) -> None:
    classes = [
        replace(item, source=f"of_a_job_with_a_long_name_{Path(item.source).name}")
        for item in finished_run.classes
    ]
    long_names = replace(finished_run, classes=classes)
    async with opened(long_names, 0, 1, size=size) as (pilot, viewer):
        while not viewer.query_one("#viewer-numbers").display or viewer.page == "plots":
            await press(pilot, "tab")
        screen = "\n".join(strip.text for strip in lines_of(pilot.app))
        for name in ("pixel size", "shift y, x", "same source", "first.mrcs #1"):
            assert name in screen


async def test_b_is_turned_by_hand_and_scores_follow_until_it_is_brought_back(
    finished_run: Run,
) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        found, best = viewer.look.pose, viewer.scores
        await press(pilot, "less_than_sign", "comma", "left_parenthesis")
        assert viewer.look.pose.rotation == pytest.approx((found.rotation + 11.1) % 360)
        assert viewer.by_hand
        assert viewer.scores.ncc < best.ncc
        await press(pilot, "greater_than_sign", "full_stop", "right_parenthesis")
        assert viewer.scores.ncc == pytest.approx(best.ncc, abs=1e-3)
        await press(pilot, "s", "d", "D", "W")
        assert viewer.look.pose.shift_y == pytest.approx(found.shift_y + 0.5 - 5)
        assert viewer.look.pose.shift_x == pytest.approx(found.shift_x + 0.5 + 5)
        assert viewer.scores.ncc < best.ncc
        await press(pilot, "f")
        assert viewer.look.pose.mirrored is not found.mirrored
        await press(pilot, "backspace")
        assert viewer.look.pose == found
        assert not viewer.by_hand
        assert viewer.scores.ncc == pytest.approx(best.ncc)


async def test_the_latest_of_many_keys_wins(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        await press(pilot, *["comma"] * 12)
        wanted = pictures_of(finished_run, viewer.look)
        np.testing.assert_array_equal(viewer._pictures["b"], wanted["b"])


async def test_all_panels_zoom_and_pan_together_and_not_beyond_the_picture(
    finished_run: Run,
) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        await press(pilot, "right")
        assert viewer.magnifier == Magnifier()
        await press(pilot, "plus", "plus", *["right"] * 20, "j")
        assert viewer.magnifier.zoom == pytest.approx(2)
        assert viewer.magnifier.x == pytest.approx(0.75)
        assert viewer.magnifier.y > 0.5
        views = {panel._wanted[1] for panel in viewer.query(Panel)}
        assert len(views) == 1
        assert views.pop().zoom == pytest.approx(2)
        await press(pilot, "minus")
        assert viewer.magnifier.zoom == pytest.approx(2**0.5)
        await press(pilot, "0")
        assert viewer.magnifier == Magnifier()


async def test_only_numbers_that_change_send_no_picture_again(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        before = {panel.id: panel.drawing for panel in viewer.query(Panel)}
        viewer._show_numbers()
        viewer._show_pictures()
        await press(pilot, "comma", "full_stop")  # away and back
        assert viewer.query_one("#panel-a", Panel).drawing is before["panel-a"]


async def test_a_narrow_screen_shows_two_panels_at_a_time(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1, size=NARROW) as (pilot, viewer):
        seen = []
        for _ in range(5):
            seen.append(displayed(viewer))
            assert viewer.query_one("#viewer-title").region.height == 1
            await press(pilot, "tab")
        assert seen == [{"a", "b"}, {"difference", "overlay"}, {"b"}, set(), {"a", "b"}]
        await press(pilot, "shift+tab", "shift+tab")
        assert viewer.page == "plots"


async def test_a_screen_that_grows_shows_everything(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1, size=NARROW) as (pilot, viewer):
        await pilot.resize_terminal(*WIDE)
        await settled(pilot)
        assert displayed(viewer) == {"a", "b", "difference", "overlay"}


async def test_every_number_is_in_sight_on_a_narrow_screen(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1, size=NARROW) as (pilot, viewer):
        await press(pilot, "tab", "tab")
        numbers = viewer.query_one("#viewer-numbers")
        assert numbers.region.bottom <= viewer.query_one("#viewer-body").region.bottom


async def test_blinking_flips_a_and_b_in_one_panel(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        panel = viewer.query_one("#panel-b", Panel)
        assert panel.border_title == "B: 1 on 0"
        await press(pilot, "b")
        assert viewer.blinking
        assert panel.border_title == "A: 0"
        np.testing.assert_array_equal(panel._wanted[0], viewer._pictures["a"])
        viewer._flip()
        await settled(pilot)
        np.testing.assert_array_equal(panel._wanted[0], viewer._pictures["b"])
        await press(pilot, "b")
        assert not viewer.blinking
        assert panel.border_title == "B: 1 on 0"


async def test_contrast_is_enhanced_and_back(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        plain = viewer._pictures["a"]
        await press(pilot, "c")
        assert viewer.look.enhanced
        assert (viewer._pictures["a"] != plain).any()
        await press(pilot, "c")
        np.testing.assert_array_equal(viewer._pictures["a"], plain)


async def test_next_and_previous_go_by_score_or_through_the_given_pairs(finished_run: Run) -> None:
    ranking = rank_pairs(finished_run)
    order = list(zip(ranking.i.tolist(), ranking.j.tolist(), strict=True))
    async with opened(finished_run, *order[0]) as (pilot, viewer):
        await press(pilot, "n")
        assert (viewer.look.i, viewer.look.j) == order[1]
        assert viewer.scores.ncc == pytest.approx(finished_run.pair(*order[1]).ncc, abs=1e-3)
        await press(pilot, "right_square_bracket", "N", "left_square_bracket", "N")
        assert (viewer.look.i, viewer.look.j) == order[0]
    async with opened(finished_run, 5, 2, pairs=[(3, 4), (2, 5), (0, 9)]) as (pilot, viewer):
        await press(pilot, "n")
        assert (viewer.look.i, viewer.look.j) == (0, 9)
        await press(pilot, "n")
        assert (viewer.look.i, viewer.look.j) == (0, 9)


async def test_on_the_diagonal_one_class_stands_alone(finished_run: Run) -> None:
    async with opened(finished_run, 3, 3) as (pilot, viewer):
        assert displayed(viewer) == {"a"}
        assert "signal" in as_text(viewer._rows())
        await press(pilot, "comma", "f", "b", "c")
        assert viewer.look == Look(3, 3, Pose(), enhanced=True)
        await press(pilot, "n")
        assert viewer.look.i == viewer.look.j == 4


async def test_a_pair_that_was_not_compared_says_why(matched_run: Run) -> None:
    async with opened(matched_run, 0, 1) as (pilot, viewer):
        assert "both are of one set" in viewer._title()
        assert np.isnan(viewer.pair.score)
        assert not np.isnan(viewer.scores.ncc)  # by hand it can be
        await press(pilot, "comma")
        assert viewer.look.pose.rotation == pytest.approx(1)


async def test_the_numbers_are_copied_and_the_pictures_saved_beside_older_ones(
    finished_run: Run, tmp_path: Path
) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        viewer.cryocorr.session.output = tmp_path / "out"
        await press(pilot, "y", "p", "p")
        assert f"{viewer.pair.ncc:.3f}" in pilot.app.clipboard
        files = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert files == ["pair_0_1-2.png", "pair_0_1.png"]
        saved = cv2.imread(str(tmp_path / "out" / "pair_0_1.png"))
        assert saved.shape == (256, 4 * 256 + 3 * 8, 3)


async def test_it_closes_and_the_app_goes_on(finished_run: Run) -> None:
    async with opened(finished_run, 0, 1) as (pilot, viewer):
        await press(pilot, "escape")
        assert pilot.app.screen is not viewer
        assert pilot.app.is_running


def test_a_mirror_by_hand_is_what_a_mirror_shows(finished_run: Run) -> None:
    look = Look(0, 1, Pose(rotation=30.0))
    seen = pictures_of(finished_run, look)["b"][1:, 1:]  # the centre is box // 2
    flipped = pictures_of(finished_run, look.mirrored())["b"][1:, 1:]
    inside = slice(8, -8), slice(8, -8)
    assert np.corrcoef(seen[:, ::-1][inside].ravel(), flipped[inside].ravel())[0, 1] > 0.99
    assert look.mirrored().mirrored() == look


def test_every_key_has_an_id_and_words() -> None:
    bindings = PairViewer.BINDINGS
    assert all(binding.id and binding.description for binding in bindings)
    assert len({binding.id for binding in bindings}) == len(bindings)


def test_numbers_are_told_in_rows_lines_and_short(finished_run: Run) -> None:
    pair = finished_run.pair(0, 1)
    rows = {row.name: row for row in rows_of_pair(pair)}
    assert rows["NCC"] == ("NCC", f"{pair.ncc:.3f}", "")
    by_hand = {row.name: row for row in rows_of_pair(pair, Pose(12.0, 1.0, -2.0))}
    assert by_hand["rotation"].second == "12.0°"
    assert by_hand["in Å"].second == "+2.5, -5.0 Å"
    assert by_hand["NCC"].second == ""
    assert in_short(rows_of_pair(pair)).count("\n") == 0
    assert in_short(rows_of_pair(pair, Pose())).count("\n") == 1
    assert max(map(len, in_short(rows_of_pair(pair, Pose(mirrored=True))).splitlines())) <= 78
    assert as_text(rows_of_class(finished_run, 2)).startswith("\tclass 2\nsource\tfirst.mrcs #2")
