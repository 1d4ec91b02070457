"""What a file or a folder is, in the few words that stand beside its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryocorr_tui.core.listing import Entry
from cryocorr_tui.core.words import counted

if TYPE_CHECKING:
    from cryocorr_tui.core.readers.content import Glance

__all__ = ["Mark", "check", "look_at"]


@dataclass(frozen=True)
class Mark:
    """What a file or a folder is.

    Attributes
    ----------
    kind : str
        "stack", "picture", "run" (a folder), or empty for what is of no use.
    words, short : str
        That in words, and in few.
    images : int
        In a stack.
    """

    kind: str = ""
    words: str = ""
    short: str = ""
    images: int = 0


def look_at(entry: Entry) -> Mark:
    """Look at the header of a file, or for a run in a folder."""
    if entry.is_folder:
        return _mark_of_folder(entry)
    mark, _ = check(entry.path)
    return mark


def check(path: Path) -> tuple[Mark, str]:
    """Return what a file is, and why it cannot be used, a sentence, as far as its header tells."""
    from cryocorr_tui.core.errors import InputError
    from cryocorr_tui.core.readers.glance import inspect

    try:
        return _mark_of(inspect(path)), ""
    except InputError as error:
        return Mark(), str(error)


def _mark_of(told: Glance) -> Mark:
    size = f"{told.width}×{told.height}"
    if told.kind == "picture":
        return Mark("picture", f"{told.format} picture · {size}", f"{told.format} {size}")
    box = f"{told.width}²" if told.width == told.height else size
    if told.images == 1:
        kind, boxes = "image", box
    else:
        kind, boxes = "stack", f"{told.images} × {box}"
    words = f"{told.format} {kind} · {boxes}"
    if told.pixel_size:
        words += f" · {told.pixel_size:g} Å"
    short = f"{told.format.removeprefix('EMAN2 ')} {boxes}"
    return Mark("stack", words, short, told.images)


def _mark_of_folder(entry: Entry) -> Mark:
    if not (entry.path / "store.zarr").is_dir():
        return Mark()
    from cryocorr_tui.core.run_glance import glance_at_run

    told = glance_at_run(entry.path)
    if told is None:
        return Mark()
    words = f"run, {counted(told.classes, 'class')}, "
    words += "finished" if told.finished else "unfinished"
    return Mark("run", words, words)
