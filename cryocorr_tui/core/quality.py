"""How good a single class average is: five scores in 0…1 and their combination.

Each score looks at one picture alone, so it does not depend on the other classes of the run. It is
near 0 for noise and tends to 1 for a detailed particle without noise. *Inside* is the particle:
the heaviest connected region above Otsu's threshold (1979, doi:10.1109/TSMC.1979.4310076) of the
smoothed picture, grown a little. *Outside* is the rest of the disc. A strength is compared as
``excess = (inside − outside) / (inside + outside)``, not below 0.

texture
    Mean of two excesses on the enhanced picture: the `contrast` of the grey-level co-occurrence
    matrix (Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314; `skimage.feature.graycomatrix`)
    and the local variance (van Heel 1982, doi:10.1016/0304-3991(82)90258-3).
edge
    Excess of the gradient's magnitude (Sobel operator; Pertuz et al. 2013,
    doi:10.1016/j.patcog.2012.11.011) on the enhanced picture.
signal
    Mean over frequency bands of ``1 − P_outside / P_inside``, P being power per pixel. With noise
    alike inside and outside this is SSNR / (1 + SSNR), the Fourier ring correlation of two such
    pictures with independent noise (Unser et al. 1987, doi:10.1016/0304-3991(87)90225-7).
centring
    1 − distance of the particle's centre of mass from the picture's centre / radius of the disc.
fill
    1 where the particle covers 4 % to 60 % of the disc, falling linearly to 0 at 0 % and 100 %;
    times the part of the disc's rim that it leaves free. A definition of this program.
quality
    ``fill · Σ wₖ · scoreₖ`` with `WEIGHTS`: what covers nothing, or everything, is no particle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage.feature import graycomatrix, graycoprops

from cryocorr_tui.core.model import FloatArray, Quality, frozen_array
from cryocorr_tui.core.preprocessing import WorkingSet, enhance, standardise

__all__ = ["WEIGHTS", "combine_scores", "quality_of", "score_quality"]

BoolArray = NDArray[np.bool_]
Scores = NDArray[np.float64]

# Chosen from the table of benchmarks/quality.py, simulated and real, and checked on structures that
# it does not hold. Signal leads, as the best single score on both; texture and edge see blurred
# junk that signal lets pass; centring helps where noise hides all else, but real classes may well
# be off centre, so it only tips the scales.
WEIGHTS = MappingProxyType({"texture": 0.15, "edge": 0.15, "signal": 0.60, "centring": 0.10})

# Lengths as parts of the box, so that a score does not hang on the sampling.
_SMOOTHING = 0.02
_MARGIN = 0.03
_NEIGHBOUR = 0.03
_WINDOW = 0.04
_EDGE_SMOOTHING = 0.008

_GREY_LEVELS = 32
_NEIGHBOUR_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_BANDS = 4
_PERIODS_PER_BOX = 7.0  # of the lowest band; lower ones hold the outline and see any blob as signal
_HIGHEST_FREQUENCY = 0.45  # cycles per pixel
_FINEST_PERIOD = 6.0  # Å; finer bands of a class average hold noise alone
_LEAST_SURROUNDINGS = 0.05  # of the disc; with less there is nothing to compare the particle with
_FLAT = 0.02  # range of a 3×3 neighbourhood, in standard deviations of the picture
_PICTURES_AT_ONCE = 64  # bounds the memory


def score_quality(
    images: FloatArray,
    *,
    mask: NDArray[np.generic],
    contrast: Sequence[int] | NDArray[np.generic],
    pixel_size: float | None = None,
    overlay: BoolArray | None = None,
) -> Quality:
    """Score every class average by itself.

    The scores do not change when a constant is added to a picture, when it is multiplied by a
    positive factor, or when it is inverted and `contrast` with it.

    Parameters
    ----------
    images : (n, box, box) float32
        Plain class averages, not enhanced; any grey scale.
    mask : (box, box) float32 or bool
        The disc that holds the particle: above 0.5 is inside.
    contrast : (n,) int
        +1 for bright particles, −1 for dark ones.
    pixel_size : float, optional
        Å per pixel. Where it is known, `signal` leaves out periods finer than 6 Å.
    overlay : (n, box, box) bool, optional
        Pixels that print covers: texture, edge and signal leave them out.

    Returns
    -------
    Quality
        Every score (n,) float32 in 0…1; NaN for a class that is constant inside `mask` or has
        pixels that are not finite.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, `mask` is empty or `contrast` is not ±1.
    """
    stack = np.asarray(images, dtype=np.float32)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise ValueError(f"images must be (n, box, box), not {stack.shape}")
    disc = np.asarray(mask) > 0.5
    if disc.shape != stack.shape[1:] or not disc.any():
        raise ValueError(f"mask must be a disc of shape {stack.shape[1:]}, not {disc.shape}")
    sign = np.asarray(contrast, dtype=np.float32)
    if sign.shape != stack.shape[:1] or not (np.abs(sign) == 1).all():
        raise ValueError(f"contrast must be {stack.shape[:1]} values of ±1, not {sign.shape}")

    scores = np.full((6, len(stack)), np.nan, dtype=np.float32)
    finite = np.flatnonzero(np.isfinite(stack).all(axis=(1, 2)))
    for start in range(0, len(finite), _PICTURES_AT_ONCE):
        members = finite[start : start + _PICTURES_AT_ONCE]
        signed = stack[members] * sign[members, None, None]
        pictures = standardise(signed, disc.astype(np.float32))
        varied = pictures[:, disc].any(axis=1)
        if varied.any():
            shown = np.ones(pictures.shape, bool) if overlay is None else ~overlay[members]
            scores[:, members[varied]] = _score(pictures[varied], disc, shown[varied], pixel_size)
    return Quality(*(frozen_array(score) for score in scores))


def quality_of(working: WorkingSet) -> Quality:
    """Score every class average of a working set."""
    bright = np.ones(len(working.images), dtype=np.int8)  # the working set is bright already
    return score_quality(
        working.images,
        mask=working.mask,
        contrast=bright,
        pixel_size=working.pixel_size,
        overlay=working.overlay,
    )


def combine_scores(
    *, texture: Scores, edge: Scores, signal: Scores, centring: Scores, fill: Scores
) -> Scores:
    """Return the quality, (n,) in 0…1, that `WEIGHTS` make of (n,) scores in 0…1."""
    scores = {"texture": texture, "edge": edge, "signal": signal, "centring": centring}
    return np.asarray(fill * sum(weight * scores[name] for name, weight in WEIGHTS.items()))


def _score(
    pictures: FloatArray, disc: BoolArray, shown: BoolArray, pixel_size: float | None
) -> Scores:
    """Return the (6, n) scores, in the order of `Quality`, of bright, standardised pictures."""
    discs = _discs_with_data(pictures, disc)
    smooth = _smoothed(pictures, _SMOOTHING)
    particles = _particles(smooth, discs)
    grown = _grown(particles, _MARGIN)
    inside, outside = grown & discs & shown, ~grown & discs & shown
    judged = outside.sum(axis=(1, 2)) >= _LEAST_SURROUNDINGS * discs.sum(axis=(1, 2))
    enhanced = enhance(pictures)
    texture = judged * _texture(enhanced, inside, outside)
    edge = judged * _edge(enhanced, inside, outside)
    signal = judged * _signal(pictures, inside, outside, _eroded(discs), pixel_size)
    centring = _centring(smooth, particles, discs)
    fill = _fill(particles, discs)
    quality = combine_scores(
        texture=texture, edge=edge, signal=signal, centring=centring, fill=fill
    )
    return np.stack([quality, texture, edge, signal, centring, fill])


def _discs_with_data(pictures: FloatArray, disc: BoolArray) -> BoolArray:
    """Return the part of the disc that each picture fills with data, (n, box, box).

    Classification programs mask class averages with a disc of their own and leave a flat frame
    round it, which must not be taken for surroundings without noise.
    """
    offset = np.arange(disc.shape[0]) - disc.shape[0] // 2
    radius = np.rint(np.hypot(offset[:, None], offset[None, :])).astype(np.intp)
    rim = radius[disc].max()
    pixels = np.maximum(np.bincount(radius[disc]), 1)
    window = (1, 3, 3)
    spread = ndimage.maximum_filter(pictures, window) - ndimage.minimum_filter(pictures, window)
    discs = np.empty(pictures.shape, dtype=bool)
    for index, flat in enumerate(spread < _FLAT):
        rings = np.bincount(radius[disc], weights=flat[disc]) > 0.5 * pixels
        last = np.argmax(rings) - 2 if rings.any() else rim
        level = np.bincount(radius[disc], weights=pictures[index][disc]) / pixels
        # A flat ring near the middle, or a disc that ends far brighter than its frame, is no frame:
        # it is the particle alone, cut out of its surroundings.
        cut_out = last < 0.4 * rim or level[last] > level[-1] + 1
        discs[index] = disc & (radius <= (rim if cut_out else last))
    return discs


def _particles(smooth: FloatArray, discs: BoolArray) -> BoolArray:
    """Return the heaviest connected region above Otsu's threshold, (n, box, box)."""
    particles = np.empty(discs.shape, dtype=bool)
    for index, (picture, disc) in enumerate(zip(smooth, discs, strict=True)):
        low, high = picture[disc].min(), picture[disc].max()
        levels = np.clip((picture - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        threshold, _ = cv2.threshold(levels[disc], 0, 1, cv2.THRESH_OTSU)
        regions, labels = cv2.connectedComponents(((levels > threshold) & disc).astype(np.uint8))
        weight = np.bincount(labels[disc], weights=levels[disc], minlength=regions)
        particles[index] = labels == 1 + np.argmax(weight[1:])
    return particles


def _texture(enhanced: FloatArray, inside: BoolArray, outside: BoolArray) -> Scores:
    cooccurrence = _excess(
        _cooccurrence_contrast(enhanced, inside), _cooccurrence_contrast(enhanced, outside)
    )
    side = round(_WINDOW * enhanced.shape[-1]) | 1
    mean = np.stack([cv2.blur(picture, (side, side)) for picture in enhanced])
    power = np.stack([cv2.blur(picture**2, (side, side)) for picture in enhanced])
    variance = np.maximum(power - mean**2, 0)
    local_variance = _excess(_mean_over(variance, inside), _mean_over(variance, outside))
    return (cooccurrence + local_variance) / 2


def _cooccurrence_contrast(enhanced: FloatArray, region: BoolArray) -> Scores:
    """Return the mean squared difference of grey levels of neighbours that lie in `region`."""
    distance = max(1, round(_NEIGHBOUR * enhanced.shape[-1]))
    contrast = np.zeros(len(enhanced))
    for index in np.flatnonzero(region.any(axis=(1, 2))):
        rows = np.flatnonzero(region[index].any(axis=1))
        columns = np.flatnonzero(region[index].any(axis=0))
        frame = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        levels = np.minimum(enhanced[index][frame] * _GREY_LEVELS, _GREY_LEVELS - 1)
        # Level 0 marks what lies outside the region; its row and column are dropped.
        marked = (levels.astype(np.uint8) + 1) * region[index][frame]
        pairs = graycomatrix(marked, [distance], _NEIGHBOUR_ANGLES, levels=_GREY_LEVELS + 1)
        counts = pairs[1:, 1:].sum(axis=3, keepdims=True)
        contrast[index] = graycoprops(counts, "contrast")[0, 0]
    return contrast


def _edge(enhanced: FloatArray, inside: BoolArray, outside: BoolArray) -> Scores:
    smooth = _smoothed(enhanced, _EDGE_SMOOTHING)
    along_x = np.stack([cv2.Sobel(picture, cv2.CV_32F, 1, 0) for picture in smooth])
    along_y = np.stack([cv2.Sobel(picture, cv2.CV_32F, 0, 1) for picture in smooth])
    # Not cv2.magnitude: its last bit depends on where in memory pictures happen to lie.
    gradient = np.sqrt(along_x * along_x + along_y * along_y)
    return _excess(_mean_over(gradient, inside), _mean_over(gradient, outside))


def _signal(
    pictures: FloatArray,
    inside: BoolArray,
    outside: BoolArray,
    core: BoolArray,
    pixel_size: float | None,
) -> Scores:
    """Return the mean of 1 − P_outside / P_inside over the bands, taken inside `core`.

    Bands are Gaussian rings of the Fourier transform, spaced evenly in the logarithm.
    """
    box = pictures.shape[-1]
    lowest = min(_PERIODS_PER_BOX / box, _HIGHEST_FREQUENCY / 2)
    highest = _HIGHEST_FREQUENCY
    if pixel_size is not None:
        highest = min(highest, max(pixel_size / _FINEST_PERIOD, 2 * lowest))
    limits = np.geomspace(lowest, highest, _BANDS + 1)
    frequency = np.hypot(fft.fftfreq(box)[:, None], fft.rfftfreq(box)[None, :])
    spectra = fft.rfft2(pictures)
    total = np.zeros(len(pictures))
    for low, high in pairwise(limits):
        ring = np.exp(-0.5 * ((frequency - (low + high) / 2) / ((high - low) / 2)) ** 2)
        ring[0, 0] = 0
        power = fft.irfft2(spectra * ring.astype(np.float32), s=(box, box)) ** 2
        wanted, unwanted = _mean_over(power, inside & core), _mean_over(power, outside & core)
        total += np.clip(1 - unwanted / np.where(wanted > 0, wanted, np.inf), 0, 1) * (wanted > 0)
    return total / _BANDS


def _centring(smooth: FloatArray, particles: BoolArray, discs: BoolArray) -> Scores:
    box = smooth.shape[-1]
    offset = np.arange(box) - box // 2
    lowest = np.min(smooth, axis=(1, 2), where=particles, initial=np.inf)[:, None, None]
    # One pixel can be a particle's only one; then it has no height above its own lowest value.
    weight = particles * (smooth - lowest + np.finfo(np.float32).eps)
    total = weight.sum(axis=(1, 2))
    y = weight.sum(axis=2) @ offset / total
    x = weight.sum(axis=1) @ offset / total
    radius = np.sqrt(discs.sum(axis=(1, 2)) / np.pi)
    return np.asarray(np.clip(1 - np.hypot(y, x) / radius, 0, 1))


def _fill(particles: BoolArray, discs: BoolArray) -> Scores:
    covered = particles.sum(axis=(1, 2)) / discs.sum(axis=(1, 2))
    rim = discs & ~_eroded(discs)
    touched = (rim & particles).sum(axis=(1, 2)) / rim.sum(axis=(1, 2))
    return np.asarray(np.interp(covered, [0, 0.04, 0.6, 1], [0, 1, 1, 0]) * (1 - touched))


def _excess(inside: Scores, outside: Scores) -> Scores:
    """Return (inside − outside) / (inside + outside) in 0…1; 0 where both are 0."""
    total = inside + outside
    return np.asarray(np.clip((inside - outside) / np.where(total > 0, total, 1), 0, 1))


def _mean_over(pictures: FloatArray, region: BoolArray) -> Scores:
    """Return the mean of each picture over its region, (n,); 0 over an empty one."""
    pixels = np.maximum(region.sum(axis=(1, 2)), 1)
    return np.asarray(np.sum(pictures, axis=(1, 2), where=region, dtype=np.float64) / pixels)


def _smoothed(pictures: FloatArray, width: float) -> FloatArray:
    """Return pictures blurred by a Gaussian of standard deviation `width` × box."""
    sigma = width * pictures.shape[-1]
    return np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in pictures])


def _grown(regions: BoolArray, margin: float) -> BoolArray:
    """Return regions dilated by a disc of radius `margin` × box."""
    kernel = _disc_kernel(max(1, round(margin * regions.shape[-1])))
    grown = [cv2.dilate(region.astype(np.uint8), kernel) for region in regions]
    return np.stack(grown).astype(bool)


def _eroded(regions: BoolArray) -> BoolArray:
    """Return regions eroded by two pixels; the border of the picture is outside."""
    padded = np.pad(regions, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    eroded = np.stack([cv2.erode(region, _disc_kernel(2)) for region in padded])
    return eroded[:, 2:-2, 2:-2].astype(bool)


def _disc_kernel(radius: int) -> NDArray[np.uint8]:
    offset = np.arange(-radius, radius + 1)
    return (np.hypot(offset[:, None], offset[None, :]) <= radius + 0.5).astype(np.uint8)
