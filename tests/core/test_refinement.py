"""The plain, batched refinement against the compiled kernel."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from devices import DEVICES
from phantoms import disc_noise, phantom, random_pose

from cryocorr_tui.core import alignment
from cryocorr_tui.core.alignment import OVERSAMPLING, oversample, templates
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import disc_mask, standardise
from cryocorr_tui.core.refinement import refine, settle
from cryocorr_tui.core.sampling import on_square, parts, put_back, sample_pairs
from cryocorr_tui.core.sampling_kernels import sample_aligned
from cryocorr_tui.core.search import CoarseSearch

COUNT = 12

# Sums in single precision taken in another order. A climb whose last move is about the least that
# counts may end one step earlier on one side: 1 pair in 100, and that by these.
DEGREES, PIXELS, NCC = 1e-3, 1e-4, 1e-5
BORDERLINE, DEGREES_THERE, PIXELS_THERE = 0.02, 0.3, 0.05


class Tile:
    """All pairs of some noisy particles after the coarse search."""

    def __init__(self, box, *, mirror=True):
        rng = np.random.default_rng(box)
        images = np.stack(
            [phantom(box, random_pose(rng, max_shift=2), seed=k % 5) for k in range(COUNT)]
        )
        images += 0.4 * disc_noise(COUNT, box, seed=box)
        self.mask = disc_mask(box, 0.9 * box)
        self.images = standardise(images, self.mask)
        self.fine = oversample(self.images)
        self.rows = templates(self.images, self.mask)
        masked = self.images * self.mask
        search = CoarseSearch(masked, shift_lattice(3.0), mirror=mirror)
        samples = search.samples(masked)
        self.candidates = search.candidates(search.rows(samples), search.columns(samples))
        self.wanted = np.triu(np.ones((COUNT, COUNT), dtype=bool), 1)

    def compiled(self):
        return alignment.refine(self.rows, self.fine, self.candidates, self.wanted, max_shift=3.0)

    def settled(self, backend, poses, stands, *, memory=1e7):
        settled = settle(
            backend.moved(self.rows),
            backend.to_device(self.fine),
            backend.to_device(poses),
            backend.to_device(stands),
            max_shift=3.0,
            memory=memory,
        )
        return backend.to_host(settled)

    def plain(self, backend, *, memory, wanted=None):
        poses, ncc = refine(
            backend.moved(self.rows),
            backend.to_device(self.fine),
            backend.moved(self.candidates),
            backend.to_device(self.wanted if wanted is None else wanted),
            max_shift=3.0,
            memory=memory,
        )
        return backend.to_host(poses), backend.to_host(ncc)


@pytest.fixture(scope="module", params=[(32, True), (33, True), (32, False)], ids=str)
def tile(request):
    box, mirror = request.param
    return Tile(box, mirror=mirror)


@pytest.mark.parametrize("place", DEVICES)
def test_the_plain_refinement_is_the_compiled_one(tile, place):
    poses, ncc = tile.compiled()
    plain_poses, plain_ncc = tile.plain(place(), memory=1e7)
    np.testing.assert_array_equal(plain_ncc > -np.inf, ncc > -np.inf)
    stands = ncc > -np.inf
    assert stands.any(axis=2)[tile.wanted].all()
    assert not stands[~tile.wanted].any()
    np.testing.assert_array_equal(plain_poses[stands][:, 3], poses[stands][:, 3])

    moved = np.abs(plain_poses - poses)[stands]
    turn = np.minimum(moved[:, 0], 360 - moved[:, 0])
    shift = np.hypot(moved[:, 1], moved[:, 2])
    alike = (turn <= DEGREES) & (shift <= PIXELS)
    assert np.mean(~alike) <= BORDERLINE
    np.testing.assert_allclose(plain_ncc[stands][alike], ncc[stands][alike], atol=NCC)
    assert turn.max() <= DEGREES_THERE
    assert shift.max() <= PIXELS_THERE


@pytest.mark.parametrize("place", DEVICES)
def test_the_plain_settling_is_the_compiled_one(tile, place):
    poses, ncc = tile.compiled()
    stands = ncc > -np.inf
    stands[..., 0] = False
    expected = alignment.settle(tile.rows, tile.fine, poses, stands, max_shift=3.0)
    for memory in (1e7, 1e5):
        settled = tile.settled(place(), poses, stands, memory=memory)
        np.testing.assert_allclose(settled, expected, atol=DEGREES)
        np.testing.assert_array_equal(settled[~stands], poses[~stands])
    assert np.abs(expected - poses)[stands].max() > DEGREES


@pytest.mark.parametrize("place", DEVICES)
def test_little_memory_does_not_change_the_refinement(tile, place):
    poses, ncc = tile.plain(place(), memory=1e9)
    few_poses, few_ncc = tile.plain(place(), memory=1e5)
    np.testing.assert_allclose(few_ncc, ncc, atol=1e-6)
    np.testing.assert_allclose(few_poses, poses, atol=1e-3)


@pytest.mark.parametrize("place", DEVICES)
def test_a_tile_of_which_nothing_is_wanted_has_no_finalist(tile, place):
    poses, ncc = tile.plain(place(), memory=1e7, wanted=np.zeros_like(tile.wanted))
    assert np.all(ncc == -np.inf)
    assert np.all(poses == 0)


def test_on_the_host_the_compiled_kernel_refines(tile):
    poses, ncc = refine(
        tile.rows, tile.fine, tile.candidates, tile.wanted, max_shift=3.0, memory=1.0
    )
    expected_poses, expected_ncc = tile.compiled()
    assert isinstance(poses, np.ndarray)
    np.testing.assert_array_equal(poses, expected_poses)
    np.testing.assert_array_equal(ncc, expected_ncc)


# What all batched work is made of


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("oversampling", [1, OVERSAMPLING])
def test_pairs_are_sampled_as_one_pair_is(tile, place, oversampling):
    backend = place()
    rng = np.random.default_rng(0)
    pictures = tile.fine if oversampling == OVERSAMPLING else tile.images
    poses = [random_pose(rng, max_shift=9) for _ in range(6)]  # some leave the picture
    poses = np.float32([[p.rotation, p.shift_y, p.shift_x, p.mirrored] for p in poses])
    which = np.array([3, 0, 7, 7, 1, 2])
    expected = np.empty((len(which), len(tile.rows.x)), dtype=np.float32)
    for at, j in enumerate(which):
        x, y = tile.rows.x, tile.rows.y
        sample_aligned(pictures[j], poses[at], x, y, expected[at], oversampling)
    moved = [backend.to_device(a) for a in (pictures, which, poses, tile.rows.x, tile.rows.y)]
    result = backend.to_host(sample_pairs(*moved, oversampling))
    np.testing.assert_allclose(result, expected, atol=2e-4)  # single precision coordinates


def test_values_are_put_back_where_the_mask_is_true():
    xp = array_api_strict
    mask = xp.asarray([False, True, True, False, True])
    rest = xp.zeros(5)
    values = xp.asarray([1.0, 2.0, 3.0])
    assert np.asarray(put_back(values, mask, rest)).tolist() == [0, 1, 2, 0, 3]
    assert np.asarray(put_back(values[:0], ~mask & mask, rest)).tolist() == [0, 0, 0, 0, 0]


def test_pixels_of_a_mask_are_laid_back_on_their_square():
    xp = array_api_strict
    square = on_square(xp.asarray([[5.0, 6.0, 7.0]]), xp.asarray([1, 4, 8]), 3)
    assert np.asarray(square).tolist() == [[[0, 5, 0], [0, 6, 0], [0, 0, 7]]]


def test_work_is_cut_into_parts_of_one_item_at_least():
    assert list(parts(5, 10.0, 25.0)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(parts(2, 10.0, 1.0)) == [slice(0, 1), slice(1, 2)]
    assert list(parts(0, 10.0, 1.0)) == []
