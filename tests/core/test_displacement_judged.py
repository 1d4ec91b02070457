"""What is made of the vectors: outliers, strain, rigid part, sweep, tables, pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from speckles import rotation, shifted, stretch

from cryocorr_tui.core import field_drawing
from cryocorr_tui.core.displacement import (
    FieldsCompared,
    SettingsTried,
    described,
    displacement_field,
    sweep_settings,
)
from cryocorr_tui.core.displacement.loading import pictures_of_files, read_mask
from cryocorr_tui.core.displacement.prediction import predict, turned, undeformed
from cryocorr_tui.core.displacement.rigid import rigid_motion, without_rigid
from cryocorr_tui.core.displacement.strain import strain
from cryocorr_tui.core.displacement.subsets import subset_grid
from cryocorr_tui.core.displacement.validation import find_outliers, replaced
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.export import write_field, write_sweep
from cryocorr_tui.core.model import DisplacementSettings

Y, X = np.mgrid[0:30, 0:40] * 16.0
SMOOTH = (0.3 * np.sin(Y / 90) + 0.01 * X, 0.2 * np.cos(X / 70) - 0.02 * Y)
ALL = np.ones(Y.shape, dtype=bool)


def test_one_in_ten_vectors_planted_at_random_is_found_and_hardly_a_good_one_lost():
    rng = np.random.default_rng(0)
    planted = rng.random(Y.shape) < 0.1
    dy, dx = (part + rng.normal(0, 0.02, Y.shape) for part in SMOOTH)
    dy[planted] += rng.uniform(-8, 8, planted.sum())
    dx[planted] += rng.uniform(-8, 8, planted.sum())
    found = find_outliers(dy, dx, ALL, threshold=2)
    assert found[planted].mean() >= 0.99
    assert found[~planted].mean() <= 0.01


@pytest.mark.parametrize("truth", [rotation(20, 300), stretch(0.05, 0.05, 0.02, 300)])
def test_a_rotation_or_strain_has_no_outlier_not_even_in_its_corners(truth):
    assert not find_outliers(*truth(Y, X), ALL, threshold=2).any()


def test_a_vector_without_valid_neighbours_is_judged_by_those_beyond():
    dy, dx = (part.copy() for part in SMOOTH)
    valid = ALL.copy()
    valid[9:12, 9:12] = False
    valid[10, 10] = True
    assert not find_outliers(dy, dx, valid, threshold=2).any()
    dx[10, 10] += 3
    assert find_outliers(dy, dx, valid, threshold=2)[10, 10]


def test_what_is_not_valid_neither_judges_nor_is_judged():
    dy, dx = (part.copy() for part in SMOOTH)
    valid = ALL.copy()
    valid[10:13, 10:13] = False
    dy[10:13, 10:13] = 50
    assert not find_outliers(dy, dx, valid, threshold=2).any()


@given(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
@settings(max_examples=20, deadline=None)
def test_the_strain_of_a_plane_field_is_exact_everywhere(yy, xx, yx):
    exx, eyy, exy = strain(*stretch(yy, xx, yx, 100)(Y, X), ALL, spacing=16, window=5)
    np.testing.assert_allclose(exx, xx + (xx**2 + yx**2) / 2, atol=1e-9)
    np.testing.assert_allclose(eyy, yy + (yy**2 + yx**2) / 2, atol=1e-9)
    np.testing.assert_allclose(exy, yx + yx * (xx + yy) / 2, atol=1e-9)


def test_strain_is_not_told_where_too_few_vectors_are_valid():
    valid = np.zeros_like(ALL)
    valid[:, 0] = True
    exx, eyy, exy = strain(*SMOOTH, valid, spacing=16, window=3)
    assert np.isnan([exx, eyy, exy]).all()


@given(st.floats(-170, 170), st.floats(-20, 20), st.floats(-20, 20))
@settings(max_examples=20, deadline=None)
def test_a_rigid_motion_is_found_and_nothing_is_left_of_it(degrees, down, right):
    y, x = Y.ravel(), X.ravel()
    dy, dx = rotation(degrees, 200)(y, x)
    motion = rigid_motion(y, x, dy + down, dx + right)
    assert motion.rotation == pytest.approx(degrees, abs=1e-6)
    assert np.abs(without_rigid(y, x, dy + down, dx + right, motion)).max() < 1e-6


def test_replacement_takes_the_median_or_the_nearest_most():
    values = np.where((Y == 160) & (X == 160), 99.0, 0.01 * X)
    valid = values < 90
    for manner in ("median", "mean"):
        filled, flags = replaced(values, valid, manner=manner)
        assert filled[10, 10] == pytest.approx(1.6)
        np.testing.assert_array_equal(flags, ~valid)


def test_a_prediction_continues_a_plane_into_holes_and_beyond_the_grid():
    grid = subset_grid(256, 256, block=32, step=16)
    truth = rotation(10, 128)
    y, x = np.meshgrid(grid.centre_y, grid.centre_x, indexing="ij")
    trusted = np.random.default_rng(0).random(y.shape) < 0.6
    expected = predict(grid, *truth(y, x), trusted)
    at = np.arange(256.0)
    everywhere = np.meshgrid(at, at, indexing="ij")
    off = np.array(expected.at(at, at)) - truth(*everywhere)
    assert np.abs(off).max() < 0.3
    twice = expected.doubled()
    np.testing.assert_allclose(
        twice.at(2 * at + 0.5, 2 * at + 0.5), 2 * np.array(expected.at(at, at))
    )
    assert predict(grid, y, x, np.zeros_like(trusted)) is None


def test_a_picture_is_undeformed_by_the_true_field():
    pair = shifted(0, 0, side=96)
    turned_back, known = undeformed(
        pair.deformed, ALL[:1].repeat(96, 0)[:, :1].repeat(96, 1), turned((96, 96), 30)
    )
    again, inside = undeformed(turned_back, known, turned((96, 96), -30))
    assert inside[30:66, 30:66].all()
    assert not inside[0, 0]
    difference = (again - pair.deformed)[30:66, 30:66]
    assert np.abs(difference).max() < 0.1


def test_a_sweep_measures_every_pair_of_settings_and_compares_them():
    pair = shifted(1.4, -0.6)
    events = list(
        sweep_settings(
            pair.reference, pair.deformed, block_sizes=(16, 32, 500), multipliers=(1.5, 2)
        )
    )
    assert sum(isinstance(event, SettingsTried) for event in events) == 4
    assert isinstance(events[-1], FieldsCompared)
    cells = events[-1].cells
    assert [(c.block_size, c.search_area_multiplier) for c in cells] == [
        (16, 1.5), (16, 2), (32, 1.5), (32, 2)
    ]  # fmt: skip
    assert all(c.dy == pytest.approx(1.4, abs=0.01) for c in cells)
    assert all(c.deviation < 0.01 for c in cells)
    with pytest.raises(SettingsError, match="fits the pictures"):
        list(sweep_settings(pair.reference, pair.deformed, block_sizes=(500,)))


@pytest.fixture(scope="module")
def field():
    pair = shifted(1, 2)
    reference = pair.reference.copy()
    reference[:40, :40] = 0
    wanted = DisplacementSettings(strain_window=3, device="cpu")
    return displacement_field(reference, pair.deformed, wanted)


def test_the_table_begins_with_the_promised_columns_and_keeps_invalid_rows(field, tmp_path):
    write_field(tmp_path / "field.csv", field)
    text = (tmp_path / "field.csv").read_text()
    assert text.startswith("y,x,dy,dx,magnitude,correlation,peak_ratio,valid,reason,")
    table = pd.read_csv(tmp_path / "field.csv")
    assert len(table) == len(field.y)
    assert table.columns[-3:].tolist() == ["exx", "eyy", "exy"]
    assert table.reason[0] == "constant"
    assert ",,,,," in text.splitlines()[1]
    np.testing.assert_array_equal(table.dy.to_numpy(np.float32), field.dy)


def test_the_table_of_a_sweep_has_a_row_for_each_pair_of_settings(tmp_path):
    pair = shifted(0, 0, side=64)
    *_, last = sweep_settings(pair.reference, pair.deformed, block_sizes=(16, 24), multipliers=(2,))
    write_sweep(tmp_path / "sweep.csv", last.cells)
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert table.block_size.tolist() == [16, 24]
    assert field_drawing.draw_sweep(last.cells).dtype == np.uint8


def test_the_map_hides_invalid_vectors_and_the_arrows_leave_them_out(field):
    shown = field_drawing.magnitude_map(field)
    assert shown.shape == (*field.shape, 3)
    assert tuple(shown[0, 0]) == field_drawing.INVALID
    tails_tips = field_drawing.arrows(field, scale=3)
    assert len(tails_tips) == field.valid.sum()
    np.testing.assert_allclose(
        tails_tips[:, 1] - tails_tips[:, 0], [[3, 6]] * len(tails_tips), atol=0.5
    )
    assert field_drawing.coefficient_map(field).shape == (*field.shape, 3)
    drawn = field_drawing.draw_field(field)
    assert drawn.ndim == 3
    assert drawn.shape[1] > 1000


def test_a_field_is_described_in_a_sentence(field):
    said = described(field)
    assert said.startswith(f"{field.valid.sum()} of {len(field.y)} vectors are valid (")
    assert "constant" in said
    assert "magnitude 2.24 px" in said


def test_a_polygon_and_a_bright_picture_are_masks(tmp_path):
    mask = read_mask("10,20  10,40 , 30,40".replace(" ,", ""), (50, 60))
    assert mask[12, 35]
    assert not mask[28, 25]
    assert read_mask("-5,-5 -5,99 99,99 99,-5", (50, 60)).all()  # corners beyond the picture
    picture = np.zeros((50, 60), dtype=np.uint8)
    picture[5:10] = 255
    tifffile.imwrite(tmp_path / "mask.tif", picture)
    np.testing.assert_array_equal(read_mask(str(tmp_path / "mask.tif"), (50, 60)), picture > 0)
    with pytest.raises(SettingsError, match="three corners"):
        read_mask("1,2 3,4", (50, 60))


def test_colours_become_luminance_and_a_stack_of_several_is_refused(tmp_path):
    rgb = np.zeros((40, 40, 3), dtype=np.uint8)
    rgb[..., 1] = 100
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    grey = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    grey[3, 3] = np.inf
    tifffile.imwrite(tmp_path / "grey.tif", grey)
    loaded = pictures_of_files(tmp_path / "rgb.tif", tmp_path / "grey.tif")
    np.testing.assert_allclose(loaded.reference, 58.7, atol=0.1)
    assert np.isnan(loaded.deformed[3, 3])
    assert "luminance" in loaded.notes[0]
    assert "1 pixel is not a number" in loaded.notes[1]
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([grey, grey]))
    with pytest.raises(InputError, match="holds 2 images"):
        pictures_of_files(tmp_path / "stack.tif", tmp_path / "grey.tif")
