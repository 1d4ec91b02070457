"""A small app with one picture, a ticking footer and a dialog, run in a pseudo-terminal by tests.

usage: picture_app.py LOG [--wanted auto] [--timeout 2.5]. It writes every key and click to LOG.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import ClassVar

from cryocorr_tui.tui.graphics.terminal import probe

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--wanted", default="auto")
    parser.add_argument("--timeout", type=float, default=2.5)
    parser.add_argument("--source", type=Path)
    options = parser.parse_args()
    terminal = probe(wanted=options.wanted, timeout=options.timeout)
    os.environ["TEXTUAL_COLOR_SYSTEM"] = terminal.colour_system

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Key, Paste
from textual.screen import ModalScreen
from textual.widgets import Static

from cryocorr_tui.tui.graphics.host import PictureHost
from cryocorr_tui.tui.widgets.picture import Picture, View


def class_average(seed: int = 1, box: int = 64) -> np.ndarray:
    """A smooth picture, (box, box) uint8."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:box, :box] - box / 2) / box
    blobs = sum(
        rng.uniform(0.3, 1) * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.01)
        for a, b in rng.uniform(-0.25, 0.25, (6, 2))
    )
    blobs = blobs + rng.normal(0, 0.05, (box, box))
    return np.clip(60 + 150 * blobs / blobs.max(), 0, 255).astype(np.uint8)


class Dialog(ModalScreen[None]):
    BINDINGS: ClassVar = [("escape", "dismiss", "Close")]
    CSS = "Dialog { align: center middle; } Static { width: 20; height: 5; background: $panel; }"

    def compose(self) -> ComposeResult:
        yield Static("A dialog over\nthe picture")


class PictureApp(PictureHost[None]):
    CSS = """
    Picture { border: round $primary; }
    #clock { dock: bottom; height: 1; }
    #title { dock: top; height: 1; }
    """
    BINDINGS: ClassVar = [
        ("n", "next", "Next"),
        ("m", "dialog", "Dialog"),
        ("z", "zoom", "Zoom"),
        ("c", "caption", "Caption"),
        ("t", "toast", "Toast"),
        ("g", "switch_graphics", "Graphics"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, log: Path | None = None, pictures: list[np.ndarray] | None = None) -> None:
        super().__init__()
        self.key_log = log
        self.images = pictures or [class_average(seed) for seed in range(3)]
        self.shown = 0

    def compose(self) -> ComposeResult:
        yield Static("title 0", id="title")
        with Horizontal():
            yield Picture(self.images[0], id="picture")
        yield Static("tick 0", id="clock")

    def on_mount(self) -> None:
        self.ticks = 0
        self.set_interval(0.2, self.tick)

    def tick(self) -> None:
        # Above and below the picture in one frame: what is between is rendered, but not painted.
        self.ticks += 1
        for clock in self.query("#clock").results(Static):  # none while the app comes or goes
            clock.update(f"tick {self.ticks}")
        self.query_one("#title", Static).update(f"title {self.ticks}")

    def on_event_log(self, text: str) -> None:
        if self.key_log:
            with self.key_log.open("a") as log:
                log.write(text + "\n")

    def on_key(self, event: Key) -> None:
        self.on_event_log(event.key)

    def on_paste(self, event: Paste) -> None:
        self.on_event_log(f"paste {event.text!r}")

    def action_next(self) -> None:
        self.shown = (self.shown + 1) % len(self.images)
        self.query_one(Picture).show(self.images[self.shown])

    def action_zoom(self) -> None:
        self.query_one(Picture).show(self.images[self.shown], view=View(20, 20, 2.5))

    def action_caption(self) -> None:
        self.query_one(Picture).border_title = f"caption {self.ticks}"

    def action_toast(self) -> None:
        self.notify("A toast", timeout=1)

    def action_dialog(self) -> None:
        self.push_screen(Dialog())


if __name__ == "__main__":
    images = None
    if options.source:
        images = list(np.load(options.source))
    app = PictureApp(options.log, images)
    app.terminal = terminal
    app.wanted = options.wanted
    app.run()
