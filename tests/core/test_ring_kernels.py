"""The compiled FRC curves of aligned pairs against the plain ring correlation of `metrics`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft
from test_scoring_kernels import Scene

from cryocorr_tui.core.metrics import ring_correlation
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.ring_kernels import aligned_ring_curves

ROWS, COLUMNS = np.array([3, 1, 1, 0]), np.array([0, 0, 2, 2])


@pytest.fixture(scope="module", params=[40, 41])
def scene(request):
    return Scene(request.param)


def soft_mask(scene):
    return disc_mask(scene.box, 0.9 * scene.box, edge=4) * scene.mask


def curves_of(scene, pictures, shells):
    rows, soft = scene.rows, soft_mask(scene)
    pixels = rows.x, rows.y, rows.inside, soft[scene.mask > 0]
    spectra = fft.rfft2(scene.images * soft)
    return aligned_ring_curves(
        spectra, ROWS, pictures, COLUMNS, scene.poses[ROWS, COLUMNS, 0], pixels, shells
    )


def by_formula(scene):
    soft = soft_mask(scene)
    first = scene.images[ROWS] * soft
    second = [
        scene.aligned(j, scene.poses[i, j, 0]) * soft for i, j in zip(ROWS, COLUMNS, strict=True)
    ]
    return ring_correlation(fft.rfft2(first), fft.rfft2(np.stack(second)))


def test_they_are_the_ring_correlation_of_the_aligned_pictures(scene):
    curves = curves_of(scene, scene.fine, scene.box // 2 + 1)
    np.testing.assert_allclose(curves, by_formula(scene), atol=2e-5)


@pytest.mark.parametrize("shells", [2, 5, 19])
def test_the_first_shells_are_the_same_alone(scene, shells):
    curves = curves_of(scene, scene.fine, shells)
    np.testing.assert_allclose(curves, by_formula(scene)[:, :shells], atol=2e-5)


def test_a_picture_at_one_pose_agrees_with_itself_in_every_ring(scene):
    unmoved = np.zeros((4, 4), dtype=np.float32)
    rows, soft = scene.rows, soft_mask(scene)
    pixels = rows.x, rows.y, rows.inside, soft[scene.mask > 0]
    every = np.arange(4)
    curves = aligned_ring_curves(
        fft.rfft2(scene.images * soft), every, scene.images, every, unmoved, pixels, 12
    )
    np.testing.assert_allclose(curves, 1, atol=1e-5)


def test_an_empty_picture_has_a_ring_correlation_of_0(scene):
    curves = curves_of(scene, np.zeros_like(scene.images), 9)
    assert curves.tolist() == 4 * [[1] + 8 * [0]]
