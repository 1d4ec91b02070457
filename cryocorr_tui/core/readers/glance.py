"""What a file is, told by its header: cheap enough for a whole folder of them."""

from __future__ import annotations

import zlib
from pathlib import Path

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.readers import FORMATS, imagic, is_imagic
from cryocorr_tui.core.readers.content import Glance, opened, peeked

__all__ = ["Glance", "glance"]


def glance(path: Path) -> Glance | None:
    """Look at the header of a file.

    Of a compressed file the beginning is unpacked. A file that looks good may still prove damaged
    when its pixels are read.

    Returns
    -------
    Glance or None
        None for what is not of a known format, cannot be opened, or holds no class averages.
    """
    try:
        with opened(path) as packed:
            if is_imagic(path):
                return imagic.glance(packed)
            content = peeked(packed)
            for reader in FORMATS:
                if reader.recognises(content.head):
                    return reader.glance(content)
    except (InputError, OSError, EOFError, zlib.error):
        return None
    return None
