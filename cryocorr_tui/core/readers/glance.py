"""What a file is, told by its header: cheap enough for a whole folder of them."""

from __future__ import annotations

from pathlib import Path

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.readers import recognised
from cryocorr_tui.core.readers.content import Glance, peeked

__all__ = ["Glance", "glance", "inspect"]


def inspect(path: Path) -> Glance:
    """Look at the header of a file.

    Of a compressed file the beginning is unpacked. A file that looks good may still prove damaged
    when its pixels are read.

    Raises
    ------
    InputError
        As `readers.read` does, as far as the header tells.
    """
    with recognised(path, unpack=peeked) as (reader, content):
        return reader.glance(content)


def glance(path: Path) -> Glance | None:
    """Look at the header of a file, as `inspect`; None for what holds no class averages."""
    try:
        return inspect(path)
    except InputError:
        return None
