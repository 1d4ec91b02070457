from __future__ import annotations

import numpy as np
import pytest

from cryocorr_tui.core.scoring import pair_reason, pair_score, pair_weight

NAN = float("nan")


def test_the_weight_is_the_geometric_mean_of_the_qualities() -> None:
    assert pair_weight(np.float32(0.25), np.float32(1.0), 1.0) == pytest.approx(0.5)
    assert pair_weight(np.float32(0.25), np.float32(1.0), 2.0) == pytest.approx(0.25)
    assert pair_weight(np.float32(0.0), np.float32(1.0), 1.0) == 0


def test_the_weight_rises_in_both_qualities_and_stays_within_0_and_1() -> None:
    quality = np.linspace(0, 1, 11, dtype=np.float32)
    weight = pair_weight(quality[:, np.newaxis], quality, 0.7)
    assert weight.dtype == np.float32
    assert weight.min() == 0
    assert weight.max() == 1
    assert (np.diff(weight[1:], axis=1) > 0).all()
    assert (np.diff(weight[:, 1:], axis=0) > 0).all()


def test_a_quality_weight_of_0_switches_the_weighting_off() -> None:
    quality = np.array([0, 0.3, NAN], dtype=np.float32)
    assert pair_weight(quality, quality, 0).tolist() == [1, 1, 1]


def test_an_unknown_quality_gives_an_unknown_weight() -> None:
    assert np.isnan(pair_weight(np.float32(NAN), np.float32(1), 1.0))


@pytest.mark.parametrize("quality_weight", [-1.0, NAN])
def test_a_quality_weight_below_0_is_refused(quality_weight: float) -> None:
    with pytest.raises(ValueError, match="quality_weight"):
        pair_weight(np.float32(1), np.float32(1), quality_weight)


def test_a_negative_blend_is_not_ranked_up_by_a_low_weight() -> None:
    blend = np.array([0.8, -0.5, -0.5, NAN, 0.8], dtype=np.float32)
    weight = np.array([0.5, 0.1, 1.0, 1.0, NAN], dtype=np.float32)
    expected = np.array([0.4, 0, 0, NAN, NAN], dtype=np.float32)
    np.testing.assert_array_equal(pair_score(blend, weight), expected)


def test_the_reason_of_a_pair_names_the_class_to_blame() -> None:
    reasons = {3: "is constant", 5: "holds NaN pixels"}
    assert pair_reason(1, 3, reasons) == "class 3 is constant"
    assert pair_reason(3, 5, reasons) == "class 3 is constant; class 5 holds NaN pixels"
    assert pair_reason(1, 2, reasons) == "not scored"
