"""Histograms of a displacement field."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Grid
from textual_plotext import PlotextPlot

from cryocorr_tui.core.field_drawing import shown
from cryocorr_tui.core.model import DisplacementField, FloatArray

__all__ = ["FieldHistograms"]

BINS = 30
TICKS = 3
PLOTS = {
    "magnitude": "magnitude (px)",
    "dy": "dy (px)",
    "dx": "dx (px)",
    "correlation": "coefficient, also invalid",
}


class FieldHistograms(Grid):
    """How magnitude, dy, dx and coefficient are distributed."""

    def compose(self) -> ComposeResult:
        """Lay out one plot for each."""
        for name in PLOTS:
            yield PlotextPlot(id=f"histogram-{name}")

    def show_field(self, field: DisplacementField) -> None:
        """Show another field: its valid and replaced vectors, and all coefficients."""
        for name, title in PLOTS.items():
            values: FloatArray = getattr(field, name)
            if name != "correlation":
                values = values[shown(field)]
            self._draw(name, title, values[np.isfinite(values)])

    def _draw(self, name: str, title: str, values: FloatArray) -> None:
        plot = self.query_one(f"#histogram-{name}", PlotextPlot)
        figure = plot.plt
        figure.clear_figure()
        figure.title(title)
        figure.grid(False, False)
        if values.size:
            low, high = float(values.min()), float(values.max())
            margin = 0.0 if high > low else 0.5
            counts, edges = np.histogram(values, BINS, range=(low - margin, high + margin))
            colour = Color.parse(self.app.theme_variables["primary"]).rgb
            figure.bar((edges[:-1] + edges[1:]) / 2, counts.tolist(), width=1, color=colour)
            ticks = np.linspace(edges[0], edges[-1], TICKS)
            figure.xlim(edges[0], edges[-1])
            figure.xticks(ticks.tolist(), [f"{tick:.3g}" for tick in ticks])
            figure.yticks([0, int(counts.max())])
        plot.refresh()
