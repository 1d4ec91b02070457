"""What a user may try where many vectors of a field are invalid."""

from __future__ import annotations

from cryocorr_tui.core.model import DisplacementField

__all__ = ["advice"]

MAIN = 0.1  # part of the vectors from which on a reason is worth a word
MOST = 0.5
FEW = 0.25  # part that is valid, below which the pictures themselves are in doubt

BORDER = "Most matches leave the picture; smaller blocks come nearer to its border."

_TRIES = {
    "constant": ("larger blocks",),
    "no match": ("a larger search area",),
    "low correlation": ("larger blocks", "more smoothing", "a second pass"),
    "no subpixel fit": ("larger blocks", "subsets that only shift"),
    "low peak ratio": ("larger blocks", "a smaller search area"),
    "outlier": ("larger blocks", "more smoothing"),
}


def advice(field: DisplacementField) -> str:
    """Return in a sentence why most invalid vectors of a field are so, and what to try.

    Empty where no reason that something can be done about takes more than a few vectors.
    """
    if (field.reason == "out of image").mean() > MOST:
        return BORDER
    counts = {name: int((field.reason == name).sum()) for name in _TRIES}
    main = [name for name, count in counts.items() if count > MAIN * len(field.reason)]
    if not main:
        return ""
    lost = " and ".join(sorted(main, key=lambda name: -counts[name]))
    tries = list(dict.fromkeys(way for name in main for way in _TRIES[name]))
    said = f"Against {lost} try {' or '.join(tries)}"
    if field.valid.mean() < FEW:
        said += "; it may also be that the pictures do not show the same"
    return f"{said}."
