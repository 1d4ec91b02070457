"""What is sent where ``NO_COLOR`` is set: attributes, and no colours at all (no-color.org)."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

__all__ = ["Colourless"]

MARKED = 0.15  # difference of brightness, 0 to 1, from which on a background is a mark


class Colourless(LineFilter):
    """Takes the colours off, and reverses what only its background told from what is around it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments without colours."""
        return [Segment(text, _plain(style, background), None) for text, style, _ in segments]


@lru_cache(4096)
def _plain(style: Style | None, background: Color) -> Style | None:
    if style is None:
        return None
    marked = style.bgcolor is not None and _differ(style.bgcolor, background)
    return style.without_color + Style(reverse=True) if marked else style.without_color


def _differ(one: RichColor, other: Color) -> bool:
    return abs(Color.from_rich_color(one).brightness - other.brightness) > MARKED
