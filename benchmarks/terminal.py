"""A program in a pseudo-terminal: when it paints, and how soon it answers a key."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

__all__ = ["KEYS", "Program"]

SIZE = (48, 160)  # lines, columns
SILENCE = 0.025  # seconds without output that end an answer: a tick of the meter does not count
READ = 1 << 16

KEYS = {
    "right": "\x1b[C",
    "left": "\x1b[D",
    "down": "\x1b[B",
    "up": "\x1b[A",
    "page down": "\x1b[6~",
    "page up": "\x1b[5~",
    "plus": "+",
    "minus": "-",
    "o": "o",
}


class Program:
    """The command line of ``cryocorr`` in a terminal of 160×48 with 24-bit colour.

    Parameters
    ----------
    arguments : sequence of str
        Its own.
    folder : Path
        Where it works, and keeps its state.
    """

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        foreign = ("TMUX", "STY", "COLUMNS", "LINES")  # the last two would rule over the size
        environ = {key: value for key, value in os.environ.items() if key not in foreign}
        environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environ["XDG_STATE_HOME"] = environ["XDG_CONFIG_HOME"] = str(folder / "state")
        command = [sys.executable, "-c", "from cryocorr_tui.cli import main; main()", *arguments]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environ
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def press(self, key: str) -> None:
        """Send a key."""
        os.write(self._master, KEYS.get(key, key).encode())

    def until(self, text: str, *, seconds: float = 120.0) -> float:
        """Return the seconds from the start until `text` was sent.

        Raises
        ------
        RuntimeError
            If it does not come.
        """
        seen = b""
        while time.perf_counter() - self.began < seconds:
            seen = (seen + self._read(0.1))[-(1 << 20) :]
            if text.encode() in seen:
                return time.perf_counter() - self.began
        raise RuntimeError(f"{text!r} was not on the screen within {seconds:g} s")

    def listen(self, seconds: float) -> int:
        """Return the bytes that come within some seconds."""
        end, count = time.perf_counter() + seconds, 0
        while (left := end - time.perf_counter()) > 0:
            count += len(self._read(left))
        return count

    def answer(self, key: str) -> tuple[float, int]:
        """Press a key; return the seconds until the last byte of the answer, and its bytes."""
        began = last = time.perf_counter()
        self.press(key)
        count, patience = 0, 0.3
        while True:
            found = self._read(patience)
            if not found:
                return last - began, count
            last, patience = time.perf_counter(), SILENCE
            count += len(found)

    def cpu(self) -> float:
        """Return the CPU seconds that it has taken."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Return the GB that it holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e9)

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._master], [], [], max(seconds, 0))[0]:
            return b""
        try:
            return os.read(self._master, READ)
        except OSError as error:
            raise RuntimeError("the program has ended") from error
