"""Two classes beside each other, and what was found for them beside what holds at another pose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from cryocorr_tui.core.model import PairAlignment, Pose
from cryocorr_tui.core.scoring import pair_score
from cryocorr_tui.tui.names import shortened
from cryocorr_tui.tui.pair_numbers import (
    UNKNOWN,
    chance,
    class_rows,
    metric_rows,
    number,
    pose_rows,
)

if TYPE_CHECKING:
    from cryocorr_tui.core.pair_scores import PoseScores
    from cryocorr_tui.core.run import Run

__all__ = [
    "Row",
    "as_table",
    "as_text",
    "in_short",
    "rows_of_class",
    "rows_of_classes",
    "rows_of_pair",
]

PARTS_OF_QUALITY = ("texture", "edge", "signal", "centring", "fill")


class Row(NamedTuple):
    """What a number is, and what it is in each column; a row without a name is a heading."""

    name: str
    first: str
    second: str = ""


def rows_of_class(run: Run, class_id: int) -> list[Row]:
    """Return all that is known of one class."""
    return [Row("", f"class {class_id}"), *(Row(*row) for row in class_rows(run, class_id))]


def rows_of_classes(run: Run, i: int, j: int) -> list[Row]:
    """Return what is known of two classes, the parts of their quality left out."""
    first, second = dict(class_rows(run, i)), dict(class_rows(run, j))
    names = [name for name in {**first, **second} if name not in PARTS_OF_QUALITY]
    return [
        Row("", f"class {i}", f"class {j}"),
        *(Row(name, first.get(name, UNKNOWN), second.get(name, UNKNOWN)) for name in names),
    ]


def rows_of_pair(
    pair: PairAlignment, pose: Pose | None = None, scores: PoseScores | None = None
) -> list[Row]:
    """Return what was found for a pair, and beside it what holds at another pose.

    Parameters
    ----------
    pair : PairAlignment
        As found.
    pose : Pose, optional
        The other pose; without it the second column is empty.
    scores : PoseScores, optional
        The scores there; none where they are not known yet.
    """
    found = [
        ("score", number(pair.score, 3)),
        ("blend", number(pair.blend, 3)),
        *metric_rows(pair, pair.pixel_size),
        *_rows_of_pose(pair.pose, pair.pixel_size),
    ]
    here: dict[str, str] = {}
    if pose is not None:
        here = dict(_rows_of_pose(pose, pair.pixel_size))
    if scores is not None:
        score = float(pair_score(scores.blend, pair.weight))  # type: ignore[arg-type]
        here |= {
            "score": number(score, 3),
            "blend": number(scores.blend, 3),
            **dict(metric_rows(scores, pair.pixel_size)),
        }
    return [
        Row("", "found", "by hand" if pose else ""),
        *(Row(name, value, here.get(name, "")) for name, value in found),
        Row("weight", number(pair.weight, 3)),
        Row("p", chance(pair.p_value)),
        Row("q", chance(pair.q_value)),
        Row("same source", "yes" if pair.same_source else "no"),
    ]


def as_table(rows: Iterable[Row], widest: int) -> Table:
    """Return rows as a table: names, and two columns of at most `widest` characters."""
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for row in rows:
        style = "" if row.name else "bold"
        cells = [
            Text(_fitted(text, widest, other), style)
            for text, other in ((row.first, row.second), (row.second, row.first))
        ]
        table.add_row(Text(row.name, style="dim"), *cells)
    return table


def as_text(rows: Iterable[Row]) -> str:
    """Return rows as lines, their columns parted by tabs."""
    return "\n".join("\t".join(row).rstrip("\t") for row in rows)


def in_short(rows: Iterable[Row]) -> str:
    """Return the most telling numbers of `rows_of_pair`, a line for each column."""
    known = {row.name: row for row in rows}
    lines = []
    for column in (1, 2):
        scores = " ".join(f"{name} {known[name][column]}" for name in ("score", "NCC", "SSIM"))
        period = known["FRC 0.5"][column].partition(" =")[0]
        shift = known["shift y, x"][column].removesuffix(" px")
        pose = f"{known['rotation'][column]} {shift}"
        mirrored = "mirrored" if known["mirrored"][column] == "yes" else ""
        words = known[""][column].ljust(7), scores, period, pose, mirrored
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines if known[""].second else lines[:1])


def _fitted(text: str, length: int, other: str) -> str:
    """Return a text, or what tells it from another of another file, or its end.

    At the end stand numbers, and the number of the image in its file.
    """
    name, mark, number = text.partition(" #")
    beside = other.partition(" #")[0]
    if mark and name != beside:
        room = length - len(mark) - len(number)
        return shortened(name, room, (beside,)) + mark + number
    return text if len(text) <= length else f"…{text[1 - length :]}"


def _rows_of_pose(pose: Pose | None, pixel_size: float | None) -> list[tuple[str, str]]:
    if pose is None:
        rows = [(name, UNKNOWN) for name in ("rotation", "shift y, x", "mirrored")]
    else:
        rows = pose_rows(pose)
    if pixel_size:
        shift = UNKNOWN
        if pose is not None:
            shift = f"{pose.shift_y * pixel_size:+.1f}, {pose.shift_x * pixel_size:+.1f} Å"
        rows.insert(2, ("in Å", shift))
    return rows
