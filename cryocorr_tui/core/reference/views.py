"""The reference and its decoys, and their best poses at each place.

A decoy is the reference with each of its angular orders turned by an angle of its own. It has the
radial profile, the elongation and the fineness of the reference, and is another particle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.model import FloatArray, Pose
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.reference.placement import Placement, Pyramid, Template
from cryocorr_tui.core.reference.proposal import Places
from cryocorr_tui.core.reference.reading import Reference
from cryocorr_tui.core.search import Candidates, CoarseSearch

__all__ = ["Poses", "View", "decoys_of", "detailed_view_of", "search_poses", "view_of"]

_LARGEST_BOX = 96  # pixels of the finest alignment
_SEARCH_BOX = 40  # pixels of search and score; finer detail adds more noise than difference
_SCALES = np.array([0.93, 1.0, 1.075])  # about the scale of the place
_SHIFTS = 1.6 * shift_lattice(1.5)  # pixels; the refinement does the rest
_PLACES_AT_ONCE = 160  # bounds the working memory
_POSES = 3  # refined at each place
_SYMMETRIES = range(3, 13)


@dataclass(frozen=True, eq=False)
class View:
    """A picture to look for.

    Attributes
    ----------
    image : (side, side) float32
        Its centre is the pixel ``side // 2``.
    zoom : float
        Pixels of the reference per pixel of `image`.
    diameter : float
        Of the disc, in pixels of the reference.
    """

    image: FloatArray
    zoom: float
    diameter: float

    def aligned(self, pyramid: Pyramid, starts: list[Placement]) -> tuple[Placement, float]:
        """Align with the picture from some placements; return the best and its correlation."""
        found = [self._template.aligned(pyramid, start) for start in starts]
        return max(found, key=lambda item: item[1])

    @cached_property
    def _template(self) -> Template:
        return Template(self.image, self.diameter / self.zoom, self.zoom)


def view_of(reference: Reference) -> View:
    """Return the reference at the resolution of search and score."""
    return _resampled(reference, _SEARCH_BOX)


def detailed_view_of(reference: Reference, smallest_scale: float) -> View:
    """Return the reference at the resolution at which its smallest hits are drawn."""
    side = min(math.floor(reference.box * smallest_scale), _LARGEST_BOX)
    return _resampled(reference, max(side, _SEARCH_BOX))


def _resampled(reference: Reference, side: int) -> View:
    zoom = reference.box / side
    centre = np.full(2, reference.box // 2, dtype=np.float64)
    image = Pyramid(reference.image).sample(Placement(np.eye(2) * zoom, centre), side)
    return View(image, zoom, reference.diameter)


def decoys_of(view: View, count: int) -> tuple[View, ...]:
    """Return `count` decoys of a view, the same ones each time.

    Turning its orders makes no other particle of a view that has nearly a single one, as a top view
    of high symmetry; there the orders are exchanged for neighbouring ones too, so that out of four
    subunits come three, five or six. A round view has no decoy but itself.
    """
    rings = _Rings.of(view.image, view.diameter / view.zoom / 2)
    rng = np.random.default_rng(0)
    exchanges = rng.choice((-1, 1, 2), count).tolist() if rings.is_symmetric else [0] * count
    return tuple(
        View(rings.exchanged(by).turned(rng).image, view.zoom, view.diameter) for by in exchanges
    )


@dataclass(frozen=True, eq=False)
class _Rings:
    """The angular orders of a picture on rings about its centre, half a pixel apart.

    ``orders`` is (orders, rings) complex; the rings reach beyond the corners of the picture of
    `side` pixels, `radius` is that of its disc.
    """

    orders: NDArray[np.complex128]
    side: int
    radius: float

    @classmethod
    def of(cls, image: FloatArray, radius: float) -> _Rings:
        side = len(image)
        angle = 2 * np.pi * np.arange(4 * side)[:, None] / (4 * side)
        reach = np.arange(math.ceil(1.5 * side)) / 2
        at = [side // 2 + reach * np.sin(angle), side // 2 + reach * np.cos(angle)]
        rings = map_coordinates(image.astype(np.float64), at, mode="nearest")
        return cls(fft.rfft(rings, axis=0), side, radius)

    @property
    def image(self) -> FloatArray:
        """(side, side) float32."""
        angles = 2 * (len(self.orders) - 1)
        rings = fft.irfft(self.orders, n=angles, axis=0)
        y, x = np.indices((self.side, self.side)) - self.side // 2
        at = [np.arctan2(y, x) * angles / (2 * np.pi), 2 * np.hypot(y, x)]
        image: FloatArray = map_coordinates(rings, at, mode="grid-wrap").astype(np.float32)
        return image

    @property
    def is_symmetric(self) -> bool:
        """Whether the orders of a symmetry of three or more hold most of what is not round."""
        distance = np.arange(self.orders.shape[1]) / 2
        area = np.where(distance <= self.radius, distance, 0)
        power = (np.abs(self.orders[1:]) ** 2) @ area
        # Noise is alike in all orders up to a quarter of the sampling frequency at the rim.
        noise = np.median(power[: math.ceil(0.5 * math.pi * self.radius)])
        power = np.maximum(power - 2 * noise, 0)
        return any(power[n - 1 :: n].sum() > 0.5 * power.sum() for n in _SYMMETRIES)

    def exchanged(self, by: int) -> _Rings:
        """Return it with each order but the first, the radial profile, moved by `by`."""
        moved = np.zeros_like(self.orders)
        first, last = max(1, 1 + by), min(len(moved), len(moved) + by)
        moved[0] = self.orders[0]
        moved[first:last] = self.orders[first - by : last - by]
        return replace(self, orders=moved)

    def turned(self, rng: np.random.Generator) -> _Rings:
        """Return it with each order but the first turned by an angle of its own."""
        turns = np.exp(2j * np.pi * rng.uniform(size=(len(self.orders), 1)))
        turns[0] = 1
        return replace(self, orders=self.orders * turns)


@dataclass(frozen=True, eq=False)
class Poses:
    """The best poses of v views at n places, for each of a few scales.

    Attributes
    ----------
    correlation, rotation, shift_y, shift_x : (4, v, n, scales) float32
        Distinct peaks, of which the last two are mirrored; they bring the *place* onto the view,
        shifts are in pixels of the search.
    centres : (n, 2) float64
        x and y in the picture.
    scales : (n, scales) float64
        Pixels of the picture per pixel of the reference.
    zoom : float
        Pixels of the reference per pixel of the search.
    """

    correlation: FloatArray
    rotation: FloatArray
    shift_y: FloatArray
    shift_x: FloatArray
    centres: NDArray[np.float64]
    scales: NDArray[np.float64]
    zoom: float

    @cached_property
    def best(self) -> FloatArray:
        """(v, n) float32: the highest correlation of each view at each place, −1…1."""
        return np.asarray(self.correlation.max(axis=(0, 3)))

    def placements(self, view: int, place: int) -> list[Placement]:
        """Return the best few placements of a view at a place."""
        correlation = self.correlation[:, view, place, :]
        at_scale = correlation.argmax(axis=1)
        best_first = np.argsort(-correlation.max(axis=1), kind="stable")[:_POSES]
        return [self._placement(peak, view, place, at_scale[peak]) for peak in best_first]

    def _placement(self, peak: int, view: int, place: int, scale: int) -> Placement:
        at = (peak, view, place, scale)
        pose = Pose(
            float(self.rotation[at]),
            float(self.shift_y[at]),
            float(self.shift_x[at]),
            mirrored=bool(peak >= len(self.correlation) // 2),
        ).inverse()
        size = self.scales[place, scale]
        shift = np.array([pose.shift_x, pose.shift_y]) * size * self.zoom
        return Placement(pose.linear() * size, self.centres[place] + shift)


def search_poses(
    pyramid: Pyramid, places: Places, views: Sequence[View], *, mirror: bool, backend: Backend
) -> Poses:
    """Find the best poses of every view at every place, over all rotations.

    Parameters
    ----------
    pyramid : Pyramid
        Of the picture.
    places : Places
        At least one.
    views : sequence of View
        From `view_of` or `decoys_of`, of one reference.
    mirror : bool
        Whether mirrored poses count.
    backend : Backend
    """
    zoom = views[0].zoom
    scales = places.scales[:, None] * _SCALES
    own = np.stack([view.image for view in views])
    mask = disc_mask(_SEARCH_BOX, views[0].diameter / zoom + 2, edge=4.0)
    found: list[Candidates] = []
    for first in range(0, len(scales), _PLACES_AT_ONCE):
        those = slice(first, first + _PLACES_AT_ONCE)
        patches = _patches(pyramid, places.centres[those], scales[those] * zoom)
        images = np.concatenate([own, patches])
        images -= (images * mask).sum(axis=(1, 2), keepdims=True) / mask.sum()
        images *= mask
        there = backend.to_device(images)
        search = CoarseSearch(there, _SHIFTS, mirror=mirror)
        samples = search.samples(there)
        rows, columns = samples[:, : len(views), :], samples[:, len(views) :, :]
        found.append(search.candidates(search.rows(rows), search.columns(columns)))
    shape = (-1, len(views), *scales.shape)
    fields = [
        np.concatenate([backend.to_host(getattr(part, name)) for part in found], axis=2)
        for name in ("correlation", "rotation", "shift_y", "shift_x")
    ]
    correlation, rotation, shift_y, shift_x = (field.reshape(shape) for field in fields)
    return Poses(correlation, rotation, shift_y, shift_x, places.centres, scales, zoom)


def _patches(
    pyramid: Pyramid, centres: NDArray[np.float64], steps: NDArray[np.float64]
) -> FloatArray:
    """Return what lies upright at n places, (n × k, box, box), for k pixel sizes of each."""
    return np.stack(
        [
            pyramid.sample(Placement(np.eye(2) * step, centre), _SEARCH_BOX)
            for centre, of_place in zip(centres, steps, strict=True)
            for step in of_place
        ]
    )
