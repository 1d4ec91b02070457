"""From a grid of candidates to the squares of a panel: which cells hold one, and where exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection.content import FLAT, gutter_level, is_drawing, levels
from cryocorr_tui.core.detection.evidence import STEP_SOFTNESS, LineEvidence
from cryocorr_tui.core.detection.grids import Grid, box_sides, overlapping
from cryocorr_tui.core.detection.lattice import Boxes, Cells, Lattice

__all__ = ["Panel", "settle", "side_evidence"]

Bytes = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

WHOLE = 0.97  # share of the box that must lie in the picture
LEAST_CUT = 3.0  # pixels by which a cut square is short; less is the blur of its borders
EDGE = 4  # pixels: a side this near to the edge of the picture says nothing
EVIDENT = 0.4  # a side with this evidence is seen
FRAME_SHARE = 0.05  # of the box: an inner line within this distance ends the border
SEEN = 0.25  # agreement of the votes of a row or column of squares that makes a line
# Contrast of a line in terms of the strongest nearby that makes it one of the border's own: above
# that of the blocks that JPEG leaves beside a border.
SAME_BORDER = 0.3
DEEPEST_FRAME = 0.16  # of the box
LEAST_FRAME = 2  # pixels: thinner ones are borders
OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])  # what a pixel outwards is to the sides of a box
FRAME_TOLERANCE = 8  # grey levels within which a frame is of one level, less where it is exact
# Shares of pixels at the level of the frame: within it, and two pixels further in. The rim of a
# round mask goes over into its image slowly.
IN_FRAME = 0.9
BEHIND_FRAME = 0.5
# Evidence of a square in terms of the typical one: below the first it lacks the frame that others
# have, from the second on it is seen.
UNFRAMED, REGAINED = 0.6, 0.8
SAME_LINE = 0.98  # evidence in terms of the best, from which on it is of the same line
SLACK = 2  # pixels that a side may lie off the line that is its evidence


@dataclass(frozen=True, eq=False)
class Panel:
    """The squares of one grid, in pixels of the full picture.

    Attributes
    ----------
    lattice : Lattice
    boxes : (n, 4) float64
        Clipped at the edges of the picture.
    cells : (n, 2) int
        Row and column of each.
    support : (n,) float64
        Mean evidence of the sides that do not lie on the edge of the picture, 0…1.
    cut : (n,) bool
        The edge of the picture cuts the square.
    """

    lattice: Lattice
    boxes: Boxes
    cells: Cells
    support: FloatArray
    cut: Mask

    @property
    def whole(self) -> Boxes:
        """The boxes that are not cut."""
        return self.boxes[~self.cut]

    @property
    def area(self) -> float:
        """Pixels in the whole boxes."""
        return float(_area(self.whole).sum())

    @property
    def bounds(self) -> FloatArray:
        """x0, y0, x1, y1 of all."""
        return np.concatenate([self.boxes[:, :2].min(axis=0), self.boxes[:, 2:].max(axis=0)])


def settle(
    grid: Grid,
    others: Sequence[Boxes],
    grey: Bytes,
    evidence: Sequence[LineEvidence],
    factor: int,
) -> Panel | None:
    """Decide which cells of a grid's lattice are squares and place them; None where none is whole.

    Parameters
    ----------
    grid : Grid
    others : sequence of (n, 4) float64
        Boxes of other grids, full resolution; new cells keep clear of them.
    grey : (height, width) uint8
    evidence : sequence of LineEvidence
        Of the picture reduced by `factor`.
    factor : int
    """
    boxes = _snapped(
        grey, grid.lattice.scaled(factor).boxes(grid.members), grid.members, reach=3 + 2 * factor
    )
    depth = _depths_of_frames(grey, boxes)
    lattice = Lattice.through(boxes + depth, grid.members)
    selection = _width_of_selections(lattice, grid.members, grey, evidence, factor)
    lattice = lattice.grown(selection)
    cells = lattice.cells_within(grey.shape)
    member = _contains(grid.members, cells)
    free = member | ~overlapping(lattice.boxes(cells), np.concatenate([np.empty((0, 4)), *others]))
    cells, member = cells[free], member[free]
    boxes = lattice.boxes(cells)
    sides = side_evidence(evidence, boxes, factor, grey.shape)
    if depth.any():  # the outside of a frame shows where the square within it is
        framed = side_evidence(evidence, boxes - depth, factor, grey.shape)
        sides = np.maximum(sides, framed)
    kept = _grow(cells, member, _Signs.of(boxes, sides, grey, lattice))
    if not kept.any():
        return None
    cells, sides = cells[kept], sides[kept]
    reach = min(2 + factor, selection - 1) if selection else 2 + factor
    boxes = _snapped(grey, boxes[kept], cells, reach=reach, past_frames=not selection)
    boxes = _clipped(boxes, grey.shape)
    side = np.array([lattice.width, lattice.height])
    missing = side - (boxes[:, 2:] - boxes[:, :2])
    short = np.any(missing > np.maximum(LEAST_CUT, (1.0 - WHOLE) * side), axis=1)
    cut: Mask = short & _on_edge(boxes, grey.shape, margin=1).any(axis=1)
    if cut.all():
        return None
    return Panel(lattice, boxes, cells, _mean_side(sides), cut)


def side_evidence(
    evidence: Sequence[LineEvidence], boxes: Boxes, factor: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return (n, 4) evidence of the sides; NaN for a side on or beyond the edge of the picture.

    Each side is judged in halves, and the worse half counts as much as the better, so that a
    square that a window cuts shows it.
    """
    x0, y0, x1, y1 = (_clipped(boxes, shape) / factor).T
    xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
    quarters = [
        box_sides(evidence, np.stack(quarter, axis=1), slack=SLACK)
        for quarter in ((x0, y0, xm, ym), (xm, y0, x1, ym), (x0, ym, xm, y1), (xm, ym, x1, y1))
    ]
    top_left, top_right, bottom_left, bottom_right = quarters
    left = (top_left[:, 0] + bottom_left[:, 0]) / 2
    top = (top_left[:, 1] + top_right[:, 1]) / 2
    right = (top_right[:, 2] + bottom_right[:, 2]) / 2
    bottom = (bottom_left[:, 3] + bottom_right[:, 3]) / 2
    return np.where(
        _on_edge(boxes, shape, margin=EDGE),
        np.float32(np.nan),
        np.stack([left, top, right, bottom], axis=1),
    )


def _on_edge(boxes: Boxes, shape: tuple[int, ...], *, margin: int) -> Mask:
    """Return (n, 4): the side lies within `margin` pixels of the edge of the picture, or beyond."""
    height, width = shape
    low, high = boxes[:, :2] < margin, boxes[:, 2:] > np.array([width, height]) - margin
    return np.concatenate([low, high], axis=1)


def _mean_side(sides: NDArray[np.float32]) -> FloatArray:
    seen = np.isfinite(sides).sum(axis=1)
    mean: FloatArray = np.nansum(sides, axis=1, dtype=np.float64) / np.maximum(seen, 1)
    return mean


@dataclass(frozen=True, eq=False)
class _Signs:
    """What speaks for and against each cell of a lattice being a square."""

    mean: FloatArray  # evidence of the sides within the picture
    least: FloatArray
    constant: Mask
    blank: Mask  # constant, at the level of the gutter
    drawing: Mask
    framed: Mask  # enough sides of its own for a constant square
    cut: Mask

    @classmethod
    def of(cls, boxes: Boxes, sides: NDArray[np.float32], grey: Bytes, lattice: Lattice) -> _Signs:
        gutter = gutter_level(grey, boxes, lattice)
        level, flat = levels(grey, boxes)
        constant = flat >= FLAT
        evident = (sides >= EVIDENT).sum(axis=1)
        # Beside a gutter of another level a constant square shows its sides even in a corner.
        apart = np.abs(level - gutter) > 3
        return cls(
            mean=_mean_side(sides),
            least=np.where(np.isnan(sides), 1.0, sides).min(axis=1).astype(np.float64),
            constant=constant,
            blank=constant & (np.abs(level - gutter) <= 3),
            drawing=np.array([is_drawing(grey, box) for box in boxes], bool),
            framed=(evident == np.isfinite(sides).sum(axis=1)) & (evident + apart >= 3),
            cut=_area(_clipped(boxes, grey.shape)) < WHOLE * _area(boxes),
        )


def _grow(cells: Cells, member: Mask, signs: _Signs) -> Mask:
    """Return which cells of the lattice are squares, from the members outwards."""
    image = ~signs.constant & ~signs.blank
    kept = member & ~signs.blank & (image | signs.framed)
    # Print beside a grid or between two may have a place in its lattice.
    drawings = np.count_nonzero(signs.drawing[kept]) > 0.5 * np.count_nonzero(kept)
    print_beside = signs.drawing & image & (not drawings)
    kept &= ~print_beside
    typical = float(np.median(signs.mean[kept & ~signs.cut])) if (kept & ~signs.cut).any() else 1.0
    within = np.all(
        (cells >= cells[member].min(axis=0)) & (cells <= cells[member].max(axis=0)), axis=1
    )
    evident = np.where(
        within & ~signs.drawing,
        signs.mean >= min(EVIDENT, 0.6 * typical),
        (signs.mean >= max(0.5, 0.8 * typical)) & (signs.least >= 0.5 * typical),
    )
    enclosed_image = image & ~signs.cut & ~print_beside & (signs.mean > 0.1)
    evident &= ~print_beside
    evident &= np.where(signs.constant, signs.framed & ~signs.blank, True)
    while True:
        left, right, up, down = _neighbours(cells, kept)
        enclosed = (left & right) | (up & down)
        new = ~kept & (((left | right | up | down) & evident) | (enclosed & enclosed_image))
        if not new.any():
            return kept
        kept = kept | new


def _neighbours(cells: Cells, kept: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    """Say of each cell whether the ones left, right, above and below are kept."""
    first = cells.min(axis=0)
    row, column = (cells - first + 1).T
    field = np.zeros(cells.max(axis=0) - first + 3, bool)
    field[row, column] = kept
    return (
        field[row, column - 1],
        field[row, column + 1],
        field[row - 1, column],
        field[row + 1, column],
    )


def _contains(some: Cells, cells: Cells) -> Mask:
    members = {tuple(cell) for cell in some.tolist()}
    return np.array([tuple(cell) in members for cell in cells.tolist()], bool)


def _area(boxes: Boxes) -> FloatArray:
    area: FloatArray = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area


def _clipped(boxes: Boxes, shape: tuple[int, ...]) -> Boxes:
    height, width = shape
    return np.clip(boxes, 0.0, [width, height, width, height])


def _snapped(
    grey: Bytes, boxes: Boxes, cells: Cells, *, reach: int, past_frames: bool = True
) -> Boxes:
    """Move the sides of every row and column of cells onto the border lines nearby.

    All cells of a column vote for its left and right side. Where a border has several lines (both
    edges of a thin line, a frame and its picture), the innermost that is well seen ends the
    square, `reach` pixels away or, with `past_frames`, a little further in. Sides without a visible
    line stay where the lattice puts them.
    """
    moved = boxes.copy()
    for axis in (0, 1):
        picture = grey if axis == 0 else grey.T
        index = cells[:, 1 - axis]
        for side, inward in ((axis, 1), (axis + 2, -1)):
            lines = np.unique(index)
            size = float(np.median(boxes[:, axis + 2] - boxes[:, axis]))
            near = min(reach, round(0.1 * size))
            within = max(near, round(FRAME_SHARE * size)) if past_frames else near
            places = inward * np.arange(-near, within + 1)
            shift = np.array(
                [_to_line(picture, boxes[index == k], axis, side, places) for k in lines]
            )
            # A line that moves a row or column apart from the others belongs to the page.
            common = float(np.median(shift))
            shift[np.abs(shift - common) > max(2.5, 0.03 * size)] = common
            moved[:, side] += shift[np.searchsorted(lines, index)]
    return moved


def _depths_of_frames(grey: Bytes, boxes: Boxes) -> FloatArray:
    """Return (4,) what moves the sides of boxes inwards past a frame that all of them have."""
    deepest = int(DEEPEST_FRAME * float(np.median(boxes[:, 2:] - boxes[:, :2])))
    depth = [_depth_of_frame(_rims(grey, boxes, side, deepest)) for side in range(4)]
    return np.array([depth[0], depth[1], -depth[2], -depth[3]], np.float64)


def _width_of_selections(
    lattice: Lattice, members: Cells, grey: Bytes, evidence: Sequence[LineEvidence], factor: int
) -> int:
    """Return the width of frames drawn on most squares, where a lattice was fitted inside them.

    The squares without such a frame tell: they end where the frames of the others begin, and have
    no frame there. 0 where nothing tells.
    """
    first, last = members.min(axis=0) - 1, members.max(axis=0) + 1
    cells = lattice.cells_within(grey.shape)
    cells = cells[np.all((cells >= first) & (cells <= last), axis=1)]
    boxes = lattice.boxes(cells)
    gap = min(lattice.pitch_x - lattice.width, lattice.pitch_y - lattice.height)
    widest = round(min(DEEPEST_FRAME * min(lattice.width, lattice.height), gap / 2))
    if widest < LEAST_FRAME:
        return 0
    mean = _mean_side(side_evidence(evidence, boxes, factor, grey.shape))
    typical = float(np.median(mean[_contains(members, cells)]))
    weak = mean < UNFRAMED * typical
    unframed, framed = boxes[weak], boxes[~weak]
    _, flat = levels(grey, unframed)
    unframed = unframed[flat < FLAT]
    if not len(unframed) or not len(framed):
        return 0
    widths = np.arange(LEAST_FRAME, widest + SLACK + 1)
    seen = np.array(
        [
            _mean_side(side_evidence(evidence, unframed + width * OUTWARDS, factor, grey.shape))
            for width in widths
        ]
    )
    summed = seen.sum(axis=1)
    best = widths[summed >= SAME_LINE * summed.max()]  # up to the slack of a side on either hand
    width = min(round(float(best.mean())), widest)
    told = (seen.max(axis=0) >= REGAINED * typical) & ~_have_frames_of(
        framed, unframed, grey, width
    )
    return width if told.mean() >= 0.5 else 0


def _have_frames_of(framed: Boxes, boxes: Boxes, grey: Bytes, width: int) -> Mask:
    """Say which boxes have around them a frame like any of the framed ones."""
    frame, unevenness = _surroundings(grey, framed, width)
    level, spread = _surroundings(grey, boxes, width)
    tolerance = _tolerance(float(np.median(unevenness)))
    nearest = np.abs(level[:, None] - frame).min(axis=1)
    alike: Mask = (spread <= tolerance) & (nearest <= FRAME_TOLERANCE)
    return alike


def _surroundings(grey: Bytes, boxes: Boxes, width: int) -> tuple[FloatArray, FloatArray]:
    """Return the median level up to `width` outside of boxes, and how far most pixels are off."""
    told = []
    for x0, y0, x1, y1 in np.rint(boxes).astype(int):
        part = grey[max(0, y0 - width) : y1 + width, max(0, x0 - width) : x1 + width]
        outside = np.ones(part.shape, bool)
        outside[min(width, y0) : -width, min(width, x0) : -width] = False
        level = np.median(part[outside])
        told.append((level, np.percentile(np.abs(part[outside] - level), 100 * IN_FRAME)))
    level, spread = np.array(told).T
    return level, spread


def _tolerance(unevenness: float) -> float:
    """Return the grey levels within which frames are of one level that are so uneven."""
    return min(FRAME_TOLERANCE, 1 + unevenness)


def _rims(grey: Bytes, boxes: Boxes, side: int, deepest: int) -> NDArray[np.uint8]:
    """Return the (n, depth, length) pixels from one side of boxes inwards, corners left out."""
    picture = grey if side % 2 == 0 else grey.T
    axis, inward = side % 2, 1 if side < 2 else -1
    length = int(np.median(boxes[:, 3 - axis] - boxes[:, 1 - axis])) - 2 * deepest
    rims = []
    for box in boxes:
        at = round(float(box[side])) - (0 if side < 2 else 1)
        depths = at + inward * np.arange(deepest)
        low = round(float(box[1 - axis])) + deepest
        if min(low, *depths) >= 0 and max(depths) < picture.shape[1]:
            rims.append(picture[low : low + length, depths].T)
    rims = [rim for rim in rims if rim.shape == (deepest, length)]
    return np.stack(rims) if rims else np.empty((0, deepest, length), np.uint8)


def _depth_of_frame(rims: NDArray[np.uint8]) -> int:
    """Return how many pixels deep the rim of each box is at one level of its own.

    0 where the rims do not end at a line. That of a round mask is soon another level in the middle
    of a side, but not near its ends.
    """
    if not len(rims) or min(rims.shape[1:]) < 4:
        return 0
    # The outermost pixel may be mixed with what lies around.
    off = np.abs(rims - np.median(rims[:, 1], axis=1)[:, None, None])
    tolerance = _tolerance(float(np.percentile(off[:, 1], 100 * IN_FRAME)))
    same = off <= tolerance
    inner = np.flatnonzero(same.mean(axis=(0, 2))[1:] < IN_FRAME) + 1
    depth = int(inner[0]) if len(inner) else same.shape[1]
    if not LEAST_FRAME <= depth < same.shape[1] - 2:
        return 0
    quarter = same.shape[2] // 4
    behind = same[:, depth + 2, [*range(quarter), *range(-quarter, 0)]]
    return depth if behind.mean() < BEHIND_FRAME else 0


def _to_line(picture: Bytes, boxes: Boxes, axis: int, side: int, places: NDArray[np.intp]) -> float:
    """Return how far the line that ends the squares lies from their `side`, 0 where unseen.

    `places` are the distances that are looked at, from outside inwards.
    """
    middle = float(np.median(boxes[:, side]))
    lines = round(middle) + places
    lines = lines[(lines >= 1) & (lines < picture.shape[1])]
    if not len(lines):
        return 0.0
    first, last = lines.min(), lines.max()
    agreement = np.zeros(last - first + 1)
    contrast = np.zeros(last - first + 1)
    for box in boxes:
        low, high = box[1 - axis], box[3 - axis]
        inset = 0.03 * (high - low)
        rows = slice(max(0, round(low + inset)), max(0, round(high - inset)))
        strip = picture[rows, first - 1 : last + 1].astype(np.float32)
        if len(strip):
            step = np.diff(strip, axis=1)
            agreement += np.abs((step / (np.abs(step) + STEP_SOFTNESS)).mean(axis=0))
            contrast += np.abs(step.mean(axis=0))
    agreement, contrast = agreement[lines - first] / len(boxes), contrast[lines - first]
    line = agreement >= max(SEEN, 0.6 * float(agreement.max()))
    line &= contrast >= SAME_BORDER * float(contrast.max())
    return float(lines[np.flatnonzero(line)[-1]]) - middle if line.any() else 0.0
