"""The matrix of a run, coloured: any size, drawn line by line, with a cursor on one pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from cryocorr_tui.tui.axis import BORDER, Axis, Slots
from cryocorr_tui.tui.colormaps import RGB, colours_of, ramp
from cryocorr_tui.tui.raster import Painter, PlainPainter, skyline
from cryocorr_tui.tui.score_map import HUNDREDTHS, UNKNOWN, ScoreMap

__all__ = ["Heatmap"]

# Numbers of colours: the steps of the ramp from 0 on, the same ones dimmed (below the threshold)
# from `DIMMED` on, then the others. Fewer steps than levels: more neighbours share one, and less is
# sent.
STEPS = 64
DIMMED = STEPS
EMPTY, EDGE, ITSELF, CURSOR, OUTSIDE = range(2 * STEPS, 2 * STEPS + 5)

# Zoom: cells of the screen per class across, and classes per line of cells. Below 0 several
# classes share a slot, 2 ** −zoom of them.
PIXELS, SQUARES, VALUES = 0, 1, 2
SLOT_WIDTH = {PIXELS: 1, SQUARES: 2, VALUES: 5}

TREE_LINES = 3

DIAGONAL: RGB = (90, 90, 90)
MARKER: RGB = (255, 60, 160)  # the cursor: on no ramp


@dataclass(frozen=True)
class _Layout:
    """Where things are, for one size, zoom and map; lines and columns of cells."""

    left: int  # width of the ruler of rows
    top: int  # height of tree and ruler of columns
    width: int  # slots across
    height: int  # slots down
    slot_width: int
    slots_a_line: int  # 2 in half blocks


class Heatmap(Widget, can_focus=True):
    """Shows a `ScoreMap`; says where its cursor goes, and which pair is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(0, -1)", "Left", show=False, id="map.left"),
        Binding("right,l", "move(0, 1)", "Right", show=False, id="map.right"),
        Binding("up,k", "move(-1, 0)", "Up", show=False, id="map.up"),
        Binding("down,j", "move(1, 0)", "Down", show=False, id="map.down"),
        Binding("pageup", "page(-1, 0)", "A page up", show=False, id="map.page_up"),
        Binding("pagedown", "page(1, 0)", "A page down", show=False, id="map.page_down"),
        Binding("ctrl+u", "page(-0.5, 0)", "Half a page up", show=False, id="map.half_up"),
        Binding("ctrl+d", "page(0.5, 0)", "Half a page down", show=False, id="map.half_down"),
        Binding(
            "left_square_bracket", "page(0, -1)", "A page left", show=False, id="map.page_left"
        ),
        Binding(
            "right_square_bracket", "page(0, 1)", "A page right", show=False, id="map.page_right"
        ),
        Binding("home,0", "edge(-1)", "First class of the row", show=False, id="map.home"),
        Binding("end,dollar_sign", "edge(1)", "Last class of the row", show=False, id="map.end"),
        Binding("G", "last_row", "Last row", show=False, id="map.last_row"),
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", show=False, id="map.zoom_in"),
        Binding("minus", "zoom(-1)", "Zoom out", show=False, id="map.zoom_out"),
        Binding("enter", "open", "Open", tooltip="Open the pair", id="map.open"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heatmap--ruler",
        "heatmap--ruler-cursor",
        "heatmap--tree",
        "heatmap--empty",
    }

    class CursorMoved(Message):
        """The cursor stands on the pair of classes `i` (row) and `j` (column)."""

        def __init__(self, i: int, j: int) -> None:
            super().__init__()
            self.i, self.j = i, j

    class Opened(Message):
        """The user opened the pair under the cursor."""

        def __init__(self, i: int, j: int) -> None:
            super().__init__()
            self.i, self.j = i, j

    class Zoomed(Message):
        """So many classes share a slot now (1: none)."""

        def __init__(self, zoom: int) -> None:
            super().__init__()
            self.zoom = zoom

    def __init__(self) -> None:
        super().__init__()
        self._map: ScoreMap | None = None
        self._rows = self._cols = Axis(np.zeros(0, np.int32), np.zeros(0, np.int32))
        self._row_slots = self._col_slots = self._rows.slots(1)
        self._place = (0, 0)  # of the cursor, in the order of either axis
        self._first = (0, 0)  # slots in the top left corner
        self._zoom = PIXELS
        self._zoom_chosen = False
        self._colormap = "cividis"
        self._threshold = 0.0
        self._span = (0.0, 1.0)  # values at the ends of the ramp
        self._colour_of_level = np.zeros(HUNDREDTHS + 2, dtype=np.uint8)
        self._painter: Painter | None = None
        self._pooled: NDArray[np.uint8] | None = None
        self._pooled_of: tuple[object, ...] = ()
        self._drawn: dict[int, Strip] = {}  # lines as they were drawn last
        self.touched = False
        """Whether the user moved the cursor on this map."""

    # --- what is shown

    def show(self, score_map: ScoreMap, rows: Axis, cols: Axis) -> None:
        """Show a map, or the same one in another order; the cursor stays on its pair."""
        before = self.cursor if self._map is not None and self._map.run is score_map.run else None
        if before is None:
            self.touched = self._zoom_chosen = False
        self._map, self._rows, self._cols = score_map, rows, cols
        self._place = (0, min(1, cols.ids.size - 1) if score_map.symmetric else 0)
        if before is not None:
            self._place = (rows.place_of(before[0]), cols.place_of(before[1]))
        if not self._zoom_chosen:
            self._zoom = self._fitting_zoom()
        self._lay_out()
        self.refresh()
        self._announce()

    def repaint(self) -> None:
        """Draw the lines anew in which anything has been scored meanwhile."""
        width, drawn = self.size.width, self._drawn
        self._drawn = {}
        changed = [y for y, strip in drawn.items() if list(self.render_line(y)) != list(strip)]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def paint_with(self, colormap: str, *, span: tuple[float, float], threshold: float) -> None:
        """Take another ramp, from one value to another, and dim what lies below a threshold."""
        self._colormap, self._span, self._threshold = colormap, span, threshold
        self._painter = None
        values = np.arange(-1, HUNDREDTHS + 1) / HUNDREDTHS
        part = np.clip((values - span[0]) / (span[1] - span[0]), 0, 1)
        steps = np.rint(part * (STEPS - 1)).astype(np.uint8)
        steps[np.rint(values * HUNDREDTHS) < np.rint(threshold * HUNDREDTHS)] += DIMMED
        steps[UNKNOWN] = EMPTY
        self._colour_of_level = steps
        self.refresh()

    def spread(self) -> tuple[float, float]:
        """Return the values between which nearly all known ones lie, 0 to 1."""
        return (0.0, 1.0) if self._map is None else self._map.spread()

    @property
    def cursor(self) -> tuple[int, int]:
        """Class ids of the row and the column under the cursor."""
        return int(self._rows.ids[self._place[0]]), int(self._cols.ids[self._place[1]])

    @property
    def zoom(self) -> int:
        """`VALUES`, `SQUARES`, `PIXELS`, or below 0: 2 ** −zoom classes share a slot."""
        return self._zoom

    def go_to(self, i: int, j: int) -> None:
        """Put the cursor on a pair of class ids."""
        if self._map is not None:
            self._set_place(self._rows.place_of(i), self._cols.place_of(j))

    def cursor_in_words(self) -> str:
        """Return where in the whole matrix the screen is."""
        row, column = (place + 1 for place in self._place)
        rows, columns = self._rows.ids.size, self._cols.ids.size
        of_rows = "" if rows == columns else f" of {rows}"
        return f"row {row}{of_rows}, column {column} of {columns}"

    # --- keys and mouse

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by slots."""
        self._move_slots(down, right)

    def action_page(self, down: float, right: float) -> None:
        """Move the cursor by pages."""
        layout = self._layout
        self._move_slots(round(down * layout.height), round(right * layout.width))

    def action_edge(self, side: int) -> None:
        """Move to the first or the last column."""
        self._by_user(self._place[0], 0 if side < 0 else self._cols.ids.size - 1)

    def action_last_row(self) -> None:
        """Move to the last row."""
        self._by_user(self._rows.ids.size - 1, self._place[1])

    def action_zoom(self, steps: int) -> None:
        """Zoom in or out about the cursor."""
        if self._map is None:
            return
        zoom = min(max(self._zoom + steps, self._smallest_zoom()), VALUES)
        if zoom != self._zoom:
            self._zoom, self._zoom_chosen = zoom, True
            self._lay_out()
            self.refresh()
            self.post_message(self.Zoomed(zoom))

    def action_open(self) -> None:
        """Open the pair under the cursor."""
        if self._map is not None:
            self.post_message(self.Opened(*self.cursor))

    def on_click(self, event: Click) -> None:
        """Put the cursor under the mouse; a click on the cursor opens its pair."""
        found = self._slot_at(event.x, event.y)
        if found is None:
            return
        before = self._place
        self._by_user(*self._best_place(*found))
        if self._place == before:
            self.action_open()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll with the wheel; sideways with shift."""
        self._move_slots(*((0, 3) if event.shift else (3, 0)))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll with the wheel; sideways with shift."""
        self._move_slots(*((0, -3) if event.shift else (-3, 0)))

    def on_resize(self, event: Resize) -> None:
        """Fit the map to the new size, unless the user has zoomed."""
        if self._map is None:
            return
        if not self._zoom_chosen:
            self._zoom = self._fitting_zoom()
        self._lay_out()
        self.refresh()

    # --- where things are

    @property
    def _layout(self) -> _Layout:
        slot_width = SLOT_WIDTH[max(self._zoom, PIXELS)]
        slots_a_line = 2 if self._zoom <= PIXELS else 1
        ids = self._rows.ids
        left = len(str(int(ids.max()) if ids.size else 0)) + 1
        top = 1 + (TREE_LINES if self._cols.heights is not None and self.size.height > 16 else 0)
        return _Layout(
            left=left,
            top=top,
            width=max((self.size.width - left) // slot_width, 1),
            height=max((self.size.height - top) * slots_a_line, 1),
            slot_width=slot_width,
            slots_a_line=slots_a_line,
        )

    def _fitting_zoom(self) -> int:
        """Return the largest zoom at which the whole matrix is seen."""
        for zoom in (VALUES, SQUARES, PIXELS):
            self._zoom = zoom
            layout = self._layout
            if (
                len(self._rows.slots(1)) <= layout.height
                and len(self._cols.slots(1)) <= layout.width
            ):
                return zoom
        return self._smallest_zoom()

    def _smallest_zoom(self) -> int:
        """Return the zoom at which the whole matrix is seen, as far as any room allows it."""
        shown, self._zoom = self._zoom, PIXELS
        layout = self._layout
        zoom, self._zoom = PIXELS, shown
        most = max(self._rows.ids.size, self._cols.ids.size)
        while 2**-zoom < most and (
            len(self._rows.slots(2**-zoom)) > layout.height
            or len(self._cols.slots(2**-zoom)) > layout.width
        ):
            zoom -= 1
        return zoom

    def _lay_out(self) -> None:
        """Work out the slots of this zoom, and bring the cursor into view."""
        pooled = 2 ** -min(self._zoom, PIXELS)
        self._row_slots, self._col_slots = self._rows.slots(pooled), self._cols.slots(pooled)
        self._pooled = None
        self._first = (0, 0)
        self._scroll_to_cursor()

    def _scroll_to_cursor(self) -> bool:
        """Bring the cursor into view, by half a screen: most moves then draw two lines only."""
        layout, first = self._layout, list(self._first)
        slots = (self._row_slots, self._col_slots)
        for axis, (room, place) in enumerate(
            zip((layout.height, layout.width), self._place, strict=True)
        ):
            slot, count = slots[axis].of(place), len(slots[axis])
            if not first[axis] <= slot < first[axis] + room:
                first[axis] = slot - room // 2
            first[axis] = min(max(first[axis], 0), max(count - room, 0))
            if axis == 0:
                first[axis] -= first[axis] % layout.slots_a_line
        moved = tuple(first) != self._first
        self._first = (first[0], first[1])
        return moved

    def _line_of(self, slot: int) -> int:
        """Return the line of cells that shows a slot of rows."""
        layout = self._layout
        return layout.top + (slot - self._first[0]) // layout.slots_a_line

    def cell_of(self, i: int, j: int) -> tuple[int, int]:
        """Return column and line of the cell that shows a pair in view."""
        layout = self._layout
        slot = self._col_slots.of(self._cols.place_of(j)) - self._first[1]
        line = self._line_of(self._row_slots.of(self._rows.place_of(i)))
        return layout.left + slot * layout.slot_width, line

    def _slot_at(self, x: int, y: int) -> tuple[int, int] | None:
        """Return the slots under a cell."""
        layout = self._layout
        row = self._first[0] + (y - layout.top) * layout.slots_a_line
        col = self._first[1] + (x - layout.left) // layout.slot_width
        inside = y >= layout.top and x >= layout.left
        if not inside or row >= len(self._row_slots) or col >= len(self._col_slots):
            return None
        if BORDER in (self._row_slots.starts[row], self._col_slots.starts[col]):
            return None
        return row, col

    # --- the cursor

    def _move_slots(self, down: int, right: int) -> None:
        if self._map is None:
            return
        row = _stepped(self._row_slots, self._row_slots.of(self._place[0]), down)
        col = _stepped(self._col_slots, self._col_slots.of(self._place[1]), right)
        place = self._best_place(row, col)
        # Along an axis that was not moved on, the cursor keeps its class.
        self._by_user(place[0] if down else self._place[0], place[1] if right else self._place[1])

    def _best_place(self, row: int, col: int) -> tuple[int, int]:
        """Return the place of the highest level in a slot of several pairs."""
        assert self._map is not None
        ys = slice(int(self._row_slots.starts[row]), int(self._row_slots.stops[row]))
        xs = slice(int(self._col_slots.starts[col]), int(self._col_slots.stops[col]))
        levels = self._levels(self._rows.ids[ys], self._cols.ids[xs])
        y, x = np.unravel_index(int(levels.argmax()), levels.shape)
        return ys.start + int(y), xs.start + int(x)

    def _by_user(self, row: int, col: int) -> None:
        self.touched = True
        self._set_place(row, col)

    def _set_place(self, row: int, col: int) -> None:
        before = self._row_slots.of(self._place[0])
        if (row, col) == self._place:
            return
        self._place = (row, col)
        if self._scroll_to_cursor():
            self.refresh()
        else:
            width = self.size.width
            lines = {self._line_of(before), self._line_of(self._row_slots.of(row))}
            lines.add(self._layout.top - 1)  # the ruler of columns
            self.refresh(*(Region(0, line, width, 1) for line in lines))
        self._announce()

    def _announce(self) -> None:
        self.post_message(self.CursorMoved(*self.cursor))

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """Draw one line of cells."""
        strip = self._drawn[y] = self._line(y)
        return strip

    def _line(self, y: int) -> Strip:
        width = self.size.width
        if self._map is None:
            return Strip.blank(width, self.rich_style)
        layout = self._layout
        if y < layout.top - 1:
            segments = self._tree_line(y, layout)
        elif y < layout.top:
            segments = self._column_ruler(layout)
        else:
            segments = self._map_line(y - layout.top, layout)
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _map_line(self, line: int, layout: _Layout) -> list[Segment]:
        row = self._first[0] + line * layout.slots_a_line
        if row >= len(self._row_slots):
            return []
        first = self._colours(row, layout)
        ruler = self._row_ruler(row, layout)
        painter = self._paint()
        if layout.slots_a_line == 2:
            inside = row + 1 < len(self._row_slots)
            second = self._colours(row + 1, layout) if inside else np.full_like(first, OUTSIDE)
            return [*ruler, *painter.half_blocks(first, second)]
        if self._zoom == SQUARES:
            return [*ruler, *painter.blocks(first, 2)]
        return [*ruler, *self._values(row, first, layout)]

    def _colours(self, row: int, layout: _Layout) -> NDArray[np.uint8]:
        """Return the numbers of the colours of one row of slots, as far as they are in view."""
        view = slice(self._first[1], self._first[1] + layout.width)
        col_starts = self._col_slots.starts[view]
        if self._row_slots.starts[row] == BORDER:
            return np.full(col_starts.size, EDGE, dtype=np.uint8)
        colours = self._colour_of_level[self._row_levels(row, view)]
        colours[col_starts == BORDER] = EDGE
        if self._zoom >= PIXELS and self._map is not None and self._map.symmetric:
            row_id = self._rows.ids[self._row_slots.starts[row]]
            colours[(self._cols.ids[col_starts] == row_id) & (col_starts != BORDER)] = ITSELF
        if row == self._row_slots.of(self._place[0]):
            col = self._col_slots.of(self._place[1]) - view.start
            if 0 <= col < colours.size and self._zoom <= SQUARES:
                colours[col] = CURSOR
        return colours

    def _row_levels(self, row: int, view: slice) -> NDArray[np.uint8]:
        if self._zoom < PIXELS:
            return self.pooled_levels()[row, view]
        start = int(self._row_slots.starts[row])
        col_ids = self._cols.ids[self._col_slots.starts[view]]
        return np.asarray(self._levels(self._rows.ids[start : start + 1], col_ids)[0])

    def _levels(self, row_ids: NDArray[np.int32], col_ids: NDArray[np.int32]) -> NDArray[np.uint8]:
        assert self._map is not None
        store = self._map.run.store
        rows, cols = row_ids - store.rows.start, col_ids - store.cols.start
        return np.asarray(self._map.levels[rows[:, np.newaxis], cols])

    def pooled_levels(self) -> NDArray[np.uint8]:
        """Return the highest level of each slot: a hot spot must not drown among its neighbours."""
        assert self._map is not None
        state = (self._map, self._map.version, self._rows, self._cols, self._zoom)
        if self._pooled is None or state != self._pooled_of:
            rows, cols = self._row_slots.starts, self._col_slots.starts
            store = self._map.run.store
            levels = _taken(self._map.levels, self._rows.ids - store.rows.start, axis=0)
            spans = zip(rows.tolist(), self._row_slots.stops.tolist(), strict=True)
            # Down first: what is gathered across is then small. One by one: numpy's maximum over
            # rows is many times quicker than its reduceat.
            down = np.stack([levels[a:b].max(axis=0) for a, b in spans if a != BORDER])
            inside = np.maximum.reduceat(
                _taken(down, self._cols.ids - store.cols.start, axis=1),
                cols[cols != BORDER],
                axis=1,
            )
            pooled = np.zeros((rows.size, cols.size), dtype=np.uint8)
            pooled[np.ix_(rows != BORDER, cols != BORDER)] = inside
            self._pooled, self._pooled_of = pooled, state
        return self._pooled

    def _values(self, row: int, colours: NDArray[np.uint8], layout: _Layout) -> list[Segment]:
        """Draw each pair of a row as its value on its colour."""
        painter = self._paint()
        if self._row_slots.starts[row] == BORDER:
            return painter.blocks(colours, layout.slot_width)
        at_cursor = -1
        if row == self._row_slots.of(self._place[0]):
            at_cursor = self._col_slots.of(self._place[1]) - self._first[1]
        levels = self._row_levels(row, slice(self._first[1], self._first[1] + layout.width))
        segments = []
        for col, (colour, level) in enumerate(zip(colours.tolist(), levels.tolist(), strict=True)):
            text = "" if colour in (EDGE, ITSELF, OUTSIDE) else _value(level)
            if col == at_cursor:
                segments.append(Segment(f"[{text:^3}]", painter.figures_on(CURSOR), None))
            else:
                segments.append(Segment(f"{text:^5}", painter.figures_on(colour), None))
        return segments

    def _row_ruler(self, row: int, layout: _Layout) -> list[Segment]:
        """Draw the class id of every row that has one, at the cursor always."""
        cursor = self._row_slots.of(self._place[0])
        here = row <= cursor < row + layout.slots_a_line
        start = int(self._row_slots.starts[row])
        line = (row - self._first[0]) // layout.slots_a_line
        text = ""
        if here:
            text = str(self._rows.ids[self._place[0]])
        elif start != BORDER and (layout.slots_a_line == 1 or line % 2 == 0):
            text = str(self._rows.ids[start])
        style = self._ruler_style(here)
        return [Segment(text.rjust(layout.left - 1) + " ", style, None)]

    def _column_ruler(self, layout: _Layout) -> list[Segment]:
        """Draw class ids over the columns, as many as there is room for, the cursor's always."""
        cells = [" "] * (layout.width * layout.slot_width)
        cursor = (self._col_slots.of(self._place[1]) - self._first[1]) * layout.slot_width
        label = str(self._cols.ids[self._place[1]])
        begin = min(max(cursor, 0), max(len(cells) - len(label), 0))
        free = -1
        for col, start in enumerate(
            self._col_slots.starts[self._first[1] : self._first[1] + layout.width].tolist()
        ):
            if start == BORDER:
                continue
            text, at = str(self._cols.ids[start]), col * layout.slot_width
            clear = at + len(text) < begin or at > begin + len(label)
            if at > free and clear and at + len(text) <= len(cells):
                cells[at : at + len(text)] = text
                free = at + len(text) + 1
        plain, marked = self._ruler_style(False), self._ruler_style(True)
        return [
            Segment(" " * layout.left + "".join(cells[:begin]), plain, None),
            Segment(label, marked, None),
            Segment("".join(cells[begin + len(label) :]), plain, None),
        ]

    def _tree_line(self, y: int, layout: _Layout) -> list[Segment]:
        """Draw a line of the strip that shows at which height neighbours are joined."""
        heights = self._cols.heights
        assert heights is not None
        starts = self._col_slots.starts[self._first[1] : self._first[1] + layout.width]
        stops = self._col_slots.stops[self._first[1] : self._first[1] + layout.width]
        padded = np.append(np.nan_to_num(heights), 0.0)
        joined = np.where(starts == BORDER, np.nan, padded[np.minimum(stops - 1, heights.size)])
        top = float(np.nanmax(padded)) or 1.0
        bars = skyline(np.repeat(joined / top, layout.slot_width), TREE_LINES)
        style = self.get_component_rich_style("heatmap--tree")
        return [Segment(" " * layout.left + bars[y], style, None)]

    def _ruler_style(self, here: bool) -> Style:
        name = "heatmap--ruler-cursor" if here else "heatmap--ruler"
        return self.get_component_rich_style(name)

    def _paint(self) -> Painter:
        if self._painter is None:
            colours = colours_of(self.app)
            steps = ramp(self._colormap, STEPS, colours=colours or 2**24)
            style = self.get_component_rich_style("heatmap--empty")
            empty, edge = _rgb(style.bgcolor), _rgb(style.color)
            others = [empty, edge, DIAGONAL, MARKER, empty]
            numbered = [*steps, *map(_dimmed, steps), *others]
            self._painter = Painter(numbered) if colours else PlainPainter(numbered, mark=CURSOR)
        return self._painter


def _rgb(colour: Color | None) -> RGB:
    red, green, blue = (colour or Color.parse("black")).get_truecolor()
    return red, green, blue


def _dimmed(colour: RGB) -> RGB:
    red, green, blue = (part * 3 // 10 + 20 for part in colour)
    return red, green, blue


def _value(level: int) -> str:
    """Return the value of a level in three characters, as ".83"."""
    if level == UNKNOWN:
        return "·"
    return "1.0" if level == HUNDREDTHS + 1 else f".{level - 1:02d}"


def _taken(levels: NDArray[np.uint8], places: NDArray[np.int32], axis: int) -> NDArray[np.uint8]:
    """Return rows or columns in another order; the array itself where the order is its own."""
    if np.array_equal(places, np.arange(levels.shape[axis])):
        return levels
    return levels.take(places, axis=axis)


def _stepped(slots: Slots, slot: int, steps: int) -> int:
    """Return the slot `steps` further, borders not counted as a place to stand."""
    target = min(max(slot + steps, 0), len(slots) - 1)
    direction = 1 if steps > 0 else -1
    while slots.starts[target] == BORDER:
        target += direction
    return target
