"""What outlives the app: its log, and the session of each folder it was used in."""

from __future__ import annotations

import hashlib
import json
import tomllib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.model import DisplacementSettings, settings_from
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.compared import Compared
from cryocorr_tui.tui.session import Session

__all__ = ["Saved", "keymap", "log_file", "saved_session", "session_file"]

VERSION = 1


def log_file() -> Path | None:
    """Return where to log to; None where the user's state folder cannot be written."""
    folder = _state_folder()
    return None if folder is None else folder / "cryocorr.log"


def keymap() -> dict[str, str]:
    """Return the user's own keys, by the id of a binding: section ``[keys]`` of ``config.toml``.

    Raises
    ------
    SettingsError
        If the file cannot be understood.
    """
    path = platformdirs.user_config_path("cryocorr") / "config.toml"
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is no TOML file ({error}); mend or remove it.") from error
    keys = told.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise SettingsError(
            f'{path}: [keys] must hold keys by the names of actions, as in "matrix.next" = "n"; '
            "mend or remove it."
        )
    return keys


def session_file(folder: Path) -> Path | None:
    """Return where the session of a working folder is kept."""
    state = _state_folder()
    if state is None:
        return None
    name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return state / f"session-{name}.json"


class Saved:
    """A session as it is kept on disk.

    Parameters
    ----------
    told : dict
        What the file holds.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    @classmethod
    def of(cls, session: Session, *, step: str, theme: str) -> Saved:
        """Return what is worth keeping of a session."""
        choices, compared = session.choices, session.compared
        return cls(
            {
                "version": VERSION,
                "files": [str(path) for path in session.files],
                "folder": str(session.folder),
                "output": str(session.output),
                "settings": asdict(session.settings),
                "run": None if session.run is None else str(session.run.folder),
                "step": step,
                "theme": theme,
                "choices": None if choices is None else choices.as_dict(),
                "compared": {
                    "files": [] if compared is None else [str(path) for path in compared.files],
                    "pair": [] if compared is None else list(compared.pair),
                    "settings": [[box, asdict(how)] for box, how in session.field_settings.items()],
                    "mask": session.field_mask,
                },
            }
        )

    def write(self, path: Path) -> None:
        """Keep it, whole or not at all.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(self._told), encoding="utf-8", errors="surrogateescape")

    @property
    def worth_going_on(self) -> bool:
        """Whether anything was chosen that is still there."""
        return bool(self._there or (self.run and self.run.exists()))

    @property
    def _there(self) -> list[Path]:
        """The chosen files that are still there."""
        return [path for path in map(Path, self._told["files"]) if path.exists()]

    @property
    def run(self) -> Path | None:
        """The folder of the run that was on the screens."""
        return Path(self._told["run"]) if self._told["run"] else None

    @property
    def step(self) -> str:
        """The screen that was shown."""
        return str(self._told["step"])

    @property
    def theme(self) -> str:
        """Name of the theme."""
        return str(self._told["theme"])

    @property
    def choices(self) -> dict[str, Any] | None:
        """What was decided about the classes of the run; see `Choices.as_dict`."""
        told: dict[str, Any] | None = self._told["choices"]
        return told

    @property
    def pair(self) -> tuple[int, ...]:
        """The two classes of the run that were compared, none where there were none."""
        told: dict[str, Any] = self._told.get("compared") or {"pair": ()}
        return tuple(told["pair"])

    def in_words(self) -> str:
        """Return what was chosen, for the question whether to go on with it."""
        count, there = len(self._told["files"]), len(self._there)
        files = counted(count, "file")
        if there < count:
            files += f", of which {count - there} can no longer be found"
        return f"{files}, run in {self.run}" if self.run else files

    def restore(self, session: Session) -> None:
        """Put files, folders and settings back into a session."""
        session.files = self._there
        session.folder, session.output = Path(self._told["folder"]), Path(self._told["output"])
        session.settings = settings_from(self._told["settings"])
        told = self._told.get("compared")  # a session of before the displacement had none
        if told is None:
            return
        if told["files"]:
            session.compared = Compared.of_files(*map(Path, told["files"]))
        session.field_settings = {box: DisplacementSettings(**how) for box, how in told["settings"]}
        session.field_mask = told["mask"]


def saved_session(path: Path | None) -> Saved | None:
    """Read a session; None where there is none, or none that this version can read."""
    if path is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        saved = Saved(json.loads(path.read_text(encoding="utf-8", errors="surrogateescape")))
        if saved._told["version"] == VERSION and saved.worth_going_on:
            saved.restore(Session())  # a file that another version wrote fails here and not later
            return saved
    return None


def _state_folder() -> Path | None:
    with suppress(OSError):
        return platformdirs.user_state_path("cryocorr", ensure_exists=True)
    return None
