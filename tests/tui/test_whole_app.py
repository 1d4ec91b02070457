"""The whole program in a pseudo-terminal: what it sends, whatever Textual thinks it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

    def open_app(**options: Any) -> PseudoTerminal:
        arguments = ["-m", "cryocorr_tui", "app", str(stack)]
        return PseudoTerminal(arguments, SIXEL_ANSWERS, **options)

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


def colours_in(output: str) -> set[str]:
    """The codes that set a colour, of foreground or background."""
    codes = re.findall(r"\x1b\[([\d;:]*)m", output)
    return {code for code in codes if re.search(r"(^|;)(3[0-8]|4[0-8]|9\d|10\d)($|[;:])", code)}


def run_and_leave(terminal: PseudoTerminal) -> None:
    """Look at a picture, compare, go through the screens and leave."""
    terminal.until(lambda: "Quit" in terminal.output)
    terminal.wait(1)
    terminal.press("r")
    terminal.until(lambda: "NCC" in terminal.output)  # of the pair under the cursor
    for key in "2456?":
        terminal.press(key)
        terminal.wait(1)
    terminal.press("qq")
    terminal.wait(1)
    assert terminal.process.wait(60) == 0


@pytest.mark.parametrize("more", [{}, {"COLORTERM": "truecolor"}])
def test_no_colour_is_sent_where_none_is_wanted(opened: Open, more: dict[str, str]) -> None:
    with opened(environ={"NO_COLOR": "1", **more}) as terminal:
        run_and_leave(terminal)
        assert not colours_in(terminal.output)
        assert "\x1b[7m" in terminal.output  # what is marked still is
        assert not terminal.sixels
        assert re.search(r"[-+=*#%]{3}", terminal.output)  # of pictures


def test_an_empty_no_color_takes_no_colours_off(opened: Open) -> None:
    with opened(environ={"NO_COLOR": ""}) as terminal:
        terminal.until(lambda: "Quit" in terminal.output)
        greys = {f"{code};2;{v};{v};{v}" for code in (38, 48) for v in range(256)}
        assert colours_in(terminal.output) - greys
