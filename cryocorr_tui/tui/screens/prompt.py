"""One line to type, as a number or a class id."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

__all__ = ["Prompt", "share"]


def share(text: str) -> float | None:
    """Return what was typed as a number from 0 to 1, 0 for nothing; None where it is no such."""
    try:
        value = float(text or 0)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


class Prompt(ModalScreen[str | None]):
    """Ask for a line of text, and return it; None on escape.

    Parameters
    ----------
    text : str
        What to type.
    value : str
        What stands there already.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="prompt.cancel"),
    ]

    def __init__(self, text: str, value: str = "") -> None:
        super().__init__()
        self._text, self._value = text, value

    def compose(self) -> ComposeResult:
        """Lay out the words over the line."""
        with Vertical(id="prompt"):
            yield Static(self._text, markup=False)
            yield Input(self._value, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the line."""
        self.dismiss(event.value.strip())
