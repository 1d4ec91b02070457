"""What the colours of the heatmap mean, and how it is arranged."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from cryocorr_tui.tui.colormaps import COLORMAPS, append_ramp, colours_of
from cryocorr_tui.tui.keyed import append_keyed

__all__ = ["MapLegend"]

RAMP_WIDTH = 8
EMPTY = "No pairs yet: choose files (1) and press r; the map fills as they are scored."

FIELD_NAMES = {
    "score": "score",
    "blend": "blend (not weighted by quality)",
    "ncc": "NCC",
    "ssim": "SSIM",
    "nmi": "NMI",
    "frc": "FRC 0.5 crossing, 1/px",
}


class MapLegend(Static):
    """One line above the heatmap."""

    def __init__(self) -> None:
        super().__init__()
        self._colormap, self._span = COLORMAPS[0], (0.0, 1.0)
        self._field, self._order, self._threshold, self._place = "score", "source", 0.0, ""

    def colours(self, colormap: str, span: tuple[float, float]) -> None:
        """Show another ramp, from one value to another."""
        self._colormap, self._span = colormap, span
        self.refresh()

    def describe(
        self, *, field: str, order: str, threshold: float, pooled: int, place: str
    ) -> None:
        """Say how the map is arranged."""
        best_of = f"best of {pooled}×{pooled} · " if pooled > 1 else ""
        self._field, self._order, self._threshold = field, order, threshold
        self._place = best_of + place
        self.refresh()

    def render(self) -> Text:
        """Return the line."""
        if not self._place:
            return Text(EMPTY)
        low, high = self._span
        line = Text(no_wrap=True, overflow="ellipsis").append("m ", "dim")
        line.append(f"{FIELD_NAMES[self._field]} {low:.2f} ")
        append_ramp(line, self._colormap, RAMP_WIDTH, colours=colours_of(self.app))
        line.append(f" {high:.2f}")
        append_keyed(line, "o", f"order {self._order}")
        append_keyed(
            line, "t", f"threshold {self._threshold:g}" if self._threshold else "threshold"
        )
        return line.append(f"  {self._place}", "dim")
