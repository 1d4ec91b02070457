"""The app: one session, one worker, the keys that work everywhere."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.screen import Screen
from textual.signal import Signal
from textual.worker import Worker, get_current_worker

from cryocorr_tui.core.errors import CryocorrError, OutputError
from cryocorr_tui.core.resources import styles
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.ending import end_with_the_terminal
from cryocorr_tui.tui.graphics.host import PictureHost
from cryocorr_tui.tui.keyed import with_key
from cryocorr_tui.tui.keys_in_order import KeysInOrder
from cryocorr_tui.tui.messages import JobEnded, JobEvent, MapReady, TileReady
from cryocorr_tui.tui.progress import Progress
from cryocorr_tui.tui.session import Changed, Session

if TYPE_CHECKING:
    from cryocorr_tui.core.analysis import Event
    from cryocorr_tui.core.inputs import Inputs
    from cryocorr_tui.core.load import Load
    from cryocorr_tui.core.model import Groups, Settings
    from cryocorr_tui.core.run import Run
    from cryocorr_tui.tui.compared import Compared
    from cryocorr_tui.tui.state import Saved

__all__ = ["CryocorrApp"]

STEPS = ("files", "detect", "matrix", "pairs", "groups", "displacement")

WIDTHS = [(0, "-narrow"), (130, "-wide")]  # columns from which on screens have a class

SECONDS_BETWEEN_SAMPLES = 1.0
SECONDS_BETWEEN_PAINTS = 0.2  # of a map that fills

ABOUT_CLASSES = ("read", "run")  # jobs of which the session keeps why they failed

log = logging.getLogger("cryocorr")


def _screen(name: str) -> Callable[[], Screen[Any]]:
    """Return a maker of one step's screen, which is imported when it is first shown."""

    def make() -> Screen[Any]:
        from importlib import import_module

        module = import_module(f"cryocorr_tui.tui.screens.{name}")
        return module.SCREEN()  # type: ignore[no-any-return]

    return make


class CryocorrApp(KeysInOrder[None], PictureHost[None]):
    """Compare class averages, step by step.

    Parameters
    ----------
    session : Session
        What is chosen already.
    log_path : Path or None
        Where tracebacks go.
    run_folder : Path or None
        A run to open.
    run_at_once : bool
        Compare the chosen files at once, in place of what the output folder holds.
    saved : Saved or None
        An earlier session to offer.
    session_path : Path or None
        Where this one is kept.
    """

    TITLE = "Cryo-Correlator"
    HORIZONTAL_BREAKPOINTS = WIDTHS
    LEAST_SIZE = (60, 18)
    CSS_PATH = styles() / "app.tcss"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        name: _screen(name) for name in STEPS
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"step('{name}')", name.title(), show=False, id=f"app.{name}")
            for number, name in enumerate(STEPS, start=1)
        ),
        Binding("r", "run", "Run", id="app.run"),
        Binding(
            "O",
            "options",
            "Options",
            show=False,
            tooltip="Options of the next run: pixel size, largest shift, mirror images, mask …",
            id="app.options",
        ),
        Binding("e", "export", "Export", id="app.export"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding(
            "v",
            "switch_graphics",
            "Graphics",
            show=False,
            tooltip="Next way to draw pictures: kitty, sixel, blocks, none",
            id="app.graphics",
        ),
        Binding("escape", "cancel", "Cancel", show=False, id="app.cancel"),
        Binding("q", "quit", "Quit", id="app.quit"),
    ]

    progress: var[Progress | None] = var(None)
    load: var[Load | None] = var(None)

    def __init__(
        self,
        session: Session,
        *,
        log_path: Path | None = None,
        run_folder: Path | None = None,
        run_at_once: bool = False,
        saved: Saved | None = None,
        session_path: Path | None = None,
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # every frame is sent over the line
        self.session = session
        self.log_path = log_path
        self._run_folder, self._run_at_once = run_folder, run_at_once
        self._saved, self._session_path = saved, session_path
        self._choices_to_take: dict[str, Any] | None = None
        self._pair_to_compare: tuple[int, ...] = ()
        self.changed: Signal[Changed] = Signal(self, "changed")
        self._job: Worker[None] | None = None
        self._one_at_a_time = threading.Lock()
        self._leaving = threading.Event()
        self._tiles_to_paint = self._map_has_gaps = False
        self._warnings: list[str] = []  # of a job whose warnings are told when it has ended
        self._told_at_end = False

    # --- beginning and end

    def on_mount(self) -> None:
        """Show the first step, and begin to watch the machine."""
        self.switch_mode("files")
        self._end_with_the_terminal()
        self.call_after_refresh(gc.enable)  # off since the start, for the sake of this first frame
        self._sample_load()
        self.set_interval(SECONDS_BETWEEN_PAINTS, self._publish_tiles)
        if self._run_folder is not None:
            self.open_run(self._run_folder)
        elif self._run_at_once:
            self.run_analysis(overwrite=True)
        elif self._saved is not None:
            self._offer(self._saved)

    def let_closed_go(self) -> None:
        """Forget closed widgets that watched the app.

        Textual does so only when what they watched changes, which a theme rarely does.
        """
        for watchers in getattr(self, "__watchers", {}).values():
            watchers[:] = [watcher for watcher in watchers if not watcher[0]._closing]

    def _end_with_the_terminal(self) -> None:
        """Leave in order when the line drops or the machine goes down."""
        if self.is_headless:  # the process is not the app's own
            return
        loop = asyncio.get_running_loop()

        def leave() -> None:
            with suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self.exit)

        end_with_the_terminal(self.save_session, leave)

    def on_unmount(self) -> None:
        """Keep the session, and let the run end where it is."""
        self._leaving.set()
        self.save_session()
        self.cancel_job()

    def _handle_exception(self, error: Exception) -> None:
        """Pass over what fails since the app is left: a screen that came up may lack its parts."""
        if self._exit:
            log.info("failed while the app was left", exc_info=error)
        else:
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Leave with a sentence after a mistake of the program; the log has the rest of it."""
        log.exception("the app failed", exc_info=self._exception)
        self.save_session()
        where = "" if self.log_path is None else f" The details are in {self.log_path}."
        self.panic(
            Text(
                f"cryocorr: this should not have happened ({self._exception}); what was chosen and "
                f"scored is kept, and cryocorr in this folder goes on from there.{where}"
            )
        )

    def save_session(self) -> None:
        """Keep what was chosen, for the next time the app opens in this folder."""
        from cryocorr_tui.tui.state import Saved

        if self._session_path is None:
            return
        saved = Saved.of(self.session, step=self.current_mode, theme=self.theme)
        try:
            saved.write(self._session_path)
        except OutputError as error:
            log.warning("session not kept: %s", error)

    def _offer(self, saved: Saved) -> None:
        """Ask whether to go on where an earlier session was."""
        from cryocorr_tui.tui.screens.question import Question

        self.theme = saved.theme if saved.theme in self.available_themes else self.theme

        def decide(answer: str | None) -> None:
            if answer != "on":
                return
            saved.restore(self.session)
            self._choices_to_take, self._pair_to_compare = saved.choices, saved.pair
            self.changed.publish(Changed.FILES)
            self.changed.publish(Changed.COMPARED)
            if saved.run is not None:
                self.open_run(saved.run)
            self.switch_mode(saved.step if saved.step in STEPS else "files")

        self.push_screen(
            Question(
                f"Go on where you were in this folder ({saved.in_words()})?",
                {"on": "Go on", "": "Start anew"},
            ),
            decide,
        )

    @work(thread=True, group="load", exit_on_error=False)
    def _sample_load(self) -> None:
        from cryocorr_tui.core.load import LoadSampler

        sampler = LoadSampler()
        while not self._leaving.wait(SECONDS_BETWEEN_SAMPLES):
            self.call_later(self._show_load, sampler.sample())

    def _show_load(self, load: Load) -> None:
        self.load = load

    # --- the one worker

    def start_job(
        self, job: str, events: Callable[[], Iterator[Any]], *, warned: bool = False
    ) -> None:
        """Consume a generator of events in the worker; whatever it did before is cancelled.

        What it warns of is told at once, or in one toast at its end where the user is `warned`
        already.
        """
        self.cancel_job()
        self._warnings, self._told_at_end = [], warned
        if job in ABOUT_CLASSES:
            self._tell_problem("")
        self.session.notes.clear()
        self.progress = Progress(job)
        self._job = self.run_worker(
            lambda: self._consume(job, events),
            name=job,
            group="job",
            thread=True,
            exit_on_error=False,
        )

    def cancel_job(self) -> None:
        """Stop the worker at its next event; what is in the store stays there."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
            self.progress = None

    @property
    def busy(self) -> bool:
        """Whether the worker has something to do."""
        return self._job is not None

    @property
    def working(self) -> bool:
        """Whether the worker's thread is at it, as for a moment after it was cancelled."""
        return self._one_at_a_time.locked()

    def _consume(self, job: str, events: Callable[[], Iterator[Any]]) -> None:
        worker = get_current_worker()
        try:
            # The job before may not have let go of its folder yet.
            with self._one_at_a_time, closing(cast("Generator[Any, None, None]", events())) as told:
                for event in told:
                    if worker.is_cancelled:
                        return
                    self._tell(event)
            self.post_message(JobEnded(job))
        except CryocorrError as error:
            if not worker.is_cancelled:
                self.post_message(JobEnded(job, error))
        except Exception as error:  # the app must go on, and the log has it all
            log.exception("%s failed", job)
            if not worker.is_cancelled:
                self.post_message(JobEnded(job, error))

    def _tell(self, event: Any) -> None:
        """Post an event, with what takes time to work out worked out in this thread."""
        from cryocorr_tui.core.analysis import RunOpened
        from cryocorr_tui.core.events import TileScored
        from cryocorr_tui.tui.score_map import ScoreMap

        match event:
            case RunOpened(run):
                self.post_message(JobEvent(event))
                self._map_in_work = ScoreMap.of_run(run)
                self.post_message(MapReady(self._map_in_work))
            case TileScored(rows=rows, cols=cols, block=block) if block is not None:
                shown = self.session.score_map or self._map_in_work
                levels = shown.levels_of(rows, cols, block)
                self.post_message(TileReady(event, shown.field, rows, cols, levels))
            case _:
                self.post_message(JobEvent(event))

    def on_job_event(self, message: JobEvent) -> None:
        """Take in what the core tells."""
        from cryocorr_tui.core import analysis, events, intake
        from cryocorr_tui.core.choices import Choices

        event = message.event
        match event:
            case events.StageStarted() | events.StageProgressed():
                self._advance(event)
            case events.Notice(text, warning=warning):
                text = with_key(text)
                self.session.notes.append(text)
                if warning and self._told_at_end:
                    self._warnings.append(text)
                elif warning:
                    self.notify(text, severity="warning", markup=False)
            case analysis.RunOpened(run):
                self._take_run(run)
            case analysis.AnalysisFinished(run=run) | analysis.MatchFinished(run=run):
                assert run is not None
                self.session.run, self.session.finished = run, True
                self.session.choices = Choices(len(run.classes), run.groups)
                self._take_over_choices(run)
                if self._map_has_gaps and self.session.score_map is not None:
                    self.show_map(self.session.score_map.field)
                self.changed.publish(Changed.FINISHED)
            case intake.SourcesRead(read):
                self.session.read, self.session.problem = read, ""
                self.changed.publish(Changed.TAKEN)
            case intake.InputsTaken(taken):
                self.session.taken, self.session.problem = taken, ""
                self.session.outdated = False
                self.changed.publish(Changed.TAKEN)

    def _take_run(self, run: Run) -> None:
        """Put a run on the screens, and what it is made of in place of what was chosen."""
        session = self.session
        session.run, session.finished = run, False
        session.score_map = session.choices = None
        session.taken, session.settings, session.outdated = run.sources, run.settings, False
        session.corrected = run.store.manifest["squares"] is not None
        session.files = [Path(source.source) for source in run.sources.sources]
        self._map_has_gaps = False
        pair, self._pair_to_compare = self._pair_to_compare, ()
        if pair and max(pair) < len(run.classes):
            from cryocorr_tui.tui.compared import Compared

            session.compared = Compared.of_pair(run, *pair)
            self.changed.publish(Changed.COMPARED)
        self.save_session()
        self.changed.publish(Changed.FILES)
        self.changed.publish(Changed.TAKEN)

    def _take_over_choices(self, run: Run) -> None:
        """Decide as the session before did, where that was about this run."""
        from cryocorr_tui.core.grouping import groups_at

        told, self._choices_to_take = self._choices_to_take, None
        if told is None or self.session.choices is None:
            return

        def regroup(threshold: float) -> Groups:
            assert run.groups is not None
            blend = run.store.symmetric("blend", slice(None), slice(None))
            return groups_at(run.groups, threshold, blend=blend, quality=run.quality.quality)

        self.session.choices.take_over(told, regroup)
        self.changed.publish(Changed.CHOICES)

    def on_tile_ready(self, message: TileReady) -> None:
        """Enter a block of pairs into the map."""
        self._advance(message.event)
        score_map = self.session.score_map
        if score_map is not None and score_map.field == message.field:
            score_map.put(message.rows, message.cols, message.levels)
            self._tiles_to_paint = True
        else:  # scored while another map was made: it lacks this block
            self._map_has_gaps = True

    def on_map_ready(self, message: MapReady) -> None:
        """Show a new map."""
        self.session.score_map = message.score_map
        self.changed.publish(Changed.RUN)

    def on_job_ended(self, message: JobEnded) -> None:
        """Free the worker, and say what went wrong."""
        self._job, self.progress = None, None
        self._publish_tiles()
        if message.error is None:
            self._remind_of_warnings()
            return
        if message.job == "run" and isinstance(message.error, OutputError):
            self._ask_where_to_run(str(message.error))
            return
        mistake = not isinstance(message.error, CryocorrError)
        sentence = with_key(str(message.error))
        if mistake:
            sentence = f"This should not have happened ({message.error})."
        if message.job in ABOUT_CLASSES:  # also stands on the screens that asked for it
            self._tell_problem(sentence)
        self.tell_error(sentence, logged=mistake)

    def _remind_of_warnings(self) -> None:
        """Tell what a job warned of, whose warnings were told before, without hiding a screen."""
        if self._warnings:
            more = f"{counted(len(self._warnings), 'warning')}, as before: Notes, by ctrl+p."
            told = self._warnings[0] if len(self._warnings) == 1 else more
            self.notify(told, severity="warning", markup=False)

    def _tell_problem(self, problem: str) -> None:
        """Keep why classes could not be read or compared, for the screens to show."""
        if problem != self.session.problem:
            self.session.problem = problem
            self.changed.publish(Changed.TAKEN)

    def _advance(self, event: object) -> None:
        if self.progress is not None:
            self.progress = self.progress.after(event)

    def _publish_tiles(self) -> None:
        if self._tiles_to_paint:
            self._tiles_to_paint = False
            self.changed.publish(Changed.TILES)

    def tell_error(self, sentence: str, *, logged: bool = False) -> None:
        """Say in a toast what went wrong, and where its traceback is if it is `logged`."""
        if logged and self.log_path is not None:
            sentence += f" The details are in {self.log_path}."
        self.notify(sentence, severity="error", timeout=10, markup=False)

    # --- steps

    def action_step(self, name: str) -> None:
        """Show the screen of a step."""
        self.switch_mode(name)

    def choose_files(self, files: Iterable[Path]) -> None:
        """Take other files; what was read of the earlier ones is forgotten."""
        if self._job is not None and self._job.name == "read":
            self.cancel_job()  # it reads other files
        self.session.files = list(files)
        self.session.read = self.session.taken = None
        self.session.problem = ""
        self.session.corrected = self.session.outdated = False
        self.save_session()
        self.changed.publish(Changed.FILES)

    def take_in(self) -> None:
        """Read the chosen files, if that is not done, and find the squares of the pictures."""
        session = self.session
        files, settings, read = tuple(session.files), session.settings, session.read
        if files:
            from cryocorr_tui.core.intake import find_in_sources, take_in

            session.taken = None
            session.corrected = session.outdated = False
            self.start_job(
                "read",
                lambda: (
                    take_in(files, settings) if read is None else find_in_sources(read, settings)
                ),
            )

    def action_run(self) -> None:
        """Run everything up to the matrix, and show it fill."""
        if not self.session.files:
            self.notify("Choose files first: go to them and press space.", severity="warning")
            return
        self.run_analysis(resume=(self.session.output / "store.zarr").exists())

    def run_analysis(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Compare all classes of the chosen files, in the output folder."""
        from cryocorr_tui.core.analysis import analyze

        session = self.session
        files, settings, output = tuple(session.files), session.settings, session.output
        taken = session.taken if session.corrected else None
        anew = self._read_corrected_anew() if session.outdated else None

        def compare() -> Iterator[Event]:
            yield from analyze(
                files,
                output,
                settings,
                taken=taken if anew is None else (yield from anew),
                write=False,
                resume=resume and not overwrite,
                overwrite=overwrite,
            )

        self.start_job("run", compare)
        self.switch_mode("matrix")

    def action_options(self) -> None:
        """Ask with what the next run shall be made."""
        from cryocorr_tui.tui.screens.run_options import RunOptions

        if self.progress is not None and self.progress.job == "run":
            self.notify("A run is going on; escape cancels it.", severity="warning")
        else:
            self.push_screen(RunOptions(self.session.settings), self._take_settings)

    def _take_settings(self, settings: Settings | None) -> None:
        """Use other settings from the next run on; what they read in another way is read anew."""
        session, before = self.session, self.session.settings
        if settings is None or settings == before:
            return
        session.settings = settings
        self.save_session()
        same = (settings.pixel_size, settings.reading) == (before.pixel_size, before.reading)
        if same or not session.files:
            return
        if session.corrected:
            session.outdated = True
            reading = self._read_corrected_anew()
            self.start_job("read", lambda: reading)
        else:
            self.choose_files(session.files)

    def _read_corrected_anew(self) -> Generator[Event, None, Inputs]:
        """Read the files with other settings, and keep the squares as the user corrected them."""
        from cryocorr_tui.core.reopening import take_in_with
        from cryocorr_tui.core.run_recipe import squares_of

        session = self.session
        assert session.taken is not None
        squares = squares_of(session.taken)
        return take_in_with(squares, tuple(session.files), session.settings)

    def open_run(self, folder: Path) -> None:
        """Open the run in `folder`, and go on with it where it is not finished."""
        from cryocorr_tui.core.reopening import reopen

        self.session.output = folder
        self.start_job("run", lambda: reopen(folder), warned=True)
        self.switch_mode("matrix")

    def _ask_where_to_run(self, problem: str) -> None:
        from cryocorr_tui.core.files import numbered_folder
        from cryocorr_tui.tui.screens.question import Question

        beside = numbered_folder(self.session.output)

        def decide(answer: str | None) -> None:
            if answer == "beside":
                self.session.output = beside
                self.run_analysis()
            elif answer == "replace":
                self.run_analysis(overwrite=True)

        self.push_screen(
            Question(
                problem,
                {"beside": f"Run in {beside}", "replace": "Replace what is there"},
            ),
            decide,
        )

    def action_cancel(self) -> None:
        """Cancel the run; with the store on disk it can go on later."""
        if self.busy:
            self.cancel_job()
            self.notify("Cancelled; r goes on from here.")

    def open_pair(self, i: int, j: int, *, pairs: Sequence[tuple[int, int]] | None = None) -> None:
        """Open the pair viewer, which goes on through `pairs`, or through all by their score."""
        from cryocorr_tui.tui.screens.pair_viewer import PairViewer

        if self.session.run is not None:
            self.push_screen(PairViewer(i, j, pairs=pairs))

    def compare(self, compared: Compared) -> None:
        """Show the displacement screen with two pictures."""
        self.session.compared = compared
        self.changed.publish(Changed.COMPARED)
        self.switch_mode("displacement")

    def show_map(self, field: str) -> None:
        """Map another field of the run, worked out in a thread."""
        run = self.session.run
        if run is None:
            return

        def make() -> None:
            from cryocorr_tui.tui.score_map import ScoreMap

            worker = get_current_worker()
            found = ScoreMap.of_run(run, field, stopped=lambda: worker.is_cancelled)
            if not worker.is_cancelled:
                self.post_message(MapReady(found))

        self.run_worker(make, group="map", exclusive=True, thread=True, exit_on_error=False)

    # --- everywhere

    def action_export(self) -> None:
        """Write every table to the output folder, and say where."""
        from cryocorr_tui.tui.exporting import export_tables

        export_tables(self)

    def action_help(self) -> None:
        """Show the keys of what has the focus."""
        from cryocorr_tui.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def show_notes(self) -> None:
        """Show what the last run told, also what a toast has told already."""
        from cryocorr_tui.tui.screens.question import Question

        notes = "\n\n".join(self.session.notes) or "The last run had nothing to tell."
        self.push_screen(Question(notes, {"": "Close"}))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer every action in the palette."""
        yield from super().get_system_commands(screen)
        yield SystemCommand("Notes", "What the last run told: warnings, findings", self.show_notes)
        # Each action once, whatever number of keys it has; those of Textual itself have no id.
        actions = {active.binding.id: active for active in screen.active_bindings.values()}
        for name, active in actions.items():
            binding = active.binding
            if name and binding.description and active.enabled:
                yield SystemCommand(
                    binding.description,
                    binding.tooltip or f"Key {self.get_key_display(binding)}",
                    lambda node=active.node, action=binding.action: self.call_later(
                        self.run_action, action, node
                    ),
                )
