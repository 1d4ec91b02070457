"""The members of a group, the representative first: pictures, numbers, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from cryocorr_tui.core.choices import Choices
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.pair_numbers import number
from cryocorr_tui.tui.thumbnails import Laid
from cryocorr_tui.tui.widgets.gallery import Gallery, line_of

__all__ = ["ClassSheet"]

ROWS = (
    22,
    16,
    12,
    10,
    8,
    6,
)  # of a picture: the largest with which all are in sight, else the last
CAPTION = 2  # lines below a picture


class ClassSheet(Gallery):
    """Shows classes side by side, laid on the first of them or as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "screen.left", "Left", show=False, id="groups.left"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 as every widget has it
        super().__init__(id=id)
        self.ids: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self.laid = True
        self._run: Run | None = None
        self._choices: Choices | None = None
        self._blend: FloatArray | None = None

    def show(
        self,
        run: Run,
        choices: Choices,
        blend: FloatArray | None,
        ids: NDArray[np.intp],
        cursor: int,
    ) -> None:
        """Show classes, the representative first; `blend` of all with all, once it is known."""
        self._run, self._choices, self._blend, self.ids = run, choices, blend, ids
        if self.thumbnails.run is not run:
            self.thumbnails.begin(run)
        self.show_entries(ids.size, cursor)

    @property
    def class_id(self) -> int | None:
        """The class under the cursor."""
        return int(self.ids[self.cursor]) if self.ids.size else None

    def measure(self, size: Size) -> Size:
        """Return width and height of an entry: as large as lets all be in sight."""
        for rows in ROWS:
            columns, lines = size.width // (2 * rows + 2), size.height // (rows + CAPTION + 1)
            if columns * lines >= self.count:
                break
        return Size(size.width // max(columns, 1), rows + CAPTION + 1)

    def picture_size(self, entry: Size) -> Size:
        """Return columns and rows of a picture."""
        rows = entry.height - CAPTION - 1
        return Size(2 * rows, rows)

    def pictures(self, index: int) -> Sequence[Laid]:
        """Return the class, laid on the representative or not."""
        class_id = int(self.ids[index])
        return ((int(self.ids[0]) if self.laid else class_id, class_id),)

    def draw_entry(self, index: int, size: Size, *, at_cursor: bool) -> list[Strip]:
        """Return the lines of an entry."""
        assert self._choices is not None
        dropped = int(self.ids[index]) in self._choices.dropped
        picture = self.picture_size(size)
        pixels = self.strips(self.pictures(index)[0], picture, dimmed=dropped)
        mark = line_of([("▌" if at_cursor else " ", self.style("cursor"))], 1, self.rich_style)
        width = size.width - 1
        words = [line_of(line, width, self.rich_style) for line in self._words(index, width)]
        filled = [strip.extend_cell_length(width, self.rich_style) for strip in pixels]
        lines = [Strip.join([mark, line]) for line in (*filled, *words)]
        return [*lines, Strip.blank(size.width, self.rich_style)]

    def _words(self, index: int, width: int) -> list[list[tuple[str, Style]]]:
        run, choices = self._run, self._choices
        assert run is not None
        assert choices is not None
        class_id, weak = int(self.ids[index]), self.style("weak")
        quality = number(float(run.quality.quality[class_id]), 2)
        name = f"★ {class_id}" if index == 0 else f"{class_id}"
        told = f"  quality {quality}"
        if len(name) + len(told) > width:
            told = f"  {quality}"
        first = [(name, self.style("good" if index == 0 else "strong")), (told, weak)]
        state: list[tuple[str, Style]] = []
        if class_id in choices.dropped:
            state.append(("dropped ", self.style("bad")))
        elif index:
            state.append((f"b {self._blend_with_first(class_id)} ", weak))
        if class_id in choices.assigned:
            state.append((f"→ {choices.assigned[class_id]}", self.style("strong")))
        return [first, state]

    def _blend_with_first(self, class_id: int) -> str:
        blend = float("nan") if self._blend is None else float(self._blend[self.ids[0], class_id])
        return number(blend, 2)
