"""Detect."""

from __future__ import annotations

from typing import ClassVar

from cryocorr_tui.tui.screens.step import StepScreen

__all__ = ["SCREEN", "DetectScreen"]


class DetectScreen(StepScreen):
    """Detect."""

    STEP: ClassVar[str] = "detect"


SCREEN = DetectScreen
