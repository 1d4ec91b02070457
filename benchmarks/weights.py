"""How well each metric, and each blend of them, tells same views from what is taken for them.

Every set is searched once by NCC alone and the metrics of all pairs are kept, so that any blend can
be made of them afterwards. A blend elects its own poses in a real search; the column "default, as
searched" shows that this makes no difference worth another search for each blend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine import score_all
from benchmarks.labelled_sets import (
    BOX,
    LabelledSet,
    conformations,
    degraded,
    neighbouring_views,
    real_montages,
    real_stacks,
)
from benchmarks.measuring import Cell, Options, Table
from benchmarks.quality import area_under_curve
from cryocorr_tui.core.model import METRICS, MetricWeights, Settings

__all__ = ["run"]

Values = NDArray[np.float32]
Case = tuple[str, str]  # kind of set, SNR

SIGNAL_TO_NOISE = (4.0, 1.0, 0.5, 0.25)
SEEDS = range(3)
STEPS = 10  # of the grid of weights, from 0 to 1
ALL_NEGATIVES = ", all negatives"

ONLY = {name: MetricWeights(**{each: float(each == name) for each in METRICS}) for name in METRICS}
BLENDS = {
    "0.5/0.4/0.1": MetricWeights(0.5, 0.4, 0.1),
    "0.4/0.4/0.2": MetricWeights(0.4, 0.4, 0.2),
    "equal": MetricWeights(1, 1, 1),
}
AS_SEARCHED = "default, as searched"
RINGS_WEIGHTED = "the same, rings weighted by SNR"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Scores of the same-view pairs of one set and of its negatives.

    Both map "ncc", "ssim", "nmi", "frc" (1 / period of the crossing), `AS_SEARCHED` and
    `RINGS_WEIGHTED` to (m,).
    """

    case: Case
    same: Mapping[str, Values]
    negative: Mapping[str, Values]

    def area(self, score: str | MetricWeights) -> float:
        """Return the area under the ROC curve of one of the scores or of a blend."""
        return area_under_curve(_combined(self.same, score), _combined(self.negative, score))


def run(options: Options) -> list[Table]:
    """Return areas under the ROC curve by kind of set, and of all blends on a grid."""
    evidence = [
        item
        for snr, made in _sets(options)
        for item in _evidence(made, snr, box=32 if options.quick else BOX)
    ]
    return [_by_case(evidence), _by_weights(evidence)]


def _sets(options: Options) -> Iterator[tuple[str, LabelledSet]]:
    if options.quick:
        yield "1", neighbouring_views(1.0, seed=0, views=2, replicates=2, box=32)
        return
    for snr in SIGNAL_TO_NOISE:
        for seed in SEEDS:
            yield f"{snr:g}", neighbouring_views(snr, seed=seed)
            yield f"{snr:g}", conformations(snr, seed=seed)
    if options.data is None:
        return
    for name, images in real_stacks(options.data):
        for snr in SIGNAL_TO_NOISE:
            for seed in SEEDS:
                yield f"{snr:g}", degraded(name, images, snr, seed=seed)
    for made in real_montages(options.data):
        yield "", made


def _evidence(made: LabelledSet, snr: str, *, box: int) -> Iterator[Evidence]:
    """Score a set, and yield the evidence with hard negatives and, where more exist, with all."""
    found = score_all(made.classes, Settings(weights=ONLY["ncc"], box=box))
    searched = score_all(made.classes, Settings(box=box))
    weighted = score_all(made.classes, Settings(box=box, spectral_weighting="snr"))
    scores = {name: found[name] for name in METRICS}
    scores |= {
        "frc": np.reciprocal(found["frc_resolution_px"]),
        AS_SEARCHED: searched["blend"],
        RINGS_WEIGHTED: weighted["blend"],
    }
    counted = np.triu(made.considered, 1)
    same, others = counted & made.same, counted & ~made.same

    def of(pairs: NDArray[np.bool_]) -> dict[str, Values]:
        return {name: values[pairs] for name, values in scores.items()}

    yield Evidence((made.name, snr), of(same), of(others & made.hard))
    if (others & ~made.hard).any():
        yield Evidence((made.name + ALL_NEGATIVES, snr), of(same), of(others))


def _combined(scores: Mapping[str, Values], score: str | MetricWeights) -> Values:
    if isinstance(score, str):
        return scores[score]
    total = sum(score.of(name) for name in METRICS)
    return np.asarray(sum(scores[name] * (score.of(name) / total) for name in METRICS))


def _areas(evidence: list[Evidence], score: str | MetricWeights) -> dict[Case, float]:
    """Return the area of each case, the mean over its seeds."""
    areas: dict[Case, list[float]] = defaultdict(list)
    for item in evidence:
        areas[item.case].append(item.area(score))
    return {case: float(np.mean(values)) for case, values in areas.items()}


def _by_case(evidence: list[Evidence]) -> Table:
    scores: dict[str, str | MetricWeights] = {
        **ONLY,
        "FRC crossing": "frc",
        **BLENDS,
        AS_SEARCHED: AS_SEARCHED,
        RINGS_WEIGHTED: RINGS_WEIGHTED,
    }
    columns = [_areas(evidence, score) for score in scores.values()]
    rows: list[tuple[Cell, ...]] = [
        (case[0], case[1], *(column[case] for column in columns)) for case in sorted(columns[0])
    ]
    hard = [item for item in evidence if not item.case[0].endswith(ALL_NEGATIVES)]
    means = [_mean_over_kinds(_areas(hard, score)) for score in scores.values()]
    rows.append(("mean over kinds of sets, hard negatives", "", *means))
    return Table("Area under the ROC curve", ("pairs against", "SNR", *scores), tuple(rows))


def _by_weights(evidence: list[Evidence]) -> Table:
    """Return, for all weights, the mean area and the worst loss against the best for that case."""
    hard = [item for item in evidence if not item.case[0].endswith(ALL_NEGATIVES)]
    grid = [(s, m) for s in range(STEPS + 1) for m in range(STEPS + 1 - s)]
    areas = {(s, m): _areas(hard, MetricWeights(STEPS - s - m, s, m)) for s, m in grid}
    best = {case: max(of[case] for of in areas.values()) for case in areas[0, 0]}
    cells = {
        at: f"{_mean_over_kinds(of):.4f} / {max(best[case] - of[case] for case in of):.3f}"
        for at, of in areas.items()
    }
    return Table(
        "All blends: mean area / worst loss",
        ("SSIM ↓, NMI →", *(f"{m / STEPS:g}" for m in range(STEPS + 1))),
        tuple(
            (f"{s / STEPS:g}", *(cells.get((s, m), "") for m in range(STEPS + 1)))
            for s in range(STEPS + 1)
        ),
        (
            "The rest to 1 is NCC. Mean over kinds of sets, hard negatives; the loss is how far a "
            "blend stays behind the best blend for that kind of set and SNR, at worst. "
            f"Seeds of one case differ by {_spread(hard):.3f} (standard deviation of the default).",
        ),
    )


def _mean_over_kinds(areas: Mapping[Case, float]) -> float:
    kinds: dict[str, list[float]] = defaultdict(list)
    for (kind, _), area in areas.items():
        kinds[kind].append(area)
    return float(np.mean([np.mean(values) for values in kinds.values()]))


def _spread(evidence: list[Evidence]) -> float:
    """Return the standard deviation between the seeds of a case, the mean over cases."""
    areas: dict[Case, list[float]] = defaultdict(list)
    for item in evidence:
        areas[item.case].append(item.area(MetricWeights()))
    return float(np.mean([np.std(values) for values in areas.values()]))
