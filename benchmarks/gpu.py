"""The whole comparison on an NVIDIA card: parity with the CPU, wall, memory, and how far from it.

Work and traffic of a pair are estimates of the plain formulas as they stand: every operation of the
array library reads its arguments from the memory of the card and writes its result there. They are
set against what the same card gives a large matrix product and a plain copy.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from benchmarks.engine import as_classes, simulated
from benchmarks.measuring import Cell, Options, Table
from benchmarks.search import MAX_SHIFT, coarse_operations
from cryocorr_tui.core.analysis import CARD_SHARE
from cryocorr_tui.core.backend import Backend, choose_backends
from cryocorr_tui.core.budget import Budget
from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.metrics import BINS, SSIM_WINDOW
from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray, Settings
from cryocorr_tui.core.polar import PolarGrid, shift_lattice
from cryocorr_tui.core.preprocessing import WorkingSet, prepare
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.similarity import PairScorer, warm_up
from cryocorr_tui.core.store import RunStore

__all__ = ["Work", "run", "tables", "work_of_a_pair"]

SETTINGS = Settings(max_shift=MAX_SHIFT)
SIMULATED = 600  # pictures; larger sets are these again under fresh noise

# Per pair, counted on 1,431 pairs of simulated class averages (box 128, SNR 4).
CLIMBED = 20.9  # samplings of a quarter of the pixels while candidates are refined
THINNED = 2.4  # finalists scored on a quarter of the pixels
SETTLED = 4.2  # samplings of half of the pixels while those that stand settle
STOOD = 1.7  # finalists scored on all pixels
RINGS = 1.23  # ring correlations, those of random phases with them


def run(options: Options) -> list[Table]:
    """Measure on the first card; where there is none, say so in one line."""
    try:
        backends, _ = choose_backends("cuda")
    except DeviceError as error:
        print(f"\nNothing measured: {error} Repeat with a card: `python -m benchmarks gpu`.")
        return []
    return tables(backends[0], options)


def tables(backend: Backend, options: Options) -> list[Table]:
    """Return parity and speed on one device."""
    box, some, sizes = (32, 6, [6, 8]) if options.quick else (128, 96, [1000, 3000, 10_000])
    warm_up(backend)
    where = f"On {_name(backend)}, {datetime.now(UTC):%Y-%m-%d}."
    speed = _Speed.of(backend, 256 if options.quick else 8192)
    count = min(max(sizes), SIMULATED)
    images = simulated(views=math.ceil(count / 6), replicates=2, box=box).images[:count]
    return [
        _parity(prepare(as_classes(images[:some]), SETTINGS), backend, where),
        _scaling(images, sizes, backend, speed, where),
    ]


@dataclass(frozen=True)
class Work:
    """An estimate of what one pair costs: floating-point operations, and bytes read or written."""

    operations: float
    traffic: float


def work_of_a_pair(box: int) -> dict[str, Work]:
    """Return the estimated work of each stage for one pair.

    Parameters
    ----------
    box : int
        Working box in pixels; the mask is the default, 0.9 of it.
    """
    pixels = math.pi / 4 * (0.9 * box) ** 2
    area, width = box**2, box - SSIM_WINDOW + 1
    poses = len(shift_lattice(MAX_SHIFT)) * 2 * PolarGrid.for_box(box).rotations
    # Bytes a pixel: 2 coordinates clipped and split (80), flat index (28), 4 scattered reads (80),
    # 3 interpolations (108).
    sampling = Work(60, 300)
    sums = Work(12, 70)  # the template gathered and multiplied
    refined = pixels * (CLIMBED / 4 + SETTLED / 2)
    scored = THINNED / 4 + STOOD
    codes = Work(2 * BINS**2, 640)  # two one-hot codes a pixel, compared, converted, multiplied
    windows = Work(3 * 2 * 2 * box * width, 3 * 36 * area)  # j, j² and ij by band matrices
    elected = Work(
        pixels * (sampling.operations + codes.operations) + windows.operations + 25 * area,
        pixels * (sampling.traffic + codes.traffic + 90) + windows.traffic + 290 * area,
    )
    half_plane = box * (box // 2 + 1)
    transform = 5 * area * math.log2(area) / 2
    ring = Work(
        pixels * sampling.operations + transform + 2 * 3 * half_plane * (box // 2 + 1),
        pixels * (sampling.traffic + 12) + 40 * area + 140 * half_plane,
    )
    return {
        # Products written and read; correlations written, added, stacked, and reduced over shifts.
        "coarse search": Work(coarse_operations(box), 4 * (2 + 10) * poses),
        "refinement": Work(
            refined * (sampling.operations + sums.operations),
            refined * (sampling.traffic + sums.traffic),
        ),
        "election": Work(scored * elected.operations, scored * elected.traffic),
        "FRC": Work(RINGS * ring.operations, RINGS * ring.traffic),
    }


@dataclass(frozen=True)
class _Speed:
    """What a card gives plain work: operations a second of a product, bytes a second of a copy."""

    product: float
    copy: float

    @classmethod
    def of(cls, backend: Backend, side: int) -> _Speed:
        values = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
        with backend.current():
            there = backend.to_device(values)
            xp = array_namespace(there)
            product = _seconds(lambda: there @ there, backend)
            copy = _seconds(lambda: xp.asarray(there, copy=True), backend)
        return cls(2.0 * side**3 / product, 2.0 * values.nbytes / copy)


def _seconds(work: Callable[[], Any], backend: Backend) -> float:
    """Return the least time of five of some work, waiting for its end by reading one number."""
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        backend.to_host(work()[:1, :1])
        best = min(best, time.perf_counter() - began)
    return best


def _parity(working: WorkingSet, backend: Backend, where: str) -> Table:
    """Compare all fields of all pairs with those of the CPU."""
    every = slice(0, len(working.images))
    host, card = (
        PairScorer(working, SETTINGS, on, memory=CARD_SHARE * on.memory().free).score(every, every)
        for on in (Backend("cpu"), backend)
    )
    scored = np.isfinite(host[0])
    difference = np.abs(card - host)[:, scored]
    turn = PAIR_FIELDS.index("rotation_deg")
    difference[turn] = np.minimum(difference[turn], 360 - difference[turn])
    rows: list[tuple[Cell, ...]] = [
        (name, *(float(np.quantile(values, part)) for part in (0.5, 0.99, 1.0)))
        for name, values in zip(PAIR_FIELDS, difference, strict=True)
    ]
    other = float(np.mean((difference[turn] > 1) | (difference[-1] > 0)))
    return Table(
        f"CPU and card, {scored.sum():,} pairs",
        ("difference of", "median", "99 %", "largest"),
        tuple(rows),
        (where, f"Another pose was elected in {100 * other:.2f} % of the pairs."),
    )


def _scaling(
    images: FloatArray, sizes: list[int], backend: Backend, speed: _Speed, where: str
) -> Table:
    """Score all pairs of ever larger sets, until the store is complete."""
    work = work_of_a_pair(images.shape[-1])
    operations = sum(stage.operations for stage in work.values())
    traffic = sum(stage.traffic for stage in work.values())
    rows: list[tuple[Cell, ...]] = []
    for n in sizes:
        working = prepare(as_classes(_many(images, n)), SETTINGS)
        began = time.perf_counter()
        _store_all(working, backend)
        wall = time.perf_counter() - began
        peak = backend.memory().peak
        backend.release()
        rate = n * (n - 1) / 2 / wall
        rows.append(
            (
                n, wall, rate, rate * operations / 1e12, 100 * rate * operations / speed.product,
                rate * traffic / 1e9, 100 * rate * traffic / speed.copy, peak / 1e9,
            )
        )  # fmt: skip
    stages = "; ".join(
        f"{name} {stage.operations / 1e6:.1f} MFLOP, {stage.traffic / 1e6:.1f} MB"
        for name, stage in work.items()
    )
    return Table(
        f"All pairs at {images.shape[-1]}², until the store is complete",
        (
            "class averages", "wall s", "pairs/s", "TFLOP/s", "% of a product",
            "GB/s", "% of a copy", "peak GB",
        ),
        tuple(rows),
        (
            f"{where} It gives a product {speed.product / 1e12:.1f} TFLOP/s and a copy "
            f"{speed.copy / 1e9:,.0f} GB/s (reads and writes).",
            f"Estimated work of a pair: {stages}.",
        ),
    )  # fmt: skip


def _many(images: FloatArray, n: int) -> FloatArray:
    """Return n pictures: the simulated ones again and again, each under noise of its own."""
    again = np.resize(np.arange(len(images)), n)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n, *images.shape[1:]), dtype=np.float32)
    return np.asarray(images[again] + 0.1 * images.std() * noise)


def _store_all(working: WorkingSet, backend: Backend) -> None:
    n, memory = len(working.images), CARD_SHARE * backend.memory().free
    tile = Budget.of(working, memory, on_card=not backend.is_host).tile(n)
    with (
        tempfile.TemporaryDirectory() as folder,
        RunStore.create(folder, n=n, tile=tile, fingerprint="", manifest={}) as store,
    ):
        scored = score_tiles(
            store.tiles(), [backend], lambda on: PairScorer(working, SETTINGS, on, memory=memory)
        )
        for at, block in scored:
            store.write(at, block)


def _name(backend: Backend) -> str:
    """Return the name of a card as its driver tells it."""
    if not backend.is_cuda:
        return backend.name
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(backend.name.partition(":")[2]))
        return f"{pynvml.nvmlDeviceGetName(handle)} ({backend.name})"
    finally:
        pynvml.nvmlShutdown()
