"""Matrix."""

from __future__ import annotations

from typing import ClassVar

from cryocorr_tui.tui.screens.step import StepScreen

__all__ = ["SCREEN", "MatrixScreen"]


class MatrixScreen(StepScreen):
    """Matrix."""

    STEP: ClassVar[str] = "matrix"


SCREEN = MatrixScreen
