"""Help: what the screen is for, and the keys of what has the focus."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

__all__ = ["HelpScreen"]


class HelpScreen(ModalScreen[None]):
    """Explains another screen.

    Parameters
    ----------
    screen : Screen
        The one to explain; its class may say more in ``HELP``.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss(None)", "Close", id="help.close"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="help.up"),
    ]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._told = str(getattr(screen, "HELP", ""))
        self._keys = _keys(screen)

    def compose(self) -> ComposeResult:
        """Lay out words over keys."""
        table = Table.grid(padding=(0, 2))
        for key, what in self._keys:
            table.add_row(Text(key, style="bold"), what)
        with VerticalScroll(id="help"):
            yield Static(Text(self._told))
            yield Static(table)

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _keys(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Return keys and what they do, each action once with all of its keys."""
    keys: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and binding.id:  # those of Textual itself have no id
            shown = screen.app.get_key_display(binding)
            keys.setdefault(binding.tooltip or binding.description, []).append(shown)
    return [(" ".join(dict.fromkeys(shown)), what) for what, shown in keys.items()]
