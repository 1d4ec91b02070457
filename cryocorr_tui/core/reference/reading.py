"""The view to hunt for: which one the user named, and its pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import FloatArray, Montage, frozen_array
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.readers import read

__all__ = [
    "Reference",
    "ReferenceSpec",
    "grey_without_overlays",
    "load_reference",
    "parse_reference",
]

SMALLEST_BOX = 16  # pixels; less does not tell one view from another
DISC = 0.9  # diameter of the disc as a part of the box

_COLOURED = 0.125  # part of the grey range between the channels of a pixel that is not grey
_FEW = 0.2  # part of a picture; where more has colour, the class averages are drawn in colour
_STROKE = 31  # pixels: side of the window that fills what was printed
_ROWS_AT_ONCE = 512

_NUMBER = r"\s*(\d+(?:\.\d*)?)\s*"
_BOX = re.compile(rf"(.+):{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", re.DOTALL)
_INDEX = re.compile(r"(.+)#(\d+)", re.DOTALL)


@dataclass(frozen=True)
class ReferenceSpec:
    """Which view is the reference: a box in a picture, or an image by its index.

    Exactly one of `box` (x, y, width, height in pixels, y down) and `index` (0-based: image of a
    stack, or square of a montage in reading order) is not None.
    """

    path: Path
    box: tuple[float, float, float, float] | None = None
    index: int | None = None

    def __str__(self) -> str:
        """Return it as the user writes it."""
        if self.box is None:
            return f"{self.path}#{self.index}"
        return f"{self.path}:{','.join(f'{value:.12g}' for value in self.box)}"


@dataclass(frozen=True, eq=False)
class Reference:
    """One particle view.

    Attributes
    ----------
    name : str
        Where it is from, as the user named it.
    image : (box, box) float32
        Its centre is the pixel ``box // 2``.
    notes : tuple of str
        What the user should know of it.
    """

    name: str
    image: FloatArray
    notes: tuple[str, ...] = ()

    @property
    def box(self) -> int:
        """Side of the image in pixels."""
        return int(self.image.shape[-1])

    @property
    def diameter(self) -> float:
        """Diameter in pixels of the disc in which the view is compared."""
        return DISC * self.box

    @property
    def mask(self) -> FloatArray:
        """That disc, (box, box) float32: 1 inside and 0 outside."""
        return disc_mask(self.box, self.diameter)


def parse_reference(text: str) -> ReferenceSpec:
    """Read what the user wrote: ``FILE:X,Y,W,H`` or ``FILE#INDEX``.

    The last ``:`` or ``#`` counts, so that file names may hold both.

    Raises
    ------
    SettingsError
        If it is neither.
    """
    found = _BOX.fullmatch(text)
    if found is not None:
        x, y, width, height = (float(number) for number in found.groups()[1:])
        return ReferenceSpec(Path(found[1]), box=(x, y, width, height))
    found = _INDEX.fullmatch(text)
    if found is not None:
        return ReferenceSpec(Path(found[1]), index=int(found[2]))
    raise SettingsError(
        f"The reference {text!r} is not understood; give FILE:X,Y,W,H (pixels from the top left "
        "corner) or FILE#INDEX (counted from 0)."
    )


def load_reference(spec: ReferenceSpec, *, bottom_up: bool = False, min_box: int = 24) -> Reference:
    """Read one particle view.

    A box or an image that is not square gives its largest centred square, and a note of that.

    Parameters
    ----------
    spec : ReferenceSpec
    bottom_up, min_box
        How the squares of a montage are found and counted, as in `detect_squares`.

    Raises
    ------
    InputError
        A file that cannot be read, an index or a box that is not in it, a view smaller than
        `SMALLEST_BOX`, pixels that are no numbers, or no contrast.
    NoSquaresError
        An index into a picture without a grid.
    """
    source = read(spec.path)
    place = spec.box
    if isinstance(source, Montage):
        picture = grey_without_overlays(source)
        if spec.index is not None:
            squares = detect_squares(source, bottom_up=bottom_up, min_box=min_box).squares
            _require_index(spec, len(squares), "squares")
            square = squares[spec.index]
            place = (square.x, square.y, square.width, square.height)
    else:
        if spec.index is None and len(source.images) > 1:
            raise InputError(
                f"{spec.path} holds {len(source.images)} images; choose one of them with "
                f"{spec.path}#INDEX."
            )
        _require_index(spec, len(source.images), "images")
        picture = source.images[spec.index or 0]
    return _usable(str(spec), picture if place is None else _cut(spec, picture, place))


def grey_without_overlays(montage: Montage) -> FloatArray:
    """Return the luminance of a picture, (height, width) float32, what was printed on it filled.

    Class averages are grey: pixels that have colour are text, scale bars or selection boxes, and
    take the mean of the grey ones around them. Where much of the picture has colour it is left as
    it is. Pixels that are no numbers take the median.
    """
    picture = _without_gaps(montage.picture)
    if picture.ndim == 2:
        return picture.astype(np.float32)
    red, green, blue = np.moveaxis(picture, -1, 0)
    lightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    coloured = lightest - darkest > _COLOURED * (float(lightest.max()) - float(darkest.min()))
    if not 0 < coloured.mean() < _FEW:
        coloured[:] = False
    # Letters have soft rims, and JPEG spreads their colour.
    coloured = cv2.dilate(coloured.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    elsewhere = float(picture.mean())
    grey = np.empty(coloured.shape, np.float32)
    # Strip by strip: a whole picture in colour and single precision takes hundreds of megabytes.
    for first in range(0, len(grey), _ROWS_AT_ONCE):
        above = min(first, _STROKE)
        strip = slice(first - above, first + _ROWS_AT_ONCE + _STROKE)
        light = cv2.cvtColor(picture[strip].astype(np.float32), cv2.COLOR_RGB2GRAY)
        if coloured[strip].any():
            light = _filled(light, coloured[strip], elsewhere)
        grey[first : first + _ROWS_AT_ONCE] = light[above : above + _ROWS_AT_ONCE]
    return grey


def _without_gaps(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a picture whose pixels that were no numbers have the median."""
    if not np.issubdtype(picture.dtype, np.floating):
        return picture
    finite = np.isfinite(picture)
    if finite.all():
        return picture
    return np.where(finite, picture, np.median(picture[finite]) if finite.any() else 0)


def _filled(grey: FloatArray, printed: NDArray[np.bool_], elsewhere: float) -> FloatArray:
    """Return a picture whose printed pixels have the mean of those around, or `elsewhere`."""
    window = (_STROKE, _STROKE)
    weight = cv2.blur((~printed).astype(np.float32), window)
    around = cv2.blur(np.where(printed, np.float32(0), grey), window)
    fill = np.where(weight > 1e-3, around / np.maximum(weight, 1e-3), np.float32(elsewhere))
    return np.where(printed, fill, grey)


def _require_index(spec: ReferenceSpec, count: int, what: str) -> None:
    if spec.index is not None and spec.index >= count:
        raise InputError(
            f"{spec.path} has no number {spec.index}: it holds {count} {what}, counted from 0."
        )


def _cut(
    spec: ReferenceSpec, picture: NDArray[Any], place: tuple[float, float, float, float]
) -> NDArray[Any]:
    x, y, width, height = (round(value) for value in place)
    rows, columns = picture.shape
    if x + width > columns or y + height > rows:
        raise InputError(
            f"The reference {spec} leaves the picture, which is {columns}×{rows} pixels; choose a "
            "box inside it."
        )
    return picture[y : y + height, x : x + width]


def _usable(name: str, image: NDArray[Any]) -> Reference:
    height, width = image.shape
    box = min(height, width)
    if box < SMALLEST_BOX:
        raise InputError(
            f"The reference {name} is {width}×{height} pixels; choose a view of at least "
            f"{SMALLEST_BOX}×{SMALLEST_BOX}."
        )
    top, left = (height - box) // 2, (width - box) // 2
    notes = []
    if height != width:
        notes.append(
            f"The reference {name} is {width}×{height} pixels; its centred square of {box}×{box} "
            "is hunted."
        )
    square = frozen_array(image[top : top + box, left : left + box])
    reference = Reference(name, square, tuple(notes))
    inside = reference.image[reference.mask > 0]
    if not np.isfinite(inside).all():
        raise InputError(f"The reference {name} has pixels that are no numbers; choose another.")
    if inside.std() <= 1e-5 * np.abs(inside).max():
        raise InputError(f"The reference {name} has no contrast; choose a view of a particle.")
    return reference
