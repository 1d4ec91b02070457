"""Pairs: a gallery of the best ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static
from textual.worker import get_current_worker

from cryocorr_tui.tui.keyed import append_keyed
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.filter_field import FilterField
from cryocorr_tui.tui.widgets.gallery import Gallery
from cryocorr_tui.tui.widgets.pair_gallery import NONE, PairGallery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryocorr_tui.core.ranking import PairFilter, Ranker, Ranking

__all__ = ["SCREEN", "PairsScreen"]

SECONDS_BETWEEN_READINGS = 1.0  # of what is new in the store while a run goes on


class PairsScreen(StepScreen):
    """The best pairs of the run, sorted and filtered."""

    STEP: ClassVar[str] = "pairs"
    HELP: ClassVar[str] = (
        "The pairs that are most alike: the first class average of each, beside it the second laid"
        " on it. The score is the blend of all metrics times a weight that rises with the quality"
        " of both; sorted by both, a pair must have a high score and two good classes. p is the"
        " chance that two unrelated classes are that much alike; it is known when the run is"
        " finished. The text filter takes class ids (12), a pair (12-40) or a part of a file name."
    )
    # Most of those that are hidden here stand in the line of filters.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", id="pairs.sort", tooltip="Sort by the next measure"),
        Binding("slash", "find", "Find", key_display="/", id="pairs.find", tooltip="Find by text"),
        Binding("0", "clear", "Clear filters", show=False, id="pairs.clear"),
        Binding("y", "copy", "Copy the pair's numbers", show=False, id="pairs.copy"),
        Binding("t", "least('score')", "Least score to show", show=False, id="pairs.score"),
        Binding("w", "least('quality')", "Least quality to show", show=False, id="pairs.quality"),
        Binding(
            "o",
            "cycle('sources')",
            "Sources: all, the same, others",
            show=False,
            id="pairs.sources",
        ),
        Binding(
            "i",
            "cycle('grouping')",
            "Groups: all, inside one, across",
            show=False,
            id="pairs.groups",
        ),
        Binding(
            "I",
            "this_group",
            "Only the group of the pair's first class",
            show=False,
            id="pairs.this_group",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        from cryocorr_tui.core.ranking import PairFilter

        self.sort = "score"
        self.wanted: PairFilter = PairFilter()
        self.ranking: Ranking | None = None
        self._ranker: Ranker | None = None
        self._order: NDArray[np.intp] = NONE
        self._stale = self._reading = False

    def compose_step(self) -> ComposeResult:
        """Lay out the state of sort and filters over the pairs."""
        yield Static(id="filters")
        yield FilterField()
        yield PairGallery(id="pairs")

    def on_mount(self) -> None:
        """Follow a run that goes on."""
        super().on_mount()
        self.set_interval(SECONDS_BETWEEN_READINGS, self._read)
        self.query_one(PairGallery).focus()

    # --- from the session to the screen

    def session_changed(self, change: Changed) -> None:
        """Show what is new."""
        if change in (Changed.RUN, Changed.FINISHED):
            self._follow()
        elif change is Changed.TILES:
            self._stale = True
        elif change is Changed.CHOICES and self.ranking is not None:
            self._filter()

    def _follow(self) -> None:
        """Read the pairs of the run on the screens; it may be another one."""
        run = self.session.run
        gallery = self.query_one(PairGallery)
        if run is None:
            gallery.empty = "No run yet: choose files (1) and press r."
            self._tell()
            return
        ranker = self.session.ranker(run)
        if ranker is not self._ranker:
            gallery.empty = "Reading pairs…"
            self._ranker, self.ranking = ranker, None
            gallery.begin(run)
            self._tell()
        self._stale = True
        self._read()

    def _read(self) -> None:
        """Read what is new in the store, one reading at a time, and none that nobody sees."""
        if self._stale and not self._reading and self._ranker is not None and self.is_current:
            self._stale, self._reading = False, True
            ranker, run = self._ranker, self.session.run
            survey = None if run is None else run.survey
            self.run_worker(
                lambda: self._rank(ranker, survey),
                group="ranking",
                thread=True,
                exit_on_error=False,
            )

    def _rank(self, ranker: Ranker, survey: object) -> None:
        from cryocorr_tui.core.errors import CryocorrError

        worker, ranking, error = get_current_worker(), None, ""
        try:
            ranker.read(stopped=lambda: worker.is_cancelled or ranker is not self._ranker)
            ranking = ranker.ranking(survey)  # type: ignore[arg-type]
        except CryocorrError as told:
            error = str(told)
        if not worker.is_cancelled:
            self.call_later(self._take, ranker, ranking, error)

    def _take(self, ranker: Ranker, ranking: Ranking | None, error: str) -> None:
        self._reading = False
        if error:
            self.cryocorr.tell_error(error)
        if ranking is not None and ranker is self._ranker:
            self.ranking = ranking
            self._order = ranking.sorted_by(self.sort)
            self._filter()

    def on_screen_resume(self) -> None:
        """Read what came while another screen was shown."""
        self._read()

    # --- sort and filters

    def _filter(self) -> None:
        if self.ranking is None:
            self._tell()
            return
        run, choices = self.session.run, self.session.choices
        groups = None if choices is None else choices.groups
        passes = self.wanted.passes(
            self.ranking,
            sources=[] if run is None else [item.source for item in run.classes],
            labels=None if groups is None else groups.labels,
        )
        gallery = self.query_one(PairGallery)
        gallery.empty = (
            "No pair passes the filters; 0 clears them." if len(self.ranking) else "No pairs yet."
        )
        gallery.show(self.ranking, self._order[passes[self._order]])
        self._tell()

    def _tell(self) -> None:
        """Say what is shown of all, and how."""
        gallery, wanted = self.query_one(PairGallery), self.wanted
        scored = 0 if self._ranker is None else self._ranker.scored
        inside = "" if wanted.group is None else f"group {wanted.group}"
        grouping = "" if wanted.grouping == "all" else f"{wanted.grouping} groups"
        parts = [  # keys, what they filter by, and how it is filtered
            ("s", "", f"by {self.sort}"),
            ("t", "score", f"score ≥ {wanted.score:g}" if wanted.score else ""),
            ("w", "quality", f"quality ≥ {wanted.quality:g}" if wanted.quality else ""),
            ("o", "sources", "" if wanted.sources == "all" else f"{wanted.sources} sources"),
            ("i", "groups", grouping or inside),
            ("/", "text", wanted.text),
        ]
        line = Text().append(f"{gallery.count:,} of {scored:,}", style="bold")
        for key, field, how in parts:
            append_keyed(line, key, how or field, "bold" if how else "dim")
        self.query_one("#filters", Static).update(line)

    def action_sort(self) -> None:
        """Sort by the next measure."""
        from cryocorr_tui.core.ranking import SORTS

        self.sort = _next(SORTS, self.sort)
        if self.ranking is not None:
            self._order = self.ranking.sorted_by(self.sort)
        self._filter()

    def action_cycle(self, field: str) -> None:
        """Take the next kind of pairs by source or by group."""
        from cryocorr_tui.core.ranking import GROUPINGS, SOURCES

        kinds = {"sources": SOURCES, "grouping": GROUPINGS}[field]
        if field == "grouping" and not self._grouped():
            return
        self._want(**{field: _next(kinds, getattr(self.wanted, field))})

    def action_this_group(self) -> None:
        """Show only pairs inside the group of the cursor's first class, or all again."""
        pair, choices = self.query_one(PairGallery).pair, self.session.choices
        if self.wanted.group is not None:
            self._want(group=None)
        elif pair is not None and self._grouped():
            assert choices is not None
            assert choices.groups is not None
            self._want(group=int(choices.groups.labels[pair[0]]), grouping="all")

    def _grouped(self) -> bool:
        """Return whether groups are known, and say so where not."""
        choices = self.session.choices
        if choices is not None and choices.groups is not None:
            return True
        self.notify("There are no groups yet; screen 5 says what is missing.", severity="warning")
        return False

    def action_least(self, field: str) -> None:
        """Ask for the least score or quality to show."""
        value = getattr(self.wanted, field)

        def typed(text: str) -> None:
            self._want(**{field: _part(text)})

        self.query_one(FilterField).ask(
            f"Least {field}, 0 to 1: ", f"{value:g}" if value else "", typed
        )

    def action_find(self) -> None:
        """Ask for text that pairs must fit."""
        self.query_one(FilterField).ask(
            "Find: ", self.wanted.text, lambda text: self._want(text=text)
        )

    def action_clear(self) -> None:
        """Clear all filters; the sort stays."""
        from cryocorr_tui.core.ranking import PairFilter

        self.wanted = PairFilter()
        self._filter()

    def _want(self, **changes: object) -> None:
        self.wanted = replace(self.wanted, **changes)  # type: ignore[arg-type]
        self._filter()

    # --- the pair under the cursor

    def on_gallery_opened(self, event: Gallery.Opened) -> None:
        """Open the pair viewer, which goes on through the pairs as they are shown."""
        gallery = self.query_one(PairGallery)
        if gallery.pair is not None:
            self.cryocorr.open_pair(*gallery.pair, pairs=gallery.pairs)

    def action_copy(self) -> None:
        """Copy the numbers of the pair as a line of text."""
        from cryocorr_tui.tui.pair_numbers import pair_rows

        pair, run = self.query_one(PairGallery).pair, self.session.run
        if pair is not None and run is not None:
            rows = pair_rows(run, run.pair(*pair))
            text = "; ".join(f"{name} {value}" for name, value in rows)
            self.app.copy_to_clipboard(f"{pair[0]}, {pair[1]}: {text}")
            self.notify("Copied.")


def _next(kinds: tuple[str, ...], kind: str) -> str:
    return kinds[(kinds.index(kind) + 1) % len(kinds)]


def _part(text: str) -> float:
    """Return a number of 0 to 1 that is being typed; 0 where it is none yet."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


SCREEN = PairsScreen
