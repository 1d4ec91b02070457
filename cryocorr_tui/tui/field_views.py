"""A displacement field drawn for the screen, over its reference: pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.aligned import to_grey
from cryocorr_tui.core.field_drawing import LONGEST, arrows, coloured, range_of, shown
from cryocorr_tui.core.model import DisplacementField, FloatArray

__all__ = [
    "MAPS",
    "FieldMap",
    "canvas_scale",
    "draw_arrows",
    "draw_map",
    "invalid_marks",
    "map_of",
    "side_by_side",
    "vector_at",
    "with_cursor",
]

RGBPicture = NDArray[np.uint8]

# View, what it shows of a field, and its unit.
MAPS = {
    "magnitude": ("magnitude", "px"),
    "dy": ("dy", "px"),
    "dx": ("dx", "px"),
    "coefficient": ("correlation", ""),
    "exx": ("exx", ""),
    "eyy": ("eyy", ""),
    "exy": ("exy", ""),
}

LONG_SIDE, LONGEST_SIDE, LEAST_CELL = 1600, 3200, 8  # pixels of a canvas, and of a vector's cell
CELL = 8  # pixels of the screen: the smallest cell that is drawn in
DIMMED = 0.4  # of the reference, under arrows
CURSOR = (255, 60, 160)  # on no ramp
ARROW, HALO, CROSS = (255, 214, 0), (0, 0, 0), (255, 255, 255)
GAP = 8  # pixels between two pictures


@dataclass(frozen=True, eq=False)
class FieldMap:
    """Values to be coloured.

    Attributes
    ----------
    values : (n,) float32
        NaN where nothing is shown.
    low, high : float
        What has the first and the last colour.
    """

    values: FloatArray
    low: float
    high: float


def map_of(field: DisplacementField, name: str) -> FieldMap:
    """Return the values of one of `MAPS`: of the vectors that are shown, correlations of all."""
    values: FloatArray = getattr(field, MAPS[name][0])
    if name == "coefficient":
        return FieldMap(values, 0.0, 1.0)
    values = np.where(shown(field), values, np.float32(np.nan))
    return FieldMap(values, *range_of(values))


def canvas_scale(shape: tuple[int, int], spacing: int) -> float:
    """Return pixels of a canvas per pixel of a picture (height, width) of vectors `spacing` apart.

    Enough for the largest terminal, and for every vector, but not without bound.
    """
    side = max(shape)
    return min(max(LONG_SIDE / side, LEAST_CELL / spacing), LONGEST_SIDE / side)


def draw_map(
    reference: FloatArray, field: DisplacementField, name: str, *, pen: float
) -> RGBPicture:
    """Draw a cell for each vector over the reference; invalid vectors are grey and crossed out.

    Parameters
    ----------
    reference : (height, width) float32
    field : DisplacementField
    name : str
        One of `MAPS`.
    pen : float
        Pixels of the canvas per pixel of the screen: lines are as wide, to be seen.

    Returns
    -------
    (h, w, 3) uint8
        `canvas_scale` times as large as the reference.
    """
    shown_map = map_of(field, name)
    scale = canvas_scale(field.picture_shape, field.settings.spacing)
    canvas = _enlarged(to_grey(reference), scale)
    cells = coloured(field.on_grid(shown_map.values), shown_map.low, shown_map.high)
    step = field.settings.spacing * scale
    left, top = ((float(first) + 0.5) * scale - 0.5 for first in (field.x[0], field.y[0]))
    cv2.warpAffine(
        cells,
        np.array([[step, 0, left], [0, step, top]]),
        canvas.shape[1::-1],
        dst=canvas,
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    _cross_out(canvas, field, scale, pen)
    return canvas


def draw_arrows(
    reference: FloatArray, field: DisplacementField, *, pen: float, room: float
) -> RGBPicture:
    """Draw the vectors over the dimmed reference, only every second, third, … in little room.

    The longest nearly reach the next one that is drawn. Parameters and result as of `draw_map`;
    `room` is the least number of pixels of the screen from arrow to arrow.
    """
    spacing = field.settings.spacing
    scale = canvas_scale(field.picture_shape, spacing)
    grey = np.rint(DIMMED * to_grey(reference)).astype(np.uint8)
    canvas = _enlarged(grey, scale)
    every = max(1, int(np.ceil(room * pen / (spacing * scale))))
    longest = max(range_of(field.magnitude[shown(field)])[1], 1e-6)
    drawn = arrows(field, LONGEST * spacing * every / longest)
    place = np.rint((drawn[:, 0] - [field.y[0], field.x[0]]) / spacing).astype(int)
    drawn = drawn[(place % every == every // 2).all(axis=1)]
    thick = max(1, round(pen))
    for colour, width in ((HALO, 3 * thick), (ARROW, thick)):
        for tail, tip in np.rint((drawn[..., ::-1] + 0.5) * scale).astype(int).tolist():
            cv2.arrowedLine(canvas, tail, tip, colour, width, cv2.LINE_AA, tipLength=0.35)
    return canvas


def with_cursor(
    canvas: RGBPicture, field: DisplacementField, k: int, *, pen: float, colour: bool = True
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Frame the cell of vector `k`; without colour, all is grey and the frame white.

    Returns
    -------
    drawn : (h, w, 3) uint8, or (h, w) uint8 without colour
        A copy.
    centre : (float, float)
        y and x of the cell on it.
    """
    scale = canvas_scale(field.picture_shape, field.settings.spacing)
    centre = (float(field.y[k]) + 0.5) * scale, (float(field.x[k]) + 0.5) * scale
    half = max(field.settings.spacing * scale, 3 * pen) / 2
    first = round(centre[1] - half), round(centre[0] - half)
    last = round(centre[1] + half), round(centre[0] + half)
    drawn = canvas.copy() if colour else cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)
    roomy = _roomy(field, scale, pen)
    thick = max(1, round(2 * pen if roomy else pen))
    if roomy or not colour:
        cv2.rectangle(drawn, first, last, HALO, thick + 2 * max(1, round(pen)))
    cv2.rectangle(drawn, first, last, CURSOR if colour else CROSS, thick)
    return drawn, centre


def invalid_marks(field: DisplacementField, k: int, *, pen: float) -> NDArray[np.str_]:
    """Return what marks invalid vectors where the map is characters, and crosses are too fine.

    Parameters
    ----------
    field : DisplacementField
    k : int
        The vector under the cursor, whose frame is left free.
    pen : float
        As of `draw_map`.

    Returns
    -------
    (height, width) str
        Over the reference: × for invalid vectors, / for those replaced, else empty.
    """
    spacing = field.settings.spacing
    marks = np.where(field.valid, "", np.where(field.replaced, "/", "×"))
    around = np.pad(
        field.on_grid(marks), 1, constant_values=""
    )  # nothing beyond the outermost vectors
    nearest = [
        np.clip(np.floor((np.arange(side) - first) / spacing + 0.5).astype(int), -1, count) + 1
        for side, first, count in zip(
            field.picture_shape, (field.y[0], field.x[0]), field.shape, strict=True
        )
    ]
    drawn = around[np.ix_(*nearest)]
    half = spacing / 2 + 2 * pen / canvas_scale(field.picture_shape, spacing)
    top, left = (max(0, round(float(at - half))) for at in (field.y[k], field.x[k]))
    bottom, right = (round(float(at + half)) + 1 for at in (field.y[k], field.x[k]))
    drawn[top:bottom, left:right] = ""
    return drawn


def vector_at(field: DisplacementField, y: float, x: float) -> int:
    """Return the vector nearest to a place in pixels of the canvas."""
    scale = canvas_scale(field.picture_shape, field.settings.spacing)
    return int(np.argmin(np.hypot(field.y + 0.5 - y / scale, field.x + 0.5 - x / scale)))


def side_by_side(first: FloatArray, second: FloatArray) -> NDArray[np.uint8]:
    """Return two pictures (height, width) beside each other, grey, the smaller one filled up."""
    height = max(len(first), len(second))
    parts = [np.pad(to_grey(part), ((0, height - len(part)), (0, 0))) for part in (first, second)]
    return np.hstack([parts[0], np.zeros((height, GAP), np.uint8), parts[1]])


def _enlarged(grey: NDArray[np.uint8], scale: float) -> RGBPicture:
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(grey, (width, height), interpolation=how)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB), np.uint8)


def _cross_out(canvas: RGBPicture, field: DisplacementField, scale: float, pen: float) -> None:
    """Cross out invalid vectors, of those replaced with one line; a dot where there is no room."""
    half = 0.35 * field.settings.spacing if _roomy(field, scale, pen) else 0.0
    centres = np.stack([field.x, field.y], axis=1) + 0.5
    falling, rising = (
        np.array([[-half, -half], [half, half]]),
        np.array([[-half, half], [half, -half]]),
    )
    wrong = ~field.valid
    lines = [centres[wrong, None] + rising, centres[wrong & ~field.replaced, None] + falling]
    ends = np.rint(np.concatenate(lines) * scale).astype(np.int32)
    cv2.polylines(canvas, list(ends), isClosed=False, color=CROSS, thickness=max(1, round(pen)))


def _roomy(field: DisplacementField, scale: float, pen: float) -> bool:
    """Return whether the cell of a vector has pixels enough on the screen to draw in it."""
    return field.settings.spacing * scale >= CELL * pen
