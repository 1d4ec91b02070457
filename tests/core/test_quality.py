from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryocorr_tui.core.preprocessing import disc_mask, fourier_resample
from cryocorr_tui.core.quality import WEIGHTS, combine_scores, score_quality
from cryocorr_tui.core.simulation import SimulationSettings, simulate_class_averages

SCORES = ("quality", "texture", "edge", "signal", "centring", "fill")
FALLING_SNR = (16.0, 4.0, 1.0)


def score(images, *, contrast=1, **options):
    """The six scores as (6, n), inside a disc of 0.9 of the box."""
    box = images.shape[-1]
    quality = score_quality(
        np.asarray(images, dtype=np.float32),
        mask=disc_mask(box, 0.9 * box),
        contrast=np.full(len(images), contrast),
        **options,
    )
    return np.stack([getattr(quality, name) for name in SCORES])


def one(name, image, **options):
    return float(score(image[None], **options)[SCORES.index(name), 0])


def white_noise(count=1, box=96, seed=0):
    return np.random.default_rng(seed).standard_normal((count, box, box)).astype(np.float32)


def disc_at(box, dy, dx, radius, *, edge=2.0):
    """A bright disc, soft-edged, `dy` down and `dx` right of the centre."""
    offset = np.arange(box) - box // 2
    distance = np.hypot(offset[:, None] - dy, offset[None, :] - dx)
    return np.clip((radius - distance) / edge + 0.5, 0, 1).astype(np.float32)


def area_under_curve(better, worse):
    return float((better[:, None] > worse[None, :]).mean())


@pytest.fixture(scope="module")
def simulated():
    """The same class averages at falling SNR: (snr, n, box, box), and which are junk."""
    sets = [
        simulate_class_averages(
            SimulationSettings(views=4, replicates=1, junk=12, snr=snr, seed=21)
        )
        for snr in FALLING_SNR
    ]
    junk = np.array([bool(truth.junk) for truth in sets[0].truth])
    return np.stack([item.images for item in sets]), junk


def test_quality_falls_with_every_step_of_noise(simulated):
    images, junk = simulated
    quality = np.stack([score(noisy)[0] for noisy in images[:, ~junk]])
    assert (np.diff(quality, axis=0) < 0).all()


@pytest.mark.parametrize("name", ["texture", "edge", "signal"])
def test_the_evidence_falls_with_noise_on_average(simulated, name):
    images, junk = simulated
    means = [score(noisy)[SCORES.index(name)].mean() for noisy in images[:, ~junk]]
    assert means == sorted(means, reverse=True)


def test_junk_ranks_below_particles_at_every_noise(simulated):
    images, junk = simulated
    for noisy in images:
        quality = score(noisy)[0]
        assert area_under_curve(quality[~junk], quality[junk]) >= 0.98


def test_pure_noise_is_worth_next_to_nothing():
    noise = white_noise(12)
    smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 2.0) for picture in noise])
    assert score(noise)[0].max() < 0.15
    assert score(smooth)[0].max() < 0.2


def test_noise_in_a_small_disc_within_a_flat_frame_is_still_noise():
    masked = white_noise(6) * (disc_mask(96, 50) > 0)
    assert score(masked)[0].max() < 0.15


def test_a_particle_cut_out_of_its_surroundings_has_no_noise_to_be_blamed_for():
    cut_out = disc_at(96, 3, -2, 20) * (5 + white_noise()[0])
    texture, edge, signal = score(cut_out[None])[1:4, 0]
    assert min(texture, edge, signal) > 0.9


def test_every_score_lies_between_0_and_1(simulated):
    images, _ = simulated
    scores = score(images.reshape(-1, *images.shape[2:]))
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(
    box=st.integers(16, 40),
    seed=st.integers(0, 1000),
    power=st.floats(0.0, 6.0),
    pixel_size=st.none() | st.floats(0.2, 20.0),
)
def test_any_picture_gets_scores_between_0_and_1(box, seed, power, pixel_size):
    # High powers leave a few bright pixels on an almost flat picture.
    picture = np.abs(white_noise(1, box, seed)) ** power + white_noise(1, box, seed + 1) * 1e-3
    scores = score(picture, pixel_size=pixel_size)
    assert ((scores >= 0) & (scores <= 1)).all()


@settings(max_examples=10, deadline=None)
@given(offset=st.floats(-1e3, 1e3), factor=st.floats(1e-3, 1e3))
def test_grey_scale_does_not_matter(simulated, offset, factor):
    images, _ = simulated
    plain = images[1, :4]
    rescaled = factor * (plain + offset * plain.std())
    np.testing.assert_allclose(score(rescaled), score(plain), atol=0.005)


def test_an_inverted_picture_with_inverted_contrast_scores_the_same(simulated):
    images, _ = simulated
    np.testing.assert_array_equal(score(-images[1], contrast=-1), score(images[1]))


def test_particles_taken_for_dark_ones_score_worse(simulated):
    images, junk = simulated
    particles = images[0, ~junk]
    assert (score(particles, contrast=-1)[0] < score(particles)[0]).all()


def test_a_quarter_turn_changes_no_score_by_more_than_a_fiftieth(simulated):
    images, _ = simulated
    plain = images[1].copy()
    # About the pixel box // 2: an even box keeps its first row and column.
    turned = np.roll(np.rot90(plain, axes=(1, 2)), 1, axis=1)
    np.testing.assert_allclose(score(turned), score(plain), atol=0.02)


def test_a_score_does_not_depend_on_the_other_classes(simulated):
    images, _ = simulated
    together = score(images.reshape(-1, *images.shape[2:]))
    np.testing.assert_array_equal(score(images[2, 5:6])[:, 0], together[:, 2 * len(images[0]) + 5])


def test_constant_and_broken_classes_get_nan_and_spoil_no_other(simulated):
    images, _ = simulated
    stack = images[0, :5].copy()
    stack[0] = 7.0
    stack[1, 3, 3] = np.nan
    stack[3, 40, 40] = np.inf
    scores = score(stack)
    assert np.isnan(scores[:, [0, 1, 3]]).all()
    np.testing.assert_array_equal(scores[:, [2, 4]], score(images[0, [2, 4]]))


def test_a_class_that_is_constant_inside_the_mask_alone_gets_nan():
    picture = np.zeros((1, 64, 64), dtype=np.float32)
    picture[0, 0, 0] = 1.0
    assert np.isnan(score(picture)).all()


def test_no_classes_give_no_scores():
    assert score(np.empty((0, 64, 64))).shape == (6, 0)


def test_centring_is_one_minus_the_distance_over_the_radius():
    # 10 pixels off centre in a disc of radius 28.8 pixels.
    picture = disc_at(64, 6, 8, 8)
    assert one("centring", picture) == pytest.approx(1 - 10 / 28.8, abs=0.02)
    assert one("centring", disc_at(64, 0, 0, 8)) == pytest.approx(1, abs=0.01)


def test_fill_rises_to_1_at_four_percent_and_falls_beyond_sixty():
    radius = 0.45 * 128  # of the mask

    def fill(covered):
        return one("fill", disc_at(128, 0, 0, radius * np.sqrt(covered)))

    assert fill(0.02) == pytest.approx(0.5, abs=0.1)
    assert fill(0.3) == 1
    assert fill(0.8) == pytest.approx(0.5, abs=0.08)


def test_fill_falls_with_the_part_of_the_rim_that_is_touched():
    # A bright half plane takes half of the disc, which is fine, and half of its rim.
    offset = np.arange(96) - 48
    half = np.broadcast_to(np.clip(offset / 2.0, -1, 1), (96, 96))
    assert one("fill", half) == pytest.approx(0.5, abs=0.04)


def test_signal_is_the_part_of_the_power_that_is_not_noise():
    # Noise of twice the strength inside: 1 − 1/4 in every band.
    box = 128
    inside = disc_at(box, 0, 0, 40, edge=1.0)
    picture = white_noise(1, box)[0] * (1 + inside)
    picture += 6 * cv2.GaussianBlur(inside, (0, 0), 8)
    assert one("signal", picture) == pytest.approx(0.75, abs=0.05)


def test_oversampling_changes_no_signal_where_the_pixel_size_is_known(simulated):
    images, junk = simulated
    coarse = images[1, ~junk]
    fine = fourier_resample(coarse, 2 * coarse.shape[-1])
    signal = SCORES.index("signal")
    np.testing.assert_allclose(
        score(fine, pixel_size=1.25)[signal], score(coarse, pixel_size=2.5)[signal], atol=0.05
    )


def test_the_combination_is_fill_times_the_weighted_mean():
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    half = combine_scores(
        texture=np.array([1.0, 0.0]),
        edge=np.array([1.0, 0.0]),
        signal=np.array([1.0, 0.5]),
        centring=np.array([1.0, 1.0]),
        fill=np.array([0.5, 1.0]),
    )
    np.testing.assert_allclose(half, [0.5, 0.6 * 0.5 + 0.1])


def test_shapes_that_do_not_fit_are_named():
    images = np.zeros((2, 32, 32), dtype=np.float32)
    disc = disc_mask(32, 28)
    with pytest.raises(ValueError, match=r"not \(2, 32, 16\)"):
        score_quality(images[:, :, :16], mask=disc, contrast=[1, 1])
    with pytest.raises(ValueError, match=r"mask must be a disc of shape \(32, 32\)"):
        score_quality(images, mask=disc_mask(30, 28), contrast=[1, 1])
    with pytest.raises(ValueError, match=r"contrast must be \(2,\) values"):
        score_quality(images, mask=disc, contrast=[1])
    with pytest.raises(ValueError, match="±1"):
        score_quality(images, mask=disc, contrast=[1, 0])


def test_classes_that_people_kept_score_above_those_they_did_not(shared_data):
    folder = shared_data / "montages"
    name = "oldschool_2dclass_junk1.png"
    boxes = json.loads((folder / "squares.json").read_text(encoding="utf-8"))[name]["boxes"]
    picture = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
    quality = score(np.stack([picture[y + 2 : y + 102, x + 2 : x + 102] for x, y, _, _ in boxes]))[
        0
    ]
    assert area_under_curve(quality[:12], quality[12:]) >= 0.9


def test_what_stands_under_print_hardly_moves_the_evidence():
    rng = np.random.default_rng(4)
    image = disc_at(96, 0, 0, 22, edge=6) + 0.1 * white_noise(seed=4)[0]
    overlay = np.zeros((1, 96, 96), dtype=bool)
    overlay[0, 72:82, 25:70] = True
    spoilt = image.copy()
    spoilt[overlay[0]] = rng.choice([-0.3, 0.6], overlay.sum())
    clean, unmarked, marked = (
        score(picture[None], **options)[1:4, 0]
        for picture, options in ((image, {}), (spoilt, {}), (spoilt, {"overlay": overlay}))
    )
    # What remains is the ringing of the bands at its edge, which filling takes away as well.
    assert np.abs(marked - clean).max() < 0.6 * np.abs(unmarked - clean).max()
