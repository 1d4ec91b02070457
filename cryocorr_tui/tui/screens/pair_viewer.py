"""Two class averages, one laid on the other: look closely, and turn it by hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from cryocorr_tui.core.errors import CryocorrError
from cryocorr_tui.core.model import PairAlignment, Pose
from cryocorr_tui.tui.pair_looks import PANELS, Look, Magnifier, Scoring, pictures_of
from cryocorr_tui.tui.pair_table import (
    as_table,
    as_text,
    in_short,
    rows_of_class,
    rows_of_classes,
    rows_of_pair,
)
from cryocorr_tui.tui.widgets.keys_bar import KeysBar
from cryocorr_tui.tui.widgets.picture import Picture, View
from cryocorr_tui.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from cryocorr_tui.core.pair_scores import PoseScores, RotationProfile
    from cryocorr_tui.core.run import Run
    from cryocorr_tui.tui.app import CryocorrApp
    from cryocorr_tui.tui.pair_table import Row

__all__ = ["PairViewer"]

log = logging.getLogger("cryocorr")

SECONDS_A_FLASH = 0.5  # that blinking shows either picture
ROOMY = (120, 36)  # columns and rows from which on everything is shown at once

# What is seen together: everything where there is room for it, else one after another.
PAGES = {
    "everything": {*PANELS, "numbers", "plots"},
    "pair": {"a", "b", "summary"},
    "compare": {"difference", "overlay", "summary"},
    "numbers": {"b", "numbers"},
    "plots": {"plots", "summary"},
}
SIDE, ROOMY_SIDE = 52, 0.42  # columns of numbers and plots, or their part, as in app.tcss
NAMES = 17  # of which the names of numbers take so many, and the gaps
WIDEST = 24  # characters of a number, or of the end of a name
ALONE = {"a", "numbers"}  # of a class with itself


class Panel(Picture):
    """One of the pictures; it is drawn again only when it is another one."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"panel-{name}", classes="panel")
        self._shown: tuple[NDArray[np.uint8] | None, View | None] = None, None

    def offer(self, title: str, image: NDArray[np.uint8] | None, view: View | None) -> None:
        """Show a picture under its title, each if it is not there already."""
        if title != self.border_title:
            self.border_title = title
        before, view_before = self._shown
        same = image is before or (
            image is not None and before is not None and np.array_equal(image, before)
        )
        if not same or view != view_before:
            self._shown = image, view
            self.show(image, view=view)


class PairViewer(Screen[None]):
    """Shows how class j lies on class i, or one class alone.

    Parameters
    ----------
    i, j : int
        Class ids.
    pairs : sequence of (int, int), optional
        What next and previous go through; by default all scored pairs, best first.
    """

    HELP: ClassVar[str] = (
        "Class B laid on class A at the pixels of A's file. Magenta is A, green is B: the overlay"
        " is grey where both agree, and the difference black. Turn, shift or mirror B by hand and"
        " the scores follow; all are taken inside the disc, as in the run. The FRC tells how fine"
        " the detail is to which both agree; classes of one job may share particles, so it is no"
        " gold-standard resolution."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,right_square_bracket", "step(1)", "Next", key_display="n", id="viewer.next",
                tooltip="Next pair"),
        Binding("N,left_square_bracket", "step(-1)", "Previous", show=False, key_display="N",
                id="viewer.previous", tooltip="Previous pair"),
        Binding("tab", "page(1)", "View", id="viewer.page", tooltip="Next view: pictures, plots"),
        Binding("shift+tab", "page(-1)", "View back", show=False, id="viewer.page_back",
                tooltip="Previous view"),
        Binding("b", "blink", "Blink", id="viewer.blink", tooltip="Flip B and A in one panel"),
        Binding("c", "enhance", "Contrast", id="viewer.enhance",
                tooltip="Original or enhanced contrast (CLAHE)"),
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", show=False, id="viewer.zoom_in"),
        Binding("minus", "zoom(-1)", "Zoom out", show=False, id="viewer.zoom_out"),
        Binding("0", "zoom(0)", "Whole", show=False, id="viewer.whole", tooltip="Whole picture"),
        Binding("up,k", "pan(-1, 0)", "Up", show=False, id="viewer.up", tooltip="Move the view up"),
        Binding("down,j", "pan(1, 0)", "Down", show=False, id="viewer.down",
                tooltip="Move the view down"),
        Binding("left,h", "pan(0, -1)", "Left", show=False, id="viewer.left",
                tooltip="Move the view left"),
        Binding("right,l", "pan(0, 1)", "Right", show=False, id="viewer.right",
                tooltip="Move the view right"),
        Binding("comma", "turn(1.0)", "Turn", id="viewer.turn_left", show=False,
                tooltip="Turn B by 1° counter-clockwise"),
        Binding("full_stop", "turn(-1.0)", "Turn back", id="viewer.turn_right", show=False,
                tooltip="Turn B by 1° clockwise"),
        Binding("less_than_sign", "turn(10.0)", "Turn by 10°", id="viewer.turn_left_far",
                show=False, tooltip="Turn B by 10° counter-clockwise"),
        Binding("greater_than_sign", "turn(-10.0)", "Turn back by 10°", show=False,
                id="viewer.turn_right_far", tooltip="Turn B by 10° clockwise"),
        Binding("left_parenthesis", "turn(0.1)", "Turn by 0.1°", id="viewer.turn_left_fine",
                show=False, tooltip="Turn B by 0.1° counter-clockwise"),
        Binding("right_parenthesis", "turn(-0.1)", "Turn back by 0.1°", show=False,
                id="viewer.turn_right_fine", tooltip="Turn B by 0.1° clockwise"),
        Binding("w", "shift(-0.5, 0)", "B up", show=False, id="viewer.shift_up",
                tooltip="Shift B up by 0.5 px"),
        Binding("s", "shift(0.5, 0)", "B down", show=False, id="viewer.shift_down",
                tooltip="Shift B down by 0.5 px"),
        Binding("a", "shift(0, -0.5)", "B left", show=False, id="viewer.shift_left",
                tooltip="Shift B left by 0.5 px"),
        Binding("d", "shift(0, 0.5)", "B right", show=False, id="viewer.shift_right",
                tooltip="Shift B right by 0.5 px"),
        Binding("W", "shift(-5, 0)", "B up by 5 px", show=False, id="viewer.shift_up_far",
                tooltip="Shift B up by 5 px"),
        Binding("S", "shift(5, 0)", "B down by 5 px", show=False, id="viewer.shift_down_far",
                tooltip="Shift B down by 5 px"),
        Binding("A", "shift(0, -5)", "B left by 5 px", show=False, id="viewer.shift_left_far",
                tooltip="Shift B left by 5 px"),
        Binding("D", "shift(0, 5)", "B right by 5 px", show=False, id="viewer.shift_right_far",
                tooltip="Shift B right by 5 px"),
        Binding("f", "mirror", "Mirror", show=False, id="viewer.mirror",
                tooltip="Mirror B left-right"),
        Binding("r,R,backspace", "restore", "Found pose", key_display="r", show=False,
                id="viewer.restore", tooltip="Back to the pose that was found"),
        Binding("y", "copy", "Copy", show=False, id="viewer.copy", tooltip="Copy the numbers"),
        Binding("p", "save", "Save", show=False, id="viewer.save",
                tooltip="Save the pictures as a PNG into the output folder"),
        Binding("u", "displacement", "Displacement", show=False, id="viewer.displacement",
                tooltip="Displacement of this pair: where B differs from A in shape"),
        Binding("escape", "close", "Close", key_display="esc", id="viewer.close"),
    ]  # fmt: skip

    class Drawn(Message):
        """The pictures of a look are made."""

        def __init__(self, look: Look, pictures: dict[str, NDArray[np.uint8]]) -> None:
            super().__init__()
            self.look, self.pictures = look, pictures

    class Scored(Message):
        """The scores of a look are known."""

        def __init__(self, look: Look, scores: PoseScores, profile: RotationProfile) -> None:
            super().__init__()
            self.look, self.scores, self.profile = look, scores, profile

    class Ranked(Message):
        """All pairs are in order."""

        def __init__(self, pairs: NDArray[np.int32]) -> None:
            super().__init__()
            self.pairs = pairs

    def __init__(self, i: int, j: int, *, pairs: Sequence[tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.look = Look(i, j)
        self.pair: PairAlignment | None = None
        self.magnifier = Magnifier()
        self._page = "everything"  # as the user wants it; without room the next one is shown
        self.scores: PoseScores | None = None
        self.blinking = False
        self._pairs = None if pairs is None else np.array(pairs, dtype=np.int32).reshape(-1, 2)
        self._pictures: dict[str, NDArray[np.uint8]] = {}
        self._flipped = False
        self._scoring = Scoring()

    @property
    def cryocorr(self) -> CryocorrApp:
        """The app, by its own type."""
        return cast("CryocorrApp", self.app)

    @property
    def run(self) -> Run:
        """The run on the screens when this one was opened."""
        return self._run

    @property
    def alone(self) -> bool:
        """Whether one class is looked at."""
        return self.look.i == self.look.j

    @property
    def by_hand(self) -> bool:
        """Whether B is not where the run found it."""
        return not self.alone and self.look.pose != self._found

    @property
    def _found(self) -> Pose:
        return (self.pair.pose if self.pair else None) or Pose()

    # --- layout

    def compose(self) -> ComposeResult:
        """Lay out the panels beside numbers and plots."""
        yield Static(id="viewer-title")
        with Horizontal(id="viewer-body"):
            with Vertical(id="viewer-pictures"):
                with Horizontal(id="viewer-upper"):
                    yield Panel("a")
                    yield Panel("b")
                with Horizontal(id="viewer-lower"):
                    yield Panel("difference")
                    yield Panel("overlay")
            with Vertical(id="viewer-side"):
                yield Static(id="viewer-numbers")
                yield Vertical(id="viewer-plots")
        yield Static(id="viewer-summary")
        yield StatusLine()
        yield KeysBar(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show the first pair."""
        self.cryocorr.let_closed_go()
        run = self.cryocorr.session.run
        assert run is not None, "the viewer needs a run"
        self._run = run
        self._blinker = self.set_interval(SECONDS_A_FLASH, self._flip, pause=True)
        self.show_pair(self.look.i, self.look.j)
        if self._pairs is None:
            self.run_worker(self._rank, thread=True, group="rank", exit_on_error=False)

    def on_resize(self, event: Resize) -> None:
        """Show more at once where there is room."""
        self._lay_out()
        self._show_numbers()

    @property
    def roomy(self) -> bool:
        """Whether everything fits on the screen."""
        columns, rows = self.app.size
        return columns >= ROOMY[0] and rows >= ROOMY[1]

    @property
    def pages(self) -> list[str]:
        """What can be seen, in the order of the key."""
        return [name for name in PAGES if self.roomy or name != "everything"]

    @property
    def page(self) -> str:
        """What is seen."""
        return self._page if self._page in self.pages else self.pages[0]

    def _lay_out(self) -> None:
        seen = ALONE if self.alone else PAGES[self.page]
        for name in PANELS:
            self._panel(name).display = name in seen
        self.query_one("#viewer-upper").display = bool(seen & {"a", "b"})
        self.query_one("#viewer-lower").display = bool(seen & {"difference", "overlay"})
        self.query_one("#viewer-pictures").display = bool(seen & set(PANELS))
        self.query_one("#viewer-side").display = bool(seen & {"numbers", "plots"})
        for name in ("numbers", "plots", "summary"):
            self.query_one(f"#viewer-{name}").display = name in seen
        self.query_one(StatusLine).display = self.roomy
        self.set_class(self.roomy, "-roomy")
        self.set_class(not seen & set(PANELS), "-plots-only")

    def _panel(self, name: str) -> Panel:
        return self.query_one(f"#panel-{name}", Panel)

    # --- what is shown

    def show_pair(self, i: int, j: int) -> None:
        """Show another pair as it was found, or one class."""
        try:
            self.pair = None if i == j else self.run.pair(i, j)
        except CryocorrError as error:
            self.cryocorr.tell_error(str(error))
            self.pair = None
        self.scores = None
        self.look = Look(i, j, self._found, self.look.enhanced)
        self._flipped = False
        self._lay_out()
        self._look_anew()

    def _look_anew(self) -> None:
        """Have pictures and scores made in a thread; only the latest look counts."""
        self._show_numbers()
        make = partial(self._make, self.run, self.look, colour=not self.app.no_color)
        self.run_worker(make, thread=True, group="look", exclusive=True, exit_on_error=False)

    def _make(self, run: Run, look: Look, *, colour: bool) -> None:
        worker = get_current_worker()
        if worker.is_cancelled:
            return
        self.post_message(self.Drawn(look, pictures_of(run, look, colour=colour)))
        if look.i == look.j:
            return
        found = self._scoring.of(run, look, lambda: worker.is_cancelled)
        # Half a second to import, so in this thread and not before it is wanted.
        import cryocorr_tui.tui.widgets.pair_plots  # noqa: F401

        if found is not None and not worker.is_cancelled:
            self.post_message(self.Scored(look, *found))

    def on_pair_viewer_drawn(self, message: Drawn) -> None:
        """Show pictures, unless others are wanted by now."""
        if message.look == self.look:
            self._pictures = message.pictures
            self._show_pictures()

    def on_pair_viewer_scored(self, message: Scored) -> None:
        """Show scores and plots, unless others are wanted by now."""
        if replace(message.look, enhanced=self.look.enhanced) == self.look:
            self.scores = message.scores
            self._show_numbers()
            self._show_plots(message.scores, message.profile)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what went wrong in a thread."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            log.error("The pair viewer failed", exc_info=error)
            self.cryocorr.tell_error(f"This should not have happened ({error}).", logged=True)

    def _show_pictures(self) -> None:
        i, j = self.look.i, self.look.j
        how = " enhanced" if self.look.enhanced else ""
        titles = {
            "a": f"A: {i}{how}",
            "b": f"B: {j} on {i}{how}",
            "difference": "A - B",
            "overlay": "A magenta, B green",
        }
        for name in PANELS:
            shown = "a" if name == "b" and self._flipped else name
            image = self._pictures.get(shown)
            view = None if image is None else self.magnifier.view_of(len(image))
            self._panel(name).offer(titles[shown], image, view)

    def _rows(self) -> list[Row]:
        if self.pair is None:
            return rows_of_class(self.run, self.look.i)
        return [*rows_of_classes(self.run, self.look.i, self.look.j), *self._rows_of_pair()]

    def _rows_of_pair(self) -> list[Row]:
        assert self.pair is not None
        pose = self.look.pose if self.by_hand or self.pair.pose is None else None
        return rows_of_pair(self.pair, pose, self.scores if pose else None)

    def _show_numbers(self) -> None:
        self.query_one("#viewer-title", Static).update(self._title())
        side = int(ROOMY_SIDE * self.app.size.width) if self.roomy else SIDE
        widest = min((side - NAMES) // 2, WIDEST)
        self.query_one("#viewer-numbers", Static).update(as_table(self._rows(), widest))
        summary = "" if self.pair is None else in_short(self._rows_of_pair())
        self.query_one("#viewer-summary", Static).update(summary)

    def _title(self) -> str:
        i, j = self.look.i, self.look.j
        if self.alone:
            return f"Class {i}"
        parts = [f"Pair {i} × {j}"]
        place = self._place()
        if place is not None and self._pairs is not None:
            parts.append(f"{place + 1} of {len(self._pairs)}")
        if self.pair is not None and self.pair.reason:
            parts.append(f"no score: {self._reason(self.pair.reason)}")
        if self.magnifier.zoom > 1:
            parts.append(f"zoom {self.magnifier.zoom:.1f}×")
        return "  ·  ".join(parts)

    def _reason(self, reason: str) -> str:
        split = self.run.store.split
        if split is not None and (self.look.i < split) == (self.look.j < split):
            return "both are of one set"
        return reason

    def _show_plots(self, scores: PoseScores, profile: RotationProfile) -> None:
        from cryocorr_tui.tui.widgets.pair_plots import FrcPlot, ProfilePlot

        room = self.query_one("#viewer-plots")
        if not room.children:
            room.mount(FrcPlot(), ProfilePlot())
        if not room.children:  # the viewer is being left, and takes nothing in any more
            return
        pixel_size = self.pair.pixel_size if self.pair else None
        frc, round_circle = (room.query_one(kind) for kind in (FrcPlot, ProfilePlot))
        cast("FrcPlot", frc).show(scores, pixel_size)
        cast("ProfilePlot", round_circle).show(profile, self.look.pose, scores.ncc)

    # --- from pair to pair

    def _rank(self) -> None:
        from cryocorr_tui.core.ranking import rank_pairs

        ranking = rank_pairs(self.run)
        self.post_message(self.Ranked(np.stack([ranking.i, ranking.j], axis=1)))

    def on_pair_viewer_ranked(self, message: Ranked) -> None:
        """Say which place the pair has."""
        self._pairs = message.pairs
        self._show_numbers()

    def _place(self) -> int | None:
        if self._pairs is None:
            return None
        same = (np.sort(self._pairs, axis=1) == sorted((self.look.i, self.look.j))).all(axis=1)
        return int(same.argmax()) if same.any() else None

    def action_step(self, steps: int) -> None:
        """Go to the next pair or the previous one; from a class alone, to the next class."""
        if self.alone:
            k = (self.look.i + steps) % len(self.run.classes)
            self.show_pair(k, k)
            return
        if self._pairs is None or not len(self._pairs):
            self.notify("The pairs are not in order yet." if self._pairs is None else "No pairs.")
            return
        place = self._place()
        there = 0 if place is None else place + steps
        if not 0 <= there < len(self._pairs):
            self.notify("This is the last pair." if steps > 0 else "This is the first pair.")
            return
        self.show_pair(*(int(k) for k in self._pairs[there]))

    # --- ways to look

    def action_page(self, steps: int) -> None:
        """Show other panels."""
        pages = self.pages
        self._page = pages[(pages.index(self.page) + steps) % len(pages)]
        self._lay_out()

    def action_blink(self) -> None:
        """Begin or end to flip A and B in one panel."""
        if self.alone:
            return
        self.blinking = not self.blinking
        if self.blinking:
            if "b" not in PAGES[self.page]:
                self._page = "numbers"
                self._lay_out()
            self._blinker.resume()
            self._flip()
        else:
            self._blinker.pause()
            self._flipped = False
            self._show_pictures()

    def _flip(self) -> None:
        # A picture that the line has not taken yet is not to be overtaken by more of them.
        if not self._panel("b").busy and self.is_current:
            self._flipped = not self._flipped
            self._show_pictures()

    def action_enhance(self) -> None:
        """Show original or enhanced pictures."""
        self.look = replace(self.look, enhanced=not self.look.enhanced)
        self._look_anew()

    def action_zoom(self, steps: int) -> None:
        """Zoom all pictures; 0 shows them whole."""
        self._magnify(self.magnifier.zoomed(steps) if steps else Magnifier())

    def action_pan(self, down: int, right: int) -> None:
        """Move in all pictures at once."""
        self._magnify(self.magnifier.moved(down, right))

    def _magnify(self, magnifier: Magnifier) -> None:
        if magnifier != self.magnifier:
            self.magnifier = magnifier
            self._show_pictures()
            self.query_one("#viewer-title", Static).update(self._title())

    # --- by hand

    def action_turn(self, degrees: float) -> None:
        """Turn B."""
        self._move(self.look.turned(degrees))

    def action_shift(self, down: float, right: float) -> None:
        """Shift B."""
        self._move(self.look.shifted(down, right))

    def action_mirror(self) -> None:
        """Mirror B left-right."""
        self._move(self.look.mirrored())

    def action_restore(self) -> None:
        """Bring B back to where it was found."""
        self._move(replace(self.look, pose=self._found))

    def _move(self, look: Look) -> None:
        if not self.alone and look != self.look:
            self.look = look
            self._look_anew()

    # --- out of the viewer

    def action_copy(self) -> None:
        """Copy all numbers."""
        self.app.copy_to_clipboard(as_text(self._rows()))
        self.notify("Copied the numbers.")

    def action_save(self) -> None:
        """Save the pictures beside the tables."""
        if self._pictures:
            folder, pictures = self.cryocorr.session.output, list(self._pictures.values())
            i, j = self.look.i, self.look.j
            name = f"class_{i}" if i == j else f"pair_{i}_{j}"
            save = partial(self._save, folder / f"{name}.png", pictures)
            self.run_worker(save, thread=True, group="save", exit_on_error=False)

    def _save(self, path: Path, pictures: list[NDArray[np.uint8]]) -> None:
        from cryocorr_tui.core.pair_picture import save_row

        try:
            path = save_row(path, pictures)
        except CryocorrError as error:
            self.app.call_from_thread(self.cryocorr.tell_error, str(error))
            return
        self.app.call_from_thread(self.notify, f"Saved {path}.", markup=False)

    def action_displacement(self) -> None:
        """Measure where B differs from A in shape, as the run laid it."""
        from cryocorr_tui.tui.compared import Compared

        if not self.alone:
            self.cryocorr.compare(Compared.of_pair(self.run, self.look.i, self.look.j))

    def action_close(self) -> None:
        """Go back to where the viewer was opened."""
        self.dismiss()
