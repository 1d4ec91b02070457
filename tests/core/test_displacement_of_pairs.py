"""Class averages laid on each other: settings that suit them, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from speckles import shifted

from benchmarks.class_displacement import BOX, bulge, class_pairs
from cryocorr_tui.core.displacement import advice, displacement_field, pair_settings
from cryocorr_tui.core.displacement.loading import laid_pictures
from cryocorr_tui.core.model import DisplacementSettings


@pytest.fixture(scope="module")
def pairs():
    return list(class_pairs(bulge, snr=4, views=3))


def measured(pairs, settings):
    """Part of the unmasked vectors that is valid, and the error of those, in pixels."""
    unmasked, off = 0, []
    for pair in pairs:
        field = displacement_field(pair.reference, pair.deformed, settings, mask=pair.mask)
        dy, dx = bulge(field.y, field.x)
        unmasked += (field.reason != "masked").sum()
        off.append(np.hypot(field.dy - dy, field.dx - dx)[field.valid])
    off = np.concatenate(off)
    return len(off) / unmasked, np.median(off)


def test_settings_for_pairs_find_more_than_half_of_a_known_deformation(pairs):
    valid, off = measured(pairs, pair_settings(BOX, device="cpu"))
    assert valid > 0.55
    assert off < 0.5
    general, _ = measured(pairs, DisplacementSettings(device="cpu"))
    assert valid > 1.5 * general


def test_subsets_that_only_shift_are_found_more_often_and_are_not_worse_known(pairs):
    shift = measured(pairs, pair_settings(BOX, device="cpu"))
    affine = measured(pairs, pair_settings(BOX, device="cpu", subset_shape="affine"))
    assert shift[0] > 1.3 * affine[0]
    assert shift[1] < 1.2 * affine[1]


@pytest.mark.parametrize("box", [16, 32, 96, 300])
def test_settings_for_pairs_fit_every_box_and_give_way_to_the_user(box):
    settings = pair_settings(box)
    assert settings.block_size <= box
    assert settings.step == settings.block_size // 4
    assert settings.subset_shape == "shift"
    mine = pair_settings(box, block_size=12, smoothing=0.0)
    assert (mine.block_size, mine.step, mine.smoothing) == (12, 3, 0.0)


def test_where_the_laid_class_has_no_data_it_goes_on_but_never_inside_the_mask():
    picture = np.random.default_rng(0).normal(5, 1, (20, 20)).astype(np.float32)
    laid = picture.copy()
    laid[:4] = np.nan
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:18, 5:15] = True
    deformed = laid_pictures(picture, laid, mask).deformed
    np.testing.assert_array_equal(np.isnan(deformed), mask & np.isnan(laid))
    assert deformed[0, 0] == pytest.approx(5, abs=0.5)


def test_advice_is_given_against_what_most_vectors_fail_by_and_only_then():
    pair = shifted(0.3, 0.2, side=128)
    assert advice(displacement_field(pair.reference, pair.deformed)) == ""
    noise = np.random.default_rng(1).random(pair.reference.shape).astype(np.float32)
    said = advice(displacement_field(pair.reference, noise))
    assert said.startswith("Against low correlation try larger blocks or more smoothing")
    assert "do not show the same" in said
    pair = shifted(3.0, 0.0, side=128)
    whole = displacement_field(pair.reference, pair.deformed, DisplacementSettings(128))
    assert "smaller blocks" in advice(whole)
