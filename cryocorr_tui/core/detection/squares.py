"""Find the squares of a montage, in reading order, and cut them out."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection.evidence import (
    TEXTURE_SOFTNESS,
    LineEvidence,
    line_evidence,
    texture_of,
)
from cryocorr_tui.core.detection.grids import (
    Grid,
    box_sides,
    candidate_boxes,
    find_grids,
    overlapping,
)
from cryocorr_tui.core.detection.seams import seam_grid
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Detection, Montage, Square

__all__ = ["cut_out", "detect_squares", "grey_picture", "has_grid"]

FloatArray = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SEARCH_PIXELS = 2_000_000  # larger pictures are searched on a reduced copy
SMALLEST_RATIO = 0.4  # squares of a second grid may be this much smaller than those of the first
MOST_GRIDS = 8
# Mean evidence of the squares of a grid: noise and text reach 0.6, and a few boxes of photographs,
# where many can be chosen from, 0.8.
MANY_SUPPORT = 0.66
FEW_SUPPORT = 0.85
WEAKEST_GRID = 0.03  # strength in terms of the strongest grid
LEAST_STRENGTH = 0.15  # in terms of height + width of the picture
WHOLE = 0.97  # share of the box that must lie in the picture
FRAME_SHARE = 0.05  # of the box: an inner line within this distance ends the border
EVIDENT = 0.4  # a side with this evidence is seen
BRIGHT_PAPER = 200.0  # grey level of the paper of plots, texts and buttons
FLAT = 0.985  # share of pixels at one level from which on a square is constant


@dataclass(frozen=True, eq=False)
class _Panel:
    """One grid brought to full resolution: boxes (n, 4) in x0, y0, x1, y1 and cells (n, 2)."""

    boxes: FloatArray
    cells: NDArray[np.intp]
    support: FloatArray
    cut: NDArray[np.bool_]

    @property
    def bounds(self) -> FloatArray:
        return np.concatenate([self.boxes[:, :2].min(axis=0), self.boxes[:, 2:].max(axis=0)])


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
    if min_box < 12:
        raise ValueError(f"min_box must be at least 12 pixels, received {min_box}")
    panels = _find_panels(montage.picture, min_box)
    if not panels:
        raise NoSquaresError(
            f"No squares found in {montage.source}; crop the picture to the grid, try a lower "
            f"--min-box (now {min_box}), or say --as images if it is one class average."
        )
    panels = _reading_order(panels)
    squares = [square for panel in panels for square in _squares_of(panel, bottom_up=bottom_up)]
    return Detection(montage.source, tuple(squares), tuple(_notes(panels)))


def has_grid(montage: Montage) -> bool:
    """Say whether a picture holds a grid of class averages rather than being one itself."""
    return bool(_find_panels(montage.picture, 24))


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
    return np.clip((values - low) * scale, 0, 255).astype(np.uint8)


def cut_out(montage: Montage, detection: Detection) -> NDArray[np.float32]:
    """Return the whole squares as grey class averages of one box.

    Squares of another size are resampled to the median box (by area when they shrink, else
    cubic); `Detection.notes` says so where sizes differ by more than a pixel.

    Returns
    -------
    (n, box, box) float32
        In the order of `detection`, cut squares left out, grey levels of the picture.
    """
    whole = [square for square in detection.squares if not square.cut]
    if not whole:
        raise ValueError("expected a detection with at least one whole square, received none")
    picture = montage.picture
    box = _common_box(whole)
    images = np.empty((len(whole), box, box), np.float32)
    for image, square in zip(images, whole, strict=True):
        x, y = round(square.x), round(square.y)
        part = picture[y : y + round(square.height), x : x + round(square.width)]
        part = part.astype(np.float32)
        if part.ndim == 3:
            part = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        if part.shape != (box, box):
            shrinks = min(part.shape) >= box
            how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            part = cv2.resize(part, (box, box), interpolation=how)
        image[:] = part
    return images


def _common_box(squares: list[Square]) -> int:
    return round(float(np.median([(s.width + s.height) / 2 for s in squares])))


def _find_panels(picture: NDArray[np.generic], min_box: int) -> list[_Panel]:
    grey = grey_picture(picture)
    if min(grey.shape) < min_box:
        return []
    factor = max(1, math.ceil(math.sqrt(grey.size / SEARCH_PIXELS)))
    small = grey
    if factor > 1:
        size = (grey.shape[1] // factor, grey.shape[0] // factor)
        small = cv2.resize(
            grey[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA
        )
    search = small.astype(np.float32)
    evidence = [line_evidence(search), line_evidence(texture_of(search), TEXTURE_SOFTNESS)]
    found = find_grids(
        candidate_boxes(evidence, min_box=max(12, min_box // factor)),
        evidence,
        least=LEAST_STRENGTH * sum(small.shape),
        relative=WEAKEST_GRID,
    )
    grids = list(itertools.islice(found, MOST_GRIDS))
    panels: list[_Panel] = []
    for grid in grids:
        if panels and not _fits_beside(grid, panels, factor):
            continue
        others = [other.boxes(other.members) * factor for other in grids if other is not grid]
        panel = _settle(grid, others, grey, evidence, factor)
        if panel and _is_convincing(panel, grey, panels) and _shows_images(panel, picture, grey):
            panels.append(panel)
    return panels or _touching_panel(picture, grey, evidence, factor, min_box)


def _touching_panel(
    picture: NDArray[np.generic],
    grey: Bytes,
    evidence: list[LineEvidence],
    factor: int,
    min_box: int,
) -> list[_Panel]:
    """Return the one grid of touching squares that fills the picture, where there is one."""
    boxes, cells = seam_grid(grey, min_box=min_box)
    if not len(boxes):
        return []
    _, flat = _levels(grey, boxes)
    kept = np.ones(len(boxes), bool)
    while kept.any() and flat[np.flatnonzero(kept)[-1]] >= FLAT:  # the blank end of the last row
        kept[np.flatnonzero(kept)[-1]] = False
    boxes, cells = boxes[kept], cells[kept]
    if len(boxes) < 2:
        return []
    support = np.nanmean(_visible_sides(evidence, boxes, factor, grey.shape), axis=1)
    panel = _Panel(boxes, cells, support.astype(np.float64), np.zeros(len(boxes), bool))
    return [panel] if _shows_images(panel, picture, grey) else []


def _fits_beside(grid: Grid, panels: list[_Panel], factor: int) -> bool:
    """Say whether a further grid is of comparable squares and apart from the first ones."""
    if len(grid.members) < 2:
        return False
    main = np.median(panels[0].boxes[:, 2] - panels[0].boxes[:, 0])
    if not SMALLEST_RATIO <= grid.width * factor / main <= 1 / SMALLEST_RATIO:
        return False
    boxes = grid.boxes(grid.members) * factor
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    return not any(
        min(x1, b[2]) - max(x0, b[0]) > 4 and min(y1, b[3]) - max(y0, b[1]) > 4
        for b in (panel.bounds for panel in panels)
    )


def _settle(
    grid: Grid,
    others: list[FloatArray],
    grey: Bytes,
    evidence: list[LineEvidence],
    factor: int,
) -> _Panel | None:
    """Decide which cells of a lattice are squares, and place them at full resolution."""
    cells = grid.members
    boxes = _snapped(grey, grid.boxes(cells) * factor, cells, reach=3 + 2 * factor)
    lattice = _Lattice.through(boxes, cells)
    cells = lattice.cells_within(grey.shape)
    boxes = lattice.boxes(cells)
    member = _contains(grid.members, cells)
    free = member.copy()
    free[~member] = ~overlapping(boxes[~member], np.concatenate([np.empty((0, 4)), *others]))
    cells, boxes, member = cells[free], boxes[free], member[free]
    sides = _visible_sides(evidence, boxes, factor, grey.shape)
    kept = _grow(cells, member, _Worth.of(boxes, sides, grey, lattice))
    if not kept.any():
        return None
    cells, sides = cells[kept], sides[kept]
    boxes = _snapped(grey, boxes[kept], cells, reach=2 + factor)
    cut = _visible_share(boxes, grey.shape) < WHOLE
    if cut.all():
        return None
    boxes = _clipped(boxes, grey.shape)
    return _Panel(boxes, cells, np.nanmean(sides, axis=1).astype(np.float64), cut)


@dataclass(frozen=True)
class _Lattice:
    x: float
    y: float
    pitch_x: float
    pitch_y: float
    width: float
    height: float

    @classmethod
    def through(cls, boxes: FloatArray, cells: NDArray[np.intp]) -> _Lattice:
        width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
        fits = []
        for axis, index in ((0, cells[:, 1]), (1, cells[:, 0])):
            middle = (boxes[:, axis] + boxes[:, axis + 2]) / 2
            fits.append(np.polyfit(index, middle, 1) if np.ptp(index) else None)
        (pitch_x, x), (pitch_y, y) = (
            fit if fit is not None else (math.nan, float(np.median(boxes[:, axis::2])))
            for axis, fit in enumerate(fits)
        )
        # One row says nothing of the gap to the next: it is the gap between the columns.
        gap = np.nanmin([pitch_x - width, pitch_y - height, math.inf])
        gap = 0.0 if math.isinf(gap) else gap
        pitch_x = width + gap if math.isnan(pitch_x) else pitch_x
        pitch_y = height + gap if math.isnan(pitch_y) else pitch_y
        return cls(
            float(x - width / 2), float(y - height / 2), float(pitch_x), float(pitch_y),
            float(width), float(height),
        )  # fmt: skip

    def cells_within(self, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Return (n, 2) row and column of every cell that lies in the picture, even in part."""
        ranges = []
        for origin, pitch, side, length in (
            (self.y, self.pitch_y, self.height, shape[0]),
            (self.x, self.pitch_x, self.width, shape[1]),
        ):
            first = math.ceil((0.1 * side - side - origin) / pitch)
            last = math.floor((length - 0.1 * side - origin) / pitch)
            ranges.append(np.arange(first, last + 1))
        rows, columns = np.meshgrid(*ranges, indexing="ij")
        return np.stack([rows.ravel(), columns.ravel()], axis=1).astype(np.intp)

    def boxes(self, cells: NDArray[np.intp]) -> FloatArray:
        x0 = self.x + cells[:, 1] * self.pitch_x
        y0 = self.y + cells[:, 0] * self.pitch_y
        return np.stack([x0, y0, x0 + self.width, y0 + self.height], axis=1)


def _visible_sides(
    evidence: list[LineEvidence], boxes: FloatArray, factor: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return (n, 4) evidence of the sides; NaN for a side beyond the edge of the picture.

    The sides are judged in halves and the worse half counts, so that a square that a window cuts
    shows it.
    """
    x0, y0, x1, y1 = (boxes / factor).T
    xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
    left_top = box_sides(evidence, np.stack([x0, y0, xm, ym], axis=1), slack=2)
    right_bottom = box_sides(evidence, np.stack([xm, ym, x1, y1], axis=1), slack=2)
    left_bottom = box_sides(evidence, np.stack([x0, ym, xm, y1], axis=1), slack=2)
    right_top = box_sides(evidence, np.stack([xm, y0, x1, ym], axis=1), slack=2)
    height, width = shape
    beyond = np.stack(
        [boxes[:, 0] < -3, boxes[:, 1] < -3, boxes[:, 2] > width + 3, boxes[:, 3] > height + 3],
        axis=1,
    )
    halves = (
        np.stack([left_top[:, 0], left_top[:, 1], right_top[:, 2], left_bottom[:, 3]], axis=1),
        np.stack(
            [left_bottom[:, 0], right_top[:, 1], right_bottom[:, 2], right_bottom[:, 3]], axis=1
        ),
    )
    worse = np.minimum(*halves) * 0.5 + np.maximum(*halves) * 0.5
    return np.where(beyond, np.float32(np.nan), worse)


@dataclass(frozen=True, eq=False)
class _Worth:
    """What speaks for each cell: evident sides, whether it is constant, blank or cut."""

    mean: FloatArray
    least: FloatArray
    evident: NDArray[np.intp]
    own: NDArray[np.intp]
    constant: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    cut: NDArray[np.bool_]

    @classmethod
    def of(
        cls, boxes: FloatArray, sides: NDArray[np.float32], grey: Bytes, lattice: _Lattice
    ) -> _Worth:
        height, width = grey.shape
        edge = np.stack(
            [boxes[:, 0] < 4, boxes[:, 1] < 4, boxes[:, 2] > width - 4, boxes[:, 3] > height - 4],
            axis=1,
        )
        evident = sides >= EVIDENT  # False for NaN
        gutter = _gutter_level(grey, boxes, lattice)
        level, flat = _levels(grey, boxes)
        constant = flat >= FLAT
        # Beside a gutter of another level a constant square shows its own sides even in a corner.
        apart = np.abs(level - gutter) > 3
        return cls(
            mean=np.nan_to_num(np.nanmean(sides, axis=1)).astype(np.float64),
            least=np.nan_to_num(np.nanmin(sides, axis=1)).astype(np.float64),
            evident=evident.sum(axis=1),
            own=(evident & ~edge).sum(axis=1) + apart,
            constant=constant,
            blank=constant & (np.abs(level - gutter) <= 3),
            cut=_visible_share(boxes, grey.shape) < WHOLE,
        )


def _grow(cells: NDArray[np.intp], member: NDArray[np.bool_], worth: _Worth) -> NDArray[np.bool_]:
    """Return which cells of the lattice are squares, from the members outwards."""
    convincing = np.where(
        worth.constant,
        (worth.evident == 4) & (worth.own >= 3),
        (worth.least >= 0.25) & (worth.mean >= 0.5),
    )
    convincing |= worth.cut & ~worth.constant & (worth.mean >= 0.6) & (worth.own >= 2)
    kept = member & ~worth.blank & ~(worth.constant & ~convincing)
    shape = cells.max(axis=0) - cells.min(axis=0) + 1
    where = tuple((cells - cells.min(axis=0)).T)
    while True:
        field = np.zeros(shape + 2, bool)
        field[1:-1, 1:-1][where] = kept
        left, right, up, down = field[1:-1, :-2], field[1:-1, 2:], field[:-2, 1:-1], field[2:, 1:-1]
        beside = (left | right | up | down)[where]
        between = ((left & right) | (up & down) | (right & up & down))[where]
        new = (
            ~kept
            & ~worth.blank
            & (
                (beside & convincing)
                | (between & ~worth.constant & ~worth.cut & (worth.mean > 0.1))
            )
        )
        if not new.any():
            return kept
        kept = kept | new


def _contains(some: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[np.bool_]:
    members = {tuple(cell) for cell in some.tolist()}
    return np.array([tuple(cell) in members for cell in cells.tolist()], bool)


def _gutter_level(grey: Bytes, boxes: FloatArray, lattice: _Lattice) -> float:
    """Return the grey level of the gutter between the boxes, NaN where they touch."""
    strips = []
    for gap, x in ((lattice.pitch_x - lattice.width, 2), (lattice.pitch_y - lattice.height, 3)):
        if gap < 0.7:
            continue
        for box in boxes:
            at = int(box[x] + gap / 2)
            low, high = (max(0, int(v)) for v in (box[3 - x], box[5 - x]))
            if 0 <= at < grey.shape[3 - x]:
                strips.append((grey[low:high, at] if x == 2 else grey[at, low:high]))
    strips = [strip for strip in strips if len(strip)]
    return float(np.median(np.concatenate(strips))) if strips else math.nan


def _inner(grey: NDArray[np.generic], box: FloatArray, inset: float) -> NDArray[np.generic]:
    """Return the part of a picture inside a box, less a margin of `inset` of its sides."""
    x0, y0, x1, y1 = box
    dx, dy = inset * (x1 - x0), inset * (y1 - y0)
    rows = slice(max(0, round(y0 + dy)), max(0, round(y1 - dy)))
    columns = slice(max(0, round(x0 + dx)), max(0, round(x1 - dx)))
    return grey[rows, columns]


def _levels(grey: Bytes, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median level of each box and the share of its pixels within ±3 of it."""
    level, flat = np.full(len(boxes), np.nan), np.ones(len(boxes))
    for index, box in enumerate(boxes):
        part = _inner(grey, box, 0.08)
        if part.size:
            level[index] = np.median(part)
            flat[index] = np.mean(np.abs(part.astype(np.int16) - level[index]) <= 3)
    return level, flat


def _visible_share(boxes: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    seen = _clipped(boxes, shape)
    share: FloatArray = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / whole
    return share


def _clipped(boxes: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    height, width = shape
    return np.clip(boxes, 0.0, [width, height, width, height])


def _snapped(grey: Bytes, boxes: FloatArray, cells: NDArray[np.intp], *, reach: int) -> FloatArray:
    """Move the sides of every row and column of cells onto the border lines nearby.

    All cells of a column vote for its left and right side. Where a border has several lines (both
    edges of a thin line, a frame and its picture), the innermost that is well seen ends the
    square. Sides without a visible line stay where the lattice puts them.
    """
    moved = boxes.copy()
    for axis, index in ((0, cells[:, 1]), (1, cells[:, 0])):
        picture = grey if axis == 0 else grey.T
        for line in np.unique(index):
            mine = np.flatnonzero(index == line)
            for side, inward in ((axis, 1), (axis + 2, -1)):
                at = _line_near(picture, boxes[mine], axis, side, inward, reach)
                moved[mine, side] += at
    return moved


def _line_near(
    picture: Bytes, boxes: FloatArray, axis: int, side: int, inward: int, reach: int
) -> float:
    """Return how far the line that ends the squares lies from their `side`, 0 where unseen."""
    size = float(np.median(boxes[:, axis + 2] - boxes[:, axis]))
    reach = min(reach, round(0.1 * size))
    inside = max(reach, round(FRAME_SHARE * size))
    at = round(float(np.median(boxes[:, side])))
    offsets = np.arange(-reach, inside + 1) * inward
    first, last = at + offsets.min(), at + offsets.max()
    if first < 1 or last > picture.shape[1] - 1:
        # The edge of the picture may be the side itself; stay within it.
        offsets = offsets[(at + offsets >= 1) & (at + offsets <= picture.shape[1] - 1)]
        if len(offsets) < 2:
            return 0.0
        first, last = at + offsets.min(), at + offsets.max()
    total = np.zeros(last - first + 1)
    for box in boxes:
        low, high = box[1 - axis], box[3 - axis]
        rows = slice(max(0, round(low + 0.03 * size)), max(0, round(high - 0.03 * size)))
        strip = picture[rows, first - 1 : last + 1].astype(np.float32)
        if len(strip):
            step = np.diff(strip, axis=1)
            total += np.abs((step / (np.abs(step) + 2.5)).mean(axis=0))
    profile = total[at + offsets - first] / len(boxes)
    if profile.max() < 0.25:
        return 0.0
    seen = np.flatnonzero(profile >= 0.6 * profile.max())
    return float(at + offsets[seen[-1]]) - float(np.median(boxes[:, side]))


def _is_convincing(panel: _Panel, grey: Bytes, others: list[_Panel]) -> bool:
    """Say whether a grid is well enough supported, beside those found before it."""
    whole = panel.boxes[~panel.cut]
    share = (whole[:, 2:] - whole[:, :2]).prod(axis=1).sum() / grey.size
    support = float(panel.support.mean())
    if len(whole) == 1 and not others:
        height, width = grey.shape
        x0, y0, x1, y1 = whole[0]
        framed = x0 > 3 and y0 > 3 and x1 < width - 3 and y1 < height - 3
        return bool(framed and support > 0.93 and share > 0.05)
    many = len(whole) >= 6 and (share > 0.1 or bool(others))
    enough = MANY_SUPPORT if many else FEW_SUPPORT
    if others:
        enough = max(enough, 0.8 * float(others[0].support.mean()))
    return bool(support > enough and share > 0.01)


def _shows_images(panel: _Panel, picture: NDArray[np.generic], grey: Bytes) -> bool:
    """Say whether the squares show grey images rather than drawings, colours or nothing."""
    whole = panel.boxes[~panel.cut]
    _, flat = _levels(grey, whole)
    drawn = whole[flat < FLAT]
    if len(drawn) < 0.25 * len(whole):
        return False
    sample = drawn[:: max(1, len(drawn) // 40)]
    if picture.ndim == 3 and np.median([_coloured(picture, box) for box in sample]) > 0.5:
        return False
    return bool(np.mean([_is_drawing(grey, box) for box in sample]) <= 0.5)


def _coloured(picture: NDArray[np.generic], box: FloatArray) -> float:
    part = _inner(picture, box, 0.08).astype(np.float32)
    if not part.size:
        return 0.0
    spread = part.max(axis=2) - part.min(axis=2)
    return float(np.mean(spread > 0.1 * max(float(part.max()), 1.0)))


def _is_drawing(grey: Bytes, box: FloatArray) -> bool:
    """Say whether a box holds a drawing on bright paper: a plot, text, a table, an icon.

    The ink of a drawing is thin or of one level; a particle is thick and shaded.
    """
    part = np.ascontiguousarray(_inner(grey, box, 0.08), dtype=np.float32)
    if not part.size or (paper := float(np.median(part))) < BRIGHT_PAPER:
        return False
    off = np.abs(part - paper)
    if np.mean(off <= 3) < 0.6:
        return False
    side = max(5, min(part.shape) // 20)
    core = cv2.erode((off > 12).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    shading = np.hypot(cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)) / 4
    return bool(np.count_nonzero(core & (shading > 1.5)) < max(0.005 * core.size, 0.5 * core.sum()))


def _reading_order(panels: list[_Panel]) -> list[_Panel]:
    """Sort panels: those beside each other from left to right, then those below."""
    left = sorted(panels, key=lambda panel: float(panel.bounds[1]))
    ordered: list[_Panel] = []
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


def _squares_of(panel: _Panel, *, bottom_up: bool) -> list[Square]:
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
        squares.append(Square(x0, y0, wide, high, confidence, cut))
    return squares


def _notes(panels: list[_Panel]) -> list[str]:
    notes = []
    boxes = []
    for number, panel in enumerate(panels, 1):
        whole = panel.boxes[~panel.cut]
        box = float(np.median(whole[:, 2:] - whole[:, :2]))
        boxes.append(box)
        rows, columns = np.ptp(panel.cells, axis=0) + 1
        notes.append(
            f"Grid {number}: {rows} × {columns}, {len(whole)} squares of {box:.0f} px, "
            f"confidence {panel.support[~panel.cut].mean():.2f}."
        )
    if max(boxes) - min(boxes) > 1:
        notes.append(
            f"Squares of {min(boxes):.0f} to {max(boxes):.0f} px are resampled to one box."
        )
    if any(panel.cut.any() for panel in panels):
        count = sum(int(panel.cut.sum()) for panel in panels)
        notes.append(f"{count} squares are cut by the edge of the picture and are left out.")
    return notes
