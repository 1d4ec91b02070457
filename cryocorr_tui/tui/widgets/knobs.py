"""How squares are looked for, as fields to change."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.validation import Integer, Number
from textual.widgets import Checkbox, Input, Label, Static

from cryocorr_tui.core.detection import LEAST_MIN_BOX
from cryocorr_tui.core.model import Settings

__all__ = ["KNOBS", "Choice", "Field", "Knobs", "Tick"]

PAUSE = 0.8  # seconds without a key before a change takes effect

KNOBS = ("min_box", "bottom_up", "reference_threshold", "reference_scales")
"""The settings that `Knobs` turn; others may have changed meanwhile."""

NUMBERS = re.compile(r"[^0-9.]+")


WAYS: list[BindingType] = [
    Binding("escape", "screen.leave_knobs", "Back", id="knobs.leave"),
    Binding("down", "app.focus_next", "Next", show=False, id="knobs.next"),
    Binding("up", "app.focus_previous", "Previous", show=False, id="knobs.previous"),
]
"""From a knob to the others, and back to what they are about."""


class Field(Input):
    """One knob."""

    BINDINGS: ClassVar[list[BindingType]] = WAYS


class Tick(Checkbox):
    """A box that tells its state without colours too."""

    BINDINGS: ClassVar[list[BindingType]] = WAYS

    BUTTON_LEFT, BUTTON_RIGHT = "[", "]"

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]  # noqa: N802
        """What stands in the box."""
        return "x" if self.value else " "


class Choice(Static, can_focus=True):
    """One of a few words."""

    class Turned(Message):
        """Another word is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space,enter", "turn(1)", "Next", show=False, id="knobs.choose"),
        Binding("left", "turn(-1)", "Previous", show=False, id="knobs.choose_back"),
        *WAYS,
    ]

    def __init__(self, words: tuple[str, ...], value: str, **options: Any) -> None:
        super().__init__(**options)
        self._words, self.value = words, value

    def render(self) -> Text:
        """Return the word between arrows."""
        return Text(f"‹ {self.value} ›")

    def set_value(self, value: str) -> None:
        """Show another word."""
        self.value = value
        self.refresh()
        self.post_message(self.Turned())

    def action_turn(self, step: int) -> None:
        """Take the next word."""
        place = self._words.index(self.value) + step
        self.set_value(self._words[place % len(self._words)])

    def on_click(self) -> None:
        """Take the next word."""
        self.action_turn(1)


class Knobs(Vertical):
    """The settings of detection; those of the hunt for a view only where one is hunted."""

    class Turned(Message):
        """The settings shall be others."""

        def __init__(self, settings: Settings) -> None:
            super().__init__()
            self.settings = settings

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out a line for each."""
        with Horizontal():
            yield Label("min box")
            yield Field(
                f"{self._settings.min_box}",
                id="min-box",
                compact=True,
                type="integer",
                validators=[Integer(minimum=LEAST_MIN_BOX)],
            )
        with Horizontal(classes="hunt"):
            yield Label("least score")
            yield Field(
                _in_words(self._settings.reference_threshold),
                id="threshold",
                compact=True,
                type="number",
                placeholder="from decoys",
                validators=[Number(0.01, 1)],
                valid_empty=True,
            )
        with Horizontal(classes="hunt"):
            yield Label("scales")
            scales = "{:g} {:g}".format(*self._settings.reference_scales)
            yield Field(scales, id="scales", compact=True)
        yield Tick("rows from below", self._settings.bottom_up, id="bottom-up", compact=True)

    def show_hunt(self, hunting: bool) -> None:
        """Show the knobs of a hunt, or hide them."""
        for line in self.query(".hunt"):
            line.display = hunting

    def on_input_changed(self, event: Input.Changed) -> None:
        """Wait until the user has typed."""
        event.stop()
        self._turn_after(PAUSE)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it at once."""
        event.stop()
        self._turn_after(0.001)

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Take it at once."""
        event.stop()
        self._turn_after(0.001)

    def _turn_after(self, seconds: float) -> None:
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(seconds, self._turn)

    def _turn(self) -> None:
        settings = self._as_typed()
        if settings is not None and settings != self._settings:
            self._settings = settings
            self.post_message(self.Turned(settings))

    def _as_typed(self) -> Settings | None:
        """Return the settings, None where a field makes no sense (yet)."""
        fields = self.query(Field)
        if any(not field.is_valid for field in fields):
            return None
        min_box = _numbers(self.query_one("#min-box", Field).value)
        threshold = _numbers(self.query_one("#threshold", Field).value)
        scales = _numbers(self.query_one("#scales", Field).value)
        if len(scales) != 2 or not 0 < scales[0] <= scales[1]:
            return None
        return replace(
            self._settings,
            min_box=int(min_box[0]),
            bottom_up=self.query_one(Checkbox).value,
            reference_threshold=threshold[0] if threshold else None,
            reference_scales=(scales[0], scales[1]),
        )


def _numbers(text: str) -> list[float]:
    """Return the numbers in a text; none at all if a part of it is no number."""
    try:
        return [float(part) for part in NUMBERS.split(text) if part]
    except ValueError:
        return []


def _in_words(number: float | None) -> str:
    return "" if number is None else f"{number:g}"
