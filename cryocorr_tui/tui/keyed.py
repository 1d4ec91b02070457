"""Words that name the key by which they can be changed."""

from __future__ import annotations

import re

from rich.text import Text

__all__ = ["append_keyed", "with_key"]

# What the dialog of options sets, as the core calls it.
IN_OPTIONS = re.compile(
    r"--(pixel-size|max-shift|mask-diameter|box|weights|quality-weight|spectral-weighting|drawn|as)\b"
)


def append_keyed(line: Text, key: str, words: str, style: str = "") -> None:
    """Append what is set, after the key that changes it; the footer has no room for all keys."""
    line.append(f"  {key} ", style="dim")
    line.append(words, style=style)


def with_key(sentence: str) -> str:
    """Return a sentence that names an option of the command line, and the key that sets it here."""
    found = IN_OPTIONS.search(sentence)
    return f"{sentence} Here O sets {found.group()}." if found else sentence
