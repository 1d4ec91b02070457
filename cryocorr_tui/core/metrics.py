"""How alike two aligned pictures are: NCC, SSIM, NMI and FRC, as plain formulas.

All are taken inside a mask of zeros and ones in the frame of picture i. `scoring_kernels` does the
first three for many pairs in compiled code, `election` in batches on any device; tests hold all
equal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from scipy import ndimage

from cryocorr_tui.core.fourier import irfft2, rfft2
from cryocorr_tui.core.model import FloatArray, MetricWeights

__all__ = [
    "BINS",
    "SSIM_WINDOW",
    "blend",
    "first_below",
    "frc",
    "frc_crossing",
    "ncc",
    "nmi",
    "phase_randomised",
    "random_phases",
    "ring_correlation",
    "shell_index",
    "ssim",
    "unit_range",
    "with_phases",
]

BINS = 32  # grey levels of the joint histogram
CLIP = 4.0  # standard deviations that the range of SSIM and NMI spans to either side
SSIM_WINDOW = 7  # pixels
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for a data range of 1
FRC_THRESHOLD = 0.5
RANDOMISE_BELOW = 0.8  # phases are randomised from where the uncorrected FRC falls below this
SMOOTH_OVER = 5  # shells that the correlation of random phases is averaged over
CORRECT_FROM = 2  # shells beyond the cut-off, past the mixing of neighbours


def ncc(first: FloatArray, second: FloatArray, mask: FloatArray) -> float:
    """Return the Pearson correlation coefficient inside the mask, −1…1; NaN for a constant.

    Parameters
    ----------
    first, second : (box, box) float32
        Aligned pictures.
    mask : (box, box) float32
        0 or 1.
    """
    a, b = (_standardised(picture, mask)[mask > 0] for picture in (first, second))
    return float(np.mean(a * b))


def ssim(first: FloatArray, second: FloatArray, mask: FloatArray) -> float:
    """Return the mean structural similarity, −1…1; NaN for a constant picture.

    Uniform 7×7 windows that lie inside the mask as a whole, sample covariance, and the constants of
    ``skimage.metrics.structural_similarity`` for a data range of 1 on pictures from `unit_range`.

    Parameters
    ----------
    first, second : (box, box) float32
        Aligned pictures.
    mask : (box, box) float32
        0 or 1.

    References
    ----------
    Wang et al. (2004), doi:10.1109/TIP.2003.819861
    """
    a, b = unit_range(first, mask), unit_range(second, mask)
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    var_a = sample * (_window_mean(a * a) - mean_a**2)
    var_b = sample * (_window_mean(b * b) - mean_b**2)
    covariance = sample * (_window_mean(a * b) - mean_a * mean_b)
    similarity = (
        (2 * mean_a * mean_b + SSIM_C1)
        * (2 * covariance + SSIM_C2)
        / ((mean_a**2 + mean_b**2 + SSIM_C1) * (var_a + var_b + SSIM_C2))
    )
    return float(similarity[eroded(mask)].mean())


def nmi(first: FloatArray, second: FloatArray, mask: FloatArray) -> float:
    """Return normalised mutual information without its bias, 0…1; NaN for a constant picture.

    ``skimage.metrics.normalized_mutual_information`` − 1, that is I(X, Y) / H(X, Y), on 32 grey
    levels over the fixed range of `unit_range`. A histogram of n pixels shows (B − 1)² / 2n nats
    between independent pictures; that is taken off I first, and 0 is the least.

    Parameters
    ----------
    first, second : (box, box) float32
        Aligned pictures.
    mask : (box, box) float32
        0 or 1.

    References
    ----------
    Studholme et al. (1999), doi:10.1016/S0031-3203(98)00091-0; the bias: Moddemeijer (1989),
    doi:10.1016/0165-1684(89)90132-1
    """
    inside = mask > 0
    a, b = unit_range(first, mask)[inside], unit_range(second, mask)[inside]
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    joint = np.zeros((BINS, BINS))
    np.add.at(joint, (grey_level(a), grey_level(b)), 1.0)
    joint /= len(a)
    h_a, h_b, h_joint = (_entropy(p) for p in (joint.sum(axis=1), joint.sum(axis=0), joint))
    information = h_a + h_b - h_joint - (BINS - 1) ** 2 / (2 * len(a))
    return float(max(information, 0.0) / h_joint) if h_joint > 0 else float("nan")


def blend(values: dict[str, FloatArray], weights: MetricWeights) -> FloatArray:
    """Return Σ wₖ·metricₖ / Σ wₖ; metrics of weight 0 do not count, not even when NaN."""
    used = {name: weights.of(name) for name in values if weights.of(name) > 0}
    total = sum(used.values())
    result: FloatArray = np.asarray(
        sum(values[name] * (weight / total) for name, weight in used.items()), dtype=np.float32
    )
    return result


def frc(
    first: FloatArray, second: FloatArray, soft_mask: FloatArray, *, seed: int = 0
) -> NDArray[np.float64]:
    """Return the Fourier ring correlation of an aligned pair, corrected for the shared mask.

    Under one mask even unrelated pictures correlate. The correlation of the same pictures with
    phases made random beyond a cut-off shows by how much, and (FRC − random) / (1 − random) takes
    it off. Class averages of one job may share particles or references, so this measures agreement
    and is no gold-standard resolution.

    Parameters
    ----------
    first, second : (box, box) float32
        Aligned pictures, not masked.
    soft_mask : (box, box) float32
        0…1 with a soft edge.
    seed : int
        Of the random phases.

    Returns
    -------
    (box // 2 + 1,) float64
        −1…1 for the shells 0, 1, … cycles per box; shell 0 is set to 1.

    References
    ----------
    Chen et al. (2013), doi:10.1016/j.ultramic.2013.06.004
    """
    plain = _masked_curve(first, second, soft_mask)
    cutoff = int(first_below(plain, RANDOMISE_BELOW))
    if cutoff == len(plain):
        return plain
    random = _masked_curve(
        phase_randomised(first, cutoff, seed=seed),
        phase_randomised(second, cutoff, seed=seed + 1),
        soft_mask,
    )
    return np.asarray(corrected(plain, random, cutoff))


def corrected(plain: Any, random: Any, cutoff: Any) -> Any:
    """Return FRC curves with the mask's share taken off from two shells beyond the cut-off on.

    Parameters
    ----------
    plain, random : (..., shells) float
        FRC of the pictures and of their phase-randomised versions, of any array namespace.
    cutoff : int or (...) integer
        First randomised shell.
    """
    xp = array_namespace(plain)
    shells = plain.shape[-1]
    shell = xp.broadcast_to(xp.arange(shells, device=device(plain)), plain.shape)
    start = (cutoff if isinstance(cutoff, int) else cutoff[..., None]) + CORRECT_FROM
    start = xp.minimum(start + xp.zeros_like(shell), xp.full_like(shell, shells - 1))
    # One shell of one set of phases holds few samples; its neighbours know the same.
    reach = SMOOTH_OVER // 2
    share = sum(
        xp.take_along_axis(random, xp.clip(xp.maximum(shell + lag, start), max=shells - 1), axis=-1)
        for lag in range(-reach, reach + 1)
    )
    share = share / SMOOTH_OVER
    return xp.where(shell < start, plain, (plain - share) / xp.clip(1 - share, min=1e-3))


def frc_crossing(curve: Any, box: int) -> Any:
    """Return the period in pixels at which FRC curves first fall through 0.5.

    Parameters
    ----------
    curve : (..., box // 2 + 1) float
        From `frc`, of any array namespace.
    box : int
        Side of the pictures.

    Returns
    -------
    (...,) float
        Between 2 (it never falls: Nyquist) and `box` (it never rises above), linear in between.
    """
    xp = array_namespace(curve)
    shells = curve.shape[-1]
    below = first_below(curve, FRC_THRESHOLD)
    at = xp.clip(below, max=shells - 1)
    lower = xp.take_along_axis(curve, at[..., None], axis=-1)[..., 0]
    upper = xp.take_along_axis(curve, at[..., None] - 1, axis=-1)[..., 0]
    drop = xp.where(upper > lower, upper - lower, 1.0)
    shell = xp.astype(at - 1, curve.dtype) + xp.clip((upper - FRC_THRESHOLD) / drop, 0.0, 1.0)
    shell = xp.where(below < shells, shell, float(shells - 1))
    return box / xp.clip(shell, 1.0, box / 2)


def first_below(curve: Any, threshold: float) -> Any:
    """Return the first shell from 1 on where curves (..., shells) fall below a threshold.

    The number of shells where they never do.
    """
    xp = array_namespace(curve)
    below = curve[..., 1:] < threshold
    first = xp.argmax(xp.astype(below, xp.int8), axis=-1) + 1
    return xp.where(xp.any(below, axis=-1), first, curve.shape[-1])


def ring_correlation(
    first: NDArray[np.complex64], second: NDArray[np.complex64]
) -> NDArray[np.float64]:
    """Return the plain ring correlation of spectra from ``scipy.fft.rfft2``.

    Parameters
    ----------
    first, second : (..., box, box // 2 + 1) complex64

    Returns
    -------
    (..., box // 2 + 1) float64
        Shell 0 is set to 1; 0 where a shell is empty.
    """
    box = first.shape[-2]
    shell, weight = shell_index(box)
    shells = box // 2 + 1
    flat = (first.shape[:-2], first.shape[-2] * first.shape[-1])

    def sums(values: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = (values * weight).reshape(-1, flat[1])
        out = np.stack(
            [np.bincount(shell.ravel(), row, minlength=shells + 1)[:shells] for row in rows]
        ).astype(np.float64)
        return out.reshape(*flat[0], shells)

    cross = sums((first * second.conj()).real)
    power = sums(np.abs(first) ** 2) * sums(np.abs(second) ** 2)
    curve: NDArray[np.float64] = np.where(
        power > 0, cross / np.sqrt(np.where(power > 0, power, 1)), 0.0
    )
    curve[..., 0] = 1.0
    return curve


@lru_cache(maxsize=4)
def shell_index(box: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return shell and weight of each sample of ``rfft2``; the corners go to shell box // 2 + 1.

    Returns
    -------
    (box, box // 2 + 1) int64, (box, box // 2 + 1) float32
        Samples whose conjugate is not stored weigh 2.
    """
    fy = np.fft.fftfreq(box) * box
    fx = np.arange(box // 2 + 1)
    shell = np.minimum(np.rint(np.hypot(fy[:, None], fx)), box // 2 + 1).astype(np.int64)
    weight = np.full((box, box // 2 + 1), 2.0, dtype=np.float32)
    weight[:, 0] = 1.0
    if box % 2 == 0:
        weight[:, -1] = 1.0
    return shell, weight


def phase_randomised(image: FloatArray, cutoff: int, *, seed: int) -> FloatArray:
    """Return a picture whose phases from shell `cutoff` on are random, amplitudes kept.

    Parameters
    ----------
    image : (box, box) float32
        A whole picture, not masked.
    cutoff : int
        First randomised shell, in cycles per box.
    seed : int
        The same seed gives the same phases.

    Returns
    -------
    (box, box) float32
    """
    box = image.shape[-1]
    shell, _ = shell_index(box)
    return np.asarray(with_phases(rfft2(image), random_phases(box, seed), shell >= cutoff))


def random_phases(box: int, seed: int) -> NDArray[np.complex64]:
    """Return (box, box // 2 + 1) complex64 of modulus 1, phases of a real picture of noise."""
    # They have the symmetry that keeps the result real.
    noise = rfft2(np.random.default_rng(seed).standard_normal((box, box), dtype=np.float32))
    return np.asarray(noise / np.maximum(np.abs(noise), 1e-20))


def with_phases(spectra: Any, phases: Any, where: Any) -> Any:
    """Return the pictures of spectra that get other phases in some samples.

    Parameters
    ----------
    spectra, phases : (..., box, box // 2 + 1) complex64
        Of any array namespace; the phases have modulus 1.
    where : (box, box // 2 + 1) bool

    Returns
    -------
    (..., box, box) float32
    """
    xp = array_namespace(spectra)
    changed = xp.where(where, xp.abs(spectra) * phases, spectra)
    return irfft2(changed, spectra.shape[-2])


def unit_range(picture: FloatArray, mask: FloatArray) -> FloatArray:
    """Standardise inside the mask, clip at ±4 σ and map to 0…1; NaN for a constant picture."""
    unit = np.clip(_standardised(picture, mask), -CLIP, CLIP) / (2 * CLIP) + 0.5
    return np.asarray(unit, dtype=np.float32)


def grey_level(unit: FloatArray) -> NDArray[np.uint8]:
    """Return the histogram bin, 0…31, of values in 0…1."""
    return np.minimum(unit * BINS, BINS - 1).astype(np.uint8)


def eroded(mask: FloatArray, window: int = SSIM_WINDOW) -> NDArray[np.bool_]:
    """Return where a whole SSIM window lies inside the mask, (box, box) bool."""
    return np.asarray(ndimage.binary_erosion(mask > 0, np.ones((window, window), dtype=bool)))


def _standardised(picture: FloatArray, mask: FloatArray) -> NDArray[np.float64]:
    values = picture[mask > 0].astype(np.float64)
    spread = values.std()
    if not spread > 1e-7 * abs(values.mean()):
        return np.full(picture.shape, np.nan)
    return np.asarray((picture - values.mean()) / spread)


def _window_mean(picture: FloatArray) -> NDArray[np.float64]:
    return np.asarray(ndimage.uniform_filter(picture.astype(np.float64), SSIM_WINDOW))


def _entropy(probability: NDArray[np.float64]) -> float:
    p = probability[probability > 0]
    return float(-(p * np.log(p)).sum())


def _masked_curve(first: FloatArray, second: FloatArray, mask: FloatArray) -> NDArray[np.float64]:
    return ring_correlation(rfft2(first * mask), rfft2(second * mask))
