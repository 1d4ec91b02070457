"""What squares of a montage show beside stacks, told by the pictures: the same field, or pixels.

A screenshot may have any zoom. Most show whole boxes, scaled; some programs draw pixel for pixel
and pad to a larger square, or show the middle only. Where no pixel size tells which, a sample of
pairs is scored both ways. Only where particles have one size do squares find partners that stand
out of the bulk of pairs; by plain score the two cannot be compared, since what is magnified more is
alike by chance already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.model import PAIR_FIELDS, ClassAverage, MaskDiameter, Settings
from cryocorr_tui.core.preprocessing import at_unknown_zoom, prepare
from cryocorr_tui.core.similarity import PairScorer

__all__ = [
    "Zoom",
    "at_any_zoom",
    "in_question",
    "pixel_for_pixel",
    "standing_out",
    "taken_at_given_size",
    "tell_zoom",
]

# Of the smaller side every class shall have its partner in the sample, if there is one, so the
# larger side is hardly thinned out.
MOST_SOUGHT, MOST_PARTNERS = 24, 192
FEWEST = 4  # of either side; fewer have no bulk to stand out of
SAMPLE_BOX = 64  # working pixels; more tell no better
ALIKE = 1.05  # boxes in pixels that differ by less: one geometry is as good as the other
# What the right geometry reaches, and its lead over the other. Real montages reached 3.8 and 14.9
# beside their own stack and up to 2.9 beside 26 others. Chance alone reaches up to 3.5 in 24 × 192
# pairs, but with a lead of 0.7; both together in less than 1 of 100 draws of 4 × 24 pairs.
CLEAR, LEAD = 3.3, 1.5
SHOWN = {
    "field": "the same field as the other inputs",
    "pixels": "the other inputs pixel for pixel",
}


@dataclass(frozen=True)
class Zoom:
    """What squares at an unknown zoom are taken to show.

    Attributes
    ----------
    drawn : str
        "field" (that of the other boxes, scaled) or "pixels" (those of the other inputs).
    finding : str
        How that was found, a sentence; empty where there was nothing to find.
    doubt : str
        Why it could not be found and what to do, a sentence; empty where it was.
    """

    drawn: str = "field"
    finding: str = ""
    doubt: str = ""


def at_any_zoom(classes: Sequence[ClassAverage]) -> tuple[ClassAverage, ...]:
    """Take their pixel size from squares beside other inputs: one that was given for all of them.

    It is that of the other inputs; squares that show the same field have pixels of their own.
    """
    if all(item.x is not None for item in classes):
        return tuple(classes)
    return tuple(item if item.x is None else replace(item, pixel_size=None) for item in classes)


def in_question(classes: Sequence[ClassAverage], settings: Settings) -> bool:
    """Say whether only the pictures can tell what squares show."""
    drawn, others = _sides(classes)
    return bool(settings.drawn == "auto" and drawn and others and _boxes_differ(classes))


def taken_at_given_size(classes: Sequence[ClassAverage], settings: Settings) -> bool:
    """Say whether squares beside other inputs have a pixel size because one was given for all."""
    both = {item.x is None for item in classes} == {True, False}
    given = settings.pixel_size is not None and settings.drawn == "auto"
    return given and both and _boxes_differ(classes)


def tell_zoom(
    classes: Sequence[ClassAverage], settings: Settings, backend: Backend, *, memory: float
) -> Zoom:
    """Tell by the pictures what squares at an unknown zoom show, where that is `in_question`.

    Parameters
    ----------
    classes : sequence of ClassAverage
        All of the run.
    settings : Settings
        ``mirror``, ``weights`` and ``seed`` are used.
    backend : Backend
        Where the pairs of the sample are scored.
    memory : float
        Bytes of that device to work in.

    Returns
    -------
    Zoom
        The same for the same classes and settings.
    """
    evidence = {
        drawn: _evidence(classes, replace(settings, drawn=drawn), backend, memory)
        for drawn in SHOWN
    }
    best, other = sorted(SHOWN, key=lambda drawn: evidence[drawn], reverse=True)
    squares = f"The squares of {_names(classes)}"
    if evidence[best] >= CLEAR and evidence[best] >= evidence[other] + LEAD:
        return Zoom(
            best,
            finding=f"{squares} show {SHOWN[best]}: best partners stand out by "
            f"{evidence[best]:.1f}, against {evidence[other]:.1f} if they showed {SHOWN[other]}; "
            f"give --drawn {other} to take them so.",
        )
    why = "they are too few to tell"
    if evidence[best]:
        why = f"the pictures do not tell: best partners stand out by {evidence['field']:.1f}, "
        why += f"against {evidence['pixels']:.1f} if they showed {SHOWN['pixels']}"
    return Zoom(
        doubt=f"{squares} are taken to show {SHOWN['field']}, but {why}. Give --drawn pixels if "
        "they are drawn pixel for pixel, else --drawn field."
    )


def pixel_for_pixel(classes: Sequence[ClassAverage]) -> tuple[ClassAverage, ...]:
    """Give squares that show the pixels of the other inputs their pixel size, where it is known."""
    drawn, others = _sides(classes)
    sizes = {item.pixel_size for item in others}
    if not drawn or len(sizes) != 1:
        return tuple(classes)
    (size,) = sizes
    return tuple(
        replace(item, pixel_size=size) if at_unknown_zoom(item) else item for item in classes
    )


def standing_out(blend: NDArray[np.floating]) -> float:
    """Return how far best partners stand out of the bulk of pairs.

    A partner shall stand out both for the one and for the other, since some pictures are like
    many. The number is a robust z: distance from the median, in units of 1.4826 × the median
    absolute deviation, that of the row or column but at least that of all pairs.

    Parameters
    ----------
    blend : (n, m) float
        Scores of pairs; a row or column that is all NaN is left out.

    Returns
    -------
    float
        The z that the best partner reaches in a quarter of the rows; of the columns where there
        are fewer. 0 where less than `FEWEST` of either side are left.
    """
    known = np.isfinite(blend)
    left = blend[known.any(axis=1)][:, known.any(axis=0)]
    if min(left.shape) < FEWEST:
        return 0.0
    scores = np.arctanh(np.clip(left.astype(np.float64), -0.999, 0.999))
    both = np.minimum(_robust_z(scores, axis=1), _robust_z(scores, axis=0))
    return float(np.quantile(both.max(axis=int(np.argmax(both.shape))), 0.75))


def _robust_z(scores: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    off = scores - np.median(scores, axis=axis, keepdims=True)
    spread = np.median(np.abs(off), axis=axis, keepdims=True)
    z: NDArray[np.float64] = off / (1.4826 * np.maximum(spread, np.median(np.abs(off))) + 1e-9)
    return z


def _evidence(
    classes: Sequence[ClassAverage], settings: Settings, backend: Backend, memory: float
) -> float:
    """Return how far best partners stand out in one geometry; 0 where it is impossible."""
    few, many = sorted(_sides(classes), key=len)
    few, many = _evenly(few, MOST_SOUGHT), _evenly(many, MOST_PARTNERS)
    sample = [*few, *many]
    # The mask and shifts that the user wants may fit one geometry only, and tell nothing here.
    settings = replace(
        settings,
        box=min(SAMPLE_BOX, *(len(item.image) for item in sample)),
        mask_diameter=MaskDiameter(),
        max_shift=None,
    )
    try:
        working = prepare(sample, settings)
    except InputError:
        return 0.0
    scorer = PairScorer(working, settings, backend, memory=memory)
    block = scorer.score(slice(0, len(few)), slice(len(few), len(sample)))
    return standing_out(block[PAIR_FIELDS.index("blend")])


def _boxes_differ(classes: Sequence[ClassAverage]) -> bool:
    boxes = [len(item.image) for item in classes]
    return max(boxes) > ALIKE * min(boxes)


def _sides(
    classes: Sequence[ClassAverage],
) -> tuple[list[ClassAverage], list[ClassAverage]]:
    """Return the squares at an unknown zoom, and all others."""
    drawn = [item for item in classes if at_unknown_zoom(item)]
    return drawn, [item for item in classes if not at_unknown_zoom(item)]


def _evenly(items: list[ClassAverage], most: int) -> list[ClassAverage]:
    chosen = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[k] for k in chosen]


def _names(classes: Sequence[ClassAverage]) -> str:
    first, *more = dict.fromkeys(item.source for item in classes if at_unknown_zoom(item))
    return f"{first} and {len(more)} more" if more else first
