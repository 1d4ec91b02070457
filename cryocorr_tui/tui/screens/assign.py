"""One digit: the user's own group of some classes."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

__all__ = ["Assign"]


class Assign(ModalScreen[int | None]):
    """Ask for a group, and return it: 0 for none, None on escape.

    Parameters
    ----------
    what : str
        The classes, as the user knows them.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="assign.cancel"),
        *(
            Binding(str(digit), f"dismiss({digit})", "Assign", show=False, id=f"assign.{digit}")
            for digit in range(10)
        ),
    ]

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="question"):
            yield Static(f"Your own group for {self._what}: 1–9, or 0 for none.", markup=False)
