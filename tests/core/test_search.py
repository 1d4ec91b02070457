from __future__ import annotations

import itertools

import array_api_strict
import numba
import numpy as np
import pytest
from phantoms import disc_noise, phantom

from cryocorr_tui.core.backend import choose_backend
from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.polar import PolarGrid, ring_samples, shift_lattice
from cryocorr_tui.core.search import PEAKS, CoarseSearch

BOX = 32
FIELDS = ("correlation", "rotation", "shift_y", "shift_x")


@pytest.fixture(scope="module")
def pictures():
    """Three particles, the third a turned, shifted mirror image of the first, a little noisy."""
    drawn = [
        phantom(BOX, seed=1),
        phantom(BOX, seed=2),
        phantom(BOX, Pose(75, 1, -1, mirrored=True), seed=1),
    ]
    return np.stack(drawn) + 0.05 * disc_noise(3, BOX, seed=5)


def coarse(images, *, radius=2.0, **options):
    search = CoarseSearch(images, shift_lattice(radius), **options)
    samples = search.samples(images)
    return search, search.rows(samples), search.columns(samples)


def every_pose(grid, shifts, seed):
    """One particle drawn at every pose of the search, (2, rotations, shifts, box, box)."""
    step = 360 / grid.rotations
    return np.stack(
        [
            [
                [phantom(BOX, Pose(k * step, y, x, mirrored), seed=seed) for y, x in shifts]
                for k in range(grid.rotations)
            ]
            for mirrored in (False, True)
        ]
    )


def test_the_search_is_a_brute_force_over_all_poses():
    """Nothing is shared with the search but the definition of the correlation."""
    grid, shifts = PolarGrid.for_box(BOX), shift_lattice(1.0)
    images = np.stack([phantom(BOX, seed=1), phantom(BOX, seed=2)])
    poses = every_pose(grid, shifts, seed=2)
    samples = ring_samples(poses.reshape(-1, BOX, BOX), grid)
    fixed = ring_samples(images[:1], grid)
    correlation = 2 * np.real(fixed.conj() * samples).sum(axis=(0, 2))
    correlation = correlation.reshape(2, grid.rotations, len(shifts))

    search, rows, columns = coarse(images, radius=1.0)
    best, shift = search.profiles(rows, columns.part(slice(1, 2)))
    # The drawn pictures are cut off at the border, hence not 1e-6.
    np.testing.assert_allclose(best[:, :, 0, 0], correlation.max(axis=2), atol=1e-3)
    chosen = np.take_along_axis(correlation, shift[:, :, 0, 0, None].astype(int), axis=2)[..., 0]
    np.testing.assert_allclose(chosen, correlation.max(axis=2), atol=1e-3)


def test_a_picture_correlates_perfectly_with_itself_where_it_has_not_moved(pictures):
    search, rows, columns = coarse(pictures)
    best, shift = search.profiles(rows, columns)
    for k in range(3):
        assert best[0, 0, k, k] == pytest.approx(1, abs=1e-5)
        assert search.shifts[shift[0, 0, k, k]].tolist() == [0, 0]
    assert best.max() <= 1 + 1e-5


def test_the_compiled_kernel_is_the_plain_formula(pictures):
    search, rows, columns = coarse(pictures)
    best, shift = search.profiles(rows, columns)
    plain_search, plain_rows, plain_columns = coarse(array_api_strict.asarray(pictures))
    plain_best, plain_shift = plain_search.profiles(plain_rows, plain_columns)
    # Sums of a few hundred products in single precision, taken in another order.
    np.testing.assert_allclose(best, np.asarray(plain_best), atol=2e-6)
    assert np.mean(shift == np.asarray(plain_shift)) > 0.999  # a near tie may go either way


def test_the_best_peak_is_the_true_pose_to_one_step(pictures):
    search, rows, columns = coarse(pictures)
    found = search.candidates(rows, columns)
    mirrored = found.correlation[:, 0, 2].argmax()
    assert mirrored == PEAKS  # the first of the mirrored ones
    # 2 onto 0 is the inverse of a mirror and 75°, which is a mirror and 75°.
    assert found.rotation[mirrored, 0, 2] == pytest.approx(75, abs=360 / 128)
    expected = Pose(75, 1, -1, mirrored=True).inverse()
    assert found.shift_y[mirrored, 0, 2] == pytest.approx(expected.shift_y, abs=0.75)
    assert found.shift_x[mirrored, 0, 2] == pytest.approx(expected.shift_x, abs=0.75)


def test_peaks_are_sorted_and_none_lies_next_to_another(pictures):
    search, rows, columns = coarse(pictures)
    found = search.candidates(rows, columns)
    for state in (0, PEAKS):
        for first, second in itertools.combinations(range(state, state + PEAKS), 2):
            apart = np.abs((found.rotation[first] - found.rotation[second] + 180) % 360 - 180)
            real = np.isfinite(found.correlation[second])
            assert np.all(apart[real] > 360 / search.grid.rotations)
            assert np.all(found.correlation[first] >= found.correlation[second])


def test_without_mirror_no_mirrored_candidate_exists(pictures):
    search, rows, columns = coarse(pictures, mirror=False)
    found = search.candidates(rows, columns)
    assert np.all(found.correlation[PEAKS:] == -np.inf)
    assert np.all(np.isfinite(found.correlation[0]))


def strict(images, name):
    """Arrays on a device from which nothing comes to the host in silence."""
    device = array_api_strict.Device(name)
    cpu = array_api_strict.Device("CPU_DEVICE")
    return (
        array_api_strict.asarray(images, device=device),
        lambda array: np.asarray(array.to_device(cpu)),
    )


def on_cuda(images):
    backend, _ = choose_backend("auto")
    if not backend.is_cuda:
        pytest.skip("needs an NVIDIA card and CuPy")
    return backend.to_device(images), backend.to_host


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda images: strict(images, "device1"), id="strict"),
        pytest.param(lambda images: strict(images, "no_float64"), id="strict-single"),
        pytest.param(on_cuda, id="cuda", marks=pytest.mark.gpu),
    ],
)
def test_every_device_finds_the_same_candidates(pictures, place):
    search, rows, columns = coarse(pictures)
    expected = search.candidates(rows, columns)
    images, to_host = place(pictures)
    search, rows, columns = coarse(images)
    found = search.candidates(rows, columns)
    np.testing.assert_allclose(to_host(found.correlation), expected.correlation, atol=5e-6)
    for field in FIELDS[1:]:
        np.testing.assert_array_equal(to_host(getattr(found, field)), getattr(expected, field))


def test_little_memory_of_a_device_does_not_change_the_candidates(pictures):
    images, to_host = strict(pictures, "device1")
    search, rows, columns = coarse(images)
    whole = search.candidates(rows, columns)
    pieces = search.candidates(rows, columns, memory=1.0)
    for field in FIELDS:
        np.testing.assert_allclose(
            to_host(getattr(pieces, field)), to_host(getattr(whole, field)), atol=2e-6
        )


def test_candidates_stay_on_the_device(pictures):
    images, _ = strict(pictures, "device1")
    search, rows, columns = coarse(images)
    found = search.candidates(rows, columns)
    with pytest.raises(RuntimeError, match="device1"):
        np.asarray(found.rotation)


def test_the_same_search_gives_the_same_bytes_whatever_the_threads(pictures):
    def bytes_with(threads):
        numba.set_num_threads(threads)
        search, rows, columns = coarse(pictures)
        found = search.candidates(rows, columns)
        return [getattr(found, field).tobytes() for field in FIELDS]

    most = numba.get_num_threads()
    try:
        alone = bytes_with(1)
        assert bytes_with(most) == alone
        assert bytes_with(most) == alone
    finally:
        numba.set_num_threads(most)


def test_a_part_of_the_columns_gives_that_part_of_the_result(pictures):
    search, rows, columns = coarse(pictures)
    whole, _ = search.profiles(rows, columns)
    part, _ = search.profiles(rows, columns.part(slice(1, 3)))
    np.testing.assert_allclose(part, whole[..., 1:3], atol=2e-6)
