"""Matrix: all pairs as one coloured map, with the pair under the cursor beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from cryocorr_tui.core.model import FloatArray, Groups
from cryocorr_tui.core.ranking import Ranking
from cryocorr_tui.tui.axis import Axis, by_group, by_quality, by_source
from cryocorr_tui.tui.colormaps import COLORMAPS
from cryocorr_tui.tui.pair_numbers import class_rows, pair_rows
from cryocorr_tui.tui.score_map import MAP_FIELDS
from cryocorr_tui.tui.screens.prompt import Prompt, share
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
    # Those that are hidden here stand in the legend, or in the help.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "best(1)", "Next best", id="matrix.next"),
        Binding("N", "best(-1)", "Previous best pair", show=False, id="matrix.previous"),
        Binding(
            "o",
            "order",
            "Order",
            show=False,
            tooltip="Order: source, quality, group",
            id="matrix.order",
        ),
        Binding(
            "m",
            "metric",
            "Metric",
            show=False,
            tooltip="Metric: score, blend (not weighted by quality), NCC, SSIM, NMI, FRC",
            id="matrix.metric",
        ),
        Binding(
            "t",
            "threshold",
            "Threshold",
            show=False,
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
        Binding("y", "copy", "Copy the numbers of the pair", show=False, id="matrix.copy"),
        Binding("g", "go", "Go to a class or a pair", show=False, id="matrix.go"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._order, self._colormap = "source", COLORMAPS[0]
        self._threshold, self._stretched = 0.0, True
        self._ranking: Ranking | None = None
        self._ranked: tuple[object, int] = (None, 0)

    def compose_step(self) -> ComposeResult:
        """Lay out the map beside the pair under its cursor."""
        yield Static(id="matrix-problem", classes="problem", markup=False)
        yield MapLegend()
        with Horizontal():
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
                if self.session.finished:
                    self._rank(self._begin_at_best)
            case Changed.FILES | Changed.TAKEN:
                self._show_problem()
            case Changed.TILES:
                heatmap.repaint()
                self._describe()
            case Changed.FINISHED:
                self._show_map()
                self._rank(self._begin_at_best)
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

    def action_copy(self) -> None:
        """Copy the numbers of the pair under the cursor."""
        run = self.session.run
        if run is not None:
            i, j = self.query_one(Heatmap).cursor
            rows = class_rows(run, i) if i == j else pair_rows(run, run.pair(i, j))
            text = "; ".join(f"{name} {value}" for name, value in rows)
            self.app.copy_to_clipboard(f"{i}, {j}: {text}")
            self.notify("Copied.")

    def action_threshold(self) -> None:
        """Ask for another threshold."""

        def take(text: str | None) -> None:
            if text is None:
                return
            value = share(text)
            if value is None:
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
        """Go to the next or the previous best pair of the map, above the threshold."""
        self._rank(lambda ranking: self._go_to_best(ranking, step))

    def _go_to_best(self, ranking: Ranking, step: int) -> None:
        heatmap, score_map = self.query_one(Heatmap), self.session.score_map
        if score_map is None:
            return
        values = _values(ranking, score_map.field)
        order = np.argsort(-values, kind="stable")
        order = order[values[order] >= np.float32(max(self._threshold, 1e-6))]
        i, j = sorted(heatmap.cursor)
        here = np.flatnonzero((ranking.i[order] == i) & (ranking.j[order] == j))
        place = int(here[0]) + step if here.size else 0
        if not 0 <= place < order.size:
            self.notify("There is no further pair above the threshold.")
            return
        best = order[place]
        heatmap.touched = True
        heatmap.go_to(int(ranking.i[best]), int(ranking.j[best]))

    def _rank(self, then: Callable[[Ranking], None]) -> None:
        """Rank the pairs that are scored, in a thread, unless that is done; then go on."""
        score_map = self.session.score_map
        if score_map is None:
            return
        run, state = score_map.run, (score_map.run, score_map.version)
        if self._ranking is not None and state == self._ranked:
            then(self._ranking)
            return

        ranker = self.session.ranker(run)

        def rank() -> None:
            ranker.read()
            found = ranker.ranking(run.survey)
            self.app.call_from_thread(self._take_ranking, found, state, then)

        self.run_worker(rank, group="rank", exclusive=True, thread=True, exit_on_error=False)

    def _take_ranking(
        self, ranking: Ranking, state: tuple[object, int], then: Callable[[Ranking], None]
    ) -> None:
        self._ranking, self._ranked = ranking, state
        then(ranking)

    def _begin_at_best(self, ranking: Ranking) -> None:
        heatmap = self.query_one(Heatmap)
        if not heatmap.touched and ranking.i.size:
            heatmap.go_to(int(ranking.i[0]), int(ranking.j[0]))

    # --- what is shown

    def _show_problem(self) -> None:
        """Say why there is no new map."""
        line = self.query_one("#matrix-problem", Static)
        line.update(self.session.problem)
        line.display = bool(self.session.problem)

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


def _values(ranking: Ranking, field: str) -> FloatArray:
    """Return a field as it is mapped, high where pairs are alike; what is not known is −1."""
    with np.errstate(divide="ignore"):
        values = 1 / ranking.period if field == "frc" else getattr(ranking, field)
    return np.asarray(np.nan_to_num(values, nan=-1.0), dtype=np.float32)


SCREEN = MatrixScreen
