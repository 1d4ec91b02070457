"""Squares found in real and in drawn montages, false squares in them and in other pictures.

A square is found where a box overlaps it by IoU ≥ 0.8; a box that overlaps none so well is false.
Squares that the edge of the picture cuts count for nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn_montages import KINDS, NEGATIVES, DrawnMontage, draw_montage, draw_negative
from benchmarks.measuring import Options, Table
from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Montage, Stack
from cryocorr_tui.core.readers import read

__all__ = ["Score", "run", "score_boxes"]

OVERLAP = 0.8
PICTURES_PER_KIND = 8
STACKS = ("pom152_wt_hdf", "eman2_hdf_multi")
COLUMNS = ("pictures", "squares", "found", "found %", "false", "worst side px", "seconds")


@dataclass(frozen=True)
class Score:
    """What was found in one or more pictures; `worst_side` is in pixels, `seconds` of CPU."""

    pictures: int = 0
    squares: int = 0
    found: int = 0
    false: int = 0
    worst_side: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.pictures + other.pictures,
            self.squares + other.squares,
            self.found + other.found,
            self.false + other.false,
            max(self.worst_side, other.worst_side),
            max(self.seconds, other.seconds),
        )

    def row(self, name: str) -> tuple[str | int | float, ...]:
        """Return a row of a table."""
        share = 100.0 * self.found / self.squares if self.squares else "–"
        return (
            *(name, self.pictures, self.squares, self.found, share, self.false),
            *(self.worst_side, self.seconds),
        )


def run(options: Options) -> list[Table]:
    """Return tables for real montages, drawn ones, other pictures, and the cost of large ones."""
    pictures = 1 if options.quick else PICTURES_PER_KIND
    real = list(_real_class_averages(options.data)) if options.data else []
    tables = [
        _table(
            "Drawn montages", KINDS, pictures, lambda kind, rng: draw_montage(kind, rng, real=real)
        ),
        _table("Pictures without a grid", NEGATIVES, pictures, _without_squares),
        _cost(quick=options.quick),
    ]
    if options.data:
        tables.insert(0, _real_montages(options.data / "montages"))
    return tables


def score_boxes(truth: NDArray[np.float64], boxes: NDArray[np.float64]) -> Score:
    """Match (n, 4) boxes x0, y0, x1, y1 with the true ones."""
    if not len(truth) or not len(boxes):
        return Score(1, len(truth), 0, len(boxes))
    low = np.maximum(truth[:, None, :2], boxes[None, :, :2])
    high = np.minimum(truth[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (truth, boxes)]
    overlap = shared / (area[0][:, None] + area[1][None] - shared)
    found = overlap.max(axis=1) >= OVERLAP
    off = np.abs(truth - boxes[overlap.argmax(axis=1)])[found]
    false = int((overlap.max(axis=0) < OVERLAP).sum())
    return Score(1, len(truth), int(found.sum()), false, float(off.max(initial=0.0)))


def _detected(name: str, picture: NDArray[np.generic], truth: NDArray[np.float64]) -> Score:
    began = time.process_time()
    try:
        squares = detect_squares(Montage(name, picture)).squares
    except NoSquaresError:
        squares = ()
    seconds = time.process_time() - began
    corners = [(s.x, s.y, s.x + s.width, s.y + s.height) for s in squares if not s.cut]
    score = score_boxes(truth, np.array(corners, np.float64).reshape(-1, 4))
    return score + Score(seconds=seconds)


def _table(
    title: str,
    kinds: Sequence[str],
    pictures: int,
    draw: Callable[[str, np.random.Generator], DrawnMontage],
) -> Table:
    rows, total = [], Score()
    for number, kind in enumerate(kinds):
        score = Score()
        for seed in range(pictures):
            drawn = draw(kind, np.random.default_rng([number, seed]))
            score += _detected(kind, drawn.picture, drawn.boxes)
        rows.append(score.row(kind))
        total += score
    rows.append(total.row("all"))
    return Table(title, ("kind", *COLUMNS), tuple(rows))


def _without_squares(kind: str, rng: np.random.Generator) -> DrawnMontage:
    return DrawnMontage(draw_negative(kind, rng), np.empty((0, 4)))


def _real_montages(folder: Path) -> Table:
    rows, total = [], Score()
    for name, facts in json.loads((folder / "squares.json").read_text()).items():
        source = read(folder / name)
        if not isinstance(source, Montage):
            raise ValueError(f"expected a picture, received a stack in {name}")
        score = _detected(name, source.picture, np.array(facts["boxes"], np.float64))
        rows.append(score.row(name))
        total += score
    return Table("Real montages", ("picture", *COLUMNS), (*rows, total.row("all")))


def _real_class_averages(folder: Path) -> Iterator[NDArray[np.float32]]:
    for stack in STACKS:
        for path in sorted((folder / "stacks" / stack).glob("*.hdf")):
            source = read(path)
            if isinstance(source, Stack):
                yield from source.images


def _cost(*, quick: bool) -> Table:
    """Return one-core time and memory for a screenshot and for a picture of 24 megapixels.

    Memory is that of a process that reads the picture and finds its squares, then of all of
    ``cryocorr detect``.
    """
    drawn = draw_montage("text, bars, selections", np.random.default_rng(0))
    rows: list[tuple[str | float, ...]] = []
    for width, height in ((300, 200),) if quick else ((2650, 1400), (6000, 4000)):
        picture = _laid_on_page(drawn.picture, width, height)
        peaks = [1000 * peak for peak in _peaks(picture).values()]
        rows.append((f"{width} × {height}", _seconds_on_one_core(picture), *peaks))
    columns = ("picture", "CPU seconds", "MB at most: imports", "reading", "detection", "command")
    return Table("Cost of detection on one core", columns, tuple(rows))


def _seconds_on_one_core(picture: NDArray[np.uint8]) -> float:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return min(_detected("large", picture, np.empty((0, 4))).seconds for _ in range(3))
    finally:
        cv2.setNumThreads(threads)


def _peaks(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Return the peaks of memory in GB that `benchmarks.detection_memory` prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        command = [sys.executable, "-m", "benchmarks.detection_memory", str(path)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    peaks: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # the command names files
    return peaks


def _laid_on_page(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture to fit a white page of a size, as a window on a screen."""
    factor = 0.9 * min(height / picture.shape[0], width / picture.shape[1])
    scaled = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    page = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - scaled.shape[0]) // 2, (width - scaled.shape[1]) // 2
    page[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return page
