"""How the next run compares, as fields to change."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.model import (
    DRAWN,
    METRICS,
    SPECTRAL_WEIGHTINGS,
    MaskDiameter,
    MetricWeights,
    Settings,
)
from cryocorr_tui.core.preprocessing import SMALLEST_WORKING_BOX
from cryocorr_tui.tui.widgets.knobs import Choice, Field, Tick

__all__ = ["RunOptions"]

READINGS = ("auto", "images", "montage")


# What stands before a field, and in it while it is empty.
FIELDS = {
    "pixel_size": ("pixel size, Å", "from the files"),
    "max_shift": ("largest shift, px", "4 % of the box, at least 4 working px"),
    "mask_diameter": ("mask diameter, Å", "0.9 of the box; or pixels, as in 100px"),
    "box": ("working box, px", "that of the files, at most 128"),
    "quality_weight": ("quality weight", "1; 0 switches it off"),
    **{metric: (f"weight of {metric.upper()}", "0") for metric in METRICS},
}


class RunOptions(ModalScreen[Settings | None]):
    """Ask how to compare, and return the settings; None on escape.

    Parameters
    ----------
    settings : Settings
        Those of now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="options.cancel"),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        """Lay out a line for each."""
        with Vertical(id="options"):
            yield Static("Enter takes these for the next run, escape does not.")
            with VerticalScroll(can_focus=False):
                for name, value in _in_words(self._settings).items():
                    label, hint = FIELDS[name]
                    with Horizontal():
                        yield Label(label)
                        yield Field(value, id=f"option-{name}", placeholder=hint, compact=True)
                with Horizontal():
                    yield Label("pictures are")
                    yield Choice(READINGS, self._settings.reading, id="option-reading")
                with Horizontal():
                    yield Label("weight of rings")
                    yield Choice(
                        SPECTRAL_WEIGHTINGS,
                        self._settings.spectral_weighting,
                        id="option-spectral_weighting",
                    )
                with Horizontal():
                    yield Label("squares show")
                    yield Choice(DRAWN, self._settings.drawn, id="option-drawn")
                mirror = self._settings.mirror
                yield Tick("try mirror images", mirror, id="option-mirror", compact=True)
            yield Static(id="options-problem", markup=False)
            yield Button("Take them", id="options-take", compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what is typed."""
        event.stop()
        self._take()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take what is typed."""
        event.stop()
        self._take()

    def action_leave_knobs(self) -> None:
        """Leave things as they are."""
        self.dismiss(None)

    def _take(self) -> None:
        try:
            settings = self._as_typed()
        except SettingsError as error:
            self.query_one("#options-problem", Static).update(str(error))
        else:
            self.dismiss(settings)

    def _as_typed(self) -> Settings:
        defaults = Settings()
        weights = {metric: self._number(metric, default=0.0) for metric in METRICS}
        if not any(weights.values()):
            raise SettingsError("At least one weight of a metric must be above 0.")
        return replace(
            self._settings,
            pixel_size=self._number("pixel_size", positive=True),
            max_shift=self._number("max_shift"),
            mask_diameter=self._mask_diameter(),
            box=self._working_box(),
            quality_weight=self._number("quality_weight", default=defaults.quality_weight),
            weights=MetricWeights(**weights),
            reading=self.query_one("#option-reading", Choice).value,
            spectral_weighting=self.query_one("#option-spectral_weighting", Choice).value,
            drawn=self.query_one("#option-drawn", Choice).value,
            mirror=self.query_one(Tick).value,
        )

    def _mask_diameter(self) -> MaskDiameter:
        typed = self._typed("mask_diameter")
        number = typed.removesuffix("px")
        value = _number(number, "mask_diameter", positive=True)
        if value is None:
            return MaskDiameter()
        return MaskDiameter(value, "angstrom" if number == typed else "px")

    def _working_box(self) -> int | None:
        value = self._number("box")
        if value is None:
            return None
        if value != int(value) or value < SMALLEST_WORKING_BOX:
            least = SMALLEST_WORKING_BOX
            raise SettingsError(f"{FIELDS['box'][0]}: give a whole number of {least} or more.")
        return int(value)

    def _number(self, name: str, *, default: Any = None, positive: bool = False) -> Any:
        value = _number(self._typed(name), name, positive=positive)
        return default if value is None else value

    def _typed(self, name: str) -> str:
        return self.query_one(f"#option-{name}", Field).value.strip()


def _number(text: str, name: str, *, positive: bool) -> float | None:
    """Return a number of 0 or more, or above 0; None for an empty text."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        least = "above 0" if positive else "of 0 or more"
        raise SettingsError(f"{FIELDS[name][0]}: {text} is not a number {least}.")
    return value


def _in_words(settings: Settings) -> dict[str, str]:
    """Return what stands in the fields; nothing for what is the default in any case."""
    mask = settings.mask_diameter
    unit = "px" if mask.unit == "px" else ""
    numbers = {
        "pixel_size": settings.pixel_size,
        "max_shift": settings.max_shift,
        "box": settings.box,
        "quality_weight": settings.quality_weight,
        **{metric: settings.weights.of(metric) for metric in METRICS},
    }
    words = {name: "" if value is None else f"{value:g}" for name, value in numbers.items()}
    words["mask_diameter"] = "" if mask.unit == "box" else f"{mask.value:g}{unit}"
    return {name: words[name] for name in FIELDS}
