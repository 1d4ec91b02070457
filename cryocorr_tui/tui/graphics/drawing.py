"""A picture as the terminal takes it."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from cryocorr_tui.tui.graphics import blocks, kitty, sixel
from cryocorr_tui.tui.graphics.terminal import Protocol, Terminal
from cryocorr_tui.tui.graphics.viewport import View, Viewport

__all__ = ["Drawing", "draw"]

# Other programs may have pictures in the same terminal: begin anywhere.
_counter = itertools.count(random.randrange(2**24))


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture as the terminal takes it.

    Attributes
    ----------
    terminal : Terminal
        The one it is made for.
    viewport : Viewport
        The part seen and the cells it takes.
    parts : ndarray, (2 · rows, 2 · columns) or (2 · rows, 2 · columns, 3) uint8
        The same in coarse pixels, for characters.
    code : str
        Escape codes to be sent once (kitty) or again whenever the cells were painted (sixel).
    image_id : int
        Of kitty, 0 of the others.
    marks : ndarray, (rows, columns) str, or None
        Characters over those that draw the picture; pixels hold their own marks.
    """

    terminal: Terminal
    viewport: Viewport
    parts: NDArray[np.uint8]
    code: str = ""
    image_id: int = 0
    marks: NDArray[np.str_] | None = None

    @property
    def protocol(self) -> Protocol:
        """How it is drawn."""
        return self.terminal.protocol

    @cached_property
    def cells(self) -> list[Strip]:
        """The picture's cells as text, a strip for each row; none where sixels cover them."""
        if self.protocol is Protocol.SIXEL:
            return []
        if self.protocol is Protocol.KITTY:
            columns = self.viewport.columns
            rows = kitty.placeholder_rows(self.image_id, self.viewport.rows, columns)
            return [Strip([Segment(text, Style(color=colour))], columns) for text, colour in rows]
        return self.characters

    @cached_property
    def characters(self) -> list[Strip]:
        """The picture in characters, a strip for each row."""
        if self.protocol is Protocol.NONE:
            drawn = blocks.ramp(self.parts)
        else:
            drawn = blocks.strips(self.parts, colours=self.terminal.colours)
        return drawn if self.marks is None else blocks.marked(drawn, self.marks)

    @property
    def deletion(self) -> str:
        """The escape code that frees the terminal's memory of it, empty where there is none."""
        if not self.image_id:
            return ""
        return kitty.delete(self.image_id, tmux=self.terminal.passthrough)


def draw(
    image: NDArray[np.uint8],
    view: View | None,
    *,
    terminal: Terminal,
    rows: int,
    columns: int,
    marks: NDArray[np.str_] | None = None,
) -> Drawing:
    """Scale a picture to the cells that there are for it, and encode it.

    Parameters
    ----------
    image : ndarray, (h, w) or (h, w, 3) uint8
        The picture; neither h nor w is 0.
    view : View or None
        The part that is wanted, None for the whole.
    terminal : Terminal
        Says how.
    rows, columns : int
        The room, at least one cell.
    marks : ndarray, (n, m) str, optional
        Characters that lie over the picture, stretched over the whole of it, where it is drawn with
        characters; empty where there is none.
    """
    if terminal.protocol is Protocol.KITTY:
        rows, columns = min(rows, kitty.LARGEST), min(columns, kitty.LARGEST)
    cell = terminal.cell_height, terminal.cell_width
    viewport = Viewport.fit(image.shape, view, rows=rows, columns=columns, cell=cell)
    rows, columns = viewport.rows, viewport.columns
    parts = viewport.sample(image, rows * blocks.PARTS, columns * blocks.PARTS)
    width = columns * terminal.cell_width
    if terminal.protocol is Protocol.SIXEL:
        pixels = viewport.sample(image, sixel.pixel_height(rows, terminal.cell_height), width)
        return Drawing(terminal, viewport, parts, sixel.encode(pixels))
    if terminal.protocol is Protocol.KITTY:
        pixels = viewport.sample(image, rows * terminal.cell_height, width)
        image_id = _next_id()
        code = kitty.transmit(
            pixels, image_id, rows=rows, columns=columns, tmux=terminal.passthrough
        )
        return Drawing(terminal, viewport, parts, code, image_id)
    over = None if marks is None else marks[np.ix_(*_cells_on(viewport, image.shape, marks.shape))]
    return Drawing(terminal, viewport, parts, marks=over)


def _cells_on(
    viewport: Viewport, shape: tuple[int, ...], grid: tuple[int, ...]
) -> list[NDArray[np.intp]]:
    """Return the rows and the columns of a grid over a picture that the viewport's cells lie on."""
    spans = (
        (viewport.y, viewport.height, viewport.rows),
        (viewport.x, viewport.width, viewport.columns),
    )
    places = []
    for (first, extent, cells), side, count in zip(spans, shape, grid, strict=False):
        centres = first + (np.arange(cells) + 0.5) * (extent / cells)
        places.append(np.clip(centres * (count / side), 0, count - 1).astype(np.intp))
    return places


def _next_id() -> int:
    """Return the number, and so the colour, of the next picture of kitty."""
    return next(_counter) % (2**24 - 1) + 1
