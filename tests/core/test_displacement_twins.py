"""Plain, batched forms against compiled kernels, and on a device that is not the host."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from devices import DEVICES
from scipy import ndimage
from speckles import rotation, shifted

from cryocorr_tui.core.displacement import displacement_field
from cryocorr_tui.core.displacement.pictures import deformed_picture, reference_picture
from cryocorr_tui.core.displacement.registration import refine, sample_spline
from cryocorr_tui.core.displacement.searching import NO_MATCH, find_peaks, search, search_field
from cryocorr_tui.core.displacement.subsets import subset_grid, window_sums, windows
from cryocorr_tui.core.model import DisplacementSettings
from cryocorr_tui.core.simulation.speckle import speckle_pair

BLOCK, REACH = 24, 12

# Sums in single precision are taken in another order.
COEFFICIENT, PIXELS = 2e-5, 2e-4


@pytest.fixture(scope="module")
def pair():
    return speckle_pair(96, 112, rotation(4, 48), seed=3)


def prepared(pair):
    mask = np.ones(pair.reference.shape, dtype=bool)
    mask[:30, :20] = False
    reference, deformed = reference_picture(pair.reference, mask), deformed_picture(pair.deformed)
    field = search_field(deformed.values, deformed.known, block=BLOCK, reach=REACH)
    return reference, deformed, field, subset_grid(96, 112, block=BLOCK, step=8).corners


def by_definition(reference, deformed, corner, lag):
    """The coefficient of one subset at one place, as numpy has it."""
    top, left = corner
    one = reference[top : top + BLOCK, left : left + BLOCK]
    top, left = corner + lag
    other = deformed[top : top + BLOCK, left : left + BLOCK]
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_the_peak_has_the_highest_coefficient_of_all_places(pair):
    reference, deformed, field, corners = prepared(pair)
    corner = corners[(corners == (32, 40)).all(axis=1)][0]
    found = search(reference, field, corner[None], block=BLOCK)[0]
    lags = [(y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)]
    exact = [by_definition(reference.values, deformed.values, corner, np.array(k)) for k in lags]
    best = int(np.argmax(exact))
    assert found[0] == pytest.approx(exact[best], abs=1e-5)
    assert np.abs(found[2:] - lags[best]).max() <= 0.5


def test_the_compiled_search_agrees_with_the_plain_one(pair):
    reference, _, field, corners = prepared(pair)
    compiled = search(reference, field, corners, block=BLOCK)
    strict = [
        type(record)(**{k: array_api_strict.asarray(v) for k, v in vars(record).items()})
        for record in (reference, field)
    ]
    plain = search(strict[0], strict[1], array_api_strict.asarray(corners), block=BLOCK)
    np.testing.assert_allclose(np.asarray(plain)[:, 0], compiled[:, 0], atol=COEFFICIENT)
    np.testing.assert_allclose(np.asarray(plain)[:, 1], compiled[:, 1], rtol=1e-3)
    np.testing.assert_allclose(np.asarray(plain)[:, 2:], compiled[:, 2:], atol=1e-3)


@pytest.mark.parametrize("affine", [True, False])
def test_the_compiled_refinement_agrees_with_the_plain_one(pair, affine):
    reference, deformed, field, corners = prepared(pair)
    start = np.zeros((len(corners), 6))
    start[:, [0, 3]] = search(reference, field, corners, block=BLOCK)[:, 2:]
    warps, found = refine(reference, deformed, corners, start, block=BLOCK, affine=affine)
    strict = [
        type(record)(**{k: array_api_strict.asarray(v) for k, v in vars(record).items()})
        for record in (reference, deformed)
    ]
    plain_warps, plain = refine(
        *strict,
        array_api_strict.asarray(corners),
        array_api_strict.asarray(start),
        block=BLOCK,
        affine=affine,
    )
    rested = found[:, 3] > 0
    assert rested.mean() > 0.7
    np.testing.assert_array_equal(np.asarray(plain)[:, 3], found[:, 3])
    np.testing.assert_allclose(np.asarray(plain_warps)[rested], warps[rested], atol=PIXELS)
    np.testing.assert_allclose(np.asarray(plain)[rested, 0], found[rested, 0], atol=COEFFICIENT)
    np.testing.assert_allclose(
        np.asarray(plain)[rested, 1:3], found[rested, 1:3], rtol=0.02, atol=1e-8
    )


@pytest.mark.parametrize("make", DEVICES)
def test_a_field_on_another_device_is_that_of_the_host(make, pair):
    backend = make()
    wanted = DisplacementSettings(block_size=BLOCK, passes=2, strain_window=3)
    host = displacement_field(pair.reference, pair.deformed, DisplacementSettings(BLOCK, passes=2))
    device = displacement_field(pair.reference, pair.deformed, wanted, backend=backend)
    np.testing.assert_array_equal(device.reason, host.reason)
    np.testing.assert_allclose(device.dy[host.valid], host.dy[host.valid], atol=PIXELS)
    np.testing.assert_allclose(device.dx[host.valid], host.dx[host.valid], atol=PIXELS)


def test_the_spline_is_that_of_scipy(pair):
    deformed = deformed_picture(pair.deformed)
    rng = np.random.default_rng(0)
    y, x = rng.uniform(-1, 96, 500), rng.uniform(-1, 112, 500)
    exact = ndimage.map_coordinates(deformed.values, [y, x], order=3, mode="mirror")
    np.testing.assert_allclose(sample_spline(deformed.coefficients, y, x), exact, atol=1e-5)


def test_the_slopes_of_the_reference_are_those_of_its_spline():
    y, x = np.mgrid[:64, :64]
    picture = (np.sin(y / 5) * np.cos(x / 7)).astype(np.float32)
    reference = reference_picture(picture, np.ones(picture.shape, dtype=bool))
    inside = (slice(8, -8), slice(8, -8))
    exact = np.cos(y / 5) / 5 * np.cos(x / 7) / picture.std()
    np.testing.assert_allclose(reference.slope_y[inside], exact[inside], atol=1e-3)


def test_second_peaks_are_peaks_and_no_shoulders():
    y, x = np.mgrid[-8:9, -8:9]
    one = 0.8 * np.exp(-(y**2 + (x - 1) ** 2) / 18)
    two = one + 0.4 * np.exp(-((y + 6) ** 2 + (x + 6) ** 2) / 4)
    found = find_peaks(np.stack([one, two]).astype(np.float32))
    np.testing.assert_allclose(found[:, 0], 0.8, atol=0.01)
    assert found[0, 1] == 100
    assert found[1, 1] == pytest.approx(0.8 / two[2, 2], rel=0.01)
    np.testing.assert_allclose(found[:, 2:], [[0, 1], [0, 1]], atol=0.02)
    nothing = find_peaks(np.full((1, 5, 5), NO_MATCH, dtype=np.float32))
    np.testing.assert_array_equal(nothing, [[NO_MATCH, 0, 0, 0]])


def test_window_sums_and_windows_are_those_of_slices():
    values = np.random.default_rng(0).standard_normal((9, 11)).astype(np.float32)
    sums = window_sums(values, 4)
    assert sums.shape == (6, 8)
    assert sums[2, 3] == pytest.approx(values[2:6, 3:7].sum(), abs=1e-5)
    corners = np.array([[2, 3], [5, 7]], dtype=np.int32)
    cut = windows(array_api_strict.asarray(values), array_api_strict.asarray(corners), 4)
    np.testing.assert_array_equal(np.asarray(cut)[1], values[5:9, 7:11])
    np.testing.assert_array_equal(np.asarray(cut), windows(values, corners, 4))


def test_shifts_off_a_constant_area_are_no_match():
    pair = shifted(0, 0, side=64)
    flat = np.zeros_like(pair.deformed)
    flat[40:] = pair.deformed[40:]
    field = displacement_field(pair.reference, flat, DisplacementSettings(16, min_correlation=0))
    assert (field.on_grid(field.reason)[0] == "no match").all()
    assert np.isnan(field.on_grid(field.correlation)[0]).all()
