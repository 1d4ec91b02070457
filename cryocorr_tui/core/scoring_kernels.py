"""NCC, SSIM and NMI of many aligned pairs in compiled code.

The same formulas as in `metrics`, fused so that a pair is sampled once and everything stays in the
cache; tests hold both equal. A pair is the work of one thread, so the result does not depend on
the number of threads. On other devices `election` does the same in plain form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryocorr_tui.core.alignment import FINALISTS, OVERSAMPLING
from cryocorr_tui.core.metrics import (
    BINS,
    CLIP,
    SSIM_C1,
    SSIM_C2,
    SSIM_WINDOW,
    eroded,
    grey_level,
    unit_range,
)
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.sampling_kernels import lay_on_square, sample_aligned

__all__ = [
    "MetricRows",
    "compiled_before",
    "metric_rows",
    "score_finalists",
    "thin_rows",
]

THIN_WINDOW = 4  # every other pixel: they span 7, as an SSIM window does
HARDLY = 0.25  # part of a pixel that print may cover before the pixel is left out
# Pixels that a vectorised loop takes at a time; what is left over it would take one by one.
_STRIDE = 32
_SHORT_STRIDE = 16  # of the loop that does the most for a pixel


@dataclass(frozen=True, eq=False)
class MetricRows:
    """Pictures i as the metrics see them.

    Attributes
    ----------
    values : (n, pixels) float32
        Inside the mask in raster order, zero mean, unit norm.
    levels : (n, pixels) uint8
        Grey level of each for the histogram.
    unit : (n, box, width) float32
        The picture in 0…1; rows are longer than the box by zeros, to a multiple of `_STRIDE`.
    mean, variance : (n, box, width) float32
        Mean and sample variance of the SSIM window that begins (up and left) at a pixel.
    inside : (pixels,) int64
        Flat index of the mask's pixels in the box.
    whole : (box, width) float32
        1 where a whole SSIM window that begins here lies inside the mask.
    inner, begins : (box, 2) int64
        First column, and the one after the last, of the mask and of `whole` in each row; 0, 0 where
        there is none.
    x, y : (pixels,) float32
        Offsets of the pixels from the centre.
    unknown : (n, pixels) bool
        Where print covers the picture; (0, pixels) where there is no print.
    window : int
        Side of the SSIM windows: `SSIM_WINDOW`, or `THIN_WINDOW` of `thin_rows`.
    """

    values: FloatArray
    levels: NDArray[np.uint8]
    unit: FloatArray
    mean: FloatArray
    variance: FloatArray
    inside: NDArray[np.int64]
    whole: FloatArray
    inner: NDArray[np.int64]
    begins: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    unknown: NDArray[np.bool_]
    window: int


def metric_rows(
    images: FloatArray,
    mask: FloatArray,
    unknown: NDArray[np.bool_] | None = None,
    window: int = SSIM_WINDOW,
) -> MetricRows:
    """Prepare pictures i for `score_finalists`.

    Parameters
    ----------
    images : (n, box, box) float32
        Standardised pictures; all-zero ones are allowed but cannot be scored.
    mask : (box, box) float32
        0 or 1.
    unknown : (n, box, box) bool, optional
        Pixels to leave out of every metric, since print covers them.
    window : int
        Side of the SSIM windows.
    """
    box = images.shape[-1]
    longer = -box % _STRIDE
    first = window // 2  # a window begins so many pixels before its centre
    inside = np.flatnonzero(mask > 0)

    def by_beginning(of_centre: NDArray[Any]) -> FloatArray:
        widths = [(0, 0)] * (of_centre.ndim - 2) + [(0, first), (0, first + longer)]
        return np.pad(of_centre[..., first:, first:].astype(np.float32), widths)

    whole = by_beginning(eroded(mask, window))
    values = images.reshape(len(images), -1)[:, inside].astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    norm = np.sqrt((values**2).sum(axis=1, keepdims=True))
    unit = np.nan_to_num(np.stack([unit_range(image, mask) for image in images]), nan=0.5)
    wide = unit.astype(np.float64)
    mean = ndimage.uniform_filter(wide, (1, window, window))
    sample = window**2 / (window**2 - 1)
    square = ndimage.uniform_filter(wide * wide, (1, window, window))
    variance = sample * (square - mean * mean)
    # Fancy indexing leaves the classes along the fastest axis; the kernels run along pixels.
    return MetricRows(
        values=np.ascontiguousarray(values / np.where(norm > 0, norm, 1), dtype=np.float32),
        levels=np.ascontiguousarray(grey_level(unit.reshape(len(images), -1)[:, inside])),
        unit=np.pad(unit, ((0, 0), (0, 0), (0, longer))),
        mean=by_beginning(mean),
        variance=by_beginning(variance),
        inside=inside,
        whole=whole,
        inner=_spans(mask > 0),
        begins=_spans(whole > 0),
        x=(inside % box - box // 2).astype(np.float32),
        y=(inside // box - box // 2).astype(np.float32),
        unknown=np.zeros((0, len(inside)), dtype=bool)
        if unknown is None
        else np.ascontiguousarray(unknown.reshape(len(images), -1)[:, inside]),
        window=window,
    )


def thin_rows(
    images: FloatArray, mask: FloatArray, unknown: NDArray[np.bool_] | None = None
) -> MetricRows:
    """Prepare pictures i as `metric_rows` does, on every other pixel of every other row.

    Windows of `THIN_WINDOW` of them span what an SSIM window spans, so that scores are about those
    on all pixels, at a quarter of the work.
    """
    thin = slice(images.shape[-1] // 2 % 2, None, 2)  # the centre is among them
    covered = None if unknown is None else unknown[:, thin, thin]
    rows = metric_rows(images[:, thin, thin], mask[thin, thin], covered, THIN_WINDOW)
    return replace(rows, x=2 * rows.x, y=2 * rows.y)


def score_finalists(
    rows: MetricRows,
    columns: FloatArray,
    poses: NDArray[np.float32],
    standing: NDArray[np.bool_],
    unknown: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return NCC, SSIM and NMI of every finalist that stands.

    Parameters
    ----------
    rows : MetricRows
        Pictures i.
    columns : (c, 2 box, 2 box) float32
        Pictures j from `alignment.oversample`.
    poses : (r, c, FINALISTS, 4) float32
        From `alignment.refine`.
    standing : (r, c, FINALISTS) bool
        Which of them stand.
    unknown : (c, box, box) bool, optional
        Pixels of pictures j to leave out of every metric, since print covers them. A pair is scored
        where neither picture is covered.

    Returns
    -------
    (r, c, FINALISTS, 3) float32
        NaN where nobody stands or one of them is not known.
    """
    covered = _nothing(columns.shape[-1] // OVERSAMPLING) if unknown is None else unknown
    scores: NDArray[np.float32] = _score_tile(
        rows.values, rows.levels, rows.unit, rows.mean, rows.variance, _in_longer_rows(rows),
        rows.whole, rows.inner, rows.begins, rows.x, rows.y, rows.unknown, rows.window,
        covered.astype(np.float32), columns, poses, standing, _count_log_count(rows.inside),
    )  # fmt: skip
    return scores


def compiled_before() -> bool:
    """Tell whether the kernels lie compiled on disk."""
    return any(Path(_score_tile.stats.cache_path).glob("scoring_kernels._score_tile*.nbi"))


def _spans(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (rows, 2): the first True of each row and the place after the last; 0, 0 for none."""
    first = flags.argmax(axis=1)
    end = flags.shape[1] - flags[:, ::-1].argmax(axis=1)
    spans = np.stack([first, end], axis=1)
    spans[~flags.any(axis=1)] = 0
    return spans


def _nothing(box: int) -> NDArray[np.bool_]:
    return np.zeros((0, box, box), dtype=bool)


def _in_longer_rows(rows: MetricRows) -> NDArray[np.int64]:
    """Return (pixels,): flat index of the mask's pixels in a picture as wide as `unit`."""
    box, width = rows.unit.shape[1:]
    longer: NDArray[np.int64] = rows.inside // box * (width - box)
    return rows.inside + longer


def _count_log_count(inside: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return n·log n for every count a histogram of these pixels can hold."""
    counts = np.arange(len(inside) + 1, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1))


@numba.njit(parallel=True, nogil=True, cache=True)
def _score_tile(
    values: NDArray[np.float32],
    levels: NDArray[np.uint8],
    unit: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    inside: NDArray[np.int64],
    whole: NDArray[np.float32],
    inner: NDArray[np.int64],
    begins: NDArray[np.int64],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    unknown_i: NDArray[np.bool_],
    window: int,
    unknown_j: NDArray[np.float32],
    columns: NDArray[np.float32],
    poses: NDArray[np.float32],
    standing: NDArray[np.bool_],
    count_log_count: NDArray[np.float64],
) -> NDArray[np.float32]:
    count_rows, count_columns = standing.shape[:2]
    box, width = unit.shape[1:]
    pixels = len(inside)
    scores = np.full((count_rows, count_columns, FINALISTS, 3), np.nan, dtype=np.float32)
    for pair in numba.prange(count_rows * count_columns):
        # i runs fastest: the scattered reads of a picture j then stay in the cache.
        j, i = pair // count_rows, pair % count_rows
        if not standing[i, j].any():
            continue
        sampled = np.empty(pixels, dtype=np.float32)
        scaled = np.empty(pixels, dtype=np.float32)
        picture = np.zeros((box, width), dtype=np.float32)
        printed = (len(unknown_i) > 0 and unknown_i[i].any()) or (
            len(unknown_j) > 0 and unknown_j[j].any()
        )
        for place in range(FINALISTS):
            if not standing[i, j, place]:
                continue
            pose = poses[i, j, place]
            sample_aligned(columns[j], pose, x, y, sampled, OVERSAMPLING)
            if printed:
                shown = _where_shown(unknown_i, i, unknown_j, j, pose, x, y)
                ncc, ssim, nmi = _scores_where_shown(
                    sampled,
                    values[i],
                    shown,
                    inside,
                    whole,
                    inner,
                    begins,
                    window,
                    count_log_count,
                )
            else:
                ncc = _standardise(sampled, values[i], scaled)
                if math.isnan(ncc):  # `scaled` was not filled: it holds no grey levels
                    continue
                lay_on_square(scaled, inside, picture)
                ssim = _ssim(picture, unit[i], mean[i], variance[i], whole, inner, begins, window)
                nmi = _nmi(scaled, levels[i], count_log_count)
            if not (math.isnan(ncc) or math.isnan(ssim) or math.isnan(nmi)):
                scores[i, j, place, 0] = ncc
                scores[i, j, place, 1] = ssim
                scores[i, j, place, 2] = nmi
    return scores


@numba.njit(cache=True)
def _where_shown(
    unknown_i: NDArray[np.bool_],
    i: int,
    unknown_j: NDArray[np.float32],
    j: int,
    pose: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Return (pixels,) bool: where neither picture of an aligned pair is covered by print."""
    shown = np.ones(len(x), dtype=np.bool_)
    if len(unknown_i) > 0:
        shown &= ~unknown_i[i]
    if len(unknown_j) > 0:
        covered = np.empty(len(x), dtype=np.float32)
        sample_aligned(unknown_j[j], pose, x, y, covered, 1)
        shown &= covered < HARDLY
    return shown


@numba.njit(cache=True)
def _scores_where_shown(
    sampled: NDArray[np.float32],
    values: NDArray[np.float32],
    shown: NDArray[np.bool_],
    inside: NDArray[np.int64],
    whole: NDArray[np.float32],
    inner: NDArray[np.int64],
    begins: NDArray[np.int64],
    window: int,
    count_log_count: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return NCC, SSIM and NMI over the shown pixels alone; NaN where they tell nothing.

    What `_score_tile` prepares once for a picture i hangs on the mask, and here every pair has its
    own.
    """
    first, second = values[shown], sampled[shown]
    if len(first) < 2:
        return math.nan, math.nan, math.nan
    first -= first.mean()
    norm = np.float32(math.sqrt((first * first).sum()))
    if norm <= 0:
        return math.nan, math.nan, math.nan
    first /= norm
    unit_first, unit_second = np.empty_like(first), np.empty_like(second)
    _standardise(first, first, unit_first)
    ncc = _standardise(second, first, unit_second)
    if math.isnan(ncc):  # `unit_second` was not filled: it holds no grey levels
        return math.nan, math.nan, math.nan
    pictures = np.zeros((3, *whole.shape), dtype=np.float32)
    at = inside[shown]
    lay_on_square(unit_first, at, pictures[0])
    lay_on_square(unit_second, at, pictures[1])
    lay_on_square(np.ones_like(unit_first), at, pictures[2])
    sample = np.float32(window**2 / (window**2 - 1))
    mean = _window_mean(pictures[0], window)
    variance = sample * (_window_mean(pictures[0] * pictures[0], window) - mean * mean)
    all_shown = _window_mean(pictures[2], window) > 1 - 0.5 / window**2
    shown_whole = whole * all_shown
    ssim = _ssim(pictures[1], pictures[0], mean, variance, shown_whole, inner, begins, window)
    levels = np.empty(len(at), dtype=np.uint8)
    for p in range(len(at)):
        levels[p] = min(np.int32(unit_first[p] * np.float32(BINS)), np.int32(BINS - 1))
    return ncc, ssim, _nmi(unit_second, levels, count_log_count)


@numba.njit(cache=True)
def _window_mean(picture: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return the mean of the SSIM window that begins at each pixel; 0 where it leaves the box."""
    width = picture.shape[0] - window + 1
    result = np.zeros_like(picture)
    for top in range(width):
        down = picture[top : top + window].sum(axis=0)
        for left in range(width):
            result[top, left] = down[left : left + window].sum()
    return result / np.float32(window**2)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _standardise(
    sampled: NDArray[np.float32], values: NDArray[np.float32], scaled: NDArray[np.float32]
) -> float:
    """Fill `scaled` with the picture in 0…1 and return the NCC; NaN for a constant picture."""
    pixels = len(sampled)
    total = square = common = 0.0
    for p in range(pixels):
        value = np.float64(sampled[p])
        total += value
        square += value * value
        common += values[p] * value
    power = square - total * total / pixels
    if power <= 1e-12 * square or power <= 0:
        return math.nan
    gain = np.float32(1.0 / (math.sqrt(power / pixels) * 2 * CLIP))
    offset = np.float32(total / pixels)
    for p in range(pixels):
        value32 = (sampled[p] - offset) * gain + np.float32(0.5)
        scaled[p] = min(max(value32, np.float32(0)), np.float32(1))
    return float(common / math.sqrt(power))


@numba.njit(cache=True)
def _nmi(
    scaled: NDArray[np.float32],
    levels: NDArray[np.uint8],
    count_log_count: NDArray[np.float64],
) -> float:
    pixels = len(scaled)
    joint = np.zeros(BINS * BINS, dtype=np.int32)
    # The halves of the pixels are counted apart: neighbours often share a bin, and would wait.
    half, other = pixels // 2, np.zeros(BINS * BINS, dtype=np.int32)
    for p in range(half):
        joint[_bin(levels[p], scaled[p])] += 1
        other[_bin(levels[half + p], scaled[half + p])] += 1
    for p in range(2 * half, pixels):
        joint[_bin(levels[p], scaled[p])] += 1
    joint += other
    column = np.zeros(BINS, dtype=np.int64)
    sum_row = sum_column = sum_joint = 0.0
    for a in range(BINS):
        row = 0
        for b in range(BINS):
            count = joint[a * BINS + b]
            row += count
            column[b] += count
            sum_joint += count_log_count[count]
        sum_row += count_log_count[row]
    for b in range(BINS):
        sum_column += count_log_count[column[b]]
    # H = log n − Σ c·log c / n for each of the three histograms.
    whole = math.log(pixels)
    h_joint = whole - sum_joint / pixels
    if h_joint <= 0:
        return math.nan
    information = whole - (sum_row + sum_column - sum_joint) / pixels
    information -= (BINS - 1) ** 2 / (2 * pixels)
    return max(information, 0.0) / h_joint


@numba.njit(cache=True)
def _bin(level: np.uint8, unit: np.float32) -> np.uint32:
    """Return where a pixel of a grey level in i and of a value in 0…1 in j is counted."""
    bins = np.uint32(BINS)
    return np.uint32(level) * bins + min(np.uint32(unit * np.float32(BINS)), np.uint32(BINS - 1))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _ssim(
    second: NDArray[np.float32],
    first: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    whole: NDArray[np.float32],
    inner: NDArray[np.int64],
    begins: NDArray[np.int64],
    window: int,
) -> float:
    """Return the mean SSIM of the whole windows; `second` is 0 outside the mask."""
    box, width = first.shape
    area = np.float32(1.0 / window**2)
    sample = np.float32(window**2 / (window**2 - 1))
    c1, c2, two = np.float32(SSIM_C1), np.float32(SSIM_C2), np.float32(2)
    # Sums of j, j² and ij over the rows of a window.
    down = np.zeros((3, width + window), dtype=np.float32)
    total = 0.0
    count = 0.0
    for bottom in range(box):
        _move_down(down, second, first, inner, bottom, window)
        top = bottom - window + 1
        if top < 0:
            continue
        left, pixels = _strides(begins[top, 0], begins[top, 1], width, _SHORT_STRIDE)
        # Indices that start at 0 in every slice let the loop vectorise.
        plain, square, common = down[0, left:], down[1, left:], down[2, left:]
        row_mean, row_variance = mean[top, left:], variance[top, left:]
        row_whole = whole[top, left:]
        row_total = np.float32(0)
        row_count = np.float32(0)
        for c in range(pixels):
            mean_i, mean_j = row_mean[c], _along(plain, c, window) * area
            var_j = sample * (_along(square, c, window) * area - mean_j * mean_j)
            covariance = sample * (_along(common, c, window) * area - mean_i * mean_j)
            similarity = (
                (two * mean_i * mean_j + c1)
                * (two * covariance + c2)
                / ((mean_i * mean_i + mean_j * mean_j + c1) * (row_variance[c] + var_j + c2))
            )
            row_total += row_whole[c] * similarity
            row_count += row_whole[c]
        total += float(row_total)
        count += float(row_count)
    return total / count if count > 0 else math.nan


@numba.njit(cache=True)
def _strides(first: int, end: int, width: int, stride: int) -> tuple[int, int]:
    """Return where to begin and how many pixels to take, in whole strides, for first…end."""
    pixels = (end - first + stride - 1) // stride * stride
    return min(first, width - pixels), pixels


@numba.njit(cache=True, inline="always")
def _along(row: NDArray[np.float32], c: int, window: int) -> NDArray[np.float32]:
    """Return the sum of `THIN_WINDOW` or `SSIM_WINDOW` neighbours."""
    four: NDArray[np.float32] = (row[c] + row[c + 1]) + (row[c + 2] + row[c + 3])
    if window == THIN_WINDOW:
        return four
    return four + ((row[c + 4] + row[c + 5]) + row[c + 6])  # type: ignore[no-any-return]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _move_down(
    down: NDArray[np.float32],
    second: NDArray[np.float32],
    first: NDArray[np.float32],
    inner: NDArray[np.int64],
    bottom: int,
    window: int,
) -> None:
    """Add row `bottom` to the sums of j, j² and ij, and take off the row that leaves the window."""
    width = first.shape[1]
    if bottom < window:
        left, pixels = _strides(inner[bottom, 0], inner[bottom, 1], width, _STRIDE)
    else:
        left, pixels = _strides(*_both(inner[bottom], inner[bottom - window]), width, _STRIDE)
    plain, square, common = down[0, left:], down[1, left:], down[2, left:]
    row_j, row_i = second[bottom, left:], first[bottom, left:]
    if bottom < window:
        for c in range(pixels):
            plain[c] += row_j[c]
            square[c] += row_j[c] * row_j[c]
            common[c] += row_j[c] * row_i[c]
        return
    off_j, off_i = second[bottom - window, left:], first[bottom - window, left:]
    for c in range(pixels):
        plain[c] += row_j[c] - off_j[c]
        square[c] += row_j[c] * row_j[c] - off_j[c] * off_j[c]
        common[c] += row_j[c] * row_i[c] - off_j[c] * off_i[c]


@numba.njit(cache=True)
def _both(span: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, int]:
    """Return the span that holds two; one that ends at 0 is empty."""
    if span[1] == 0:
        return other[0], other[1]
    if other[1] == 0:
        return span[0], span[1]
    return min(span[0], other[0]), max(span[1], other[1])
