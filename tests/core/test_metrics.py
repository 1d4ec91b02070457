from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import disc_noise, phantom
from scipy import fft
from skimage.metrics import normalized_mutual_information, structural_similarity

from cryocorr_tui.core import metrics
from cryocorr_tui.core.metrics import BINS, SSIM_WINDOW
from cryocorr_tui.core.model import MetricWeights
from cryocorr_tui.core.preprocessing import disc_mask

BOX = 48
MASK = disc_mask(BOX, 0.9 * BOX)
INSIDE = MASK > 0


def like(seed, noise):
    """Two pictures of one particle with noise of their own."""
    clean = phantom(BOX, seed=seed)
    return tuple(clean + noise * disc_noise(2, BOX, seed=seed))


PAIRS = [
    pytest.param(*like(1, 0.1), id="alike"),
    pytest.param(*like(2, 1.0), id="noisy"),
    pytest.param(phantom(BOX, seed=1), phantom(BOX, seed=2), id="different"),
    pytest.param(phantom(BOX, seed=3), -phantom(BOX, seed=3), id="opposite"),
]


# NCC, SSIM, NMI


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_ncc_is_numpys_correlation_coefficient_inside_the_mask(first, second):
    expected = np.corrcoef(first[INSIDE], second[INSIDE])[0, 1]
    assert metrics.ncc(first, second, MASK) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_ssim_is_that_of_scikit_image_where_whole_windows_lie_inside_the_mask(first, second):
    a, b = (metrics.unit_range(picture, MASK) for picture in (first, second))
    _, everywhere = structural_similarity(
        a.astype(np.float64), b.astype(np.float64), win_size=SSIM_WINDOW, data_range=1, full=True
    )
    reach = SSIM_WINDOW // 2
    windows = np.lib.stride_tricks.sliding_window_view(INSIDE, (SSIM_WINDOW, SSIM_WINDOW))
    whole = np.pad(windows.all(axis=(2, 3)), reach)
    expected = everywhere[whole].mean()
    assert metrics.ssim(first, second, MASK) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_nmi_is_that_of_scikit_image_less_the_bias(first, second):
    a, b = (metrics.unit_range(picture, MASK)[INSIDE] for picture in (first, second))
    edges = np.linspace(0, 1, BINS + 1)
    joint = np.histogram2d(a, b, bins=(edges, edges))[0] / len(a)
    h_joint = -np.sum(joint[joint > 0] * np.log(joint[joint > 0]))
    bias = (BINS - 1) ** 2 / (2 * len(a)) / h_joint
    expected = normalized_mutual_information(a, b, bins=[edges, edges]) - 1 - bias
    assert metrics.nmi(first, second, MASK) == pytest.approx(max(expected, 0), abs=1e-9)


def test_a_picture_is_perfectly_like_itself():
    picture, _ = like(1, 0.3)
    assert metrics.ncc(picture, picture, MASK) == pytest.approx(1)
    assert metrics.ssim(picture, picture, MASK) == pytest.approx(1)
    # The bias taken off is that of independent pictures, a little more than there is here.
    assert 0.8 < metrics.nmi(picture, picture, MASK) <= 1


def test_independent_noise_shares_no_information():
    noise = np.random.default_rng(0).standard_normal((40, BOX, BOX)).astype(np.float32)
    pairs = list(zip(noise[:20], noise[20:], strict=True))
    assert np.mean([metrics.nmi(a, b, MASK) for a, b in pairs]) < 0.005
    assert abs(np.mean([metrics.ncc(a, b, MASK) for a, b in pairs])) < 0.02


@pytest.mark.parametrize("metric", [metrics.ncc, metrics.ssim, metrics.nmi])
class TestEveryMetric:
    def test_falls_as_noise_rises(self, metric):
        scores = [metric(*like(4, noise), MASK) for noise in (0.02, 0.05, 0.1, 0.2)]
        assert np.all(np.diff(scores) < 0)

    def test_does_not_care_which_picture_comes_first(self, metric):
        first, second = like(5, 0.3)
        assert metric(first, second, MASK) == pytest.approx(metric(second, first, MASK), abs=1e-12)

    @given(gain=st.floats(0.01, 100), offset=st.floats(-100, 100))
    @settings(deadline=None, max_examples=15)
    def test_does_not_care_for_gain_and_offset(self, metric, gain, offset):
        first, second = like(6, 0.3)
        changed = (second.astype(np.float64) * gain + offset).astype(np.float32)
        # Single precision loses digits of the contrast under a large offset; a pixel then may
        # change its grey level, which moves the histogram by one count in 1,500.
        assert metric(first, changed, MASK) == pytest.approx(metric(first, second, MASK), abs=2e-3)

    def test_sees_nothing_outside_the_mask(self, metric):
        first, second = like(7, 0.3)
        elsewhere = np.where(INSIDE, second, 1e4).astype(np.float32)
        assert metric(first, elsewhere, MASK) == pytest.approx(
            metric(first, second, MASK), abs=1e-12
        )

    @pytest.mark.parametrize("value", [0.0, 3.3, -1e6])
    def test_is_nan_for_a_constant_picture(self, metric, value):
        flat = np.full((BOX, BOX), value, dtype=np.float32)
        assert np.isnan(metric(flat, phantom(BOX), MASK))
        assert np.isnan(metric(phantom(BOX), flat, MASK))


def test_the_unit_range_spans_four_standard_deviations_to_either_side():
    picture = np.zeros((BOX, BOX), dtype=np.float32)
    picture[:, ::2] = 2.0  # mean 1, standard deviation 1 but for the rim of the mask
    unit = metrics.unit_range(picture, MASK)
    np.testing.assert_allclose(np.unique(unit), [0.375, 0.625], atol=0.01)
    spike = disc_noise(1, BOX)[0]
    spike[BOX // 2, BOX // 2] = 1e3
    assert metrics.unit_range(spike, MASK).max() == 1


def test_grey_levels_split_0_to_1_into_32_equal_steps():
    values = np.array([0, 0.99 / 32, 1 / 32, 0.5, 31 / 32, 1], dtype=np.float32)
    assert metrics.grey_level(values).tolist() == [0, 0, 1, 16, 31, 31]


def test_the_blend_is_the_weighted_mean():
    values = {name: np.float32([value]) for name, value in zip("abc", (0.8, 0.4, 0.2), strict=True)}
    named = {"ncc": values["a"], "ssim": values["b"], "nmi": values["c"]}
    result = metrics.blend(named, MetricWeights(ncc=2, ssim=1, nmi=1))
    np.testing.assert_allclose(result, [(1.6 + 0.4 + 0.2) / 4], rtol=1e-6)


def test_a_metric_of_weight_0_cannot_spoil_the_blend():
    values = {
        "ncc": np.float32([0.8, np.nan]),
        "ssim": np.float32([0.6, 0.5]),
        "nmi": np.float32([np.nan, np.nan]),
    }
    result = metrics.blend(values, MetricWeights(ncc=1, ssim=1, nmi=0))
    np.testing.assert_allclose(result, [0.7, np.nan], rtol=1e-6)


# Fourier ring correlation


@pytest.mark.parametrize("box", [32, 33])
def test_the_ring_correlation_is_the_sum_over_whole_rings(box):
    first, second = np.random.default_rng(1).standard_normal((2, box, box))
    a, b = np.fft.fft2(first), np.fft.fft2(second)
    frequency = np.fft.fftfreq(box) * box
    shell = np.rint(np.hypot(frequency[:, None], frequency))
    expected = [
        (a[shell == s] * b[shell == s].conj()).sum().real
        / np.sqrt((np.abs(a[shell == s]) ** 2).sum() * (np.abs(b[shell == s]) ** 2).sum())
        for s in range(1, box // 2 + 1)
    ]
    curve = metrics.ring_correlation(fft.rfft2(first), fft.rfft2(second))
    assert curve[0] == 1
    np.testing.assert_allclose(curve[1:], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("curve", "period"),
    [
        ([1, 1, 1, 1, 1], 2.0),  # never falls: Nyquist
        ([1, 0.9, 0.7, 0.3, 0.1], 8 / 2.5),
        ([1, 0.9, 0.5, 0.4, 0.9], 8 / 2.0),
        ([1, 0.2, 0.9, 0.9, 0.9], 8.0),  # never above: the box
        ([1, 0.9, 0.2, 0.9, 0.9], 8 / (1 + 4 / 7)),  # the first fall counts
        ([1, 1, 1, 1, 0.0], 8 / 3.5),
    ],
)
def test_the_crossing_is_where_a_straight_line_falls_through_a_half(curve, period):
    assert metrics.frc_crossing(np.array(curve), 8) == pytest.approx(period)


def test_crossings_of_many_curves_come_at_once():
    curves = np.array([[[1, 1, 1], [1, 0.6, 0.4]], [[1, 0, 0], [1, 0.5, 0.5]]])
    np.testing.assert_allclose(metrics.frc_crossing(curves, 4), [[2, 4 / 1.5], [4, 2]])


SOFT = disc_mask(96, 0.9 * 96, edge=0.05 * 96)


def test_identical_pictures_agree_to_nyquist():
    picture = disc_noise(1, 96, smooth=0.3)[0]
    curve = metrics.frc(picture, picture, SOFT)
    np.testing.assert_allclose(curve, 1, atol=1e-6)
    assert metrics.frc_crossing(curve, 96) == 2


def test_independent_noise_agrees_nowhere():
    noise = np.random.default_rng(2).standard_normal((20, 96, 96)).astype(np.float32)
    curves = np.array([metrics.frc(*noise[k : k + 2], SOFT) for k in range(0, 20, 2)])
    # Shells of few samples correlate by chance, never to a period that shows detail.
    assert np.all(metrics.frc_crossing(curves, 96) > 96 / 4)
    assert np.median(metrics.frc_crossing(curves, 96)) > 96 / 1.5
    assert abs(curves[:, 8:].mean()) < 0.03


@pytest.mark.parametrize("shell", [12, 20, 30])
def test_the_crossing_is_where_signal_and_noise_are_equally_strong(shell):
    # FRC = SNR / (1 + SNR) is one half where the SNR is 1.
    rng = np.random.default_rng(shell)
    radius, _ = metrics.shell_index(96)
    amplitude = np.minimum((np.maximum(radius, 1) / shell) ** -3.0, 5)
    white = np.fft.rfft2(rng.standard_normal((20, 96, 96)))
    signals = np.fft.irfft2(white * amplitude, s=(96, 96))
    noise = rng.standard_normal((2, 20, 96, 96))
    first, second = (signals + noise).astype(np.float32)
    # Few samples lie on a ring, so the random phases are scattered too: new ones for each pair.
    curves = [
        metrics.frc(a, b, SOFT, seed=2 * k)
        for k, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    curve = np.mean(curves, axis=0)
    assert 96 / metrics.frc_crossing(curve, 96) == pytest.approx(shell, abs=1)


def test_the_correction_takes_off_what_a_tight_mask_brings():
    # The two share a level, which a tight mask spreads to all frequencies, and nothing else.
    tight = disc_mask(96, 40, edge=1)
    noise = np.random.default_rng(3).standard_normal((2, 96, 96)).astype(np.float32)
    first, second = noise + 6
    plain = metrics.ring_correlation(fft.rfft2(first * tight), fft.rfft2(second * tight))
    beyond = slice(8, None)
    corrected = metrics.frc(first, second, tight)
    assert plain[beyond].mean() > 0.2
    assert abs(corrected[beyond].mean()) < 0.5 * plain[beyond].mean()
    np.testing.assert_allclose(corrected[:3], plain[:3], atol=1e-6)


def test_random_phases_keep_amplitudes_and_all_below_the_cut_off():
    picture = disc_noise(1, 96, smooth=0.5)[0] + 3
    changed = metrics.phase_randomised(picture, 10, seed=1)
    before, after = fft.rfft2(picture), fft.rfft2(changed)
    shell, _ = metrics.shell_index(96)
    scale = np.abs(before).max()
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-6 * scale)
    np.testing.assert_allclose(after[shell < 10], before[shell < 10], atol=1e-6 * scale)
    assert abs(metrics.ring_correlation(before, after)[12:].mean()) < 0.05


def test_random_phases_are_those_of_the_seed():
    picture = phantom(48)
    same = metrics.phase_randomised(picture, 4, seed=7)
    np.testing.assert_array_equal(metrics.phase_randomised(picture, 4, seed=7), same)
    assert not np.allclose(metrics.phase_randomised(picture, 4, seed=8), same)


def test_an_empty_spectrum_correlates_with_nothing():
    empty = np.zeros((16, 9), dtype=np.complex64)
    assert metrics.ring_correlation(empty, empty).tolist() == [1] + 8 * [0]
