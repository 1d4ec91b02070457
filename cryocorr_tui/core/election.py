"""NCC, SSIM and NMI of all finalists of a tile, and the election, on whatever device.

On the host the compiled kernel of `scoring_kernels` does it; elsewhere the plain form below,
batched over finalists, stays on the device. Both are the formulas of `metrics`, and tests hold them
equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, is_numpy_array

from cryocorr_tui.core.alignment import OVERSAMPLING
from cryocorr_tui.core.metrics import BINS, CLIP, SSIM_C1, SSIM_C2
from cryocorr_tui.core.sampling import PosedPairs, on_square, parts, put_back, sample_pairs
from cryocorr_tui.core.scoring_kernels import HARDLY, MetricRows, score_finalists

__all__ = ["elect", "shortlist"]

# A finalist whose thin blend is (this ÷ box)² below the best is not elected. Thin blends are off by
# 0.013 at box 64 and 0.003 at box 128 (standard deviation, the worst of six sets).
OUTVOTED = 12.0

_BYTES_PER_PIXEL = 160  # of a finalist: what the window statistics hold at a time
_PIXELS_AT_ONCE = 1024  # of a joint histogram: bounds the one-hot codes to 256 kB a finalist


def elect(
    rows: MetricRows,
    columns: Any,
    poses: Any,
    standing: Any,
    weights: tuple[float, float, float],
    unknown: Any | None = None,
    *,
    memory: float,
) -> Any:
    """Score every finalist of every pair and keep the one with the best blend.

    Parameters
    ----------
    rows : MetricRows
        Pictures i.
    columns : (c, 2 box, 2 box) float32
        Pictures j from `alignment.oversample`.
    poses : (r, c, FINALISTS, 4) float32
        From `refinement.settle`.
    standing : (r, c, FINALISTS) bool
        Which of them stand.
    weights : tuple of float
        Of NCC, SSIM and NMI; they add up to 1.
    unknown : (c, box, box) bool, optional
        Pixels of pictures j to leave out of every metric.
    memory : float
        Bytes of the device that may be held beside the arguments; the host needs next to none.

    Returns
    -------
    (r, c, 8) float32
        blend, ncc, ssim, nmi, rotation, shift y, shift x, mirrored; NaN where nothing stood. On the
        device of the arguments.
    """
    xp = array_namespace(columns)
    scores = _scores_of_all(rows, columns, poses, standing, unknown, memory)
    blend = _blend(scores, weights)
    told = xp.concat([blend[..., None], scores, poses], axis=3)
    told = xp.where(xp.isnan(blend)[..., None], xp.nan, told)
    best = xp.argmax(_ranked(blend), axis=2)[..., None, None]
    best = xp.broadcast_to(best, (*blend.shape[:2], 1, 8))
    return xp.take_along_axis(told, best, axis=2)[..., 0, :]


def shortlist(
    thin: MetricRows,
    columns: Any,
    poses: Any,
    standing: Any,
    weights: tuple[float, float, float],
    unknown: Any | None = None,
    *,
    memory: float,
) -> Any:
    """Return which finalists may still be elected, by their blend on a quarter of the pixels.

    Parameters
    ----------
    thin : MetricRows
        Pictures i from `scoring_kernels.thin_rows`.
    poses, standing
        From `refinement.refine`.
    columns, weights, unknown, memory
        As for `elect`.

    Returns
    -------
    (r, c, FINALISTS) bool
    """
    xp = array_namespace(columns)
    count = xp.sum(xp.astype(standing, xp.int32), axis=2, keepdims=True)
    rivals = standing & (count > 1)
    blend = _blend(_scores_of_all(thin, columns, poses, rivals, unknown, memory), weights)
    margin = (OUTVOTED * OVERSAMPLING / columns.shape[-1]) ** 2
    outvoted = blend < xp.max(_ranked(blend), axis=2, keepdims=True) - margin
    return standing & ~outvoted


def _blend(scores: Any, weights: tuple[float, float, float]) -> Any:
    """Return (...): the weighted sum of scores (..., 3)."""
    return sum(weight * scores[..., at] for at, weight in enumerate(weights))


def _ranked(blend: Any) -> Any:
    """Return blends with −inf for NaN."""
    xp = array_namespace(blend)
    return xp.where(xp.isnan(blend), -xp.inf, blend)


def _scores_of_all(
    rows: MetricRows, columns: Any, poses: Any, standing: Any, unknown: Any | None, memory: float
) -> Any:
    """Return (r, c, FINALISTS, 3) float32: NCC, SSIM and NMI of each finalist that stands."""
    if is_numpy_array(columns):
        return score_finalists(rows, columns, poses, standing, unknown)
    xp = array_namespace(columns)
    i, j, _ = xp.nonzero(standing)
    taken = xp.reshape(standing, (-1,))
    at_pose = xp.take(xp.reshape(poses, (-1, 4)), xp.nonzero(taken)[0], axis=0)
    scores = _scores_of_each(PosedPairs(i, j, at_pose), rows, columns, unknown, memory)
    scores = xp.where(xp.any(xp.isnan(scores), axis=1, keepdims=True), xp.nan, scores)
    nothing = xp.full((taken.shape[0], 3), xp.nan, dtype=xp.float32, device=columns.device)
    return xp.reshape(put_back(scores, taken, nothing), (*standing.shape, 3))


@dataclass(frozen=True, eq=False)
class _Seen:
    """Picture i of each finalist as the metrics see it: `MetricRows`, one a finalist.

    ``shown`` is (p, pixels) float32, 1 where neither picture is covered by print, or None where
    everything is shown; ``whole`` is then (p, width, width), else (width, width).
    """

    values: Any
    levels: Any
    unit: Any
    mean: Any
    variance: Any
    whole: Any
    shown: Any | None


def _scores_of_each(
    finalists: PosedPairs, rows: MetricRows, columns: Any, unknown: Any | None, memory: float
) -> Any:
    """Return (p, 3) float32: NCC, SSIM and NMI of each finalist."""
    xp = array_namespace(columns)
    scores = xp.full((len(finalists), 3), xp.nan, dtype=xp.float32, device=columns.device)
    printed = xp.zeros_like(finalists.i, dtype=xp.bool)
    if rows.unknown.shape[0]:
        printed = printed | xp.take(xp.any(rows.unknown, axis=1), finalists.i)
    if unknown is not None:
        printed = printed | xp.take(xp.any(unknown, axis=(1, 2)), finalists.j)
    each = _BYTES_PER_PIXEL * rows.unit.shape[1] ** 2
    for masked, those in ((False, ~printed), (True, printed)):
        places = xp.nonzero(those)[0]
        found = []
        for part in parts(places.shape[0], each, memory):
            some = finalists.at(places[part])
            sampled = sample_pairs(columns, some.j, some.poses, rows.x, rows.y, OVERSAMPLING)
            seen = _where_shown(rows, some, unknown) if masked else _everything(rows, some)
            found.append(_scores(seen, sampled, rows))
        if found:
            scores = put_back(xp.concat(found), those, scores)
    return scores


def _scores(seen: _Seen, sampled: Any, rows: MetricRows) -> Any:
    """Return (p, 3) float32: NCC, SSIM, NMI of pictures i with `sampled`, (p, pixels)."""
    xp = array_namespace(sampled)
    unit, power = _unit_range(sampled, seen.shown)
    common = xp.sum(seen.values * sampled, axis=1)
    ncc = common / xp.sqrt(power)
    ssim = _ssim(seen, on_square(unit, rows.inside, rows.unit.shape[1]), rows.window)
    return xp.stack([ncc, ssim, _nmi(seen, _levels(unit))], axis=1)


def _everything(rows: MetricRows, finalists: PosedPairs) -> _Seen:
    xp = array_namespace(rows.unit)
    inner = _inner(rows)

    def of_i(part: Any) -> Any:
        return xp.take(part, finalists.i, axis=0)

    return _Seen(
        values=of_i(rows.values),
        levels=of_i(rows.levels),
        unit=of_i(rows.unit[..., : rows.unit.shape[1]]),
        mean=of_i(rows.mean[:, inner, inner]),
        variance=of_i(rows.variance[:, inner, inner]),
        whole=rows.whole[inner, inner],
        shown=None,
    )


def _where_shown(rows: MetricRows, finalists: PosedPairs, unknown: Any | None) -> _Seen:
    """Prepare pictures i over the pixels that print covers in neither picture of a pair.

    What `MetricRows` holds once for a picture i hangs on the mask, and here every pair has its own.
    """
    xp = array_namespace(rows.unit)
    box = rows.unit.shape[1]
    inner, window = _inner(rows), rows.window
    values = xp.take(rows.values, finalists.i, axis=0)
    shown = xp.ones_like(values)
    if rows.unknown.shape[0]:
        shown = xp.where(xp.take(rows.unknown, finalists.i, axis=0), 0.0, shown)
    if unknown is not None:
        drawn = xp.astype(unknown, xp.float32)
        covered = sample_pairs(drawn, finalists.j, finalists.poses, rows.x, rows.y, 1)
        shown = xp.where(covered < HARDLY, shown, 0.0)
    flat, power = _unit_range(values, shown)
    count = _at_least_one(xp.sum(shown, axis=1, keepdims=True))
    centred = (values - xp.sum(values * shown, axis=1, keepdims=True) / count) * shown
    unit = on_square(flat * shown, rows.inside, box)
    mean = _window_mean(unit, window)
    shown_in_window = _window_mean(on_square(shown, rows.inside, box), window)
    all_shown = shown_in_window > 1 - 0.5 / window**2
    return _Seen(
        values=centred / xp.sqrt(power)[:, None],
        levels=_levels(flat),
        unit=unit,
        mean=mean,
        variance=_sample(window) * (_window_mean(unit * unit, window) - mean * mean),
        whole=rows.whole[inner, inner] * xp.astype(all_shown, xp.float32),
        shown=shown,
    )


def _unit_range(values: Any, shown: Any | None) -> tuple[Any, Any]:
    """Return pictures in 0…1 as of `metrics.unit_range`, and (p,) the sum of squared deviations.

    NaN, both, where a picture is constant on the pixels shown.
    """
    xp = array_namespace(values)
    weight = xp.ones_like(values) if shown is None else shown
    count = _at_least_one(xp.sum(weight, axis=1, keepdims=True))
    # In two passes: in single precision the difference of square sums would not tell a constant.
    centred = values - xp.sum(values * weight, axis=1, keepdims=True) / count
    power = xp.sum(centred * centred * weight, axis=1, keepdims=True)
    varies = power > 1e-12 * xp.sum(values * values * weight, axis=1, keepdims=True)
    power = xp.where(varies, power, xp.nan)
    unit = xp.clip(centred / (xp.sqrt(power / count) * (2 * CLIP)) + 0.5, 0.0, 1.0)
    return unit, power[:, 0]


def _at_least_one(count: Any) -> Any:
    """Return counts of pixels to divide by; what has none of them is NaN for other reasons."""
    xp = array_namespace(count)
    return xp.maximum(count, xp.ones_like(count))


def _levels(unit: Any) -> Any:
    """Return the grey level, 0…31, of values in 0…1; see `metrics.grey_level`."""
    xp = array_namespace(unit)
    known = xp.where(xp.isnan(unit), 0.0, unit)
    return xp.astype(xp.clip(known * BINS, 0, BINS - 1), xp.uint8)


def _ssim(seen: _Seen, second: Any, window: int) -> Any:
    """Return (p,): the mean structural similarity to pictures (p, box, box); see `metrics.ssim`."""
    xp = array_namespace(second)
    sample, mean_j = _sample(window), _window_mean(second, window)
    variance_j = sample * (_window_mean(second * second, window) - mean_j * mean_j)
    covariance = sample * (_window_mean(seen.unit * second, window) - seen.mean * mean_j)
    similarity = (
        (2 * seen.mean * mean_j + SSIM_C1)
        * (2 * covariance + SSIM_C2)
        / (
            (seen.mean * seen.mean + mean_j * mean_j + SSIM_C1)
            * (seen.variance + variance_j + SSIM_C2)
        )
    )
    whole = xp.broadcast_to(seen.whole, similarity.shape)
    count = xp.sum(whole, axis=(1, 2))
    mean = xp.sum(whole * similarity, axis=(1, 2)) / _at_least_one(count)
    return xp.where(count > 0, mean, xp.nan)


def _sample(window: int) -> float:
    """Return the factor from the variance of a window to its estimate."""
    return window**2 / (window**2 - 1)


def _window_mean(pictures: Any, window: int) -> Any:
    """Return (p, width, width): the means of all SSIM windows that lie in pictures (p, box, box).

    As products with a band matrix, (width, box) @ (p, box, box) @ (box, width): a card multiplies
    matrices at a fraction of what it costs to read the shifted pictures again.
    """
    xp = array_namespace(pictures)
    box = pictures.shape[-1]
    pixel = xp.arange(box, device=pictures.device)
    lag = pixel[:, None] - pixel[: box - window + 1]
    along = xp.astype((lag >= 0) & (lag < window), xp.float32) / window
    return xp.matrix_transpose(along) @ (pictures @ along)


def _inner(rows: MetricRows) -> slice:
    """Return where whole windows begin along an axis of a picture."""
    return slice(rows.unit.shape[1] - rows.window + 1)


def _nmi(seen: _Seen, levels: Any) -> Any:
    """Return (p,): normalised mutual information of grey levels; see `metrics.nmi`."""
    xp = array_namespace(levels)
    joint = _joint_histogram(seen.levels, levels, seen.shown)
    count = _at_least_one(xp.sum(joint, axis=(1, 2)))
    whole = xp.log(count)

    def entropy(counts: Any) -> Any:
        """H = log n − Σ c·log c / n."""
        logarithm = xp.log(xp.where(counts > 0, counts, 1.0))
        return whole - xp.sum(counts * logarithm, axis=tuple(range(1, counts.ndim))) / count

    h_joint = entropy(joint)
    information = entropy(xp.sum(joint, axis=2)) + entropy(xp.sum(joint, axis=1)) - h_joint
    information = information - (BINS - 1) ** 2 / (2 * count)
    known = h_joint > 0
    nmi = xp.maximum(information, xp.zeros_like(information)) / xp.where(known, h_joint, 1.0)
    return xp.astype(xp.where(known, nmi, xp.nan), xp.float32)


def _joint_histogram(first: Any, second: Any, shown: Any | None) -> Any:
    """Return (p, BINS, BINS) float64: exact counts of grey levels (p, pixels).

    As products of one-hot codes, (p, BINS, pixels) @ (p, pixels, BINS), some pixels at a time: no
    two of them write to one place, so no order of writing matters. Single precision is exact up to
    16 million pixels.
    """
    xp = array_namespace(first)
    bins = xp.arange(BINS, dtype=xp.uint8, device=first.device)
    joint = xp.zeros((first.shape[0], BINS, BINS), dtype=xp.float32, device=first.device)
    for some in parts(first.shape[1], 1, _PIXELS_AT_ONCE):
        codes_i = xp.astype(first[:, None, some] == bins[:, None], xp.float32)
        if shown is not None:
            codes_i = codes_i * shown[:, None, some]
        codes_j = xp.astype(second[:, some, None] == bins, xp.float32)
        joint = joint + codes_i @ codes_j
    return xp.astype(joint, xp.float64)
