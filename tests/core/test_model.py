"""The pose convention, proven by hand: mirror, then counter-clockwise on screen, then shift."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryocorr_tui.core.model import METRICS, MetricWeights, Pose, frozen_array

poses = st.builds(
    Pose,
    rotation=st.floats(0, 360, exclude_max=True),
    shift_y=st.floats(-9, 9),
    shift_x=st.floats(-9, 9),
    mirrored=st.booleans(),
)


def letter(box):
    """A capital L whose corner is the centre pixel: a long stroke up, a short foot to the right."""
    image = np.zeros((box, box), dtype=np.float32)
    centre = box // 2
    image[centre - 6 : centre + 1, centre] = 1.0
    image[centre, centre : centre + 4] = 0.5
    return image


def dot(box, dy, dx):
    """One bright pixel, `dy` below and `dx` right of the centre."""
    image = np.zeros((box, box), dtype=np.float32)
    image[box // 2 + dy, box // 2 + dx] = 1.0
    return image


def apply(image, pose, interpolation=cv2.INTER_NEAREST):
    box = len(image)
    matrix = pose.sampling_matrix(box)
    return cv2.warpAffine(image, matrix, (box, box), flags=interpolation | cv2.WARP_INVERSE_MAP)


def mirror_by_hand(image):
    """Pixel x goes to 2·centre − x; the left column of an even box has no partner."""
    mirrored = image[:, ::-1]
    return np.roll(mirrored, 1, axis=1) if len(image) % 2 == 0 else mirrored


def turn_by_hand(image, quarters):
    """``np.rot90`` turns counter-clockwise about the middle of the box; bring it to the centre."""
    turned = np.rot90(image, quarters)
    if len(image) % 2:
        return turned
    return np.roll(turned, {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (0, 1)}[quarters], axis=(0, 1))


@pytest.mark.parametrize("box", [32, 33])
def test_a_quarter_turn_takes_what_is_right_of_the_centre_above_it(box):
    np.testing.assert_array_equal(apply(dot(box, 0, 5), Pose(90)), dot(box, -5, 0))
    np.testing.assert_array_equal(apply(dot(box, -5, 0), Pose(90)), dot(box, 0, -5))


@pytest.mark.parametrize("box", [32, 33])
def test_the_mirror_takes_right_to_left_and_leaves_the_centre(box):
    np.testing.assert_array_equal(apply(dot(box, 3, 5), Pose(mirrored=True)), dot(box, 3, -5))
    np.testing.assert_array_equal(apply(dot(box, 3, 0), Pose(mirrored=True)), dot(box, 3, 0))


@pytest.mark.parametrize("box", [32, 33])
def test_a_positive_shift_goes_down_and_right(box):
    np.testing.assert_array_equal(apply(dot(box, 0, 0), Pose(shift_y=3, shift_x=5)), dot(box, 3, 5))


@pytest.mark.parametrize("box", [32, 33])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_mirror_then_turn_then_shift_is_what_numpy_does_by_hand(box, mirrored, quarters):
    by_hand = mirror_by_hand(letter(box)) if mirrored else letter(box)
    by_hand = np.roll(turn_by_hand(by_hand, quarters), (3, -5), axis=(0, 1))
    pose = Pose(90 * quarters, shift_y=3, shift_x=-5, mirrored=mirrored)
    np.testing.assert_array_equal(apply(letter(box), pose), by_hand)


@pytest.mark.parametrize("box", [64, 65])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turn_of_37_degrees_puts_a_blob_where_the_formula_says(box, mirrored):
    blob = cv2.GaussianBlur(dot(box, 4, 15), (0, 0), 2)
    moved = apply(blob, Pose(37, 2.0, -3.5, mirrored), cv2.INTER_CUBIC)
    across = -15 if mirrored else 15
    cosine, sine = math.cos(math.radians(37)), math.sin(math.radians(37))
    expected_y = box // 2 - across * sine + 4 * cosine + 2.0
    expected_x = box // 2 + across * cosine + 4 * sine - 3.5
    y, x = np.indices(moved.shape)
    # 37° counter-clockwise takes a point on the right upwards; OpenCV samples at 1/32 px.
    assert (moved * y).sum() / moved.sum() == pytest.approx(expected_y, abs=0.03)
    assert (moved * x).sum() / moved.sum() == pytest.approx(expected_x, abs=0.03)


@given(pose=poses, y=st.floats(-30, 30), x=st.floats(-30, 30), box=st.sampled_from([64, 65]))
@settings(deadline=None, max_examples=60)
def test_the_sampling_matrix_leads_from_the_moved_point_back_to_where_it_was(pose, y, x, box):
    moved_x, moved_y = pose.linear() @ [x, y] + [pose.shift_x, pose.shift_y]
    centre = box // 2
    back = pose.sampling_matrix(box) @ [centre + moved_x, centre + moved_y, 1]
    np.testing.assert_allclose(back, [centre + x, centre + y], atol=1e-9)


def test_the_sampling_matrix_scales_the_shift_and_nothing_else():
    fine = Pose(30, 2.0, -1.0).sampling_matrix(64, scale=2.0)
    np.testing.assert_allclose(fine, Pose(30, 4.0, -2.0).sampling_matrix(64))


@given(pose=poses)
@settings(deadline=None, max_examples=100)
def test_a_pose_and_its_inverse_cancel(pose):
    inverse = pose.inverse()
    assert 0 <= inverse.rotation < 360
    assert inverse.mirrored == pose.mirrored
    np.testing.assert_allclose(inverse.linear() @ pose.linear(), np.eye(2), atol=1e-12)
    there = np.array([pose.shift_x, pose.shift_y])
    back = inverse.linear() @ there + [inverse.shift_x, inverse.shift_y]
    np.testing.assert_allclose(back, 0, atol=1e-12)


@given(rotation=st.floats(0, 1e-13))
@settings(deadline=None, max_examples=20)
def test_the_inverse_of_almost_no_turn_stays_below_360(rotation):
    assert 0 <= Pose(rotation).inverse().rotation < 360


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_inverse_brings_the_letter_back(mirrored):
    pose = Pose(270, 4.0, -3.0, mirrored)
    there = apply(letter(32), pose)
    np.testing.assert_array_equal(apply(there, pose.inverse()), letter(32))


def test_a_frozen_array_is_a_read_only_copy():
    source = np.arange(6, dtype=np.float64).reshape(2, 3).T
    frozen = frozen_array(source)
    source[:] = -1
    assert frozen.dtype == np.float32
    assert frozen.flags.c_contiguous
    np.testing.assert_array_equal(frozen, [[0, 3], [1, 4], [2, 5]])
    with pytest.raises(ValueError, match="read-only"):
        frozen[0, 0] = 1


def test_every_metric_has_a_weight():
    weights = MetricWeights(ncc=0.5, ssim=0.3, nmi=0.2)
    assert [weights.of(metric) for metric in METRICS] == [0.5, 0.3, 0.2]
