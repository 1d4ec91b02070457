"""A pseudo-terminal that answers as kitty or xterm does, and keeps what a program sends to it."""

from __future__ import annotations

import base64
import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType

import cv2
import numpy as np

CELL = (18, 8)  # height, width
PLACEHOLDER = "\U0010eeee"

# Takes the pseudo-terminal for the controlling one, as a shell's terminal is, then becomes Python.
LAUNCH = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

SIXEL_ANSWERS = {
    "\x1b[>q": "\x1bP>|XTerm(398)\x1b\\",
    "\x1b[16t": f"\x1b[6;{CELL[0]};{CELL[1]}t",
    "\x1b[c": "\x1b[?64;1;4;22c",
}
KITTY_ANSWERS = {
    "\x1b[>q": "\x1bP>|kitty(0.41.1)\x1b\\",
    "a=q,t=d": "\x1b_Gi=31;OK\x1b\\",
    "\x1b[16t": f"\x1b[6;{CELL[0]};{CELL[1]}t",
    "\x1b[c": "\x1b[?62;c",
}


class PseudoTerminal:
    """Runs a Python program in a pseudo-terminal.

    Parameters
    ----------
    arguments : sequence of str
        Of Python: the program and its own.
    answers : dict
        What the terminal answers to what it is asked.
    delay : float
        Seconds from a question to its answer.
    rows, columns : int
        Its size.
    environ : mapping
        Further variables of the environment.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        answers: dict[str, str],
        *,
        delay: float = 0.0,
        rows: int = 24,
        columns: int = 80,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.answers = answers
        self.delay = delay
        self.output = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._searched = 0
        self._owed: list[tuple[float, str]] = []
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        # Those of pytest's worker processes would rule; COLORTERM is dropped by SSH.
        others = ("TMUX", "STY", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR")
        variables = {key: value for key, value in os.environ.items() if key not in others}
        variables |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**variables, **environ},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # hung up already
            os.close(self._master)

    def hang_up(self) -> None:
        """Vanish, as a window that is closed."""
        os.close(self._master)

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, columns * CELL[1], rows * CELL[0])
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self, seconds: float) -> None:
        """Let the program go on."""
        self.until(lambda: False, seconds, must=False)

    def until(self, true: Callable[[], bool], seconds: float = 60.0, *, must: bool = True) -> None:
        """Let the program go on until something holds."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                assert not must, f"in vain after {seconds} s; the end: {self.output[-300:]!r}"
                return
            if select.select([self._master], [], [], 0.01)[0]:
                try:
                    self.output += self._decoder.decode(os.read(self._master, 1 << 16))
                except OSError:  # the program has ended
                    return
            self._answer()

    def _answer(self) -> None:
        now = time.monotonic()
        found = []
        for question, answer in self.answers.items():
            at = self.output.find(question, self._searched)
            if at >= 0:
                found.append((at, len(question), answer))
        for at, length, answer in sorted(found):
            self._owed.append((now + self.delay, answer))
            self._searched = max(self._searched, at + length)
        for owed in [each for each in self._owed if each[0] <= now]:
            os.write(self._master, owed[1].encode())
            self._owed.remove(owed)

    @property
    def sixels(self) -> list[tuple[int, int, str]]:
        """The sixel pictures sent so far: row and column of the cursor from 1, and the data."""
        pattern = r"\x1b\[(\d+);(\d+)H\x1bP[\d;]*q([^\x1b]*)\x1b\\"
        return [
            (int(row), int(column), data) for row, column, data in re.findall(pattern, self.output)
        ]

    @property
    def kitty_pictures(self) -> list[tuple[int, np.ndarray]]:
        """The pictures sent so far by kitty's protocol: their ids and pixels."""
        pictures: list[tuple[int, str]] = []
        for keys, data in re.findall(r"\x1b_G([^;\x1b]*);([^\x1b]*)\x1b\\", self.output):
            if "a=q" in keys:
                continue
            if "a=T" in keys:
                pictures.append((int(re.search(r"\bi=(\d+)", keys)[1]), ""))
            pictures[-1] = (pictures[-1][0], pictures[-1][1] + data)
        return [(name, decode_png(base64.b64decode(data))) for name, data in pictures]

    @property
    def deleted(self) -> list[int]:
        """The ids of the pictures that kitty was told to delete."""
        return [int(each) for each in re.findall(r"\x1b_Ga=d,d=I,[^\x1b]*i=(\d+)", self.output)]


def decode_png(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def decode_sixels(data: str) -> np.ndarray:
    """Decode what stands between the q and the end of a sixel picture, as (h, w, 3) uint8."""
    width, height = (int(each) for each in re.match(r'"\d+;\d+;(\d+);(\d+)', data).groups())
    picture = np.zeros((height + 6, width + 1, 3), np.uint8)
    colours: dict[int, np.ndarray] = {}
    colour, x, y = 0, 0, 0
    tokens = r'"[\d;]+|#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])'
    for match in re.finditer(tokens, data):
        named, red, green, blue, chosen, count, repeated, single, move = match.groups()
        if named:
            levels = [int(red), int(green), int(blue)]
            colours[int(named)] = np.rint(np.array(levels) * 2.55).astype(np.uint8)
        elif chosen:
            colour = int(chosen)
        elif move:
            x, y = 0, y + (6 if move == "-" else 0)
        elif repeated or single:
            bits, run = ord(repeated or single) - 63, int(count or 1)
            for bit in range(6):
                if bits >> bit & 1:
                    picture[y + bit, x : x + run] = colours[colour]
            x += run
    return picture[:height, :width]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
