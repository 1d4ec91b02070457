from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from cryocorr_tui.core.inputs import to_class_averages
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.screens.question import Question
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.widgets.contact_sheet import ContactSheet
from cryocorr_tui.tui.widgets.knobs import Field
from cryocorr_tui.tui.widgets.montage_view import MontageView
from cryocorr_tui.tui.widgets.picture import Picture
from tests.class_average_forge import particles, rows, write_montage, write_stack

SIZE = (120, 40)


@pytest.fixture
def montage(tmp_path: Path) -> Path:
    """Ten class averages in rows of four: two places are free."""
    return write_montage(tmp_path / "montage.png", particles(10, 48))


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Wait for what a thread works out."""
    for _ in range(800):
        await pilot.pause(0.02)
        if holds():
            return
    raise AssertionError("it never came true")


def app_with(*files: Path, **settings: object) -> CryocorrApp:
    output = files[0].parent / "out"
    chosen = Settings(device="cpu", **settings)  # type: ignore[arg-type]
    return CryocorrApp(Session(files=list(files), output=output, settings=chosen))


async def taken(pilot: Pilot[None], app: CryocorrApp) -> None:
    """Go to the screen and wait until its squares are found."""
    await pilot.press("2")
    await until(pilot, lambda: app.session.taken is not None and not app.busy)


def count(app: CryocorrApp) -> int:
    assert app.session.taken is not None
    return len(to_class_averages(app.session.taken))


def words(app: CryocorrApp, name: str) -> str:
    return str(app.screen.query_one(f"#detect-{name}", Static).content)


async def test_a_long_name_ends_where_there_is_no_more_room(tmp_path: Path) -> None:
    app = app_with(write_montage(tmp_path / f"{'long_' * 12}.png", particles(10, 48)))
    async with app.run_test(size=(80, 24)) as pilot:
        await taken(pilot, app)
        await until(pilot, lambda: "10 squares" in words(app, "view"))
        assert app.screen.query_one("#detect-view").content_size.height == 2


async def test_the_squares_of_a_montage_are_found_and_drawn(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        view = app.screen.query_one(MontageView)
        await until(pilot, lambda: len(view.squares) == 10)
        await until(pilot, lambda: view.query_one(Picture).drawing is not None)
        assert words(app, "view").splitlines() == ["montage.png", "10 squares"]
        await until(pilot, lambda: "quality 0." in words(app, "square"))
        assert words(app, "counts") == "10 classes in 1 file"


async def test_arrows_go_to_the_neighbours_of_a_square(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        view = app.screen.query_one(MontageView)
        visited = []
        for key in ("right", "down", "l", "j", "k", "left", "left", "h"):
            await pilot.press(key)
            visited.append(view.cursor)
        assert visited == [1, 5, 6, 9, 5, 4, 4, 4]


async def test_a_dropped_square_is_no_class_until_that_is_undone(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("right", "x")
        assert count(app) == 9
        assert app.session.corrected
        await pilot.press("u")
        assert count(app) == 10


async def test_a_square_is_added_at_the_first_free_place(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("right", "x", "a", "enter")
        assert count(app) == 10
        view = app.screen.query_one(MontageView)
        assert view.cursor == 1
        assert app.session.taken is not None
        x = [square.x for square in app.session.taken.detections[0].squares]
        assert x[:4] == sorted(x[:4])


async def test_escape_leaves_a_frame_and_changes_nothing(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("a", "L", "escape")
        assert app.screen.query_one(MontageView).frame is None
        assert count(app) == 10
        assert not app.session.corrected


async def test_a_frame_moves_by_one_and_by_ten_pixels_and_grows(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("a")
        view = app.screen.query_one(MontageView)
        before = view.frame
        await pilot.press("left", "H", "up", ">")
        assert before is not None
        assert view.frame is not None
        assert (view.frame.x, view.frame.y) == (before.x - 12, before.y - 2)
        assert view.frame.width == before.width + 2


async def test_a_nudged_square_is_cut_elsewhere(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        assert app.session.taken is not None
        before = to_class_averages(app.session.taken)[0]
        await pilot.press("L", "J", "J")
        after = to_class_averages(app.session.taken)[0]
        assert before.x is not None
        assert before.y is not None
        assert (after.x, after.y) == (before.x + 1, before.y + 2)
        assert not np.array_equal(after.image, before.image)


async def test_what_is_corrected_is_what_is_compared(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("x", "x", "r")
        await until(pilot, lambda: app.session.finished)
        assert app.session.run is not None
        assert len(app.session.run.classes) == 8


async def test_print_on_a_corrected_square_is_read_anew(tmp_path: Path) -> None:
    part = cv2.imread(str(sample_data() / "montage_cryosparc.png"))[:400, :400]
    cv2.imwrite(str(tmp_path / "part.png"), part)
    app = app_with(tmp_path / "part.png")
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("L")
        await until(pilot, lambda: "ptcls" in words(app, "square"))
        assert app.session.taken is not None
        assert all(s.labels is not None for s in app.session.taken.detections[0].squares)


async def test_another_least_box_looks_for_squares_anew(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("o")
        field = app.screen.query_one("#min-box", Field)
        assert app.screen.focused is field
        field.value = "200"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.session.problem))
        assert app.session.settings.min_box == 200
        assert "no grid of class averages was found" in words(app, "problem")
        field.value = "24"
        await pilot.press("enter")
        await until(pilot, lambda: app.session.taken is not None)
        assert not app.session.problem
        assert count(app) == 10


async def test_a_knob_that_makes_no_sense_turns_nothing(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("o")
        app.screen.query_one("#min-box", Field).value = "5"
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert app.session.settings.min_box == 24
        assert count(app) == 10


async def test_corrections_are_not_lost_without_a_question(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("x", "o")
        app.screen.query_one("#min-box", Field).value = "20"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("escape")
        assert count(app) == 9


async def test_squares_are_put_by_hand_where_none_are_found(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).normal(128, 20, (200, 300))
    cv2.imwrite(str(path), np.clip(noise, 0, 255).astype(np.uint8))
    app = app_with(path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: bool(app.session.problem))
        assert "no grid" in words(app, "problem")
        await pilot.press("a", "enter", "a", *"LLLLL", "enter")
        assert count(app) == 2
        assert not app.session.problem


async def test_the_view_under_the_cursor_is_hunted(tmp_path: Path) -> None:
    images = particles(8, 48)
    images[6] = np.rot90(images[1])
    path = write_montage(tmp_path / "montage.png", images)
    app = app_with(path)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        assert app.session.taken is not None
        middles = [
            (square.y + square.height / 2, square.x + square.width / 2)
            for square in app.session.taken.detections[0].squares
        ]
        await pilot.press("m", "right", "enter")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        assert app.session.taken is not None
        hits = [s.hit for s in app.session.taken.detections[0].squares if s.hit is not None]
        best = sorted(hits, key=lambda hit: -hit.score)[:2]
        found = {min(range(8), key=lambda k: math.dist(middles[k], (h.y, h.x))) for h in best}
        assert found == {1, 6}
        assert "score" in words(app, "square")
        await pilot.press("m")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        assert app.session.settings.reference is None
        assert count(app) == 8


async def test_stacks_are_seen_by_their_quality(tmp_path: Path) -> None:
    images = particles(6, 48)
    images[2] = np.random.default_rng(1).standard_normal((48, 48))
    app = app_with(write_stack(tmp_path / "a.mrcs", images))
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        sheet = app.screen.query_one(ContactSheet)
        await until(pilot, lambda: len(sheet.captions) == 6)
        assert not app.screen.query_one(MontageView).display
        quality = [float(caption.split()[1]) for caption in sheet.captions]
        assert quality == sorted(quality, reverse=True)
        assert sheet.captions[-1].split()[0] == "2"
        await pilot.press("end")
        assert words(app, "square").startswith("class 2: image 2")


async def test_files_are_stepped_through(montage: Path, tmp_path: Path) -> None:
    app = app_with(montage, write_stack(tmp_path / "a.mrcs", particles(3, 48)))
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await until(pilot, lambda: "13 classes" in words(app, "counts"))
        assert words(app, "view").startswith("montage.png\npicture 1 of 2")
        await pilot.press("right_square_bracket")
        assert words(app, "view").startswith("a.mrcs\npicture 2 of 2")
        assert app.screen.query_one(ContactSheet).display
        await pilot.press("left_square_bracket")
        assert app.screen.query_one(MontageView).display


async def test_squares_are_exported_and_never_over_older_ones(montage: Path) -> None:
    app = app_with(montage)
    out = montage.parent / "out"
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        await pilot.press("x", "e")
        await until(pilot, lambda: (out / "stack.mrcs").exists())
        assert len(rows(out / "squares.csv")) == 9
        with mrcfile.open(out / "stack.mrcs") as stack:
            assert len(stack.data) == 9
        assert (out / "overlay_montage.png").exists()
        await pilot.press("x", "e")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("enter")
        await until(pilot, lambda: (montage.parent / "out-2" / "stack.mrcs").exists())
        assert len(rows(out / "squares.csv")) == 9


async def test_other_files_are_read_when_they_are_chosen(montage: Path, tmp_path: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await taken(pilot, app)
        app.choose_files([write_stack(tmp_path / "a.mrcs", particles(3, 48))])
        await taken(pilot, app)
        assert count(app) == 3


async def test_without_files_the_screen_says_where_to_choose_them(tmp_path: Path) -> None:
    app = CryocorrApp(Session(folder=tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert words(app, "problem") == "Nothing is chosen yet: press 1 for the files."
