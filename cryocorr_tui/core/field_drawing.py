"""A displacement field for the eye: maps, arrows, and the picture of both that is saved.

Colours are those of viridis, which every kind of colour vision sees in order of lightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import DisplacementField, FloatArray

if TYPE_CHECKING:
    from cryocorr_tui.core.displacement import SweepCell

__all__ = [
    "arrows",
    "coefficient_map",
    "coloured",
    "draw_field",
    "draw_sweep",
    "magnitude_map",
    "magnitude_range",
    "range_of",
    "shown",
]

Picture = NDArray[np.uint8]

INVALID = (110, 110, 110)
INK, PAPER = (0, 0, 0), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
LONGEST = 0.95  # of the spacing, the longest arrow of its own scale
WIDTH, LEAST_CELL = 1200, 8  # pixels of a saved picture, nearly, and of a cell in it
MARGIN, BAR = 40, 24  # pixels around the map, and of the bar of colours
HIGHEST = 99.0  # percentile of the values that has the last colour


def coloured(values: FloatArray, low: float, high: float) -> Picture:
    """Return the colours of values.

    Parameters
    ----------
    values : (...) float32
    low, high : float
        What has the first and the last colour.

    Returns
    -------
    (..., 3) uint8
        RGB; grey where a value is not known.
    """
    span = high - low if high > low else 1.0
    known = np.isfinite(values)
    part = np.clip((np.where(known, values, low) - low) / span, 0, 1)
    levels = np.rint(255 * part).astype(np.uint8).reshape(-1, 1)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    colours = colours.reshape(*values.shape, 3)
    return np.where(known[..., None], colours, INVALID).astype(np.uint8)


def shown(field: DisplacementField) -> NDArray[np.bool_]:
    """Return (n,) bool: which vectors are drawn, the valid ones and those replaced."""
    return np.asarray((field.valid | field.replaced) & np.isfinite(field.magnitude))


def magnitude_range(field: DisplacementField) -> tuple[float, float]:
    """Return the magnitudes of the first and the last colour, in pixels."""
    return range_of(field.magnitude[shown(field)])


def range_of(values: FloatArray) -> tuple[float, float]:
    """Return the values (m,) that have the first and the last colour: nearly all lie between."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, (100 - HIGHEST, HIGHEST))
    return float(low), float(high)


def magnitude_map(field: DisplacementField) -> Picture:
    """Return (rows, columns, 3) uint8: the magnitude of each vector, grey where it is invalid.

    A vector that was replaced is shown.
    """
    values = np.where(shown(field), field.magnitude, np.float32(np.nan))
    return coloured(field.on_grid(values), *magnitude_range(field))


def coefficient_map(field: DisplacementField) -> Picture:
    """Return (rows, columns, 3) uint8: the correlation of each vector from 0 to 1, also invalid."""
    return coloured(field.on_grid(field.correlation), 0.0, 1.0)


def arrows(field: DisplacementField, scale: float | None = None) -> FloatArray:
    """Return the arrows of a field.

    Parameters
    ----------
    field : DisplacementField
    scale : float, optional
        Pixels of an arrow per pixel of displacement; by default such that the longest nearly reach
        the next subset.

    Returns
    -------
    (m, 2, 2) float32
        Tail and tip of each, y and x, in pixels of the picture; invalid vectors have none.
    """
    drawn = shown(field)
    if scale is None:
        scale = LONGEST * field.settings.spacing / max(magnitude_range(field)[1], 1e-6)
    tail = np.stack([field.y, field.x], axis=1)[drawn]
    way = np.stack([field.dy, field.dx], axis=1)[drawn]
    return np.stack([tail, tail + scale * way], axis=1).astype(np.float32)


def draw_field(field: DisplacementField) -> Picture:
    """Return the picture of a field that is saved.

    A cell of each subset in the colour of its magnitude, invalid ones grey and crossed out,
    replaced ones with a dot; arrows; the range of the colours and how many are valid.

    Returns
    -------
    (h, w, 3) uint8
        RGB.
    """
    height, width = field.picture_shape
    spacing = field.settings.spacing
    scale = max(WIDTH / width, LEAST_CELL / spacing)
    canvas = np.full((round(height * scale), round(width * scale), 3), 255, dtype=np.uint8)
    cells = magnitude_map(field).reshape(-1, 3)
    for k in range(len(field.y)):
        first = _point(field.y[k] - spacing / 2, field.x[k] - spacing / 2, scale)
        last = _point(field.y[k] + spacing / 2, field.x[k] + spacing / 2, scale)
        cv2.rectangle(canvas, first, (last[0] - 1, last[1] - 1), cells[k].tolist(), cv2.FILLED)
        if not field.valid[k]:
            _mark(canvas, first, last, replaced=bool(field.replaced[k]))
    for tail, tip in arrows(field):
        ends = _point(tail[0], tail[1], scale), _point(tip[0], tip[1], scale)
        cv2.arrowedLine(canvas, *ends, PAPER, 3, cv2.LINE_AA, tipLength=0.3)
        cv2.arrowedLine(canvas, *ends, INK, 1, cv2.LINE_AA, tipLength=0.3)
    low, high = magnitude_range(field)
    text = (
        f"displacement {low:.3g} to {high:.3g} px; {int(field.valid.sum())} of {len(field.y)} valid"
    )
    if field.rigid is not None:
        text += "; rigid part removed"
    return _framed(canvas, text)


def draw_sweep(cells: Sequence[SweepCell]) -> Picture:
    """Return the table of a sweep as a picture.

    Block sizes run down, search areas to the right; the colour is the deviation from the median of
    all settings, in pixels, written in each cell above the part of the vectors that are valid.

    Returns
    -------
    (h, w, 3) uint8
        RGB.
    """
    blocks = sorted({cell.block_size for cell in cells})
    areas = sorted({cell.search_area_multiplier for cell in cells})
    wide, high = 150, 70
    canvas = np.full((high * (len(blocks) + 1), wide * (len(areas) + 1), 3), 255, dtype=np.uint8)
    deviations = np.array([cell.deviation for cell in cells], dtype=np.float32)
    worst = float(np.nanmax(deviations)) if np.isfinite(deviations).any() else 1.0
    for number, area in enumerate(areas, start=1):
        _write(canvas, f"area x {area:g}", (wide * number + 8, high // 2))
    for number, block in enumerate(blocks, start=1):
        _write(canvas, f"block {block}", (8, high * number + high // 2))
    for cell, colour in zip(cells, coloured(deviations, 0, worst), strict=True):
        x = wide * (1 + areas.index(cell.search_area_multiplier))
        y = high * (1 + blocks.index(cell.block_size))
        canvas[y : y + high - 2, x : x + wide - 2] = colour
        ink = PAPER if colour.mean() < 128 else INK
        _write(canvas, f"{cell.deviation:.3g} px", (x + 8, y + 28), ink)
        _write(canvas, f"{cell.valid_part:.0%} valid", (x + 8, y + 54), ink)
    return _framed(canvas, f"deviation 0 to {worst:.3g} px from the median of all settings")


def _point(y: float, x: float, scale: float) -> tuple[int, int]:
    """Return the pixel (x, y) of a canvas that shows a place of the picture."""
    return round(float((x + 0.5) * scale)), round(float((y + 0.5) * scale))


def _mark(
    canvas: Picture, first: tuple[int, int], last: tuple[int, int], *, replaced: bool
) -> None:
    if replaced:
        middle = ((first[0] + last[0]) // 2, (first[1] + last[1]) // 2)
        cv2.circle(canvas, middle, max(2, (last[0] - first[0]) // 10), PAPER, cv2.FILLED)
        return
    cv2.line(canvas, first, last, PAPER, 1, cv2.LINE_AA)
    cv2.line(canvas, (first[0], last[1]), (last[0], first[1]), PAPER, 1, cv2.LINE_AA)


def _framed(canvas: Picture, text: str) -> Picture:
    """Return a picture with a margin, a bar of colours below and a line of text under it."""
    margins = ((MARGIN, 2 * MARGIN + BAR), (MARGIN, MARGIN), (0, 0))
    framed = np.pad(canvas, margins, constant_values=255)
    width = canvas.shape[1]
    ramp = coloured(np.linspace(0, 1, width, dtype=np.float32), 0, 1)
    top = MARGIN + canvas.shape[0] + MARGIN // 3
    framed[top : top + BAR, MARGIN : MARGIN + width] = ramp
    _write(framed, text, (MARGIN, top + BAR + MARGIN * 2 // 3))
    return framed


def _write(
    canvas: Picture, text: str, corner: tuple[int, int], ink: tuple[int, int, int] = INK
) -> None:
    cv2.putText(canvas, text, corner, FONT, 0.6, ink, 1, cv2.LINE_AA)
