"""Matrix: all pairs as one coloured map, with the pair under the cursor beside it."""

from __future__ import annotations

import re
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from cryocorr_tui.core.model import Groups
from cryocorr_tui.tui.axis import Axis, by_group, by_quality, by_source
from cryocorr_tui.tui.colormaps import COLORMAPS
from cryocorr_tui.tui.score_map import MAP_FIELDS, next_best
from cryocorr_tui.tui.screens.prompt import Prompt
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.heatmap import Heatmap
from cryocorr_tui.tui.widgets.map_legend import MapLegend
from cryocorr_tui.tui.widgets.pair_panel import PairPanel

__all__ = ["SCREEN", "MatrixScreen"]

ORDERS = ("source", "quality", "group")


class MatrixScreen(StepScreen):
    """The matrix of the run; it fills while the run goes on."""

    STEP: ClassVar[str] = "matrix"
    HELP: ClassVar[str] = (
        "Every cell is a pair of class averages, coloured by how alike they are; dark cells are not"
        " scored yet. Zoomed out, a cell shows the best of several pairs, and the cursor stands on"
        " it. In group order the strip above shows at which height neighbours are joined."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "best(1)", "Next best", id="matrix.next"),
        Binding("N", "best(-1)", "Previous best pair", show=False, id="matrix.previous"),
        Binding("o", "order", "Order", tooltip="Order: source, quality, group", id="matrix.order"),
        Binding(
            "m",
            "metric",
            "Metric",
            tooltip="Metric: score, blend (not weighted by quality), NCC, SSIM, NMI, FRC",
            id="matrix.metric",
        ),
        Binding(
            "t",
            "threshold",
            "Threshold",
            tooltip="Threshold below which pairs are dimmed and n does not go",
            id="matrix.threshold",
        ),
        Binding("c", "colormap", "Next colormap", show=False, id="matrix.colormap"),
        Binding(
            "x",
            "span",
            "Stretch the colours over the values there are",
            show=False,
            id="matrix.span",
        ),
        Binding("g", "go", "Go to a class or a pair", show=False, id="matrix.go"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._order, self._colormap = "source", COLORMAPS[0]
        self._threshold, self._stretched = 0.0, True

    def compose_step(self) -> ComposeResult:
        """Lay out the map beside the pair under its cursor."""
        with Horizontal():
            with Vertical(id="matrix-map"):
                yield MapLegend()
                yield Heatmap()
            yield PairPanel()

    def on_mount(self) -> None:
        """Begin with the map."""
        super().on_mount()
        self.query_one(Heatmap).focus()

    def on_screen_resume(self) -> None:
        """Show groups and choices as they are now."""
        self.query_one(Heatmap).focus()

    def session_changed(self, change: Changed) -> None:
        """Show the run, and how it fills."""
        heatmap = self.query_one(Heatmap)
        match change:
            case Changed.RUN:
                self._show_map()
            case Changed.TILES:
                heatmap.repaint()
                self._describe()
            case Changed.FINISHED:
                self._show_map()
                if not heatmap.touched:
                    self._go_to_best()
                self.query_one(PairPanel).refresh_pair()
            case Changed.CHOICES if self._order == "group":
                self._show_map()

    def on_heatmap_cursor_moved(self, message: Heatmap.CursorMoved) -> None:
        """Show the pair under the cursor."""
        self.query_one(PairPanel).show_pair(message.i, message.j)
        self._describe()

    def on_heatmap_opened(self, message: Heatmap.Opened) -> None:
        """Open the pair viewer."""
        self.cryocorr.open_pair(message.i, message.j)

    def on_heatmap_zoomed(self, message: Heatmap.Zoomed) -> None:
        """Say how many classes share a cell now."""
        self._describe()

    # --- keys

    def action_order(self) -> None:
        """Take the next order that the run allows."""
        orders = ORDERS if self._groups() is not None else ORDERS[:2]
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self._show_map()

    def action_metric(self) -> None:
        """Map the next field."""
        score_map = self.session.score_map
        if score_map is not None:
            fields = list(MAP_FIELDS)
            self.cryocorr.show_map(fields[(fields.index(score_map.field) + 1) % len(fields)])

    def action_colormap(self) -> None:
        """Take the next ramp of colours."""
        self._colormap = COLORMAPS[(COLORMAPS.index(self._colormap) + 1) % len(COLORMAPS)]
        self._paint()

    def action_span(self) -> None:
        """Stretch the colours over the values that there are, or over all that could be."""
        self._stretched = not self._stretched
        self._paint()

    def action_threshold(self) -> None:
        """Ask for another threshold."""

        def take(text: str | None) -> None:
            if text is None:
                return
            try:
                value = float(text or 0)
            except ValueError:
                value = -1.0
            if not 0 <= value <= 1:
                self.notify(f"{text!r} is not a number from 0 to 1.", severity="warning")
                return
            self._threshold = value
            self._paint()

        self.app.push_screen(Prompt("Threshold, 0 to 1 (0: none)", f"{self._threshold:g}"), take)

    def action_go(self) -> None:
        """Ask for a class or a pair, and go there."""

        def take(text: str | None) -> None:
            if not text or self.session.score_map is None:
                return
            ids = [int(part) for part in re.findall(r"\d+", text)]
            store = self.session.score_map.run.store
            heatmap = self.query_one(Heatmap)
            i = ids[0] if ids else -1
            j = ids[1] if len(ids) > 1 else heatmap.cursor[1]
            if not (i in range(store.n)[store.rows] and j in range(store.n)[store.cols]):
                last = store.n - 1
                self.notify(f"{text!r} is no class or pair from 0 to {last}.", severity="warning")
                return
            heatmap.touched = True
            heatmap.go_to(i, j)

        self.app.push_screen(Prompt("Go to class, or pair as in 12 40"), take)

    def action_best(self, step: int) -> None:
        """Go to the next best pair of the map, above the threshold."""
        heatmap, score_map = self.query_one(Heatmap), self.session.score_map
        if score_map is None:
            return
        found = next_best(score_map, heatmap.cursor, step, self._threshold)
        if found is None:
            self.notify("No further pair above the threshold.")
            return
        heatmap.touched = True
        heatmap.go_to(*found)

    def _go_to_best(self) -> None:
        score_map = self.session.score_map
        best = None if score_map is None else next_best(score_map, None, 1, 0.0)
        if best is not None:
            self.query_one(Heatmap).go_to(*best)

    # --- what is shown

    def _show_map(self) -> None:
        score_map = self.session.score_map
        if score_map is None:
            return
        if self._order == "group" and self._groups() is None:
            self._order = "source"
        rows, cols = self._axes()
        self.query_one(Heatmap).show(score_map, rows, cols)
        self._paint()

    def _axes(self) -> tuple[Axis, Axis]:
        assert self.session.score_map is not None
        run = self.session.score_map.run
        groups = self._groups()
        if self._order == "group" and groups is not None:
            axis = by_group(groups)
            return axis, axis
        store, quality = run.store, run.quality.quality
        if self._order == "quality":
            return by_quality(quality, store.rows), by_quality(quality, store.cols)
        return by_source(run.classes, store.rows), by_source(run.classes, store.cols)

    def _groups(self) -> Groups | None:
        choices = self.session.choices
        return None if choices is None else choices.groups

    def _paint(self) -> None:
        heatmap, score_map = self.query_one(Heatmap), self.session.score_map
        field = "score" if score_map is None else score_map.field
        span = heatmap.spread() if self._stretched else MAP_FIELDS[field]
        heatmap.paint_with(self._colormap, span=span, threshold=self._threshold)
        self.query_one(MapLegend).colours(self._colormap, span)
        self._describe()

    def _describe(self) -> None:
        score_map = self.session.score_map
        if score_map is None:
            return
        heatmap = self.query_one(Heatmap)
        pooled = 2 ** max(-heatmap.zoom, 0)
        self.query_one(MapLegend).describe(
            field=score_map.field,
            order=self._order,
            threshold=self._threshold,
            pooled=pooled,
            place=heatmap.cursor_in_words(),
        )


SCREEN = MatrixScreen
