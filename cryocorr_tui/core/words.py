"""Numbers in sentences."""

from __future__ import annotations

__all__ = ["are", "counted"]


def counted(number: int, noun: str) -> str:
    """Return "1 class", "2 classes": a number of things in words.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        One of them; more of them are called so with an s, or es after an s.
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{ending}"


def are(number: int) -> str:
    """Return the verb that goes with a number of things."""
    return "is" if number == 1 else "are"
