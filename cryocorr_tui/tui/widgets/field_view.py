"""A displacement field as a map or as arrows, with a cursor on one of its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from cryocorr_tui.core.field_drawing import magnitude_range
from cryocorr_tui.core.model import DisplacementField, FloatArray
from cryocorr_tui.tui.colormaps import append_ramp, colours_of
from cryocorr_tui.tui.field_views import (
    MAPS,
    canvas_scale,
    draw_arrows,
    draw_map,
    invalid_marks,
    map_of,
    side_by_side,
    vector_at,
    with_cursor,
)
from cryocorr_tui.tui.graphics.terminal import PLAIN, Protocol, Terminal
from cryocorr_tui.tui.latest import LatestWins
from cryocorr_tui.tui.widgets.picture import Picture, View

__all__ = ["FieldView"]

ZOOMS = (1.0, 2.0, 4.0, 8.0, 16.0)
PAGE = 10  # vectors
RAMP_WIDTH = 12
ROOM, ROOM_OF_PARTS = 16, 7  # pixels from arrow to arrow, at least: of the terminal, of characters
PARTS = 2  # pixels of a cell, along each side, where pictures are characters


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What shall be drawn: a view of a field, with lines as wide as `pen`, arrows `room` apart."""

    reference: FloatArray
    field: DisplacementField
    view: str
    pen: float
    room: float


class FieldView(Vertical, can_focus=True):
    """Shows a field over its reference, and says which vector is under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(f"{arrow},{letter}", f"move({dy}, {dx})", name, show=False, id=f"field.{arrow}")
            for arrow, letter, name, dy, dx in (
                ("left", "h", "Left", 0, -1),
                ("down", "j", "Down", 1, 0),
                ("up", "k", "Up", -1, 0),
                ("right", "l", "Right", 0, 1),
            )
        ),
        Binding("pageup", f"move({-PAGE}, 0)", "A page up", show=False, id="field.page_up"),
        Binding("pagedown", f"move({PAGE}, 0)", "A page down", show=False, id="field.page_down"),
        Binding("home", "edge(0)", "First vector of the row", show=False, id="field.home"),
        Binding("end", "edge(-1)", "Last vector of the row", show=False, id="field.end"),
        Binding("n", "invalid(1)", "Next invalid vector", show=False, id="field.next"),
        Binding("N", "invalid(-1)", "Previous invalid vector", show=False, id="field.previous"),
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", show=False, id="field.zoom_in"),
        Binding("minus", "zoom(-1)", "Zoom out", show=False, id="field.zoom_out"),
    ]

    class CursorMoved(Message):
        """Another vector is under the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cursor = 0
        self.view = "magnitude"
        self.legend = ""
        self._reference: FloatArray | None = None
        self._field: DisplacementField | None = None
        self._canvas: NDArray[np.uint8] | None = None
        self._zoom = 0
        self._pen = 1.0
        self._drawer: LatestWins[_Wanted, NDArray[np.uint8]] = LatestWins(self, _draw, self._take)

    def compose(self) -> ComposeResult:
        """Lay out the picture under what its colours mean."""
        yield Static(id="field-legend")
        yield Picture(id="field-picture")

    @property
    def field(self) -> DisplacementField | None:
        """The field that is shown."""
        return self._field

    @property
    def picture(self) -> Picture:
        """Where it is drawn."""
        return self.query_one(Picture)

    # --- what is shown

    def show_pictures(self, reference: FloatArray, deformed: FloatArray) -> None:
        """Show two pictures of which nothing is measured yet."""
        self.forget()
        self._tell("left the reference, right the deformed")
        self.picture.show(side_by_side(reference, deformed))

    def forget(self) -> None:
        """Show nothing."""
        self._reference = self._field = self._canvas = None
        self._drawer.ask()
        self._tell("")
        self.picture.show(None)

    def show_field(self, reference: FloatArray, field: DisplacementField) -> None:
        """Show a field; on the same grid the cursor stays where it was."""
        if self._field is None or self._field.shape != field.shape:
            rows, columns = field.shape
            self.cursor, self._zoom = rows // 2 * columns + columns // 2, 0
        self._reference, self._field = reference, field
        self.draw()
        self.post_message(self.CursorMoved())

    def show_view(self, view: str) -> None:
        """Show another map, or the arrows."""
        self.view = view
        self.draw()

    def on_mount(self) -> None:
        """Follow the terminal: lines are as wide as its pixels."""
        self.watch(self.app, "terminal", self.draw, init=False)

    def on_resize(self) -> None:
        """Draw lines that can be seen at the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw the view anew, in a thread."""
        field, reference = self._field, self._reference
        if field is None or reference is None or not self.picture.size:
            return
        self._tell(self._legend_of(field))
        room = ROOM if self._has_pixels else ROOM_OF_PARTS
        wanted = _Wanted(reference, field, self.view, self._pen_of(field), room)
        self._drawer.ask(wanted)

    def _take(self, wanted: _Wanted, canvas: NDArray[np.uint8]) -> None:
        if wanted.field is self._field and wanted.view == self.view:
            self._canvas, self._pen = canvas, wanted.pen
            self._draw_cursor()

    def _draw_cursor(self) -> None:
        if self._canvas is None or self._field is None:
            return
        colour = not self.app.no_color
        drawn, centre = with_cursor(
            self._canvas, self._field, self.cursor, pen=self._pen, colour=colour
        )
        zoom = ZOOMS[self._zoom]
        marks = None
        if self.view != "arrows" and not self._field.valid.all():
            marks = invalid_marks(self._field, self.cursor, pen=self._pen)
        self.picture.show(drawn, view=View(*centre, zoom) if zoom > 1 else None, marks=marks)

    def _pen_of(self, field: DisplacementField) -> float:
        """Return pixels of the canvas per pixel of the screen."""
        scale = canvas_scale(field.picture_shape, field.settings.spacing)
        height, width = (side * scale for side in field.picture_shape)
        terminal: Terminal = getattr(self.app, "terminal", PLAIN)
        cell = (PARTS, PARTS)
        if self._has_pixels:
            cell = terminal.cell_height, terminal.cell_width
        room = self.picture.size
        fit = max(height / (room.height * cell[0]), width / (room.width * cell[1]))
        return float(fit / ZOOMS[self._zoom])

    @property
    def _has_pixels(self) -> bool:
        terminal: Terminal = getattr(self.app, "terminal", PLAIN)
        return terminal.protocol in (Protocol.KITTY, Protocol.SIXEL)

    def _legend_of(self, field: DisplacementField) -> Text:
        if self.view == "arrows":
            low, high = magnitude_range(field)
            return Text(f"arrows {low:.3g} to {high:.3g} px")
        drawn, unit = map_of(field, self.view), MAPS[self.view][1]
        line = Text(f"{self.view} {drawn.low:.3g} ", no_wrap=True, overflow="ellipsis")
        append_ramp(line, "viridis", RAMP_WIDTH, colours=colours_of(self.app))
        return line.append(f" {drawn.high:.3g} {unit}".rstrip())

    def _tell(self, legend: Text | str) -> None:
        self.legend = str(legend)
        self.query_one("#field-legend", Static).update(legend)

    # --- keys and mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer nothing where there is no field."""
        return self._field is not None

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor over the grid."""
        row, column = self._place
        self._go(row + down, column + right)

    def action_edge(self, column: int) -> None:
        """Go to the first or the last vector of the row."""
        self._go(self._place[0], column % self._shape[1])

    def action_invalid(self, step: int) -> None:
        """Go to the next vector that is invalid, or the previous one, round the field."""
        assert self._field is not None
        invalid = np.flatnonzero(~self._field.valid)
        if not invalid.size:
            self.notify("All vectors are valid.")
            return
        ahead = (step * (invalid - self.cursor) - 1) % len(self._field.valid)
        self._set_cursor(int(invalid[ahead.argmin()]))

    def action_zoom(self, step: int) -> None:
        """Zoom about the cursor."""
        self._zoom = min(max(self._zoom + step, 0), len(ZOOMS) - 1)
        self.draw()

    def on_click(self, event: Click) -> None:
        """Put the cursor under the mouse."""
        drawing, field = self.picture.drawing, self._field
        if drawing is None or field is None or self._canvas is None:
            return
        viewport, corner = drawing.viewport, self.picture.content_region
        row = event.screen_y - corner.y - viewport.top + 0.5
        column = event.screen_x - corner.x - viewport.left + 0.5
        y = viewport.y + row / viewport.rows * viewport.height
        x = viewport.x + column / viewport.columns * viewport.width
        self._set_cursor(vector_at(field, y, x))

    @property
    def _shape(self) -> tuple[int, int]:
        assert self._field is not None
        return self._field.shape

    @property
    def _place(self) -> tuple[int, int]:
        return divmod(self.cursor, self._shape[1])

    def _go(self, row: int, column: int) -> None:
        rows, columns = self._shape
        row, column = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
        self._set_cursor(row * columns + column)

    def _set_cursor(self, k: int) -> None:
        if k != self.cursor:
            self.cursor = k
            self._draw_cursor()
            self.post_message(self.CursorMoved())


def _draw(wanted: _Wanted) -> NDArray[np.uint8]:
    if wanted.view == "arrows":
        return draw_arrows(wanted.reference, wanted.field, pen=wanted.pen, room=wanted.room)
    return draw_map(wanted.reference, wanted.field, wanted.view, pen=wanted.pen)
