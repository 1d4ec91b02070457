"""What is in a folder, in the order in which a person looks for it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

__all__ = ["MOST_ENTRIES", "Entry", "by_value", "list_folder", "plain_path"]

MOST_ENTRIES = 20_000


@dataclass(frozen=True)
class Entry:
    """A file or a folder."""

    path: Path
    is_folder: bool = False


def list_folder(folder: Path) -> list[Entry]:
    """Return folders, then files, by their names, numbers in them by value; hidden ones left out.

    Of a folder of more than `MOST_ENTRIES` only so many are looked at.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    with os.scandir(folder) as scanned:
        found = [
            Entry(folder / item.name, item.is_dir())
            for item in islice(scanned, MOST_ENTRIES)
            if not item.name.startswith(".")
        ]
    return sorted(found, key=lambda entry: (not entry.is_folder, by_value(entry.path.name)))


def by_value(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts 2 before 10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", text)]


def plain_path(path: Path) -> Path:
    """Return a path from the root, to compare it with others; the disk is not asked for links."""
    return Path(os.path.normpath(path.absolute()))
