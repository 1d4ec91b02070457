"""What a folder holds of a run, told without reading its pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.files import STORE_NAME
from cryocorr_tui.core.store import RunStore

__all__ = ["RunGlance", "glance_at_run"]


@dataclass(frozen=True)
class RunGlance:
    """What is in a run folder.

    Attributes
    ----------
    classes : int
        Class averages, those of both sets where two are compared.
    finished : bool
        All pairs are scored.
    """

    classes: int
    finished: bool


def glance_at_run(folder: Path) -> RunGlance | None:
    """Look at the run in a folder, also while it is going on; None where there is none to open."""
    if not (folder / STORE_NAME).is_dir():
        return None
    try:
        store = RunStore.open(folder, read_only=True)
        return RunGlance(store.n, store.pairs_done() == store.pairs)
    except (OutputError, OSError):
        return None
