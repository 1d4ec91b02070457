"""Known rotation, shift and mirror in, the same out, through the whole engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import (
    UNMOVED,
    as_classes,
    disc_noise,
    phantom,
    pose_of,
    random_pose,
    score_all,
    shift_between,
    turn_between,
)

from cryocorr_tui.core.alignment import (
    FINALISTS,
    OVERSAMPLING,
    oversample,
    refine,
    settle,
    templates,
)
from cryocorr_tui.core.model import MaskDiameter, Pose
from cryocorr_tui.core.preprocessing import disc_mask, fourier_resample
from cryocorr_tui.core.search import Candidates

# For clean, band-limited particles; the contract allows 0.3° and 0.1 px.
DEGREES, PIXELS = 0.05, 0.02


def assert_same_pose(found, expected, *, degrees=DEGREES, pixels=PIXELS):
    assert found.mirrored == expected.mirrored
    assert turn_between(found, expected) <= degrees
    assert shift_between(found, expected) <= pixels


# Pictures j


@pytest.mark.parametrize("box", [32, 33])
def test_a_picture_twice_as_fine_is_its_fourier_resampling(box):
    images = disc_noise(3, box) + 0.5
    expected = fourier_resample(images, OVERSAMPLING * box)
    fine = oversample(images)
    assert fine.dtype == np.float32
    # Waves of the highest frequency lie on the grid of an even box in two ways.
    np.testing.assert_allclose(fine, expected, atol=2e-3)
    first = box % 2  # the centre of an odd box goes to an odd pixel
    np.testing.assert_allclose(fine[:, first::2, first::2], images, atol=1e-5)


@pytest.mark.parametrize("box", [32, 64, 128])
def test_pixels_above_each_other_do_not_share_a_place_in_the_cache(box):
    row = oversample(disc_noise(1, box)).strides[1]
    assert row & (row - 1)  # not a power of two


# Refinement by itself


def at(pose, rows=1):
    """One candidate for each mirror state, the other one absent."""
    correlation = np.full((4, rows, 1), -np.inf, dtype=np.float32)
    correlation[2 if pose.mirrored else 0] = 0.9

    def everywhere(value):
        return np.full((4, rows, 1), value, dtype=np.float32)

    return Candidates(
        correlation, everywhere(pose.rotation), everywhere(pose.shift_y), everywhere(pose.shift_x)
    )


def refine_one(first, second, start, *, max_shift=4.0):
    mask = disc_mask(len(first), 0.9 * len(first))
    pair = templates(first[None], mask), oversample(second[None])
    poses, ncc = refine(*pair, at(start), np.ones((1, 1), dtype=bool), max_shift=max_shift)
    return settle(*pair, poses, ncc > -np.inf, max_shift=max_shift), ncc


@pytest.mark.parametrize("mirrored", [False, True])
def test_refinement_climbs_from_a_coarse_pose_to_the_true_one(mirrored):
    truth = Pose(61.7, 1.4, -0.8, mirrored)
    poses, ncc = refine_one(phantom(48, truth), phantom(48), Pose(60.0, 1.0, -1.0, mirrored))
    place = int(mirrored)  # finalists: the best unmirrored, the best mirrored, the next best
    found = Pose(*(float(value) for value in poses[0, 0, place, :3]), mirrored)
    assert_same_pose(found, truth)
    assert ncc[0, 0, place] > 0.999
    others = [k for k in range(FINALISTS) if k != place]
    assert np.all(ncc[0, 0, others] == -np.inf)


def test_shifts_stay_within_the_radius_that_was_allowed():
    poses, _ = refine_one(phantom(48, Pose(shift_x=5.0)), phantom(48), UNMOVED, max_shift=2.0)
    assert np.hypot(*poses[0, 0, 0, 1:3]) <= 2.0 + 1e-5


def test_only_finalists_that_stand_are_settled():
    truth = Pose(61.7, 1.4, -0.8)
    pair = templates(phantom(48, truth)[None], disc_mask(48, 43)), oversample(phantom(48)[None])
    poses = np.zeros((1, 1, FINALISTS, 4), dtype=np.float32)
    poses[...] = [61.0, 1.2, -0.9, 0.0]
    standing = np.zeros((1, 1, FINALISTS), dtype=bool)
    standing[0, 0, 1] = True
    settled = settle(*pair, poses, standing, max_shift=4.0)
    np.testing.assert_array_equal(settled[~standing], poses[~standing])
    assert_same_pose(Pose(*(float(value) for value in settled[0, 0, 1, :3])), truth, pixels=0.1)


def test_pairs_that_are_not_wanted_are_left_alone():
    images = np.stack([phantom(32, seed=seed) for seed in (0, 1)])
    mask = disc_mask(32, 28)
    wanted = np.array([[False], [True]])
    _, ncc = refine(
        templates(images, mask), oversample(images[:1]), at(UNMOVED, rows=2), wanted, max_shift=4.0
    )
    assert np.all(ncc[0] == -np.inf)
    assert ncc[1, 0, 0] > -1


# The whole engine


@pytest.mark.parametrize("box", [48, 63, 64])
def test_a_known_pose_comes_back(box):
    rng = np.random.default_rng(box)
    poses = [UNMOVED, Pose(37.0, mirrored=True)]
    poses += [random_pose(rng, max_shift=3) for _ in range(10)]
    scores = score_all([phantom(box, pose) for pose in poses])
    for j, pose in enumerate(poses[1:], start=1):
        assert_same_pose(pose_of(scores, 0, j), pose.inverse())
    assert scores["ncc"][0, 1:].min() > 0.999


@given(
    rotation=st.floats(0, 359.9),
    radius=st.floats(0, 3.5),
    angle=st.floats(0, 6.28),
    mirrored=st.booleans(),
)
@settings(deadline=None, max_examples=15)
def test_any_pose_comes_back_from_either_side(rotation, radius, angle, mirrored):
    pose = Pose(rotation, radius * np.sin(angle), radius * np.cos(angle), mirrored)
    images = [phantom(48), phantom(48, pose)]
    assert_same_pose(pose_of(score_all(images), 0, 1), pose.inverse())
    assert_same_pose(pose_of(score_all(images[::-1]), 0, 1), pose)


def test_37_degrees_come_back_as_37_degrees():
    scores = score_all([phantom(64, Pose(37.0)), phantom(64)])
    assert_same_pose(pose_of(scores, 0, 1), Pose(37.0))


@pytest.mark.parametrize(("shift_y", "shift_x"), [(2.4, 0.0), (0.0, -2.4), (-1.7, 1.7)])
def test_a_shift_of_2_4_pixels_comes_back_to_a_twentieth_of_a_pixel(shift_y, shift_x):
    scores = score_all([phantom(64, Pose(0, shift_y, shift_x)), phantom(64)])
    found = pose_of(scores, 0, 1)
    assert found.shift_y == pytest.approx(shift_y, abs=0.05)
    assert found.shift_x == pytest.approx(shift_x, abs=0.05)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pose_made_by_hand_with_numpy_comes_back(mirrored):
    image = phantom(64)
    by_hand = np.roll(image[:, ::-1], 1, axis=1) if mirrored else image
    by_hand = np.roll(np.rot90(by_hand), 1, axis=0)  # about the pixel box // 2
    by_hand = np.roll(by_hand, (2, -1), axis=(0, 1))
    found = pose_of(score_all([by_hand, image]), 0, 1)
    assert_same_pose(found, Pose(90, 2, -1, mirrored))


def test_shifts_are_told_in_pixels_of_the_source():
    pose = Pose(25.0, 4.8, -3.0)
    scores = score_all([phantom(96, pose), phantom(96)], box=48)
    assert_same_pose(pose_of(scores, 0, 1), pose, pixels=2 * PIXELS)


def test_shifts_between_two_pixel_sizes_are_in_pixels_of_the_picture_that_stays():
    pose = Pose(25.0, 3.0, -1.5)
    fine = as_classes([phantom(84, pose, size=80)], source="fine.mrcs", pixel_size=3.5)
    coarse = as_classes(
        [phantom(70, size=80 * 3.5 / 4.2)], source="coarse.mrcs", pixel_size=4.2, first_id=1
    )
    found = pose_of(score_all(fine + coarse), 0, 1)
    assert_same_pose(found, pose, degrees=0.1, pixels=0.05)


def test_the_smallest_mask_can_be_scored():
    images = [phantom(16, seed=seed) for seed in (0, 1)]
    scores = score_all(images, mask_diameter=MaskDiameter(9.0, "px"))
    assert np.isfinite(scores["blend"][0, 1])


# Swapping, and what must not matter


@pytest.fixture(scope="module")
def noisy():
    """Four particles twice each, at poses of their own, SNR 25."""
    rng = np.random.default_rng(4)
    images = [phantom(48, random_pose(rng, max_shift=1.5), seed=k % 4) for k in range(8)]
    images += 0.2 * np.std(images) * disc_noise(8, 48, seed=4)
    return np.float32(images)


@pytest.fixture(scope="module")
def scored(noisy):
    return score_all(noisy)


SAME = [(k, k + 4) for k in range(4)]
UPPER = np.triu_indices(8, 1)


def test_a_pair_the_other_way_round_has_the_same_scores_and_the_inverse_pose(noisy, scored):
    swapped = score_all(noisy[::-1])
    for i, j in zip(*UPPER, strict=True):
        # The mask stands in the other frame and the other picture is interpolated.
        same = (i, j) in SAME
        assert swapped["blend"][7 - j, 7 - i] == pytest.approx(
            scored["blend"][i, j], abs=0.01 if same else 0.03
        )
        if same:
            back = pose_of(swapped, 7 - j, 7 - i).inverse()
            assert_same_pose(back, pose_of(scored, i, j), degrees=0.3, pixels=0.1)


def largest_change(scores, scored, field="blend"):
    return np.nanmax(np.abs(scores[field] - scored[field]))


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 10.0), (1.0, -3.0), (17.0, 0.0), (0.01, 0.5)])
def test_gain_and_offset_of_one_picture_do_not_matter(noisy, scored, gain, offset):
    changed = noisy.copy()
    changed[2] = gain * changed[2] + offset
    # A file of one picture may have a level of its own; bright stays bright.
    scores = score_all(changed)
    assert largest_change(scores, scored) < 2e-3
    assert_same_pose(pose_of(scores, 2, 6), pose_of(scored, 2, 6))


def test_a_quarter_turn_of_one_picture_changes_its_rotation_by_90_and_nothing_else(noisy, scored):
    changed = noisy.copy()
    changed[5] = np.roll(np.rot90(changed[5]), 1, axis=0)
    scores = score_all(changed)
    assert largest_change(scores, scored) < 5e-3
    before, after = pose_of(scored, 1, 5), pose_of(scores, 1, 5)
    expected = Pose((before.rotation - 90) % 360, before.shift_y, before.shift_x, before.mirrored)
    if before.mirrored:
        expected = Pose(
            (before.rotation + 90) % 360, before.shift_y, before.shift_x, before.mirrored
        )
    assert_same_pose(after, expected, degrees=0.1, pixels=0.05)


def test_a_whole_pixel_shift_of_one_picture_changes_its_shift_and_hardly_the_blend(noisy, scored):
    changed = noisy.copy()
    changed[5] = np.roll(changed[5], (1, -1), axis=(0, 1))
    scores = score_all(changed)
    same = tuple(np.transpose(SAME))
    # Other noise now stands at the rim of the mask.
    assert np.abs(scores["blend"][same] - scored["blend"][same]).max() < 0.01
    moved = pose_of(scored, 1, 5).linear() @ [-1, 1]
    before, after = pose_of(scored, 1, 5), pose_of(scores, 1, 5)
    expected = Pose(
        before.rotation, before.shift_y - moved[1], before.shift_x - moved[0], before.mirrored
    )
    assert_same_pose(after, expected, degrees=0.2, pixels=0.05)


def test_mirroring_one_picture_turns_the_mirror_state_round(noisy, scored):
    changed = noisy.copy()
    changed[5] = np.roll(changed[5][:, ::-1], 1, axis=1)
    scores = score_all(changed)
    assert largest_change(scores, scored) < 0.01
    assert pose_of(scores, 1, 5).mirrored != pose_of(scored, 1, 5).mirrored
    assert pose_of(scores, 0, 4).mirrored == pose_of(scored, 0, 4).mirrored


def test_a_source_of_inverted_contrast_gives_the_same_scores(noisy, scored):
    inverted = as_classes(noisy[:4], source="a.mrcs")
    inverted += as_classes(1 - noisy[4:], source="b.mrcs", first_id=4)
    scores = score_all(inverted)
    assert largest_change(scores, scored) < 1e-3
    for i, j in SAME:
        assert_same_pose(pose_of(scores, i, j), pose_of(scored, i, j))
