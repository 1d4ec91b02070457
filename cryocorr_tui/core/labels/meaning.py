"""What printed lines say: particles, resolution, index; empty unless every glyph is sure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from cryocorr_tui.core.labels.lines import Line, Place, aligned
from cryocorr_tui.core.labels.reading import Glyph, read_place

__all__ = ["Meaning", "counting", "meanings", "read_lines"]

FEW = 3  # squares, below which one says nothing about the other
NUMBERED = 0.3  # of the squares must have a number at a place for it to be their class's
MOST_RESIDUE = 0.2  # share of a digit that may be left unexplained
POINT_RESIDUE = 0.3  # the same for points, of which little is left to correlate
LEAST_RIVALRY = 1.25  # of a perfect glyph, and the worse the fit, the clearer the choice must be:
MORE_RIVALRY = 2.5  # so much more per unit of residue
MOST_DOUBT = 2.0  # for a letter that stands among digits
BROADEST = 1.0  # width of a digit in its height; two that touch are broader
FARTHEST = 1.25  # between the middles of neighbouring digits, in their heights: none was lost
WIDEST = 1.3  # between a number and the word beside it, or
WIDER = 0.4  # than usual at their place
ALIKE = 0.7  # difflib's ratio, from which on letters are taken for a known word
COUNTING = 0.6  # of the lone numbers must count the squares to be taken for indices

_PARTICLES = ("ptcls", "ptcl", "particles", "particle", "parts")
_ANGSTROM = ("A", "Å")
_UNITS = (*_PARTICLES, "ess", "px", "%")
_NAMES = ("class", "#", "no")
_COUNT = re.compile(r"\d+|\d{1,3}(?:,\d{3})+")
_DECIMAL = re.compile(r"\d+(?:\.\d+)?")
_DIGIT_LIKE = re.compile(r"(?<![a-km-np-zA-Z])[lo](?![a-km-np-zA-Z])")
_TOKEN = re.compile(r"[\d.,]+|[^\d.,]+")


@dataclass(frozen=True)
class Meaning:
    """What one line says.

    Attributes
    ----------
    text : str
        The line, spelt as it should be; empty where it could not be read.
    particles, resolution : float or None
        Count, Å.
    index : int or None
        The number that is called the class's.
    lone : int or None
        A number that stands alone.
    """

    text: str = ""
    particles: float | None = None
    resolution: float | None = None
    index: int | None = None
    lone: int | None = None

    @property
    def decimals(self) -> int:
        """How many digits stand behind the point in the text."""
        return max((len(part) for part in re.findall(r"\.(\d+)", self.text)), default=0)


def read_lines(place: Place, squares: int) -> list[tuple[Line, Meaning]]:
    """Return the lines of a place on some of the squares, each with what it says."""
    found = [Meaning()] * len(place.lines)
    # Few are captions or titles: they may well hold a number, but not one of their class.
    if squares < FEW or len(place.lines) >= NUMBERED * squares:
        found = [
            meaning if whole else Meaning()
            for meaning, whole in zip(meanings(read_place(place)), aligned(place), strict=True)
        ]
    return list(zip(place.lines, found, strict=True))


def meanings(lines: Sequence[tuple[Glyph, ...]]) -> list[Meaning]:
    """Return what the lines of one place say.

    A resolution without decimals, or with another number of them than most at its place, is left
    out: a point that was overlooked would make it ten times as large.
    """
    widest = _widest_space(lines)
    found = [_meaning(line, widest) for line in lines]
    usual = Counter(each.decimals for each in found if each.resolution is not None)
    return [
        Meaning()
        if each.resolution is not None and each.decimals != usual.most_common(1)[0][0]
        else each
        for each in found
    ]


def counting(numbers: Sequence[int | None], right: Sequence[int | None]) -> list[int | None]:
    """Return the numbers that count the squares from left to right, None instead of the others.

    Parameters
    ----------
    numbers : sequence of int or None
        The lone number printed on each square.
    right : sequence of int or None
        The square to the right of each square.
    """
    counts = [False] * len(numbers)
    for here, there in enumerate(right):
        if there is None:
            continue
        left_number, right_number = numbers[here], numbers[there]
        if left_number is not None and right_number == left_number + 1:
            counts[here] = counts[there] = True
    printed = sum(number is not None for number in numbers)
    if sum(counts) < COUNTING * printed:
        return [None] * len(numbers)
    return [number if own else None for number, own in zip(numbers, counts, strict=True)]


def _widest_space(lines: Sequence[tuple[Glyph, ...]]) -> float:
    """Return how wide a space beside a number may be, in heights of a digit."""
    spaces = [
        second.left - first.right
        for line in lines
        for first, second in pairwise(line)
        if _is_digit(first) != _is_digit(second)
    ]
    return min(WIDEST, float(np.median(spaces)) + WIDER) if spaces else WIDEST


def _is_digit(glyph: Glyph) -> bool:
    return glyph.character == glyph.digit


def _meaning(line: tuple[Glyph, ...], widest: float) -> Meaning:
    tokens = _tokens(line, widest)
    if len(tokens) == 3 and tokens[1] == ":" and _COUNT.fullmatch(tokens[0]):
        return Meaning(text=f"{tokens[0]}: {tokens[2]}", lone=int(tokens[0].replace(",", "")))
    if len(tokens) == 1 and _COUNT.fullmatch(tokens[0]):
        return Meaning(text=tokens[0], lone=int(tokens[0].replace(",", "")))
    particles = resolution = index = None
    words = []
    while tokens:
        first, second = tokens[0], tokens[1] if len(tokens) > 1 else ""
        tokens = tokens[2:]
        if second in _PARTICLES and _COUNT.fullmatch(first):
            particles = float(first.replace(",", ""))
        elif second in _ANGSTROM and "." in first and _DECIMAL.fullmatch(first):
            resolution = float(first)
        elif first in _NAMES and _COUNT.fullmatch(second):
            index = int(second)
        elif not (second in _UNITS and _DECIMAL.fullmatch(first)):
            return Meaning()
        words.append(f"{first}{second}" if "#" in first or "%" in second else f"{first} {second}")
    return Meaning(" ".join(words), particles, resolution, index)


def _tokens(line: tuple[Glyph, ...], widest: float) -> list[str]:
    """Return numbers and known words in turn; none where a glyph is not sure or a word unknown."""
    tokens: list[str] = []
    at = 0
    for token in _TOKEN.findall(_spelt(line)):
        glyphs = line[at : at + len(token)]
        at += len(token)
        if _DECIMAL.fullmatch(token) or _COUNT.fullmatch(token):
            beside = line[max(at - len(token) - 1, 0) : at + 1]
            if not all(_is_sure(glyph) for glyph in glyphs) or _has_hole(beside, widest):
                return []
            tokens.append(token)
        elif token in _ANGSTROM or token in ("%", ":"):
            tokens.append(token)
        else:
            word = _word(token.lower())
            if not word:
                return []
            tokens.append(word)
    return tokens


@cache
def _word(letters: str) -> str:
    """Return the known word that letters are, nearly; empty where they are none.

    A letter too many, or another one at either end, may be a digit of the number beside the word.
    """
    for known in difflib.get_close_matches(letters, (*_UNITS, *_NAMES), n=1, cutoff=ALIKE):
        ends_agree = known[0] == letters[0] and known[-1] == letters[-1]
        if ends_agree and len(letters) <= len(known):
            return known
    return ""


def _is_sure(glyph: Glyph) -> bool:
    enough = LEAST_RIVALRY + MORE_RIVALRY * glyph.residue
    most = MOST_RESIDUE if glyph.digit.isdigit() else POINT_RESIDUE
    slim = glyph.right - glyph.left <= BROADEST
    return slim and glyph.residue <= most and glyph.rivalry >= enough


def _has_hole(line: Sequence[Glyph], widest: float) -> bool:
    """Say whether a digit may have been lost between the glyphs of a number and its neighbours."""
    for first, second in pairwise(line):
        if _is_digit(first) and _is_digit(second):
            apart = (second.left + second.right - first.left - first.right) / 2
            if apart > FARTHEST:
                return True
        elif second.left - first.right > widest:
            return True
    return False


def _spelt(line: tuple[Glyph, ...]) -> str:
    """Return the characters of a line, an l or o among digits as the digit that it looks like."""
    spelt = "".join(glyph.character for glyph in line)
    wrong = [
        match.start()
        for match in _DIGIT_LIKE.finditer(spelt)
        if line[match.start()].doubt <= MOST_DOUBT
    ]
    return "".join(line[k].digit if k in wrong else spelt[k] for k in range(len(spelt)))
