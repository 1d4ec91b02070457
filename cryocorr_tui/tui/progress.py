"""How far the worker is, as a line of the screen shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from cryocorr_tui.core.time_left import Pace, share_of

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
    pace : Pace
        How fast the stage goes.
    """

    job: str
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0
    pace: Pace = field(default_factory=lambda: Pace(time.monotonic()))

    def after(self, event: Any) -> Progress:
        """Return how far it is after an event of the core."""
        from cryocorr_tui.core.events import StageStarted

        now, share = time.monotonic(), getattr(event, "share", None)
        if isinstance(event, StageStarted):
            behind = share_of(share, event.done, event.total)
            pace = Pace(now, behind)
            return Progress(self.job, event.stage, event.done, event.total, behind, pace)
        behind = share_of(share, event.done, self.total)
        return replace(self, done=event.done, share=behind, pace=self.pace.after(now, behind))

    def in_words(self) -> str:
        """Return stage, share and the time that is left."""
        if not self.total:
            return self.stage
        rest = self.pace.left(time.monotonic(), self.share)
        left = f" · {rest}" if self.share > self.pace.before else ""
        return f"{self.stage} {self.share:.0%}{left}"
