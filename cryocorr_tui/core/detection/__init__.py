"""Squares of class averages in a picture: line evidence, the grid it implies, its squares."""

from cryocorr_tui.core.detection.cutting import cut_out, overlays_of
from cryocorr_tui.core.detection.squares import LEAST_MIN_BOX, detect_squares, grey_picture

__all__ = ["LEAST_MIN_BOX", "cut_out", "detect_squares", "grey_picture", "overlays_of"]
