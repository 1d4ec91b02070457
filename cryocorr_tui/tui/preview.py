"""A look into a file: its first images, or the picture itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.errors import InputError

__all__ = ["Preview", "preview"]

LARGEST_FILE = 200 * 2**20  # bytes: larger ones take too long over a network
MOST_IMAGES = 48
SIDE = 96  # pixels of a thumbnail


@dataclass(frozen=True, eq=False)
class Preview:
    """What is seen of a file.

    Attributes
    ----------
    picture : (h, w) or (h, w, 3) uint8, or None
        None where there is nothing to see.
    told : str
        What it shows, or why there is nothing.
    problem : str
        Why the file cannot be used, a sentence; empty where it can.
    """

    picture: NDArray[np.uint8] | None
    told: str = ""
    problem: str = ""


def preview(path: Path, aspect: float) -> Preview:
    """Look into a file.

    Parameters
    ----------
    path : Path
    aspect : float
        Width / height of the room for the picture.
    """
    from cryocorr_tui.core.detection.squares import grey_picture
    from cryocorr_tui.core.model import Montage
    from cryocorr_tui.core.readers import read
    from cryocorr_tui.tui.contact_sheet import best_columns, contact_sheet

    try:
        if path.stat().st_size > LARGEST_FILE:
            return Preview(None, "Too large a file for a quick look.")
        source = read(path)
    except InputError as error:
        return Preview(None, problem=str(error))
    except OSError as error:
        return Preview(None, problem=f"{path}: {error.strerror or error}.")
    if isinstance(source, Montage):
        eight_bit = source.picture.dtype == np.uint8
        picture = source.picture if eight_bit else grey_picture(source.picture)
        return Preview(np.asarray(picture, np.uint8))
    images = source.images[:MOST_IMAGES]
    side = min(SIDE, max(images.shape[1:])) if len(images) > 1 else max(images.shape[1:])
    sheet = contact_sheet(list(images), best_columns(len(images), aspect), side)
    more = len(source.images) - len(images)
    return Preview(sheet, f"The first {len(images)} of {len(source.images)}." if more else "")
