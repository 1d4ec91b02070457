"""What cannot be compared, said in one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import DisplacementSettings, FloatArray

__all__ = ["REPLACEMENTS", "SUBSET_SHAPES", "check_pictures", "check_settings"]

SUBSET_SHAPES = ("affine", "shift")
REPLACEMENTS = ("none", "median", "mean")
MOST_PASSES = 20  # vectors settle in a few
MOST_SMOOTHING = 5.0  # σ in pixels
SMALLEST_BLOCK = 8  # six numbers are fitted to its 64 pixels


def check_settings(settings: DisplacementSettings) -> None:
    """Refuse settings that contradict each other.

    Raises
    ------
    SettingsError
    """
    problems = {
        f"The block size must be {SMALLEST_BLOCK} pixels or more, not {settings.block_size}.": (
            settings.block_size < SMALLEST_BLOCK
        ),
        f"The step must be 1 pixel or more, not {settings.spacing}.": settings.spacing < 1,
        f"A search area of {settings.search_area_multiplier:g} blocks leaves no room to search; "
        "choose a multiplier well above 1, as 2.": settings.reach < 1,
        f"The smoothing must be 0 to {MOST_SMOOTHING:g} pixels, not {settings.smoothing:g}.": not (
            0 <= settings.smoothing <= MOST_SMOOTHING
        ),
        f"The shape of subsets is {' or '.join(SUBSET_SHAPES)}, not {settings.subset_shape}.": (
            settings.subset_shape not in SUBSET_SHAPES
        ),
        f"At least one pass is needed and {MOST_PASSES} are the most, not {settings.passes}.": not (
            1 <= settings.passes <= MOST_PASSES
        ),
        f"The window of the strain must be an odd number of subsets, 3 or more, not "
        f"{settings.strain_window}.": settings.strain_window != 0
        and (settings.strain_window < 3 or settings.strain_window % 2 == 0),
        f"Invalid vectors are replaced by {', '.join(REPLACEMENTS)}, not {settings.replacement}.": (
            settings.replacement not in REPLACEMENTS
        ),
    }
    for sentence, is_so in problems.items():
        if is_so:
            raise SettingsError(sentence)


def check_pictures(
    reference: FloatArray,
    deformed: FloatArray,
    mask: NDArray[np.bool_] | None,
    settings: DisplacementSettings,
) -> NDArray[np.bool_]:
    """Refuse pictures that cannot be compared, and return the mask, all True where there is none.

    Raises
    ------
    InputError, SettingsError
    """
    if reference.ndim != 2 or deformed.ndim != 2:
        raise ValueError(
            f"expected two (height, width) pictures, received {reference.shape}, {deformed.shape}"
        )
    if reference.shape != deformed.shape:
        raise InputError(
            f"The pictures differ in size ({_size(reference)} and {_size(deformed)} pixels); crop "
            "or scale one of them to the other."
        )
    if mask is not None and mask.shape != reference.shape:
        raise InputError(
            f"The mask has {_size(mask)} pixels and the pictures {_size(reference)}; give one of "
            "their size."
        )
    block = settings.block_size
    if block > min(reference.shape):
        raise SettingsError(
            f"A block of {block} pixels does not fit the pictures ({_size(reference)}); choose a "
            "smaller --block-size."
        )
    smallest = min(reference.shape) >> (settings.pyramid or 0)
    if block > smallest:
        raise SettingsError(
            f"After {settings.pyramid} halvings the pictures have {smallest} pixels across and "
            f"hold no block of {block}; choose a smaller --pyramid."
        )
    for name, picture in (("reference", reference), ("deformed picture", deformed)):
        known = picture[np.isfinite(picture)]
        if not known.size or known.min() == known.max():
            what = "constant" if known.size else "without a single known pixel"
            raise InputError(f"The {name} is {what}, so nothing can be followed in it.")
    mask = np.ones(reference.shape, dtype=bool) if mask is None else mask
    if not mask.any():
        raise InputError("The mask leaves no pixel of the reference; check its polarity.")
    return mask


def _size(picture: NDArray[np.generic]) -> str:
    return f"{picture.shape[1]} × {picture.shape[0]}"
