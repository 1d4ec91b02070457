"""What the screens of all steps share: the steps above, keys and state of the run below."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import Screen

from cryocorr_tui.tui.session import Changed, Session
from cryocorr_tui.tui.widgets.keys_bar import KeysBar
from cryocorr_tui.tui.widgets.status_line import StatusLine
from cryocorr_tui.tui.widgets.steps_bar import StepsBar

if TYPE_CHECKING:
    from cryocorr_tui.tui.app import CryocorrApp

__all__ = ["StepScreen"]


class StepScreen(Screen[None]):
    """A step's screen; it hears of every change of the session in `session_changed`."""

    STEP: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    """What the step is for, a few sentences for the help."""

    @property
    def cryocorr(self) -> CryocorrApp:
        """The app, by its own type."""
        return cast("CryocorrApp", self.app)

    @property
    def session(self) -> Session:
        """What all screens share."""
        return self.cryocorr.session

    def compose(self) -> ComposeResult:
        """Lay out the step between the lines of all steps."""
        yield StepsBar(self.STEP)
        yield from self.compose_step()
        yield StatusLine()
        yield KeysBar(compact=True, show_command_palette=False)

    def compose_step(self) -> ComposeResult:
        """Lay out the step itself."""
        yield from ()

    def on_mount(self) -> None:
        """Listen to the session, and show what it holds."""
        self.cryocorr.changed.subscribe(self, self.session_changed)
        for change in Changed:
            self.session_changed(change)

    def session_changed(self, change: Changed) -> None:
        """Show what is new; called for each kind of change when the screen is first shown."""
