"""The compiled kernels against the plain formulas of `metrics`."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from phantoms import disc_noise, phantom, random_pose

from cryocorr_tui.core import metrics
from cryocorr_tui.core.alignment import FINALISTS, OVERSAMPLING, oversample
from cryocorr_tui.core.election import elect as elect_on_any
from cryocorr_tui.core.preprocessing import disc_mask, standardise
from cryocorr_tui.core.sampling_kernels import sample_aligned
from cryocorr_tui.core.scoring_kernels import metric_rows

WEIGHTS = (0.5, 0.3, 0.2)

elect = partial(elect_on_any, memory=0)  # on the host it takes none


def as_array(pose):
    return np.array([pose.rotation, pose.shift_y, pose.shift_x, pose.mirrored], dtype=np.float32)


class Scene:
    """Standardised pictures of noisy particles and some poses to score them at."""

    def __init__(self, box):
        rng = np.random.default_rng(box)
        images = np.stack([phantom(box, seed=seed) for seed in range(4)])
        images += 0.3 * disc_noise(4, box, seed=box)
        self.box = box
        self.mask = disc_mask(box, 0.9 * box)
        self.images = standardise(images, self.mask)
        self.fine = oversample(self.images)
        self.rows = metric_rows(self.images, self.mask)
        self.poses = np.array(
            [
                [
                    [as_array(random_pose(rng, max_shift=3)) for _ in range(FINALISTS)]
                    for _ in range(4)
                ]
                for _ in range(4)
            ]
        )

    def aligned(self, j, pose):
        """Picture j at a pose, 0 outside the mask."""
        sampled = np.empty(len(self.rows.x), dtype=np.float32)
        sample_aligned(self.fine[j], pose, self.rows.x, self.rows.y, sampled, OVERSAMPLING)
        picture = np.zeros((self.box, self.box), dtype=np.float32)
        picture[self.mask > 0] = sampled
        return picture

    def by_formula(self, i, j, place):
        """Blend, NCC, SSIM, NMI."""
        pair = self.images[i], self.aligned(j, self.poses[i, j, place]), self.mask
        scores = metrics.ncc(*pair), metrics.ssim(*pair), metrics.nmi(*pair)
        return np.array([np.dot(WEIGHTS, scores), *scores])


@pytest.fixture(scope="module", params=[40, 41])
def scene(request):
    return Scene(request.param)


def standing(place=None):
    who = np.zeros((4, 4, FINALISTS), dtype=bool)
    who[..., slice(None) if place is None else place] = True
    return who


def test_compiled_scores_are_the_plain_formulas(scene):
    scores = elect(scene.rows, scene.fine, scene.poses, standing(0), WEIGHTS)
    for i, j in np.ndindex(4, 4):
        expected = scene.by_formula(i, j, 0)
        np.testing.assert_allclose(scores[i, j, :3], expected[:3], atol=1e-4)
        # A pixel on the edge of a grey level may fall to either side in single precision.
        assert scores[i, j, 3] == pytest.approx(expected[3], abs=1e-3)
        np.testing.assert_array_equal(scores[i, j, 4:], scene.poses[i, j, 0])


def printed(scene):
    """Two stripes on pictures 0 and 2, none on the others."""
    overlay = np.zeros((4, scene.box, scene.box), dtype=bool)
    overlay[0, 8:12, 5:25] = overlay[2, 20:24, 10:35] = True
    return overlay


def test_printed_pixels_of_either_picture_are_left_out_of_every_metric(scene):
    overlay = printed(scene)
    rows = metric_rows(scene.images, scene.mask, overlay)
    scores = elect(rows, scene.fine, scene.poses, standing(0), WEIGHTS, overlay)
    for i, j in np.ndindex(4, 4):
        pose = scene.poses[i, j, 0]
        covered = np.empty(len(rows.x), dtype=np.float32)
        sample_aligned(overlay[j].astype(np.float32), pose, rows.x, rows.y, covered, 1)
        mask = scene.mask * ~overlay[i]
        mask.reshape(-1)[rows.inside[covered >= 0.25]] = 0
        pair = scene.images[i], scene.aligned(j, pose), mask
        expected = metrics.ncc(*pair), metrics.ssim(*pair), metrics.nmi(*pair)
        np.testing.assert_allclose(scores[i, j, 1:3], expected[:2], atol=1e-4)
        assert scores[i, j, 3] == pytest.approx(expected[2], abs=2e-3)
        assert scores[i, j, 0] == pytest.approx(np.dot(WEIGHTS, scores[i, j, 1:4]), abs=1e-6)


def test_what_stands_under_print_changes_no_score(scene):
    overlay = printed(scene)
    spoilt = scene.images + 5 * overlay
    plain, other = (
        elect(metric_rows(images, scene.mask, overlay), scene.fine, scene.poses, standing(0),
              WEIGHTS, overlay)
        for images in (scene.images, spoilt.astype(np.float32))
    )  # fmt: skip
    np.testing.assert_allclose(plain, other, atol=1e-5)


def test_pairs_without_print_score_alike_beside_printed_ones(scene):
    overlay = printed(scene)
    rows = metric_rows(scene.images, scene.mask, overlay)
    beside = elect(rows, scene.fine, scene.poses, standing(0), WEIGHTS, overlay)
    alone = elect(scene.rows, scene.fine, scene.poses, standing(0), WEIGHTS)
    clean = np.ix_([1, 3], [1, 3])
    np.testing.assert_array_equal(beside[clean], alone[clean])
    assert not np.allclose(beside[0], alone[0], atol=1e-4)


def test_the_finalist_of_the_best_blend_is_elected(scene):
    scores = elect(scene.rows, scene.fine, scene.poses, standing(), WEIGHTS)
    for i, j in np.ndindex(4, 4):
        blends = [scene.by_formula(i, j, place)[0] for place in range(FINALISTS)]
        assert scores[i, j, 0] == pytest.approx(max(blends), abs=1e-3)
        np.testing.assert_array_equal(scores[i, j, 4:], scene.poses[i, j, np.argmax(blends)])


def test_a_picture_on_itself_has_the_best_score_of_each_metric(scene):
    poses = np.zeros_like(scene.poses)
    scores = elect(scene.rows, scene.fine, poses, standing(0), WEIGHTS)
    diagonal = np.einsum("iik->ik", scores)
    np.testing.assert_allclose(diagonal[:, 1:3], 1, atol=1e-4)
    assert np.all(diagonal[:, 3] > 0.8)


def test_a_pair_without_a_finalist_has_no_score(scene):
    who = standing(0)
    who[1, 2] = False
    scores = elect(scene.rows, scene.fine, scene.poses, who, WEIGHTS)
    assert np.isnan(scores[1, 2]).all()
    assert np.isfinite(np.delete(scores.reshape(16, 8), 6, axis=0)).all()


def test_a_constant_picture_has_no_score(scene):
    columns = scene.fine.copy()
    columns[3] = 2.5
    scores = elect(scene.rows, columns, scene.poses, standing(), WEIGHTS)
    assert np.isnan(scores[:, 3]).all()
    assert np.isfinite(scores[:, :3]).all()
