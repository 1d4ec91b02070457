"""All pairs of N class averages: wall, CPU, memory, and how far that is from the floor.

The floor is the time that the matrix products of the coarse search would take at the rate of one
large single-precision product on the same machine, measured in the same minute.
"""

from __future__ import annotations

import math
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from benchmarks.engine import FIELD, as_classes, score_all, simulated
from benchmarks.measuring import Cell, Measured, Options, Table, measured, sgemm_rate
from cryocorr_tui.core.analysis import analyze
from cryocorr_tui.core.events import StageStarted, TileScored
from cryocorr_tui.core.model import FloatArray, Settings
from cryocorr_tui.core.polar import PolarGrid, shift_lattice
from cryocorr_tui.core.time_left import Pace, share_of

__all__ = ["run"]

MAX_SHIFT = 4.0  # working pixels: 49 shifts
COLUMNS = (
    "all pairs of",
    "wall s",
    "CPU s",
    "peak GB",
    "wall µs/pair",
    "CPU µs/pair",
    "million poses/s",
    "floor s",
    "wall/floor",
)


def run(options: Options) -> list[Table]:
    """Measure the pairs alone at two sizes, and a whole run of ``analyze``."""
    box, sizes = (32, [6, 12]) if options.quick else (128, [150, 300])
    images = simulated(views=max(sizes) // 6, replicates=2, box=box).images
    rate = measured(partial(sgemm_rate, 256 if options.quick else 1536), options).result
    pairs = [_pairs(images[:n], rate, options) for n in sizes]
    whole = measured(partial(_analyze, images), options)
    rows = [row for row, _ in pairs]
    rows.append(_row(f"{sizes[-1]} of {box}², whole `analyze`", whole, len(images), box, rate))
    if options.large:
        rows += _large(rate, options)
    growth = math.log2(pairs[1][1].wall / pairs[0][1].wall)
    search_space = (
        f"{len(shift_lattice(MAX_SHIFT))} shifts × {PolarGrid.for_box(box).rotations} rotations × "
        "2 mirror states, refined; NCC, SSIM, NMI, blend and FRC."
    )
    return [
        Table(
            "The search",
            COLUMNS,
            tuple(rows),
            (
                f"Per pair: {search_space}",
                f"From N = {sizes[0]} to {sizes[1]} the wall time grows as N^{growth:.2f}. "
                f"Floor: {rate / 1e9:,.0f} GFLOP/s measured. The time left that `analyze` tells "
                f"after the first tenth of the pairs: {whole.result[0]:+.0%} off, in CPU time "
                f"{whole.result[1]:+.0%}.",
            ),
        )
    ]


def coarse_operations(box: int) -> float:
    """Return the floating-point operations of one pair in the products of the coarse search.

    For each shift, real and imaginary part of either side are multiplied over the rings for every
    order, and the products by a matrix from orders to half the rotations.
    """
    grid = PolarGrid.for_box(box)
    orders, angles = grid.rotations // 2 + 1, grid.rotations // 2
    over_rings = 2 * 4 * orders * grid.rings
    over_orders = 2 * 2 * angles * 2 * orders
    return float(len(shift_lattice(MAX_SHIFT)) * (over_rings + over_orders))


def _pairs(
    images: FloatArray, rate: float, options: Options
) -> tuple[tuple[Cell, ...], Measured[None]]:
    n, box = images.shape[:2]
    cost = measured(partial(_score_all, images), options)
    return _row(f"{n} of {box}²", cost, n, box, rate), cost


def _large(rate: float, options: Options) -> list[tuple[Cell, ...]]:
    rows = []
    for box in (64, 96, 128):
        images = simulated(views=167, replicates=2, box=box).images[:1000]
        rows.append(_pairs(images, rate, options)[0])
    return rows


def _row(name: str, cost: Measured[Any], n: int, box: int, rate: float) -> tuple[Cell, ...]:
    pairs = n * (n - 1) / 2
    poses = pairs * len(shift_lattice(MAX_SHIFT)) * PolarGrid.for_box(box).rotations * 2
    floor = pairs * coarse_operations(box) / rate
    return (
        name,
        cost.wall,
        cost.cpu,
        cost.peak,
        cost.wall / pairs * 1e6,
        cost.cpu / pairs * 1e6,
        poses / cost.wall / 1e6,
        floor,
        cost.wall / floor,
    )


def _score_all(images: FloatArray) -> None:
    score_all(as_classes(images), Settings(max_shift=MAX_SHIFT))


def _analyze(images: FloatArray) -> tuple[float, float]:
    """Read, prepare, score, group and write every table, as the command does.

    Returns
    -------
    wall, cpu : float
        How far the time left that is told after the first tenth of the pairs was off, relative to
        what it took then.
    """
    with tempfile.TemporaryDirectory() as folder:
        stack = Path(folder) / "classes.mrcs"
        with mrcfile.new(stack, data=images) as mrc:
            mrc.set_image_stack()
            mrc.voxel_size = FIELD / images.shape[-1]
        events = analyze([stack], Path(folder) / "run", Settings(device="cpu", max_shift=MAX_SHIFT))
        paces = [Pace(clock) for clock in _now()]
        told = tenth = ended = _now()
        share = 0.0
        for event in events:
            if isinstance(event, StageStarted) and event.stage == "comparing pairs":
                paces = [Pace(clock) for clock in _now()]
            elif isinstance(event, TileScored):
                ended = _now()
                if share < 0.1:
                    share = share_of(event.share, event.done, event.total)
                    paces = [p.after(now, share) for p, now in zip(paces, ended, strict=True)]
                    tenth = ended
                    told = np.array(
                        [p.seconds_left(now, share) for p, now in zip(paces, ended, strict=True)]
                    )
    rest = ended - tenth
    wall, cpu = np.divide(told, rest, out=np.full(2, np.nan), where=rest > 0) - 1
    return float(wall), float(cpu)


def _now() -> NDArray[np.float64]:
    """Return seconds by the wall clock, and of CPU time."""
    return np.array([time.perf_counter(), time.process_time()])
