"""Memory of a run under ``--memory``, with many more pictures than it has room for.

A run over pictures of noise is stopped after its first tiles. What is told is memory that no file
backs: the system can take the other back at any time.
"""

from __future__ import annotations

import re
import tempfile
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import mrcfile
import numpy as np

from benchmarks.measuring import Cell, Options, Table, measured
from cryocorr_tui.core.analysis import analyze
from cryocorr_tui.core.events import TileScored
from cryocorr_tui.core.model import Settings

__all__ = ["run"]

TILES = 60  # by then memory has long been level
EVERY = 0.01  # seconds
AT_ONCE = 1000  # pictures written


def run(options: Options) -> list[Table]:
    """Measure runs with little memory."""
    cases = [(60, 32, 0.3)] if options.quick else [(4000, 64, 0.5), (4000, 128, 1.0)]
    if options.large:
        cases += [(20_000, 64, 0.5), (20_000, 128, 1.0)]
    rows: list[tuple[Cell, ...]] = []
    for n, box, memory in cases:
        with tempfile.TemporaryDirectory() as folder:
            peak = measured(partial(_peak_of_run, Path(folder), n, box, memory), options).result
            rows.append((f"{n:,}", box, 4 * n * box**2 / 1e9, memory, peak))
    return [
        Table(
            "In a run, with --memory",
            ("classes", "box", "their pictures, GB", "--memory, GB", "peak beside files, GB"),
            tuple(rows),
            (
                f"Until {TILES} tiles are scored; imports included. The pictures as they were read "
                "and as they are compared lie in files where they are many.",
            ),
        )
    ]


def _peak_of_run(folder: Path, n: int, box: int, memory: float) -> float:
    """Return the GB without a file that a run holds at most."""
    stack = folder / "noise.mrcs"
    _write_noise(stack, n, box)
    with _Watch() as watch:
        tiles = 0
        with closing(analyze([stack], folder / "run", Settings(memory=memory))) as events:  # type: ignore[type-var]
            for event in events:
                tiles += isinstance(event, TileScored)
                if tiles == TILES:
                    break
    return watch.peak


def _write_noise(path: Path, n: int, box: int) -> None:
    rng = np.random.default_rng(0)
    with mrcfile.new_mmap(path, shape=(n, box, box), mrc_mode=2) as file:
        for start in range(0, n, AT_ONCE):
            part = file.data[start : start + AT_ONCE]
            part[:] = rng.standard_normal(part.shape, dtype=np.float32)


class _Watch:
    """Looks again and again how much memory without a file this process holds, in GB.

    Only Linux tells; elsewhere ``peak`` is NaN.
    """

    def __init__(self) -> None:
        self._status = Path("/proc/self/status")
        self.peak = 0.0 if self._status.exists() else float("nan")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while self._status.exists() and not self._over.wait(EVERY):
            found = re.search(r"RssAnon:\s+(\d+) kB", self._status.read_text())
            if found is not None:
                self.peak = max(self.peak, int(found[1]) * 1024 / 1e9)
