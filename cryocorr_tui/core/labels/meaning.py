"""What a printed line says: particles, resolution, index; empty unless every glyph is sure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cryocorr_tui.core.labels.reading import Glyph

__all__ = ["Meaning", "indices", "meanings"]

LEAST_SCORE = 0.8
LEAST_RIVALRY = 1.4
WORST = 3.5  # what a digit leaves unexplained, in terms of the typical digit of its place
ALIKE = 0.7  # difflib's ratio, from which a word counts as the known one

_PARTICLES = ("ptcls", "ptcl", "particles", "particle", "parts")
_NAMES = ("class", "#")
_WORDS = (*_PARTICLES, *_NAMES, "ess", "res", "inf", "px")
_ANGSTROM = ("A", "Å")
_COUNT = re.compile(r"\d+|\d{1,3}(,\d{3})+")
_DECIMAL = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Meaning:
    """What one line says.

    Attributes
    ----------
    text : str
        The line as it should be spelt; empty where it could not be read.
    particles, resolution : float or None
        Count, Å.
    index : int or None
        Number of the class, named as one.
    bare : int or None
        A number that stands alone.
    """

    text: str = ""
    particles: float | None = None
    resolution: float | None = None
    index: int | None = None
    bare: int | None = None


def meanings(lines: Sequence[tuple[Glyph, ...]]) -> list[Meaning]:
    """Return what the lines of one place say.

    Of numbers with decimals, those with another number of decimals than most of the place are left
    out, since a lost point is the likeliest mistake.
    """
    digits = [g for line in lines for g in line if g.character.isdigit()]
    typical = float(np.median([1 - g.score**2 for g in digits])) if digits else 0.0
    limit = max(WORST * typical, 0.05)
    found = [_meaning(line, limit) for line in lines]
    decimals = Counter(_decimals(m) for m in found if m.resolution is not None)
    if not decimals:
        return found
    usual = decimals.most_common(1)[0][0]
    return [
        Meaning() if m.resolution is not None and _decimals(m) != usual else m for m in found
    ]


def indices(bare: Sequence[int | None], rows: Sequence[int]) -> list[int | None]:
    """Return the numbers that count the squares one by one, None for the others.

    Parameters
    ----------
    bare : sequence of int or None
        The lone number printed on each square.
    rows : sequence of int
        Row of each square; within one, squares go from left to right.
    """
    places = {k: place for place, k in enumerate(_within_rows(rows))}
    by_row: dict[int, list[int]] = {}
    for k, number in enumerate(bare):
        if number is not None:
            by_row.setdefault(rows[k], []).append(number - places[k][1])
    result: list[int | None] = []
    return result


def _within_rows(rows: Sequence[int]) -> list[tuple[int, int]]:
    return []
