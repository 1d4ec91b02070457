"""How far the worker is, as a line of the screen shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from cryocorr_tui.core.time_left import share_of, time_left

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """One moment of a job.

    Attributes
    ----------
    job : str
        What the worker does.
    stage : str
        Where in it; empty before the first.
    done, total : int
        Steps of the stage; 0 of 0 where their number is not known.
    share : float
        Part of its work that is behind, 0 to 1.
    before, began
        That part when the stage began, and when that was.
    """

    job: str
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0
    before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def after(self, event: Any) -> Progress:
        """Return how far it is after an event of the core."""
        from cryocorr_tui.core.events import StageStarted

        share = getattr(event, "share", None)
        if isinstance(event, StageStarted):
            behind = share_of(share, event.done, event.total)
            return Progress(self.job, event.stage, event.done, event.total, behind, behind)
        return replace(self, done=event.done, share=share_of(share, event.done, self.total))

    def in_words(self) -> str:
        """Return stage, share and the time that is left."""
        if not self.total:
            return self.stage
        rest = time_left(time.monotonic() - self.began, self.before, self.share)
        left = f" · {rest}" if self.share > self.before else ""
        return f"{self.stage} {self.share:.0%}{left}"
