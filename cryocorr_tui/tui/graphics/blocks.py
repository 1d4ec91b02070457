"""Pictures as characters, for any terminal.

Each cell is cut into 2 × 2 parts, and of the 16 characters that fill some of them the one is taken,
with the two colours, that has the least squared error. Those characters are as old as the half
blocks and in the common fonts; sextants and octants, finer still, are in few, and a font without
them shows boxes: the program cannot know which font draws it at the other end of the line.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

__all__ = ["PARTS", "marked", "ramp", "strips"]

PARTS = 2
"""Parts of a cell along its height and along its width."""

# The n-th fills the parts of the bits in n: 1 top left, 2 top right, 4 bottom left, 8 bottom right.
# Beyond the seventh they are the others with the colours swapped.
QUADRANTS = np.array(list(" ▘▝▀▖▌▞▛"))
FILLS = np.array([[n >> bit & 1 for bit in range(4)] for n in range(8)], dtype=np.float32)

# Shade characters would be but five levels, which xterm draws as coarse dots.
RAMP = np.array(list(" .:-=+*#%@"))
RAMP_STYLE = Style(color="white", bgcolor="black")  # whatever the theme: light means bright
MARK_STYLE = Style(color="white")

# The levels of each channel, by the number of colours. In true colour fewer than there are, for
# longer runs of one colour and fewer bytes (still 47 dB). Of the others Rich makes the terminal's.
LEVELS = {2**24: 64, 256: 26, 16: 4}
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])


def strips(parts: NDArray[np.uint8], *, colours: int) -> list[Strip]:
    """Draw a picture with quadrants in colour.

    Parameters
    ----------
    parts : ndarray, (2 · rows, 2 · columns) or (2 · rows, 2 · columns, 3) uint8
        The picture, a pixel for each part of a cell.
    colours : int
        How many the terminal has: 2²⁴, 256 or 16; with fewer, a ramp is drawn.

    Returns
    -------
    list of Strip
        One for each row, each as wide as there are columns.
    """
    if parts.shape[0] % PARTS or parts.shape[1] % PARTS:
        raise ValueError(f"the parts must be even in number, not {parts.shape[:2]}")
    if colours not in LEVELS:
        return ramp(parts)
    if colours == 16:
        parts = _dithered(parts)
    shapes, fill, rest = _best_quadrants(parts)
    front, back = (_rounded(means, LEVELS[colours]) for means in (fill, rest))
    plain = (front == back).all(axis=-1)
    shapes[plain] = 0
    # A blank shows no foreground: taking that of its background makes longer runs of one style.
    front[shapes == 0] = back[shapes == 0]
    keys = front @ (1 << 40, 1 << 32, 1 << 24) + back @ (1 << 16, 1 << 8, 1)
    return [_strip(line, colour) for line, colour in zip(QUADRANTS[shapes], keys, strict=True)]


def ramp(parts: NDArray[np.uint8]) -> list[Strip]:
    """Draw a picture with one character for each brightness, in one style: the fewest bytes.

    Parameters
    ----------
    parts : ndarray, (2 · rows, 2 · columns) or (2 · rows, 2 · columns, 3) uint8
        The picture.
    """
    grey = parts if parts.ndim == 2 else parts.mean(axis=2)
    rows, columns = grey.shape[0] // PARTS, grey.shape[1] // PARTS
    means = grey.reshape(rows, PARTS, columns, PARTS).mean(axis=(1, 3))
    indices = np.rint(means * ((len(RAMP) - 1) / 255)).astype(np.intp)
    return [Strip([Segment("".join(line), RAMP_STYLE)], columns) for line in RAMP[indices]]


def marked(drawn: list[Strip], marks: NDArray[np.str_]) -> list[Strip]:
    """Put marks over some cells of a picture in characters.

    Parameters
    ----------
    drawn : list of Strip
        Rows of cells, each a character wide.
    marks : ndarray, (rows, columns) str
        A character each, or empty where the picture stays.
    """
    return [
        _marked(strip, line.tolist()) if (line != "").any() else strip
        for strip, line in zip(drawn, marks, strict=True)
    ]


def _marked(strip: Strip, marks: list[str]) -> Strip:
    segments, place = [], 0
    for text, style, _ in strip:
        over = MARK_STYLE if style is None else style + MARK_STYLE
        for character, mark in zip(text, marks[place:], strict=False):
            segments.append(Segment(mark or character, over if mark else style))
        place += len(text)
    return Strip(Segment.simplify(segments), strip.cell_length)


def _best_quadrants(
    parts: NDArray[np.uint8],
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Return the shape of each cell, (rows, columns), and its two colours, (rows, columns, 1 or 3).

    The colours are the means over the parts that the shape fills and leaves. The squared error is
    the parts' energy less that of these means, so the greatest energy of the means is the best.
    """
    rows, columns = parts.shape[0] // PARTS, parts.shape[1] // PARTS
    cells = parts.reshape(rows, PARTS, columns, PARTS, -1).transpose(0, 2, 4, 1, 3)
    cells = cells.reshape(rows, columns, -1, PARTS * PARTS).astype(np.float32)
    filled = cells @ FILLS.T  # (row, column, channel, part) @ (part, shape)
    left = cells.sum(axis=-1, keepdims=True) - filled
    count = FILLS.sum(axis=1)
    filled /= np.maximum(count, 1)
    left /= PARTS * PARTS - count
    energy = (filled**2 * count + left**2 * (PARTS * PARTS - count)).sum(axis=2)
    energy[..., 0] += 1e-6 * energy[..., 0] + 1  # a flat cell stays blank, whatever the rounding
    shapes = energy.argmax(axis=-1)
    chosen = shapes[..., None, None]
    front = np.take_along_axis(filled, chosen, axis=-1)[..., 0]
    back = np.take_along_axis(left, chosen, axis=-1)[..., 0]
    return shapes, front, back


def _rounded(values: NDArray[np.float32], levels: int) -> NDArray[np.int64]:
    """Return colours in few levels, (..., 3) from 0 to 255."""
    step = 255 / (levels - 1)
    rounded = np.rint(np.rint(values / step) * step).astype(np.int64)
    return np.broadcast_to(rounded, (*values.shape[:-1], 3)).copy()


def _dithered(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture in the 4 greys, or the 8 colours, of 16 colours, by ordered dithering."""
    height, width = parts.shape[:2]
    tiles = np.tile(BAYER, (height // 4 + 1, width // 4 + 1))[:height, :width]
    threshold = (tiles + 0.5) / BAYER.size
    steps = LEVELS[16] - 1 if parts.ndim == 2 else 1
    if parts.ndim == 3:
        threshold = threshold[..., None]
    return (np.floor(parts * (steps / 255) + threshold) * (255 / steps)).astype(np.uint8)


def _strip(line: NDArray[np.str_], keys: NDArray[np.int64]) -> Strip:
    """Return a row of cells, those of one style in one segment."""
    borders = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
    text = "".join(line)
    return Strip(
        [Segment(text[start:end], _style(int(keys[start]))) for start, end in pairwise(borders)],
        len(keys),
    )


@lru_cache(maxsize=1 << 14)
def _style(key: int) -> Style:
    """Return the style of a foreground and a background, 24 bits each."""
    red, green, blue, back_red, back_green, back_blue = key.to_bytes(6, "big")
    return Style(
        color=Color.from_rgb(red, green, blue),
        bgcolor=Color.from_rgb(back_red, back_green, back_blue),
    )
