"""The whole program in a pseudo-terminal: what it sends, whatever Textual thinks it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pseudo_terminal import SIXEL_ANSWERS, PseudoTerminal

from tests.class_average_forge import particles, write_stack

Open = Callable[..., PseudoTerminal]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the app with a stack chosen."""
    stack = write_stack(tmp_path / "stack.mrcs", particles(4))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def open_app(**size: int) -> PseudoTerminal:
        return PseudoTerminal(["-m", "cryocorr_tui", "app", str(stack)], SIXEL_ANSWERS, **size)

    return open_app


def test_a_terminal_that_is_too_small_is_told_so_until_it_is_enlarged(opened: Open) -> None:
    with opened(rows=12, columns=50) as terminal:
        terminal.until(lambda: "60 × 18 is needed" in terminal.output)
        terminal.wait(2.5)  # the meter goes on
        assert terminal.output.count("is needed") == 1
        assert "Displacement" not in terminal.output
        assert not terminal.sixels
        terminal.resize(24, 80)
        terminal.until(lambda: "6 Displacement" in terminal.output)
        terminal.until(lambda: "Quit" in terminal.output)
        before = len(terminal.output)
        terminal.resize(24, 59)
        terminal.until(lambda: "this terminal has 59" in terminal.output[before:])
        terminal.resize(18, 60)
        again = len(terminal.output)
        terminal.until(lambda: "Quit" in terminal.output[again:])
        assert "Files" in terminal.output[again:]
        terminal.press("q")
        terminal.wait(1)
        assert terminal.process.wait(60) == 0
