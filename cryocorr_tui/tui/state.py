"""What outlives the app: its log, and the session of each folder it was used in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import platformdirs

__all__ = ["log_file"]


def log_file() -> Path | None:
    """Return where to log to; None where the user's state folder cannot be written."""
    with suppress(OSError):
        folder = platformdirs.user_state_path("cryocorr", ensure_exists=True)
        return folder / "cryocorr.log"
    return None
