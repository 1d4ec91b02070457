from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input, Static
from textual.widgets._footer import FooterKey

from cryocorr_tui.core.displacement import displacement_field
from cryocorr_tui.core.displacement.loading import pictures_of_files
from cryocorr_tui.core.displacement.probing import found_at, subset_and_match
from cryocorr_tui.core.events import StageProgressed, StageStarted
from cryocorr_tui.core.model import DisplacementSettings, Settings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.compared import Compared
from cryocorr_tui.tui.screens import displacement
from cryocorr_tui.tui.screens.choose_pictures import ChoosePictures
from cryocorr_tui.tui.screens.displacement import DisplacementScreen
from cryocorr_tui.tui.screens.question import Question
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.state import saved_session
from cryocorr_tui.tui.widgets.field_knobs import Choice, FieldKnobs
from cryocorr_tui.tui.widgets.field_probe import FieldProbe
from cryocorr_tui.tui.widgets.field_view import FieldView
from tests.tui.running_app import app_of, until

SAMPLE = [sample_data() / "dic_reference.tif", sample_data() / "dic_deformed.tif"]
CPU = Settings(device="cpu")
SIZE = (100, 30)


def app_with(*files: Path, output: Path = Path("nowhere")) -> CryocorrApp:
    return CryocorrApp(Session(files=list(files), settings=CPU, output=output))


def screen_of(app: CryocorrApp) -> DisplacementScreen:
    assert isinstance(app.screen, DisplacementScreen)
    return app.screen


async def opened(pilot: Pilot[None], app: CryocorrApp) -> DisplacementScreen:
    await pilot.press("6")
    await until(pilot, lambda: isinstance(app.screen, DisplacementScreen))
    return screen_of(app)


async def measured(pilot: Pilot[None], app: CryocorrApp) -> DisplacementScreen:
    screen = await opened(pilot, app)
    await pilot.press("r")
    await until(pilot, lambda: screen.field is not None and not app.busy)
    return screen


def words(screen: DisplacementScreen, name: str) -> str:
    return str(screen.query_one(f"#displacement-{name}", Static).content)


def is_said(screen: DisplacementScreen, what: str) -> bool:
    return what in words(screen, "problem")


async def test_two_chosen_files_are_measured_and_the_probe_tells_the_numbers_of_the_field() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await measured(pilot, app)
        both = pictures_of_files(*SAMPLE)
        expected = displacement_field(both.reference, both.deformed, DisplacementSettings())
        field, view = screen.field, screen.query_one(FieldView)
        assert field is not None
        np.testing.assert_array_equal(field.dy, expected.dy)
        assert view.cursor == 7 * 15 + 7
        await pilot.press("right", "j", "l", "up", "up")
        k = 6 * 15 + 9
        assert view.cursor == k
        told = dict(line.split("\t") for line in screen.query_one(FieldProbe).told.splitlines())
        assert told["vector"] == "row 6, column 9"
        assert told["y, x"] == f"{field.y[k]:.1f}, {field.x[k]:.1f} px"
        assert told["dy, dx"] == f"{field.dy[k]:+.4f}, {field.dx[k]:+.4f} px"
        assert told["correlation"] == f"{field.correlation[k]:.4f}"
        assert told["peak ratio"] == f"{field.peak_ratio[k]:.2f}"
        assert told["valid"] == "yes"
        await pilot.press("end", "pagedown", "pagedown")
        assert view.cursor == 224
        await pilot.press("home", "n")
        told = dict(line.split("\t") for line in screen.query_one(FieldProbe).told.splitlines())
        assert told["valid"] == f"no: {field.reason[view.cursor]}"


async def test_tab_goes_through_the_views_that_there_are() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=(130, 44)) as pilot:
        screen = await opened(pilot, app)
        screen.query_one("#knob-strain_window", Input).value = "5"
        await measured(pilot, app)
        seen = []
        for _ in range(9):
            seen.append(screen.view)
            await until(pilot, lambda: not screen.query_one(FieldView).picture.busy)
            assert not isinstance(screen.focused, Input)
            if screen.view not in ("histograms", "arrows"):
                assert screen.query_one(FieldView).legend.startswith(f"{screen.view} ")
            await pilot.press("tab")
        assert seen == [
            *("magnitude", "arrows", "dy", "dx", "coefficient", "exx", "eyy", "exy"),
            "histograms",
        ]
        assert "exx\t" in screen.query_one(FieldProbe).told
        await pilot.press("shift+tab")
        assert screen.view == "histograms"
        assert screen.focused is None
        await pilot.press("tab")
        assert screen.focused is screen.query_one(FieldView)


async def test_a_sweep_is_one_more_view() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: screen.view == "sweep" and not app.busy)
        assert len(screen.cells) == 15
        assert screen.views == ["sweep"]
        drawn = str(screen.query_one("#sweep-cells", Static).content).splitlines()
        assert drawn[0].split() == ["×1.5", "×2", "×3"]
        assert [line.split()[0] for line in drawn[1::2]] == ["16", "24", "32", "48", "64"]
        assert drawn[1].split()[1] == f"{screen.cells[0].deviation:.3f}"


def without_end(*_: object, **__: object) -> Iterator[StageStarted | StageProgressed]:
    yield StageStarted("subsets", 10**6)
    for done in range(10**6):
        time.sleep(0.01)
        yield StageProgressed("subsets", done)


async def test_escape_cancels_and_the_field_of_before_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await measured(pilot, app)
        before = screen.field
        monkeypatch.setattr(displacement, "measure_displacement", without_end)
        await pilot.press("r")
        await until(pilot, lambda: app.progress is not None and app.progress.done > 2)
        assert app.progress is not None
        assert app.progress.in_words().startswith("subsets")
        await pilot.press("escape")
        assert not app.busy
        await until(pilot, lambda: not app.working)
        assert screen.field is before


async def test_export_writes_table_and_picture_and_asks_before_it_replaces_them(
    tmp_path: Path,
) -> None:
    app = app_with(*SAMPLE, output=tmp_path / "out")
    async with app.run_test(size=SIZE) as pilot:
        screen = await measured(pilot, app)
        await pilot.press("e")
        table = tmp_path / "out" / "field.csv"
        await until(pilot, lambda: (tmp_path / "out" / "field.png").exists())
        assert screen.field is not None
        np.testing.assert_array_equal(pd.read_csv(table).valid, screen.field.valid)
        await pilot.press("e")
        assert isinstance(app.screen, Question)
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "out-2" / "field.png").exists())


async def test_pictures_are_chosen_from_a_list_of_files_and_images_of_stacks(
    tmp_path: Path,
) -> None:
    both = np.stack([tifffile.imread(path) for path in SAMPLE])
    tifffile.imwrite(tmp_path / "both.tif", both)
    app = app_with(tmp_path / "both.tif")
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        assert "Choose two pictures" in words(screen, "problem")
        await pilot.press("c")
        assert isinstance(app.screen, ChoosePictures)
        offered = app.screen.query_one("#choose-list")
        await until(pilot, lambda: offered.option_count == 2)  # type: ignore[attr-defined]
        await pilot.press("home", "enter", "down", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert words(screen, "names").splitlines() == ["both.tif#0", "→ both.tif#1"]
        await measured(pilot, app)
        assert screen.field is not None
        assert screen.field.valid.sum() == 196


async def test_typed_paths_are_taken_and_what_is_wrong_with_them_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", tifffile.imread(SAMPLE[0])[:200])
    app = app_with()
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("c")
        for name, path in (("reference", SAMPLE[0]), ("deformed", tmp_path / "small.tif")):
            app.screen.query_one(f"#choose-{name}", Input).value = str(path)
        app.screen.query_one("#choose-deformed").focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("r")
        await until(pilot, lambda: "differ in size" in words(screen, "problem"))
        assert screen.field is None


async def test_settings_that_make_no_sense_are_said_on_the_screen() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        for knob, typed, said in (
            ("block_size", "300", "does not fit"),
            ("search_area_multiplier", "1", "no room to search"),
            ("min_correlation", "-", "is no number"),
            ("mask", "1,1 2,2", "three corners"),
            ("mask", "missing.png", "no such file"),
        ):
            field = screen.query_one(f"#knob-{knob}", Input)
            before, field.value = field.value, typed
            await pilot.press("r")
            await until(pilot, partial(is_said, screen, said))
            await until(pilot, lambda: not app.busy)
            field.value = before
        await pilot.press("r")
        await until(pilot, lambda: screen.field is not None)
        assert not screen.query_one("#displacement-problem").display


async def test_what_the_knobs_say_is_what_is_measured() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("o")
        assert screen.focused is screen.query_one("#knob-block_size")
        await pilot.press(*["delete"] * 2, "2", "4", "enter")
        await until(pilot, lambda: screen.field is not None)
        assert screen.field is not None
        assert screen.field.settings.block_size == 24
        screen.query_one("#knob-replacement").focus()
        await pilot.press("right", "down", "space", "escape")
        assert screen.focused is screen.query_one(FieldView)
        settings = screen.query_one(FieldKnobs).settings()
        assert (settings.replacement, settings.remove_rigid) == ("median", True)


async def test_the_pair_of_the_viewer_is_measured(finished_run: Run) -> None:
    app = app_of(finished_run)
    app.session.settings = CPU
    async with app.run_test(size=SIZE) as pilot:
        app.open_pair(0, 1)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, DisplacementScreen))
        screen = screen_of(app)
        assert words(screen, "names").splitlines() == ["class 0", "→ class 1 laid on 0"]
        await pilot.press("r")
        await until(pilot, lambda: screen.field is not None)
        assert screen.field is not None
        assert screen.field.picture_shape == finished_run.classes[0].image.shape
        assert screen.field.settings.smoothing == 1.5  # as noisy averages want it
        assert screen.field.valid.any()


async def test_the_pair_and_its_settings_come_back_with_the_session(
    finished_run: Run, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    app = CryocorrApp(Session(output=finished_run.folder), session_path=kept)
    async with app.run_test(size=SIZE) as pilot:
        app.open_run(finished_run.folder)
        await until(pilot, lambda: app.session.finished)
        assert app.session.run is not None
        app.compare(Compared.of_pair(app.session.run, 1, 2))
        await until(pilot, lambda: isinstance(app.screen, DisplacementScreen))
        await until(pilot, lambda: app.screen.is_mounted)
        screen_of(app).query_one("#knob-block_size", Input).value = "20"
        screen_of(app).query_one("#knob-mask", Input).value = "1,1 60,1 60,60"
        screen_of(app).query_one("#knob-subset_shape", Choice).set_value("affine")
        await pilot.pause()
        app.save_session()
    again = CryocorrApp(Session(), saved=saved_session(kept), session_path=kept)
    async with again.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(again.screen, Question))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(again.screen, DisplacementScreen))
        screen = screen_of(again)
        await until(pilot, lambda: screen.is_mounted)
        await until(pilot, lambda: words(screen, "names").endswith("class 2 laid on 1"))
        knobs = screen.query_one(FieldKnobs)
        settings = knobs.settings()
        assert (settings.block_size, settings.subset_shape) == (20, "affine")
        assert settings.smoothing == 1.5
        assert knobs.mask == "1,1 60,1 60,60"


async def test_what_hinders_it_is_said_wherever_the_user_is(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", tifffile.imread(SAMPLE[0])[:200])
    app = app_with(SAMPLE[0], tmp_path / "small.tif")
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("1")
        screen.action_measure()
        await until(pilot, lambda: bool(app._notifications))
        assert "differ in size" in next(iter(app._notifications)).message


async def test_invalid_vectors_are_marked_where_a_map_is_characters() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await measured(pilot, app)
        view = screen.query_one(FieldView)
        await until(pilot, lambda: view.picture.drawing is not None and not view.picture.busy)
        for _ in range(2):  # the rows above and the column to the right
            await pilot.press("tab", "shift+tab")
        await until(pilot, lambda: not view.picture.busy)
        await pilot.pause(0.2)
        assert view.picture.drawing is not None
        lines = [strip.text for strip in view.picture.drawing.cells]
        middle = len(lines) // 2
        assert lines[1].count("×") > len(lines[1]) - 5
        assert "×" in lines[middle][-4:]
        assert "×" not in lines[middle][:-5]
        await pilot.press("tab")
        await until(pilot, lambda: not view.picture.busy)
        await until(pilot, lambda: not any("×" in strip.text for strip in drawn_cells(view)))


def drawn_cells(view: FieldView) -> list[Strip]:
    drawing = view.picture.drawing
    return drawing.cells if drawing else []


async def test_a_click_puts_the_cursor_on_the_vector_under_it_and_y_copies_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with(*SAMPLE)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SIZE) as pilot:
        screen = await measured(pilot, app)
        view = screen.query_one(FieldView)
        await until(pilot, lambda: view.picture.drawing is not None and not view.picture.busy)
        await pilot.pause(0.2)
        drawing = view.picture.drawing
        assert drawing is not None
        viewport = drawing.viewport
        await pilot.click(view.picture, offset=(viewport.left, viewport.top))
        assert view.cursor == 0
        await pilot.press("y")
        assert copied == [screen.query_one(FieldProbe).told]


async def test_at_80_columns_the_footer_holds_all_its_keys() -> None:
    app = app_with(*SAMPLE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await measured(pilot, app)
        shown = list(screen.query(FooterKey))
        assert len(shown) <= 7
        assert sum(key.outer_size.width for key in shown) <= 80


def test_the_match_is_the_subset_wherever_the_rigid_part_has_gone() -> None:
    both = pictures_of_files(*SAMPLE)
    for rigid in (False, True):
        settings = DisplacementSettings(remove_rigid=rigid)
        field = displacement_field(both.reference, both.deformed, settings)
        k = 100
        subset, match = subset_and_match(both.reference, both.deformed, field, k)
        assert match is not None
        assert np.corrcoef(subset.ravel(), match.ravel())[0, 1] > 0.99
        assert found_at(field, k) == pytest.approx((111.6714, 176.0392), abs=1e-3)
