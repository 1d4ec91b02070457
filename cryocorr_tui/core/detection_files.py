"""What was found in montages, as files: squares, their overlays, the cut squares as a stack."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import cv2
import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.inputs import Inputs, to_class_averages
from cryocorr_tui.core.memory import return_freed_memory
from cryocorr_tui.core.model import ClassAverage, Detection, Labels, Montage, Square
from cryocorr_tui.core.overlay import draw_overlay
from cryocorr_tui.core.preprocessing import fourier_resample
from cryocorr_tui.core.readers.picture import swap_red_and_blue
from cryocorr_tui.core.tables import Column, booleans, counts, floats, texts, write_table

__all__ = ["write_detection", "write_detections", "write_squares", "write_stack"]

_NOTHING_PRINTED = Labels(np.zeros((0, 0), dtype=bool))


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
    return (*write_detections(sources, folder), *write_stack(folder, to_class_averages(sources)))


def write_detections(sources: Inputs, folder: Path) -> list[Path]:
    """Write the squares of all montages, and the overlay of each, where there is a montage."""
    if not sources.montages:
        return []
    tables = [folder / "squares.csv"]
    write_squares(tables[0], [detection for _, detection in sources.montages])
    names = _overlay_names([montage for montage, _ in sources.montages])
    for (montage, detection), name in zip(sources.montages, names, strict=True):
        tables.append(folder / name)
        _write_picture(tables[-1], draw_overlay(montage, detection))
        return_freed_memory()
    return tables


def write_stack(folder: Path, classes: Sequence[ClassAverage]) -> list[Path]:
    """Write the class averages that were squares of a montage, where there are any."""
    cut = [item for item in classes if item.x is not None]
    if not cut:
        return []
    path = folder / "stack.mrcs"
    _write_stack(path, cut)
    return [path]


def write_squares(path: Path | str, detections: Sequence[Detection]) -> None:
    """Write ``squares.csv``: every square of every montage, in reading order.

    Corners and sides are in pixels of the montage, y down. What is not printed on a square, or
    could not be read, is empty; ``selected`` is empty throughout a montage without a selection.
    Score and pose, which bring the reference onto a square, are empty where none was hunted, and
    there the grid is.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    found = [(d.source, k, s) for d in detections for k, s in enumerate(d.squares)]
    labels = [s.labels or _NOTHING_PRINTED for _, _, s in found]
    with_selection = {d.source for d in detections if d.shows_selection}
    columns: dict[str, Column] = {
        "source": texts([source for source, _, _ in found]),
        "index": [index for _, index, _ in found],
        "x": floats([s.x for _, _, s in found]),
        "y": floats([s.y for _, _, s in found]),
        "width": floats([s.width for _, _, s in found]),
        "height": floats([s.height for _, _, s in found]),
        "confidence": floats([s.confidence for _, _, s in found]),
        "cut": booleans([s.cut for _, _, s in found]),
        "label_text": texts([label.text for label in labels]),
        "score": floats([_known_hit(s, "score") for _, _, s in found]),
        "rotation_deg": floats([_known_hit(s, "rotation") for _, _, s in found]),
        "mirrored": booleans([_known_hit(s, "mirrored") for _, _, s in found]),
        "scale": floats([_known_hit(s, "scale") for _, _, s in found]),
        "grid": counts([s.grid for _, _, s in found]),
        "grid_confidence": floats([s.grid_confidence for _, _, s in found]),
        "particles": counts([label.particles for label in labels]),
        "resolution_angstrom": floats([label.resolution for label in labels]),
        "class_index": counts([label.class_index for label in labels]),
        "selected": booleans(
            [
                label.selected if source in with_selection else None
                for (source, _, _), label in zip(found, labels, strict=True)
            ]
        ),
    }
    write_table(path, columns)


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


def _known_hit(square: Square, field: str) -> float | None:
    return None if square.hit is None else float(getattr(square.hit, field))
