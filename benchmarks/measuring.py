"""How everything here is measured and told: costs of a call in a process of its own, tables."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from benchmarks.peak_memory import peak_memory
from cryocorr_tui.core.backend import Backend, usable_cpus
from cryocorr_tui.core.similarity import warm_up

__all__ = ["Cell", "Measured", "Options", "Table", "machine", "measured", "sgemm_rate"]

T = TypeVar("T")
Cell = str | int | float


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes
    ----------
    quick : bool
        Tiny sizes: shows that everything runs, the figures mean nothing.
    large : bool
        Also what takes minutes: N = 1000.
    data : Path or None
        Folder of real ``stacks``, ``montages`` and ``dic``.
    plots : Path or None
        Folder for plots, where a measurement has some.
    """

    quick: bool = False
    large: bool = False
    data: Path | None = None
    plots: Path | None = None


@dataclass(frozen=True)
class Table:
    """A table of results; numbers are kept as numbers until they are printed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the table as Markdown, numbers to four digits."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "|".join(["---"] + ["--:"] * (len(self.columns) - 1)) + "|")
        lines += ["| " + " | ".join(map(_printed, row)) + " |" for row in self.rows]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What a call returned and what it cost.

    Attributes
    ----------
    result
    wall, cpu : float
        Seconds; `cpu` is summed over all threads.
    peak : float
        GB resident at most in the whole life of the process, interpreter and libraries included.
    """

    result: T
    wall: float
    cpu: float
    peak: float


def measured(function: Callable[[], T], options: Options) -> Measured[T]:
    """Call a function, kernels compiled beforehand, and tell what it costs.

    It is called in a fresh process, so it must be a function of a module or a `partial` of one;
    with ``options.quick`` in this one.
    """
    if options.quick:
        return _measure(function)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, function).result()


def sgemm_rate(side: int = 1536) -> float:
    """Return the floating-point operations a second of a large single-precision product here."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, side, side), dtype=np.float32)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2.0 * side**3 / min(seconds)


def machine() -> str:
    """Return one line on what the figures were measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "scipy"))
    return (
        f"{_processor()}, {usable_cpus()} cores; {platform.system()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _measure(function: Callable[[], T]) -> Measured[T]:
    warm_up(Backend("cpu"))
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Measured(result, wall, cpu, peak_memory())


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.machine()


def _printed(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else cell
