"""The pair under the cursor: both pictures, aligned, and their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from cryocorr_tui.core.errors import CryocorrError
from cryocorr_tui.tui.pair_numbers import class_rows, pair_rows
from cryocorr_tui.tui.widgets.picture import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryocorr_tui.core.run import Run
    from cryocorr_tui.tui.app import CryocorrApp

__all__ = ["PairPanel"]

Pictures = tuple["NDArray[np.uint8]", "NDArray[np.uint8] | None"]


REST = 0.08  # seconds: longer than between the strokes of a key that is held down


class PairPanel(Vertical):
    """Shows one pair of the run, or on the diagonal one class average."""

    def __init__(self) -> None:
        super().__init__()
        self._pair: tuple[int, int] | None = None
        self._rest: Timer | None = None
        self.shown: tuple[int, int] | None = None
        """Class ids of the pair that is on the screen."""
        self.told = ""
        """Its numbers, a line each."""

    def compose(self) -> ComposeResult:
        """Lay out pictures over numbers."""
        with Horizontal(id="pair-pictures"):
            yield Picture(id="pair-a")
            yield Picture(id="pair-b")
        yield Static(id="pair-numbers")

    def show_pair(self, i: int, j: int) -> None:
        """Show another pair, once the cursor rests: pictures are most of what a key would send."""
        if (i, j) != self._pair:
            self._pair = (i, j)
            if self._rest is not None:
                self._rest.stop()
            self._rest = self.set_timer(REST, self.refresh_pair)

    def refresh_pair(self) -> None:
        """Read the pair again, and turn its pictures, in a thread; the latest wins."""
        run = cast("CryocorrApp", self.app).session.run
        if run is None or self._pair is None:
            return
        i, j = self._pair

        def look() -> None:
            worker = get_current_worker()
            try:
                rows, pictures = _looked_at(run, i, j)
            except CryocorrError as error:
                rows, pictures = [("", str(error))], None
            if not worker.is_cancelled:
                self.app.call_from_thread(self._show, i, j, rows, pictures)

        self.run_worker(look, group="pair", exclusive=True, thread=True, exit_on_error=False)

    def _show(self, i: int, j: int, rows: list[tuple[str, str]], pictures: Pictures | None) -> None:
        first, second = self.query_one("#pair-a", Picture), self.query_one("#pair-b", Picture)
        second.display = i != j
        if pictures is not None:
            first.show(pictures[0])
            second.show(pictures[1])
        first.border_title, second.border_title = f"{i}", f"{j} on {i}"
        self.shown = (i, j)
        self.told = "\n".join(f"{name} {value}" for name, value in rows)
        table = Table.grid(padding=(0, 1))
        for name, value in rows:
            table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
        self.query_one("#pair-numbers", Static).update(table)


def _looked_at(run: Run, i: int, j: int) -> tuple[list[tuple[str, str]], Pictures]:
    """Return numbers and pictures of a pair."""
    from cryocorr_tui.core.aligned import aligned_pictures, to_grey

    if i == j:
        return class_rows(run, i), (to_grey(run.classes[i].image), None)
    pair = run.pair(i, j)
    first, second = aligned_pictures(run, i, j)
    return pair_rows(run, pair), (to_grey(first), to_grey(second))
