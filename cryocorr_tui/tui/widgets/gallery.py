"""A grid of entries of one size, of which only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cryocorr_tui.tui.graphics.host import PictureHost
from cryocorr_tui.tui.thumbnails import Laid, Thumbnails

__all__ = ["Gallery", "line_of"]

MOST_DRAWN = 1000  # entries whose cells are held

Words = Iterable[tuple[str, Style]]


def line_of(words: Words, width: int, background: Style) -> Strip:
    """Return words in their styles as one line of so many cells."""
    segments = [Segment(text, background + style) for text, style in words if text]
    return Strip(segments).adjust_cell_length(width, background)


class Gallery(ScrollView, can_focus=True, inherit_bindings=False):
    """Entries in rows, with a cursor.

    A kind of gallery says how large its entries are (`measure`), what they show (`pictures`) and
    draws one (`draw_entry`).
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1, 0)", "Left", show=False, id="gallery.left"),
        Binding("right,l", "move(1, 0)", "Right", show=False, id="gallery.right"),
        Binding("up,k", "move(0, -1)", "Up", show=False, id="gallery.up"),
        Binding("down,j", "move(0, 1)", "Down", show=False, id="gallery.down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="gallery.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="gallery.page_down"),
        Binding("home,g", "jump(0)", "First", show=False, id="gallery.first"),
        Binding("end,G", "jump(-1)", "Last", show=False, id="gallery.last"),
        Binding("enter", "open", "Open", id="gallery.open"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "gallery--cursor",
        "gallery--strong",
        "gallery--weak",
        "gallery--good",
        "gallery--bad",
        "gallery--empty",
    }

    class Moved(Message):
        """The cursor stands on another entry."""

        def __init__(self, gallery: Gallery, index: int) -> None:
            super().__init__()
            self.gallery, self.index = gallery, index

        @property
        def control(self) -> Gallery:
            """The gallery."""
            return self.gallery

    class Opened(Moved):
        """An entry is to be opened."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 as every widget has it
        super().__init__(id=id)
        self.thumbnails = Thumbnails(self, self._thumbnail_ready)
        self.count = 0
        self.cursor = 0
        self.empty = ""  # said where there are no entries
        self._drawn: dict[int, list[Strip]] = {}
        self._columns, self._entry = 1, Size(1, 1)
        self._arranged = False  # not before there is room
        self._covered = False

    # --- what a kind of gallery says

    def measure(self, size: Size) -> Size:
        """Return width and height of an entry in a gallery of `size` cells."""
        raise NotImplementedError

    def picture_size(self, entry: Size) -> Size:
        """Return columns and rows of each picture in an entry."""
        raise NotImplementedError

    def pictures(self, index: int) -> Sequence[Laid]:
        """Return what the pictures of an entry show."""
        raise NotImplementedError

    def draw_entry(self, index: int, size: Size, *, at_cursor: bool) -> list[Strip]:
        """Return the lines of an entry."""
        raise NotImplementedError

    # --- entries

    @property
    def columns(self) -> int:
        """Entries in a row."""
        return self._columns

    def show_entries(self, count: int, cursor: int = 0) -> None:
        """Show other entries; pictures that were made stay."""
        moved = cursor != self.cursor
        row = self.cursor // self._columns - self.scroll_offset.y // self._entry.height
        self.count = count
        self.cursor = min(max(cursor, 0), max(count - 1, 0))
        self._arrange()
        if moved:  # the entry under the cursor stays where it is on the screen
            top = (self.cursor // self._columns - row) * self._entry.height
            self.scroll_to(y=max(top, 0), animate=False, force=True, immediate=True)
        self._scroll_to_cursor()

    def redraw(self) -> None:
        """Draw all entries anew."""
        self._drawn.clear()
        self.refresh()

    def strips(self, laid: Laid, size: Size, *, dimmed: bool = False) -> list[Strip]:
        """Return the cells of a picture, or of its place while it is made.

        Parameters
        ----------
        laid : Laid
            What it shows.
        size : Size
            Columns and rows.
        dimmed : bool
            Darker, as what is dropped.
        """
        around = self.rich_style
        made = self.thumbnails.strips(
            laid, size, around=around, dimmed=dimmed, covered=self._covered
        )
        if made is not None:
            return made
        blank = Strip.blank(size.width, around)
        middle = line_of([("·".center(size.width), self.style("weak"))], size.width, around)
        return [middle if y == size.height // 2 else blank for y in range(size.height)]

    def style(self, name: str) -> Style:
        """Return the colours of one of the component classes, without their background."""
        found = self.get_component_rich_style(f"gallery--{name}")
        return Style(color=found.color, bold=found.bold)

    # --- drawing

    def on_mount(self) -> None:
        """Follow the terminal of the app."""
        if isinstance(self.app, PictureHost):
            self.watch(self.app, "terminal", self._draw_pictures_again, init=False)
        # A terminal forgets the pictures it was sent while the app is stopped.
        self.app.app_resume_signal.subscribe(self, lambda _: self._draw_pictures_again())

    def on_unmount(self) -> None:
        """Free what the terminal holds of the pictures."""
        self.thumbnails.clear()

    def _draw_pictures_again(self) -> None:
        self.thumbnails.clear()
        self.redraw()

    def on_resize(self, event: Resize) -> None:
        """Arrange the entries for the room there is."""
        self._arrange()
        self._scroll_to_cursor()

    def _arrange(self) -> None:
        room = self.scrollable_content_region.size
        if not room.width or not room.height:
            return
        self._entry, self._arranged = self.measure(room), True
        self._columns = max(1, room.width // self._entry.width)
        rows = -(-self.count // self._columns)
        self.virtual_size = Size(room.width, rows * self._entry.height)
        self.redraw()

    def notify_style_update(self) -> None:
        """Draw anew: the theme may have changed."""
        super().notify_style_update()
        self._drawn.clear()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render, and never from the cache what was rendered under or over another screen."""
        covered = not self.screen.is_active
        if covered is not self._covered:
            self._covered = covered
            self._drawn.clear()
            self._styles_cache.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return a line of all entries that it crosses."""
        width = self.size.width
        if not self._arranged:
            return Strip.blank(width, self.rich_style)
        if not self.count:
            weak = self.style("weak")
            words = [(f" {self.empty}", weak)] if y == 1 else []
            return line_of(words, width, self.rich_style)
        row, line = divmod(y + self.scroll_offset.y, self._entry.height)
        first = row * self._columns
        entries = range(first, min(first + self._columns, self.count))
        strips = [self._drawn_entry(index)[line] for index in entries]
        return Strip.join(strips).adjust_cell_length(width, self.rich_style)

    def _drawn_entry(self, index: int) -> list[Strip]:
        drawn = self._drawn.get(index)
        if drawn is None:
            if len(self._drawn) > MOST_DRAWN:
                self._drawn.clear()
            at_cursor = index == self.cursor
            drawn = self._drawn[index] = self.draw_entry(index, self._entry, at_cursor=at_cursor)
        return drawn

    def _thumbnail_ready(self, laid: Laid) -> None:
        for index in self._in_sight():
            if laid in self.pictures(index):
                self._refresh_entry(index)

    def _in_sight(self) -> range:
        height, top = self._entry.height, self.scroll_offset.y
        first = top // height * self._columns
        last = -(-(top + self.size.height) // height) * self._columns
        return range(first, min(last, self.count))

    def _refresh_entry(self, index: int) -> None:
        self._drawn.pop(index, None)
        row, column = divmod(index, self._columns)
        corner = column * self._entry.width, row * self._entry.height - self.scroll_offset.y
        self.refresh(Region(*corner, *self._entry))

    # --- the cursor

    def action_move(self, columns: int, rows: int) -> None:
        """Move the cursor by entries."""
        self.move_to(self.cursor + columns + rows * self._columns)

    def action_page(self, pages: int) -> None:
        """Move the cursor by screens."""
        rows = max(1, self.size.height // self._entry.height)
        target = self.cursor + pages * rows * self._columns
        self.move_to(min(max(target, 0), self.count - 1))

    def action_jump(self, index: int) -> None:
        """Go to an entry; −1 is the last."""
        self.move_to(index if index >= 0 else self.count + index)

    def move_to(self, index: int) -> None:
        """Put the cursor on an entry, if there is such a one."""
        if not 0 <= index < self.count or index == self.cursor:
            return
        before, self.cursor = self.cursor, index
        self._refresh_entry(before)
        self._refresh_entry(index)
        self._scroll_to_cursor()
        self.post_message(self.Moved(self, index))

    def action_open(self) -> None:
        """Open the entry under the cursor."""
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: Click) -> None:
        """Put the cursor under the mouse; open where it stands there already."""
        at = event.get_content_offset(self)
        if at is None or not self.count:
            return
        column = min(at.x // self._entry.width, self._columns - 1)
        row = (at.y + self.scroll_offset.y) // self._entry.height
        index = row * self._columns + column
        if index == self.cursor:
            self.action_open()
        else:
            self.move_to(index)

    def _scroll_to_cursor(self) -> None:
        height = self._entry.height
        top = self.cursor // self._columns * height
        if top < self.scroll_offset.y:
            target = top
        elif top + height > self.scroll_offset.y + self.size.height:
            target = top + height - self.size.height
        else:
            return
        self.scroll_to(y=target, animate=False, force=True, immediate=True)
