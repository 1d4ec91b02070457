"""A line to type a value into, there only while it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Label

__all__ = ["FilterField"]


class FilterField(Horizontal):
    """Asks for a line of text; enter takes it, escape leaves all as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", id="text.leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._before = ""
        self._typed: Callable[[str], None] = lambda text: None
        self._back: Widget | None = None

    def compose(self) -> ComposeResult:
        """Lay out the question beside its answer."""
        yield Label()
        yield Input(compact=True, select_on_focus=False)

    def ask(self, question: str, text: str, typed: Callable[[str], None]) -> None:
        """Ask for text.

        Parameters
        ----------
        question : str
            Stands before it.
        text : str
            As it is.
        typed : callable
            Is told the text at every change, and once more as it was where the user leaves.
        """
        self._before, self._typed = text, typed
        self._back = self.screen.focused
        self.query_one(Label).update(question)
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        self.display = True
        self.screen.set_focus(field)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell what is typed."""
        event.stop()
        self._typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Let it stand."""
        event.stop()
        self._close()

    def action_leave(self) -> None:
        """Let stand what was there before."""
        self._typed(self._before)
        self._close()

    def _close(self) -> None:
        self.display = False
        if self._back is not None:
            self.screen.set_focus(self._back)
