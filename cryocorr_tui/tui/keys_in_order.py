"""Keys that come in a burst, as over a slow line: each meets what the one before has done.

Textual hands a key on to what has the focus as soon as it comes, while the key before may still
climb from widget to widget and open a dialog in the end: the word typed after ``/`` would go to the
list, not to the filter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from textual import events
from textual.app import App, ReturnType, ScreenError
from textual.message_pump import MessagePump

__all__ = ["KeysInOrder"]

PATIENCE = 0.5  # seconds that a key waits for the one before, should that take longer


class KeysInOrder(App[ReturnType]):
    """An app where a key waits until the one before is through and the focus rests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: deque[events.Key] = deque()
        self._at_work: asyncio.Task[None] | None = None

    async def on_event(self, event: events.Event) -> None:
        """Hand on everything but a key that comes too early."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._at_work is None:
            await self._press(event)
        else:
            self._waiting.append(event)

    async def _press(self, key: events.Key) -> None:
        pressed_in = self.focused or self.screen
        await super().on_event(key)
        self._at_work = asyncio.create_task(self._end(pressed_in))

    async def _end(self, pressed_in: MessagePump) -> None:
        """Wait until a key is through, and go on with the next one."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._settle(pressed_in)
        except (TimeoutError, ScreenError):
            pass
        if not (self._waiting and self.call_later(self._press_next)):
            self._at_work = None

    async def _press_next(self) -> None:
        await self._press(self._waiting.popleft())

    async def _settle(self, pressed_in: MessagePump) -> None:
        while pressed_in is not self:  # what nobody takes climbs up to the app
            await _worked_off([pressed_in])
            pressed_in = pressed_in._parent or self
        rested, at = None, (self.screen, self.focused)
        while rested != at:
            rested = at
            await _worked_off(filter(None, [*at, self]))
            at = self.screen, self.focused


async def _worked_off(pumps: Iterable[MessagePump]) -> None:
    """Wait until each has worked off what it has been sent so far."""
    for pump in pumps:
        done = asyncio.Event()
        if pump.call_later(done.set):
            await done.wait()
