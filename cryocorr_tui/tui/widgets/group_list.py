"""The groups of a run: of each its representative and its numbers."""

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
from cryocorr_tui.core.grouping import mean_inside
from cryocorr_tui.core.model import FloatArray, Groups
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.pair_numbers import number
from cryocorr_tui.tui.thumbnails import Laid
from cryocorr_tui.tui.widgets.gallery import Gallery, line_of

__all__ = ["GroupList", "members_of"]

ROWS = 4  # of a picture


def members_of(groups: Groups, group: int) -> NDArray[np.intp]:
    """Return the class ids of a group that counts from 1."""
    return np.flatnonzero(groups.labels == group)


class GroupList(Gallery):
    """Lists groups, the largest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,enter", "screen.members", "Members", id="groups.members"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 as every widget has it
        super().__init__(id=id)
        self._run: Run | None = None
        self._choices: Choices | None = None
        self._blend: FloatArray | None = None

    def show(self, run: Run, choices: Choices, blend: FloatArray | None, cursor: int) -> None:
        """Show the groups of `choices`; without `blend` their mean blends are not known."""
        self._run, self._choices, self._blend = run, choices, blend
        if self.thumbnails.run is not run:
            self.thumbnails.begin(run)
        assert choices.groups is not None
        self.show_entries(len(choices.groups.representatives), cursor)

    def measure(self, size: Size) -> Size:
        """Return width and height of an entry."""
        return Size(size.width, ROWS + 1)

    def picture_size(self, entry: Size) -> Size:
        """Return columns and rows of the representative."""
        return Size(2 * ROWS, ROWS)

    def pictures(self, index: int) -> Sequence[Laid]:
        """Return the representative."""
        assert self._choices is not None
        assert self._choices.groups is not None
        representative = int(self._choices.groups.representatives[index])
        return ((representative, representative),)

    def draw_entry(self, index: int, size: Size, *, at_cursor: bool) -> list[Strip]:
        """Return the lines of an entry."""
        picture = self.picture_size(size)
        pixels = self.strips(self.pictures(index)[0], picture)
        mark = line_of([("▌" if at_cursor else " ", self.style("cursor"))], 1, self.rich_style)
        gap = Strip.blank(1, self.rich_style)
        width = size.width - picture.width - 2
        words = (line_of(line, width, self.rich_style) for line in self._words(index))
        lines = [
            Strip.join([mark, pixel, gap, line]) for pixel, line in zip(pixels, words, strict=True)
        ]
        return [*lines, Strip.blank(size.width, self.rich_style)]

    def _words(self, index: int) -> list[list[tuple[str, Style]]]:
        run, choices = self._run, self._choices
        assert run is not None
        assert choices is not None
        assert choices.groups is not None
        ids = members_of(choices.groups, index + 1)
        strong, weak, plain = self.style("strong"), self.style("weak"), Style()
        quality = run.quality.quality[ids]
        known = quality[~np.isnan(quality)]
        blend = float("nan") if self._blend is None else mean_inside(self._blend, ids)
        dropped = len(choices.dropped.intersection(ids.tolist()))
        particles = [run.classes[k].particles for k in ids]
        behind = "" if None in particles else f"{sum(p or 0 for p in particles):,.0f} particles"
        return [
            [(f"group {index + 1}", strong), (f"  {ids.size} ", plain), (_classes(ids.size), weak)],
            [
                ("quality ", weak),
                (number(float(known.mean()) if known.size else float("nan"), 2), plain),
                (" blend ", weak),
                (number(blend, 2), plain),
            ],
            [(behind, plain)],
            [(f"{dropped} dropped" if dropped else "", self.style("bad"))],
        ]


def _classes(count: int) -> str:
    return "class" if count == 1 else "classes"
