"""What a run found, as text: counts, the best pairs, where the tables are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from cryocorr_tui.core.analysis import AnalysisFinished
from cryocorr_tui.core.words import counted

__all__ = ["print_summary"]

BEST_PAIRS = 8

Row = dict[str, str]


def print_summary(console: Console, run: AnalysisFinished, *, truth: Path, seconds: float) -> None:
    """Print the summary of a run over a stack with known truth and other pictures.

    Parameters
    ----------
    console : Console
        Where to print.
    run : AnalysisFinished
        The run; its tables are read.
    truth : Path
        Table of what each class of the run's first source shows: ``class_id, structure, view``.
    seconds : float
        How long the run took.
    """
    classes = {row["class_id"]: row for row in _rows(run.folder / "classes.csv")}
    pairs = [row for row in _rows(run.folder / "pairs.csv") if row["score"]]
    pairs.sort(key=lambda row: -float(row["score"]))
    sources = list(dict.fromkeys(row["source"] for row in classes.values()))
    first = Path(sources[0]).name
    within = [
        row
        for row in pairs
        if classes[row["i"]]["source"] == classes[row["j"]]["source"] == sources[0]
    ]
    between = [row for row in pairs if row["same_source"] == "false"]

    console.print(
        f"{counted(run.classes, 'class average')} of {counted(len(sources), 'source')}, "
        f"{counted(run.pairs, 'pair')}, {counted(run.groups, 'group')}, {seconds:.1f} s"
    )
    console.print(_pair_table(f"Best pairs of one source, {first}", within[:BEST_PAIRS]))
    console.print(_pair_table("Best pairs of two sources", between[:BEST_PAIRS]))
    console.print(f"{_against_truth(within, classes, truth, first)}\n")
    console.print("Tables", style="heading")
    for path in run.tables:
        console.print(f"  {path}")


def _pair_table(title: str, pairs: Sequence[Row]) -> Table:
    table = Table(title=title, title_style="heading", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("i", "j", "score", "ncc", "ssim", "rotation", "shift y", "shift x"):
        table.add_column(heading, justify="right")
    table.add_column("mirrored")
    for pair in pairs:
        table.add_row(
            pair["i"],
            pair["j"],
            f"{float(pair['score']):.3f}",
            f"{float(pair['ncc']):.3f}",
            f"{float(pair['ssim']):.3f}",
            f"{round(float(pair['rotation_deg']), 1) % 360:.1f}°",
            _shift(pair["shift_y_px"]),
            _shift(pair["shift_x_px"]),
            "yes" if pair["mirrored"] == "true" else "no",
        )
    return table


def _shift(pixels: str) -> str:
    return f"{round(float(pixels), 1) + 0.0:+.1f} px"  # + 0.0 makes a zero of −0.0


def _against_truth(within: Sequence[Row], classes: dict[str, Row], truth: Path, source: str) -> str:
    """Return how many of the pairs that show the same view are among the best as many.

    `within` are the pairs of the source with known truth, best first.
    """
    views = {
        row["class_id"]: (row["structure"], row["view"]) for row in _rows(truth) if row["view"]
    }
    shown = {class_id: views.get(row["source_index"]) for class_id, row in classes.items()}
    same = [
        shown[pair["i"]] is not None and shown[pair["i"]] == shown[pair["j"]] for pair in within
    ]
    best = same[: sum(same)]
    return (
        f"{sum(same)} pairs of {source} show the same view; "
        f"{sum(best)} of them are its {sum(same)} best pairs."
    )


def _rows(table: Path) -> list[Row]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
