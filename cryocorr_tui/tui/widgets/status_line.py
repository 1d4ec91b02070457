"""One line: how far the run is, and how busy the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.widgets import Static

if TYPE_CHECKING:
    from cryocorr_tui.core.load import CardLoad, Load
    from cryocorr_tui.tui.app import CryocorrApp
    from cryocorr_tui.tui.progress import Progress

__all__ = ["StatusLine", "load_in_words", "progress_bar"]

GIB = 2**30
BAR_WIDTH = 12
EIGHTHS = " ▏▎▍▌▋▊▉█"
NARROW = 100  # columns below which the meter says less


class StatusLine(Static):
    """Shows `CryocorrApp.progress` and `CryocorrApp.load`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"status-line--run", "status-line--meter"}

    def on_mount(self) -> None:
        """Follow the app."""
        self.watch(self.app, "progress", self._repaint, init=False)
        self.watch(self.app, "load", self._repaint, init=False)

    def _repaint(self) -> None:
        if self.screen.is_current:
            self.refresh()

    def render(self) -> Text:
        """Return the run on the left, the meter on the right."""
        app = cast("CryocorrApp", self.app)
        width = self.size.width
        meter = load_in_words(app.load, short=width < NARROW) if app.load else ""
        run = _run_in_words(app.progress)
        space = max(width - len(run) - len(meter), 1)
        return Text.assemble(
            (run, self.get_component_rich_style("status-line--run")),
            " " * space,
            (meter, self.get_component_rich_style("status-line--meter")),
            no_wrap=True,
            overflow="crop",
        )


def _run_in_words(progress: Progress | None) -> str:
    if progress is None:
        return ""
    bar = f"{progress_bar(progress.share, BAR_WIDTH)} " if progress.total else ""
    return f"{bar}{progress.in_words()}"


def progress_bar(share: float, width: int) -> str:
    """Return a bar of block characters, `share` (0 to 1) of its `width` cells filled."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width, "·")


def load_in_words(load: Load, *, short: bool = False) -> str:
    """Return what a meter shows, machine first, then what this process has of it.

    Parameters
    ----------
    load : Load
        A sample.
    short : bool
        Leave out what the machine has in all.
    """
    cpu = f"CPU {load.cpu:.0%}"
    ram = f"RAM {_gib(load.used)}"
    if short:
        parts = [cpu, f"{ram}G"]
    else:
        parts = [
            f"{cpu} (own {load.own_cpu:.1f} cores)",
            f"{ram}/{_gib(load.total)} GiB (own {_gib(load.own)})",
        ]
    parts += [_card(card, k, short=short) for k, card in enumerate(load.cards)]
    return " · ".join(parts if load.cards else [*parts, "no GPU"])


def _card(card: CardLoad, number: int, *, short: bool) -> str:
    busy = "n/a" if card.busy is None else f"{card.busy:.0%}"
    if short:
        return f"GPU{number} {busy} {_gib(card.used)}G"
    own = "" if card.own is None else f" (own {_gib(card.own)})"
    return f"GPU{number} {busy} {_gib(card.used)}/{_gib(card.total)} GiB{own}"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f}"
