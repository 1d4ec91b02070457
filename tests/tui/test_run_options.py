from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from running_app import until
from textual.pilot import Pilot
from textual.widgets import Input, Static

from cryocorr_tui.core.model import MaskDiameter, Settings
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.progress import Progress
from cryocorr_tui.tui.screens.question import Question
from cryocorr_tui.tui.screens.run_options import RunOptions
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.widgets.knobs import Choice, Field, Tick
from tests.class_average_forge import particles, write_montage, write_stack

SIZE = (120, 40)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "stack.mrcs", particles(6), 2.0)


@pytest.fixture
def montage(tmp_path: Path) -> Path:
    return write_montage(tmp_path / "montage.png", particles(10, 48))


def app_with(*files: Path) -> CryocorrApp:
    folder = files[0].parent
    settings = Settings(device="cpu")
    return CryocorrApp(
        Session(files=list(files), folder=folder, output=folder / "out", settings=settings)
    )


async def with_options(pilot: Pilot[None], **typed: str) -> None:
    """Open the options, type into fields and press enter in the last one."""
    await pilot.press("O")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunOptions))
    for name, text in typed.items():
        field = pilot.app.screen.query_one(f"#option-{name}", Field)
        field.value = text
        field.focus()
    await pilot.press("enter")
    await pilot.pause()


def idle(app: CryocorrApp) -> Callable[[], bool]:
    return lambda: app.session.finished and not app.busy


async def test_what_is_typed_is_what_the_next_run_is_made_with(stack: Path) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("O")
        app.screen.query_one(Tick).value = False
        await pilot.press("escape")
        assert app.session.settings == Settings(device="cpu")
        await pilot.press("O")
        app.screen.query_one(Tick).value = False
        app.screen.query_one("#option-spectral_weighting", Choice).action_turn(1)
        app.screen.query_one("#option-drawn", Choice).action_turn(1)
        await pilot.press("enter")
        await with_options(
            pilot, pixel_size="3.1", max_shift="2", mask_diameter="24px", quality_weight="0"
        )
        assert app.session.settings == Settings(
            device="cpu",
            mirror=False,
            pixel_size=3.1,
            max_shift=2.0,
            mask_diameter=MaskDiameter(24, "px"),
            quality_weight=0.0,
            spectral_weighting="snr",
            drawn="field",
        )
        await pilot.press("r")
        await until(pilot, idle(app))
        assert app.session.run is not None
        assert app.session.run.settings == app.session.settings
        assert app.session.run.classes[0].pixel_size == 3.1
        await with_options(pilot, pixel_size="", max_shift="", mask_diameter="")
        assert app.session.settings == Settings(
            device="cpu",
            mirror=False,
            quality_weight=0.0,
            spectral_weighting="snr",
            drawn="field",
        )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pixel_size", "0", "pixel size, Å: 0 is not a number above 0"),
        ("max_shift", "-1", "largest shift, px: -1 is not a number of 0 or more"),
        ("mask_diameter", "wide", "mask diameter, Å: wide is not a number above 0"),
        ("box", "40.5", "working box, px: give a whole number of 16 or more"),
        ("quality_weight", "inf", "quality weight: inf is not a number of 0 or more"),
    ],
)
async def test_what_makes_no_sense_is_told_and_not_taken(
    stack: Path, name: str, text: str, told: str
) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        await with_options(pilot, **{name: text})
        assert isinstance(app.screen, RunOptions)
        assert told in str(app.screen.query_one("#options-problem", Static).render())
        await pilot.press("escape")
        assert app.session.settings == Settings(device="cpu")


async def test_some_metric_must_weigh_something(stack: Path) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        await with_options(pilot, ncc="", ssim="", nmi="")
        assert isinstance(app.screen, RunOptions)
        app.screen.query_one("#option-ssim", Input).value = "1"
        await pilot.press("enter")
        weights = app.session.settings.weights
        assert (weights.ncc, weights.ssim, weights.nmi) == (0, 1, 0)


async def test_a_run_with_other_options_asks_before_it_replaces_one(stack: Path) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        await until(pilot, idle(app))
        await with_options(pilot, max_shift="3")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, Question))
        assert "with other settings" in str(app.screen.query_one(Static).render())


async def test_what_is_read_in_another_way_is_read_anew(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        await with_options(pilot, pixel_size="1.5")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        assert app.session.taken is not None
        assert app.session.taken.sources[0].pixel_size == 1.5
        await pilot.press("O")
        app.screen.query_one(Choice).set_value("images")
        await pilot.press("enter")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        assert app.session.taken.detections == {}


@pytest.mark.parametrize("at_once", [False, True])
async def test_squares_stay_corrected_when_the_pixel_size_changes(
    montage: Path, at_once: bool
) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        await pilot.press("x")
        await with_options(pilot, pixel_size="1.5")
        if not at_once:
            await until(pilot, lambda: not app.session.outdated and not app.busy)
        await pilot.press("r")
        await until(pilot, idle(app))
        assert app.session.run is not None
        assert [item.pixel_size for item in app.session.run.classes] == [1.5] * 9


async def test_the_knobs_of_detection_leave_the_options_alone(montage: Path) -> None:
    app = app_with(montage)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.session.taken is not None and not app.busy)
        await with_options(pilot, max_shift="3")
        app.screen.query_one("#min-box", Field).value = "30"
        await until(pilot, lambda: app.session.settings.min_box == 30)
        assert app.session.settings == replace(Settings(device="cpu"), max_shift=3.0, min_box=30)


async def test_options_wait_for_a_run_to_end(stack: Path) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        app.progress = Progress("run")
        await pilot.press("O")
        assert not isinstance(app.screen, RunOptions)


async def test_a_sentence_about_an_option_names_the_key_that_sets_it(stack: Path) -> None:
    app = app_with(stack)
    async with app.run_test(size=SIZE) as pilot:
        await with_options(pilot, max_shift="1000")
        await pilot.press("r")
        await until(pilot, lambda: bool(app.session.problem))
        assert app.session.problem.startswith("--max-shift 1000 is too large")
        assert app.session.problem.endswith("Here O sets --max-shift.")
