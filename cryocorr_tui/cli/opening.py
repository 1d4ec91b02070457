"""The way into the app: what must be known before it starts."""

from __future__ import annotations

import asyncio
import difflib
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryocorr_tui.cli.parser import COMMANDS
from cryocorr_tui.core.errors import InputError, SettingsError

if TYPE_CHECKING:
    from cryocorr_tui.core.model import Settings

__all__ = ["on_terminal", "open_app"]

DEFAULT_OUTPUT = Path("cryocorr_results")


def on_terminal() -> bool:
    """Tell whether there is a terminal to draw on and to read keys from."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def open_app(
    inputs: Sequence[Path],
    settings: Settings,
    *,
    output: Path | None = None,
    graphics: str = "auto",
    anew: bool = False,
) -> None:
    """Open the app and return when the user leaves it.

    Parameters
    ----------
    inputs : sequence of Path
        Files to choose, or one folder: a run to open, or where to look for files.
    settings : Settings
        Of the runs.
    output : Path, optional
        Folder of runs and tables; ``cryocorr_results`` by default.
    graphics : str
        How pictures are drawn: "auto", "kitty", "sixel", "blocks" or "none".
    anew : bool
        Run at once, in place of what `output` holds.

    Raises
    ------
    SettingsError
        If there is no terminal.
    InputError
        If an input is not there.
    """
    for path in inputs:
        if not path.exists():
            alike = difflib.get_close_matches(str(path), COMMANDS, n=1)
            mend = (
                f"did you mean cryocorr {alike[0]}?" if alike else "check the name and the folder."
            )
            raise InputError(f"{path}: there is no such file; {mend}")
    if not on_terminal() or os.environ.get("TERM", "dumb") == "dumb":
        raise SettingsError(
            "The app needs a terminal; without one, run cryocorr analyze INPUT ... -o DIR."
        )

    sys.setswitchinterval(0.001)  # seconds; a key must not wait long for the threads of a run
    gc.disable()  # until the first frame, which it would delay by a sixth, with nothing to collect

    from cryocorr_tui.tui.graphics.terminal import probe

    terminal = probe(os.environ, wanted=graphics)
    os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", terminal.colour_system)  # read on import

    from cryocorr_tui.tui.app import CryocorrApp
    from cryocorr_tui.tui.session import Session
    from cryocorr_tui.tui.state import keymap, log_file, saved_session, session_file

    log_path = log_file()
    if log_path is not None:
        logging.basicConfig(filename=log_path, format="%(asctime)s %(name)s %(message)s")
    folders = [path for path in inputs if path.is_dir()]
    files = [path for path in inputs if not path.is_dir()]
    session = Session(files=files, settings=settings, output=output or DEFAULT_OUTPUT)
    begin = None
    if folders and (folders[0] / "store.zarr").is_dir():
        begin = folders[0]
    elif folders:
        session.folder = folders[0]
    session_path = None if anew else session_file(Path())
    app = CryocorrApp(
        session,
        log_path=log_path,
        run_folder=begin,
        run_at_once=anew,
        saved=None if inputs else saved_session(session_path),
        session_path=session_path,
    )
    app.wanted = graphics
    app.set_reactive(CryocorrApp.terminal, terminal)
    app.set_keymap(keymap())
    # A loop of our own: asyncio.run would wait for the threads of a run that goes on.
    app.run(loop=asyncio.new_event_loop())
    logging.shutdown()
    if app.working:  # what is scored is in the store, which survives also this
        os._exit(app.return_code or 0)
    if app.return_code:
        raise SystemExit(app.return_code)
