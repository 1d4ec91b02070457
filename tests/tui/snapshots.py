"""How screens look, kept as text files beside this one and compared with what is drawn now.

``UPDATE_SNAPSHOTS=1 pytest tests/tui/test_looks.py`` writes them anew.
"""

from __future__ import annotations

import difflib
import os
from itertools import groupby
from pathlib import Path

from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.pilot import Pilot
from textual.strip import Strip

SNAPSHOTS = Path(__file__).parent / "snapshots"

# Pictures and numbers come from floating-point sums, which no two processors round alike: so many
# of the cells may hold another block or another digit. All else must be as it was.
PART_THAT_MAY_DIFFER = 0.01

# Backgrounds by a letter each; every other one (pictures, the map, what a dialog dims) is a tilde.
NAMED = {"background": ".", "surface": "s", "panel": "p", "primary": "P", "accent": "A"}


async def settled(pilot: Pilot[None]) -> list[Strip]:
    """The lines of the screen once no thread has anything more to bring."""
    before: list[Strip] = []
    for _ in range(200):
        await pilot.pause(0.1)
        if any(each.is_running and each.group != "load" for each in pilot.app.workers):
            continue
        strips = lines_of(pilot.app)
        if strips == before:
            return strips
        before = strips
    raise AssertionError("the screen did not come to rest within 20 s")


def lines_of(app: App[None]) -> list[Strip]:
    """What the terminal shows, with what lies behind a dialog."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return [Strip.join(parts) for parts in update.strips]


def as_text(app: App[None], strips: list[Strip]) -> str:
    """The characters of every line, then the backgrounds of lines: runs of letters."""
    letters = {
        Color.parse(value).rgb: NAMED[name]
        for name, value in app.get_css_variables().items()
        if name in NAMED
    }
    characters = [strip.text.rstrip() for strip in strips]
    backgrounds = [_runs(strip, letters) for strip in strips]
    lines, number = [], 1
    for line, same in groupby(backgrounds):
        last = number + len(list(same)) - 1
        lines.append(f"{number}-{last}: {line}")
        number = last + 1
    return "\n".join([*characters, "", "backgrounds", *lines, ""])


def _runs(strip: Strip, letters: dict[tuple[int, int, int], str]) -> str:
    cells = "".join(
        "~" if _is_block(character) else _letter(segment.style, letters)
        for segment in strip
        for character in segment.text
    )
    return " ".join(f"{letter}{len(list(run))}" for letter, run in groupby(cells))


def _letter(style: Style | None, letters: dict[tuple[int, int, int], str]) -> str:
    triplet = style.bgcolor.triplet if style and style.bgcolor else None
    return "." if triplet is None else letters.get(tuple(triplet), "~")


def compare(name: str, seen: str) -> None:
    """Fail with a diff of lines where a screen looks other than its snapshot; or write it anew."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(seen, encoding="utf-8")
        return
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if not alike(kept, seen):
        lines = difflib.unified_diff(
            kept.splitlines(), seen.splitlines(), path.name, "seen now", lineterm="", n=0
        )
        raise AssertionError("\n".join(["the screen looks other than its snapshot", *lines]))


def alike(kept: str, seen: str) -> bool:
    """Tell whether two texts differ in a few blocks and digits only."""
    if len(kept) != len(seen):
        # Blocks at the end of a line may be blanks: lines of one length make it so.
        kept, seen = _padded(kept), _padded(seen)
    pairs = [(a, b) for a, b in zip(kept, seen, strict=False) if a != b]
    return (
        len(kept) == len(seen)
        and all(_kind(a) == _kind(b) != "" for a, b in pairs)
        and len(pairs) <= PART_THAT_MAY_DIFFER * len(kept)
    )


def _padded(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines), default=0)
    return "\n".join(line.ljust(width) for line in lines)


def _kind(character: str) -> str:
    if character == " " or _is_block(character):
        return "block"
    return "digit" if character.isdigit() else ""


def _is_block(character: str) -> bool:
    """Tell whether it is of a picture or a plot: blocks, quadrants, braille."""
    return "\u2580" <= character <= "\u259f" or "\u2800" <= character <= "\u28ff"
