"""The vector under the cursor: its numbers, its subset and what that was matched with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from cryocorr_tui.core.aligned import to_grey
from cryocorr_tui.core.displacement.loading import ComparedPictures
from cryocorr_tui.core.displacement.probing import subset_and_match
from cryocorr_tui.core.model import DisplacementField
from cryocorr_tui.tui.field_numbers import vector_rows
from cryocorr_tui.tui.widgets.picture import Picture

__all__ = ["FieldProbe"]

NOTHING = np.zeros((2, 2), np.uint8)  # stands for a match that was not found


class FieldProbe(Vertical):
    """Shows one vector of a field."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told = ""
        """The numbers, a line each."""

    def compose(self) -> ComposeResult:
        """Lay out numbers over pictures."""
        yield Static(id="probe-numbers")
        with Horizontal(id="probe-pictures"):
            yield Picture(id="probe-subset")
            yield Picture(id="probe-match")

    def show_vector(self, pictures: ComparedPictures, field: DisplacementField, k: int) -> None:
        """Show vector `k` of a field between two pictures."""
        rows = vector_rows(field, k)
        self.told = "\n".join(f"{name}\t{value}" for name, value in rows)
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for name, value in rows:
            bad = value.startswith("no:")
            table.add_row(Text(name, style="dim"), Text(value, style="bold" if bad else ""))
        self.query_one("#probe-numbers", Static).update(table)
        subset, match = subset_and_match(pictures.reference, pictures.deformed, field, k)
        self._show("subset", to_grey(subset))
        self._show("match", NOTHING if match is None else to_grey(match))

    def _show(self, name: str, picture: NDArray[np.uint8]) -> None:
        shown = self.query_one(f"#probe-{name}", Picture)
        shown.border_title = name
        shown.show(picture)
