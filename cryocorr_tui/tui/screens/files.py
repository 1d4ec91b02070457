"""Files: choose what to compare."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Static

from cryocorr_tui.tui.screens.step import StepScreen

__all__ = ["SCREEN", "FilesScreen"]


class FilesScreen(StepScreen):
    """The files of a folder, and those that are chosen."""

    STEP: ClassVar[str] = "files"

    def compose_step(self) -> ComposeResult:
        """Lay out the tree beside what is chosen."""
        yield Static("")


SCREEN = FilesScreen
