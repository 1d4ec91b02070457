"""Many small pictures: made in a thread when they come into sight, the latest kept."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
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
        self._wanted: deque[_Wanted] = deque(maxlen=MOST_WANTED)
        self._working = False
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
        self._version += 1

    def strips(self, laid: Laid, size: Size, *, characters: bool = False) -> list[Strip] | None:
        """Return the cells of a picture; None while it is made.

        Parameters
        ----------
        laid : Laid
            What it shows.
        size : Size
            Columns and rows to fill.
        characters : bool
            No real pixels: kitty's would be others in other colours, as under a dialog.
        """
        drawing = self._drawings.get((laid, size))
        if drawing is None:
            self._want((laid, size))
            return None
        self._drawings.move_to_end((laid, size))
        # Sixels would have to be sent with each frame, so there they are characters too.
        cells = (not characters and drawing.cells) or drawing.characters
        return _filled(drawing, cells, size)

    def _want(self, wanted: _Wanted) -> None:
        if self.run is None:
            return
        if wanted in self._wanted:
            self._wanted.remove(wanted)
        self._wanted.append(wanted)
        if not self._working:
            self._working = True
            run, version, terminal = self.run, self._version, self._terminal
            self._widget.run_worker(
                lambda: self._make(run, version, terminal),
                group="thumbnails",
                thread=True,
                exit_on_error=False,
            )

    @property
    def _terminal(self) -> Terminal:
        app = self._widget.app
        return app.terminal if isinstance(app, PictureHost) else PLAIN

    def _make(self, run: Run, version: int, terminal: Terminal) -> None:
        """Make what is wanted, the latest first, until nothing is."""
        worker = get_current_worker()
        while version == self._version and not worker.is_cancelled:
            try:
                laid, size = wanted = self._wanted.pop()
            except IndexError:
                break
            try:
                picture = laid_picture(run, laid)
            except CryocorrError:  # of a damaged store; whoever reads its numbers tells of it
                picture = np.zeros((2, 2), dtype=np.uint8)
            drawing = draw(picture, None, terminal=terminal, rows=size.height, columns=size.width)
            self._widget.call_later(self._take, wanted, drawing, version)
        self._widget.call_later(self._rest)

    def _take(self, wanted: _Wanted, drawing: Drawing, version: int) -> None:
        if version != self._version:
            return
        if drawing.image_id:
            self._send(drawing.code)
        self._drawings[wanted] = drawing
        if len(self._drawings) > MOST_HELD:
            self._send(self._drawings.popitem(last=False)[1].deletion)
        self._ready(wanted[0])

    def _rest(self) -> None:
        self._working = False
        if self._wanted:
            self._want(self._wanted.pop())

    def _send(self, code: str) -> None:
        if isinstance(self._widget.app, PictureHost):
            self._widget.app.send(code)


def _filled(drawing: Drawing, strips: list[Strip], size: Size) -> list[Strip]:
    """Return the strips of a picture in the middle of its cells."""
    seen = drawing.viewport
    left, right = Strip.blank(seen.left), Strip.blank(size.width - seen.left - seen.columns)
    blank = Strip.blank(size.width)
    inside = [Strip.join([left, strip, right]) for strip in strips]
    return [blank] * seen.top + inside + [blank] * (size.height - seen.top - seen.rows)
