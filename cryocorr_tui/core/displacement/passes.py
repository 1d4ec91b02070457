"""One pass over all subsets: searched in the picture deformed by what is expected, then refined."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.displacement.levels import Level
from cryocorr_tui.core.displacement.prediction import Prediction, predict, turned, undeformed
from cryocorr_tui.core.displacement.registration import refine, refine_bytes
from cryocorr_tui.core.displacement.searching import (
    NO_MATCH,
    SearchField,
    search,
    search_bytes,
    search_field,
)
from cryocorr_tui.core.displacement.subsets import SubsetGrid, window_sums
from cryocorr_tui.core.events import StageProgressed, StageStarted
from cryocorr_tui.core.model import DisplacementSettings, FloatArray

__all__ = ["Matcher", "Matches", "leaves_picture"]

MEMORY = 1.0  # GB, beyond which nothing gets faster
# Subsets between two events: a cancel waits for them. On the host they shall fit the cache.
TOGETHER_ON_HOST, TOGETHER_ON_CARD = 256, 4096
LEAST_EXPECTED = 0.5  # coefficient from which a match helps to predict the next pass
DRIFT = 0.125  # blocks, 2 px at least, that a refined match may lie from the peak of the search
TURNS = (0.0, -8.0, 8.0, -16.0, 16.0, -24.0, 24.0)  # degrees tried in the coarsest picture

Refined = tuple[NDArray[np.float64], NDArray[np.float64]]
Events = StageStarted | StageProgressed


@dataclass(frozen=True, eq=False)
class Matches:
    """Where n subsets were found.

    Attributes
    ----------
    warps : (n, 6) float64
        As of `registration.refine`; where that did not come to rest near the peak of the search,
        the peak itself.
    correlation, peak_ratio : (n,) float64
    variance : (n, 2) float64
        Of dy and dx in px²; NaN where the match was not refined.
    matched, refined, outside : (n,) bool
        Anything was found at all; it was refined; it lies partly out of the picture.
    """

    warps: NDArray[np.float64]
    correlation: NDArray[np.float64]
    peak_ratio: NDArray[np.float64]
    variance: NDArray[np.float64]
    matched: NDArray[np.bool_]
    refined: NDArray[np.bool_]
    outside: NDArray[np.bool_]

    def expected_next(self, grid: SubsetGrid) -> Prediction | None:
        """Return what these matches let expect, None where too few are good."""
        trusted = self.refined & (self.correlation >= LEAST_EXPECTED)
        dy, dx = (self.warps[:, k].reshape(grid.shape) for k in (0, 3))
        return predict(grid, dy, dx, trusted.reshape(grid.shape))


@dataclass(frozen=True)
class Matcher:
    """Finds subsets with given settings on a given device."""

    settings: DisplacementSettings
    backend: Backend

    def best_turn(self, level: Level) -> Generator[Events, None, Prediction]:
        """Return the rotation of the whole picture in which most subsets are found best.

        A subset that is turned by more than some 8° hardly resembles itself any more.
        """
        trials = [turned(level.deformed.values.shape, turn) for turn in TURNS]
        scores = []
        yield StageStarted("rotations", len(TURNS))
        for done, trial in enumerate(trials, start=1):
            field = self._search_field(level, trial)
            peaks = [self._peaks(level, field, part)[:, 0] for part in self._parts(level)]
            scores.append(float(np.maximum(np.concatenate(peaks), 0).mean()))
            yield StageProgressed("rotations", done)
        return trials[int(np.argmax(scores))]

    def find(
        self, level: Level, expected: Prediction, stage: str
    ) -> Generator[Events, None, Matches]:
        """Find all subsets of a level near where they are expected."""
        prior = expected.warps(level.grid)
        yield StageStarted(stage, len(prior))
        field = self._search_field(level, expected)
        found = []
        for part in self._parts(level):
            peaks = self._peaks(level, field, part)
            start = _shifted(prior[part], peaks[:, 2:])
            refined = self._refined(level, start, part)
            found.append(_matches(level, part, peaks, start, *refined))
            yield StageProgressed(stage, part.stop)
        return _joined(found)

    def _search_field(self, level: Level, expected: Prediction) -> SearchField:
        values, known = undeformed(level.deformed.values, level.deformed.known, expected)
        block, reach = self.settings.block_size, self.settings.reach
        return self.backend.moved(search_field(values, known, block=block, reach=reach))

    def _peaks(self, level: Level, field: SearchField, part: slice) -> FloatArray:
        corners = self.backend.to_device(level.grid.corners[part])
        peaks = search(level.reference_on_device, field, corners, block=level.grid.block)
        return self.backend.to_host(peaks)

    def _refined(self, level: Level, start: NDArray[np.float64], part: slice) -> Refined:
        """Return warps and quality of `registration.refine`, on the host."""
        warps, quality = refine(
            level.reference_on_device,
            level.deformed_on_device,
            self.backend.to_device(level.grid.corners[part]),
            self.backend.to_device(start),
            block=level.grid.block,
            affine=self.settings.subset_shape == "affine",
        )
        return self.backend.to_host(warps), self.backend.to_host(quality)

    def _parts(self, level: Level) -> Iterator[slice]:
        """Cut the subsets into parts that fit memory."""
        each = search_bytes(level.grid.block, self.settings.reach)
        most = TOGETHER_ON_HOST
        if not self.backend.is_host:
            each += refine_bytes(level.grid.block)
            most = TOGETHER_ON_CARD
        room = int((self.settings.memory or MEMORY) * 1e9 / each)
        together = max(1, min(most, room))
        for first in range(0, len(level.grid), together):
            yield slice(first, min(first + together, len(level.grid)))


def _matches(
    level: Level,
    part: slice,
    peaks: FloatArray,
    start: NDArray[np.float64],
    moved: NDArray[np.float64],
    quality: NDArray[np.float64],
) -> Matches:
    """Put together what the search and the refinement say."""
    way = np.hypot(moved[:, 0] - start[:, 0], moved[:, 3] - start[:, 3])
    near = way <= max(2.0, DRIFT * level.grid.block)
    matched = peaks[:, 0] > NO_MATCH
    refined = matched & near & (quality[:, 3] > 0)
    return Matches(
        warps=np.where(refined[:, None], moved, start),
        correlation=np.where(refined, quality[:, 0], peaks[:, 0]),
        peak_ratio=peaks[:, 1].astype(np.float64),
        variance=np.where(refined[:, None], quality[:, 1:3], np.nan),
        matched=matched,
        refined=refined,
        outside=matched & near & leaves_picture(level, moved, level.grid.corners[part]),
    )


def _joined(parts: list[Matches]) -> Matches:
    names = Matches.__dataclass_fields__
    return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def leaves_picture(
    level: Level, warps: NDArray[np.float64], corners: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Return (n,) bool: which matched subsets cover anything but known pixels of the picture."""
    block, known = level.grid.block, level.deformed.known
    half = (block - 1) / 2
    dy, dyy, dyx, dx, dxy, dxx = warps.T
    outside = np.zeros(len(warps), dtype=bool)
    ends = (dy, abs(1 + dyy) + abs(dyx)), (dx, abs(dxy) + abs(1 + dxx))
    for axis, (shift, reach) in enumerate(ends):
        middle = corners[:, axis] + half + shift
        # A pixel is half a pixel wide on either side of its centre.
        outside |= middle - half * reach < -0.5
        outside |= middle + half * reach > known.shape[axis] - 0.5
    if not known.all():
        nearest = corners + np.rint(np.stack([dy, dx], axis=1)).astype(np.int32)
        top, left = np.clip(nearest, 0, np.array(known.shape) - block).T
        outside |= window_sums(~known, block)[top, left] > 0.5
    return outside


def _shifted(warps: NDArray[np.float64], shift: FloatArray) -> NDArray[np.float64]:
    """Return warps (n, 6) whose match lies `shift` (n, 2) further in the undeformed picture."""
    dy, dyy, dyx, dx, dxy, dxx = warps.T
    y, x = shift.T.astype(np.float64)
    moved_y, moved_x = dy + (1 + dyy) * y + dyx * x, dx + dxy * y + (1 + dxx) * x
    return np.stack([moved_y, dyy, dyx, moved_x, dxy, dxx], axis=1)
