from __future__ import annotations

import numpy as np
from phantoms import as_classes, disc_noise, phantom, random_pose

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.model import PAIR_FIELDS, Pose, Settings
from cryocorr_tui.core.preprocessing import disc_mask, fourier_resample, prepare, standardise
from cryocorr_tui.core.similarity import PairScorer
from cryocorr_tui.core.spectral import FLOOR, ring_weights, weigh_rings, weighted

BOX = 64
MASK = disc_mask(BOX, 0.9 * BOX)
FREQUENCY = BOX * np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX))


def coloured(fall_off, *, seed, count=40):
    """White noise whose rings are multiplied by a function of the frequency."""
    white = np.random.default_rng(seed).standard_normal((count, BOX, BOX))
    images = np.fft.irfft2(np.fft.rfft2(white) * fall_off(FREQUENCY), s=(BOX, BOX))
    return images.astype(np.float32)


def within(images, radius):
    """Pictures that end softly at a radius."""
    return images * disc_mask(BOX, 2 * radius, edge=6)


def ring_power(images):
    """Mean power by whole frequency, in the middle of the pictures."""
    power = np.abs(np.fft.rfft2(within(images, 0.3 * BOX))) ** 2
    rings = np.rint(FREQUENCY).astype(int)
    return np.bincount(rings.ravel(), power.mean(axis=0).ravel()) / np.bincount(rings.ravel())


def particles(noise=0.3, *, count=6, seed=0):
    """Class averages of one particle at known poses."""
    rng = np.random.default_rng(seed)
    poses = [random_pose(rng, max_shift=2) for _ in range(count)]
    drawn = np.stack([phantom(BOX, pose) for pose in poses])
    return drawn + noise * drawn.std() * disc_noise(count, BOX, seed=seed), poses


def scores_of(images, weighting, **options):
    classes = images if isinstance(images, list) else as_classes(images)
    working = weighted(prepare(classes, Settings()), weighting)
    scorer = PairScorer(working, Settings(), Backend("cpu"), memory=1e9)
    every = slice(0, len(classes))
    return dict(zip(PAIR_FIELDS, scorer.score(every, every), strict=True))


def test_without_weighting_the_working_set_is_the_very_same():
    working = prepare(as_classes(particles()[0]), Settings())
    assert weighted(working, "none") is working


def test_rings_of_equal_weight_change_nothing():
    images = particles()[0]
    np.testing.assert_allclose(weigh_rings(images, np.ones(BOX // 2 + 1)), images, atol=1e-5)


def test_only_the_weighted_ring_is_changed():
    weights = np.ones(BOX // 2 + 1)
    weights[10] = 3
    images = coloured(np.ones_like, seed=0)
    gain = np.abs(np.fft.rfft2(weigh_rings(images, weights)) / np.fft.rfft2(images))
    np.testing.assert_allclose(gain[:, np.abs(FREQUENCY - 10) >= 1], 1, atol=1e-3)
    np.testing.assert_allclose(gain[:, 0, 10], 3, rtol=1e-3)


def test_signal_without_noise_is_whitened_as_far_as_it_is_strong():
    signal = within(coloured(lambda f: np.exp(-f / 8), seed=1), 0.28 * BOX)
    images = standardise(signal, MASK)
    strong = ring_power(images) > 10 * FLOOR * ring_power(images).max()
    strong[:2] = False  # the window smears the lowest rings
    after = ring_power(weigh_rings(images, ring_weights(images, MASK)))[strong]
    assert strong.sum() >= 6
    assert ring_power(images)[strong].max() > 5 * ring_power(images)[strong].min()
    assert after.max() < 1.5 * after.min()
    weights = ring_weights(images, MASK)
    assert weights.max() == 1
    assert weights[-1] ** 2 < 1 / FLOOR * weights[2] ** 2  # noise beyond is not blown up


def test_rings_that_hold_noise_only_weigh_little():
    signal = within(coloured(lambda f: f < 8, seed=2), 0.28 * BOX)
    noise = coloured(np.ones_like, seed=3)
    weights = ring_weights(standardise(signal / signal.std() + noise, MASK), MASK)
    assert weights[16:].max() < 0.1 * weights[2:8].min()


def test_where_nothing_stands_out_of_the_noise_all_rings_weigh_the_same():
    at_the_rim = coloured(np.ones_like, seed=4) * (1 - disc_mask(BOX, 0.8 * BOX, edge=6))
    assert (ring_weights(standardise(at_the_rim, MASK), MASK) == 1).all()


def test_a_factor_and_an_offset_of_a_picture_change_nothing():
    images = particles()[0]
    other = images.copy()
    other[2] = 40 * other[2] - 7
    first, second = (
        weighted(prepare(as_classes(each), Settings()), "snr") for each in (images, other)
    )
    np.testing.assert_allclose(first.images, second.images, atol=2e-4)


def test_pictures_are_standardised_again_and_unusable_ones_stay_empty():
    images = particles()[0]
    images[3] = 5
    working = weighted(prepare(as_classes(images), Settings()), "snr")
    inside = working.images[working.usable][:, working.mask > 0]
    np.testing.assert_allclose(inside.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(inside.std(axis=1), 1, rtol=1e-4)
    assert not working.images[3].any()
    assert not working.images.flags.writeable


def test_known_poses_are_found_again():
    images, poses = particles(seed=5)
    found = scores_of(images, "snr")
    for i, j in zip(*np.triu_indices(len(images), 1), strict=True):
        mirrored = poses[i].mirrored != poses[j].mirrored
        turn = poses[i].rotation - (-1 if mirrored else 1) * poses[j].rotation
        off = (found["rotation_deg"][i, j] - turn + 180) % 360 - 180
        assert bool(found["mirrored"][i, j]) == mirrored
        assert abs(off) < 1.5


def test_sources_of_different_pixel_sizes_are_still_the_same_view():
    fine = np.stack([phantom(96, Pose(rotation=30.0 * k)) for k in range(3)])
    classes = as_classes(fine, pixel_size=2.0) + as_classes(
        fourier_resample(fine, 48), source="coarse.mrcs", pixel_size=4.0, first_id=3
    )
    ncc = scores_of(classes, "snr")["ncc"]
    assert ncc[np.triu_indices(6, 1)].min() > 0.95
