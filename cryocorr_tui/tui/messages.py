"""What the worker tells the app: events of the core, wrapped, and how the work ended.

None of them may be replaced by a later one: each carries data.
"""

from __future__ import annotations

from typing import Any

from textual.message import Message

__all__ = ["JobEnded", "JobEvent", "MapReady", "TileReady"]


class JobEvent(Message):
    """An event of the core."""

    def __init__(self, event: object) -> None:
        super().__init__()
        self.event = event


class TileReady(Message):
    """A block of pairs is scored, and the levels of one of its fields are worked out."""

    def __init__(self, event: object, field: str, rows: slice, cols: slice, levels: Any) -> None:
        super().__init__()
        self.event, self.field, self.rows, self.cols, self.levels = event, field, rows, cols, levels


class MapReady(Message):
    """A map of the run is made."""

    def __init__(self, score_map: Any) -> None:
        super().__init__()
        self.score_map = score_map


class JobEnded(Message):
    """The worker has nothing more to do; ``error`` is why it stopped before its end, or None."""

    def __init__(self, job: str, error: Exception | None = None) -> None:
        super().__init__()
        self.job, self.error = job, error
