"""Pictures as pixels and as characters, without a terminal."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_app import class_average
from pseudo_terminal import decode_png, decode_sixels, psnr
from rich.cells import cell_len
from textual.strip import Strip

from cryocorr_tui.tui.graphics import blocks, kitty, sixel
from cryocorr_tui.tui.graphics.viewport import View, Viewport

COLOURS = (2**24, 256, 16, 0)


def in_colour(image: np.ndarray) -> np.ndarray:
    return np.stack([image, image, np.roll(image, 9, axis=1)], axis=-1)


def painted(strips: list[Strip]) -> np.ndarray:
    """The pixels of quadrants, (2 · rows, 2 · columns, 3), read off the strips."""
    rows = []
    for strip in strips:
        cells = []
        for text, style, _ in strip:
            front, back = (np.array(each.triplet) for each in (style.color, style.bgcolor))
            for character in text:
                fill = blocks.FILLS[blocks.QUADRANTS.tolist().index(character)].reshape(2, 2, 1)
                cells.append(np.where(fill, front, back))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


@pytest.mark.parametrize("tmux", [False, True])
@pytest.mark.parametrize("image", [class_average(box=100), in_colour(class_average(box=100))])
def test_kitty_gets_exactly_the_picture(image: np.ndarray, tmux: bool) -> None:
    code = kitty.transmit(image, 0x010203, rows=5, columns=9, tmux=tmux)
    if tmux:
        code = "".join(
            part.replace("\x1b\x1b", "\x1b")
            for part in re.findall(r"\x1bPtmux;((?:\x1b\x1b|[^\x1b])*)\x1b\\", code)
        )
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", code)
    assert chunks[0][0].startswith(f"a=T,U=1,q=2,f=100,i={0x010203},c=9,r=5,m=1")
    assert [keys for keys, _ in chunks[1:]] == ["q=2,m=1"] * (len(chunks) - 2) + ["q=2,m=0"]
    assert max(len(data) for _, data in chunks) <= 4096
    pixels = decode_png(base64.b64decode("".join(data for _, data in chunks)))
    np.testing.assert_array_equal(pixels if image.ndim == 2 else pixels[..., ::-1], image)


def test_placeholders_say_their_row_and_column_in_the_colour_of_the_picture() -> None:
    assert len(kitty.DIACRITICS) == len(set(kitty.DIACRITICS)) == 297
    # By kitty's table: 0 is U+0305, 1 is U+030D, 2 is U+030E, 296 is U+1D244.
    assert kitty.DIACRITICS[:3] == "\u0305\u030d\u030e"
    assert kitty.DIACRITICS[-1] == "\U0001d244"
    place = "\U0010eeee"
    assert kitty.placeholder_rows(0x00A1B2, 2, 3) == [
        (f"{place}\u0305\u0305{place}\u0305\u030d{place}", "#00a1b2"),
        (f"{place}\u030d\u0305{place}\u030d\u030d{place}", "#00a1b2"),
    ]


def test_every_placeholder_is_one_cell_wide_to_textual() -> None:
    for text, _ in kitty.placeholder_rows(7, kitty.LARGEST, 5):
        assert cell_len(text) == 5
    text, _ = kitty.placeholder_rows(7, 1, kitty.LARGEST)[0]
    assert cell_len(text) == kitty.LARGEST


@pytest.mark.parametrize(
    "image",
    [
        class_average(box=240),
        np.full((60, 50), 137, np.uint8),
        np.zeros((6, 1), np.uint8),
        np.tile(np.arange(256, dtype=np.uint8), (60, 1)),
        np.random.default_rng(5).integers(0, 256, (60, 50), np.uint8),
    ],
    ids=["class average", "flat", "black", "ramp", "noise"],
)
def test_sixels_keep_a_grey_picture_to_33_db(image: np.ndarray) -> None:
    code = sixel.encode(image)
    data = re.fullmatch(r"\x1bP[\d;]*q([^\x1b]*)\x1b\\", code)[1]
    pixels = decode_sixels(data)
    assert pixels.shape[:2] == image.shape
    assert psnr(pixels, image[..., None]) >= 33
    numbers = [int(each) for each in re.findall(r"#(\d+);2", data)]
    assert sorted(numbers) == list(range(len(numbers)))


def test_sixels_keep_the_colours_of_an_overlay() -> None:
    image = in_colour(class_average(box=120))
    data = re.fullmatch(r"\x1bP[\d;]*q([^\x1b]*)\x1b\\", sixel.encode(image))[1]
    assert psnr(decode_sixels(data), image) >= 30


def test_sixels_are_cut_to_whole_bands() -> None:
    assert sixel.pixel_height(3, 17) == 48
    assert sixel.pixel_height(1, 4) == 6
    assert '"1;1;5;12' in sixel.encode(np.zeros((17, 5), np.uint8))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 40),
    colours=st.sampled_from(COLOURS),
    coloured=st.booleans(),
    seed=st.integers(0, 100),
)
def test_strips_are_as_wide_as_the_picture(
    rows: int, columns: int, colours: int, coloured: bool, seed: int
) -> None:
    shape = (2 * rows, 2 * columns, 3) if coloured else (2 * rows, 2 * columns)
    parts = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    for strips in (blocks.strips(parts, colours=colours), blocks.ramp(parts)):
        assert len(strips) == rows
        for strip in strips:
            assert strip.cell_length == columns
            assert sum(cell_len(segment.text) for segment in strip) == columns


def test_quadrants_draw_what_two_colours_a_cell_can_draw_exactly() -> None:
    rng = np.random.default_rng(2)
    fill = rng.integers(0, 2, (10, 16))
    cells = rng.integers(0, 63, (2, 5, 8)) * 4.047619  # of the 64 levels
    front, back = (np.kron(each, np.ones((2, 2))) for each in cells)
    parts = np.rint(np.where(fill, front, back)).astype(np.uint8)
    np.testing.assert_allclose(painted(blocks.strips(parts, colours=2**24))[..., 0], parts, atol=1)


def test_no_other_quadrants_would_be_nearer() -> None:
    parts = np.random.default_rng(3).integers(0, 256, (2, 2), np.uint8)
    best = np.inf
    for filled in blocks.FILLS.astype(bool):
        ours = parts.reshape(4)
        means = [ours[each].mean() if each.any() else 0 for each in (filled, ~filled)]
        best = min(best, np.sum((np.where(filled, *means) - ours) ** 2))
    drawn = painted(blocks.strips(parts, colours=2**24))[..., 0]
    assert np.sum((drawn - parts.astype(float)) ** 2) == pytest.approx(best, rel=0.02, abs=30)


def test_16_colours_and_none_keep_the_mean_brightness() -> None:
    parts = np.full((32, 32), 40, np.uint8)
    assert abs(painted(blocks.strips(parts, colours=16)).mean() - 40) < 3
    assert blocks.ramp(np.full((2, 2), 255, np.uint8))[0].text == "@"
    assert blocks.ramp(np.zeros((2, 2), np.uint8))[0].text == " "
    assert len(list(blocks.ramp(parts)[0])) == 1  # one style a row


def test_an_odd_number_of_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even"):
        blocks.strips(np.zeros((3, 4), np.uint8), colours=256)


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    rows=st.integers(1, 60),
    columns=st.integers(1, 200),
    zoom=st.floats(0.1, 50),
    centre=st.floats(-50, 350),
)
def test_a_viewport_stays_within_the_picture_and_the_room(
    height: int, width: int, rows: int, columns: int, zoom: float, centre: float
) -> None:
    view = View(centre, centre, zoom)
    seen = Viewport.fit((height, width), view, rows=rows, columns=columns, cell=(18, 8))
    assert 0 <= seen.y <= seen.y + seen.height <= height
    assert 0 <= seen.x <= seen.x + seen.width <= width
    assert 0 <= seen.top <= seen.top + seen.rows <= rows
    assert 0 <= seen.left <= seen.left + seen.columns <= columns
    assert min(seen.height, seen.width, seen.rows, seen.columns) >= 1


def test_the_whole_picture_keeps_its_aspect() -> None:
    seen = Viewport.fit((100, 200), None, rows=40, columns=100, cell=(20, 10))
    assert (seen.y, seen.x, seen.height, seen.width) == (0, 0, 100, 200)
    assert (seen.rows, seen.columns) == (25, 100)  # 500 by 1000 pixels
    assert (seen.top, seen.left) == (7, 0)


def test_a_part_is_what_the_zoom_asks_for() -> None:
    seen = Viewport.fit((100, 100), View(50, 50, 4), rows=10, columns=20, cell=(20, 10))
    assert (seen.y, seen.x, seen.height, seen.width) == (38, 38, 25, 25)
    image = np.zeros((100, 100), np.uint8)
    image[38:63, 38:63] = 9
    assert (seen.sample(image, 200, 200) == 9).all()
