"""The whole program ends with its terminal, and when it is told to, and has kept the session."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pseudo_terminal import SIXEL_ANSWERS, PseudoTerminal

from cryocorr_tui.core.store import RunStore
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.session import Session
from tests.class_average_forge import particles, write_stack

SOON = 30.0  # seconds; what hangs does so for ever
RESTORED = ("\x1b[?1049l", "\x1b[?25h", "\x1b[?1003l")  # main screen, cursor, no mouse


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PseudoTerminal]:
    """A terminal with the app, ready, with a stack chosen."""
    stack = write_stack(tmp_path / "stack.mrcs", particles(120))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with PseudoTerminal(["-m", "cryocorr_tui", "app", str(stack)], SIXEL_ANSWERS) as terminal:
        terminal.until(lambda: "Quit" in terminal.output)
        terminal.wait(0.5)
        yield terminal


def saved_files(folder: Path) -> list[str]:
    (session,) = (folder / "state").rglob("session-*.json")
    return [Path(file).name for file in json.loads(session.read_text())["files"]]


def test_told_to_end_the_app_puts_the_terminal_in_order(
    terminal: PseudoTerminal, tmp_path: Path
) -> None:
    terminal.process.send_signal(signal.SIGTERM)
    terminal.until(lambda: all(code in terminal.output for code in RESTORED), SOON)
    assert terminal.process.wait(SOON) == 0
    assert saved_files(tmp_path) == ["stack.mrcs"]


async def test_left_while_a_screen_comes_up_the_app_has_nothing_to_complain_of() -> None:
    app = CryocorrApp(Session())
    async with app.run_test():
        app.switch_mode("matrix")
        app.exit()
    assert app.return_code == 0


def test_the_app_ends_with_its_line(terminal: PseudoTerminal, tmp_path: Path) -> None:
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(SOON) == 0
    assert saved_files(tmp_path) == ["stack.mrcs"]


def test_the_app_ends_with_its_window(terminal: PseudoTerminal, tmp_path: Path) -> None:
    terminal.hang_up()
    assert terminal.process.wait(SOON) == 0
    assert saved_files(tmp_path) == ["stack.mrcs"]


def test_the_app_ends_before_a_terminal_that_takes_nothing_more(
    terminal: PseudoTerminal, tmp_path: Path
) -> None:
    for columns in [100, 80] * 30:  # each a whole screen that nobody reads
        terminal.resize(24, columns)
        terminal.press("12")
        time.sleep(0.1)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(SOON) == 0
    assert saved_files(tmp_path) == ["stack.mrcs"]


def test_a_comparison_that_was_told_to_end_goes_on_later(
    terminal: PseudoTerminal, tmp_path: Path
) -> None:
    terminal.press("r")
    store = tmp_path / "cryocorr_results" / "store.zarr"
    terminal.until(lambda: any(store.rglob("c/*")))
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(SOON) == 0
    assert saved_files(tmp_path) == ["stack.mrcs"]
    with RunStore.open(tmp_path / "cryocorr_results") as kept:
        done = [tile for tile in kept.tiles() if kept.done(tile)]
        assert done
        assert all(np.isfinite(kept.window(tile.rows, tile.cols)).any() for tile in done)
