from __future__ import annotations

import numpy as np
import pytest

from cryocorr_tui.core.simulation.montage_drawing import (
    draw_cryosparc_montage,
    draw_relion_montage,
)


@pytest.fixture
def images() -> np.ndarray:
    y, x = np.mgrid[-20:20, -20:20]
    blobs = [np.exp(-(y**2 + x**2) / (20.0 + 10 * k)) for k in range(5)]
    return np.array(blobs, dtype=np.float32)


def test_relion_squares_touch_and_each_goes_from_black_to_white(images) -> None:
    montage = draw_relion_montage(images, columns=3)
    assert montage.picture.shape == (80, 120)
    assert montage.squares.tolist() == [
        [0, 0, 40, 40], [40, 0, 40, 40], [80, 0, 40, 40], [0, 40, 40, 40], [40, 40, 40, 40],
    ]  # fmt: skip
    for x, y, width, height in montage.squares:
        square = montage.picture[y : y + height, x : x + width]
        assert (square.min(), square.max()) == (0, 255)
    assert montage.picture[40:, 80:].max() == 0  # the blank tail of the last row


def test_a_line_stands_between_relion_squares_but_not_around_them(images) -> None:
    montage = draw_relion_montage(images[:4] + 1, columns=2, line=2)
    assert montage.picture.shape == (82, 82)
    assert montage.picture[40:42].max() == 0
    assert montage.squares[3].tolist() == [42, 42, 40, 40]


def cryosparc(images: np.ndarray):
    return draw_cryosparc_montage(
        images, particles=[900, 80, 7, 6, 5], resolution=[7.1] * 5, ess=[1] * 5,
        pixel_size=4.0, columns=3,
    )  # fmt: skip


def test_cryosparc_squares_stand_apart_on_a_dark_page(images) -> None:
    montage = cryosparc(images)
    assert montage.picture.shape == (2 * 128 + 3 * 4, 3 * 128 + 4 * 4, 3)
    page = np.ones(montage.picture.shape[:2], dtype=bool)
    for x, y, width, height in montage.squares:
        page[y : y + height, x : x + width] = False
    assert np.unique(montage.picture[page]).tolist() == [24]


def test_cryosparc_text_is_green_at_the_top_and_bottom_of_each_square(images) -> None:
    montage = cryosparc(images)
    for x, y, width, height in montage.squares:
        square = montage.picture[y : y + height, x : x + width].astype(int)
        green = (square[..., 1] > 150) & (square[..., 0] < 100)
        rows = np.flatnonzero(green.any(axis=1))
        assert green.sum() > 50
        assert ((rows < 0.12 * height) | (rows > 0.88 * height)).all()


def test_the_scale_bar_is_white_and_as_long_as_it_says(images) -> None:
    montage = cryosparc(images)  # squares of 40 × 4 Å = 160 Å drawn 128 px wide; a third: 50 Å
    x, y, width, height = montage.squares[0]
    square = montage.picture[y : y + height, x : x + width]
    column = square[:, round(0.1 * 128)]
    assert (column == 255).all(axis=1).sum() == pytest.approx(50 / 160 * 128, abs=1)


def test_a_constant_image_is_drawn_black() -> None:
    assert draw_relion_montage(np.ones((1, 8, 8), np.float32)).picture.max() == 0
