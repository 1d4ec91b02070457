"""The pairs of a ranking: both pictures of each, one laid on the other, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from cryocorr_tui.tui.names import shortened
from cryocorr_tui.tui.pair_numbers import angle, chance, number, signed
from cryocorr_tui.tui.thumbnails import Laid
from cryocorr_tui.tui.widgets.gallery import Gallery, line_of

if TYPE_CHECKING:
    from cryocorr_tui.core.ranking import Ranking
    from cryocorr_tui.core.run import Run

__all__ = ["PairGallery"]

WORDS = 27  # cells of the numbers beside the pictures
LOW, HIGH = 6, 8  # rows of a picture
TALL = 40  # rows of a gallery from which on pictures are larger
NONE = np.empty(0, dtype=np.intp)


class PairGallery(Gallery):
    """Shows some pairs of a ranking, in an order."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 as every widget has it
        super().__init__(id=id)
        self.ranking: Ranking | None = None
        self.shown: NDArray[np.intp] = NONE

    def begin(self, run: Run) -> None:
        """Forget everything; from now on the pairs are of `run`."""
        self.ranking, self.shown = None, NONE
        self.thumbnails.begin(run)
        self.show_entries(0)

    def show(self, ranking: Ranking, shown: NDArray[np.intp]) -> None:
        """Show pairs; the cursor stays on its own where that is among them, or on the first.

        Parameters
        ----------
        ranking : Ranking
            All pairs.
        shown : (m,) int
            Places in it, in the order to show.
        """
        pair, cursor = self.pair, min(self.cursor, max(shown.size - 1, 0))
        if pair is not None and cursor and (place := ranking.find(*pair)) is not None:
            at = np.flatnonzero(shown == place)
            cursor = int(at[0]) if at.size else cursor
        self.ranking, self.shown = ranking, shown
        self.show_entries(shown.size, cursor)

    @property
    def pair(self) -> tuple[int, int] | None:
        """Class ids of the pair under the cursor."""
        return self._ids(self.cursor) if self.shown.size else None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Class ids of all pairs that are shown, in their order."""
        if self.ranking is None:
            return []
        first, second = (ids[self.shown].tolist() for ids in (self.ranking.i, self.ranking.j))
        return list(zip(first, second, strict=True))

    def _ids(self, index: int) -> tuple[int, int]:
        assert self.ranking is not None
        place = self.shown[index]
        return int(self.ranking.i[place]), int(self.ranking.j[place])

    def measure(self, size: Size) -> Size:
        """Return width and height of an entry: larger ones where there is room."""
        rows = HIGH if size.height >= TALL else LOW
        least = 2 * 2 * rows + 3 + WORDS
        columns = max(1, size.width // least)
        return Size(size.width // columns, rows + 1)

    def picture_size(self, entry: Size) -> Size:
        """Return columns and rows of each picture."""
        return Size(2 * (entry.height - 1), entry.height - 1)

    def pictures(self, index: int) -> Sequence[Laid]:
        """Return class i, and class j laid on it."""
        i, j = self._ids(index)
        return (i, i), (i, j)

    def draw_entry(self, index: int, size: Size, *, at_cursor: bool) -> list[Strip]:
        """Return the lines of an entry."""
        assert self.ranking is not None
        picture = self.picture_size(size)
        first, second = (self.strips(laid, picture) for laid in self.pictures(index))
        strong, weak = self.style("strong"), self.style("weak")
        mark = line_of([("▌" if at_cursor else " ", self.style("cursor"))], 1, self.rich_style)
        gap = Strip.blank(1, self.rich_style)
        width = size.width - 2 * picture.width - 3
        words = self._words(index, width, strong, weak)
        lines = [
            Strip.join(
                [mark, first[y], gap, second[y], gap, line_of(words[y], width, self.rich_style)]
            )
            for y in range(picture.height)
        ]
        return [*lines, Strip.blank(size.width, self.rich_style)]

    def _words(
        self, index: int, width: int, strong: Style, weak: Style
    ) -> list[list[tuple[str, Style]]]:
        """Return the numbers of a pair, a line each, as many as its pictures are high."""
        ranking, k, plain = self.ranking, self.shown[index], Style()
        run = self.thumbnails.run
        assert ranking is not None
        assert run is not None
        i, j = self._ids(index)
        qualities = " · ".join(number(float(run.quality.quality[c]), 2) for c in (i, j))
        mirrored = "  mirrored" if ranking.mirrored[k] else ""
        shift = f"{signed(ranking.shift_y[k])} {signed(ranking.shift_x[k])} px"
        score, blend = (number(float(each[k]), 2) for each in (ranking.score, ranking.blend))
        lines = [
            [
                (f"{i}–{j}", strong),
                ("  score ", weak),
                (score, strong),
            ],
            [("quality ", weak), (qualities, plain)],
            [(angle(ranking.rotation[k]), plain), (mirrored, plain)],
            [("shift ", weak), (shift, plain)],
            [("blend ", weak), (blend, plain)],
            [("p ", weak), (chance(float(ranking.p_value[k])), plain)],
        ]
        names = [PurePath(run.classes[c].source).name for c in (i, j)]
        numbers = [f" #{run.classes[c].source_index}" for c in (i, j)]
        extra = [
            [(shortened(name, width - len(place), names) + place, weak)]
            for name, place in zip(names, numbers, strict=True)
        ]
        return [*lines, *extra]
