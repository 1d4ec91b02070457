"""A question with a few answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

__all__ = ["Question"]


class Question(ModalScreen[str | None]):
    """Ask, and return the name of the answer; None on escape.

    Parameters
    ----------
    text : str
        The question.
    answers : mapping of str to str
        Names of answers and their words; the first one has the focus. The empty name is that of
        leaving things as they are, by default "Cancel".
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="question.cancel"),
        Binding("q", "app.quit", "Quit", show=False, id="question.quit"),
        Binding("up,k", "app.focus_previous", "Up", show=False, id="question.up"),
        Binding("down,j", "app.focus_next", "Down", show=False, id="question.down"),
    ]

    def __init__(self, text: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self._text, self._answers = text, dict(answers)

    def compose(self) -> ComposeResult:
        """Lay out the question over its answers."""
        with Vertical(id="question"):
            yield Static(self._text, markup=False)
            answers = self._answers if "" in self._answers else {**self._answers, "": "Cancel"}
            for name, words in answers.items():
                yield Button(words, id=f"answer-{name}", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the answer."""
        self.dismiss((event.button.id or "").removeprefix("answer-") or None)
