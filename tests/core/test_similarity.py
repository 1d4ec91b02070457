from __future__ import annotations

import csv
from dataclasses import replace

import mrcfile
import numba
import numpy as np
import pytest
from devices import DEVICES, OutOfStrictMemoryError, StrictBackend, assert_same_block
from phantoms import (
    as_classes,
    disc_noise,
    phantom,
    pose_of,
    random_pose,
    score_all,
    shift_between,
    turn_between,
)
from scipy.stats import rankdata

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.model import PAIR_FIELDS, MetricWeights, Pose, Settings
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.similarity import PairScorer, Stopped, warm_up
from cryocorr_tui.core.simulation import ClassTruth, SimulatedSet, relative_pose


def scorer(images, *, memory=1e9, **options):
    settings = Settings(**options)
    working = prepare(as_classes(images), settings)
    return PairScorer(working, settings, Backend("cpu"), memory=memory)


# The sample, whose truth is known


@pytest.fixture(scope="module")
def sample():
    """The committed class averages with their truth."""
    images = mrcfile.read(sample_data() / "class_averages.mrcs")
    with (sample_data() / "truth.csv").open(newline="") as table:
        truth = tuple(as_truth(row) for row in csv.DictReader(table))
    return SimulatedSet(images=images, truth=truth, pixel_size=4.2)


def as_truth(row):
    pose = None
    if not row["junk"]:
        pose = Pose(
            float(row["rotation_deg"]),
            float(row["shift_y_px"]),
            float(row["shift_x_px"]),
            row["mirrored"] == "true",
        )
    return ClassTruth(
        class_id=int(row["class_id"]),
        structure=row["structure"],
        view=int(row["view"]) if row["view"] else None,
        pose=pose,
        junk=row["junk"],
        snr=float(row["snr"]),
        particles=int(row["particles"]),
        resolution=float(row["resolution_angstrom"]),
    )


@pytest.fixture(scope="module")
def sample_scores(sample):
    return score_all(sample.images)


@pytest.fixture(scope="module")
def sample_pairs(sample):
    """Every i < j and whether it shows one view."""
    i, j = np.triu_indices(len(sample.truth), 1)
    return i, j, sample.same_view()[i, j]


def area_under_curve(scores, positive):
    """Chance that a positive pair is ranked above a negative one."""
    ranks = rankdata(scores)
    hits = positive.sum()
    return (ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (~positive).sum())


def test_the_area_under_the_curve_is_right_by_hand():
    scores, positive = np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])
    assert area_under_curve(scores, positive) == pytest.approx(3 / 4)


def test_same_views_of_the_sample_stand_out(sample_scores, sample_pairs):
    i, j, same = sample_pairs
    assert np.isfinite(sample_scores["blend"][i, j]).all()
    assert area_under_curve(sample_scores["blend"][i, j], same) >= 0.999


def test_poses_of_the_sample_are_those_of_its_truth(sample, sample_scores, sample_pairs):
    i, j, same = sample_pairs
    pairs = [
        (pose_of(sample_scores, a, b), relative_pose(sample.truth[a], sample.truth[b]))
        for a, b in zip(i[same], j[same], strict=True)
    ]
    assert len(pairs) == 54  # 18 views of 3 replicates each
    assert np.mean([found.mirrored == true.mirrored for found, true in pairs]) >= 0.995
    assert np.median([turn_between(*pair) for pair in pairs]) <= 0.3
    assert np.median([shift_between(*pair) for pair in pairs]) <= 0.15


def test_a_pair_of_the_sample_is_the_inverse_of_itself_the_other_way_round(
    sample, sample_scores, sample_pairs
):
    i, j, same = sample_pairs
    chosen = np.unique(np.concatenate([i[same], j[same]]))[:16]
    swapped = score_all(sample.images[chosen[::-1]])
    last = len(chosen) - 1
    for a, b in zip(*np.triu_indices(len(chosen), 1), strict=True):
        i, j = chosen[a], chosen[b]
        # The mask stands in the other frame, and the other picture is interpolated.
        difference = swapped["blend"][last - b, last - a] - sample_scores["blend"][i, j]
        assert abs(difference) < (0.01 if sample.same_view()[i, j] else 0.03)
        if sample.same_view()[i, j]:
            back = pose_of(swapped, last - b, last - a).inverse()
            assert back.mirrored == pose_of(sample_scores, i, j).mirrored
            assert turn_between(back, pose_of(sample_scores, i, j)) < 0.5
            assert shift_between(back, pose_of(sample_scores, i, j)) < 0.1


def test_same_views_agree_to_finer_detail_than_others(sample_scores, sample_pairs):
    i, j, same = sample_pairs
    period = sample_scores["frc_resolution_px"][i, j]
    assert np.all((period >= 2) & (period <= 88))
    assert np.median(period[same]) < np.median(period[~same]) / 2


# What a tile holds


@pytest.fixture(scope="module")
def images():
    """Four particles twice each at poses of their own, with noise."""
    rng = np.random.default_rng(11)
    drawn = [phantom(40, random_pose(rng, max_shift=1.5), seed=k % 4) for k in range(8)]
    return np.float32(drawn + 0.2 * np.std(drawn) * disc_noise(8, 40, seed=11))


@pytest.fixture(scope="module")
def whole(images):
    return scorer(images).score(slice(0, 8), slice(0, 8))


def test_only_pairs_above_the_diagonal_are_scored(whole):
    assert whole.shape == (len(PAIR_FIELDS), 8, 8)
    assert whole.dtype == np.float32
    above = np.triu(np.ones((8, 8), dtype=bool), 1)
    assert np.isfinite(whole[:, above]).all()
    assert np.isnan(whole[:, ~above]).all()


def test_every_field_lies_in_its_range(whole):
    fields = {name: whole[at][np.triu_indices(8, 1)] for at, name in enumerate(PAIR_FIELDS)}
    for name in ("blend", "ncc", "ssim"):
        assert np.all((fields[name] >= -1) & (fields[name] <= 1))
    assert np.all((fields["nmi"] >= 0) & (fields["nmi"] <= 1))
    assert np.all((fields["rotation_deg"] >= 0) & (fields["rotation_deg"] < 360))
    assert set(fields["mirrored"]) == {0.0, 1.0}
    assert np.all(np.hypot(fields["shift_y_px"], fields["shift_x_px"]) <= 4 + 1e-4)
    assert np.all((fields["frc_resolution_px"] >= 2) & (fields["frc_resolution_px"] <= 40))


def test_the_cut_into_tiles_does_not_change_the_result(images, whole):
    pieces = scorer(images)
    for rows in (slice(0, 3), slice(3, 8)):
        for columns in (slice(0, 3), slice(3, 4), slice(4, 8)):
            tile = pieces.score(rows, columns)
            np.testing.assert_allclose(tile, whole[:, rows, columns], atol=1e-4)
            np.testing.assert_allclose(tile[:4], whole[:4, rows, columns], atol=1e-6)


def test_too_little_memory_for_the_column_cache_does_not_change_the_result(images, whole):
    pieces = scorer(images, memory=1.0)
    for rows in (slice(0, 4), slice(4, 8)):
        for columns in (slice(4, 8), slice(0, 4), slice(4, 8)):
            tile = pieces.score(rows, columns)
            np.testing.assert_allclose(tile[:4], whole[:4, rows, columns], atol=1e-6)


def test_the_same_tile_has_the_same_bytes_whatever_the_threads(images, whole):
    most = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = scorer(images).score(slice(0, 8), slice(0, 8))
    finally:
        numba.set_num_threads(most)
    assert alone.tobytes() == whole.tobytes()


def test_an_unusable_picture_has_nan_in_its_row_and_column_only(images, whole):
    broken = images.copy()
    broken[2] = 1.0
    broken[5, 3, 3] = np.nan
    block = scorer(broken).score(slice(0, 8), slice(0, 8))
    kept = np.array([0, 1, 3, 4, 6, 7])
    gone = np.array([2, 5])
    assert np.isnan(block[:, gone]).all()
    assert np.isnan(block[:, :, gone]).all()
    kept = np.ix_(range(len(PAIR_FIELDS)), kept, kept)
    np.testing.assert_allclose(block[kept], whole[kept], atol=1e-4)


def test_a_tile_of_unusable_pictures_is_nan(images):
    broken = images.copy()
    broken[:3] = 0.0
    assert np.isnan(scorer(broken).score(slice(0, 3), slice(0, 3))).all()


def test_without_mirror_no_pair_is_mirrored(images, whole):
    block = scorer(images, mirror=False).score(slice(0, 8), slice(0, 8))
    at = PAIR_FIELDS.index("mirrored")
    assert np.nanmax(block[at]) == 0
    unmirrored = whole[at] == 0
    np.testing.assert_allclose(block[1][unmirrored], whole[1][unmirrored], atol=1e-5)


def test_the_blend_is_that_of_the_weights(images):
    only_ncc = scorer(images, weights=MetricWeights(ncc=3, ssim=0, nmi=0))
    block = only_ncc.score(slice(0, 8), slice(0, 8))
    np.testing.assert_allclose(block[0], block[1], atol=1e-6)
    mixed = scorer(images, weights=MetricWeights(ncc=1, ssim=2, nmi=1)).score(
        slice(0, 8), slice(0, 8)
    )
    np.testing.assert_allclose(mixed[0], (mixed[1] + 2 * mixed[2] + mixed[3]) / 4, atol=1e-6)


def test_a_picture_and_its_copy_agree_to_nyquist():
    # With detail of every size: where a picture has no power there is nothing to agree about.
    image = phantom(40) + 0.2 * np.random.default_rng(0).standard_normal((40, 40))
    scores = score_all(np.stack([image, image]))
    assert scores["ncc"][0, 1] == pytest.approx(1, abs=1e-3)
    assert scores["frc_resolution_px"][0, 1] == pytest.approx(2, abs=0.01)


def test_noise_agrees_with_noise_nowhere():
    scores = score_all(np.random.default_rng(0).standard_normal((6, 48, 48)).astype(np.float32))
    above = np.triu_indices(6, 1)
    assert np.median(scores["frc_resolution_px"][above]) > 48 / 4
    assert scores["ncc"][above].max() < 0.4
    assert scores["nmi"][above].max() < 0.02


# On another device


@pytest.fixture(scope="module", params=[40, 41], ids=["even", "odd"])
def noisy(request):
    """Working set of twelve pictures, one of them constant, print on two."""
    box, rng = request.param, np.random.default_rng(request.param)
    drawn = [phantom(box, random_pose(rng, max_shift=1.5), seed=k % 5) for k in range(12)]
    images = np.float32(drawn + 0.3 * np.std(drawn) * disc_noise(12, box, seed=11))
    images[7] = 1.0
    overlay = np.zeros((12, box, box), dtype=bool)
    overlay[0, 8:20, 5:25] = overlay[9, 20:30, 10:35] = True
    return replace(prepare(as_classes(images), Settings()), overlay=overlay)


def block_of(working, backend, *, rows=slice(0, 12), columns=slice(0, 12), **options):
    return PairScorer(working, Settings(**options), backend, memory=4e7).score(rows, columns)


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("mirror", [True, False])
def test_a_device_scores_a_tile_as_the_host_does(noisy, place, mirror):
    expected = block_of(noisy, Backend("cpu"), mirror=mirror)
    assert_same_block(block_of(noisy, place(), mirror=mirror), expected)


def test_of_a_tile_nothing_but_its_block_leaves_the_device(noisy):
    device = StrictBackend()
    block_of(noisy, device, rows=slice(0, 3), columns=slice(2, 6))
    assert device.copies == [(len(PAIR_FIELDS), 3, 4)]


# Memory that does not suffice


class Cramped(StrictBackend):
    """A device that runs out of memory where more than `pairs` are wanted at a time."""

    pairs = 0

    def to_device(self, array):
        if array.dtype == bool and array.ndim == 2 and array.size > self.pairs:
            raise OutOfStrictMemoryError
        return super().to_device(array)


def test_a_tile_that_does_not_fit_is_scored_in_halves(noisy, monkeypatch):
    monkeypatch.setattr(Cramped, "pairs", 9)
    working = replace(noisy, overlay=None)
    expected = block_of(working, Backend("cpu"), columns=slice(5, 12), rows=slice(2, 7))
    block = block_of(working, Cramped(), columns=slice(5, 12), rows=slice(2, 7))
    assert_same_block(block, expected)


def test_memory_for_no_pair_is_an_error_that_names_the_device_and_ways_out(noisy):
    with pytest.raises(
        DeviceError, match=r"memory of device1 does not suffice for one pair.*--box"
    ):
        block_of(noisy, Cramped(), rows=slice(0, 2), columns=slice(2, 4))


def test_a_device_without_any_memory_is_an_error(noisy, monkeypatch):
    def to_device(backend, array):
        raise OutOfStrictMemoryError

    monkeypatch.setattr(Cramped, "to_device", to_device)
    with pytest.raises(DeviceError, match=r"device1 has no memory left.*--box"):
        block_of(noisy, Cramped())


# Tiles


def test_warming_up_compiles_without_a_warning():
    warm_up(Backend("cpu"))


def test_a_scorer_that_is_stopped_gives_a_tile_up():
    images = np.stack([phantom(24, seed=k) for k in range(4)])
    scoring = scorer(images)
    scoring.stop()
    with pytest.raises(Stopped):
        scoring.score(slice(0, 4), slice(0, 4))
