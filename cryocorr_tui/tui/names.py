"""Long names in little room."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

__all__ = ["shortened"]

LEAST_ROOM = 5  # cells in which there is something to choose
SEEN = 3  # characters of a difference that are enough to see it
WORD = re.compile(r"[_\-. ]")  # parts the words of a name


def shortened(name: str, room: int, others: Iterable[str] = ()) -> str:
    """Return a name in at most `room` characters, cut in its middle.

    Parameters
    ----------
    name : str
        Of a file.
    room : int
        Characters.
    others : iterable of str
        Names that it stands among: what tells it from the most alike of them stays.
    """
    if len(name) <= room:
        return name
    if room < LEAST_ROOM:
        return name[: max(room, 0)]
    alike = max((_alike(name, other) for other in others if other != name), default=0)
    tail = 2 * room // 3  # where names of files differ, as a rule
    head = room - 1 - tail
    if alike + SEEN <= head or alike >= len(name) - tail:
        return f"{name[:head]}…{name[-tail:]}"
    # From the word in which they begin to differ.
    begin = max((found.end() for found in WORD.finditer(name, 0, alike)), default=0)
    rest = name[begin:]
    if len(rest) < room:
        return f"{name[: room - 1 - len(rest)]}…{rest}"
    return f"…{rest[: room - 2]}…"


def _alike(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
