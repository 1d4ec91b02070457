"""How many groups there are, against where the tree of groups is cut."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from cryocorr_tui.core.model import Groups

__all__ = ["CutPlot", "bars"]

EIGHTHS = np.array(list(" ▁▂▃▄▅▆▇█"))


class CutPlot(Widget):
    """Bars of the number of groups, rising with the blend at the cut, which is marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"cut-plot--bar", "cut-plot--cut", "cut-plot--axis"}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 as every widget has it
        super().__init__(id=id)
        self._heights: NDArray[np.float64] = np.empty(0)
        self._cut = 0.0

    def show(self, groups: Groups) -> None:
        """Show where `groups` are cut."""
        self._heights, self._cut = groups.linkage[:, 2], groups.threshold
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of the bars, or below them of the axis."""
        width, height = self.size
        bar, cut, axis = (
            self.get_component_rich_style(f"cut-plot--{name}") for name in ("bar", "cut", "axis")
        )
        if not self._heights.size or width < 2:
            return Strip.blank(width, self.rich_style)
        low, high = self._range
        at = round((1 - self._cut - low) / (high - low) * (width - 1))
        at = min(max(at, 0), width - 1)
        if y == height - 1:
            left, right = f"{low:.2f} ", f" {high:.2f}"
            middle = "blend at the cut".center(width - len(left) - len(right))
            return Strip([Segment(f"{left}{middle}{right}"[:width], axis)], width)
        line = bars(groups_along(self._heights, low, high, width), height - 1)[y]
        return Strip(
            [
                Segment(line[:at], bar),
                Segment("│" if line[at] == " " else line[at], cut),
                Segment(line[at + 1 :], bar),
            ],
            width,
        )

    @property
    def _range(self) -> tuple[float, float]:
        """The blends at both ends."""
        low, high = 1 - float(self._heights.max()), 1 - float(self._heights.min())
        margin = max(0.02 * (high - low), 0.005)
        return low - margin, high + margin


def groups_along(
    heights: NDArray[np.float64], low: float, high: float, width: int
) -> NDArray[np.intp]:
    """Return (width,) numbers of groups, cut at blends from `low` to `high`."""
    cuts = 1 - np.linspace(low, high, width)
    return heights.size + 1 - np.searchsorted(np.sort(heights), cuts, side="right")


def bars(values: NDArray[np.integer], height: int) -> list[str]:
    """Return the lines of a bar for each value, the largest one `height` cells high."""
    eighths = np.ceil(values / max(int(values.max()), 1) * height * 8).astype(int)
    floor = (height - 1 - np.arange(height))[:, np.newaxis] * 8
    return ["".join(line) for line in EIGHTHS[np.clip(eighths - floor, 0, 8)]]
