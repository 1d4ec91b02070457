"""What is moved is found where it went."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from speckles import errors, rotation, shifted, stretch

from cryocorr_tui.core.displacement import (
    REASONS,
    FieldMeasured,
    displacement_field,
    measure_displacement,
)
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.events import LOADING, StageProgressed, StageStarted
from cryocorr_tui.core.model import DisplacementSettings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation.speckle import sample_field, speckle_pair


def measured(pair, mask=None, **changed):
    wanted = DisplacementSettings(device="cpu", **changed)
    return displacement_field(pair.reference, pair.deformed, wanted, mask=mask)


def test_a_shift_by_whole_pixels_down_and_right_is_positive_and_exact():
    field = measured(shifted(3, 5))
    assert field.valid.sum() >= 16
    # At the border the smoothing lacks what lies beyond.
    inner = field.valid & (np.abs([field.y - 63.5, field.x - 63.5]).max(axis=0) < 40)
    assert inner.sum() >= 16
    np.testing.assert_allclose(field.dy[field.valid], 3, atol=0.01)
    np.testing.assert_allclose(field.dy[inner], 3, atol=1e-4)
    np.testing.assert_allclose(field.dx[inner], 5, atol=1e-4)
    np.testing.assert_allclose(field.correlation[inner], 1, atol=1e-5)


@given(st.floats(-6, 6), st.floats(-6, 6))
@settings(max_examples=10, deadline=None)
def test_any_shift_comes_out_to_two_thousandths_of_a_pixel(dy, dx):
    field = measured(shifted(dy, dx, side=80), step=8)
    assert field.valid.sum() >= 9
    off = np.abs([field.dy - dy, field.dx - dx]).max(axis=0)
    # At the border a spline knows less of what lies beyond.
    inner = np.all([(part > 24) & (part < 55) for part in (field.y, field.x)], axis=0)
    assert off[inner].max() < 2e-3
    assert off[field.valid].max() < 0.03


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_no_place_between_pixels_is_preferred(shift):
    pair = shifted(shift, shift, side=192)
    off = errors(measured(pair), lambda y, x: (shift + 0 * y, shift + 0 * x))
    assert np.abs(off.mean(axis=0)).max() < 1e-3


def test_noise_on_both_pictures_is_told_by_the_uncertainty():
    pair = shifted(0.4, -0.3, side=256)
    rng = np.random.default_rng(0)
    noisy = [
        picture + rng.normal(0, 0.03, picture.shape).astype(np.float32)
        for picture in (pair.reference, pair.deformed)
    ]
    field = displacement_field(*noisy, DisplacementSettings(device="cpu"))
    off = errors(field, lambda y, x: (0.4 + 0 * y, -0.3 + 0 * x))
    told = field.uncertainty[field.valid].mean()
    assert np.sqrt((off**2).mean()) == pytest.approx(told, rel=0.25)
    assert np.sqrt((off**2).mean()) < 0.05


def test_grey_values_scaled_and_moved_change_nothing():
    pair = shifted(1.3, 0.7)
    plain = displacement_field(pair.reference, pair.deformed)
    other = displacement_field(pair.reference, 1000 + 7 * pair.deformed)
    np.testing.assert_allclose(other.dy, plain.dy, atol=1e-4)
    np.testing.assert_allclose(other.correlation, plain.correlation, atol=1e-5)


def test_an_inverted_picture_is_not_taken_for_a_match():
    pair = shifted(0, 0)
    field = displacement_field(pair.reference, 1 - pair.deformed)
    assert not field.valid.any()
    assert set(field.reason) <= {"low correlation", "out of image"}


@pytest.mark.parametrize("degrees", [-20, 7, 20])
def test_a_rotation_of_up_to_20_degrees_is_followed_in_two_passes(degrees):
    truth = rotation(degrees, 96)
    pair = speckle_pair(192, 192, truth, seed=2)
    field = measured(pair, passes=2, strain_window=3)
    judged = field.reason != "out of image"
    assert field.valid[judged].mean() > 0.95
    assert np.abs(errors(field, truth)).max() < 0.02
    known = np.isfinite(field.exx)
    assert max(np.abs(part[known]).max() for part in (field.exx, field.eyy, field.exy)) < 1e-3


def test_five_percent_of_strain_is_followed_and_measured():
    pair = speckle_pair(192, 192, stretch(0.05, -0.03, 0.01, 96), seed=2)
    field = measured(pair, passes=2, strain_window=3)
    assert np.abs(errors(field, stretch(0.05, -0.03, 0.01, 96))).max() < 0.01
    known = np.isfinite(field.exx)
    # Green-Lagrange, by hand: E = (F'F - 1) / 2.
    np.testing.assert_allclose(field.eyy[known], 0.05 + (0.05**2 + 0.01**2) / 2, atol=5e-4)
    np.testing.assert_allclose(field.exx[known], -0.03 + (0.03**2 + 0.01**2) / 2, atol=5e-4)
    np.testing.assert_allclose(field.exy[known], 0.01 + 0.01 * (0.05 - 0.03) / 2, atol=5e-4)


def test_a_displacement_larger_than_the_search_area_needs_the_pyramid():
    pair = shifted(-23.4, 30.2, side=256)
    assert not measured(pair).valid.any()
    field = measured(pair, passes=2)
    assert field.valid.mean() > 0.5
    assert np.abs(errors(field, lambda y, x: (-23.4 + 0 * y, 30.2 + 0 * x))).max() < 0.01
    assert set(field.reason) <= {"", "out of image"}


def test_what_leaves_the_picture_is_out_of_image_and_stays_in_the_table():
    field = measured(shifted(0, 9))
    rows, columns = field.shape
    assert len(field.y) == rows * columns
    reason = field.on_grid(field.reason)
    assert (reason[:, -1] == "out of image").all()
    assert (reason[:, 0] == "").all()


def test_half_a_pixel_over_the_border_is_still_in_the_picture():
    field = measured(shifted(0, 0.4))
    assert field.valid.all()
    np.testing.assert_allclose(field.dx, 0.4, atol=0.02)


def test_the_sample_pair_is_measured_to_its_truth():
    pictures = [
        tifffile.imread(sample_data() / name).astype(np.float32)
        for name in ("dic_reference.tif", "dic_deformed.tif")
    ]
    field = displacement_field(*pictures, DisplacementSettings(device="cpu"))
    with (sample_data() / "dic_field.csv").open() as file:
        truth = {(float(row["y"]), float(row["x"])) for row in csv.DictReader(file)}
    assert truth == set(zip(field.y.tolist(), field.x.tolist(), strict=True))
    # The bulge is curved: a plane over 32 pixels is off by some hundredths at its top.
    assert np.sqrt((errors(field, sample_field) ** 2).mean()) < 0.02


def test_masked_constant_and_unknown_subsets_say_so():
    pair = shifted(1, 1)
    reference, deformed = pair.reference.copy(), pair.deformed.copy()
    reference[:48, 80:] = 0.5
    deformed[90:100, 90:100] = np.nan
    mask = np.ones(reference.shape, dtype=bool)
    mask[80:, :48] = False
    field = displacement_field(reference, deformed, mask=mask)
    reason = field.on_grid(field.reason)
    assert reason[0, -1] == "constant"
    assert reason[-1, 0] == "masked"
    assert reason[4, 4] == "out of image"
    assert reason[2, 2] == ""
    assert set(field.reason) <= {"", *REASONS}
    assert np.isnan(field.dy.reshape(field.shape)[0, -1])
    assert ((field.reason == "") == field.valid).all()


def test_pixels_left_out_by_the_mask_do_not_pull_a_subset():
    pair = shifted(0.5, -2.5)
    still = shifted(0, 0, seed=9)
    mask = np.ones(pair.reference.shape, dtype=bool)
    mask[:, 64:] = False
    reference = np.where(mask, pair.reference, still.reference)
    deformed = np.where(np.roll(mask, -2, axis=1), pair.deformed, still.reference)
    field = displacement_field(reference, deformed, mask=mask)
    beside = (field.x == 55.5) & (field.y > 20) & (field.y < 100)  # a quarter is masked
    assert field.valid[beside].all()
    np.testing.assert_allclose(field.dx[beside], -2.5, atol=0.02)
    np.testing.assert_allclose(field.dy[beside], 0.5, atol=0.02)


def test_a_patch_that_moved_elsewhere_is_an_outlier():
    pair = shifted(0, 0, side=192)
    deformed = pair.deformed.copy()
    deformed[69:101, 60:92] = pair.deformed[64:96, 64:96]
    wanted = DisplacementSettings(step=32, min_correlation=0.3)
    field = displacement_field(pair.reference, deformed, wanted)
    reason = field.on_grid(field.reason)
    assert reason[2, 2] == "outlier"
    assert field.on_grid(field.dy)[2, 2] == pytest.approx(5, abs=0.01)
    assert reason[0, 0] == ""


def test_the_rigid_part_is_taken_off_and_told():
    def truth(y, x):
        turned_y, turned_x = rotation(3, 96)(y, x)
        return turned_y + 1.5, turned_x - 2.5

    field = measured(speckle_pair(192, 192, truth, seed=2), passes=2, remove_rigid=True)
    assert field.rigid.rotation == pytest.approx(3, abs=0.01)
    assert np.abs(field.dy[field.valid]).max() < 0.01
    assert np.abs(field.dx[field.valid]).max() < 0.01


def test_replaced_vectors_are_flagged_and_stay_invalid():
    pair = shifted(1, 2)
    reference = pair.reference.copy()
    reference[48:80, 48:80] = 0
    field = displacement_field(reference, pair.deformed, DisplacementSettings(replacement="median"))
    at = (field.y == 63.5) & (field.x == 63.5)
    assert field.replaced[at].all()
    assert not field.valid[at].any()
    np.testing.assert_allclose(field.dx[at], 2, atol=0.05)
    assert not field.replaced[field.valid].any()


def test_arrays_are_read_only_and_of_one_length():
    field = measured(shifted(1, 2), strain_window=3)
    for name in ("y", "x", "dy", "dx", "magnitude", "correlation", "peak_ratio", "uncertainty"):
        values = getattr(field, name)
        assert values.dtype == np.float32
        assert values.shape == field.valid.shape == (field.shape[0] * field.shape[1],)
        assert not values.flags.writeable


def test_events_tell_how_far_it_is_and_may_be_abandoned_at_any():
    pair = shifted(1, 2, side=256)
    wanted = DisplacementSettings(device="cpu", passes=2)
    events = list(measure_displacement(pair.reference, pair.deformed, wanted))
    stages = [event for event in events if isinstance(event, StageStarted)]
    assert stages[0].stage == LOADING
    assert stages[-1].stage == "subsets, pass 2"
    for stage in stages[1:]:
        done = [e.done for e in events if isinstance(e, StageProgressed) and e.stage == stage.stage]
        assert done == sorted(done)
        assert done[-1] == stage.total
    assert isinstance(events[-1], FieldMeasured)
    abandoned = measure_displacement(pair.reference, pair.deformed, wanted)
    next(abandoned)
    abandoned.close()


def test_little_memory_changes_no_number():
    pair = shifted(1.2, 2.1)
    plenty, little = measured(pair), measured(pair, memory=1e-4)
    np.testing.assert_array_equal(plenty.dy, little.dy)


SPECKLE = shifted(0, 0, side=64).reference
BAD_PICTURES = [
    ((SPECKLE, SPECKLE[:-1]), {}, InputError, "differ in size"),
    ((SPECKLE * 0, SPECKLE), {}, InputError, "reference is constant"),
    ((SPECKLE, SPECKLE * 0 + 3), {}, InputError, "deformed picture is constant"),
    ((SPECKLE, SPECKLE * np.nan), {}, InputError, "without a single known pixel"),
    ((SPECKLE, SPECKLE), {"block_size": 65}, SettingsError, "does not fit"),
    ((SPECKLE, SPECKLE), {"block_size": 4}, SettingsError, "8 pixels or more"),
    ((SPECKLE, SPECKLE), {"search_area_multiplier": 1.01}, SettingsError, "no room to search"),
    ((SPECKLE, SPECKLE), {"pyramid": 3}, SettingsError, "smaller --pyramid"),
    ((SPECKLE, SPECKLE), {"passes": 0}, SettingsError, "one pass"),
    ((SPECKLE, SPECKLE), {"passes": 1_000_000}, SettingsError, "20 are the most"),
    ((SPECKLE, SPECKLE), {"step": 0}, SettingsError, "step"),
    ((SPECKLE, SPECKLE), {"strain_window": 4}, SettingsError, "odd"),
    ((SPECKLE, SPECKLE), {"replacement": "zero"}, SettingsError, "replaced by"),
]


@pytest.mark.parametrize(("pictures", "changed", "kind", "words"), BAD_PICTURES)
def test_what_cannot_be_compared_is_refused_in_one_sentence(pictures, changed, kind, words):
    with pytest.raises(kind, match=words) as refused:
        displacement_field(*pictures, DisplacementSettings(**changed))
    assert "\n" not in str(refused.value)


def test_a_mask_of_another_size_or_without_a_pixel_is_refused():
    with pytest.raises(InputError, match="mask has 3 × 3"):
        displacement_field(SPECKLE, SPECKLE, mask=np.ones((3, 3), dtype=bool))
    with pytest.raises(InputError, match="leaves no pixel"):
        displacement_field(SPECKLE, SPECKLE, mask=np.zeros(SPECKLE.shape, dtype=bool))


def test_real_pictures_of_the_dic_challenge_are_measured_to_their_truth(shared_data):
    folder = shared_data / "dic" / "sample14"
    pictures = [
        tifffile.imread(folder / name).astype(np.float32)
        for name in ("Sample14 Reference.tif", "Sample14 L1 Amp0.1b.tif")
    ]
    field = displacement_field(*pictures, DisplacementSettings(device="cpu"))
    column = np.loadtxt(folder / "command.csv", delimiter=",", usecols=(0, 1))
    truth = np.interp(field.x, *column.T)
    assert field.valid.mean() > 0.99
    assert np.sqrt(((field.dx - truth)[field.valid] ** 2).mean()) < 0.02
    assert abs((field.dx - truth)[field.valid].mean()) < 0.001
