"""Memory of everything that comes after the search, at sizes whose search would take hours.

A store is filled with made-up pairs and read as a run reads it: the null and the q-values, the
table of pairs, the matrix; all of it in a process of its own, so that its peak can be measured.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measuring import Cell, Options, Table, measured
from cryocorr_tui.core.export import write_matrix, write_pairs
from cryocorr_tui.core.files import STORE_NAME
from cryocorr_tui.core.grouping import BYTES_PER_PAIR, group_classes
from cryocorr_tui.core.model import PAIR_FIELDS, ClassAverage, FloatArray, frozen_array
from cryocorr_tui.core.preprocessing import WorkingSet, disc_mask
from cryocorr_tui.core.significance import Null
from cryocorr_tui.core.store import RunStore, Tile
from cryocorr_tui.core.survey import Survey, begin_survey, count_pairs

__all__ = ["fill", "peak_of_survey", "run"]

BOX = 16
TILE = 32
LARGEST_GROUPED = 3000
DIFFERENT = 32  # tiles; the others are links to these, which costs neither time nor disk


def run(options: Options) -> list[Table]:
    """Measure the steps after the search."""
    sizes = [64] if options.quick else [3000, 20_000] if options.large else [1000, 3000]
    idle = measured(_nothing, options).peak
    rows: list[tuple[Cell, ...]] = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), n)
            cost = measured(partial(_tables, Path(folder)), options)
            rows.append((f"{n:,}", *cost.result, cost.peak, cost.peak - idle))
    grouped = min(sizes[-1], LARGEST_GROUPED)
    groups = measured(partial(_group, grouped), options)
    pairs = grouped * (grouped - 1) / 2
    return [
        Table(
            "After the search",
            (
                "classes",
                "null and q-values, wall s",
                "pairs.csv, wall s",
                "matrix.csv, wall s",
                "peak GB",
                "peak GB beyond imports",
            ),
            tuple(rows),
            (
                f"Tiles of {TILE} × {TILE} pairs; all {len(PAIR_FIELDS)} fields are read.",
                f"Groups of {grouped:,} take {(groups.peak - idle) / pairs * 1e9:.0f} bytes a "
                f"pair at the peak; a run reckons with {BYTES_PER_PAIR}.",
            ),
        )
    ]


def fill(folder: Path, n: int, *, tile: int = TILE) -> None:
    """Make a finished store of n classes in `folder`: blends as unrelated pairs have, no search."""
    rng = np.random.default_rng(0)
    with RunStore.create(folder, n=n, tile=tile, fingerprint="made up", manifest={}) as store:
        whole: list[Path] = []
        for each in store.tiles():
            height, width = each.rows.stop - each.rows.start, each.cols.stop - each.cols.start
            off_diagonal = each.row != each.col and height == width == tile
            if off_diagonal and len(whole) == DIFFERENT:
                _link(whole[(each.row * 7 + each.col) % DIFFERENT], _chunk(folder, each))
                continue
            store.write(each, _made_up(rng, height, width))
            if off_diagonal:
                whole.append(_chunk(folder, each))


def _chunk(folder: Path, tile: Tile) -> Path:
    return folder / STORE_NAME / "pairs" / "c" / "0" / str(tile.row) / str(tile.col)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def _made_up(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    block = rng.random((len(PAIR_FIELDS), height, width), dtype=np.float32)
    block[0] = np.tanh(rng.normal(0.3, 0.08, (height, width)))
    return block


def _working(n: int) -> WorkingSet:
    return WorkingSet(
        images=frozen_array(np.zeros((n, BOX, BOX))),
        mask=disc_mask(BOX, 0.9 * BOX),
        scale=np.ones(n),
        pixel_size=None,
        contrast=np.ones(n, dtype=np.int8),
        reasons=("",) * n,
        max_shift=4.0,
    )


def _nothing() -> None:
    """Only what is imported."""


def peak_of_survey(folder: Path) -> tuple[float, float]:
    """Return the peak memory in GB before and after the null and the q-values are made."""
    before = measured(_nothing, Options(quick=True)).peak
    with RunStore.open(folder, read_only=True) as store:
        after = measured(partial(_surveyed, store), Options(quick=True)).peak
    return before, after


def _tables(folder: Path) -> tuple[float, float, float]:
    """Do what a run does after the search, but for groups; return the seconds of each step."""
    marks = [time.perf_counter()]
    image = frozen_array(np.zeros((BOX, BOX)))
    with RunStore.open(folder, read_only=True) as store:
        classes = [ClassAverage(k, "made up", k, image) for k in range(store.n)]
        quality = np.ones(store.n, dtype=np.float32)
        found = _surveyed(store)
        marks.append(time.perf_counter())
        write_pairs(
            folder / "pairs.csv",
            store,
            classes,
            quality=quality,
            quality_weight=1.0,
            chance=found.chance,
        )
        marks.append(time.perf_counter())
        write_matrix(folder / "matrix.csv", store, quality=quality, quality_weight=1.0)
        marks.append(time.perf_counter())
    first, second, third = np.diff(marks).tolist()
    return first, second, third


def _surveyed(store: RunStore) -> Survey:
    found = begin_survey(store)
    for _ in count_pairs(store, _working(store.n), found):
        pass
    return found


def _group(n: int) -> None:
    upper = np.triu(np.random.default_rng(0).random((n, n), dtype=np.float32), k=1)
    upper += upper.T
    null = Null(location=0.3, scale=0.08, levels=np.zeros(n), pairs=upper.size)
    group_classes(upper, null=null)
