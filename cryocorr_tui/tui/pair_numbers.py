"""The numbers of a pair and of a class average, as rows of a table."""

from __future__ import annotations

import math
from pathlib import Path

from cryocorr_tui.core.model import PairAlignment
from cryocorr_tui.core.run import Run

__all__ = ["angle", "chance", "class_rows", "number", "pair_rows", "signed"]

Row = tuple[str, str]

UNKNOWN = "–"


def pair_rows(run: Run, pair: PairAlignment) -> list[Row]:
    """Return name and value of everything that is known of a pair."""
    rows = [
        ("score", number(pair.score, 3)),
        ("blend", f"{number(pair.blend, 3)} × weight {number(pair.weight, 2)}"),
        ("NCC", number(pair.ncc, 3)),
        ("SSIM", number(pair.ssim, 3)),
        ("NMI", number(pair.nmi, 3)),
        ("FRC 0.5", _period(pair)),
    ]
    if pair.pose is not None:
        rows += [
            ("rotation", angle(pair.pose.rotation)),
            ("shift y, x", f"{signed(pair.pose.shift_y)}, {signed(pair.pose.shift_x)} px"),
            ("mirrored", "yes" if pair.pose.mirrored else "no"),
        ]
    rows.append(("p, q", f"{chance(pair.p_value)}, {chance(pair.q_value)}"))
    qualities = (run.quality.quality[pair.i], run.quality.quality[pair.j])
    rows.append(("quality", ", ".join(number(float(value), 2) for value in qualities)))
    if pair.pose is None:
        rows.insert(0, ("not scored", "yet" if pair.reason == "not scored" else pair.reason))
    return rows


def class_rows(run: Run, class_id: int) -> list[Row]:
    """Return name and value of everything that is known of a class average."""
    item, quality = run.classes[class_id], run.quality
    rows = [
        ("source", f"{Path(item.source).name} #{item.source_index}"),
        ("box", f"{item.image.shape[1]}×{item.image.shape[0]} px"),
    ]
    if item.pixel_size is not None:
        rows.append(("pixel size", f"{item.pixel_size:.3g} Å"))
    if item.particles is not None:
        rows.append(("particles", f"{item.particles:,.0f}"))
    if item.resolution is not None:
        rows.append(("resolution", f"{item.resolution:.1f} Å"))
    rows += [
        (name, number(float(getattr(quality, name)[class_id]), 2))
        for name in ("quality", "texture", "edge", "signal", "centring", "fill")
    ]
    reason = run.working.reasons[class_id]
    if reason:
        rows.insert(0, ("not compared", f"it {reason}"))
    return rows


def angle(degrees: float) -> str:
    """Return an angle in [0, 360) with one decimal: what rounds to 360 is 0."""
    return f"{round(degrees, 1) % 360:.1f}°"


def signed(value: float) -> str:
    """Return a number with its sign and one decimal: what rounds to nothing is +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"


def number(value: float, digits: int) -> str:
    """Return a number with so many decimals; a dash where it is not known."""
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def _period(pair: PairAlignment) -> str:
    if math.isnan(pair.frc_resolution_px):
        return UNKNOWN
    angstrom = pair.frc_resolution_angstrom
    known = "" if math.isnan(angstrom) else f" = {angstrom:.1f} Å"
    return f"{pair.frc_resolution_px:.1f} px{known}"


def chance(value: float) -> str:
    """Return a p- or q-value; a dash where it is not known."""
    return UNKNOWN if math.isnan(value) else f"{value:.2g}"
