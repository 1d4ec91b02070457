"""Displacement: two pictures, and how far each part of one has moved in the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.widgets import Static

from cryocorr_tui.core.displacement import (
    FieldMeasured,
    FieldsCompared,
    SweepCell,
    advice,
    described,
    measure_displacement,
    sweep_settings,
)
from cryocorr_tui.core.displacement.loading import ComparedPictures, with_mask
from cryocorr_tui.core.errors import CryocorrError, SettingsError
from cryocorr_tui.core.model import DisplacementField, DisplacementSettings
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.compared import Compared
from cryocorr_tui.tui.exporting import export_field
from cryocorr_tui.tui.latest import LatestWins
from cryocorr_tui.tui.screens.choose_pictures import ChoosePictures
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.field_knobs import FieldKnobs
from cryocorr_tui.tui.widgets.field_plots import FieldHistograms
from cryocorr_tui.tui.widgets.field_probe import FieldProbe
from cryocorr_tui.tui.widgets.field_view import FieldView
from cryocorr_tui.tui.widgets.sweep_view import SweepView

__all__ = ["SCREEN", "DisplacementScreen"]

JOB = "displacement"
TALL = 40  # rows from which on knobs and probe are seen together
VIEWS = ("magnitude", "arrows", "dy", "dx", "coefficient")
STRAINS = ("exx", "eyy", "exy")
NOTHING_CHOSEN = (
    "Choose two pictures: c. Or press u in the pair viewer, to see where two class averages differ "
    "in shape."
)


Work = Callable[..., Iterator[Any]]  # `measure_displacement` or `sweep_settings`


class DisplacementScreen(StepScreen):
    """A field that is measured, looked at, and trusted as far as its numbers allow."""

    STEP: ClassVar[str] = "displacement"
    HELP: ClassVar[str] = (
        "Every subset of the reference is sought in the deformed picture (digital image"
        " correlation). y runs down and x to the right, in pixels of the reference. Invalid vectors"
        " are grey and crossed out, and the probe says why; n goes through them. The uncertainty is"
        " a standard deviation, from noise and texture. A sweep (s) measures with other block sizes"
        " and search areas: where the deviation is small, the field does not depend on them."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "measure", "Run", tooltip="Measure the displacement", id="displacement.run"),
        Binding("c", "choose", "Choose", tooltip="Choose two pictures", id="displacement.choose"),
        Binding(
            "tab",
            "view(1)",
            "View",
            tooltip="Next view: maps, arrows, histograms, sweep",
            id="displacement.view",
        ),
        Binding(
            "shift+tab",
            "view(-1)",
            "View back",
            show=False,
            tooltip="Previous view",
            id="displacement.view_back",
        ),
        Binding("o", "knobs", "Settings", tooltip="How it is measured", id="displacement.knobs"),
        Binding(
            "s",
            "sweep",
            "Sweep",
            show=False,
            tooltip="Measure with other block sizes and search areas",
            id="displacement.sweep",
        ),
        Binding(
            "y",
            "copy",
            "Copy",
            show=False,
            tooltip="Copy the numbers of the vector",
            id="displacement.copy",
        ),
        Binding(
            "e",
            "export",
            "Export",
            tooltip="Write field.csv and field.png into the output folder",
            id="displacement.export",
        ),
        Binding("escape", "cancel", "Cancel", show=False, id="displacement.cancel"),
    ]

    class Found(Message):
        """Something is measured between two pictures."""

        def __init__(
            self,
            compared: Compared,
            pictures: ComparedPictures,
            result: FieldMeasured | FieldsCompared,
        ) -> None:
            super().__init__()
            self.compared, self.pictures, self.result = compared, pictures, result

    class Failed(Message):
        """It could not be measured; why, in a sentence."""

        def __init__(self, problem: str) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self.field: DisplacementField | None = None
        self.cells: Sequence[SweepCell] = ()
        self.problem = ""
        self.view = VIEWS[0]
        self._pictures: ComparedPictures | None = None  # as they were read
        self._measured: ComparedPictures | None = None  # those of the field
        self._taken: Compared | None = None  # without being asked for: the two chosen files
        self._taken_of: list[Path] = []
        self._knobs_wanted = False
        self._reader: LatestWins[Compared, ComparedPictures | str] = LatestWins(
            self, _read, self._take_pictures
        )

    # --- layout

    def compose_step(self) -> ComposeResult:
        """Lay out the views beside settings and probe."""
        with Horizontal(id="displacement"):
            with Vertical(id="displacement-left"):
                yield Static(id="displacement-problem", markup=False)
                yield FieldView(id="field-view")
                yield FieldHistograms(id="field-histograms")
                yield SweepView(id="field-sweep")
            with Vertical(id="displacement-panel"):
                yield Static(id="displacement-names", markup=False)
                yield FieldKnobs(self._settings, self.session.field_mask)
                yield FieldProbe()
                yield Static(id="displacement-told", markup=False)

    def on_screen_resume(self) -> None:
        """Take the two chosen files, if nothing else is chosen yet."""
        session, files = self.session, self.session.files
        free = session.compared is self._taken and session.run is None
        if free and len(files) == 2 and files != self._taken_of:
            self._taken_of = list(files)
            session.compared = self._taken = Compared.of_files(*files)
            self.session_changed(Changed.COMPARED)
        self._focus_view()

    def session_changed(self, change: Changed) -> None:
        """Read the pictures that are chosen."""
        if change is Changed.COMPARED:
            self._begin(self.session.compared)

    def on_resize(self, event: Resize) -> None:
        """Show more at once where there is room."""
        self._lay_out()

    @property
    def views(self) -> list[str]:
        """What can be seen now, in the order of the key."""
        field = self.field
        if field is None:
            return ["sweep"] if self.cells else []
        strains = STRAINS if field.exx is not None else ()
        return [*VIEWS, *strains, "histograms", *(["sweep"] if self.cells else [])]

    @property
    def _on_map(self) -> bool:
        return self.view not in ("histograms", "sweep")

    @property
    def _tall(self) -> bool:
        return self.app.size.height >= TALL

    def _lay_out(self) -> None:
        tall, wide = self._tall, self.has_class("-wide")
        if not self._knobs_wanted and not self._on_map:
            self.set_focus(None)  # else hiding the map would give the keys to a knob
        knobs = self._knobs_wanted or (self.field is None and self._on_map)
        self.query_one(FieldView).display = self._on_map
        self.query_one(FieldHistograms).display = self.view == "histograms"
        self.query_one(SweepView).display = self.view == "sweep"
        self.query_one("#displacement-panel").display = self._on_map or wide or knobs
        self.query_one(FieldKnobs).display = knobs or tall
        self.query_one(FieldProbe).display = self.field is not None and (tall or not knobs)
        self.query_one("#displacement-told").display = tall
        self.refresh_bindings()

    def _show(self) -> None:
        """Show the view that is wanted, and what is known."""
        if self.view not in self.views:
            self.view = VIEWS[0]
        if self._on_map:
            self.query_one(FieldView).show_view(self.view)
        self._lay_out()
        line = self.query_one("#displacement-problem", Static)
        nothing = "" if self.session.compared else NOTHING_CHOSEN
        line.update(self.problem or nothing)
        line.set_class(bool(self.problem), "-wrong")
        line.display = bool(self.problem or nothing)
        self.query_one("#displacement-names", Static).update(self._names())
        self.query_one("#displacement-told", Static).update(self._told())

    def _names(self) -> Text:
        compared = self.session.compared
        if compared is None:
            return Text("no pictures yet")
        lines = [compared.reference, f"→ {compared.deformed}"]
        if self.field is not None:
            valid = self.field.valid
            lines.append(f"{valid.sum()} of {counted(len(valid), 'vector')} valid")
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    def _told(self) -> str:
        told = list(self._pictures.notes) if self._pictures else []
        if self.field is not None:
            told[:0] = [described(self.field), advice(self.field)]
        return "\n".join(filter(None, told))

    # --- the pictures

    @property
    def _settings(self) -> DisplacementSettings:
        """Those that the user made for pictures like these, else such as suit them."""
        session, compared = self.session, self.session.compared
        mine = session.field_settings.get(compared.box if compared else None)
        if mine is None:
            usual = DisplacementSettings()
            mine = compared.fitting(usual) if compared else usual
        return replace(mine, device=session.settings.device, memory=session.settings.memory)

    def _begin(self, compared: Compared | None) -> None:
        """Forget all that was known of other pictures, and read these."""
        if self.cryocorr.progress is not None and self.cryocorr.progress.job == JOB:
            self.cryocorr.cancel_job()
        self.field, self.cells, self.problem = None, (), ""
        self._pictures = self._measured = None
        self.query_one(FieldView).forget()
        if compared is not None:
            self.query_one(FieldKnobs).show_settings(self._settings, self.session.field_mask)
            self._reader.ask(compared)
        self._show()

    def _take_pictures(self, compared: Compared, read: ComparedPictures | str) -> None:
        if compared is not self.session.compared:
            return  # others are chosen meanwhile
        if isinstance(read, str):
            self.problem = read
        else:
            self._pictures = read
            if self.field is None:
                self.query_one(FieldView).show_pictures(read.reference, read.deformed)
        self._show()

    def action_choose(self) -> None:
        """Choose two pictures."""

        def take(chosen: tuple[Path, Path] | None) -> None:
            if chosen is not None:
                self.cryocorr.compare(Compared.of_files(*chosen))

        self.app.push_screen(ChoosePictures(self.session.files), take)

    # --- measuring

    def action_measure(self) -> None:
        """Measure the field with what the knobs say."""
        self._start(measure_displacement)

    def action_sweep(self) -> None:
        """Measure it with other block sizes and search areas."""
        self._start(sweep_settings)

    def on_field_knobs_turned(self) -> None:
        """Keep the settings with the session, as long as they make sense."""
        knobs, compared = self.query_one(FieldKnobs), self.session.compared
        self.session.field_mask = knobs.mask
        with suppress(SettingsError):
            self.session.field_settings[compared.box if compared else None] = knobs.settings()

    def on_field_knobs_entered(self) -> None:
        """Measure at once."""
        self.action_measure()

    def _start(self, work: Work) -> None:
        compared, progress = self.session.compared, self.cryocorr.progress
        if compared is None:
            self.action_choose()
            return
        if progress is not None and progress.job != JOB:
            self.notify("A run is going on; escape cancels it.", severity="warning")
            return
        knobs = self.query_one(FieldKnobs)
        try:
            settings, mask = knobs.settings(), knobs.mask
        except CryocorrError as error:
            self.post_message(self.Failed(str(error)))
            return
        self.problem = ""
        self._show()
        pictures = self._pictures
        self.cryocorr.start_job(
            JOB, lambda: self._told_of(work, compared, pictures, settings, mask)
        )

    def _told_of(
        self,
        work: Work,
        compared: Compared,
        pictures: ComparedPictures | None,
        settings: DisplacementSettings,
        mask: str,
    ) -> Iterator[Any]:
        """Yield the events of some work, in the thread; what hinders it is said on the screen."""
        try:
            pictures = pictures or compared.read()
            if mask:
                pictures = with_mask(pictures, mask)
            both = pictures.reference, pictures.deformed
            for event in work(*both, settings, mask=pictures.mask):
                yield event
                if isinstance(event, FieldMeasured | FieldsCompared):
                    self.post_message(self.Found(compared, pictures, event))
        except CryocorrError as error:
            self.post_message(self.Failed(str(error)))

    def on_displacement_screen_found(self, message: Found) -> None:
        """Show it, unless other pictures are chosen meanwhile."""
        if message.compared is not self.session.compared:
            return
        if isinstance(message.result, FieldMeasured):
            self._show_field(message.pictures, message.result.field)
        else:
            self.cells, self.view = message.result.cells, "sweep"
            self.query_one(SweepView).show_cells(self.cells)
            self._show()
            self._focus_view()

    def _show_field(self, pictures: ComparedPictures, field: DisplacementField) -> None:
        self.field, self._measured = field, pictures
        self.query_one(FieldHistograms).show_field(field)
        if self.view == "sweep":
            self.view = VIEWS[0]
        self.query_one(FieldView).show_field(pictures.reference, field)
        self._show()
        if not self._tall:  # else it stands on the screen
            self.notify(f"{described(field)} {advice(field)}", markup=False)

    def on_displacement_screen_failed(self, message: Failed) -> None:
        """Say why."""
        self.problem = message.problem
        self._show()
        if not self.is_current:
            self.app.notify(f"Displacement: {message.problem}", severity="error", markup=False)

    def action_cancel(self) -> None:
        """Stop measuring; what was measured before stays."""
        if self.cryocorr.progress is not None and self.cryocorr.progress.job == JOB:
            self.cryocorr.cancel_job()
            self.notify("Cancelled; r measures it anew.")
        else:
            self.cryocorr.action_cancel()

    # --- looking

    def action_view(self, step: int) -> None:
        """Show another view."""
        views = self.views
        if views:
            place = views.index(self.view) if self.view in views else -1
            self.view = views[(place + step) % len(views)]
            self._show()
            self._focus_view()

    def _focus_view(self) -> None:
        """Give the keys to what is seen, and never to a knob that happens to be beside it."""
        if self._knobs_wanted:
            return
        if self._on_map:
            self.query_one(FieldView).focus()
        elif self.view == "sweep":
            self.query_one("#sweep-table").focus()
        else:
            self.set_focus(None)

    def action_knobs(self) -> None:
        """Go to the settings."""
        self._knobs_wanted = True
        self._lay_out()
        self.query_one(FieldKnobs).query("Field").first().focus()

    def action_leave_knobs(self) -> None:
        """Go back to the view."""
        self._knobs_wanted = False
        self._focus_view()
        self._lay_out()

    def on_field_view_cursor_moved(self) -> None:
        """Show the vector under the cursor."""
        if self.field is not None and self._measured is not None:
            cursor = self.query_one(FieldView).cursor
            self.query_one(FieldProbe).show_vector(self._measured, self.field, cursor)

    def action_copy(self) -> None:
        """Copy the numbers of the vector under the cursor."""
        self.app.copy_to_clipboard(self.query_one(FieldProbe).told)
        self.notify("Copied the numbers.")

    def action_export(self) -> None:
        """Write table and picture, and say where."""
        if self.field is not None:
            export_field(self.cryocorr, self.field, self.cells)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is of use now."""
        if action in ("copy", "export"):
            return self.field is not None
        if action == "view":
            return bool(self.views)
        return super().check_action(action, parameters)


def _read(compared: Compared) -> ComparedPictures | str:
    """Return pictures, or why they cannot be read."""
    try:
        return compared.read()
    except CryocorrError as error:
        return str(error)


SCREEN = DisplacementScreen
