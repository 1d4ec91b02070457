"""The app with a run on its screens; used by the tests of screens."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from cryocorr_tui.core.choices import Choices
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.session import Session


def app_of(run: Run, *, finished: bool = True) -> CryocorrApp:
    """The app with a run on its screens, of which all is known or not."""
    session = Session(run=run, finished=finished)
    if finished:
        session.choices = Choices(len(run.classes), run.groups)
    return CryocorrApp(session)


async def until(pilot: Pilot[None], there: Callable[[], object]) -> None:
    """Wait for what threads bring."""
    for _ in range(1200):
        if there():
            return
        await pilot.pause(0.05)
    raise AssertionError("it did not come within 60 s")
