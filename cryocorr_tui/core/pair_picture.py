"""Pictures of a pair in a file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.files import atomic_path, output_error

__all__ = ["save_row", "side_by_side"]

LEAST_SIDE = 256  # pixels, nearly, of a picture in a file
BETWEEN = 8  # pixels between pictures in a file


def save_row(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> Path:
    """Save pictures side by side as a PNG, and never over another file.

    Parameters
    ----------
    path : Path
        Where a file is there already, the name gets the next number. The folder is made.
    pictures : sequence of (box, box) or (box, box, 3) uint8
        Grey or RGB, of one size.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path.parent, error) from error
    names = (path.with_stem(f"{path.stem}-{k}") for k in count(2))
    free = path if not path.exists() else next(name for name in names if not name.exists())
    drawn = cv2.cvtColor(side_by_side(pictures), cv2.COLOR_RGB2BGR)
    with atomic_path(free) as partial:
        partial.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())
    return free


def side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return pictures of one size in a row, small ones enlarged by a whole number.

    Parameters
    ----------
    pictures : sequence of (box, box) or (box, box, 3) uint8
        Grey or RGB.

    Returns
    -------
    (h, w, 3) uint8
        RGB, with white between.
    """
    side = len(pictures[0]) * max(1, round(LEAST_SIDE / len(pictures[0])))
    row: list[NDArray[np.uint8]] = []
    for picture in pictures:
        colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        row.append(cv2.resize(colour, (side, side), interpolation=cv2.INTER_CUBIC))
        row.append(np.full((side, BETWEEN, 3), 255, dtype=np.uint8))
    return np.concatenate(row[:-1], axis=1)
