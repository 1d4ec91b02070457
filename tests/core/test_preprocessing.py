from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import as_classes, disc_noise, phantom

from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import ClassAverage, MaskDiameter, Pose, Settings
from cryocorr_tui.core.preprocessing import (
    contrast_sign,
    crop_or_pad,
    disc_mask,
    enhance,
    fourier_resample,
    prepare,
    standardise,
)

boxes = st.integers(8, 21)


def phantoms(count=3, box=32):
    return np.stack([phantom(box, seed=seed) for seed in range(count)])


def delta(box):
    image = np.zeros((1, box, box), dtype=np.float32)
    image[0, box // 2, box // 2] = 1
    return image


def montage_square(class_id, image):
    side = image.shape[0]
    return ClassAverage(class_id, "m.png", class_id, image, x=0, y=0, width=side, height=side)


# The disc mask


@pytest.mark.parametrize("box", [64, 65])
@pytest.mark.parametrize("diameter", [20.0, 41.5, 57.6])
def test_a_disc_has_the_area_of_a_disc_and_the_centre_pixel_as_its_middle(box, diameter):
    mask = disc_mask(box, diameter)
    assert set(np.unique(mask)) == {0, 1}
    assert mask.sum() == pytest.approx(math.pi * diameter**2 / 4, rel=0.02)
    y, x = np.nonzero(mask)
    assert (y.mean(), x.mean()) == (box // 2, box // 2)


def test_a_soft_disc_falls_from_one_to_zero_within_its_edge():
    mask = disc_mask(64, 48, edge=8)
    across = mask[32, 32:]
    assert np.all(across[:17] == 1)  # to radius 24 − 8
    assert across[20] == pytest.approx(0.5)
    assert np.all(across[24:] == 0)
    assert np.all(np.diff(across) <= 0)


# Resampling


@pytest.mark.parametrize("side", [16, 17])
@pytest.mark.parametrize("box", [10, 11, 16, 17, 24, 25])
def test_resampling_keeps_the_centre_pixel_whatever_the_parity(side, box):
    image = fourier_resample(delta(side), box)[0]
    peak = np.unravel_index(image.argmax(), image.shape)
    assert peak == (box // 2, box // 2)
    # Symmetric about it as well, so it is no half pixel off.
    around = image[peak[0] - 3 : peak[0] + 4, peak[1] - 3 : peak[1] + 4]
    np.testing.assert_allclose(around, around[::-1, ::-1], atol=1e-6)


@given(side=boxes, box=boxes, value=st.floats(-100, 100, width=32))
@settings(deadline=None, max_examples=30)
def test_resampling_keeps_grey_values(side, box, value):
    flat = np.full((2, side, side), value, dtype=np.float32)
    np.testing.assert_allclose(fourier_resample(flat, box), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [32, 33])
@pytest.mark.parametrize("box", [41, 64, 66])
def test_up_and_down_again_changes_nothing(side, box):
    spectrum = np.fft.fft2(np.random.default_rng(0).standard_normal((2, side, side)))
    # What stands exactly at the Nyquist frequency of an even box has two halves; one is kept.
    below = np.abs(np.fft.fftfreq(side)) < 0.5
    images = np.fft.ifft2(spectrum * below[:, None] * below).real.astype(np.float32)
    there_and_back = fourier_resample(fourier_resample(images, box), side)
    np.testing.assert_allclose(there_and_back, images, atol=1e-5)


def test_resampling_is_drawing_the_same_scene_with_other_pixels():
    for side, box in itertools.product([64, 65], [48, 49, 96]):
        drawn = phantom(box, size=box * 64 / side)  # same particle, side/box as large pixels
        np.testing.assert_allclose(
            fourier_resample(phantom(side, size=64)[None], box)[0], drawn, atol=2e-3
        )


@given(side=boxes, box=boxes)
@settings(deadline=None, max_examples=40)
def test_cropping_and_padding_keep_the_centre_pixel(side, box):
    result = crop_or_pad(delta(side), box)
    np.testing.assert_array_equal(result, delta(box))


def test_padding_fills_with_the_median_of_each_border():
    images = np.zeros((2, 6, 6), dtype=np.float32)
    images[1] = 7
    images[1, 2:4, 2:4] = 100
    padded = crop_or_pad(images, 9)
    assert np.all(padded[0] == 0)
    assert padded[1, 0, 0] == 7
    assert crop_or_pad(images, 9, fill=-1.0)[1, 0, 0] == -1


# Contrast, standardising, enhancing


def test_contrast_tells_bright_from_dark_particles():
    noisy = phantoms() + 0.3 * disc_noise(3, 32)
    assert contrast_sign(noisy + 5) == 1
    assert contrast_sign(5 - noisy) == -1
    assert contrast_sign(np.ones((3, 32, 32), dtype=np.float32)) == 1


@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1e18, 1e30])
def test_contrast_is_told_in_any_unit_that_the_file_may_use(unit):
    assert contrast_sign(np.float32(unit) * phantoms()) == 1
    assert contrast_sign(-np.float32(unit) * phantoms()) == -1


def test_one_odd_picture_does_not_turn_the_contrast_of_its_source():
    images = phantoms(5)
    images[0] = 1 - images[0]
    assert contrast_sign(images) == 1


def test_standardised_pictures_have_mean_0_and_variance_1_inside_the_mask():
    mask = disc_mask(32, 28)
    images = np.concatenate([phantoms() * 40 + 1000, np.full((1, 32, 32), 3, dtype=np.float32)])
    result = standardise(images, mask)
    inside = result[:3, mask > 0]
    np.testing.assert_allclose(inside.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(inside.std(axis=1), 1, atol=1e-5)
    assert np.all(result[3] == 0)


def test_the_enhanced_picture_lies_in_0_to_1_and_spreads_the_contrast():
    images = phantoms() * 0.001 - 7
    result = enhance(images)
    assert result.dtype == np.float32
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.all(np.ptp(result, axis=(1, 2)) > 0.5)
    np.testing.assert_array_equal(enhance(images[1]), result[1])


def test_the_enhanced_picture_of_nothing_is_grey():
    broken = phantoms(2)
    broken[0, 3, 3] = np.nan
    broken[1] = 4
    assert np.all(enhance(broken) == 0.5)


# The working set


def test_the_working_set_is_at_most_128_pixels_and_says_how_it_is_scaled():
    working = prepare(as_classes(phantoms(2, 160), pixel_size=2.0), Settings())
    assert working.images.shape == (2, 128, 128)
    np.testing.assert_allclose(working.scale, 1.25)
    assert working.pixel_size == pytest.approx(2.5)
    assert working.max_shift == pytest.approx(0.04 * 128)
    assert working.mask.sum() == pytest.approx(math.pi * (0.9 * 64) ** 2, rel=0.02)


def test_max_shift_and_mask_diameter_are_given_in_source_pixels():
    chosen = Settings(box=48, max_shift=6.0, mask_diameter=MaskDiameter(60.0, "px"))
    working = prepare(as_classes(phantoms(2, 96)), chosen)
    assert working.max_shift == pytest.approx(3)
    assert working.mask.sum() == pytest.approx(math.pi * 15**2, rel=0.02)


def test_a_small_box_still_searches_4_pixels():
    assert prepare(as_classes(phantoms()), Settings()).max_shift == 4


def test_a_mask_diameter_in_angstrom_is_taken_with_the_pixel_size():
    chosen = Settings(mask_diameter=MaskDiameter(80.0, "angstrom"))
    working = prepare(as_classes(phantoms(), pixel_size=4.0), chosen)
    assert working.mask.sum() == pytest.approx(math.pi * 10**2, rel=0.02)


def test_a_source_of_dark_particles_is_turned_bright_as_a_whole():
    bright, dark = phantoms(), 3 - phantoms()
    working = prepare(
        as_classes(bright, source="a.mrcs") + as_classes(dark, source="b.mrcs", first_id=3),
        Settings(),
    )
    assert working.contrast.tolist() == [1, 1, 1, -1, -1, -1]
    np.testing.assert_allclose(working.images[3:], working.images[:3], atol=1e-4)


def ring_radius(image):
    """Radius of the brightest ring in pixels, by the parabola through its profile's peak."""
    box = image.shape[-1]
    offset = np.arange(box) - box // 2
    radius = np.hypot(offset[:, None], offset)
    steps = np.arange(2, box / 2 - 2, 0.25)
    weight = np.exp(-0.5 * ((radius.ravel() - steps[:, None]) / 0.5) ** 2)
    profile = weight @ image.ravel() / weight.sum(axis=1)
    peak = int(profile.argmax())
    a, b, c = profile[peak - 1 : peak + 2]
    return steps[peak] + 0.25 * 0.5 * (a - c) / (a - 2 * b + c)


def drawn_ring(box, pixel_size, *, radius=80.0, width=12.0):
    offset = (np.arange(box) - box // 2) * pixel_size
    distance = np.hypot(offset[:, None], offset)
    return np.exp(-0.5 * ((distance - radius) / width) ** 2).astype(np.float32)


@pytest.mark.parametrize(("fine_box", "coarse_box"), [(84, 70), (90, 70), (85, 61), (72, 71)])
def test_sources_of_two_pixel_sizes_show_a_ring_at_one_radius(fine_box, coarse_box):
    classes = as_classes([drawn_ring(fine_box, 3.5)], source="fine.mrcs", pixel_size=3.5)
    classes += as_classes([drawn_ring(coarse_box, 4.2)], source="coarse.mrcs", pixel_size=4.2)
    working = prepare(classes, Settings(mask_diameter=MaskDiameter(236.0, "angstrom")))
    assert working.pixel_size == pytest.approx(4.2)
    fine, coarse = (ring_radius(image) for image in working.images)
    assert fine == pytest.approx(coarse, rel=0.005)
    assert fine == pytest.approx(80 / 4.2, rel=0.005)
    np.testing.assert_allclose(working.scale, [1.2, 1.0])
    assert any("3.5 to 4.2 Å" in note for note in working.notes)


def test_a_mixture_of_known_and_unknown_pixel_sizes_is_compared_in_pixels_and_said():
    classes = as_classes(phantoms(), pixel_size=3.0) + as_classes(phantoms(), source="b.mrcs")
    working = prepare(classes, Settings())
    assert working.pixel_size is None
    assert any("--pixel-size" in note for note in working.notes)


def test_squares_of_a_montage_that_differ_by_a_pixel_are_scaled_to_one_box():
    squares = [montage_square(k, phantom(box)) for k, box in enumerate((40, 41, 40))]
    working = prepare(squares, Settings())
    assert working.images.shape == (3, 40, 40)
    np.testing.assert_allclose(working.scale, [1, 41 / 40, 1])
    np.testing.assert_allclose(working.images[1], working.images[0], atol=0.02)


# What cannot be compared


@pytest.mark.parametrize(
    ("spoil", "reason"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1, "constant")]
)
def test_an_unusable_picture_is_left_out_with_a_reason(spoil, reason):
    images = phantoms(4)
    if spoil == 1:
        images[2] = 1
    else:
        images[2, 5, 5] = spoil
    working = prepare(as_classes(images), Settings())
    assert working.usable.tolist() == [True, True, False, True]
    assert reason in working.reasons[2]
    assert np.all(working.images[2] == 0)
    assert np.isfinite(working.images).all()


def test_a_picture_that_is_constant_inside_the_mask_is_left_out():
    images = phantoms(3)
    images[1] = 0.0
    images[1, 0, 0] = 1e3
    working = prepare(as_classes(images), Settings())
    assert "constant inside the mask" in working.reasons[1]


def test_fewer_than_two_usable_pictures_are_an_error_that_names_the_file():
    images = phantoms(3)
    images[1:] = np.nan
    with pytest.raises(InputError, match=r"image 1 of stack\.mrcs has NaN"):
        prepare(as_classes(images), Settings())


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_are_an_error(count):
    with pytest.raises(InputError, match="two or more"):
        prepare(as_classes(phantoms(count)) if count else [], Settings())


def test_a_picture_that_is_not_square_is_an_error_that_names_it():
    classes = as_classes([phantom(32), phantom(32)[:20]])
    with pytest.raises(InputError, match=r"stack\.mrcs: image 1 is 20×32"):
        prepare(classes, Settings())


def test_boxes_that_differ_need_a_pixel_size():
    classes = as_classes([phantom(32)]) + as_classes([phantom(40)], source="b.mrcs")
    with pytest.raises(InputError, match="--pixel-size"):
        prepare(classes, Settings())


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (Settings(mask_diameter=MaskDiameter(100.0, "angstrom")), "--pixel-size"),
        (Settings(mask_diameter=MaskDiameter(33.0, "px")), "--mask-diameter"),
        (Settings(mask_diameter=MaskDiameter(1.5, "box")), "--mask-diameter"),
        (Settings(mask_diameter=MaskDiameter(0.1, "box")), "--mask-diameter"),
        (Settings(mask_diameter=MaskDiameter(8.4, "px")), "9px to 32px"),
        (Settings(box=40), "--box 40"),
        (Settings(box=8), "too small"),
        (Settings(max_shift=16.0), "--max-shift"),
    ],
)
def test_settings_that_do_not_fit_the_box_are_refused(chosen, words):
    with pytest.raises(SettingsError, match=words):
        prepare(as_classes(phantoms()), chosen)


def test_the_pose_convention_survives_preprocessing():
    moved = Pose(90, 2.0, 1.0)
    still, turned = prepare(as_classes([phantom(48), phantom(48, moved)]), Settings(box=48)).images
    by_hand = np.roll(np.roll(np.rot90(still), 1, axis=0), (2, 1), axis=(0, 1))
    np.testing.assert_allclose(turned[8:40, 8:40], by_hand[8:40, 8:40], atol=0.05)


# Print


def printed(class_id, image, *where):
    overlay = np.zeros(image.shape, dtype=bool)
    for place in where:
        overlay[place] = True
    return ClassAverage(class_id, "m.png", class_id, image, overlay=overlay)


def test_print_goes_to_working_pixels_with_its_picture():
    first, second = phantoms(2, 64)
    classes = [printed(0, first, np.s_[8:16, 20:40]), *as_classes([second])]
    working = prepare(classes, Settings(box=32))
    assert working.overlay.shape == (2, 32, 32)
    assert working.overlay[0, 4:8, 10:20].all()
    assert working.overlay[0].sum() < 2 * 4 * 10
    assert not working.overlay[1].any()
    assert prepare(as_classes(phantoms(2)), Settings()).overlay is None


def test_thin_print_is_bridged_and_deep_print_is_unknown():
    first, second = phantoms(2, 64)
    thin, deep = np.s_[30:36, 10:50], np.s_[10:30, 10:30]
    both = [printed(0, first, thin), printed(1, second, deep)]
    unknown = prepare(both, Settings()).unknown
    assert not unknown[0].any()
    assert unknown[1, 16:24, 16:24].all()
    assert 0 < unknown[1].sum() < 20 * 20
    assert prepare([both[0], *as_classes([second], first_id=1)], Settings()).unknown is None


def test_a_class_average_under_print_is_not_compared():
    covered = printed(0, phantoms(1, 32)[0], np.s_[8:24, 4:28])
    working = prepare([covered, *as_classes(phantoms(3), first_id=1)], Settings())
    assert working.reasons == ("is covered by print", "", "", "")
    assert not working.images[0].any()
