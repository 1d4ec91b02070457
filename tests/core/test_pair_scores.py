"""One pair at a pose has the scores that the search gives it there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from core.phantoms import as_classes, disc_noise, phantom

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.model import PAIR_FIELDS, Pose, Settings
from cryocorr_tui.core.pair_scores import ANGLES, PoseScorer, rotation_profile, score_pose
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.similarity import PairScorer

BOX = 48
POSE = Pose(77.0, 1.2, -1.6, mirrored=True)


class Scored:
    """As much of a run as scores hang on."""

    def __init__(self, images, *, overlay=None, settings=None):
        self.settings = settings or Settings(seed=3)
        classes = as_classes(images)
        if overlay is not None:
            classes = [replace(item, overlay=overlay[k]) for k, item in enumerate(classes)]
        self.working = prepare(classes, self.settings)
        every = slice(0, len(images))
        scorer = PairScorer(self.working, self.settings, Backend("cpu"), memory=1e9)
        self.stored = dict(zip(PAIR_FIELDS, scorer.score(every, every), strict=True))

    def pair(self, i, j):
        stored = {name: float(self.stored[name][min(i, j), max(i, j)]) for name in PAIR_FIELDS}
        pose = Pose(
            stored["rotation_deg"],
            stored["shift_y_px"],
            stored["shift_x_px"],
            bool(stored["mirrored"]),
        )
        return SimpleNamespace(**stored, pose=pose if i < j else pose.inverse())


def noisy_phantoms():
    pictures = [phantom(BOX, POSE), phantom(BOX), phantom(BOX, seed=4)]
    return np.stack(pictures) + 0.2 * disc_noise(3, BOX)


def print_over(images):
    """A plate in a corner of the disc of the first picture, and one across the second."""
    overlay = np.zeros(images.shape, dtype=bool)
    overlay[0, 6:20, 6:24] = True
    overlay[1, 30:41, 10:40] = True
    return overlay


@pytest.fixture(scope="module", params=["plain", "print", "resampled"])
def scored(request):
    images = noisy_phantoms()
    if request.param == "print":
        return Scored(images, overlay=print_over(images))
    settings = Settings(box=32) if request.param == "resampled" else None
    return Scored(images, settings=settings)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (1, 0), (0, 2)])
def test_at_the_found_pose_the_scores_are_those_of_the_search(scored, i: int, j: int) -> None:
    found = scored.pair(i, j)
    scores = score_pose(scored, i, j, found.pose)
    # The same kernels: only the pose has been rounded to source pixels and back.
    for name in ("ncc", "ssim", "nmi", "blend"):
        assert getattr(scores, name) == pytest.approx(getattr(found, name), abs=1e-3)
    assert scores.frc_resolution_px == pytest.approx(found.frc_resolution_px, rel=1e-2)


def test_the_frc_falls_through_a_half_where_it_says(scored) -> None:
    scores = score_pose(scored, 0, 1, scored.pair(0, 1).pose)
    assert scores.frc[0] == 1
    assert scores.frequency[-1] == pytest.approx(0.5 / scored.working.scale[0])
    at = np.interp(1 / scores.frc_resolution_px, scores.frequency, scores.frc)
    assert at == pytest.approx(0.5, abs=0.02) or scores.frc.min() > 0.5


def test_a_pose_turned_away_scores_less(scored) -> None:
    scorer, pose = PoseScorer(scored, 0, 1), scored.pair(0, 1).pose
    turned = replace(pose, rotation=pose.rotation + 20)
    assert scorer.score(turned).ncc < scorer.score(pose).ncc - 0.1


@pytest.mark.parametrize(("i", "j"), [(0, 1), (1, 0)])
def test_the_profile_peaks_at_the_found_pose(scored, i: int, j: int) -> None:
    found = scored.pair(i, j)
    profile = rotation_profile(scored, i, j)
    right, wrong = profile.of(found.pose.mirrored), profile.of(not found.pose.mirrored)
    assert abs(ANGLES[right.argmax()] - found.pose.rotation) <= 2
    assert right.max() == pytest.approx(found.ncc, abs=0.02)
    assert wrong.max() < right.max()
    at = PoseScorer(scored, i, j).score(
        replace(found.pose, rotation=float(ANGLES[40]), mirrored=not found.pose.mirrored)
    )
    assert wrong[40] == pytest.approx(at.ncc, abs=1e-4)


def test_a_class_left_out_has_no_scores() -> None:
    images = np.concatenate([noisy_phantoms(), np.zeros((1, BOX, BOX), np.float32)])
    scores = score_pose(Scored(images), 0, 3, Pose())
    assert np.isnan([scores.ncc, scores.blend, scores.frc_resolution_px]).all()
    assert np.isnan(scores.frc).all()


def test_shifted_out_of_sight_it_has_no_scores(scored) -> None:
    away = Pose(shift_y=40.0 * BOX, shift_x=40.0 * BOX)
    assert np.isnan(score_pose(scored, 0, 1, away).blend)
