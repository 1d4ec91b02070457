"""Find the squares of a montage, in reading order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection.content import FLAT, levels, show_images
from cryocorr_tui.core.detection.evidence import (
    TEXTURE_SOFTNESS,
    LineEvidence,
    line_evidence,
    texture_of,
)
from cryocorr_tui.core.detection.grids import candidate_boxes, find_grids
from cryocorr_tui.core.detection.lattice import Boxes, Lattice
from cryocorr_tui.core.detection.panels import Panel, settle, side_evidence
from cryocorr_tui.core.detection.seams import seam_grid
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Detection, Montage, Square
from cryocorr_tui.core.words import are, counted

__all__ = ["detect_squares", "grey_picture"]

Bytes = NDArray[np.uint8]

LEAST_MIN_BOX = 12  # pixels; smaller squares do not tell from letters
SEARCH_PIXELS = 2_000_000  # larger pictures are searched on a reduced copy
# Pixels of a picture, and of a square in it, that is looked at once more at half the size.
LEAST_SIDE_FROM_AFAR = 64
LEAST_BOX_FROM_AFAR = 24
LEAST_SQUARES_FROM_AFAR = 4
SUPPORT_FROM_AFAR = 0.74  # a second look finds chance borders in photographs more often
SMALLEST_RATIO = 0.4  # squares of a second grid may be this much smaller than those of the first
MOST_GRIDS = 8
LARGEST_ZOOM = 8
SPARSE = 64
ROWS_AT_ONCE = 256
LEAST_RIVAL = 4  # boxes of a grid that keeps its place against the cells of another
WEAKEST_GRID = 0.03  # strength in terms of the strongest grid
LEAST_STRENGTH = 0.15  # in terms of height + width of the picture
# Mean evidence of the squares of a grid that convinces. Noise and text reach 0.6 with little boxes,
# and a few boxes of photographs, where many can be chosen from, reach 0.8.
FULL_SUPPORT = 0.58  # many large squares that fill the picture
MANY_SUPPORT = 0.66
REGULAR_SUPPORT = 0.72  # many, anywhere on a large page, or some that fill the picture
FEW_SUPPORT = 0.85
DRAWN_SHARE = 0.2  # of a picture without squares: it is a table or plots, and no faint montage
DRAWINGS_BESIDE = 0.2  # share of drawings from which on a grid beside another is a plot
MOSTLY = 0.6  # share of touching squares that are not constant
SAME_AREA = 0.95  # of the panels that lines show, from which on seams divide the same squares
FAINT_SUPPORT = 0.75  # below this, seams are looked for too


def detect_squares(montage: Montage, *, bottom_up: bool = False, min_box: int = 24) -> Detection:
    """Find every square of the grids of class averages in a montage.

    The confidence of a square is the mean of two numbers in 0…1: the evidence of its own four
    borders (the share of edge votes along them that agree; a side at the edge of the picture
    counts fully) and the mean of the same over the whole squares of its grid.

    Parameters
    ----------
    montage : Montage
    bottom_up : bool
        The bottom row of each grid comes first, as EMAN displays them.
    min_box : int
        Smallest side of a square in pixels, at least 12.

    Returns
    -------
    Detection
        Rows from top to bottom, each from left to right. Several grids are read one after the
        other: those beside each other from left to right, then those below.

    Raises
    ------
    NoSquaresError
        Where no grid is found.
    """
    if min_box < LEAST_MIN_BOX:
        raise ValueError(f"min_box must be at least {LEAST_MIN_BOX} pixels, received {min_box}")
    panels = _find_zoomed_panels(montage.picture, min_box)
    if not panels:
        raise NoSquaresError(
            f"No squares found in {montage.source}; crop the picture to the grid, try a lower "
            f"--min-box (now {min_box}), or say --as images if it is one class average."
        )
    panels = _reading_order(panels)
    squares = [
        square
        for number, panel in enumerate(panels, 1)
        for square in _squares_of(panel, number, bottom_up=bottom_up)
    ]
    return Detection(montage.source, tuple(squares), tuple(_notes(panels)))


def grey_picture(picture: NDArray[np.generic]) -> Bytes:
    """Return a montage's picture as (height, width) uint8, its grey range stretched to 0…255.

    8-bit pictures keep their levels; the 0.1 and 99.9 percentiles of others become 0 and 255.
    """
    if picture.dtype == np.uint8:
        if picture.ndim == 2:
            return np.ascontiguousarray(picture, dtype=np.uint8)
        grey: Bytes = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
        return grey
    values = np.nan_to_num(picture.astype(np.float32), posinf=0.0, neginf=0.0)
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(values[:: max(1, values.shape[0] // 1000)], [0.1, 99.9])
    scale = 255.0 / (high - low) if high > low else 0.0
    stretched: Bytes = np.clip((values - low) * scale, 0, 255).astype(np.uint8)
    return stretched


def _find_zoomed_panels(picture: NDArray[np.generic], min_box: int) -> list[Panel]:
    """Find the panels of a picture, at its own pixels where it is a whole zoom of a smaller one.

    Repeated pixels have edges everywhere, in which those of the squares would drown.
    """
    zoom = _whole_zoom(picture)
    if zoom == 1:
        return _find_panels(picture, min_box)
    return [
        replace(panel, boxes=panel.boxes * zoom, lattice=panel.lattice.scaled(zoom))
        for panel in _find_panels(picture[::zoom, ::zoom], max(12, min_box // zoom))
    ]


def _whole_zoom(picture: NDArray[np.generic]) -> int:
    """Return how many times every pixel stands side by side, in x and y alike."""
    # A few lines rule a zoom out in nearly every picture.
    spacing = _spacing_of_steps(picture[::SPARSE])
    if spacing != 1:
        spacing = math.gcd(_spacing_of_steps(picture), _spacing_of_steps(picture.swapaxes(0, 1)))
    return max(
        (zoom for zoom in range(1, LARGEST_ZOOM + 1) if spacing and spacing % zoom == 0), default=1
    )


def _spacing_of_steps(picture: NDArray[np.generic]) -> int:
    """Return the greatest common divisor of all x at which the picture changes, 0 where none."""
    changes = np.zeros(picture.shape[1], bool)
    for rows in np.array_split(picture, math.ceil(len(picture) / ROWS_AT_ONCE)):
        differs = rows[:, 1:] != rows[:, :-1]
        changes[1:] |= differs.any(axis=tuple(i for i in range(differs.ndim) if i != 1))
    return int(np.gcd.reduce(np.flatnonzero(changes)))


def _find_panels(picture: NDArray[np.generic], min_box: int) -> list[Panel]:
    grey = grey_picture(picture)
    if min(grey.shape) < min_box:
        return []
    factor = max(1, math.ceil(math.sqrt(grey.size / SEARCH_PIXELS)))
    evidence = _evidence_of(grey, factor)
    smallest = max(12, min_box // factor)
    panels, drawn = _panels_by_lines(picture, grey, evidence, factor, smallest)
    # What is plain is all there is: no second look for borders that noise hides.
    if not panels and sum(panel.area for panel in drawn) > DRAWN_SHARE * grey.size:
        return []
    if panels and float(panels[0].support.mean()) > FAINT_SUPPORT and not _may_be_blocks(panels):
        return panels
    # Where no single side is plain, the seams of the whole picture may tell more.
    touching = _touching_panel(picture, grey, evidence, factor, min_box)
    area, touching_area = (sum(panel.area for panel in found) for found in (panels, touching))
    if touching_area > area * SAME_AREA:
        panels = touching
    if panels or min(grey.shape) < 2 * factor * LEAST_SIDE_FROM_AFAR:
        return panels
    # Noise that hides borders at full size averages out from further away.
    factor, smallest = 2 * factor, max(LEAST_BOX_FROM_AFAR, min_box // (2 * factor))
    panels, _ = _panels_by_lines(picture, grey, _evidence_of(grey, factor), factor, smallest)
    seen = (
        panels
        and len(panels[0].whole) >= LEAST_SQUARES_FROM_AFAR
        and float(panels[0].support.mean()) > SUPPORT_FROM_AFAR
    )
    return panels if seen else []


def _may_be_blocks(panels: list[Panel]) -> bool:
    """Say whether one square or a few that touch may be blocks of squares that do."""
    first = panels[0]
    gutter = max(
        first.lattice.pitch_x - first.lattice.width, first.lattice.pitch_y - first.lattice.height
    )
    return len(panels) == 1 and len(first.boxes) < 4 and gutter < 0.02 * first.lattice.width


def _evidence_of(grey: Bytes, factor: int) -> list[LineEvidence]:
    search = _reduced(grey, factor).astype(np.float32)
    return [line_evidence(search), line_evidence(texture_of(search), TEXTURE_SOFTNESS)]


def _panels_by_lines(
    picture: NDArray[np.generic],
    grey: Bytes,
    evidence: Sequence[LineEvidence],
    factor: int,
    smallest: int,
) -> tuple[list[Panel], list[Panel]]:
    """Return the panels whose borders are seen, and those that hold drawings or colours.

    `smallest` is in pixels of the evidence.
    """
    found = find_grids(
        candidate_boxes(evidence, min_box=smallest),
        evidence,
        least=LEAST_STRENGTH * sum(grey.shape) / factor,
        relative=WEAKEST_GRID,
    )
    grids = list(itertools.islice(found, MOST_GRIDS))
    lattices = [grid.lattice.scaled(factor) for grid in grids]
    boxes = [lattice.boxes(grid.members) for lattice, grid in zip(lattices, grids, strict=True)]
    panels: list[Panel] = []
    drawn: list[Panel] = []
    for index, grid in enumerate(grids):
        if panels and not _fits_beside(lattices[index], boxes[index], panels):
            continue
        others = [
            other
            for number, other in enumerate(boxes)
            if number != index and len(other) >= LEAST_RIVAL
        ]
        panel = settle(grid, others, grey, evidence, factor)
        if panel is None or not _is_convincing(panel, grey, panels):
            continue
        share = DRAWINGS_BESIDE if panels or drawn else 0.5
        if not show_images(picture, grey, panel.whole, drawings=share):
            drawn.append(panel)
        elif not any(_is_part_of(panel.lattice, other.lattice) for other in drawn):
            panels.append(panel)
    return panels, drawn


def _reduced(grey: Bytes, factor: int) -> Bytes:
    if factor == 1:
        return grey
    height, width = (side // factor for side in grey.shape)
    whole = grey[: height * factor, : width * factor]
    reduced: Bytes = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return reduced


def _touching_panel(
    picture: NDArray[np.generic],
    grey: Bytes,
    evidence: Sequence[LineEvidence],
    factor: int,
    min_box: int,
) -> list[Panel]:
    """Return the one grid of touching squares that fills the picture, where there is one."""
    boxes, cells = seam_grid(grey, min_box=min_box)
    _, flat = levels(grey, boxes)
    images = np.flatnonzero(flat < FLAT)
    count = int(images[-1]) + 1 if len(images) else 0  # less the blank end of the last row
    boxes, cells = boxes[:count], cells[:count]
    if count < 2 or len(images) < MOSTLY * count or not show_images(picture, grey, boxes):
        return []
    support = np.nanmean(side_evidence(evidence, boxes, factor, grey.shape), axis=1)
    whole = np.zeros(count, bool)
    lattice = Lattice.through(boxes, cells)
    return [Panel(lattice, boxes, cells, support.astype(np.float64), whole)]


def _fits_beside(lattice: Lattice, boxes: Boxes, panels: list[Panel]) -> bool:
    """Say whether a further grid is of comparable squares and apart from the panels found."""
    if len(boxes) < 2:
        return False
    size = lattice.width
    if not SMALLEST_RATIO <= size / panels[0].lattice.width <= 1 / SMALLEST_RATIO:
        return False
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    for panel in panels:
        b = panel.bounds
        if min(x1, b[2]) - max(x0, b[0]) > 4 and min(y1, b[3]) - max(y0, b[1]) > 4:
            return False
        # Smaller boxes at the same pitch are the squares that a window cuts.
        same_pitch = abs(lattice.pitch_x - panel.lattice.pitch_x) <= 0.02 * panel.lattice.pitch_x
        if same_pitch and size < 0.95 * panel.lattice.width:
            return False
    return True


def _is_part_of(lattice: Lattice, other: Lattice) -> bool:
    """Say whether boxes fill places that another grid left free, as entries of a calendar do."""
    pitch, origin = np.array([[lattice.pitch_x, lattice.pitch_y], [lattice.x, lattice.y]])
    other_pitch, other_origin = np.array([[other.pitch_x, other.pitch_y], [other.x, other.y]])
    steps = (origin - other_origin) / other_pitch
    same_pitch = np.abs(pitch - other_pitch) <= 0.02 * other_pitch
    return bool(same_pitch.all() and np.abs(steps - np.rint(steps)).max() <= 0.1)


def _is_convincing(panel: Panel, grey: Bytes, others: list[Panel]) -> bool:
    """Say whether a grid is well enough supported, beside those found before it."""
    whole = panel.whole
    count = (len(whole) + len(panel.boxes)) / 2  # squares that the edge cuts confirm the lattice
    share = panel.area / grey.size
    support = float(panel.support.mean())
    if len(whole) == 1 and not others:
        height, width = grey.shape
        x0, y0, x1, y1 = whole[0]
        framed = x0 > 3 and y0 > 3 and x1 < width - 3 and y1 < height - 3
        return bool(framed and support > 0.93 and share > 0.05)
    enough = FEW_SUPPORT
    many = len(whole) >= 12 and panel.lattice.width >= 40
    if many or (count >= 4 and share > 0.4 and panel.lattice.width >= 48):
        enough = REGULAR_SUPPORT
    if count >= 6 and (share > 0.1 or others) and panel.lattice.width >= 28:
        enough = MANY_SUPPORT
    if len(whole) >= 12 and share > 0.4 and panel.lattice.width >= 48:
        enough = FULL_SUPPORT
    if others:
        enough = max(enough, 0.8 * float(others[0].support.mean()))
    return bool(support > enough and share > 0.01)


def _reading_order(panels: list[Panel]) -> list[Panel]:
    """Sort panels: those beside each other from left to right, then those below."""
    left = sorted(panels, key=lambda panel: float(panel.bounds[1]))
    ordered: list[Panel] = []
    while left:
        top = left[0].bounds
        row = [
            panel
            for panel in left
            if min(panel.bounds[3], top[3]) - max(panel.bounds[1], top[1])
            > 0.5 * min(panel.bounds[3] - panel.bounds[1], top[3] - top[1])
        ]
        ordered += sorted(row, key=lambda panel: float(panel.bounds[0]))
        left = [panel for panel in left if panel not in row]
    return ordered


def _squares_of(panel: Panel, number: int, *, bottom_up: bool) -> list[Square]:
    rows = -panel.cells[:, 0] if bottom_up else panel.cells[:, 0]
    of_grid = float(panel.support[~panel.cut].mean())
    width, height = np.rint(
        np.median((panel.boxes[:, 2:] - panel.boxes[:, :2])[~panel.cut], axis=0)
    )
    squares = []
    for index in np.lexsort((panel.cells[:, 1], rows)):
        x0, y0, x1, y1 = (float(v) for v in panel.boxes[index])
        cut = bool(panel.cut[index])
        wide, high = (x1 - x0, y1 - y0) if cut else (float(width), float(height))
        confidence = min(1.0, max(0.0, (float(panel.support[index]) + of_grid) / 2))
        squares.append(
            Square(
                *(x0, y0, wide, high, confidence, cut),
                grid=number,
                grid_confidence=min(1.0, max(0.0, of_grid)),
            )
        )
    return squares


def _notes(panels: list[Panel]) -> list[str]:
    notes = []
    boxes = []
    for number, panel in enumerate(panels, 1):
        whole = panel.boxes[~panel.cut]
        box = float(np.median(whole[:, 2:] - whole[:, :2]))
        boxes.append(box)
        rows, columns = np.ptp(panel.cells, axis=0) + 1
        notes.append(
            f"Grid {number}: {rows} × {columns}, {counted(len(whole), 'square')} of {box:.0f} px, "
            f"confidence {panel.support[~panel.cut].mean():.2f}."
        )
    if max(boxes) - min(boxes) > 1:
        notes.append(
            f"Squares of {min(boxes):.0f} to {max(boxes):.0f} px are resampled to one box."
        )
    if any(panel.cut.any() for panel in panels):
        count = sum(int(panel.cut.sum()) for panel in panels)
        notes.append(
            f"{counted(count, 'square')} {are(count)} cut by the edge of the picture and left out."
        )
    return notes
