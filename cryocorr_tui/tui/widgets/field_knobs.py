"""How a displacement is measured, as fields to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Label

from cryocorr_tui.core.displacement import REPLACEMENTS, SUBSET_SHAPES
from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.model import DisplacementSettings
from cryocorr_tui.tui.widgets.knobs import Choice, Field, Tick

__all__ = ["FieldKnobs"]

WHOLE = {
    "block_size": "block size",
    "step": "step",
    "passes": "passes",
    "strain_window": "strain window",
}
NUMBERS = {
    "search_area_multiplier": "search area ×",
    "smoothing": "smoothing",
    "min_correlation": "min correlation",
    "min_peak_ratio": "min peak ratio",
}
ORDER = (
    "block_size",
    "step",
    "search_area_multiplier",
    "passes",
    "smoothing",
    "min_correlation",
    "min_peak_ratio",
    "strain_window",
)
CHOICES = ("subset_shape", "replacement")
WORDS = WHOLE | NUMBERS
HINTS = {"step": "half a block"}


class FieldKnobs(VerticalScroll, can_focus=False):
    """The settings of a displacement, and its mask."""

    class Turned(Message):
        """Something else stands here."""

    class Entered(Message):
        """The user wants it measured with what stands here."""

    def __init__(self, settings: DisplacementSettings, mask: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._settings, self._mask = settings, mask

    def compose(self) -> ComposeResult:
        """Lay out a line for each."""
        for name in ORDER:
            kind = "integer" if name in WHOLE else "number"
            with Horizontal():
                yield Label(WORDS[name])
                yield Field(
                    _in_words(getattr(self._settings, name)),
                    id=f"knob-{name}",
                    compact=True,
                    type=kind,  # type: ignore[arg-type]
                    placeholder=HINTS.get(name, ""),
                )
        with Horizontal():
            yield Label("subset shape")
            yield Choice(SUBSET_SHAPES, self._settings.subset_shape, id="knob-subset_shape")
        with Horizontal():
            yield Label("mask")
            yield Field(
                self._mask, id="knob-mask", compact=True, placeholder="picture, or y,x y,x y,x"
            )
        with Horizontal():
            yield Label("replace invalid")
            yield Choice(REPLACEMENTS, self._settings.replacement, id="knob-replacement")
        yield Tick("remove rigid part", self._settings.remove_rigid, id="knob-rigid", compact=True)

    def show_settings(self, settings: DisplacementSettings, mask: str) -> None:
        """Put other settings into the fields."""
        self._settings = settings
        self._field("mask").value = mask
        for name in ORDER:
            self._field(name).value = _in_words(getattr(settings, name))
        for name in CHOICES:
            self._choice(name).set_value(getattr(settings, name))
        self.query_one(Tick).value = settings.remove_rigid

    @property
    def mask(self) -> str:
        """What is typed for the mask."""
        return self._field("mask").value.strip()

    def settings(self) -> DisplacementSettings:
        """Return what is typed; an empty field is the default.

        Raises
        ------
        SettingsError
            Where a field holds no number.
        """
        defaults = DisplacementSettings()
        typed: dict[str, Any] = {}
        for name in ORDER:
            text = self._field(name).value.strip()
            try:
                value = int(text) if name in WHOLE else float(text)
            except ValueError:
                if text:
                    raise SettingsError(f"{WORDS[name]}: {text} is no number.") from None
                value = getattr(defaults, name)
            typed[name] = value
        typed |= {name: self._choice(name).value for name in CHOICES}
        return replace(self._settings, **typed, remove_rigid=self.query_one(Tick).value)

    @on(Input.Changed)
    @on(Tick.Changed)
    @on(Choice.Turned)
    def _tell(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Turned())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Measure at once."""
        event.stop()
        self.post_message(self.Entered())

    def _field(self, name: str) -> Field:
        return self.query_one(f"#knob-{name}", Field)

    def _choice(self, name: str) -> Choice:
        return self.query_one(f"#knob-{name}", Choice)


def _in_words(number: float | None) -> str:
    return "" if number is None else f"{number:g}"
