"""Two plots of a pair: its ring correlation, and its correlation round the circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from textual.color import Color
from textual_plotext import PlotextPlot

from cryocorr_tui.core.metrics import FRC_THRESHOLD
from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.pair_scores import ANGLES, PoseScores, RotationProfile
from cryocorr_tui.tui.pair_numbers import angle

__all__ = ["FrcPlot", "ProfilePlot"]

TICKS = 5
MARGIN = 0.05  # above a curve that begins at 1: else it runs over the tick, and not beside it


class _Plot(PlotextPlot):
    """A plot in the colours of the theme."""

    def _begin(self, title: str) -> Any:
        self.plt.clear_figure()
        self.plt.title(title)
        self.plt.grid(False, False)
        return self.plt

    def _end(self, lowest: float, *, margin: float = 0.0) -> None:
        """Let the correlation run from its lowest value, or from 0, to 1, and a margin beyond."""
        self.plt.ylim(min(0.0, lowest) - margin, 1 + margin)
        self.plt.yticks([0, 0.5, 1], ["0", "0.5", "1"])
        self.refresh()

    def _colour(self, name: str, *, weak: bool = False) -> tuple[int, int, int]:
        """Return a colour of the theme as plotext wants it; a weak one is near the background."""
        colour, behind = (Color.parse(self.app.theme_variables[key]) for key in (name, "surface"))
        return colour.blend(behind, 0.5 if weak else 0).rgb


class FrcPlot(_Plot):
    """Fourier ring correlation against frequency."""

    def show(self, scores: PoseScores, pixel_size: float | None) -> None:
        """Show the curve of a pose.

        Parameters
        ----------
        scores : PoseScores
            Holds the curve.
        pixel_size : float or None
            Å per pixel of class i; without it periods are in pixels.
        """
        size, unit = (pixel_size, "Å") if pixel_size else (1.0, "px")
        period = scores.frc_resolution_px
        where = "" if math.isnan(period) else f", 0.5 at {period * size:.1f} {unit}"
        plot = self._begin(f"FRC{where}")
        ends = [scores.frequency[0], scores.frequency[-1]]
        line = self._colour("foreground", weak=True)
        plot.plot(ends, [FRC_THRESHOLD] * 2, marker="braille", color=line)
        if not math.isnan(period):
            plot.plot(
                [1 / period] * 2,
                [0, FRC_THRESHOLD],
                marker="braille",
                color=self._colour("warning"),
            )
            plot.plot(scores.frequency, scores.frc, marker="braille", color=self._colour("primary"))
        plot.xlim(*ends)
        ticks = np.linspace(ends[1] / TICKS, ends[1], TICKS)
        plot.xticks(ticks, [f"{size / tick:.3g}" for tick in ticks])
        plot.xlabel(f"period ({unit})")
        self._end(float(np.nan_to_num(scores.frc).min()), margin=MARGIN)


class ProfilePlot(_Plot):
    """NCC against the angle, with the present one marked."""

    def show(self, profile: RotationProfile, pose: Pose, ncc: float) -> None:
        """Show both mirror states, the one of `pose` above the other.

        Parameters
        ----------
        profile : RotationProfile
            At the shift of `pose`.
        pose : Pose
            The present one.
        ncc : float
            There, −1…1.
        """
        plot = self._begin(f"NCC round the circle, now {angle(pose.rotation)}")
        lowest = 0.0
        for mirrored in (not pose.mirrored, pose.mirrored):
            values = profile.of(mirrored)
            if not np.isnan(values).any():
                weak = mirrored != pose.mirrored
                colour = self._colour("foreground" if weak else "primary", weak=weak)
                plot.plot(ANGLES, values, marker="braille", color=colour)
                lowest = min(lowest, float(values.min()))
        if not math.isnan(ncc):
            plot.scatter([pose.rotation], [ncc], marker="●", color=self._colour("warning"))
        plot.xlim(0, 360)
        plot.xticks([0, 90, 180, 270, 360])
        # Not as a legend, which would lie over the curves.
        plot.xlabel(
            f"rotation (°), {_drawn(pose.mirrored)} bright, {_drawn(not pose.mirrored)} dim"
        )
        self._end(lowest)


def _drawn(mirrored: bool) -> str:
    return "mirrored" if mirrored else "not mirrored"
