"""Textual's driver, deaf to answers that the terminal gives too late."""

from __future__ import annotations

import time
from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message

from cryocorr_tui.tui.graphics.terminal import without_replies

__all__ = ["QuietDriver", "QuietParser"]

PATIENCE = 0.1  # seconds for the rest of an answer; after that it was a key, such as escape


class QuietParser(XTermParser):
    """Makes events of what the terminal sends, but not of answers to questions before the app."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._begun = ""
        self._begun_at = 0.0

    def feed(self, data: str) -> Iterable[Message]:
        """Parse, without answers."""
        if not data:  # the end
            return super().feed(data)
        text, self._begun = without_replies(self._begun + data)
        self._begun_at = time.monotonic()
        return super().feed(text) if text else ()

    def tick(self) -> Iterable[Message]:
        """Give up waiting for the rest of what looked like an answer."""
        if self._begun and time.monotonic() - self._begun_at >= PATIENCE:
            text, self._begun = self._begun, ""
            yield from super().feed(text)
            self._timeout_time = 0.0  # nor does Textual wait once more
        yield from super().tick()


class QuietDriver(linux_driver.LinuxDriver):
    """Reads the terminal with the parser above."""

    def run_input_thread(self) -> None:
        """Read keys until the app ends."""
        # The loop makes its own parser, by this name.
        linux_driver.XTermParser = QuietParser  # type: ignore[attr-defined]
        super().run_input_thread()
