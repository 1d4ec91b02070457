"""Two pictures to compare: taken from a list, or typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

__all__ = ["ChoosePictures"]

MOST_OFFERED = 2000  # images; of others the user knows the numbers


class ChoosePictures(ModalScreen[tuple[Path, Path] | None]):
    """Ask for reference and deformed picture, and return them; None on escape.

    Parameters
    ----------
    files : sequence of Path
        What is offered: each file of one image, each image of a stack as ``FILE#INDEX``.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="choose.cancel"),
    ]

    def __init__(self, files: Sequence[Path]) -> None:
        super().__init__()
        self._files = tuple(files)

    def compose(self) -> ComposeResult:
        """Lay out two lines over the list."""
        with Vertical(id="choose"):
            yield Static(
                "Enter takes a picture of the list, the reference first. Or type paths; FILE#INDEX "
                "is an image of a stack.",
                markup=False,
            )
            for name in ("reference", "deformed"):
                with Horizontal():
                    yield Label(name)
                    yield Input(placeholder="a path", id=f"choose-{name}", compact=True)
            yield OptionList(id="choose-list", compact=True, markup=False)

    def on_mount(self) -> None:
        """Begin with the list, if there is one."""
        offered = self.query_one(OptionList)
        offered.display = bool(self._files)
        if self._files:
            offered.focus()
            self.run_worker(self._look, thread=True, exit_on_error=False)

    def _look(self) -> None:
        """Look how many images each file holds; headers only, but the disk may be slow."""
        from cryocorr_tui.core.readers.glance import glance

        worker, found = get_current_worker(), 0
        for file in self._files:
            header = glance(file)
            if worker.is_cancelled or found >= MOST_OFFERED:
                return
            count = min(header.images if header else 0, MOST_OFFERED - found)
            names = [str(file)] if count == 1 else [f"{file}#{k}" for k in range(count)]
            found += count
            self.app.call_from_thread(self._offer, names)

    def _offer(self, names: list[str]) -> None:
        options = [Option(Path(name).name, name) for name in names]
        offered = self.query_one(OptionList)
        offered.add_options(options)
        if offered.highlighted is None:
            offered.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Put it where a picture is still missing."""
        missing = next((field for field in self.query(Input) if not field.value), None)
        if missing is not None and event.option_id is not None:
            missing.value = event.option_id
            missing.cursor_position = len(missing.value)
        self._end_if_chosen()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the other line, or end."""
        event.stop()
        missing = next((field for field in self.query(Input) if not field.value.strip()), None)
        if missing is not None:
            missing.focus()
        self._end_if_chosen()

    def _end_if_chosen(self) -> None:
        typed = [field.value.strip() for field in self.query(Input)]
        if all(typed):
            self.dismiss((Path(typed[0]).expanduser(), Path(typed[1]).expanduser()))
