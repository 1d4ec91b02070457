"""The numbers of a pair and of a class average, as rows of a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from cryocorr_tui.core.model import PairAlignment, Pose
from cryocorr_tui.core.run import Run

if TYPE_CHECKING:
    from cryocorr_tui.core.pair_scores import PoseScores

__all__ = [
    "angle",
    "chance",
    "class_rows",
    "metric_rows",
    "number",
    "pair_rows",
    "pose_rows",
    "signed",
]

Row = tuple[str, str]

UNKNOWN = "–"


def pair_rows(run: Run, pair: PairAlignment) -> list[Row]:
    """Return name and value of everything that is known of a pair."""
    rows = [
        ("score", number(pair.score, 3)),
        ("blend", f"{number(pair.blend, 3)} × weight {number(pair.weight, 2)}"),
        *metric_rows(pair, pair.pixel_size),
    ]
    if pair.pose is not None:
        rows += pose_rows(pair.pose)
    rows.append(("p, q", f"{chance(pair.p_value)}, {chance(pair.q_value)}"))
    qualities = (run.quality.quality[pair.i], run.quality.quality[pair.j])
    rows.append(("quality", ", ".join(number(float(value), 2) for value in qualities)))
    if pair.pose is None:
        rows.insert(0, ("not scored", "yet" if pair.reason == "not scored" else pair.reason))
    return rows


def metric_rows(scores: PairAlignment | PoseScores, pixel_size: float | None) -> list[Row]:
    """Return name and value of what was measured at a pose."""
    return [
        ("NCC", number(scores.ncc, 3)),
        ("SSIM", number(scores.ssim, 3)),
        ("NMI", number(scores.nmi, 3)),
        ("FRC 0.5", _period(scores.frc_resolution_px, pixel_size)),
    ]


def pose_rows(pose: Pose) -> list[Row]:
    """Return name and value of what a pose is made of."""
    return [
        ("rotation", angle(pose.rotation)),
        ("shift y, x", f"{signed(pose.shift_y)}, {signed(pose.shift_x)} px"),
        ("mirrored", "yes" if pose.mirrored else "no"),
    ]


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


def chance(value: float) -> str:
    """Return a p- or q-value; a dash where it is not known."""
    return UNKNOWN if math.isnan(value) else f"{value:.2g}"


def _period(pixels: float, pixel_size: float | None) -> str:
    if math.isnan(pixels):
        return UNKNOWN
    angstrom = f" = {pixels * pixel_size:.1f} Å" if pixel_size else ""
    return f"{pixels:.1f} px{angstrom}"
