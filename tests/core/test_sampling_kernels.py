"""One picture sampled at one pose, against the convention of a pose and the border."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import disc_noise, phantom, random_pose
from scipy import ndimage

from cryocorr_tui.core.alignment import OVERSAMPLING, oversample
from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.sampling_kernels import sample_aligned


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [32, 33])
def test_sampling_follows_the_sampling_matrix_of_the_pose(box, mirrored):
    image = disc_noise(1, box, seed=2)[0]
    pose = Pose(37, 1.3, -2.2, mirrored)
    yy, xx = np.nonzero(disc_mask(box, 0.7 * box))
    x, y = (xx - box // 2).astype(np.float32), (yy - box // 2).astype(np.float32)
    sampled = np.empty(len(x), dtype=np.float32)
    as_array = np.array([pose.rotation, pose.shift_y, pose.shift_x, mirrored], dtype=np.float32)
    sample_aligned(image, as_array, x, y, sampled, 1)
    source_x, source_y = pose.sampling_matrix(box) @ [xx, yy, np.ones(len(xx))]
    expected = ndimage.map_coordinates(image, [source_y, source_x], order=1, mode="nearest")
    np.testing.assert_allclose(sampled, expected, atol=2e-4)  # single precision coordinates


@pytest.mark.parametrize("box", [32, 33])
def test_sampling_the_finer_picture_is_closer_to_the_truth(box):
    pose = random_pose(np.random.default_rng(1), max_shift=2)
    yy, xx = np.nonzero(disc_mask(box, 0.7 * box))
    x, y = (xx - box // 2).astype(np.float32), (yy - box // 2).astype(np.float32)
    as_array = np.array(
        [pose.rotation, pose.shift_y, pose.shift_x, pose.mirrored], dtype=np.float32
    )
    image, truth = phantom(box), phantom(box, pose)[yy, xx]
    errors = []
    for oversampling, picture in ((1, image), (OVERSAMPLING, oversample(image[None])[0])):
        sampled = np.empty(len(x), dtype=np.float32)
        sample_aligned(picture, as_array, x, y, sampled, oversampling)
        errors.append(np.abs(sampled - truth).max())
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.05


def test_beyond_the_border_the_outermost_pixel_is_repeated():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    x = np.tile(np.array([-40, 40, 40], dtype=np.float32), 4)
    y = np.tile(np.array([-40, -40, 40], dtype=np.float32), 4)
    sampled = np.empty(12, dtype=np.float32)
    sample_aligned(image, np.zeros(4, dtype=np.float32), x, y, sampled, 1)
    np.testing.assert_allclose(sampled, np.tile([0, 3, 15], 4), atol=0.01)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 23])
def test_pixels_sampled_together_get_what_each_gets_alone(count):
    rng = np.random.default_rng(count)
    image = disc_noise(1, 32, seed=3)[0]
    pose = np.array([rng.uniform(0, 360), 2.5, -1.5, count % 2], dtype=np.float32)
    x, y = rng.uniform(-20, 20, (2, count)).astype(np.float32)  # some beyond the border
    together, alone = np.empty((2, count), dtype=np.float32)
    sample_aligned(image, pose, x, y, together, 1)
    for p in range(count):
        one = slice(p, p + 1)
        sample_aligned(image, pose, x[one], y[one], alone[one], 1)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_rows_of_a_picture_may_lie_apart():
    rng = np.random.default_rng(0)
    image = disc_noise(1, 32, seed=3)[0]
    apart = np.full((32, 40), np.nan, dtype=np.float32)[:, :32]
    apart[:] = image
    pose = np.array([33, 1.5, 0.5, 1], dtype=np.float32)
    x, y = rng.uniform(-20, 20, (2, 21)).astype(np.float32)
    sampled, expected = np.empty((2, 21), dtype=np.float32)
    sample_aligned(apart, pose, x, y, sampled, 1)
    sample_aligned(image, pose, x, y, expected, 1)
    np.testing.assert_array_equal(sampled, expected)
