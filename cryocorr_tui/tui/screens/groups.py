"""Groups."""

from __future__ import annotations

from typing import ClassVar

from cryocorr_tui.tui.screens.step import StepScreen

__all__ = ["SCREEN", "GroupsScreen"]


class GroupsScreen(StepScreen):
    """Groups."""

    STEP: ClassVar[str] = "groups"


SCREEN = GroupsScreen
