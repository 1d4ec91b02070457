"""From a blend of metrics to the score of a pair, and the words for a pair without one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cryocorr_tui.core.model import FloatArray

__all__ = ["pair_reason", "pair_score", "pair_weight"]


def pair_weight(qi: FloatArray, qj: FloatArray, quality_weight: float) -> FloatArray:
    """Weight a pair by the quality of its two classes.

    The geometric mean, so that one bad class cannot be made up for by a good partner:
    ``(Q_i Q_j) ** (quality_weight / 2)``.

    Parameters
    ----------
    qi, qj : array_like
        Qualities, 0 to 1, of shapes that broadcast; NaN where unknown.
    quality_weight : float
        Not negative; 0 switches the weighting off, also where a quality is unknown.

    Returns
    -------
    float32
        Of the broadcast shape, 0 to 1, rising in both qualities; NaN where a quality is unknown.
    """
    if not quality_weight >= 0:
        raise ValueError(f"expected a quality_weight of at least 0, received {quality_weight}")
    product = np.asarray(qi, dtype=np.float32) * np.asarray(qj, dtype=np.float32)
    return np.power(product, np.float32(quality_weight / 2))


def pair_score(blend: FloatArray, weight: FloatArray) -> FloatArray:
    """Return ``max(blend, 0) × weight``, float32, 0 to 1; NaN where either is unknown.

    A negative blend is cut off at 0: a low weight must not rank it up.
    """
    blend = np.asarray(blend, dtype=np.float32)
    weight = np.asarray(weight, dtype=np.float32)
    return np.maximum(blend, np.float32(0)) * weight


def pair_reason(i: int, j: int, reasons: Mapping[int, str]) -> str:
    """Say why the pair (i, j) was not scored.

    Parameters
    ----------
    i, j : int
        Class ids.
    reasons : mapping of int to str
        What is wrong with a class, as the end of a sentence: ``{3: "is constant"}``.

    Returns
    -------
    str
        "class 3 is constant"; "not scored" where neither class is to blame.
    """
    blame = [f"class {k} {reasons[k]}" for k in (i, j) if k in reasons]
    return "; ".join(blame) or "not scored"
