"""Tables as CSV: how columns of each kind are written.

As RFC 4180 has it: UTF-8, CRLF line ends, one header row, fields quoted where they must be.
Numbers have the fewest digits that give the same float32 back, what is not known is an empty field,
booleans are ``true`` and ``false``. Each file appears whole or not at all (`files.atomic_path`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.model import FloatArray

__all__ = ["Column", "Numbers", "booleans", "counts", "csv_file", "floats", "texts", "write_table"]

Numbers = Sequence[float | None] | NDArray[np.number | np.bool_]
Texts = NDArray[np.str_]
Column = Sequence[Any] | NDArray[Any]


def write_table(path: Path | str, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length, with their names as header.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with csv_file(path) as file:
        writer = csv.writer(file)  # ends lines with CRLF
        writer.writerow(columns)
        writer.writerows(zip(*map(_as_texts, columns.values()), strict=True))


@contextmanager
def csv_file(path: Path | str) -> Iterator[TextIO]:
    """Open a table to be written; see `files.atomic_path`."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def texts(values: Sequence[str]) -> list[str]:
    """Return texts that can be written: file names need not be valid text, a table must be."""
    return [value.encode("utf-8", "backslashreplace").decode("utf-8") for value in values]


def floats(values: Numbers) -> FloatArray:
    """Return numbers as float32; None becomes NaN, which is written as an empty field."""
    return np.asarray(values, dtype=np.float32)


def counts(values: Numbers) -> Texts:
    """Return whole numbers written without a point; NaN as empty."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    whole = bool((known % 1 == 0).all())
    return np.array([_count(value, whole) for value in numbers.tolist()], dtype=np.str_)


def booleans(values: Numbers) -> Texts:
    """Return ``true`` and ``false``; NaN and None as empty."""
    numbers = np.asarray(values, dtype=np.float32)
    return np.where(np.isnan(numbers), "", np.where(numbers != 0, "true", "false"))


def _count(value: float, whole: bool) -> str:
    if np.isnan(value):
        return ""
    return str(int(value)) if whole else str(value)


def _as_texts(column: Column) -> Column:
    """Return a column with numbers as numpy writes them, which is the fewest digits."""
    if not isinstance(column, np.ndarray) or column.dtype.kind != "f":
        return column
    return np.where(np.isnan(column), "", column.astype(np.str_))
