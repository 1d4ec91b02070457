"""A picture in the best way that the terminal has."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from cryocorr_tui.tui.graphics.drawing import Drawing, draw
from cryocorr_tui.tui.graphics.host import PictureHost
from cryocorr_tui.tui.graphics.terminal import PLAIN, Protocol, Terminal
from cryocorr_tui.tui.graphics.viewport import View

__all__ = ["Picture", "View"]

_Wanted = tuple[NDArray[np.uint8] | None, View | None, NDArray[np.str_] | None]
"""A picture or none, the part to show, and the marks over it."""


class Picture(Widget):
    """A picture, or a part of it, as large as the widget allows.

    It is scaled and encoded in a thread, and the one before stays until that is done. In an app
    that is no `PictureHost` it is drawn with characters.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Picture {
        width: 1fr;
        height: 1fr;
    }
    """

    class Drawn(Message, bubble=False):
        """A picture is ready for the terminal."""

        def __init__(self, drawing: Drawing, request: int) -> None:
            super().__init__()
            self.drawing = drawing
            self.request = request

    def __init__(
        self,
        image: NDArray[np.uint8] | None = None,
        *,
        view: View | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.drawing: Drawing | None = None
        self.unsent = False  # whether there are sixels that the terminal does not show
        self._wanted: _Wanted = image, view, None
        self._request = self._answered = 0
        self._covered = False

    def show(
        self,
        image: NDArray[np.uint8] | None,
        *,
        view: View | None = None,
        marks: NDArray[np.str_] | None = None,
    ) -> None:
        """Show a picture, or none.

        Parameters
        ----------
        image : ndarray, (h, w) or (h, w, 3) uint8, or None
            The picture, not to be written to any more.
        view : View, optional
            The part to show; the whole by default.
        marks : ndarray, (n, m) str, optional
            As of `draw`: seen where the picture is characters.
        """
        if image is not None and (image.dtype != np.uint8 or image.ndim not in (2, 3)):
            raise ValueError(f"(h, w) or (h, w, 3) uint8 expected, not {image.shape} {image.dtype}")
        self._wanted = image, view, marks
        self._draw()

    def refresh_protocol(self) -> None:
        """Draw the picture again, by what the app's terminal is now."""
        self._draw()

    @property
    def busy(self) -> bool:
        """Whether the picture that was wanted last is still being made."""
        return self._answered < self._request

    @property
    def code(self) -> str:
        """The escape codes of the picture, empty where it is characters."""
        return self.drawing.code if self.drawing else ""

    @property
    def sixel_region(self) -> Region | None:
        """The cells on the screen that sixels cover, None where there are none."""
        if self.drawing is None or self.drawing.protocol is not Protocol.SIXEL:
            return None
        return self._cells.translate(self.content_region.offset)

    @property
    def _cells(self) -> Region:
        """The cells of the picture, from the corner of the content."""
        if self.drawing is None:
            return Region()
        viewport = self.drawing.viewport
        return Region(viewport.left, viewport.top, viewport.columns, viewport.rows)

    @property
    def _host(self) -> PictureHost[Any] | None:
        return self.app if isinstance(self.app, PictureHost) else None

    def on_mount(self) -> None:
        """Follow the terminal of the app."""
        if host := self._host:
            host.pictures.add(self)
            self.watch(host, "terminal", self.refresh_protocol, init=False)

    def on_unmount(self) -> None:
        """Free the terminal's memory of the picture."""
        if (host := self._host) and self.drawing:
            host.pictures.discard(self)
            host.send(self.drawing.deletion)

    def on_resize(self) -> None:
        """Draw the picture for its new room."""
        self._draw()

    def _draw(self) -> None:
        self._request += 1
        image, (columns, rows) = self._wanted[0], self.size
        if image is None or not image.size or not rows or not columns:  # a resize may come
            self._take(None)
        else:
            terminal = self._host.terminal if self._host else PLAIN
            if (
                terminal.protocol is Protocol.SIXEL
                and self.content_region.bottom >= self.app.size.height
            ):
                rows = max(rows - 1, 1)  # xterm scrolls where sixels reach the last row
            # Not with the picture: Textual's workers linger after their work until the garbage
            # collector comes by, which may be a hundred large pictures later.
            work = partial(self._encode, terminal, rows, columns, self._request)
            self.run_worker(work, thread=True, exclusive=True, group="drawing")

    def _encode(self, terminal: Terminal, rows: int, columns: int, request: int) -> None:
        image, view, marks = self._wanted
        if get_current_worker().is_cancelled or image is None or not image.size:
            return  # something newer came while this one waited
        drawing = draw(image, view, terminal=terminal, rows=rows, columns=columns, marks=marks)
        self.post_message(self.Drawn(drawing, request))

    def on_picture_drawn(self, event: Drawn) -> None:
        """Put a picture in the place of the one before."""
        if event.request == self._request:
            self._take(event.drawing)

    def _take(self, drawing: Drawing | None) -> None:
        self._answered = self._request
        before, cells = self.drawing, self._cells
        self.drawing = drawing
        host = self._host
        if host is None or drawing is None or drawing.protocol is not Protocol.SIXEL:
            self.unsent = False
            if host and drawing:
                host.send(drawing.code)
            self.repaint()
        else:
            self.unsent = True
            sixels = before is not None and before.protocol is Protocol.SIXEL
            # Over a picture of the same size the new one is drawn at once, without a blank between;
            # but tmux would keep the one below, so it must see its cells painted.
            if sixels and cells == self._cells and not drawing.terminal.passthrough:
                host.send_sixels()
            else:
                self.repaint()
        if host and before:  # after the cells that showed it are gone
            self.call_after_refresh(host.send, before.deletion)

    def repaint(self) -> None:
        """Paint all cells, those under sixels too, whereupon these are sent again."""
        super().refresh()

    def refresh(
        self,
        *regions: Region,
        repaint: bool = True,
        layout: bool = False,
        recompose: bool = False,
    ) -> Self:
        """Refresh the widget, but none of the cells under sixels that are well where they are."""
        if repaint and not regions and self.sixel_region is not None and not self.unsent:
            regions = tuple(self._around())
            repaint = bool(regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _around(self) -> list[Region]:
        """Return what surrounds the picture, border included, from the content's corner on."""
        whole = self.outer_size.region.translate(-self.content_offset)
        cells = self._cells
        above = Region(whole.x, whole.y, whole.width, cells.y - whole.y)
        below = Region(whole.x, cells.bottom, whole.width, whole.bottom - cells.bottom)
        left = Region(whole.x, cells.y, cells.x - whole.x, cells.height)
        right = Region(cells.right, cells.y, whole.right - cells.right, cells.height)
        return [region for region in (above, below, left, right) if region]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render, and never from the cache once the picture is covered or no more."""
        if self._covered is self._in_sight():
            self._covered = not self._covered
            self._styles_cache.clear()
            if self._covered and self.drawing and self.drawing.terminal.passthrough:
                self.call_later(self.repaint)  # tmux removes all of a sixel picture partly covered
        return super().render_lines(crop)

    def _in_sight(self) -> bool:
        """Return whether the terminal can draw the picture just now."""
        host, region = self._host, self.sixel_region
        if host is None or region is None:
            return self.screen.is_active
        return host.in_sight(self, region)

    def render_line(self, y: int) -> Strip:
        """Return a row of cells."""
        cells, width = self._cells, self.size.width
        style = self.rich_style
        if self.drawing is None or y not in cells.line_range:
            return Strip.blank(width, style)
        # Sixels cannot be drawn under a toast. And under a dialog Textual dims the colours: kitty's
        # placeholders would name another picture.
        strips = self.drawing.characters if self._covered else self.drawing.cells
        if not strips:
            return Strip.blank(width, style)
        line = Strip.join(
            [
                Strip.blank(cells.x, style),
                strips[y - cells.y],
                Strip.blank(max(width - cells.right, 0), style),
            ]
        )
        return line.adjust_cell_length(width, style)  # the widget may just have been resized
