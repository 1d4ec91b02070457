from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation import sample_field, speckle_pair, write_speckle_pair
from cryocorr_tui.core.simulation.speckle import SPECKLE_FILES


def shift(dy: float, dx: float):
    return lambda y, x: (dy + 0 * y, dx + 0 * x)


def test_no_displacement_gives_the_same_picture_in_range() -> None:
    pair = speckle_pair(40, 60, shift(0, 0))
    assert pair.reference.shape == (40, 60)
    assert pair.reference.dtype == np.float32
    assert np.array_equal(pair.reference, pair.deformed)
    assert 0 <= pair.reference.min() < 0.1 < 0.9 < pair.reference.max() < 1


def test_a_whole_shift_moves_the_pixels_down_and_right() -> None:
    pair = speckle_pair(40, 60, shift(3, 5), seed=2)
    assert np.allclose(pair.deformed[3:, 5:], pair.reference[:-3, :-5], atol=1e-6)


def test_a_fractional_shift_is_the_fourier_shift_of_the_picture() -> None:
    pair = speckle_pair(64, 64, shift(0.25, 0), sigma=2.0)
    # Taylor: a quarter of a pixel is well inside where the cubic term is small.
    slope = np.gradient(pair.reference.astype(float), axis=0)
    curve = np.gradient(slope, axis=0)
    expected = pair.reference - 0.25 * slope + 0.25**2 / 2 * curve
    inner = (slice(4, -4), slice(None))
    assert np.abs(pair.deformed - expected)[inner].max() < 0.02


def test_a_stretched_speckle_is_where_the_field_says() -> None:
    pair = speckle_pair(64, 64, lambda y, x: (0 * y, 0.05 * (x - 32)), seed=1)
    # The pattern seen at x was at 32 + (x − 32) / 1.05: at x = 53 exactly pixel 52.
    assert np.allclose(pair.deformed[:, 53], pair.reference[:, 52], atol=1e-6)
    assert np.allclose(pair.deformed[:, 32], pair.reference[:, 32], atol=1e-6)


def test_a_field_that_folds_the_picture_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="can be undone"):
        speckle_pair(16, 16, lambda y, x: (0 * y, 3 * np.sin(x)))


def test_the_sample_field_is_what_its_formula_says_at_the_centre() -> None:
    dy, dx = sample_field(np.array([128.0]), np.array([128.0]))
    assert (dy[0], dx[0]) == (pytest.approx(0.88), pytest.approx(0.35))


def test_the_committed_pair_and_field_can_be_made_again(tmp_path: Path) -> None:
    write_speckle_pair(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SPECKLE_FILES)
    for name in SPECKLE_FILES[:2]:
        made, kept = (tifffile.imread(folder / name) for folder in (tmp_path, sample_data()))
        assert made.shape == (256, 256)
        assert np.abs(made.astype(int) - kept).max() <= 1  # a rounding of exp may differ
    with (sample_data() / SPECKLE_FILES[2]).open(newline="") as file:
        rows = np.array([[float(value) for value in row.values()] for row in csv.DictReader(file)])
    assert rows[0, :2].tolist() == [15.5, 15.5]
    assert np.allclose(np.stack(sample_field(rows[:, 0], rows[:, 1]), axis=1), rows[:, 2:])
