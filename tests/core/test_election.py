"""The plain, batched election and ring correlation against the compiled kernels."""

from __future__ import annotations

import numpy as np
import pytest
from devices import DEVICES
from scipy import fft
from test_scoring_kernels import WEIGHTS, Scene, printed, standing
from test_scoring_kernels import elect as elect_on_host

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.election import elect, shortlist
from cryocorr_tui.core.frc import ring_curves, ring_matrix
from cryocorr_tui.core.metrics import ring_correlation
from cryocorr_tui.core.scoring_kernels import metric_rows, thin_rows

# Sums in single precision taken in another order. A grey value on the edge between two levels may
# fall to either side, which moves NMI, and that alone.
NCC, SSIM, NMI = 1e-5, 3e-5, 1e-3


@pytest.fixture(scope="module", params=[40, 41])
def scene(request):
    return Scene(request.param)


def plain(scene, backend, who, *, overlay=None, columns=None, memory=1e7):
    scores = elect(
        backend.moved(metric_rows(scene.images, scene.mask, overlay)),
        backend.to_device(scene.fine if columns is None else columns),
        backend.to_device(scene.poses),
        backend.to_device(who),
        WEIGHTS,
        None if overlay is None else backend.to_device(overlay),
        memory=memory,
    )
    return backend.to_host(scores)


def assert_same_scores(scores, expected):
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(expected))
    np.testing.assert_allclose(scores[..., 1], expected[..., 1], atol=NCC)
    np.testing.assert_allclose(scores[..., 2], expected[..., 2], atol=SSIM)
    np.testing.assert_allclose(scores[..., 3], expected[..., 3], atol=NMI)
    blend = scores[..., 1:4] @ np.float32(WEIGHTS)
    np.testing.assert_allclose(scores[..., 0], blend, atol=1e-6)


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_plain_scores_of_a_pose_are_the_compiled_ones(scene, place, which):
    expected = elect_on_host(scene.rows, scene.fine, scene.poses, standing(which), WEIGHTS)
    scores = plain(scene, place(), standing(which))
    assert_same_scores(scores, expected)
    np.testing.assert_array_equal(scores[..., 4:], expected[..., 4:])


@pytest.mark.parametrize("place", DEVICES)
def test_plain_scores_leave_print_out_as_the_compiled_ones_do(scene, place):
    overlay = printed(scene)
    rows = metric_rows(scene.images, scene.mask, overlay)
    expected = elect_on_host(rows, scene.fine, scene.poses, standing(0), WEIGHTS, overlay)
    assert_same_scores(plain(scene, place(), standing(0), overlay=overlay), expected)


@pytest.mark.parametrize("place", DEVICES)
def test_a_picture_all_under_print_has_no_score(scene, place):
    overlay = np.zeros((4, scene.box, scene.box), dtype=bool)
    overlay[1] = True
    scores = plain(scene, place(), standing(0), overlay=overlay)
    assert np.isnan(scores[1]).all()
    assert np.isnan(scores[:, 1]).all()
    assert np.isfinite(scores[np.ix_([0, 2, 3], [0, 2, 3])]).all()


@pytest.mark.parametrize("place", DEVICES)
def test_both_elect_the_same_finalist(scene, place):
    who = standing()
    who[2, 1, 0] = False
    who[1, 3] = False
    expected = elect_on_host(scene.rows, scene.fine, scene.poses, who, WEIGHTS)
    scores = plain(scene, place(), who)
    assert_same_scores(scores, expected)
    np.testing.assert_array_equal(scores[..., 4:], expected[..., 4:])
    assert np.isnan(scores[1, 3]).all()


def shortlisted(scene, backend, who, overlay=None):
    listed = shortlist(
        backend.moved(thin_rows(scene.images, scene.mask, overlay)),
        backend.to_device(scene.fine),
        backend.to_device(scene.poses),
        backend.to_device(who),
        WEIGHTS,
        None if overlay is None else backend.to_device(overlay),
        memory=1e7,
    )
    return backend.to_host(listed)


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("with_print", [False, True])
def test_both_shortlist_the_same_finalists(scene, place, with_print):
    overlay = printed(scene) if with_print else None
    expected = shortlisted(scene, Backend("cpu"), standing(), overlay)
    np.testing.assert_array_equal(shortlisted(scene, place(), standing(), overlay), expected)


def test_a_shortlist_holds_whoever_is_elected_of_many(scene):
    listed = shortlisted(scene, Backend("cpu"), standing())
    assert 16 <= listed.sum() < listed.size
    expected = elect_on_host(scene.rows, scene.fine, scene.poses, standing(), WEIGHTS)
    scores = elect_on_host(scene.rows, scene.fine, scene.poses, listed, WEIGHTS)
    np.testing.assert_array_equal(scores, expected)


def test_who_stands_alone_is_on_the_shortlist(scene):
    who = standing(2)
    who[0, 1] = False
    np.testing.assert_array_equal(shortlisted(scene, Backend("cpu"), who), who)


@pytest.mark.parametrize("place", DEVICES)
def test_a_constant_picture_has_no_plain_score(scene, place):
    columns = scene.fine.copy()
    columns[3] = 2.7  # no power of two, so its mean is rounded
    scores = plain(scene, place(), standing(), columns=columns)
    assert np.isnan(scores[:, 3]).all()
    assert np.isfinite(scores[:, :3]).all()


@pytest.mark.parametrize("place", DEVICES)
def test_little_memory_does_not_change_the_election(scene, place):
    scores = plain(scene, place(), standing())
    few = plain(scene, place(), standing(), memory=3e6)
    np.testing.assert_allclose(few, scores, atol=1e-6)


@pytest.mark.parametrize("place", DEVICES)
def test_plain_ring_curves_are_the_ring_correlation(scene, place):
    backend = place()
    first = fft.rfft2(scene.images)
    second = fft.rfft2(scene.images[::-1] + scene.images)
    second[2] = 0  # an empty spectrum correlates by 0
    expected = ring_correlation(first, second)
    moved = (backend.to_device(array) for array in (first, second, ring_matrix(scene.box)))
    np.testing.assert_allclose(backend.to_host(ring_curves(*moved)), expected, atol=1e-5)
