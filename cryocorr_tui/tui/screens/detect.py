"""Detect: the squares of montages, and the class averages of stacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static
from textual_plotext import PlotextPlot

from cryocorr_tui.core.first_look import FirstLook, look
from cryocorr_tui.core.inputs import Inputs, replace_squares
from cryocorr_tui.core.model import ClassAverage, Detection, FloatArray, Montage, Settings
from cryocorr_tui.core.overlay import confidence_colour
from cryocorr_tui.core.reference import ReferenceSpec
from cryocorr_tui.core.square_editing import EditedSquares
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.detect_words import (
    class_in_words,
    counts_in_words,
    source_in_words,
    square_in_words,
)
from cryocorr_tui.tui.latest import LatestWins
from cryocorr_tui.tui.screens.question import Question
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.contact_sheet import ContactSheet
from cryocorr_tui.tui.widgets.knobs import KNOBS, Knobs
from cryocorr_tui.tui.widgets.montage_view import MontageView

__all__ = ["SCREEN", "DetectScreen"]

PAUSE = 0.6  # seconds without a correction before the squares are looked at anew
SHEET = -1  # the view of all that is not cut from a picture
BINS = 10
NARROW_PANEL = 26  # characters in a line of the panel, until it is laid out
BAR_COLOUR = confidence_colour(1.0)


class DetectScreen(StepScreen):
    """Squares to check and correct, classes to look through."""

    STEP: ClassVar[str] = "detect"
    HELP: ClassVar[str] = (
        "Each square of a picture is one class average. Its colour is the confidence: blue sure, "
        "yellow half, red unsure. Arrows go from square to square; what is dropped, added or moved "
        "here is what r compares. In reference mode (m) one view is hunted instead: enter hunts "
        "what is under the cursor, f frames any other. The images of stacks are shown by their "
        "quality, the best first."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "right_square_bracket,n",
            "view(1)",
            "Next file",
            key_display="]",
            tooltip="Next picture",
            id="detect.next",
        ),
        Binding(
            "left_square_bracket,N",
            "view(-1)",
            "Previous file",
            show=False,
            key_display="[",
            id="detect.previous",
        ),
        Binding(
            "m",
            "mode",
            "Mode",
            tooltip="All squares, or hunt one view (reference mode)",
            id="detect.mode",
        ),
        Binding(
            "o",
            "knobs",
            "Knobs",
            show=False,
            tooltip="How squares are looked for",
            id="detect.knobs",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._place = 0  # in `_views`
        self._hunting = False
        self._seen: Inputs | None = None  # as the worker or this screen left them
        self._edited: dict[int, EditedSquares] = {}
        self._first_look: FirstLook | None = None
        self._looker: LatestWins[tuple[Inputs, Settings], FirstLook] = LatestWins(
            self, lambda job: look(*job), self._take_look
        )
        self._pause: Timer | None = None

    def compose_step(self) -> ComposeResult:
        """Lay out the picture beside what is known of it."""
        self._hunting = self.session.settings.reference is not None
        with Horizontal(id="detect"):
            with Vertical(id="detect-left"):
                yield Static(id="detect-problem", classes="problem", markup=False)
                yield MontageView(id="montage")
                yield ContactSheet(id="sheet")
            with VerticalScroll(id="detect-panel", can_focus=False):
                yield Static(id="detect-view", markup=False)
                yield Static(id="detect-square", markup=False)
                yield Knobs(self.session.settings)
                yield Static(id="detect-counts", markup=False)
                yield PlotextPlot(id="detect-quality")

    def on_resize(self) -> None:
        """Give names the room that they have now."""
        self.call_after_refresh(self._show_words)

    def on_screen_resume(self) -> None:
        """Read what is chosen, if that is still to be done."""
        self._read_if_needed()

    def session_changed(self, change: Changed) -> None:
        """Show what was read and found."""
        if change is Changed.FILES:
            self._place, self._seen = 0, None
            self._show()
            if self.is_current:
                self._read_if_needed()
        elif change is Changed.TAKEN:
            if self.session.taken is not self._seen or self.session.taken is None:
                self._seen = self.session.taken
                self._edited.clear()
                self._first_look = None
                self._look_soon()
            self._show()

    def _read_if_needed(self) -> None:
        session = self.session
        untouched = session.read is None and session.taken is None and not session.problem
        if untouched and session.files and not self.cryocorr.busy:
            self.cryocorr.take_in()

    # --- what is shown

    @property
    def montage_view(self) -> MontageView:
        """The picture with its squares."""
        return self.query_one(MontageView)

    @property
    def sheet(self) -> ContactSheet:
        """The class averages that are not cut from a picture."""
        return self.query_one(ContactSheet)

    @property
    def _inputs(self) -> Inputs | None:
        return self.session.taken or self.session.read

    @property
    def _views(self) -> list[int]:
        """Return the pictures by their index among the sources, and `SHEET` for all else."""
        inputs = self._inputs
        if inputs is None:
            return []
        pictures = [
            k
            for k, source in enumerate(inputs.sources)
            if isinstance(source, Montage)
            and (self.session.taken is None or k in inputs.detections)
        ]
        return pictures if len(pictures) == len(inputs.sources) else [*pictures, SHEET]

    @property
    def _view(self) -> int | None:
        views = self._views
        return views[self._place % len(views)] if views else None

    @property
    def _detection(self) -> Detection | None:
        """The squares of the picture that is shown."""
        taken, view = self.session.taken, self._view
        return None if taken is None or view is None else taken.detections.get(view)

    def _show(self) -> None:
        view, inputs = self._view, self._inputs
        montage = None
        if view not in (None, SHEET) and inputs is not None:
            source = inputs.sources[view or 0]
            montage = source if isinstance(source, Montage) else None
        self.montage_view.hunting = self._hunting
        self.montage_view.display = view != SHEET
        self.sheet.display = view == SHEET
        detection = self._detection
        self.montage_view.show(montage, detection.squares if detection else ())
        if view == SHEET:
            self._show_sheet()
        if self.focused is None or not self.focused.display:
            (self.sheet if view == SHEET else self.montage_view).focus()
        self._show_words()
        self.query_one(Knobs).show_hunt(self._hunting)
        self.query_one(Knobs).display = view not in (None, SHEET)
        self.refresh_bindings()

    def _show_sheet(self) -> None:
        classes = self._sheet_classes
        quality = self._quality_by_class()
        self.sheet.show(
            [item.image for item in classes],
            [_caption(item, quality.get(item.class_id, np.nan)) for item in classes],
        )

    @property
    def _sheet_classes(self) -> list[ClassAverage]:
        """Those that are not cut from a picture, the best first."""
        if self._first_look is None:
            return []
        quality = self._quality_by_class()
        classes = [item for item in self._first_look.classes if item.x is None]
        return sorted(classes, key=lambda item: -np.nan_to_num(quality[item.class_id], nan=-1.0))

    def _quality_by_class(self) -> dict[int, float]:
        if self._first_look is None:
            return {}
        return dict(enumerate(self._first_look.quality.tolist()))

    def _show_words(self) -> None:
        first_look = self._first_look
        self.query_one("#detect-view", Static).update(self._view_in_words())
        self.query_one("#detect-square", Static).update(self._cursor_in_words())
        problem = self.session.problem or (first_look.problem if first_look else "")
        if not self.session.files and self._inputs is None:
            problem = "Nothing is chosen yet: press 1 for the files."
        line = self.query_one("#detect-problem", Static)
        line.update(problem)
        line.display = bool(problem)
        counts = "" if first_look is None else counts_in_words(first_look.classes, self._room)
        self.query_one("#detect-counts", Static).update(counts)

    @property
    def _room(self) -> int:
        """Characters in a line of the panel."""
        return self.query_one("#detect-view").size.width or NARROW_PANEL

    @property
    def _names(self) -> list[str]:
        """The files that are read."""
        return [source.source for source in self._inputs.sources] if self._inputs else []

    def _name_in_words(self, source: str) -> str:
        return source_in_words(source, self._room, self._names)

    def _view_in_words(self) -> str:
        view, inputs = self._view, self._inputs
        if view is None or inputs is None:
            return ""
        number = f"picture {self._place % len(self._views) + 1} of {len(self._views)} · "
        number = number if len(self._views) > 1 else ""
        if view == SHEET:
            sources = [k for k in range(len(inputs.sources)) if k not in self._views]
            name = self._name_in_words(inputs.sources[sources[0]].source)
            name = name if len(sources) == 1 else f"images of {len(sources)} files"
            return f"{name}\n{number}best first"
        name = self._name_in_words(inputs.sources[view].source)
        detection = self._detection
        found = (
            "looking for squares"
            if detection is None
            else counted(len(detection.squares), "square")
        )
        if detection is None and self.session.problem:
            found = "no squares"
        if self.montage_view.frame is not None:
            hint = "\narrows move it, < > size it,\nenter sets it, escape leaves"
        elif self._hunting and self.session.settings.reference is None:
            hint = "\nreference mode: enter hunts\nwhat is under the cursor,\nf frames another view"
        elif self._hunting:
            hint = "\nreference mode"
        else:
            hint = ", corrected" if self.session.corrected else ""
        return f"{name}\n{number}{found}{hint}"

    def _cursor_in_words(self) -> str:
        quality = self._quality_by_class()
        if self._view == SHEET:
            classes = self._sheet_classes
            if not classes:
                return "" if self._first_look else "scoring their quality"
            item = classes[min(self.sheet.cursor, len(classes) - 1)]
            return class_in_words(item, quality[item.class_id], self._room, self._names)
        frame, squares = self.montage_view.frame, self.montage_view.squares
        if frame is not None:
            return f"{frame.width:.0f}×{frame.height:.0f} px\nat {frame.x:.0f}, {frame.y:.0f}"
        if not squares:
            return ""
        k = self.montage_view.cursor
        return square_in_words(k, squares[k], self._quality_of_square(k))

    def _quality_of_square(self, k: int) -> float:
        detection, first_look = self._detection, self._first_look
        if first_look is None or detection is None:
            return float("nan")
        for item in first_look.classes:
            if (item.source, item.source_index) == (detection.source, k) and item.x is not None:
                return float(first_look.quality[item.class_id])
        return float("nan")

    def on_montage_view_cursor_moved(self) -> None:
        """Say what is under the cursor."""
        self._show_words()

    def on_contact_sheet_cursor_moved(self) -> None:
        """Say what is under the cursor."""
        self._show_words()

    def action_view(self, step: int) -> None:
        """Show the next picture."""
        if self._views:
            self._place = (self._place + step) % len(self._views)
            self._show()

    # --- quality and print, worked out beside the screen

    def _look_soon(self) -> None:
        """Look at the squares anew once they are left alone."""
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE, self._look)

    def _look(self) -> None:
        if self.session.taken is not None:
            self._looker.ask((self.session.taken, self.session.settings))

    def _take_look(self, job: tuple[Inputs, Settings], first_look: FirstLook) -> None:
        inputs, _ = job
        if inputs is not self.session.taken:
            return  # corrected meanwhile
        self.session.taken = self._seen = first_look.inputs
        self._first_look = first_look
        self._show_quality(first_look.quality)
        self._show()

    def _show_quality(self, quality: FloatArray) -> None:
        plot = self.query_one(PlotextPlot)
        known = quality[~np.isnan(quality)]
        plot.display = bool(known.size)
        counts, edges = np.histogram(known, bins=BINS, range=(0, 1))
        plot.plt.clear_data()
        plot.plt.bar((edges[:-1] + edges[1:]) / 2, counts.tolist(), width=0.9, color=BAR_COLOUR)
        most = max(int(counts.max()), 1)
        plot.plt.title("quality")
        plot.plt.yticks([0, most])
        plot.plt.xlim(0, 1)
        plot.plt.xticks([0, 0.5, 1])
        plot.refresh()

    # --- corrections

    def on_montage_view_wanted(self, event: MontageView.Wanted) -> None:
        """Correct the squares of the picture that is shown."""
        view = self._view
        if view is None or view == SHEET:
            return
        taken = self._taken_to_correct()
        edited = self._edited.get(view)
        if edited is None:
            height, width = self.montage_view.size_of_montage
            bottom_up = self.session.settings.bottom_up
            squares = taken.detections[view].squares
            edited = EditedSquares(squares, height, width, bottom_up=bottom_up)
            self._edited[view] = edited
        if event.what == "undo" and not edited.can_undo:
            self.notify("There is nothing to undo.")
            return
        result = getattr(edited, event.what)(*event.arguments)
        replace_squares(taken, view, edited.squares)
        self.session.taken = self._seen = taken
        self.session.corrected, self.session.problem = True, ""
        if event.what == "add":
            self.montage_view.cursor = int(result)
        self._look_soon()
        self._show()

    def _taken_to_correct(self) -> Inputs:
        """Return a copy: a run may be looking at the squares as they are."""
        if self.session.taken is not None:
            return self.session.taken.copy()
        assert self.session.read is not None
        inputs = self.session.read.copy()
        for k, source in enumerate(inputs.sources):
            if isinstance(source, Montage):
                inputs.detections[k] = Detection(source.source, ())
        return inputs

    # --- other squares

    def action_mode(self) -> None:
        """Look for all squares, or hunt one view."""
        self._hunting = not self._hunting
        if not self._hunting and self.session.settings.reference is not None:
            self._find_again(replace(self.session.settings, reference=None))
        self._show()

    def on_montage_view_reference_chosen(self, event: MontageView.ReferenceChosen) -> None:
        """Hunt a view in all pictures."""
        view, inputs = self._view, self._inputs
        if view is None or inputs is None:
            return
        square = event.square
        corner = round(square.x), round(square.y), round(square.width), round(square.height)
        spec = ReferenceSpec(Path(inputs.sources[view].source), box=corner)
        self._find_again(replace(self.session.settings, reference=str(spec)))

    def on_knobs_turned(self, event: Knobs.Turned) -> None:
        """Look for squares with other settings."""
        knobs = {name: getattr(event.settings, name) for name in KNOBS}
        self._find_again(replace(self.session.settings, **knobs))

    def _find_again(self, settings: Settings) -> None:
        """Look for squares anew, unless the user would lose a run or corrections by it."""
        progress = self.cryocorr.progress
        if progress is not None and progress.job != "read":
            self.notify("A run is going on; escape cancels it.", severity="warning")
            return

        def decide(answer: str | None) -> None:
            if answer is not None:
                self.session.settings = settings
                self.cryocorr.take_in()

        if self.session.corrected:
            question = "Squares that are looked for anew are without your corrections."
            self.app.push_screen(Question(question, {"anew": "Look for them anew"}), decide)
        else:
            decide("anew")

    def action_knobs(self) -> None:
        """Go to the knobs."""
        self.query_one(Knobs).query("Field").first().focus()

    def action_leave_knobs(self) -> None:
        """Go back to the picture."""
        self.montage_view.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is of use in this view."""
        if not self.is_mounted:
            return True
        if action == "knobs":
            return self._view is not None and self._view != SHEET
        if action == "mode":
            sources = self._inputs.sources if self._inputs else []
            return any(isinstance(source, Montage) for source in sources)
        if action == "view":
            return len(self._views) > 1
        return super().check_action(action, parameters)


def _caption(item: ClassAverage, quality: Any) -> str:
    """Return the class id and its quality in a few characters."""
    return f"{item.class_id}" if np.isnan(quality) else f"{item.class_id} {quality:.2f}"


SCREEN = DetectScreen
