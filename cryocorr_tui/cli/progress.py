"""How far a run is, on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)
from rich.text import Text

from cryocorr_tui.core.time_left import Pace, share_of

__all__ = ["Bars", "Lines", "Meter", "meter_on", "warning"]

SECONDS_BETWEEN_LINES = 2.0
LINES_PER_STAGE = 10


class Meter(Protocol):
    """Shows how far a run is."""

    def start(self, stage: str, total: int, done: int = 0, share: float | None = None) -> None:
        """Begin a stage of `total` steps (0: unknown); the one before is over.

        An earlier run has `done` some of them, `share` of the work (None: that of the steps).
        """

    def advance(self, done: int, share: float | None = None) -> None:
        """Show that `done` steps of the stage, `share` of its work, are behind us."""

    def tell(self, sentence: str) -> None:
        """Show what was found."""

    def warn(self, sentence: str) -> None:
        """Show what the user should know."""


@contextmanager
def meter_on(console: Console) -> Iterator[Meter]:
    """Give bars where `console` is a terminal, else plain lines."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Progress(
        TextColumn("{task.description}", style="stage"),
        BarColumn(style="bar.rest", complete_style="bar.done", finished_style="bar.done"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rest]}", style="progress.remaining"),
        console=console,
    ) as progress:
        bars = Bars(progress)
        yield bars
        bars.finish()


class Bars:
    """One bar a stage, with the time left."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._task: TaskID | None = None
        self._total = 0
        self._pace = Pace(0.0)

    def start(self, stage: str, total: int, done: int = 0, share: float | None = None) -> None:
        """Draw a new bar below."""
        self.finish()
        self._total = total
        self._task = self._progress.add_task(stage, total=total or None, completed=done, rest="")
        self._pace = Pace(self._clock(), share_of(share, done, total))

    def advance(self, done: int, share: float | None = None) -> None:
        """Lengthen the bar."""
        if self._task is not None:
            now, behind = self._clock(), share_of(share, done, self._total)
            self._pace = self._pace.after(now, behind)
            self._progress.update(self._task, completed=done, rest=self._pace.left(now, behind))

    def tell(self, sentence: str) -> None:
        """Print the sentence above the bars."""
        self._progress.console.print(Text(sentence))

    def warn(self, sentence: str) -> None:
        """Print it as a warning above the bars."""
        self._progress.console.print(warning(sentence))

    def finish(self) -> None:
        """Let a bar of unknown length come to rest."""
        if self._task is not None and self._progress.tasks[self._task].total is None:
            steps = self._progress.tasks[self._task].completed or 1
            self._progress.update(self._task, total=steps, completed=steps)


class Lines:
    """A line for each stage, and for each tenth of a long one."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._stage, self._total = "", 0
        self._tenths = 0
        self._spoke = 0.0
        self._pace = Pace(0.0)

    def start(self, stage: str, total: int, done: int = 0, share: float | None = None) -> None:
        """Name the stage."""
        self._stage, self._total = stage, total
        self._tenths = done * LINES_PER_STAGE // total if total else 0
        self._spoke = self._clock()
        self._pace = Pace(self._spoke, share_of(share, done, total))
        before = f", {done} done before" if done else ""
        self._console.print(f"{stage} ({total}{before})" if total else stage)

    def advance(self, done: int, share: float | None = None) -> None:
        """Tell what part is done and how long the rest will take, once every tenth at most."""
        now, behind = self._clock(), share_of(share, done, self._total)
        self._pace = self._pace.after(now, behind)
        tenths = done * LINES_PER_STAGE // self._total if self._total else 0
        if tenths <= self._tenths or now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._tenths, self._spoke = tenths, now
        rest = self._pace.left(now, behind)
        self._console.print(f"{self._stage}: {done / self._total:.0%}, {rest}")

    def tell(self, sentence: str) -> None:
        """Print the sentence."""
        self._console.print(Text(sentence))

    def warn(self, sentence: str) -> None:
        """Print it as a warning."""
        self._console.print(warning(sentence))


def warning(sentence: str) -> Text:
    """Return a sentence as the warning it is."""
    return Text.assemble(("warning: ", "warning"), sentence)
