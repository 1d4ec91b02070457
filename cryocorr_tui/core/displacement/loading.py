"""Pictures and masks for a displacement, from files and from runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.aligned import aligned_pictures, source_mask
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import FloatArray, Stack, frozen_array
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.words import are, counted

__all__ = [
    "ComparedPictures",
    "file_and_index",
    "laid_pictures",
    "pictures_of_files",
    "pictures_of_pair",
    "read_mask",
    "with_mask",
]

_NUMBER = r"-?\d+(?:\.\d*)?"  # corners may lie beyond the picture
_INDEXED = re.compile(r"(.+)#(\d+)")
_POLYGON = re.compile(rf"\s*{_NUMBER}\s*,\s*{_NUMBER}(\s+{_NUMBER}\s*,\s*{_NUMBER})*\s*")


@dataclass(frozen=True, eq=False)
class ComparedPictures:
    """Two pictures for `measure_displacement`.

    Attributes
    ----------
    reference, deformed : (height, width) float32
        NaN where nothing is known.
    mask : (height, width) bool or None
        Where the reference counts.
    notes : tuple of str
        What the user should know, sentences.
    """

    reference: FloatArray
    deformed: FloatArray
    mask: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


def pictures_of_files(reference: Path, deformed: Path) -> ComparedPictures:
    """Read two pictures, of any format, of one image each; ``FILE#INDEX`` is one of a stack.

    Colours become luminance (ITU-R BT.601); pixels that are no numbers are left out, both with a
    note.

    Raises
    ------
    InputError
        A file that cannot be read, or that holds several images and it is not said which.
    """
    first, second = _picture(reference), _picture(deformed)
    return ComparedPictures(first[0], second[0], notes=(*first[1], *second[1]))


def pictures_of_pair(run: Run, i: int, j: int) -> ComparedPictures:
    """Return class i as its source shows it and class j laid on it, with the mask of the metrics.

    Raises
    ------
    InputError
        If there is no such class, or the pair was not scored, so that j cannot be laid on i.
    """
    last = len(run.classes) - 1
    for number in (i, j):
        if not 0 <= number <= last:
            raise InputError(f"{run.folder}: has no class {number}; they go from 0 to {last}.")
    if i == j:
        raise InputError(f"Class {i} is compared with itself; name two classes.")
    pair = run.pair(i, j)
    if pair.pose is None:
        raise InputError(
            f"{run.folder}: classes {i} and {j} are not aligned with each other ({pair.reason})."
        )
    first, second = aligned_pictures(run, i, j)
    return laid_pictures(first, second, source_mask(run, i))


def laid_pictures(
    first: FloatArray, second: FloatArray, mask: NDArray[np.bool_]
) -> ComparedPictures:
    """Return a class average and another one that is laid on it.

    Where the second has no data, outside the mask, it goes on with the grey of its solvent: else a
    subset that reaches over the rim of the mask could not be found.
    """
    beyond = ~mask & ~np.isfinite(second)
    solvent = second[~mask & ~beyond]
    if beyond.any() and solvent.size:
        second = frozen_array(np.where(beyond, np.median(solvent), second))
    return ComparedPictures(first, second, mask)


def read_mask(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return (height, width) bool: which pixels count.

    Parameters
    ----------
    text : str
        A picture that is brighter than half its range where pixels count, or the corners of a
        polygon, its border included, as in ``10,10 10,200 150,100``: y and x of three or more.
    shape : tuple of int
        Height and width of the pictures.

    Raises
    ------
    InputError, SettingsError
        A picture that cannot be read, fewer than three corners.
    """
    if not _POLYGON.fullmatch(text):
        picture, _ = _picture(Path(text))
        return np.asarray(picture > (np.nanmin(picture) + np.nanmax(picture)) / 2)
    corners = np.array([[float(part) for part in pair.split(",")] for pair in _pairs(text)])
    if len(corners) < 3:
        raise SettingsError("A polygon needs three corners or more: --mask 'Y,X Y,X Y,X'.")
    mask = np.zeros(shape, dtype=np.uint8)
    sixteenths = np.rint(corners[:, ::-1] * 16).astype(np.int32)
    cv2.fillPoly(mask, [sixteenths], 1, shift=4)
    return mask > 0


def with_mask(pictures: ComparedPictures, text: str) -> ComparedPictures:
    """Return pictures of which only what `read_mask` reads in a text counts too.

    A mask of another size takes the place of the one there was: comparing it will be refused, in
    words.
    """
    drawn, mask = read_mask(text, pictures.reference.shape), pictures.mask
    if mask is not None and mask.shape == drawn.shape:
        drawn = mask & drawn
    return replace(pictures, mask=drawn)


def file_and_index(path: Path) -> tuple[Path, int | None]:
    """Return a file and which of its images is meant, None where that is not said."""
    indexed = _INDEXED.fullmatch(str(path))
    if indexed is None or path.exists():  # a name may hold such a sign
        return path, None
    return Path(indexed[1]), int(indexed[2])


def _pairs(text: str) -> list[str]:
    return re.sub(r"\s*,\s*", ",", text.strip()).split()


def _picture(path: Path) -> tuple[FloatArray, list[str]]:
    """Return a grey picture and what was done to it."""
    file, index = file_and_index(path)
    source, notes = read(file), []
    if isinstance(source, Stack):
        count = len(source.images)
        if index is None and count != 1:
            raise InputError(
                f"{path}: holds {count} images; name one as {path.name}#0, or give files of one "
                "image each."
            )
        if index is not None and index >= count:
            raise InputError(f"{file}: has no image {index}; they go from 0 to {count - 1}.")
        picture = source.images[index or 0]
    elif index:
        raise InputError(f"{file}: is one picture and has no image {index}.")
    else:
        picture = source.picture.astype(np.float32)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        notes.append(f"{path}: its colours are taken as luminance.")
    unknown = int((~np.isfinite(picture)).sum())
    if unknown:
        notes.append(
            f"{path}: {counted(unknown, 'pixel')} {are(unknown)} not a number and left out."
        )
        picture = np.where(np.isfinite(picture), picture, np.float32(np.nan))
    return frozen_array(picture), notes
