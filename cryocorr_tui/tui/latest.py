"""Work off the screen's thread of which only the newest counts."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from textual.dom import DOMNode
from textual.worker import get_current_worker

__all__ = ["LatestWins"]

Job = TypeVar("Job")
Result = TypeVar("Result")

log = logging.getLogger("cryocorr")


class LatestWins(Generic[Job, Result]):
    """One thread that does jobs; those that were not begun are forgotten when others are asked for.

    However slow the disk is, there is never more than one thread that waits for it.

    Parameters
    ----------
    node : DOMNode
        A screen or widget; the thread ends with it.
    do : callable
        Runs in the thread. What it raises is logged, and the job has no result.
    then : callable
        Takes a job and its result, in the thread of the app.
    """

    def __init__(
        self, node: DOMNode, do: Callable[[Job], Result], then: Callable[[Job, Result], object]
    ) -> None:
        self._node, self._do, self._then = node, do, then
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self._busy

    def ask(self, *jobs: Job) -> None:
        """Do these, in their order, and nothing that was asked for before."""
        with self._lock:
            self._jobs = deque(jobs)
            if self._busy or not jobs:
                return
            self._busy = True
        name = f"{id(self)}"
        self._node.run_worker(self._work, thread=True, group=name, exit_on_error=False)

    def _work(self) -> None:
        worker = get_current_worker()
        while (job := self._next()) is not None and not worker.is_cancelled:
            try:
                result = self._do(job)
            except Exception:  # the screen must go on, and the log has it all
                log.exception("%s failed", job)
                continue
            if not worker.is_cancelled:
                self._node.call_later(self._then, job, result)

    def _next(self) -> Job | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._busy = False
            return None
