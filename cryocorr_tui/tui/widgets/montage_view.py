"""A montage with its squares, one of them under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from cryocorr_tui.core.detection.squares import grey_picture
from cryocorr_tui.core.model import Montage, Square
from cryocorr_tui.core.square_editing import free_place, moved, neighbour, resized
from cryocorr_tui.tui.squares_drawing import draw_squares
from cryocorr_tui.tui.widgets.picture import Picture, View

__all__ = ["MontageView", "Purpose"]

LONGEST_SIDE = 2400  # pixels of the canvas: no terminal shows more
ZOOMS = (1.0, 2.0, 4.0, 8.0)
PARTS = 2  # pixels of a cell, along each side, where pictures are characters


class Purpose(Enum):
    """What the frame that is being placed will be."""

    SQUARE = auto()
    REFERENCE = auto()


class MontageView(Vertical, can_focus=True):
    """Shows squares, and says which of them the user wants to change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(f"{arrow},{letter}", f"go({dy}, {dx})", name, show=False, id=f"squares.{arrow}")
            for arrow, letter, name, dy, dx in (
                ("left", "h", "Square to the left", 0, -1),
                ("down", "j", "Square below", 1, 0),
                ("up", "k", "Square above", -1, 0),
                ("right", "l", "Square to the right", 0, 1),
            )
        ),
        *(
            Binding(
                f"shift+{arrow},{letter}",
                f"nudge({dy}, {dx})",
                f"Move {arrow}",
                show=False,
                tooltip="Move the square by a pixel, a new frame by ten",
                id=f"squares.nudge_{arrow}",
            )
            for arrow, letter, dy, dx in (
                ("left", "H", 0, -1),
                ("down", "J", 1, 0),
                ("up", "K", -1, 0),
                ("right", "L", 0, 1),
            )
        ),
        Binding(
            "less_than_sign,minus",
            "resize(-2)",
            "Smaller",
            show=False,
            tooltip="Make the square smaller",
            id="squares.smaller",
        ),
        Binding(
            "greater_than_sign,plus",
            "resize(2)",
            "Larger",
            show=False,
            tooltip="Make the square larger",
            id="squares.larger",
        ),
        Binding(
            "x,delete",
            "drop",
            "Drop",
            key_display="x",
            tooltip="Drop the square under the cursor",
            id="squares.drop",
        ),
        Binding(
            "a",
            "place('SQUARE')",
            "Add",
            show=False,
            tooltip="Add a square: arrows move it, H J K L by ten, enter sets it",
            id="squares.add",
        ),
        Binding(
            "f",
            "place('REFERENCE')",
            "Frame",
            show=False,
            tooltip="Put a frame around the view to hunt; enter hunts it",
            id="squares.frame",
        ),
        Binding("enter", "accept", "Set", show=False, id="squares.accept"),
        Binding("escape", "leave", "Leave", show=False, id="squares.leave"),
        Binding(
            "u",
            "undo",
            "Undo",
            show=False,
            tooltip="Undo the last correction",
            id="squares.undo",
        ),
        Binding(
            "z", "zoom", "Zoom", show=False, tooltip="Zoom in at the cursor", id="squares.zoom"
        ),
    ]

    class Wanted(Message):
        """The user wants the squares to change: ``what`` is a method of `EditedSquares`."""

        def __init__(self, what: str, *arguments: Any) -> None:
            super().__init__()
            self.what, self.arguments = what, arguments

    class ReferenceChosen(Message):
        """The user wants this view to be hunted."""

        def __init__(self, square: Square) -> None:
            super().__init__()
            self.square = square

    class CursorMoved(Message):
        """Another square is under the cursor, or a frame was moved."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.squares: tuple[Square, ...] = ()
        self.cursor = 0
        self.frame: Square | None = None
        self.hunting = False
        self._purpose = Purpose.SQUARE
        self._zoom = 0
        self._montage: Montage | None = None
        self._canvas: NDArray[np.uint8] | None = None

    def compose(self) -> ComposeResult:
        """Hold the picture."""
        yield Picture()

    # --- what is shown

    def show(self, montage: Montage | None, squares: Sequence[Square]) -> None:
        """Show squares on a montage; on the same one, the cursor stays where it was."""
        if montage is not self._montage:
            self._montage, self._canvas = montage, None if montage is None else _canvas(montage)
            self.cursor, self.frame, self._zoom = 0, None, 0
        self.squares = tuple(squares)
        self.cursor = min(self.cursor, max(len(squares) - 1, 0))
        self.draw()

    def on_resize(self) -> None:
        """Draw lines that can be seen at the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw all anew."""
        picture = self.query_one(Picture)
        if self._canvas is None or self._montage is None or not picture.size:
            picture.show(None)
            return
        scale = self._canvas.shape[1] / self._montage.picture.shape[1]
        zoom = ZOOMS[self._zoom]
        drawn = draw_squares(
            self._canvas,
            self.squares,
            scale=scale,
            pen=1 / (self._pixels_of_screen() * zoom),
            cursor=self.cursor if self.frame is None and self.squares else None,
            frame=self.frame,
        )
        focus = self._focus_of_view
        view = None
        if focus is not None and zoom > 1:
            centre = (focus.y + focus.height / 2) * scale, (focus.x + focus.width / 2) * scale
            view = View(*centre, zoom)
        picture.show(drawn, view=view)

    @property
    def _focus_of_view(self) -> Square | None:
        if self.frame is not None:
            return self.frame
        return self.squares[self.cursor] if self.squares else None

    def _pixels_of_screen(self) -> float:
        """Return pixels of the screen per pixel of the canvas, at no zoom."""
        picture = self.query_one(Picture)
        assert self._canvas is not None
        height, width = self._canvas.shape[:2]
        cell = (PARTS, PARTS)
        terminal = getattr(self.app, "terminal", None)
        if terminal is not None and terminal.protocol.name in ("KITTY", "SIXEL"):
            cell = terminal.cell_height, terminal.cell_width
        fit = min(picture.size.height * 2 / height, picture.size.width / width)  # cells are 2 : 1
        return float(max(fit * min(cell[0] / 2, cell[1]), 1e-3))

    # --- what the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is of use now: with a frame, only to place it."""
        if self._montage is None:
            return False
        if action == "leave":
            return self.frame is not None
        if action == "accept":
            return self.frame is not None or (self.hunting and bool(self.squares))
        if action == "place":
            return self.frame is None and (parameters == ("SQUARE",) or self.hunting)
        if action in ("drop", "undo"):
            return self.frame is None
        return True

    def action_go(self, dy: int, dx: int) -> None:
        """Go to the next square in a direction, or move the frame by a pixel."""
        if self.frame is not None:
            self._move_frame(dy, dx)
        elif self.squares:
            self.cursor = neighbour(self.squares, self.cursor, dy, dx)
            self._changed()

    def action_nudge(self, dy: int, dx: int) -> None:
        """Move the square by a pixel, or the frame by ten."""
        if self.frame is not None:
            self._move_frame(10 * dy, 10 * dx)
        elif self.squares:
            self.post_message(self.Wanted("move", self.cursor, dy, dx))

    def action_resize(self, by: int) -> None:
        """Change the size of the square or the frame."""
        if self.frame is not None:
            self.frame = resized(self.frame, by, self.size_of_montage)
            self._changed()
        elif self.squares:
            self.post_message(self.Wanted("resize", self.cursor, by))

    def action_drop(self) -> None:
        """Drop the square under the cursor."""
        if self.squares:
            self.post_message(self.Wanted("drop", self.cursor))

    def action_undo(self) -> None:
        """Take the last correction back."""
        self.post_message(self.Wanted("undo"))

    def action_place(self, purpose: str) -> None:
        """Begin to place a frame."""
        self._purpose = Purpose[purpose]
        if self._purpose is Purpose.REFERENCE and self.squares:
            self.frame = moved(self.squares[self.cursor], 0, 0, self.size_of_montage)
        else:
            self.frame = free_place(self.squares, self.size_of_montage)
        self._changed()

    def action_accept(self) -> None:
        """Set the frame, or hunt what is under the cursor."""
        frame, self.frame = self.frame, None
        if frame is not None and self._purpose is Purpose.SQUARE:
            self.post_message(self.Wanted("add", frame))
        elif frame is not None or self.squares:
            self.post_message(self.ReferenceChosen(frame or self.squares[self.cursor]))
        self._changed()

    def action_leave(self) -> None:
        """Take the frame away."""
        self.frame = None
        self._changed()

    def action_zoom(self) -> None:
        """Zoom in, and out again after the last step."""
        self._zoom = (self._zoom + 1) % len(ZOOMS)
        self.draw()

    def _move_frame(self, dy: int, dx: int) -> None:
        assert self.frame is not None
        self.frame = moved(self.frame, dy, dx, self.size_of_montage)
        self._changed()

    @property
    def size_of_montage(self) -> tuple[int, int]:
        """Height and width of the montage in pixels."""
        assert self._montage is not None
        height, width = self._montage.picture.shape[:2]
        return height, width

    def _changed(self) -> None:
        self.draw()
        self.refresh_bindings()
        self.post_message(self.CursorMoved())


def _canvas(montage: Montage) -> NDArray[np.uint8]:
    """Return a montage as a picture to draw on, (h, w, 3) uint8."""
    grey = grey_picture(montage.picture)
    scale = LONGEST_SIDE / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
