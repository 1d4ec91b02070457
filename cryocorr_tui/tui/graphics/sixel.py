"""Pictures as sixels, for xterm, foot, mlterm, WezTerm, Konsole and tmux."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAND", "encode", "pixel_height"]

BAND = 6  # pixels that one sixel is high
GREYS = 24  # 38 dB; a class average of 480² takes 80 KB, with chafa's own 127 it would take 300 KB


def pixel_height(rows: int, cell_height: int) -> int:
    """Return the height in pixels of a picture that fills some rows.

    A multiple of 6: the last sixels of any other height reach into the row below, which tmux then
    wipes.
    """
    return max(rows * cell_height // BAND, 1) * BAND


def encode(image: NDArray[np.uint8]) -> str:
    """Return the escape code that draws a picture from the cursor on.

    It is not wrapped for tmux: one that knows sixel takes it as it is, and one that does not would
    have it drawn wherever the terminal's own cursor happens to stand.

    Parameters
    ----------
    image : ndarray, (h, w) or (h, w, 3) uint8
        The picture, at least 6 pixels high; rows beyond the last multiple of 6 are cut off.
    """
    image = image[: len(image) // BAND * BAND]
    if image.ndim == 2:
        image = np.repeat(_even_greys(image)[..., None], 3, axis=2)
    height, width = image.shape[:2]
    import chafa  # slow to load, and only needed where there are sixels

    config = chafa.CanvasConfig()
    config.pixel_mode = chafa.PixelMode.CHAFA_PIXEL_MODE_SIXELS
    config.canvas_mode = chafa.CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR
    config.dither_mode = chafa.DitherMode.CHAFA_DITHER_MODE_NONE
    config.preprocessing = False  # it would stretch the contrast
    config.cell_width = config.cell_height = 1  # a cell a pixel: nothing is scaled
    config.width, config.height = width, height
    canvas = chafa.Canvas(config)
    pixels = np.ascontiguousarray(image).reshape(-1)
    canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, pixels, width, height, width * 3)
    code = canvas.print(chafa.TermDb().get_fallback_info()).decode("ascii")
    return _few_colours(code)


def _few_colours(code: str) -> str:
    """Return a sixel picture without the colours that no pixel has, and the others renumbered.

    Chafa names 256 whatever there is, and numbers those it uses as they come; tmux and terminals
    with few registers go wrong over large numbers.
    """
    used = dict.fromkeys(re.findall(r"#(\d+)(?![\d;])", code))
    numbers = {name: number for number, name in enumerate(used)}

    def renumbered(colour: re.Match[str]) -> str:
        name, levels = colour.groups(default="")
        return f"#{numbers[name]}{levels}" if name in numbers else ""

    return re.sub(r"#(\d+)(;2;\d+;\d+;\d+)?", renumbered, code)


def _even_greys(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture in few greys, each a whole percentage, which is how sixel names colours.

    Few, since every sixel row is sent once for each colour in it.
    """
    steps = np.rint(np.arange(256) * ((GREYS - 1) / 255))
    percent = np.rint(steps * (100 / (GREYS - 1)))
    # Up, since chafa rounds down on the way back.
    greys: NDArray[np.uint8] = np.ceil(percent * 2.55).astype(np.uint8)
    return greys[image]
