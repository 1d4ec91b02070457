"""What is known of the inputs before any pair is compared: their classes, and how good each is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryocorr_tui.core.errors import CryocorrError
from cryocorr_tui.core.inputs import Inputs, look_at_print, to_class_averages
from cryocorr_tui.core.model import ClassAverage, FloatArray, Settings
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.quality import quality_of

__all__ = ["FirstLook", "look"]

MOST_SCORED = 3000  # class averages; more take longer than a look should


@dataclass(frozen=True, eq=False)
class FirstLook:
    """Class averages and their quality.

    Attributes
    ----------
    inputs : Inputs
        With all print looked at.
    classes : tuple of ClassAverage
        In the order of their class ids.
    quality : (n,) float32
        0…1, NaN where it is not known.
    problem : str
        Why the quality is not known, a sentence; empty where it is.
    """

    inputs: Inputs
    classes: tuple[ClassAverage, ...]
    quality: FloatArray
    problem: str = ""


def look(inputs: Inputs, settings: Settings) -> FirstLook:
    """Look at what is printed on the squares, cut the classes out and score their quality.

    `inputs` are left as they are.
    """
    inputs = inputs.copy()
    look_at_print(inputs)
    classes = to_class_averages(inputs)
    unknown = np.full(len(classes), np.nan, dtype=np.float32)
    if len(classes) > MOST_SCORED:
        return FirstLook(inputs, classes, unknown, f"{len(classes)} classes: the run scores them.")
    try:
        quality = quality_of(prepare(classes, settings)).quality
    except CryocorrError as error:
        return FirstLook(inputs, classes, unknown, str(error))
    return FirstLook(inputs, classes, quality)
