"""Many class averages side by side, each with a line of words below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from cryocorr_tui.tui.contact_sheet import contact_sheet
from cryocorr_tui.tui.widgets.picture import Picture

__all__ = ["ContactSheet"]

SMALL, LARGE = 4, 8  # rows of a thumbnail, in few and in many columns
MANY_COLUMNS = 100
PIXELS = 8  # of a thumbnail along the width of a cell


class Strip(Vertical):
    """One row of thumbnails over one of words."""

    def compose(self) -> ComposeResult:
        """Hold pictures and words."""
        yield Picture()
        yield Static()


class ContactSheet(Vertical, can_focus=True):
    """Shows as many images as there is room for, and one of them is under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"contact-sheet--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Left", show=False, id="sheet.left"),
        Binding("right,l", "move(1)", "Right", show=False, id="sheet.right"),
        Binding("up,k", "move_rows(-1)", "Up", show=False, id="sheet.up"),
        Binding("down,j", "move_rows(1)", "Down", show=False, id="sheet.down"),
        Binding("pageup,ctrl+u", "move_pages(-1)", "Page up", show=False, id="sheet.page_up"),
        Binding("pagedown,ctrl+d", "move_pages(1)", "Page down", show=False, id="sheet.page_down"),
        Binding("home,g", "go(0)", "First", show=False, id="sheet.first"),
        Binding("end,G", "go(-1)", "Last", show=False, id="sheet.last"),
    ]

    class CursorMoved(Message):
        """Another image is under the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cursor = 0
        self._images: Sequence[NDArray[Any]] = ()
        self._captions: Sequence[str] = ()
        self._shown: tuple[int, int, int] | None = None  # first image, columns, rows

    def show(self, images: Sequence[NDArray[np.generic]], captions: Sequence[str]) -> None:
        """Show other images, each (h, w), with a few characters for each."""
        self._images, self._captions = images, captions
        self.cursor = min(self.cursor, max(len(images) - 1, 0))
        self._shown = None
        self._draw()

    @property
    def captions(self) -> Sequence[str]:
        """What is written under the images."""
        return self._captions

    def on_resize(self) -> None:
        """Use the room."""
        self._draw()

    @property
    def _rows_of_one(self) -> int:
        return LARGE if self.size.width >= MANY_COLUMNS else SMALL

    @property
    def _columns(self) -> int:
        return max(1, (self.size.width + 1) // (2 * self._rows_of_one + 1))

    @property
    def _rows(self) -> int:
        return max(1, self.size.height // (self._rows_of_one + 1))

    def _draw(self) -> None:
        """Show the page that holds the cursor; its pictures are drawn only where it is another."""
        if not self.size:
            return
        columns, rows = self._columns, self._rows
        first = self.cursor // (columns * rows) * columns * rows
        strips = list(self.query(Strip))
        if len(strips) != rows:
            self._shown = None
            for strip in strips[rows:]:
                strip.remove()
            if len(strips) < rows:
                self.mount_all(Strip() for _ in range(rows - len(strips)))
        if len(strips) < rows or not all(strip.children for strip in strips):
            self.call_after_refresh(self._draw)  # some have just been mounted, and hold nothing yet
            return
        if self._shown != (first, columns, rows):
            self._shown = first, columns, rows
            for k, strip in enumerate(strips[:rows]):
                self._draw_pictures(strip, first + k * columns, columns)
        for k, strip in enumerate(strips[:rows]):
            strip.query_one(Static).update(self._words(first + k * columns, columns))

    def _draw_pictures(self, strip: Strip, start: int, columns: int) -> None:
        images = list(self._images[start : start + columns])
        picture = strip.query_one(Picture)
        picture.styles.height = self._rows_of_one
        picture.styles.width = len(images) * (2 * self._rows_of_one + 1) - 1
        if images:
            side = 2 * self._rows_of_one * PIXELS
            picture.show(contact_sheet(images, len(images), side, gap=PIXELS))
        else:
            picture.show(None)

    def _words(self, start: int, columns: int) -> Text:
        line = Text(no_wrap=True)
        width = 2 * self._rows_of_one
        here = self.get_component_rich_style("contact-sheet--cursor")
        for k in range(start, min(start + columns, len(self._images))):
            caption = self._captions[k][:width].center(width)
            line.append(caption, here if k == self.cursor else "")
            line.append(" ")
        return line

    def action_move(self, by: int) -> None:
        """Move the cursor by images."""
        self.action_go(min(max(self.cursor + by, 0), len(self._images) - 1))

    def action_move_rows(self, by: int) -> None:
        """Move the cursor by rows."""
        if 0 <= self.cursor + by * self._columns < len(self._images):
            self.action_move(by * self._columns)

    def action_move_pages(self, by: int) -> None:
        """Move the cursor by pages."""
        self.action_move(by * self._columns * self._rows)

    def action_go(self, k: int) -> None:
        """Go to an image; −1 is the last."""
        if self._images:
            self.cursor = k % len(self._images)
            self._draw()
            self.post_message(self.CursorMoved())
