"""Ramps of colour for values: perceptually uniform, and fit for the colour-blind.

OpenCV's tables of cividis (doi:10.1371/journal.pone.0199239), viridis and magma. In 256 colours
their nearest neighbours do not grow steadily brighter, so there every step is the nearest colour
that is no darker than the step before.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text
from textual.app import App

from cryocorr_tui.tui.graphics.blocks import RAMP

__all__ = ["COLORMAPS", "RGB", "append_ramp", "colours_of", "ramp"]

COLORMAPS = ("cividis", "viridis", "magma", "grey")

RGB = tuple[int, int, int]

# Levels of the 6×6×6 cube and of the grey ramp of a terminal with 256 colours.
_CUBE = (0, 95, 135, 175, 215, 255)
_GREYS = tuple(range(8, 248, 10))


def colours_of(app: App[Any]) -> int:
    """Return how many colours an app sends: 2²⁴, 256, or 0 where the user wants none."""
    if getattr(app, "colourless", False):
        return 0
    return 2**24 if app.console.color_system == "truecolor" else 256


def append_ramp(line: Text, name: str, width: int, *, colours: int) -> None:
    """Append a ramp in so many cells; without colours in the characters that stand for them."""
    if not colours:
        places = np.linspace(0, len(RAMP) - 1, width).round().astype(int)
        line.append("".join(RAMP[places]))
        return
    for colour in ramp(name, width, colours=colours):
        line.append(" ", Style(bgcolor=Color.from_rgb(*colour)))


@cache
def ramp(name: str, steps: int, *, colours: int = 2**24) -> tuple[RGB, ...]:
    """Return `steps` colours from the lowest value to the highest.

    Parameters
    ----------
    name : str
        One of `COLORMAPS`.
    steps : int
        At least 2.
    colours : int
        What the terminal has; with 256 or fewer, all are of its table.
    """
    if name not in COLORMAPS:
        raise ValueError(f"expected one of {COLORMAPS}, received {name!r}")
    places = np.linspace(0, 255, steps).round().astype(np.uint8)[:, np.newaxis]
    if name == "grey":
        wanted = np.repeat(places, 3, axis=1)
    else:
        table = getattr(cv2, f"COLORMAP_{name.upper()}")
        wanted = cv2.applyColorMap(places, table)[:, 0, ::-1]
    chosen = _from_table(wanted) if colours <= 256 else wanted
    return tuple((int(r), int(g), int(b)) for r, g, b in chosen)


def _from_table(wanted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return for each colour the nearest of the 256 that is no darker than the one before."""
    table = np.array(
        [(r, g, b) for r in _CUBE for g in _CUBE for b in _CUBE] + [(v, v, v) for v in _GREYS],
        dtype=np.uint8,
    )
    places = _lab(table)
    chosen, darkest = [], -1.0
    for colour in _lab(wanted):
        away = ((places - colour) ** 2).sum(axis=1)
        best = int(np.where(places[:, 0] >= darkest, away, np.inf).argmin())
        darkest = float(places[best, 0])
        chosen.append(table[best])
    return np.array(chosen, dtype=np.uint8)


def _lab(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return CIE L*a*b* of (n, 3) RGB colours."""
    unit = colours.astype(np.float32)[np.newaxis] / 255
    return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB)[0], dtype=np.float32)
