"""How many unrelated pairs are called significant, how many matches are found, how groups agree.

Every table is of simulated jobs (`mixed_jobs`), each scored once: all pairs of all classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine import score_all
from benchmarks.measuring import Cell, Options, Table
from benchmarks.mixed_jobs import MixedJob, mixed_job
from cryocorr_tui.core.grouping import group_classes
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.significance import FalseDiscoveryRate, fit_null

__all__ = ["run"]

SIGNAL_TO_NOISE = (0.5, 1.0, 2.0, 4.0, 8.0)
JOBS = {40: 4, 100: 2, 300: 1}  # classes of a job, and how many jobs of each kind
MIXTURES = ((0.02, 0.0), (0.1, 0.1), (0.3, 0.1), (0.05, 0.3))  # parts that are matches, junk
BOX = 64


@dataclass(frozen=True)
class Outcome:
    """What became of the pairs of one job; parts of 1, NaN where there are no such pairs.

    Attributes
    ----------
    classes, snr, matches, junk
        What was simulated.
    false_5, false_01 : float
        Of the unrelated pairs, those with p < 0.05 and with p < 0.001.
    junk_5 : float
        Of the pairs with junk, those with p < 0.05.
    found_5, found_q : float
        Of the pairs of one view, those with p < 0.05 and with q < 0.05.
    wrong_q : float
        Of the pairs with q < 0.05, those that are unrelated.
    groups : float
        Adjusted Rand index of the groups against the views.
    """

    classes: int
    snr: float
    matches: float
    junk: float
    false_5: float
    false_01: float
    junk_5: float
    found_5: float
    found_q: float
    wrong_q: float
    groups: float


def run(options: Options) -> list[Table]:
    """Return the outcomes by size and SNR, and by what the jobs are made of."""
    outcomes = list(_outcomes(options))
    return [
        _table("By size and SNR", ("classes", "SNR"), outcomes, lambda o: (o.classes, o.snr)),
        _table(
            "By part of pairs that match and of classes that are junk",
            ("matches", "junk"),
            outcomes,
            lambda o: (o.matches, o.junk),
        ),
    ]


def adjusted_rand_index(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Return how two partitions agree: 1 wholly, 0 as by chance.

    Hubert & Arabie 1985, doi:10.1007/BF01908075.
    """
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    together = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(together, (a, b), 1)

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    in_a, in_b = pairs(together.sum(axis=1)), pairs(together.sum(axis=0))
    expected = in_a * in_b / (a.size * (a.size - 1) / 2)
    largest = (in_a + in_b) / 2
    return 1.0 if largest == expected else (pairs(together) - expected) / (largest - expected)


def _outcomes(options: Options) -> Iterator[Outcome]:
    if options.quick:
        yield _outcome(16, 4.0, 0.1, 0.1, box=32, seed=0)
        return
    for snr, (classes, jobs) in product(SIGNAL_TO_NOISE, JOBS.items()):
        for (matches, junk), seed in product(MIXTURES, range(jobs)):
            yield _outcome(classes, snr, matches, junk, box=BOX, seed=100 * seed + classes)


def _outcome(
    classes: int, snr: float, matches: float, junk: float, *, box: int, seed: int
) -> Outcome:
    job = mixed_job(classes, snr=snr, matches=matches, junk=junk, box=box, seed=seed)
    upper = np.triu(np.ones((classes, classes), dtype=bool), k=1)
    blend = score_all(job.classes, Settings(box=box))["blend"]
    blend = np.where(upper, blend, blend.T)
    np.fill_diagonal(blend, np.nan)
    ids = np.arange(classes)
    null = fit_null(blend)
    p_values = null.p_values(blend, ids[:, np.newaxis], ids)
    rate = FalseDiscoveryRate()
    rate.add(p_values[upper])
    called = rate.q_values(p_values) < 0.05
    unrelated, same = upper & job.unrelated, upper & job.same
    with_junk = upper & (job.junk[:, np.newaxis] | job.junk)
    return Outcome(
        classes=classes,
        snr=snr,
        matches=matches,
        junk=junk,
        false_5=_part(p_values < 0.05, unrelated),
        false_01=_part(p_values < 0.001, unrelated),
        junk_5=_part(p_values < 0.05, with_junk),
        found_5=_part(p_values < 0.05, same),
        found_q=_part(called, same),
        wrong_q=_part(unrelated, upper & called),
        groups=adjusted_rand_index(group_classes(blend, null=null).labels, _views(job)),
    )


def _views(job: MixedJob) -> NDArray[np.intp]:
    """Return (n,): the first class of the same view, which is a class itself where it is alone."""
    views: NDArray[np.intp] = (job.same | np.eye(len(job.same), dtype=bool)).argmax(axis=1)
    return views


def _part(what: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(what[of].mean()) if of.any() else np.nan


def _table(
    title: str,
    names: tuple[str, str],
    outcomes: Sequence[Outcome],
    key: Callable[[Outcome], tuple[float, float]],
) -> Table:
    columns = (
        *names,
        "jobs",
        "p < 0.05 of unrelated, %",
        "the same, least and most of one job",
        "p < 0.001 of unrelated, %",
        "p < 0.05 of pairs with junk, %",
        "p < 0.05 of matches, %",
        "q < 0.05 of matches, %",
        "unrelated among q < 0.05, %",
        "groups, adjusted Rand index",
    )
    return Table(
        title,
        columns,
        tuple(
            _row(group, [item for item in outcomes if key(item) == group])
            for group in sorted({key(item) for item in outcomes})
        ),
    )


def _row(group: tuple[float, float], outcomes: Sequence[Outcome]) -> tuple[Cell, ...]:
    def mean(name: str, *, percent: bool = True) -> Cell:
        values = np.array([getattr(item, name) for item in outcomes])
        values = values[~np.isnan(values)]
        return f"{values.mean() * (100 if percent else 1):.3g}" if values.size else ""

    false = [100 * item.false_5 for item in outcomes]
    return (
        f"{group[0]:g}",
        f"{group[1]:g}",
        len(outcomes),
        float(np.round(np.mean(false), 1)),
        f"{min(false):.1f} … {max(false):.1f}",
        mean("false_01"),
        mean("junk_5"),
        mean("found_5"),
        mean("found_q"),
        mean("wrong_q"),
        mean("groups", percent=False),
    )
