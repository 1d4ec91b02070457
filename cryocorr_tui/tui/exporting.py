"""Tables at a keystroke: where they go, and what to do with older ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryocorr_tui.core.choices import Choices
    from cryocorr_tui.core.displacement import SweepCell
    from cryocorr_tui.core.inputs import Inputs
    from cryocorr_tui.core.model import DisplacementField
    from cryocorr_tui.core.run import Run
    from cryocorr_tui.tui.app import CryocorrApp

__all__ = ["export_field", "export_tables"]

FIELD_FILES = ("field.csv", "field.png")
SWEEP_FILES = ("field_sweep.csv", "field_sweep.png")

Write = Callable[[Path], tuple[Path, ...]]


def export_tables(app: CryocorrApp) -> None:
    """Write every table of the run on the screens into the output folder; ask where some stand.

    Before there is a run, the squares of montages are written.
    """
    from cryocorr_tui.core.files import DETECTION_FILES

    session = app.session
    run, choices, taken = session.run, session.choices, session.taken
    if run is None and taken is not None and taken.montages:
        _write_where_wanted(app, DETECTION_FILES, lambda folder: _write_squares(taken, folder))
    elif run is None:
        app.notify("There is nothing to export yet; r runs the comparison.", severity="warning")
    elif not session.finished:
        app.notify("Tables are written once all pairs are scored.", severity="warning")
    else:
        _write_where_wanted(app, ("*.csv",), lambda folder: _write_run(run, choices, folder))


def export_field(
    app: CryocorrApp, field: DisplacementField, swept: Sequence[SweepCell] | None
) -> None:
    """Write a field as table and picture into the output folder, and the sweep if there is one."""
    names = FIELD_FILES + SWEEP_FILES if swept else FIELD_FILES
    _write_where_wanted(app, names, lambda folder: _write_field(field, swept, folder))


def _write_where_wanted(app: CryocorrApp, names: tuple[str, ...], write: Write) -> None:
    """Write into the output folder; ask first where files of such names are in it."""
    from cryocorr_tui.core.files import numbered_folder
    from cryocorr_tui.tui.screens.question import Question

    folder = app.session.output
    if not any(found for name in names for found in folder.glob(name)):
        _write(app, folder, write)
        return
    beside = numbered_folder(folder)

    def decide(answer: str | None) -> None:
        if answer is not None:
            _write(app, beside if answer == "beside" else folder, write)

    app.push_screen(
        Question(
            f"{folder} holds tables already.",
            {"beside": f"Write into {beside}", "replace": "Replace them"},
        ),
        decide,
    )


def _write(app: CryocorrApp, folder: Path, write: Write) -> None:
    def work() -> None:
        from cryocorr_tui.core.errors import CryocorrError

        try:
            folder.mkdir(parents=True, exist_ok=True)
            tables = write(folder)
        except (CryocorrError, OSError) as error:
            app.call_from_thread(app.tell_error, str(error))
            return
        names = ", ".join(path.name for path in tables)
        app.call_from_thread(app.notify, f"In {folder}: {names}.", markup=False)

    app.run_worker(work, group="export", thread=True, exit_on_error=False)


def _write_field(
    field: DisplacementField, swept: Sequence[SweepCell] | None, folder: Path
) -> tuple[Path, ...]:
    from cryocorr_tui.core import export, field_drawing

    table, picture = (folder / name for name in FIELD_FILES)
    export.write_field(table, field)
    export.write_picture(picture, field_drawing.draw_field(field))
    if not swept:
        return table, picture
    sweep_table, sweep_picture = (folder / name for name in SWEEP_FILES)
    export.write_sweep(sweep_table, swept)
    export.write_picture(sweep_picture, field_drawing.draw_sweep(swept))
    return table, picture, sweep_table, sweep_picture


def _write_run(run: Run, choices: Choices | None, folder: Path) -> tuple[Path, ...]:
    from cryocorr_tui.core.run_tables import write_run_tables

    if choices is None:
        return tuple(write_run_tables(run, folder))
    chosen = choices.columns()
    return tuple(write_run_tables(replace(run, groups=choices.groups), folder, chosen=chosen))


def _write_squares(taken: Inputs, folder: Path) -> tuple[Path, ...]:
    from cryocorr_tui.core.detection_files import write_detection
    from cryocorr_tui.core.inputs import look_at_print

    looked = taken.copy()
    look_at_print(looked)
    return write_detection(looked, folder)
