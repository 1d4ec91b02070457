"""How far a field depends on block size and search area, as a table and as a picture.

The picture is drawn where pixels can show its letters and there is room; else it is characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from cryocorr_tui.core.displacement import SweepCell
from cryocorr_tui.core.field_drawing import coloured, draw_sweep
from cryocorr_tui.tui.graphics.terminal import PLAIN, Protocol
from cryocorr_tui.tui.pair_numbers import number
from cryocorr_tui.tui.raster import Painter
from cryocorr_tui.tui.widgets.picture import Picture

__all__ = ["SweepView"]

ROOMY = 100  # columns from which on table and picture are seen together
LABEL, CELL = 3, 6  # columns of the picture in characters

COLUMNS: dict[str, Callable[[SweepCell], str]] = {
    "block": lambda cell: f"{cell.block_size}",
    "area": lambda cell: f"×{cell.search_area_multiplier:g}",
    "valid": lambda cell: f"{cell.valid_part:.0%}",
    "magnitude": lambda cell: number(cell.magnitude, 4),
    "known to": lambda cell: number(cell.uncertainty, 4),
    "corr.": lambda cell: number(cell.correlation, 3),
    "deviation": lambda cell: number(cell.deviation, 4),
}


class SweepView(Horizontal):
    """Shows the cells of a sweep."""

    def compose(self) -> ComposeResult:
        """Lay out the table beside the picture."""
        with VerticalScroll(id="sweep-table"):
            yield Static()
        yield Static(id="sweep-cells")
        yield Picture(id="sweep-picture")

    def show_cells(self, cells: Sequence[SweepCell]) -> None:
        """Show another sweep."""
        self.query_one("#sweep-table Static", Static).update(_table(cells))
        self.query_one("#sweep-cells", Static).update(_in_characters(cells))
        picture = draw_sweep(cells)
        if self.app.no_color:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        self.query_one(Picture).show(picture)

    def on_mount(self) -> None:
        """Follow the terminal: only pixels show the letters of the picture."""
        self.watch(self.app, "terminal", self._lay_out)

    def on_resize(self) -> None:
        """Show the picture where there is room for it."""
        self._lay_out()

    def _lay_out(self) -> None:
        terminal = getattr(self.app, "terminal", PLAIN)
        pixels = terminal.protocol in (Protocol.KITTY, Protocol.SIXEL)
        drawn = pixels and self.size.width >= ROOMY
        self.query_one(Picture).display = drawn
        self.query_one("#sweep-cells").display = not drawn


def _table(cells: Sequence[SweepCell]) -> Table:
    """Return a row for each pair of settings."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), caption_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        table.add_row(*(column(cell) for column in COLUMNS.values()))
    table.caption = "px; deviation from the median of all settings: small where they matter little"
    return table


def _in_characters(cells: Sequence[SweepCell]) -> Text:
    """Return what `draw_sweep` draws: block sizes down, search areas to the right.

    The colour is the deviation, written in each cell above the part of the vectors that are valid.
    """
    deviations = np.array([cell.deviation for cell in cells], dtype=np.float32)
    known = deviations[np.isfinite(deviations)]
    colours = coloured(deviations, 0.0, float(known.max()) if known.size else 1.0)
    painter = Painter([(red, green, blue) for red, green, blue in colours.tolist()])
    areas = sorted({cell.search_area_multiplier for cell in cells})
    numbers = {(cell.block_size, cell.search_area_multiplier): k for k, cell in enumerate(cells)}
    drawn = Text(" " * LABEL, no_wrap=True)
    drawn.append("".join(f"{f'×{area:g}':>{CELL}}" for area in areas))
    for block in sorted({cell.block_size for cell in cells}):
        tried = [numbers.get((block, area)) for area in areas]
        for label, words in ((f"{block}", _deviation), ("", COLUMNS["valid"])):
            drawn.append(f"\n{label:>{LABEL}}")
            for k in tried:
                if k is None:
                    drawn.append(" " * CELL)
                else:
                    drawn.append(f"{words(cells[k]):>{CELL}}", painter.figures_on(k))
    return drawn


def _deviation(cell: SweepCell) -> str:
    return number(cell.deviation, 3 if cell.deviation < 10 else 1)
