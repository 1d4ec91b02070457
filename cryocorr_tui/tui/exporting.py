"""Tables at a keystroke: where they go, and what to do with older ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryocorr_tui.tui.app import CryocorrApp

__all__ = ["export_tables"]


def export_tables(app: CryocorrApp) -> None:
    """Write every table of the run on the screens into the output folder; ask where some stand."""
    from cryocorr_tui.core.files import numbered_folder
    from cryocorr_tui.tui.screens.question import Question

    session = app.session
    if session.run is None:
        app.notify("There is nothing to export yet; r runs the comparison.", severity="warning")
        return
    if not session.finished:
        app.notify("Tables are written once all pairs are scored.", severity="warning")
        return
    folder = session.output
    if not any(folder.glob("*.csv")):
        _write(app, folder)
        return
    beside = numbered_folder(folder)

    def decide(answer: str | None) -> None:
        if answer is not None:
            _write(app, beside if answer == "beside" else folder)

    app.push_screen(
        Question(
            f"{folder} holds tables already.",
            {"beside": f"Write into {beside}", "replace": "Replace them"},
        ),
        decide,
    )


def _write(app: CryocorrApp, folder: Path) -> None:
    run, choices = app.session.run, app.session.choices
    assert run is not None
    if choices is not None:
        run = replace(run, groups=choices.groups)

    def write() -> None:
        from cryocorr_tui.core.errors import CryocorrError
        from cryocorr_tui.core.run_tables import write_run_tables

        try:
            folder.mkdir(parents=True, exist_ok=True)
            chosen = None if choices is None else choices.columns()
            tables = write_run_tables(run, folder, chosen=chosen)
        except (CryocorrError, OSError) as error:
            app.call_from_thread(app.tell_error, str(error))
            return
        names = ", ".join(path.name for path in tables)
        app.call_from_thread(app.notify, f"In {folder}: {names}.", markup=False)

    app.run_worker(write, group="export", thread=True, exit_on_error=False)
