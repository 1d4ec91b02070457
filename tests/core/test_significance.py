from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from cryocorr_tui.core.significance import (
    FEWEST_PAIRS,
    POSES,
    FalseDiscoveryRate,
    Null,
    fit_null,
)

ROTATIONS = 128


FIRST, SECOND = np.array([0]), np.array([1])


def unrelated_pairs(classes: int, smoothness: float, seed: int) -> NDArray[np.float32]:
    """Correlate random pictures, taking the best over all rotations and both mirror states.

    A picture is made of ring spectra: normal coefficients that fall off with the order. Returns
    (classes, classes), NaN on the diagonal.
    """
    rng = np.random.default_rng(seed)
    shape = (classes, 12, ROTATIONS // 2 + 1)
    fall_off = np.exp(-np.arange(shape[2]) / smoothness)
    spectra = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * fall_off
    spectra[:, :, 0] = 0
    spectra /= np.sqrt(2 * (np.abs(spectra) ** 2).sum(axis=(1, 2), keepdims=True))
    best = np.full((classes, classes), np.nan, dtype=np.float32)
    for i in range(classes - 1):
        for others in (spectra[i + 1 :], spectra[i + 1 :].conj()):
            products = np.einsum("rk,jrk->jk", spectra[i], others.conj())
            found = np.fft.irfft(products, ROTATIONS).max(axis=1) * ROTATIONS
            best[i, i + 1 :] = np.fmax(best[i, i + 1 :], found)
    return symmetric(best)


def symmetric(upper: NDArray[np.floating]) -> NDArray[np.float32]:
    """Mirror the pairs i < j into the lower triangle; NaN on the diagonal."""
    both = np.triu(upper, k=1)
    both = both + both.T
    np.fill_diagonal(both, np.nan)
    return both.astype(np.float32)


def from_levels(levels: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """Blends of unrelated classes of given levels: best of many poses, mean 0.1, deviation 0.05."""
    rng = np.random.default_rng(seed)
    n = levels.size
    best = 0.1 + 0.05 * rng.normal(size=(POSES, n, n)).max(axis=0)
    return symmetric(np.tanh(best + levels[:, np.newaxis] + levels))


def p_values_of(blend: NDArray[np.float32]) -> NDArray[np.float64]:
    """p-values of all pairs by the null that they give themselves, (n, n)."""
    ids = np.arange(len(blend))
    return fit_null(blend).p_values(blend, ids[:, np.newaxis], ids)


def pairs(square: NDArray[np.floating]) -> NDArray[np.floating]:
    return square[np.triu_indices(len(square), k=1)]


@pytest.mark.parametrize("smoothness", [4, 10, 25])
def test_3_to_7_percent_of_unrelated_pairs_lie_below_p_5_percent(smoothness: float) -> None:
    p_values = pairs(p_values_of(unrelated_pairs(100, smoothness, seed=3)))
    assert 0.03 < np.mean(p_values < 0.05) < 0.07


@pytest.mark.parametrize("classes", [25, 40, 100])
def test_few_classes_are_no_more_significant_than_many(classes: int) -> None:
    """Levels are fitted to the very pairs that are judged, which shows where these are few."""
    sets = 4000 // classes
    levels = np.random.default_rng(0).normal(0, 0.03, (sets, classes))
    p_values = [pairs(p_values_of(from_levels(each, seed=k))) for k, each in enumerate(levels)]
    assert np.mean(np.concatenate(p_values) < 0.05) == pytest.approx(0.05, abs=0.006)


def test_classes_that_correlate_more_with_everything_are_no_more_significant() -> None:
    levels = np.where(np.arange(120) < 30, 0.15, 0.0)
    p_values = p_values_of(from_levels(levels, seed=0))
    for part in (p_values[:30, :30], p_values[30:, 30:]):
        assert 0.03 < np.mean(pairs(part) < 0.05) < 0.07
    assert 0.03 < np.mean(p_values[:30, 30:] < 0.05) < 0.07


def test_matches_and_junk_do_not_hide_the_matches() -> None:
    view = np.concatenate([np.repeat(np.arange(12), 5), np.arange(100, 140)])
    same = view[:, np.newaxis] == view
    junk = np.where(np.arange(100) >= 80, -0.1, 0.0)
    blend = np.where(same, np.float32(0.8), from_levels(junk, seed=0))
    np.fill_diagonal(blend, np.nan)
    p_values, same = pairs(p_values_of(blend)), pairs(same)
    assert 0.03 < np.mean(p_values[~same] < 0.05) < 0.07
    rate = FalseDiscoveryRate()
    rate.add(p_values)
    assert (rate.q_values(p_values[same]) < 0.05).all()
    assert np.mean(rate.q_values(p_values[~same]) < 0.05) < 0.01


def test_the_parameters_of_a_null_are_found_again() -> None:
    levels = np.random.default_rng(1).normal(0, 0.05, 200)
    null = fit_null(from_levels(levels, seed=2))
    assert null.scale == pytest.approx(0.05, rel=0.1)
    assert null.location == pytest.approx(0.1 + 2 * np.median(levels), abs=0.02)
    np.testing.assert_allclose(null.levels, levels - np.median(levels), atol=0.02)
    assert null.pairs == 200 * 199 // 2


def test_a_sample_of_partners_gives_much_the_same_null() -> None:
    blend = from_levels(np.random.default_rng(1).normal(0, 0.05, 300), seed=2)
    whole = fit_null(blend)
    partners = np.arange(0, 300, 3)
    sample = fit_null(blend[:, partners], partners)
    assert sample.pairs == 300 * 100 - 100 - 100 * 99 // 2
    assert sample.blend_at(0.01) == pytest.approx(whole.blend_at(0.01), abs=0.01)
    np.testing.assert_allclose(sample.levels, whole.levels, atol=0.03)


def test_a_set_of_one_class_keeps_its_pairs_apart() -> None:
    """Few partners tell no level: the one that stands out must not be levelled out."""
    blend = np.full((41, 41), np.nan, dtype=np.float32)
    rng = np.random.default_rng(3)
    blend[0, 1:] = blend[1:, 0] = np.tanh(0.1 + 0.05 * rng.normal(size=(POSES, 40)).max(axis=0))
    blend[0, 7] = blend[7, 0] = 0.8
    p_values = p_values_of(blend)[0]
    assert p_values[7] < 1e-6
    assert np.nanmedian(p_values) > 0.3


def test_p_values_by_hand() -> None:
    null = Null(location=0.0, scale=0.1, levels=np.array([0.05, -0.05]), pairs=100)
    # The best of ten poses at the mean of one: 1 − 0.5¹⁰; two deviations up: 1 − 0.97725¹⁰.
    p_values = null.p_values(np.tanh(np.array([0.0, 0.2])), FIRST, SECOND)
    np.testing.assert_allclose(p_values, [0.999023, 0.205569], rtol=1e-4)
    assert p_values.dtype == np.float64
    # Both of a high level: what stood two deviations up now stands one up, 1 − 0.84134¹⁰.
    assert null.p_values(np.tanh([0.2]), FIRST, FIRST) == pytest.approx(0.822279, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(blends=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20))
def test_a_higher_blend_never_has_a_higher_p_value(blends: list[float]) -> None:
    blend = np.sort(np.array(blends, dtype=np.float32))
    p_values = Null(0.1, 0.1, np.zeros(2), 100).p_values(blend, FIRST, SECOND)
    assert (np.diff(p_values) <= 0).all()
    assert ((p_values >= 0) & (p_values <= 1)).all()


@pytest.mark.parametrize("p", [0.25, 0.01, 1e-6])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_blend_at_is_the_inverse_of_the_p_value(p: float, k: int) -> None:
    null = Null(0.1, 0.08, np.array([-0.1, 0.0, 0.1]), 100)
    ids = np.array([k])
    blend = np.array([null.blend_at(p, rank=k / 2)])
    assert null.p_values(blend, ids, ids) == pytest.approx(p)


def test_the_same_picture_twice_has_a_p_value_of_nearly_0() -> None:
    twice = np.array([1.0, 1.0000001], dtype=np.float32)
    null = Null(0.1, 0.1, np.zeros(2), 100)
    p_values = null.p_values(twice, FIRST, SECOND)
    assert (p_values < 1e-100).all()
    assert (p_values > 0).all()  # also where it is smaller than any number
    counted = FalseDiscoveryRate()
    counted.add(p_values)
    assert (counted.q_values(p_values) >= p_values).all()


def test_unscored_classes_pass_through_and_are_not_counted() -> None:
    blend = unrelated_pairs(20, 10, seed=0)
    holes = np.full((23, 23), np.nan, dtype=np.float32)
    holes[:20, :20] = blend
    null, with_holes = fit_null(blend), fit_null(holes)
    assert (with_holes.location, with_holes.scale) == (null.location, null.scale)
    assert with_holes.pairs == null.pairs == 190
    assert np.isnan(p_values_of(holes)[20:]).all()


def test_too_few_pairs_tell_nothing() -> None:
    null = fit_null(unrelated_pairs(6, 10, seed=0))
    assert null.pairs == 15 < FEWEST_PAIRS
    assert np.isnan([null.location, null.scale]).all()
    assert np.isnan(null.p_values(np.array([0.5]), FIRST, SECOND)).all()


def test_pairs_that_are_all_equally_alike_tell_nothing() -> None:
    assert np.isnan(fit_null(symmetric(np.full((20, 20), 0.4))).scale)


def test_a_blend_of_the_wrong_shape_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\), received \(4, 3\)"):
        fit_null(np.zeros((4, 3), dtype=np.float32), np.array([0, 1]))


# q-values


def test_q_values_by_hand() -> None:
    # Three tests: pᵢ · 3 / rank · (1 + 1/2 + 1/3), made monotone from above.
    p_values = np.array([0.01, 0.5, 0.02])
    rate = FalseDiscoveryRate()
    rate.add(p_values)
    np.testing.assert_allclose(rate.q_values(p_values), [0.055, 11 / 12, 0.055], rtol=0.0025)


@settings(max_examples=50, deadline=None)
@given(
    exponents=st.lists(st.floats(0, 330), min_size=1, max_size=60),
    repeats=st.integers(1, 30),
)
def test_q_values_are_never_below_the_exact_ones_and_hardly_above(
    exponents: list[float], repeats: int
) -> None:
    p_values = np.repeat(10.0 ** -np.array(exponents), repeats)
    rate = FalseDiscoveryRate()
    for block in np.array_split(p_values, 3):
        rate.add(block)
    exact = false_discovery_control(p_values, method="by")
    told = rate.q_values(p_values)
    assert (told >= exact * (1 - 1e-9)).all()
    large = p_values > 1e-319  # below it, numbers lose their digits
    assert (told <= exact * 1.0025)[large].all()


def test_unknown_p_values_pass_through_and_are_not_counted() -> None:
    p_values = np.array([0.01, np.nan, 0.5, 0.02])
    rate = FalseDiscoveryRate()
    rate.add(p_values)
    assert rate.counts.sum() == 3
    assert np.isnan(rate.q_values(p_values)).tolist() == [False, True, False, False]
    assert np.isnan(FalseDiscoveryRate().q_values(np.array([np.nan]))).all()
