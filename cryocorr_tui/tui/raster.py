"""From arrays to cells of the terminal: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from cryocorr_tui.tui.colormaps import RGB
from cryocorr_tui.tui.graphics.blocks import RAMP

__all__ = ["Painter", "PlainPainter", "skyline"]

EIGHTHS = " ▁▂▃▄▅▆▇█"


class Painter:
    """Turns lines of colour numbers into segments.

    Parameters
    ----------
    colours : sequence of RGB
        At most 256.
    """

    def __init__(self, colours: Sequence[RGB]) -> None:
        self._colours = [Color.from_rgb(*colour) for colour in colours]
        # Cells are lit with dark figures where they are bright, and the other way round.
        self._figures = [
            Color.from_rgb(*((0, 0, 0) if _luminance(colour) > 0.4 else (255, 255, 255)))
            for colour in colours
        ]
        self._halves: dict[int, Style] = {}
        self._fulls: dict[int, Style] = {}

    def half_blocks(self, top: NDArray[np.uint8], bottom: NDArray[np.uint8]) -> list[Segment]:
        """Draw two lines of pixels as one line of cells.

        Parameters
        ----------
        top, bottom : (w,) uint8
            Numbers of colours.

        Returns
        -------
        list of Segment
            One for each run of equal cells, w cells in all.
        """
        keys = top.astype(np.int32) * 256 + bottom
        return [Segment("▀" * length, self._half(key), None) for key, length in _runs(keys)]

    def blocks(self, line: NDArray[np.uint8], width: int) -> list[Segment]:
        """Draw one line of pixels, each `width` cells wide."""
        return [
            Segment(" " * (length * width), self.figures_on(key), None)
            for key, length in _runs(line.astype(np.int32))
        ]

    def figures_on(self, colour: int) -> Style:
        """Return a style that can be read on a colour."""
        if colour not in self._fulls:
            self._fulls[colour] = Style(color=self._figures[colour], bgcolor=self._colours[colour])
        return self._fulls[colour]

    def _half(self, key: int) -> Style:
        if key not in self._halves:
            self._halves[key] = Style(
                color=self._colours[key >> 8], bgcolor=self._colours[key & 255]
            )
        return self._halves[key]


class PlainPainter(Painter):
    """Draws without colours: the brighter one would be, the denser is its character.

    Parameters
    ----------
    colours : sequence of RGB
        At most 256.
    mark : int
        Number of the colour that is drawn reversed.
    """

    def __init__(self, colours: Sequence[RGB], *, mark: int) -> None:
        super().__init__(colours)
        self._mark = mark
        self._light = np.array([_luminance(colour) for colour in colours])
        self._light[mark] = 1.0
        self._characters = RAMP[np.rint(self._light * (len(RAMP) - 1)).astype(int)]

    def half_blocks(self, top: NDArray[np.uint8], bottom: NDArray[np.uint8]) -> list[Segment]:
        """Draw two lines of pixels as one line of cells, of both the brighter one."""
        return self.blocks(np.where(self._light[top] >= self._light[bottom], top, bottom), 1)

    def blocks(self, line: NDArray[np.uint8], width: int) -> list[Segment]:
        """Draw one line of pixels, each `width` cells wide."""
        return [
            Segment(str(self._characters[key]) * (length * width), self.figures_on(key), None)
            for key, length in _runs(line.astype(np.int32))
        ]

    def figures_on(self, colour: int) -> Style:
        """Return a style that can be read."""
        return Style(reverse=colour == self._mark)


def skyline(heights: NDArray[np.floating], lines: int) -> list[str]:
    """Draw heights as bars of block characters.

    Parameters
    ----------
    heights : (w,) float
        0 to 1; NaN draws nothing.
    lines : int
        How many lines of cells the highest bar takes.

    Returns
    -------
    list of str
        `lines` texts of w cells, from the top.
    """
    eighths = np.rint(np.clip(np.nan_to_num(heights), 0, 1) * lines * 8).astype(int)
    return [
        "".join(EIGHTHS[step] for step in np.clip(eighths - 8 * level, 0, 8).tolist())
        for level in reversed(range(lines))
    ]


def _runs(keys: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return (key, length) of each run of equal keys."""
    if not keys.size:
        return []
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    lengths = np.diff(np.append(starts, keys.size))
    return list(zip(keys[starts].tolist(), lengths.tolist(), strict=True))


def _luminance(colour: RGB) -> float:
    red, green, blue = colour
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
