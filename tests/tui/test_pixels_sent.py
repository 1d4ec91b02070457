"""What really goes to the terminal: a program in a pseudo-terminal, its pictures decoded."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_app import class_average
from pseudo_terminal import (
    CELL,
    KITTY_ANSWERS,
    PLACEHOLDER,
    SIXEL_ANSWERS,
    PseudoTerminal,
    decode_sixels,
    psnr,
)

APP = str(Path(__file__).with_name("picture_app.py"))
LATE = 0.3  # seconds, over SSH


def resized(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(class_average(seed), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def ticks(terminal: PseudoTerminal, count: int = 1) -> None:
    """Wait for a few ticks of the clock that begin now."""
    for _ in range(count):
        seen = terminal.output.count("tick ")
        terminal.until(lambda seen=seen: terminal.output.count("tick ") > seen)


def test_each_sixel_picture_is_sent_once_and_again_when_it_was_painted_over(
    tmp_path: Path,
) -> None:
    log = tmp_path / "keys"
    with PseudoTerminal([APP, str(log)], SIXEL_ANSWERS, delay=LATE) as terminal:
        terminal.until(lambda: len(terminal.sixels) == 1)
        row, column, data = terminal.sixels[0]
        assert (row, column) == (3, 1 + (80 - 45) // 2)
        pixels = decode_sixels(data)
        assert pixels.shape[:2] == (360, 45 * CELL[1])
        assert psnr(pixels[..., 0], resized(0, pixels.shape)) >= 33

        terminal.wait(3)
        assert terminal.output.count("tick ") > 10
        assert len(terminal.sixels) == 1

        terminal.press("n")
        terminal.until(lambda: len(terminal.sixels) == 2)
        pixels = decode_sixels(terminal.sixels[1][2])
        assert psnr(pixels[..., 0], resized(1, pixels.shape)) >= 33

        terminal.press("c")
        terminal.until(lambda: "caption" in terminal.output)
        ticks(terminal, 2)
        assert len(terminal.sixels) == 2

        terminal.press("m")
        terminal.until(lambda: "A dialog over" in terminal.output)
        ticks(terminal, 3)
        assert len(terminal.sixels) == 2
        terminal.press("\x1b")
        terminal.until(lambda: len(terminal.sixels) == 3)

        before = len(terminal.output)
        terminal.press("t")
        terminal.until(lambda: "A toast" in terminal.output)
        ticks(terminal, 2)
        assert len(terminal.sixels) == 3
        assert "▌" in terminal.output[before:]  # meanwhile, the picture in characters
        terminal.until(lambda: len(terminal.sixels) == 4)  # the toast is gone

        terminal.resize(30, 100)
        terminal.until(lambda: len(terminal.sixels) > 4)
        ticks(terminal, 3)
        pixels = decode_sixels(terminal.sixels[-1][2])
        assert pixels.shape[:2] == (468, 58 * CELL[1])
        assert psnr(pixels[..., 0], resized(1, pixels.shape)) >= 33
        assert len(terminal.sixels) == 5

        terminal.press("q")
        terminal.until(lambda: terminal.process.poll() is not None)
    assert log.read_text().split() == ["n", "c", "m", "escape", "t", "q"]


def test_kitty_keeps_each_picture_that_is_on_the_screen_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "keys"
    with PseudoTerminal([APP, str(log)], KITTY_ANSWERS, delay=LATE) as terminal:
        terminal.until(lambda: PLACEHOLDER in terminal.output)
        (first, pixels) = terminal.kitty_pictures[0]
        assert (pixels == resized(0, pixels.shape)).all()
        red, green, blue = first >> 16, first >> 8 & 255, first & 255
        assert f"38;2;{red};{green};{blue}" in terminal.output  # its id, whatever COLORTERM says

        terminal.wait(0.5)
        painted = terminal.output.count(PLACEHOLDER)
        assert painted % (20 * 45) == 0  # Textual paints all more than once when it starts
        terminal.wait(2)
        assert len(terminal.kitty_pictures) == 1
        assert terminal.output.count(PLACEHOLDER) == painted

        terminal.press("n")
        terminal.until(lambda: first in terminal.deleted)
        second, pixels = terminal.kitty_pictures[1]
        assert (pixels == resized(1, pixels.shape)).all()
        assert second not in terminal.deleted

        before = terminal.output.count(PLACEHOLDER)
        terminal.press("m")
        terminal.until(lambda: "A dialog over" in terminal.output)
        ticks(terminal)
        assert terminal.output.count(PLACEHOLDER) == before  # dimmed, they would name another
        terminal.press("\x1b")
        terminal.until(lambda: terminal.output.count(PLACEHOLDER) > before)
        assert len(terminal.kitty_pictures) == 2

        terminal.press("q")
        terminal.until(lambda: terminal.process.poll() is not None)
        assert second in terminal.deleted
    assert log.read_text().split() == ["n", "m", "escape", "q"]


@pytest.mark.parametrize("answers", [SIXEL_ANSWERS, KITTY_ANSWERS], ids=["sixel", "kitty"])
def test_answers_after_the_limit_are_no_keys(tmp_path: Path, answers: dict[str, str]) -> None:
    log = tmp_path / "keys"
    arguments = [APP, str(log), "--timeout", "0.1"]
    with PseudoTerminal(arguments, answers, delay=60) as terminal:
        terminal.until(lambda: "▀" in terminal.output)  # characters, as nothing is known
        for answer in answers.values():
            terminal.press(answer)
        time.sleep(0.2)
        for character in "".join(answers.values()):  # and in the smallest pieces
            terminal.press(character)
            time.sleep(0.002)
        terminal.wait(0.5)
        terminal.press("q")
        terminal.until(lambda: terminal.process.poll() is not None)
        assert not terminal.sixels
        assert not terminal.kitty_pictures
    assert log.read_text().split() == ["q"]
