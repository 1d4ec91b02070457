"""A way to look at a pair, and what the panels of the viewer then show."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryocorr_tui.core.aligned import (
    aligned_pictures,
    difference,
    difference_picture,
    overlay,
    source_mask,
    to_grey,
)
from cryocorr_tui.core.model import Pose
from cryocorr_tui.tui.graphics.viewport import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cryocorr_tui.core.pair_scores import PoseScorer, PoseScores, RotationProfile
    from cryocorr_tui.core.run import Run

__all__ = ["PANELS", "Look", "Magnifier", "Scoring", "pictures_of"]

PANELS = ("a", "b", "difference", "overlay")

LARGEST_ZOOM = 16.0
ZOOM_STEP = 2**0.5
PAN_STEP = 1 / 8  # of what is seen


@dataclass(frozen=True)
class Look:
    """What is looked at: a pair at a pose, plain or enhanced.

    Attributes
    ----------
    i, j : int
        Class ids; the same twice is that class alone.
    pose : Pose
        Brings j onto i, shifts in source pixels of i.
    enhanced : bool
        By CLAHE.
    """

    i: int
    j: int
    pose: Pose = field(default_factory=Pose)
    enhanced: bool = False

    def turned(self, degrees: float) -> Look:
        """Turn j counter-clockwise about its own centre."""
        rotation = (self.pose.rotation + degrees) % 360.0 % 360.0
        return replace(self, pose=replace(self.pose, rotation=rotation))

    def shifted(self, down: float, right: float) -> Look:
        """Shift j by source pixels of i."""
        y, x = self.pose.shift_y + down, self.pose.shift_x + right
        return replace(self, pose=replace(self.pose, shift_y=y, shift_x=x))

    def mirrored(self) -> Look:
        """Mirror j left-right as it is seen, about its own centre."""
        # A mirror changes places with a rotation when that turns the other way.
        rotation = -self.pose.rotation % 360.0 % 360.0
        pose = replace(self.pose, rotation=rotation, mirrored=not self.pose.mirrored)
        return replace(self, pose=pose)


@dataclass(frozen=True)
class Magnifier:
    """How far the panels are zoomed in, and where to; lengths in parts of the box.

    Attributes
    ----------
    zoom : float
        From 1, the whole box, to `LARGEST_ZOOM`.
    y, x : float
        The point in the middle.
    """

    zoom: float = 1.0
    y: float = 0.5
    x: float = 0.5

    def zoomed(self, steps: int) -> Magnifier:
        """Zoom in by steps, or out."""
        zoom = min(max(self.zoom * ZOOM_STEP**steps, 1.0), LARGEST_ZOOM)
        return replace(self, zoom=zoom).moved(0, 0)

    def moved(self, down: int, right: int) -> Magnifier:
        """Go by steps, and not beyond the box."""
        reach, step = 0.5 / self.zoom, PAN_STEP / self.zoom
        y = min(max(self.y + down * step, reach), 1 - reach)
        x = min(max(self.x + right * step, reach), 1 - reach)
        return replace(self, y=y, x=x)

    def view_of(self, box: int) -> View | None:
        """Return the part of a picture of `box` pixels; None for the whole."""
        return View(self.y * box, self.x * box, self.zoom) if self.zoom > 1 else None


def pictures_of(run: Run, look: Look, *, colour: bool = True) -> dict[str, NDArray[np.uint8]]:
    """Return what the panels show.

    Parameters
    ----------
    run : Run
        Where the classes are from.
    look : Look
    colour : bool
        Whether the difference may be told by colour.

    Returns
    -------
    dict of (box, box) or (box, box, 3) uint8
        By the names of `PANELS`; "a" alone for a class alone.
    """
    if look.i == look.j:
        return {"a": to_grey(run.classes[look.i].image, enhanced=look.enhanced)}
    first, second = aligned_pictures(run, look.i, look.j, look.pose)
    apart = difference(first, second, source_mask(run, look.i))
    a, b = (to_grey(picture, enhanced=look.enhanced) for picture in (first, second))
    return {
        "a": a,
        "b": b,
        "difference": difference_picture(apart, colour=colour),
        "overlay": overlay(a, b),
    }


class Scoring:
    """Scores one look after another, by whatever thread; what belongs to a pair is kept."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._pair: tuple[int, int] | None = None
        self._shift: tuple[float, float] | None = None
        self._scorer: PoseScorer
        self._profile: RotationProfile

    def of(
        self, run: Run, look: Look, stopped: Callable[[], bool]
    ) -> tuple[PoseScores, RotationProfile] | None:
        """Return scores and profile of a pair at a pose; None if it is `stopped` meanwhile."""
        from cryocorr_tui.core.pair_scores import PoseScorer

        pair, shift = (look.i, look.j), (look.pose.shift_y, look.pose.shift_x)
        with self._one_at_a_time:
            if stopped():
                return None
            if pair != self._pair:
                self._scorer, self._shift = PoseScorer(run, *pair), None
                self._pair = pair
            scores = self._scorer.score(look.pose)
            if shift != self._shift:
                self._profile = self._scorer.rotation_profile(look.pose)
                self._shift = shift
            return scores, self._profile
