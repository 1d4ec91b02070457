from __future__ import annotations

import numpy as np
import pytest
from phantoms import phantom

from cryocorr_tui.core.polar import (
    PolarGrid,
    ring_samples,
    ring_spectra,
    shift_lattice,
    shift_phases,
)

BOXES = [24, 25]


def phantoms(box, count=2):
    return np.stack([phantom(box, seed=seed) for seed in range(count)])


def full_rings(samples):
    """(rotations, n, rings): the second half of a ring is the conjugate of the first."""
    return np.concatenate([samples, samples.conj()])


def all_orders(even, odd):
    """(2, orders, …) of even and odd orders as complex (orders, …) from 0 on."""
    orders = np.empty((even.shape[1] + odd.shape[1], *even.shape[2:]), dtype=complex)
    orders[0::2] = even[0] + 1j * even[1]
    orders[1::2] = odd[0] + 1j * odd[1]
    return orders


@pytest.mark.parametrize("box", BOXES)
def test_the_rings_reach_the_stated_frequency(box):
    grid = PolarGrid.for_box(box)
    radius = np.linalg.norm(grid.frequencies, axis=-1)
    assert grid.frequencies.shape == (grid.rotations // 2, grid.rings, 2)
    assert grid.rotations % 4 == 0
    np.testing.assert_allclose(radius, np.tile(np.arange(1, grid.rings + 1) / box, (64, 1)))
    assert radius.max() == pytest.approx(0.3, abs=0.51 / box)


@pytest.mark.parametrize("box", BOXES)
def test_ring_samples_are_the_fourier_sum_written_out(box):
    grid = PolarGrid.for_box(box)
    images = phantoms(box)
    offset = np.arange(box) - box // 2
    expected = np.empty((grid.rotations // 2, len(images), grid.rings), dtype=complex)
    for a, ring in np.ndindex(grid.rotations // 2, grid.rings):
        fy, fx = grid.frequencies[a, ring]
        wave = np.exp(-2j * np.pi * (fy * offset[:, None] + fx * offset))
        expected[a, :, ring] = np.sqrt(ring + 1) * (images * wave).sum(axis=(1, 2))
    expected /= np.sqrt(2 * (np.abs(expected) ** 2).sum(axis=(0, 2), keepdims=True))
    samples = ring_samples(images, grid)
    assert samples.dtype == np.complex64
    np.testing.assert_allclose(samples, expected, atol=2e-6)  # of a largest sample near 0.2


def test_on_the_axes_ring_samples_are_the_plain_fourier_transform():
    images = phantoms(24, 1)
    grid = PolarGrid.for_box(24)
    along_x = np.fft.fft2(np.fft.ifftshift(images[0]))[0, 1 : grid.rings + 1]
    expected = along_x * np.sqrt(np.arange(1, grid.rings + 1))
    samples = ring_samples(images, grid)[0, 0]
    np.testing.assert_allclose(
        samples / np.linalg.norm(samples), expected / np.linalg.norm(expected), atol=1e-5
    )


def test_every_picture_has_power_1_and_an_empty_one_0():
    images = np.concatenate([1e4 * phantoms(24), np.zeros((1, 24, 24), dtype=np.float32)])
    power = (np.abs(full_rings(ring_samples(images, PolarGrid.for_box(24)))) ** 2).sum(axis=(0, 2))
    np.testing.assert_allclose(power, [1, 1, 0], atol=1e-5)


def test_ring_spectra_are_the_fft_of_the_full_rings():
    samples = ring_samples(phantoms(24), PolarGrid.for_box(24))
    even, odd = ring_spectra(samples)
    expected = np.fft.fft(full_rings(samples), axis=0, norm="ortho")[: len(samples) + 1]
    np.testing.assert_allclose(all_orders(even, odd), expected, atol=1e-6)


def test_ring_spectra_keep_the_power_of_the_samples():
    even, odd = ring_spectra(ring_samples(phantoms(24), PolarGrid.for_box(24)))
    orders = np.abs(all_orders(even, odd)) ** 2
    # Orders 0 and rotations/2 stand alone, the others have a negative twin.
    power = orders[[0, -1]].sum(axis=(0, 2)) + 2 * orders[1:-1].sum(axis=(0, 2))
    np.testing.assert_allclose(power, 1, rtol=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 3)])
def test_shift_phases_move_a_picture_back(shift):
    box = 32
    grid = PolarGrid.for_box(box)
    images = phantoms(box) * (np.hypot(*np.indices((box, box)) - box // 2) < 12)
    moved_back = np.roll(images, (-shift[0], -shift[1]), axis=(1, 2)).astype(np.float32)
    phases = shift_phases(images, grid, np.array([shift], dtype=np.float64))
    np.testing.assert_allclose(
        ring_samples(images.astype(np.float32), grid) * phases,
        ring_samples(moved_back, grid),
        atol=2e-6,
    )


def test_turning_a_picture_turns_its_rings_and_mirroring_it_turns_them_round():
    # A quarter turn by hand: what is sampled at angle a moves to a − 90° (y runs down).
    grid = PolarGrid.for_box(25)
    image = phantoms(25, 1)
    rings = full_rings(ring_samples(image, grid))
    turned = full_rings(ring_samples(np.rot90(image, axes=(1, 2)).copy(), grid))
    np.testing.assert_allclose(turned, np.roll(rings, -grid.rotations // 4, axis=0), atol=2e-6)
    mirrored = full_rings(ring_samples(image[:, :, ::-1].copy(), grid))
    reversed_rings = np.roll(rings[::-1], grid.rotations // 2 + 1, axis=0)
    np.testing.assert_allclose(mirrored, reversed_rings, atol=2e-6)


def test_a_lattice_of_radius_4_has_49_shifts_the_nearest_first():
    lattice = shift_lattice(4.0)
    assert lattice.shape == (49, 2)
    assert lattice[0].tolist() == [0, 0]
    length = np.hypot(*lattice.T)
    assert np.all(np.diff(length) >= 0)
    assert length.max() == 4
    assert len(np.unique(lattice, axis=0)) == 49


@pytest.mark.parametrize(("radius", "count"), [(0.0, 1), (0.99, 1), (1.0, 5), (2.5, 21)])
def test_a_lattice_holds_every_whole_pixel_shift_within_its_radius(radius, count):
    assert len(shift_lattice(radius)) == count
