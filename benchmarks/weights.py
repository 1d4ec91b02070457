"""How well each metric, and each blend of them, tells same views from what is taken for them.

Poses are those of the highest NCC; the metrics of every pair are taken once and all blends are made
of them afterwards. The last columns are blends as the search makes them, which elects its pose by
the blend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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
from cryocorr_tui.core.model import MetricWeights, Settings

__all__ = ["run"]

Scores = Mapping[str, NDArray[np.float32]]
SIGNAL_TO_NOISE = (4.0, 1.0, 0.5, 0.25)
SEEDS = 3
STEP = 0.1  # of the grid of weights
BY_NCC = MetricWeights(ncc=1.0, ssim=0.0, nmi=0.0)
DEFAULT = MetricWeights()


@dataclass(frozen=True, eq=False)
class Evidence:
    """The scores of one set: those of same-view pairs, of hard negatives and of all negatives.

    Each maps a metric ("ncc", "ssim", "nmi", "frc": 1 / period of the crossing; "as scored": the
    blend of a search with the default weights) to values.
    """

    group: str
    name: str
    same: Scores
    hard: Scores
    all: Scores


def run(options: Options) -> list[Table]:
    """Return areas under the ROC curve by set, and of every blend on a grid of weights."""
    evidence = [_evidence(group, made) for group, made in _sets(options)]
    return [_by_set(evidence), _by_weights(evidence, "hard"), _by_weights(evidence, "all")]
