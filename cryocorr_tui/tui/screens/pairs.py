"""Pairs."""

from __future__ import annotations

from typing import ClassVar

from cryocorr_tui.tui.screens.step import StepScreen

__all__ = ["SCREEN", "PairsScreen"]


class PairsScreen(StepScreen):
    """Pairs."""

    STEP: ClassVar[str] = "pairs"


SCREEN = PairsScreen
