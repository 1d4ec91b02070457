"""One axis of the heatmap: classes in an order, with borders, in slots of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import ClassAverage, Groups

__all__ = ["BORDER", "Axis", "Slots", "by_group", "by_quality", "by_source"]

BORDER = -1  # the start of a slot that holds a border instead of classes


@dataclass(frozen=True, eq=False)
class Slots:
    """What stands side by side on the screen.

    Attributes
    ----------
    starts : (s,) int32
        Place in the order of the first class of each slot, or `BORDER`.
    stops : (s,) int32
        Place behind its last class.
    """

    starts: NDArray[np.int32]
    stops: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.starts.size)

    def of(self, place: int) -> int:
        """Return the slot that holds a place of the order."""
        inside = (self.starts <= place) & (place < self.stops) & (self.starts != BORDER)
        return int(np.argmax(inside))


@dataclass(frozen=True, eq=False)
class Axis:
    """Classes in the order they are drawn in.

    Attributes
    ----------
    ids : (n,) int32
        Class ids.
    borders : (m,) int32
        Places, rising, before which a border is drawn.
    heights : (n − 1,) float32 or None
        In dendrogram order, the height (1 − blend) at which neighbours are joined.
    """

    ids: NDArray[np.int32]
    borders: NDArray[np.int32]
    heights: NDArray[np.float32] | None = None

    def place_of(self, class_id: int) -> int:
        """Return where a class stands."""
        return int(np.flatnonzero(self.ids == class_id)[0])

    def slots(self, pooled: int) -> Slots:
        """Return slots of `pooled` classes each, none of which reaches over a border.

        Borders take a slot of their own, unless they would take more room than the classes.
        """
        ends = [*self.borders.tolist(), self.ids.size]
        begins = [0, *self.borders.tolist()]
        drawn = len(begins) - 1 <= self.ids.size / pooled / 8
        starts: list[int] = []
        stops: list[int] = []
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            if number and drawn:
                starts.append(BORDER)
                stops.append(BORDER)
            inside = range(begin, end, pooled)
            starts += inside
            stops += [min(place + pooled, end) for place in inside]
        return Slots(np.array(starts, dtype=np.int32), np.array(stops, dtype=np.int32))


def by_source(classes: Sequence[ClassAverage], ids: slice) -> Axis:
    """Return classes in input order, with a border wherever another file begins."""
    chosen = range(len(classes))[ids]
    borders = [
        place
        for place in range(1, len(chosen))
        if classes[chosen[place]].source != classes[chosen[place - 1]].source
    ]
    return Axis(np.array(chosen, dtype=np.int32), np.array(borders, dtype=np.int32))


def by_quality(quality: NDArray[np.floating], ids: slice) -> Axis:
    """Return classes by falling quality, those without one last."""
    chosen = np.arange(quality.size, dtype=np.int32)[ids]
    order = np.argsort(-np.nan_to_num(quality[chosen], nan=-1.0), kind="stable")
    return Axis(chosen[order], np.zeros(0, dtype=np.int32))


def by_group(groups: Groups) -> Axis:
    """Return classes in dendrogram order, with a border between groups."""
    labels = groups.labels[groups.order]
    borders = np.flatnonzero(np.diff(labels) != 0).astype(np.int32) + 1
    return Axis(groups.order, borders, _joined_at(groups))


def _joined_at(groups: Groups) -> NDArray[np.float32]:
    """Return the height at which each class of the order is joined to the next one.

    That is the height of the first merge whose members span both: in dendrogram order the members
    of any merge stand side by side.
    """
    scored = np.flatnonzero(groups.labels > 0)
    heights = np.full(groups.order.size - 1, np.nan, dtype=np.float32)
    place = np.empty(groups.labels.size, dtype=np.int64)
    place[groups.order] = np.arange(groups.order.size)
    first = [int(place[k]) for k in scored]
    last = list(first)
    for left, right, height, _ in groups.linkage:
        low, high = sorted((int(left), int(right)), key=lambda node: first[node])
        heights[last[low]] = height
        first.append(first[low])
        last.append(last[high])
    return heights
