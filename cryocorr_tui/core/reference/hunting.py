"""Hunt one particle view in a picture: every place, rotation, mirror state and scale.

Three passes, from everywhere to exactly there. The *proposal* correlates a small copy of the
picture with the reference in all rotations, mirror states and scales, by batches of FFTs, and keeps
the places where the best of them peaks. The *search* finds the few best poses at each place and
scores them, 40 pixels across the box, where particles still differ and noise is low. The
*refinement* maximises the correlation of the hits over rotation, shift and scale at full
resolution. Every correlation is a Pearson coefficient inside the disc of the reference, −1…1, and
keeps the sign of the contrast.

How much is enough? A picture full of particles holds many places that look a little like the
reference, so decoys of it (see `views`) are hunted beside it. What they reach in this very picture
is what a wrong view of such a particle reaches; the threshold is what the best of all decoys would
exceed in one picture of a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend, compiled_code
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import Detection, Hit, Montage, Settings, Square
from cryocorr_tui.core.reference.placement import Placement, Pyramid
from cryocorr_tui.core.reference.proposal import LEAST_CORRELATION, find_places
from cryocorr_tui.core.reference.reading import Reference, grey_without_overlays
from cryocorr_tui.core.reference.views import (
    Poses,
    View,
    decoys_of,
    detailed_view_of,
    search_poses,
    view_of,
)

__all__ = ["SCALES", "Hunt", "hunt"]

SCALES = Settings.reference_scales
DECOYS = 24
MOST_DECOY_PLACES = 400
# Other particles than the decoys stand in pictures too: a filament, hunted in four montages of
# other molecules, correlated with their blobs by up to 0.52.
LEAST_HIT = 0.55
FALSE_ALARM = 0.01  # chance that a decoy somewhere in a picture exceeds the threshold

_LIKELY_PLACES = 5  # scored for each decoy
_WON = 0.1  # correlation that a score may still win over the search on its lattice of poses
_SCALE_SLIP = 1.05  # how far a placement may leave the range of scales
_LARGEST_OVERLAP = 0.3  # of the smaller disc, before two hits are one


@dataclass(frozen=True)
class Hunt:
    """What was found in one picture.

    Attributes
    ----------
    source : str
        The picture.
    squares : tuple of Square
        In reading order, each with its hit. A square is the box of the reference at the hit's
        scale, upright, moved inside where it would leave the picture a little.
    threshold : float
        The least score of a hit, −1…1.
    highest : float
        The highest score anywhere in the picture, −1…1; 0 where nothing resembles the reference.
    explanation : str
        Where the threshold comes from, one sentence.
    """

    source: str
    squares: tuple[Square, ...]
    threshold: float
    highest: float
    explanation: str

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The hits, the best first."""
        hits = [square.hit for square in self.squares if square.hit is not None]
        return tuple(sorted(hits, key=lambda hit: -hit.score))

    def detection(self) -> Detection:
        """Return the squares with what the user should know of them."""
        notes = [self.explanation]
        sides = [square.width for square in self.squares if not square.cut]
        if sides and max(sides) - min(sides) > 1:
            notes.append(
                f"Hits of {min(sides):.0f} to {max(sides):.0f} px are cut upright and resampled "
                "to one box."
            )
        return Detection(self.source, self.squares, tuple(notes))


def hunt(
    montage: Montage,
    reference: Reference,
    *,
    scales: tuple[float, float] = SCALES,
    mirror: bool = True,
    threshold: float | None = None,
    backend: Backend | None = None,
) -> Hunt:
    """Find a particle view in a picture, with or without a grid.

    Parameters
    ----------
    montage : Montage
        The picture.
    reference : Reference
    scales : (low, high)
        Range of pixels of the picture per pixel of the reference.
    mirror : bool
        Whether mirror images are hits.
    threshold : float, optional
        The least score of a hit, above 0 and at most 1. By default from decoys: see the top of
        this module.
    backend : Backend, optional
        Where to correlate; by default the CPU.

    Returns
    -------
    Hunt

    Raises
    ------
    InputError
        A reference that is larger than the picture at every scale.
    SettingsError
        Scales or a threshold out of range.
    """
    _validate(scales, threshold)
    pyramid = Pyramid(grey_without_overlays(montage))
    _require_room(montage, pyramid, reference, scales)
    backend = backend or Backend("cpu")
    with compiled_code(), backend.current():
        result = _search(
            pyramid,
            reference,
            scales=scales,
            mirror=mirror,
            threshold=threshold,
            backend=backend,
        )
    hits = [
        _hit(placement, score)
        for placement, score in result.found
        if scales[0] / _SCALE_SLIP <= placement.scale <= scales[1] * _SCALE_SLIP
    ]
    squares = [
        _square(hit, reference.box, pyramid.shape)
        for hit in _without_overlap(hits, reference.diameter)
    ]
    return Hunt(
        montage.source,
        tuple(_in_reading_order(squares)),
        result.threshold,
        result.highest,
        result.explanation,
    )


@dataclass(frozen=True)
class _Result:
    """Placements and scores from the threshold on; the rest as in `Hunt`."""

    found: tuple[tuple[Placement, float], ...]
    threshold: float
    highest: float
    explanation: str


def _search(
    pyramid: Pyramid,
    reference: Reference,
    *,
    scales: tuple[float, float],
    mirror: bool,
    threshold: float | None,
    backend: Backend,
) -> _Result:
    places = find_places(pyramid, reference, scales=scales, mirror=mirror, backend=backend)
    if not len(places.centres):
        nothing = "Nothing here resembles the reference."
        return _Result((), threshold or LEAST_CORRELATION, 0.0, nothing)
    view = view_of(reference)
    search = partial(search_poses, pyramid, mirror=mirror, backend=backend)
    chase = _Chase(pyramid, [view], search(places, [view]))
    if threshold is not None:
        explanation = f"Hits correlate by {threshold:.2f} or more, as was asked for."
    else:
        decoys = decoys_of(view, DECOYS)
        step = math.ceil(len(places.centres) / MOST_DECOY_PLACES)
        of_decoys = _Chase(pyramid, decoys, search(places.every(step), decoys))
        threshold, explanation = _threshold(chase, of_decoys, step)
    detailed = detailed_view_of(reference, scales[0])
    found = tuple(
        (detailed.aligned(pyramid, [placement])[0], score)
        for placement, score in chase.found(threshold).values()
    )
    return _Result(found, threshold, chase.highest(chase.places)[0], explanation)


def _validate(scales: tuple[float, float], threshold: float | None) -> None:
    low, high = scales
    if not 0 < low <= high < math.inf:
        raise SettingsError(f"Scales from {low:g} to {high:g} are no range; give 0 < low ≤ high.")
    if threshold is not None and not 0 < threshold <= 1:
        raise SettingsError(
            f"A threshold of {threshold:g} cannot be used; give a correlation above 0, at most 1."
        )


def _require_room(
    montage: Montage, pyramid: Pyramid, reference: Reference, scales: tuple[float, float]
) -> None:
    height, width = pyramid.shape
    if reference.diameter * scales[0] > min(height, width):
        raise InputError(
            f"The reference {reference.name} ({reference.box}×{reference.box} pixels) does not fit "
            f"into {montage.source} ({width}×{height}) at a scale of {scales[0]:g}; allow smaller "
            "scales."
        )


class _Chase:
    """The scores of some views at some places, each computed when it is first asked for."""

    def __init__(self, pyramid: Pyramid, views: Sequence[View], poses: Poses) -> None:
        self._pyramid = pyramid
        self._views = views
        self._best = poses.best
        self._poses = poses
        self._scored: dict[tuple[int, int], tuple[Placement, float]] = {}

    @property
    def places(self) -> NDArray[np.intp]:
        """The numbers of all places."""
        return np.arange(self._best.shape[1])

    def found(self, threshold: float) -> dict[int, tuple[Placement, float]]:
        """Return, by place, placement and score of the first view where it reaches `threshold`."""
        promising = np.flatnonzero(self._best[0] >= threshold - _WON).tolist()
        scored = {place: self._at(0, place) for place in promising}
        return {place: item for place, item in scored.items() if item[1] >= threshold}

    def highest(self, places: NDArray[np.intp]) -> list[float]:
        """Return the highest score that each view reaches at any of some places."""
        highest = []
        for view, best in enumerate(self._best):
            likely = places[np.argsort(-best[places], kind="stable")[:_LIKELY_PLACES]]
            highest.append(max(self._at(view, place)[1] for place in likely.tolist()))
        return highest

    def _at(self, view: int, place: int) -> tuple[Placement, float]:
        if (view, place) not in self._scored:
            starts = self._poses.placements(view, place)
            self._scored[view, place] = self._views[view].aligned(self._pyramid, starts)
        return self._scored[view, place]


def _threshold(own: _Chase, decoys: _Chase, step: int) -> tuple[float, str]:
    """Return the threshold from decoys that looked at every `step`-th place, and its explanation.

    Where the reference itself is a hit, decoys, which share its orders and perhaps its very noise,
    say little about wrong views: those places are left out and the threshold is taken again, until
    no further hit appears (a step-down test as of Westfall & Young 1993, Resampling-Based Multiple
    Testing).
    """
    left = decoys.places
    while True:
        highest = decoys.highest(left)
        threshold = _exceeded_by_chance(highest, step)
        others = np.setdiff1d(left * step, list(own.found(threshold))) // step
        if len(others) in (0, len(left)):
            break
        left = others
    least = max(threshold, LEAST_HIT)
    return least, (
        f"Hits correlate with the reference by {least:.2f} or more: {len(highest)} scrambled "
        "copies of it (of its size, brightness and fineness, but another particle) reach "
        f"{min(highest):.2f} to {max(highest):.2f} elsewhere in this picture, in one of "
        f"{round(1 / FALSE_ALARM)} such pictures one would reach {threshold:.2f}, and below "
        f"{LEAST_HIT} other particles are found as well."
    )


def _exceeded_by_chance(highest: Sequence[float], step: int) -> float:
    """Return what the highest score of a decoy exceeds in `FALSE_ALARM` of pictures.

    Largest values follow Gumbel's law: on Fisher's scale, its spread and location are those of the
    highest scores at hand, and `step` times as many places move it by spread × ln `step`.
    """
    z = np.arctanh(np.clip(highest, -0.999, 0.999))
    spread = float(z.std(ddof=1)) * math.sqrt(6) / math.pi
    location = float(z.mean()) - spread * float(np.euler_gamma)
    rare = -math.log(-math.log(1 - FALSE_ALARM))
    return math.tanh(location + spread * (rare + math.log(step)))


def _hit(placement: Placement, score: float) -> Hit:
    return Hit(
        score=score,
        rotation=placement.rotation,
        mirrored=placement.mirrored,
        scale=placement.scale,
        y=float(placement.centre[1]),
        x=float(placement.centre[0]),
    )


def _square(hit: Hit, box: int, shape: tuple[int, int]) -> Square:
    side = box * hit.scale
    # From the middle of the centre pixel to the edge of the first one.
    corner = np.array([hit.x, hit.y]) + 0.5 - (box // 2 + 0.5) * hit.scale
    x, y = np.clip(corner, 0, np.maximum(np.array(shape[::-1]) - side, 0)).tolist()
    cut = side > min(shape) + 0.5
    return Square(x, y, side, side, min(max(hit.score, 0.0), 1.0), cut=cut, hit=hit)


def _without_overlap(hits: Iterable[Hit], diameter: float) -> list[Hit]:
    """Return the best hits first, none of which overlaps a better one."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if all(_overlap(hit, other, diameter) <= _LARGEST_OVERLAP for other in kept):
            kept.append(hit)
    return kept


def _overlap(first: Hit, second: Hit, diameter: float) -> float:
    """Return the part of the smaller disc that lies in the other, 0…1."""
    small, large = sorted((first.scale * diameter / 2, second.scale * diameter / 2))
    distance = math.hypot(first.x - second.x, first.y - second.y)
    if distance >= large + small:
        return 0.0
    if distance <= large - small:
        return 1.0
    # Two caps on the common chord, `near` from the small centre and `far` from the large one.
    near = (distance**2 + small**2 - large**2) / (2 * distance)
    far = distance - near
    lens = _cap(small, near) + _cap(large, far)
    return lens / (math.pi * small**2)


def _cap(radius: float, distance: float) -> float:
    """Return the area of the part of a disc beyond a chord at `distance` from its centre."""
    return radius**2 * math.acos(distance / radius) - distance * math.sqrt(radius**2 - distance**2)


def _in_reading_order(squares: Iterable[Square]) -> list[Square]:
    """Sort squares into rows from top to bottom, each from left to right."""
    ordered: list[Square] = []
    left = sorted(squares, key=lambda square: square.y)
    while left:
        row = [square for square in left if square.y < left[0].y + left[0].height / 2]
        ordered += sorted(row, key=lambda square: square.x)
        left = left[len(row) :]
    return ordered
