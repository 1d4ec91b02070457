"""Words that name the key by which they can be changed."""

from __future__ import annotations

from rich.text import Text

__all__ = ["append_keyed"]


def append_keyed(line: Text, key: str, words: str, style: str = "") -> None:
    """Append what is set, after the key that changes it; the footer has no room for all keys."""
    line.append(f"  {key} ", style="dim")
    line.append(words, style=style)
