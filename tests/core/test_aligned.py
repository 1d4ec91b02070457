"""Class j laid on class i comes to lie where it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from class_average_forge import write_stack
from core.phantoms import phantom

from cryocorr_tui.core.aligned import (
    aligned_pictures,
    difference,
    difference_picture,
    laid_on,
    overlay,
    source_mask,
    to_grey,
)
from cryocorr_tui.core.analysis import AnalysisFinished, analyze
from cryocorr_tui.core.model import Pose, Settings
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.run import Run

BOX = 64


def correlation(first, second, mask):
    return np.corrcoef(first[mask], second[mask])[0, 1]


def run_of(tmp_path: Path, *stacks: tuple[np.ndarray, float]) -> Run:
    files = [
        write_stack(tmp_path / f"stack{k}.mrcs", images, pixel_size)
        for k, (images, pixel_size) in enumerate(stacks)
    ]
    for event in analyze(files, tmp_path / "run", Settings(quality_weight=0), write=False):
        if isinstance(event, AnalysisFinished):
            return event.run
    raise AssertionError("no end")


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("box", [64, 65])
def test_a_pose_undone_gives_the_picture_back(box: int, mirrored: bool) -> None:
    pose = Pose(37.0, 2.4, -3.3, mirrored)
    disc = disc_mask(box, 0.8 * box) > 0
    back = laid_on(phantom(box, pose), pose.inverse(), box=box)
    assert correlation(phantom(box), back, disc) > 0.999


@pytest.mark.parametrize(("box", "pixels"), [(40, 1.6), (96, 64 / 96)])
def test_a_picture_of_other_pixels_is_scaled(box: int, pixels: float) -> None:
    pose = Pose(120.0, 1.5, -2.0)
    laid = laid_on(phantom(BOX), pose, box=box, pixels=pixels)
    wanted = phantom(box, pose, size=BOX / pixels)
    # The blobs do not know of the pixel: the same numbers, place by place.
    assert correlation(wanted, laid, disc_mask(box, 0.8 * box) > 0) > 0.99


def test_where_j_has_no_data_is_not_known() -> None:
    laid = laid_on(np.ones((BOX, BOX), np.float32), Pose(shift_x=5.0), box=BOX)
    assert np.isnan(laid[:, :5]).all()
    assert (laid[:, 5:] == 1).all()
    assert np.isfinite(laid_on(np.ones((BOX, BOX), np.float32), Pose(), box=BOX)).all()


def test_the_found_pose_lays_j_on_i_and_i_on_j(tmp_path: Path) -> None:
    pose = Pose(77.0, 1.2, -1.6, mirrored=True)
    run = run_of(tmp_path, (np.stack([phantom(BOX, pose), phantom(BOX)]), 2.0))
    first, second = aligned_pictures(run, 0, 1)
    disc = source_mask(run, 0)
    assert correlation(first, second, disc) > 0.99
    assert not first.flags.writeable
    assert not second.flags.writeable
    first, second = aligned_pictures(run, 1, 0)
    assert correlation(first, second, disc) > 0.99
    with pytest.raises(ValueError):
        second[0, 0] = 1


def test_pixel_size_box_and_contrast_of_the_sources_may_differ(tmp_path: Path) -> None:
    fine = phantom(96, Pose(30.0, 2.0, 1.0), size=96)
    run = run_of(
        tmp_path,
        (np.stack([phantom(BOX), phantom(BOX, seed=5)]), 3.0),
        (-np.stack([fine, phantom(96, seed=9, size=96)]), 2.0),
    )
    for i, j in [(0, 2), (2, 0)]:
        first, second = aligned_pictures(run, i, j)
        assert first.shape == second.shape == run.classes[i].image.shape
        assert correlation(first, second, source_mask(run, i)) > 0.99
    assert aligned_pictures(run, 0, 2, Pose())[1].shape == (BOX, BOX)


def test_equal_pictures_do_not_differ_whatever_their_grey_scale() -> None:
    picture, disc = phantom(BOX), disc_mask(BOX, 50) > 0
    same = difference(picture, 3 * picture + 2, disc)
    np.testing.assert_allclose(same[disc], 0, atol=1e-5)
    assert np.isnan(same[~disc]).all()
    half = picture.copy()
    half[:, :32] = np.nan
    assert np.isnan(difference(picture, half, disc)[:, :32]).all()
    assert np.isnan(difference(picture, np.full_like(picture, np.nan), disc)).all()


def test_magenta_is_more_of_the_first_and_green_of_the_second() -> None:
    drawn = difference_picture(np.array([[9.0, -9.0, 0.0, np.nan]], np.float32))
    assert drawn.tolist() == [[[255, 0, 255], [0, 255, 0], [0, 0, 0], [0, 0, 0]]]
    grey = difference_picture(np.array([[9.0, -9.0]], np.float32), colour=False)
    assert grey.tolist() == [[255, 0]]
    both = overlay(np.array([[200, 0]], np.uint8), np.array([[0, 100]], np.uint8))
    assert both.tolist() == [[[200, 0, 200], [0, 100, 0]]]


@pytest.mark.parametrize("enhanced", [False, True])
def test_grey_spans_the_range_and_unknown_is_black(enhanced: bool) -> None:
    picture = 1000 * phantom(BOX) - 20
    picture[:4] = np.nan
    grey = to_grey(picture, enhanced=enhanced)
    assert grey.dtype == np.uint8
    assert grey.max() == 255
    assert not grey[:4].any()
    assert not to_grey(np.full((8, 8), np.nan, np.float32), enhanced=enhanced).any()
    assert (to_grey(np.ones((8, 8), np.float32), enhanced=enhanced) == 128).all()
