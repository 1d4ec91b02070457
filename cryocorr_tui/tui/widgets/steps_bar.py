"""The steps of the work, with the present one marked."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.events import Click
from textual.widgets import Static

__all__ = ["StepsBar"]

STEPS = ("files", "detect", "matrix", "pairs", "groups", "displacement")


class StepsBar(Static):
    """One line that names the steps and their keys; a click goes to one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"steps-bar--present", "steps-bar--other"}

    def __init__(self, present: str) -> None:
        super().__init__()
        self._present = present
        self._ends: list[int] = []

    def render(self) -> Text:
        """Return the line."""
        line = Text(no_wrap=True, overflow="crop")
        self._ends = []
        for number, name in enumerate(STEPS, start=1):
            kind = "present" if name == self._present else "other"
            label = f" {number} {name.title()} "
            line.append(label, self.get_component_rich_style(f"steps-bar--{kind}"))
            self._ends.append(len(line))
        return line

    async def on_click(self, event: Click) -> None:
        """Go to the step under the mouse."""
        step = next((k for k, end in enumerate(self._ends) if event.x < end), None)
        if step is not None:
            await self.run_action(f"app.step('{STEPS[step]}')")
