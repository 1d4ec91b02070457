"""Glyphs of a few common fonts, to compare printed ones with.

``glyphs.npz`` holds small pictures of glyphs drawn from freely licensed fonts: DejaVu (Bitstream
Vera licence), Liberation, Noto Sans and Rubik (Open Font License), Roboto (Apache License 2.0) and
Aileron (CC0). ``python -m benchmarks.labels`` draws it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import FloatArray, frozen_array

__all__ = ["ABOVE", "BELOW", "CHARACTERS", "DIGIT", "WIDE", "GlyphBank", "glyph_bank", "unit"]

CHARACTERS = "0123456789.,:#%()/-ÅACPRabcdefghiklmnoprstuvxyz"

# A glyph's picture: rows for what stands above a digit, for the digit, and for what hangs below the
# base line; its ink is centred between the columns.
ABOVE, DIGIT, BELOW, WIDE = 6, 16, 6, 24

_BLURS = (0.5, 0.75, 1.0, 1.4)  # standard deviations, rows


@dataclass(frozen=True, eq=False)
class GlyphBank:
    """Pictures of glyphs to compare with.

    Attributes
    ----------
    vectors : (n, WIDE * (ABOVE + DIGIT + BELOW)) float32
        Pictures column by column, of zero mean and unit length: a scalar product of two is their
        correlation.
    characters : (n,) str
    fonts : (n,) int
    """

    vectors: FloatArray
    characters: NDArray[np.str_]
    fonts: NDArray[np.intp]

    def of_font(self, font: int) -> GlyphBank:
        """Return the glyphs of one font."""
        own = self.fonts == font
        return GlyphBank(self.vectors[own], self.characters[own], self.fonts[own])


def glyph_bank(digit_height: float) -> GlyphBank:
    """Return the glyphs as soft as those drawn with digits `digit_height` pixels high."""
    softness = 0.5 * DIGIT / digit_height
    return _blurred_bank(min(_BLURS, key=lambda blur: abs(blur - softness)))


def unit(pictures: NDArray[np.floating]) -> FloatArray:
    """Return (n, pixels) float32 of zero mean and unit length; flat pictures become 0."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.vecdot(flat, flat))
    flat /= np.maximum(length, 1e-6)[:, None]
    return flat


@cache
def _blurred_bank(blur: float) -> GlyphBank:
    with (
        resources.files(__package__).joinpath("glyphs.npz").open("rb") as file,
        np.load(file) as held,
    ):
        ink = held["ink"].astype(np.float32)  # (fonts, characters, rows, columns)
    fonts, count = ink.shape[:2]
    soft = np.stack(
        [cv2.GaussianBlur(picture, (0, 0), blur) for picture in ink.reshape(-1, *ink.shape[2:])]
    )
    return GlyphBank(
        frozen_array(unit(soft.transpose(0, 2, 1))),
        np.tile(np.array(list(CHARACTERS)), fonts),
        np.repeat(np.arange(fonts), count),
    )
