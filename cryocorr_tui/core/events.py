"""What long work of any kind says on its way: small frozen events."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Notice", "StageProgressed", "StageStarted"]


@dataclass(frozen=True)
class StageStarted:
    """A stage of `total` steps (0: unknown) begins.

    An earlier run has ``done`` so many of them, which is ``share`` of the work (None: that of the
    steps).
    """

    stage: str
    total: int
    done: int = 0
    share: float | None = None


@dataclass(frozen=True)
class StageProgressed:
    """`done` steps of a stage are behind."""

    stage: str
    done: int


@dataclass(frozen=True)
class Notice:
    """One sentence for the user: a warning, or a plain finding."""

    text: str
    warning: bool = True
