"""Two class averages, one laid on the other."""

from __future__ import annotations

from textual.screen import ModalScreen

__all__ = ["PairViewer"]


class PairViewer(ModalScreen[None]):
    """Shows how class j lies on class i."""

    def __init__(self, i: int, j: int) -> None:
        super().__init__()
        self.i, self.j = i, j
