from __future__ import annotations

import pytest

from cryocorr_tui.core.words import are, counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "square", "0 squares are"),
        (1, "square", "1 square is"),
        (2, "class", "2 classes are"),
        (1, "class", "1 class is"),
    ],
)
def test_one_thing_is_told_as_one(number: int, noun: str, words: str) -> None:
    assert f"{counted(number, noun)} {are(number)}" == words
