"""Colours and cells: pure functions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment

from cryocorr_tui.tui.colormaps import COLORMAPS, ramp
from cryocorr_tui.tui.raster import Painter, skyline

LUMINANCE = (0.2126, 0.7152, 0.0722)
CUBE = {0, 95, 135, 175, 215, 255}


def linear(colour: tuple[int, int, int]) -> float:
    """Relative luminance, as sRGB defines it."""
    parts = [value / 255 for value in colour]
    light = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(weight * value for weight, value in zip(LUMINANCE, light, strict=True))


@pytest.mark.parametrize("name", COLORMAPS)
@pytest.mark.parametrize("colours", [256, 2**24])
def test_a_higher_value_is_never_darker(name: str, colours: int) -> None:
    steps = [linear(colour) for colour in ramp(name, 64, colours=colours)]
    assert np.diff(steps).min() > -0.002  # rounding to whole numbers
    assert steps[-1] - steps[0] > 0.5


@pytest.mark.parametrize("name", COLORMAPS)
def test_with_256_colours_all_are_of_the_terminal_s_table(name: str) -> None:
    for colour in ramp(name, 64, colours=256):
        grey = colour[0] == colour[1] == colour[2] and (colour[0] - 8) % 10 == 0
        assert grey or set(colour) <= CUBE


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(ValueError, match="cividis"):
        ramp("jet", 8)


lines = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@given(lines, st.randoms())
def test_cells_show_the_pixels_they_were_given(top: list[int], random: object) -> None:
    bottom = top[::-1]
    colours = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    segments = Painter(colours).half_blocks(np.array(top, np.uint8), np.array(bottom, np.uint8))
    assert sum(segment.cell_length for segment in segments) == len(top)
    seen = [pixels for segment in segments for pixels in shown(segment)]
    assert seen == [(colours[a], colours[b]) for a, b in zip(top, bottom, strict=True)]
    keys = [segment.style for segment in segments]
    assert all(before != after for before, after in itertools.pairwise(keys))


def shown(segment: Segment) -> list[tuple[object, object]]:
    assert segment.style is not None
    assert segment.style.color is not None
    assert segment.style.bgcolor is not None
    pair = (
        tuple(segment.style.color.get_truecolor()),
        tuple(segment.style.bgcolor.get_truecolor()),
    )
    return [pair] * len(segment.text)


def test_blocks_are_as_wide_as_told_and_figures_can_be_read_on_them() -> None:
    painter = Painter([(0, 0, 0), (250, 250, 200)])
    dark, light = painter.blocks(np.array([0, 0, 1], np.uint8), 2)
    assert (dark.cell_length, light.cell_length) == (4, 2)
    for colour, figures in ((0, (255, 255, 255)), (1, (0, 0, 0))):
        style = painter.figures_on(colour)
        assert style.color is not None
        assert tuple(style.color.get_truecolor()) == figures


def test_a_skyline_has_bars_of_eighths_and_nothing_where_nothing_is_known() -> None:
    assert skyline(np.array([0.0, 0.5, 1.0, np.nan, 0.25]), 2) == ["  █  ", " ██ ▄"]
