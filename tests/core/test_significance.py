from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryocorr_tui.core.significance import (
    FEWEST_PAIRS,
    Null,
    benjamini_yekutieli,
    fit_null,
)

ROTATIONS = 128


def unrelated_pairs(classes: int, smoothness: float, seed: int) -> NDArray[np.float32]:
    """Correlate random pictures, taking the best over all rotations and both mirror states.

    A picture is made of ring spectra: normal coefficients that fall off with the order.
    """
    rng = np.random.default_rng(seed)
    shape = (classes, 12, ROTATIONS // 2 + 1)
    fall_off = np.exp(-np.arange(shape[2]) / smoothness)
    spectra = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * fall_off
    spectra[:, :, 0] = 0
    spectra /= np.sqrt(2 * (np.abs(spectra) ** 2).sum(axis=(1, 2), keepdims=True))
    best = []
    for i in range(classes - 1):
        for others in (spectra[i + 1 :], spectra[i + 1 :].conj()):
            products = np.einsum("rk,jrk->jk", spectra[i], others.conj())
            best.append(np.fft.irfft(products, ROTATIONS).max(axis=1) * ROTATIONS)
    plain, mirrored = (np.concatenate(best[k::2]) for k in (0, 1))
    return np.maximum(plain, mirrored).astype(np.float32)


@pytest.mark.parametrize("smoothness", [4, 10, 25])
def test_3_to_9_percent_of_unrelated_pairs_lie_below_p_5_percent(smoothness: float) -> None:
    blend = unrelated_pairs(80, smoothness, seed=3)
    p_values = fit_null(blend).p_values(blend)
    assert 0.03 < np.mean(p_values < 0.05) < 0.09


def test_matches_and_junk_do_not_hide_the_matches() -> None:
    rng = np.random.default_rng(0)
    unrelated = np.tanh(rng.normal(0.1, 0.1, (10, 3000)).max(axis=0))
    clean = fit_null(unrelated)
    mixed = np.concatenate([unrelated, rng.uniform(0.75, 0.95, 400), rng.uniform(-0.1, 0, 400)])
    null = fit_null(mixed)
    assert null.n == 3800
    assert null.blend_at(0.01) == pytest.approx(clean.blend_at(0.01), abs=0.05)
    q_values = benjamini_yekutieli(null.p_values(mixed))
    assert (q_values[3000:3400] < 0.05).all()
    assert np.mean(q_values[:3000] < 0.05) < 0.01


def test_the_parameters_of_a_null_are_found_again() -> None:
    rng = np.random.default_rng(1)
    null = fit_null(np.tanh(rng.normal(0.2, 0.1, (10, 50_000)).max(axis=0)))
    assert null.location == pytest.approx(0.2, abs=0.02)
    assert null.scale == pytest.approx(0.1, rel=0.1)


def test_p_values_by_hand() -> None:
    null = Null(location=0.0, scale=0.1, n=100)
    # The best of ten poses at the mean of one: 1 − 0.5¹⁰; two deviations up: 1 − 0.97725¹⁰.
    p_values = null.p_values(np.tanh(np.array([0.0, 0.2])))
    np.testing.assert_allclose(p_values, [0.999023, 0.205572], rtol=1e-4)
    assert p_values.dtype == np.float64


@settings(max_examples=30, deadline=None)
@given(blends=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20))
def test_a_higher_blend_never_has_a_higher_p_value(blends: list[float]) -> None:
    blend = np.sort(np.array(blends, dtype=np.float32))
    p_values = Null(0.1, 0.1, 100).p_values(blend)
    assert (np.diff(p_values) <= 0).all()
    assert ((p_values >= 0) & (p_values <= 1)).all()


@pytest.mark.parametrize("p", [0.25, 0.01, 1e-6])
def test_blend_at_is_the_inverse_of_the_p_value(p: float) -> None:
    null = Null(0.1, 0.08, 100)
    assert null.p_values(np.array([null.blend_at(p)])) == pytest.approx(p)


def test_the_same_picture_twice_has_a_p_value_of_nearly_0() -> None:
    p_values = Null(0.1, 0.1, 100).p_values(np.array([1.0, 1.0000001], dtype=np.float32))
    assert (p_values < 1e-100).all()


def test_unscored_pairs_pass_through_and_are_not_counted() -> None:
    blend = unrelated_pairs(20, 10, seed=0)
    holes = np.append(blend, np.full(50, np.nan, dtype=np.float32))
    assert fit_null(holes) == fit_null(blend)
    p_values = fit_null(holes).p_values(holes)
    assert np.isnan(p_values[-50:]).all()
    np.testing.assert_array_equal(
        benjamini_yekutieli(p_values)[:-50], benjamini_yekutieli(p_values[:-50])
    )


def test_too_few_pairs_tell_nothing() -> None:
    null = fit_null(np.linspace(0, 0.5, FEWEST_PAIRS - 1))
    assert np.isnan([null.location, null.scale]).all()
    assert null.n == FEWEST_PAIRS - 1
    p_values = null.p_values(np.array([0.5]))
    assert np.isnan(p_values).all()
    assert np.isnan(benjamini_yekutieli(p_values)).all()


def test_pairs_that_are_all_equally_alike_tell_nothing() -> None:
    assert np.isnan(fit_null(np.full(100, 0.4)).scale)


def test_q_values_by_hand() -> None:
    # Three tests: pᵢ · 3 / rank · (1 + 1/2 + 1/3), made monotone from above.
    q_values = benjamini_yekutieli(np.array([0.01, 0.5, 0.02]))
    np.testing.assert_allclose(q_values, [0.055, 11 / 12, 0.055])
