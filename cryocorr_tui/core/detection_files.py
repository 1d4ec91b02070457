"""What was found in montages, as files: squares, their overlays, the cut squares as a stack."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import cv2
import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core import export
from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.inputs import Inputs, to_class_averages
from cryocorr_tui.core.model import ClassAverage, Montage
from cryocorr_tui.core.overlay import draw_overlay
from cryocorr_tui.core.preprocessing import fourier_resample
from cryocorr_tui.core.readers.picture import swap_red_and_blue

__all__ = ["write_detection", "write_squares"]


def write_detection(sources: Inputs, folder: Path) -> tuple[Path, ...]:
    """Write ``squares.csv``, an overlay a montage, and all whole squares as ``stack.mrcs``.

    Parameters
    ----------
    sources : Inputs
        With their squares.
    folder : Path
        An existing folder; files of these names are replaced.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    tables = write_squares(sources, folder)
    classes = [item for item in to_class_averages(sources) if item.x is not None]
    if classes:
        tables.append(folder / "stack.mrcs")
        _write_stack(tables[-1], classes)
    return tuple(tables)


def write_squares(sources: Inputs, folder: Path) -> list[Path]:
    """Write the squares of all montages, and the overlay of each, where there is a montage."""
    if not sources.montages:
        return []
    tables = [folder / "squares.csv"]
    export.write_squares(tables[0], [detection for _, detection in sources.montages])
    names = _overlay_names([montage for montage, _ in sources.montages])
    for (montage, detection), name in zip(sources.montages, names, strict=True):
        tables.append(folder / name)
        _write_picture(tables[-1], draw_overlay(montage, detection))
    return tables


def _overlay_names(montages: Sequence[Montage]) -> list[str]:
    """Return a file name for each overlay; montages of the same name are numbered."""
    names: list[str] = []
    for montage in montages:
        stem = f"overlay_{Path(montage.source).stem}"
        numbered = (f"{stem}-{number}.png" for number in count(2))
        names.append(next(name for name in chain([f"{stem}.png"], numbered) if name not in names))
    return names


def _write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture, of which nothing is kept: its colours are swapped in place."""
    with atomic_path(path) as partial:
        swap_red_and_blue(picture)
        encoded = cv2.imencode(".png", picture)[1]
        partial.write_bytes(encoded.data)


def _write_stack(path: Path, classes: Sequence[ClassAverage]) -> None:
    """Write all class averages as one MRC stack, in the box of the smallest."""
    box = min(item.image.shape[0] for item in classes)
    pixel_size = classes[0].pixel_size
    shape = len(classes), box, box
    with (
        atomic_path(path) as partial,
        mrcfile.new_mmap(partial, shape, mrc_mode=2, overwrite=True) as mrc,
    ):
        for image, item in zip(mrc.data, classes, strict=True):
            image[:] = fourier_resample(item.image[None], box)[0]
        _describe(mrc)
        mrc.set_image_stack()
        if pixel_size is not None:
            mrc.voxel_size = pixel_size * classes[0].image.shape[0] / box


def _describe(mrc: mrcfile.mrcmemmap.MrcMemmap) -> None:
    """Set the statistics of a header image by image: mrcfile would copy the stack to float64."""
    header, images = mrc.header, mrc.data
    header.dmin, header.dmax = images.min(), images.max()
    means = [image.mean(dtype=np.float64) for image in images]
    variances = [image.var(dtype=np.float64) for image in images]
    header.dmean = np.mean(means)
    header.rms = np.sqrt(np.mean(variances) + np.var(means))
