"""Hunt one particle view in a picture, with or without a grid."""

from cryocorr_tui.core.reference.hunting import SCALES, Hunt, hunt
from cryocorr_tui.core.reference.reading import (
    Reference,
    ReferenceSpec,
    load_reference,
    parse_reference,
)

__all__ = [
    "SCALES",
    "Hunt",
    "Reference",
    "ReferenceSpec",
    "hunt",
    "load_reference",
    "parse_reference",
]
