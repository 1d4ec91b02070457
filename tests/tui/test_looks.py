"""All screens, as they look in a small and in a large terminal; see ``snapshots.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import class_averages
from running_app import app_of, until
from snapshots import alike, as_text, compare, settled

from cryocorr_tui.core.listing import plain_path
from cryocorr_tui.core.load import Load
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.score_map import ScoreMap
from cryocorr_tui.tui.screens.displacement import DisplacementScreen
from cryocorr_tui.tui.screens.question import Question
from cryocorr_tui.tui.session import Session
from tests.class_average_forge import write_montage, write_stack

SIZES = {"80x24": (80, 24), "160x48": (160, 48)}

GIB = 2**30
LOAD = Load(cpu=0.42, own_cpu=0.8, used=3 * GIB, total=16 * GIB, own=GIB // 2)


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that stands still, and colours whatever the tests are run in."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(CryocorrApp, "_sample_load", lambda app: app._show_load(LOAD))


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A folder with a stack, a montage and something else; the first two are chosen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "cryocorr_tui.tui.widgets.file_tree.plain_path",
        lambda path: Path("/home/me/job7", plain_path(path).relative_to(tmp_path)),
    )
    images = class_averages()
    files = [
        write_montage(Path("montage.png"), images[:10]),
        write_stack(Path("stack.mrcs"), images, 2.5),
    ]
    Path("notes.txt").write_text("hello\n")
    return Session(files=files)


def with_map(run: Run) -> CryocorrApp:
    app = app_of(run)
    app.session.score_map = ScoreMap.of_run(run)
    return app


async def looks(
    name: str,
    app: CryocorrApp,
    size: str,
    keys: Sequence[str] = (),
    *,
    ready: Callable[[], object] = lambda: True,
) -> None:
    """Press keys, wait until something holds and all is drawn, and compare."""
    async with app.run_test(size=SIZES[size]) as pilot:
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        await until(pilot, ready)
        compare(f"{name}_{size}", as_text(app, await settled(pilot)))


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_the_files_screen(chosen: Session, size: str) -> None:
    await looks("files", CryocorrApp(chosen), size, ["down", "down", "down"])


async def test_the_detect_screen_of_a_montage(chosen: Session, size: str) -> None:
    app = CryocorrApp(chosen)
    await looks("detect", app, size, ["2", "right"], ready=lambda: app.session.taken is not None)


async def test_the_detect_screen_of_a_stack(chosen: Session, size: str) -> None:
    app = CryocorrApp(chosen)
    keys = ["2", "right_square_bracket"]
    await looks("detect_stack", app, size, keys, ready=lambda: app.session.taken is not None)


async def test_the_matrix_screen(finished_run: Run, size: str) -> None:
    await looks("matrix", with_map(finished_run), size, ["3", "o", "o"])


async def test_the_pairs_screen(finished_run: Run, size: str) -> None:
    await looks("pairs", app_of(finished_run), size, ["4", "down"])


async def test_the_groups_screen(finished_run: Run, size: str) -> None:
    await looks("groups", app_of(finished_run), size, ["5", "right", "right", "space"])


async def test_the_pair_viewer(finished_run: Run, size: str) -> None:
    await looks("viewer", with_map(finished_run), size, ["3", "enter"])


async def test_the_plots_of_the_pair_viewer(finished_run: Run) -> None:
    await looks("viewer_plots", with_map(finished_run), "80x24", ["3", "enter", "tab", "tab"])


@pytest.mark.parametrize(("name", "keys"), [("field", ["6", "r"]), ("sweep", ["6", "s"])])
async def test_the_displacement_screen(name: str, keys: list[str], size: str) -> None:
    files = [sample_data() / f"dic_{which}.tif" for which in ("reference", "deformed")]
    app = CryocorrApp(Session(files=files, settings=Settings(device="cpu")))

    def ready() -> bool:
        app.clear_notifications()  # it tells how much is valid, where that has no other place
        screen = app.screen
        assert isinstance(screen, DisplacementScreen)
        return not app.busy and bool(screen.field or screen.cells)

    await looks(f"displacement_{name}", app, size, keys, ready=ready)


async def test_the_help(finished_run: Run, size: str) -> None:
    await looks("help", with_map(finished_run), size, ["3", "question_mark"])


async def test_a_question(
    finished_run: Run, size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cryocorr_results").mkdir()
    Path("cryocorr_results", "pairs.csv").touch()
    await looks("question", app_of(finished_run), size, ["4", "e"])


async def test_the_options_of_a_run(chosen: Session, size: str) -> None:
    await looks("options", CryocorrApp(chosen), size, ["O"])


async def test_a_long_question_is_whole_in_a_small_terminal(size: str) -> None:
    words = "Go on where you were in this folder (2 files, run in cryocorr_results)?"
    app = CryocorrApp(Session())
    async with app.run_test(size=SIZES[size]) as pilot:
        await app.push_screen(Question(words, {"on": "Go on"}))
        shown = " ".join(strip.text.strip(" │") for strip in await settled(pilot))
        assert words in " ".join(shown.split())


def test_snapshots_differ_where_words_do_but_not_where_a_few_blocks_and_digits_do() -> None:
    line = "score 0.384 ▛▀▘" + " " * 200
    assert alike(line, line.replace("0.384", "0.385").replace("▛", "▌"))
    assert not alike(line, line.replace("score", "blend"))
    assert not alike(line, line.replace("score", "  score"))
    assert not alike("▛" * 200, "▌" * 200)
