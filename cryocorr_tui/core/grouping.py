"""Groups of same views.

Average linkage (UPGMA, Sokal & Michener 1958; scipy's linkage) on 1 − blend: two groups are as far
apart as their pairs are on average, so neither one lucky pair joins two views nor one unlucky pair
splits one. Leaves stand in the order that puts neighbours next to each other best (Bar-Joseph et
al. 2001, doi:10.1093/bioinformatics/17.suppl_1.S22).

Where to cut: at the widest gap between the heights of merges, sought from the blend that 10 % of
unrelated pairs reach up to that at which a class that is much like everything would find a false
partner among all others with a chance of 0.5 %. The data choose the level; the null keeps them from
joining what is no more alike than chance, and from taking duplicates for the only groups. How well
groups agree with the truth of simulated jobs stands in docs/significance.md. A silhouette
(doi:10.1016/0377-0427(87)90125-7) was tried and dropped: real sets are mostly groups of one, which
it scores 0, so it pairs up what belongs to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage, optimal_leaf_ordering

from cryocorr_tui.core.model import FloatArray, Groups, frozen_array
from cryocorr_tui.core.significance import Null, fit_null
from cryocorr_tui.core.words import are, counted

__all__ = [
    "BYTES_PER_PAIR",
    "LARGEST_ORDERED",
    "Redundancy",
    "cuts",
    "group_classes",
    "groups_at",
    "mean_inside",
    "moved_cut",
    "redundancy",
]


# Optimal leaf ordering takes seconds here, and grows with the third power of the classes.
LARGEST_ORDERED = 1500

# Memory at the peak: linkage wants all pairs at once, twice in double precision.
BYTES_PER_PAIR = 48

# With too few pairs for a null: simulated same views (SNR 4, default weights) blend above 0.55,
# different ones below 0.49.
FEW_PAIRS_RANGE = (0.4, 0.65)

# Part of unrelated pairs that reach the lowest blend to cut at.
BY_CHANCE = 0.1

# Chance that a class finds a false partner among all others at the highest blend to cut at, …
FALSE_PARTNER = 0.005

# … and where the level of such a class stands among all (`Null.levels`).
MUCH_LIKE_ALL = 0.9

# How far from the heights of all merges the outermost cuts are.
OUTSIDE = 0.001


def group_classes(
    blend: FloatArray, *, quality: FloatArray | None = None, null: Null | None = None
) -> Groups:
    """Group class averages that show the same view.

    Parameters
    ----------
    blend : (n, n) float32
        Symmetric, −1 to 1, NaN where a pair was not scored; the diagonal is not looked at. A pair
        missing between two classes that were scored counts as an ordinary one: the median of all.
    quality : (n,) float32, optional
        0 to 1, for the choice of representatives: the member of the highest quality × mean blend to
        the rest of its group. NaN counts as 0.
    null : Null, optional
        What unrelated pairs give; fitted to `blend` if it is not given.

    Returns
    -------
    Groups
        A class without any scored pair has label 0.
    """
    n = len(blend)
    if blend.shape != (n, n):
        raise ValueError(f"expected blend of shape ({n}, {n}), received {blend.shape}")
    if quality is not None and quality.shape != (n,):
        raise ValueError(f"expected quality of shape ({n},), received {quality.shape}")
    known = ~np.isnan(blend)
    np.fill_diagonal(known, False)
    scored = np.flatnonzero(known.any(axis=1))
    unscored = np.flatnonzero(~known.any(axis=1))
    if scored.size < 2:
        return Groups(
            labels=_int32(np.zeros(n)),
            order=_int32(np.arange(n)),
            linkage=frozen_array(np.empty((0, 4)), np.float64),
            threshold=np.nan,
            representatives=_int32([]),
            criterion="fewer than two classes were scored",
        )
    pairs = _pairs(blend if scored.size == n else blend[np.ix_(scored, scored)])
    if null is None:
        null = fit_null(np.where(known, blend, np.float32(np.nan)))
    low, high, criterion = _range(null, pairs, scored.size)
    pairs = np.where(np.isnan(pairs), np.nanmedian(pairs), pairs)
    distances = 1 - np.clip(pairs, -1, 1, dtype=np.float64)
    tree = linkage(distances, method="average")
    if scored.size <= LARGEST_ORDERED:
        tree = optimal_leaf_ordering(tree, distances)
    else:
        criterion += f"; leaves are not in optimal order above {LARGEST_ORDERED} classes"
    threshold = _widest_gap(tree[:, 2], 1 - high, 1 - low)
    labels, representatives = _cut(tree, scored, threshold, blend, quality)
    return Groups(
        labels=labels,
        order=_int32(np.concatenate([scored[leaves_list(tree)], unscored])),
        linkage=frozen_array(tree, np.float64),
        threshold=threshold,
        representatives=representatives,
        criterion=f"average linkage cut at a mean blend of {1 - threshold:.3f}, {criterion}",
    )


def groups_at(
    groups: Groups, threshold: float, *, blend: FloatArray, quality: FloatArray | None = None
) -> Groups:
    """Cut the tree of `groups` elsewhere; the tree and the order of its leaves stay.

    Parameters
    ----------
    groups : Groups
        Of n classes.
    threshold : float
        The height of the cut, 1 − blend.
    blend, quality
        As for `group_classes`.

    Returns
    -------
    Groups
    """
    scored = np.flatnonzero(groups.labels > 0)
    labels, representatives = _cut(groups.linkage, scored, threshold, blend, quality)
    return replace(
        groups,
        labels=labels,
        representatives=representatives,
        threshold=threshold,
        criterion=f"average linkage cut by hand at a mean blend of {1 - threshold:.3f}",
    )


def cuts(groups: Groups) -> NDArray[np.float64]:
    """Return a height between every two merges, rising: each gives groups of its own.

    The first one leaves all classes alone, the last one puts all into one group; merges of one
    height happen at once.
    """
    heights = np.unique(groups.linkage[:, 2])
    outside = heights[[0, -1]] + (-OUTSIDE, OUTSIDE) if heights.size else heights
    return np.concatenate([outside[:1], (heights[:-1] + heights[1:]) / 2, outside[1:]])


def moved_cut(groups: Groups, steps: int) -> float:
    """Return the height so many cuts above or below that of `groups`, as far as there are any."""
    heights = np.unique(groups.linkage[:, 2])
    if not heights.size:
        return groups.threshold
    place = int(np.searchsorted(heights, groups.threshold, side="right"))
    return float(cuts(groups)[min(max(place + steps, 0), heights.size)])


def mean_inside(blend: FloatArray, ids: NDArray[np.integer]) -> float:
    """Return the mean over the scored pairs of some classes; NaN where there is none."""
    inside = blend[np.ix_(ids, ids)][np.triu_indices(ids.size, k=1)]
    known = inside[~np.isnan(inside)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")


@dataclass(frozen=True)
class Redundancy:
    """What could go when one representative of each group is kept.

    Attributes
    ----------
    classes, of : int
        Classes that could go, and all that are in groups.
    particles : float
        Behind those that could go; NaN unless known of each.
    """

    classes: int
    of: int
    particles: float

    @property
    def part(self) -> float:
        """Part of the classes, 0 to 1."""
        return self.classes / self.of if self.of else 0.0


def redundancy(groups: Groups, particles: NDArray[np.floating]) -> Redundancy:
    """Count what is redundant.

    Parameters
    ----------
    groups : Groups
        Of n classes.
    particles : (n,) float
        Particles of each class; NaN where unknown.
    """
    redundant = groups.labels > 0
    grouped = int(np.count_nonzero(redundant))
    redundant[groups.representatives] = False
    return Redundancy(int(np.count_nonzero(redundant)), grouped, float(particles[redundant].sum()))


def _cut(
    tree: NDArray[np.float64],
    scored: NDArray[np.intp],
    threshold: float,
    blend: FloatArray,
    quality: FloatArray | None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the labels of all classes and the representatives of their groups."""
    worth = np.ones(len(blend)) if quality is None else np.nan_to_num(quality)
    labels = np.zeros(len(blend), dtype=np.int32)
    labels[scored] = _by_falling_size(fcluster(tree, threshold, criterion="distance"))
    by_label = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[by_label], np.arange(1, labels.max() + 2))
    members = [by_label[start:end] for start, end in pairwise(ends)]
    return _int32(labels), _int32([_representative(ids, blend, worth) for ids in members])


def _int32(values: object) -> NDArray[np.int32]:
    return frozen_array(values, np.int32)  # type: ignore[arg-type]


def _pairs(blend: FloatArray) -> FloatArray:
    """Return the pairs i < j, by i, then j, as scipy wants them."""
    return np.concatenate([row[i + 1 :] for i, row in enumerate(blend)])


def _range(null: Null, pairs: FloatArray, classes: int) -> tuple[float, float, str]:
    """Return the lowest and the highest mean blend to cut at, and the criterion in words."""
    if np.isnan(null.scale):
        low, high = FEW_PAIRS_RANGE
        known = int(np.count_nonzero(~np.isnan(pairs)))
        why = f"{counted(known, 'pair')} {are(known)} too few to know what chance gives"
        return low, high, f"the widest gap between merges from {low} to {high} ({why})"
    p = FALSE_PARTNER / classes
    low, high = null.blend_at(BY_CHANCE), null.blend_at(p, rank=MUCH_LIKE_ALL)
    why = f"what unrelated pairs reach with p = {BY_CHANCE:g} and {p:.2g}"
    return low, high, f"the widest gap between merges from {low:.3f} to {high:.3f} ({why})"


def _widest_gap(heights: NDArray[np.float64], low: float, high: float) -> float:
    """Return the middle of the widest gap in `heights` between `low` and `high`."""
    inside = heights[(heights > low) & (heights < high)]
    edges = np.concatenate([[low], inside, [high]])
    widest = int(np.argmax(np.diff(edges)))
    return float((edges[widest] + edges[widest + 1]) / 2)


def _by_falling_size(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels counted from 1 by falling size of the group, then by its first member."""
    _, first, group, size = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(size.size, dtype=np.int32)
    rank[np.lexsort((first, -size))] = np.arange(1, size.size + 1)
    return rank[group]


def _representative(ids: NDArray[np.intp], blend: FloatArray, worth: NDArray[np.floating]) -> int:
    if ids.size == 1:
        return int(ids[0])
    inside = np.array(blend[np.ix_(ids, ids)], dtype=np.float64)
    np.fill_diagonal(inside, np.nan)
    known = ~np.isnan(inside)
    mean = np.where(known, inside, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return int(ids[np.argmax(worth[ids] * np.maximum(mean, 0))])
