"""Many small pictures: made in a thread when they come into sight, the latest kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from cryocorr_tui.core.errors import CryocorrError
from cryocorr_tui.tui.graphics.drawing import Drawing, draw
from cryocorr_tui.tui.graphics.host import PictureHost
from cryocorr_tui.tui.graphics.terminal import PLAIN, Terminal

if TYPE_CHECKING:
    from cryocorr_tui.core.run import Run

__all__ = ["Laid", "Thumbnails", "laid_picture"]

Laid = tuple[int, int]
"""Class ids i and j: class j laid on class i; twice the same is that class as it is."""

_Wanted = tuple[Laid, Size]

MOST_HELD = 2000
AT_A_TIME = 8
DIMMED = 0.35  # brightness
MOST_WANTED = 256  # of those that came into sight while others were made; older ones are forgotten


def laid_picture(run: Run, laid: Laid) -> NDArray[np.uint8]:
    """Return class j laid on class i, (box, box) uint8 at the source pixels of i."""
    from cryocorr_tui.core.aligned import aligned_pictures, to_grey

    i, j = laid
    picture = run.classes[i].image if i == j else aligned_pictures(run, i, j)[1]
    known = np.isfinite(picture)
    if known.all() or not known.any():
        return to_grey(picture)
    return to_grey(np.where(known, picture, np.median(picture[known])))


class Thumbnails:
    """Pictures by what they show and how large.

    Parameters
    ----------
    widget : Widget
        Shows them; its thread makes them.
    ready : callable
        Is told when one is there.
    """

    def __init__(self, widget: Widget, ready: Callable[[Laid], None]) -> None:
        self._widget, self._ready = widget, ready
        self.run: Run | None = None
        self._drawings: OrderedDict[_Wanted, Drawing] = OrderedDict()
        self._wanted: OrderedDict[_Wanted, None] = OrderedDict()
        self._in_work: list[_Wanted] = []
        self._version = 0

    def begin(self, run: Run) -> None:
        """Forget all, and show classes of `run` from now on."""
        self.run = run
        self.clear()

    def clear(self) -> None:
        """Forget all pictures."""
        for drawing in self._drawings.values():
            self._send(drawing.deletion)
        self._drawings.clear()
        self._wanted.clear()
        self._in_work = []
        self._version += 1

    def strips(
        self,
        laid: Laid,
        size: Size,
        *,
        around: Style,
        dimmed: bool = False,
        covered: bool = False,
    ) -> list[Strip] | None:
        """Return the cells of a picture; None while it is made.

        Parameters
        ----------
        laid : Laid
            What it shows.
        size : Size
            Columns and rows to fill.
        around : Style
            Of the cells that the picture leaves.
        dimmed : bool
            Darker than it is.
        covered : bool
            A dialog is above, which dims all colours: kitty's would name another picture.
        """
        drawing = self._drawings.get((laid, size))
        if drawing is None:
            self._want((laid, size))
            return None
        self._drawings.move_to_end((laid, size))
        if dimmed:
            return _filled(drawing, [_dimmed(strip) for strip in drawing.characters], size, around)
        # Sixels would have to be sent with each frame, so there they are characters too.
        cells = (not covered and drawing.cells) or drawing.characters
        return _filled(drawing, cells, size, around)

    def _want(self, wanted: _Wanted) -> None:
        if wanted in self._in_work:
            return
        self._wanted[wanted] = None
        self._wanted.move_to_end(wanted)
        if len(self._wanted) > MOST_WANTED:
            self._wanted.popitem(last=False)
        self._work()

    def _work(self) -> None:
        """Have what was wanted last made in a thread, a few at a time, in their order."""
        run, terminal, version = self.run, self._terminal, self._version
        if self._in_work or not self._wanted or run is None:
            return
        count = min(AT_A_TIME, len(self._wanted))
        self._in_work = batch = [self._wanted.popitem()[0] for _ in range(count)][::-1]
        self._widget.run_worker(
            lambda: self._make(run, batch, terminal, version),
            group="thumbnails",
            thread=True,
            exit_on_error=False,
        )

    def _make(self, run: Run, batch: list[_Wanted], terminal: Terminal, version: int) -> None:
        worker = get_current_worker()
        try:
            for laid, size in batch:
                if worker.is_cancelled or version != self._version:
                    break
                picture = _picture(run, laid)
                rows, columns = size.height, size.width
                drawing = draw(picture, None, terminal=terminal, rows=rows, columns=columns)
                self._widget.call_later(self._take, (laid, size), drawing, version)
        finally:
            self._widget.call_later(self._rest, version)

    def _take(self, wanted: _Wanted, drawing: Drawing, version: int) -> None:
        if version != self._version:
            return
        if drawing.image_id:
            self._send(drawing.code)
        self._drawings[wanted] = drawing
        if len(self._drawings) > MOST_HELD:
            self._send(self._drawings.popitem(last=False)[1].deletion)
        self._ready(wanted[0])

    def _rest(self, version: int) -> None:
        if version == self._version:
            self._in_work = []
            self._work()

    @property
    def _terminal(self) -> Terminal:
        app = self._widget.app
        return app.terminal if isinstance(app, PictureHost) else PLAIN

    def _send(self, code: str) -> None:
        if isinstance(self._widget.app, PictureHost):
            self._widget.app.send(code)


def _picture(run: Run, laid: Laid) -> NDArray[np.uint8]:
    try:
        return laid_picture(run, laid)
    except CryocorrError:  # the store is damaged; whoever reads its numbers tells of it
        return np.zeros((2, 2), dtype=np.uint8)


def _filled(drawing: Drawing, cells: list[Strip], size: Size, around: Style) -> list[Strip]:
    """Return the cells of a picture in the middle of its place."""
    seen = drawing.viewport
    left = Strip.blank(seen.left, around)
    inside = [Strip.join([left, strip]).extend_cell_length(size.width, around) for strip in cells]
    blank = Strip.blank(size.width, around)
    return [blank] * seen.top + inside + [blank] * (size.height - seen.top - seen.rows)


def _dimmed(strip: Strip) -> Strip:
    segments = [Segment(text, _darker(style) if style else None) for text, style, _ in strip]
    return Strip(segments, strip.cell_length)


@lru_cache(maxsize=1 << 12)
def _darker(style: Style) -> Style:
    front, back = (_darker_colour(colour) for colour in (style.color, style.bgcolor))
    return style + Style(color=front, bgcolor=back)


def _darker_colour(colour: Color | None) -> Color | None:
    if colour is None or colour.triplet is None:
        return colour
    return Color.from_rgb(*(DIMMED * part for part in colour.triplet))
