"""Grids of equal squares from line evidence: candidates, their lattice, the cells it implies.

A single box with four borders may be anything. Many boxes of one size on one lattice are a montage,
and once the lattice is known a faint square in it needs little evidence of its own.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cryocorr_tui.core.detection.evidence import LineEvidence
from cryocorr_tui.core.detection.lattice import Boxes, Cells, Lattice

__all__ = ["Candidates", "Grid", "box_sides", "candidate_boxes", "find_grids", "overlapping"]


# Corners are sought with a short line (small squares) and a long one (faint borders); noise alone
# reaches these means about once in a million pixels.
CORNERS = ((20, 0.5), (56, 0.3))
CORNER_LIMIT = 1500
# Evidence that every side of a candidate needs, all but one, and all in the mean.
LEAST_SIDE, SECOND_SIDE, MEAN_SIDE = 0.25, 0.4, 0.5
MOST_CANDIDATES = 12_000  # the best supported, where text or noise gives more
MOST_BOXES = 600  # of one size that are looked at
NEARLY = 0.1  # difference of support that decides nothing
STRADDLING = 0.9  # of the box: places nearer to each other than this share area
CLEARLY_LESS = 0.7  # support in terms of a box that shares area, below which a box is chance
MOST_REFUSED = 16  # grids of blocks, before a picture is taken to be nothing but lines
SIZE_STEP = 0.02  # natural logarithm: boxes of one size differ by less
LONE_BOX = 0.4
THROUGH = 0.65  # evidence of the lines inside a block in terms of those around it
MOST_PARTS = 5  # abreast in a block
LEAST_PART = 8  # pixels: smaller ones are no further evidence
WIDEST_BLOCK_GUTTER = 0.12  # of the block
MOST_UNEQUAL_SIDES = 0.04
WIDEST_GUTTER = 1.2  # of the box; squares further apart are no neighbours


@dataclass(frozen=True, eq=False)
class Grid:
    """Boxes of one size on one lattice, in pixels of the searched picture.

    Attributes
    ----------
    lattice : Lattice
    members : (n, 2) int
        Row and column of the boxes that the lattice was fitted to.
    strength : float
        Their borders within the picture summed up, weighed by support⁴.
    """

    lattice: Lattice
    members: Cells
    strength: float

    def boxes(self) -> Boxes:
        """Return the boxes of the members."""
        return self.lattice.boxes(self.members)


def box_sides(evidence: Sequence[LineEvidence], boxes: Boxes, *, slack: int) -> NDArray[np.float32]:
    """Return (n, 4) evidence of each side, the better of all pictures at hand."""
    best: NDArray[np.float32] = np.maximum.reduce(
        [lines.sides(boxes, slack=slack) for lines in evidence]
    )
    return best


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes of nearly equal sides with visible borders.

    Attributes
    ----------
    boxes : (n, 4) float64
        x0, y0, x1, y1.
    support : (n,) float64
        Mean evidence of those sides that do not lie on the edge of the picture, 0…1.
    inner : (n,) int
        Number of those sides.
    """

    boxes: Boxes
    support: NDArray[np.float64]
    inner: NDArray[np.intp]

    def only(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Return some of them."""
        return Candidates(self.boxes[which], self.support[which], self.inner[which])

    def strength(self) -> NDArray[np.float64]:
        """Return the lengths of the borders, weighed so that those of chance count little.

        Sides on the edge of the picture do not count: it would tie squares to large boxes.
        """
        side = (self.boxes[:, 2:] - self.boxes[:, :2]).mean(axis=1)
        strength: NDArray[np.float64] = side * self.inner * self.support**4
        return strength


def candidate_boxes(evidence: Sequence[LineEvidence], *, min_box: int) -> Candidates:
    """Return every box with four visible borders, or fewer where the picture ends."""
    starts, ends = [], []
    for lines in evidence:
        for length, threshold in CORNERS:
            start, end = lines.corners(min(length, min_box), threshold, CORNER_LIMIT)
            starts.append(start)
            ends.append(end)
    boxes = _pair_corners(
        np.unique(np.concatenate(starts), axis=0), np.unique(np.concatenate(ends), axis=0), min_box
    )
    boxes, sides = _with_four_sides(boxes, evidence)
    inner = np.isfinite(sides).sum(axis=1)
    mean = np.nansum(sides, axis=1) / np.maximum(inner, 1)
    second = np.sort(sides, axis=1)[:, 1]
    good = (inner > 0) & (mean > MEAN_SIDE) & ((inner < 2) | (second > SECOND_SIDE))
    found = Candidates(boxes, mean.astype(np.float64), inner).only(good)
    if len(found.boxes) > MOST_CANDIDATES:
        found = found.only(np.argpartition(-found.support, MOST_CANDIDATES)[:MOST_CANDIDATES])
    return found


def _with_four_sides(
    boxes: Boxes, evidence: Sequence[LineEvidence]
) -> tuple[Boxes, NDArray[np.float32]]:
    """Return the boxes of which no side is unseen, and the evidence of their sides.

    The edge of the picture may end a square, but it is no evidence for one: NaN.
    """
    height, width = (side - 1 for side in evidence[0].vertical.shape)
    low, high = 1, (width - 1, height - 1)
    sides = np.empty((len(boxes), 4), np.float32)
    for which in range(4):
        at = boxes[:, which]
        edge = (at <= low) | (at >= high[which % 2])
        seen = np.maximum.reduce([lines.side(boxes, which, slack=1) for lines in evidence])
        seen[edge] = np.nan
        sides[:, which] = seen
        # Most pairs of corners share no side, so that the later sides have few boxes to look at.
        kept = edge | (seen > LEAST_SIDE)
        boxes, sides = boxes[kept], sides[kept]
    return boxes, sides


def _pair_corners(starts: NDArray[np.intp], ends: NDArray[np.intp], min_box: int) -> Boxes:
    """Return every box from a start to an end on about the same diagonal."""
    if not len(starts) or not len(ends):
        return np.empty((0, 4))
    largest = int((ends.max(axis=0) - starts.min(axis=0)).min())
    reach = int(MOST_UNEQUAL_SIDES * max(largest, 0)) + 2
    diagonal = ends[:, 0] - ends[:, 1]
    order = np.argsort(diagonal, kind="stable")
    ends, diagonal = ends[order], diagonal[order]
    own = starts[:, 0] - starts[:, 1]
    first = np.searchsorted(diagonal, own - reach, "left")
    count = np.searchsorted(diagonal, own + reach, "right") - first
    start = np.repeat(np.arange(len(starts)), count)
    end = np.arange(len(start)) - np.repeat(np.cumsum(count) - count, count) + first[start]
    wide, high = (ends[end, axis] - starts[start, axis] for axis in (0, 1))
    short, long = np.minimum(wide, high), np.maximum(wide, high)
    square = (short >= min_box) & (long - short <= 2 + MOST_UNEQUAL_SIDES * short)
    return np.concatenate([starts[start[square]], ends[end[square]]], axis=1).astype(np.float64)


def find_grids(
    candidates: Candidates,
    evidence: Sequence[LineEvidence],
    *,
    least: float,
    relative: float,
) -> Iterator[Grid]:
    """Yield the grids among candidate boxes, the strongest first, without overlap.

    Grids weaker than `least`, or than `relative` times the strongest, are left out.
    """
    sizes = _Sizes(candidates)
    refused = 0
    while refused < MOST_REFUSED and (best := sizes.strongest_grid(least)) is not None:
        boxes = best.boxes()
        if _are_blocks(evidence, boxes):
            sizes.drop(_same(sizes.candidates.boxes, boxes))
            refused += 1
            continue
        yield best
        least = max(least, relative * best.strength)
        sizes.drop(overlapping(sizes.candidates.boxes, boxes))


class _Sizes:
    """Candidates by size, the sizes queued by the strength that a grid of them can have at most.

    Dropping candidates makes no grid stronger, so that the strength of a grid found earlier stays
    a bound, and only the sizes at the head of the queue are looked at again.
    """

    def __init__(self, candidates: Candidates) -> None:
        self.candidates = candidates.only(np.argsort(_octave(candidates.boxes), kind="stable"))
        self._kept = np.ones(len(candidates.boxes), bool)
        self._octave = _octave(self.candidates.boxes)
        self._drops = 0
        self._queue: list[tuple[float, float, int, Grid | None]] = []
        strength = self.candidates.strength()
        for size in self._sizes():
            alike = self._alike(size)
            bound = _summed_places(self.candidates.boxes[alike], strength[alike], size)
            heapq.heappush(self._queue, (-bound, size, -1, None))

    def strongest_grid(self, least: float) -> Grid | None:
        """Return the strongest grid of boxes of any one size, None where all are below `least`."""
        while self._queue and -self._queue[0][0] > least:
            _, size, drops, grid = self._queue[0]
            if drops == self._drops:
                return grid
            alike = self._alike(size)
            grid = _strongest_lattice(self.candidates.only(alike)) if len(alike) else None
            strength = grid.strength if grid else 0.0
            heapq.heapreplace(self._queue, (-strength, size, self._drops, grid))
        return None

    def drop(self, which: NDArray[np.bool_]) -> None:
        """Leave out some of `candidates` from here on."""
        self._kept &= ~which
        self._drops += 1

    def _sizes(self) -> Iterator[float]:
        """Yield sizes so close that boxes of any one size are about one of them."""
        size, largest = (
            (math.exp(self._octave[at]) for at in (0, -1)) if len(self._octave) else (1, 0)
        )
        while size <= largest:
            yield size
            following = np.searchsorted(self._octave, math.log(size) + _reach(size))
            if following == len(self._octave):
                return
            size = math.exp(self._octave[following])

    def _alike(self, size: float) -> NDArray[np.intp]:
        """Return the numbers of the candidates of about a size that are not dropped."""
        middle, reach = math.log(size), _reach(size)
        first, last = np.searchsorted(self._octave, (middle - reach, middle + reach))
        return np.flatnonzero(self._kept[first:last]) + int(first)


def _reach(size: float) -> float:
    """Return by how much, as a natural logarithm, boxes of about a size may differ from it."""
    return SIZE_STEP + 2.0 / size


def _octave(boxes: Boxes) -> NDArray[np.float64]:
    octave: NDArray[np.float64] = np.log((boxes[:, 2:] - boxes[:, :2]).mean(axis=1))
    return octave


def _summed_places(boxes: Boxes, strength: NDArray[np.float64], size: float) -> float:
    """Return the summed strength of the strongest box in each part of half a box of the picture."""
    column, row = np.floor((boxes[:, :2] + boxes[:, 2:]) / size).astype(np.intp).T
    place = row * (column.max() + 1) + column
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    return float(np.maximum.reduceat(strength[order], first).sum())


def _are_blocks(evidence: Sequence[LineEvidence], boxes: Boxes) -> bool:
    """Say whether boxes are blocks of 2×2 to 5×5 cells: lines run right through them."""
    size = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    frame = box_sides(evidence, boxes, slack=1).mean(axis=1)
    for parts in range(2, MOST_PARTS + 1):
        if parts > 3 and size / parts < LEAST_PART:
            break
        inner = boxes.copy()
        inner[:, 2:] = boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) / parts
        across = inner.copy()
        across[:, [1, 3]] = boxes[:, [1, 3]]
        down = inner.copy()
        down[:, [0, 2]] = boxes[:, [0, 2]]
        slack = max(2, round(WIDEST_BLOCK_GUTTER * size / 2))
        through = np.minimum(
            box_sides(evidence, across, slack=slack)[:, 2],
            box_sides(evidence, down, slack=slack)[:, 3],
        )
        if np.median(through) > THROUGH * np.median(frame):
            return True
    return False


def _same(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Say which boxes are one of the others, up to the width of a border."""
    border = 4 + 0.06 * float(np.median(others[:, 2] - others[:, 0]))
    distance, _ = cKDTree(others).query(boxes, p=np.inf, distance_upper_bound=border)
    same: NDArray[np.bool_] = np.isfinite(distance)
    return same


def _strongest_lattice(candidates: Candidates) -> Grid:
    """Return the strongest lattice of boxes of about one size."""
    candidates = candidates.only(_best_of_each_place(candidates.boxes, candidates.support))
    boxes = candidates.boxes
    size = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    corner = boxes[:, :2]
    offset = corner[None] - corner[:, None]  # (from, to, xy)
    slip = 2.0 + 0.02 * size
    linked = np.zeros((len(boxes), len(boxes)), bool)
    pitch = []
    for axis in (0, 1):
        along, across = offset[..., axis], offset[..., 1 - axis]
        step = _common_step(along, across, size, slip)
        pitch.append(step)
        if step:
            times = np.rint(along / step)
            linked |= (
                (times >= 1)
                & (times <= 2)
                & (np.abs(along - times * step) <= slip)
                & (np.abs(across) <= slip)
            )
    _, label = connected_components(csr_array(linked), directed=False)
    strength = np.bincount(label, candidates.strength())
    # A window or a plot frame is one big box: lone boxes count less, so that the grid inside wins,
    # and the picture itself must not pass for one.
    lone = np.bincount(label) == 1
    strength[lone] *= LONE_BOX * np.bincount(label, candidates.inner == 4)[lone]
    strongest = int(np.argmax(strength))
    return _fit(
        boxes[label == strongest], pitch[0] or size, pitch[1] or size, float(strength[strongest])
    )


def _best_of_each_place(boxes: Boxes, support: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return one box a place: the smallest of those nearly as well supported as the best.

    The lines on both edges of a border make several boxes around one square; the smallest leaves
    the border out, and taking it everywhere keeps the lattice regular. Boxes over parts of a far
    better one have some of its sides: they would tie a grid to the page around it.
    """
    left = np.argsort(-support, kind="stable")
    boxes, support = boxes[left], support[left]
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    size = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    kept: list[np.intp] = []
    while len(left) and len(kept) < MOST_BOXES:
        apart = np.maximum(np.abs(x - x[0]), np.abs(y - y[0]))
        here = apart <= size[0] / 2
        good = np.flatnonzero(here & (support >= support[0] - NEARLY))
        kept.append(left[good[np.argmin(size[good])]])
        straddling = (apart < STRADDLING * size[0]) & (support < CLEARLY_LESS * support[0])
        other = np.flatnonzero(~(here | straddling))
        left, support = left[other], support[other]
        x, y, size = x[other], y[other], size[other]
    return np.array(kept, np.intp)


def _common_step(
    along: NDArray[np.float64], across: NDArray[np.float64], size: float, slip: float
) -> float:
    """Return the distance that most boxes have to their next neighbour, 0 where there is none."""
    forward = (np.abs(across) <= slip) & (along >= size - slip)
    nearest = np.where(forward, along, np.inf).min(axis=1)
    steps = np.sort(nearest[nearest <= (1.0 + WIDEST_GUTTER) * size])
    if not len(steps):
        return 0.0
    fellows = np.searchsorted(steps, steps + slip, "right") - np.arange(len(steps))
    first = int(np.argmax(fellows))
    return float(np.median(steps[first : first + fellows[first]]))


def _fit(boxes: Boxes, pitch_x: float, pitch_y: float, strength: float) -> Grid:
    cells = np.stack([_places(boxes[:, 1], pitch_y), _places(boxes[:, 0], pitch_x)], axis=1)
    return Grid(Lattice.through(boxes, cells), np.unique(cells, axis=0), strength)


def _places(begin: NDArray[np.float64], pitch: float) -> NDArray[np.intp]:
    """Return the row or column of each box."""
    order = np.argsort(begin, kind="stable")
    steps = np.rint(np.diff(begin[order]) / pitch)  # from box to box, so that no error adds up
    index = np.empty(len(begin), np.intp)
    index[order] = np.concatenate([[0], np.cumsum(steps)]).astype(np.intp)
    return index


def overlapping(boxes: Boxes, taken: Boxes) -> NDArray[np.bool_]:
    """Say which boxes share area with the taken ones, or lie around them."""
    hit = np.zeros(len(boxes), bool)
    for x0, y0, x1, y1 in taken:
        wide = np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0)
        high = np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0)
        hit |= (wide > 0.1 * (x1 - x0)) & (high > 0.1 * (y1 - y0))
    return hit
