"""The end of the app with its terminal, or when it is told to end, whatever state they are in."""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable

__all__ = ["end_with_the_terminal"]

GRACE = 5.0  # seconds to leave in order; then the process ends as it is
SECONDS_BETWEEN_LOOKS = 1.0  # at a terminal that went without a signal


def end_with_the_terminal(keep: Callable[[], object], leave: Callable[[], object]) -> None:
    """End this process soon after SIGTERM or SIGHUP, or when its terminal is no longer there.

    Textual's main thread waits for its writer, and that for ever for a terminal that takes nothing
    more. So a thread of its own looks after this, and nothing that it does waits for the others.

    Parameters
    ----------
    keep : callable
        Called first, in that thread: keeps what must not be lost.
    leave : callable
        Called next, in that thread: asks the main thread to leave in order.
    """
    told: queue.SimpleQueue[int] = queue.SimpleQueue()  # the one thing a handler may put into

    def wait_until_told() -> None:
        while not _hung_up():
            try:
                told.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            return

    def see_to_it() -> None:
        wait_until_told()
        try:
            keep()
        finally:  # it was tried, and ending is a must
            leave()
            time.sleep(GRACE)
            os._exit(0)

    for number in (signal.SIGHUP, signal.SIGTERM):
        # Not the handlers of asyncio: its loop calls them, which may be what waits.
        signal.signal(number, lambda number, _: told.put(number))
    threading.Thread(target=see_to_it, name="ending", daemon=True).start()


def _hung_up() -> bool:
    terminal = select.poll()
    terminal.register(0, 0)  # nothing but what is told unasked
    return any(event & select.POLLHUP for _, event in terminal.poll(0))
