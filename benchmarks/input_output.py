"""What surrounds the search: starting, reading, finding squares, quality."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measuring import Options, Table
from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.model import Montage
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.quality import score_quality
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.resources import sample_data

__all__ = ["run"]


def run(options: Options) -> list[Table]:
    """Time each of them five times (quick: once) and return the medians."""
    repeats = 1 if options.quick else 5
    n, box = (4, 32) if options.quick else (300, 128)
    images = np.random.default_rng(0).standard_normal((n, box, box), dtype=np.float32)
    mask, contrast = disc_mask(box, 0.9 * box), np.ones(n, dtype=np.int8)
    stack = sample_data() / "class_averages.mrcs"
    montages = {path.name: read(path) for path in sorted(sample_data().glob("montage_*.png"))}
    steps: dict[str, Callable[[], object]] = {
        "`cryocorr --version`, from the shell": _version,
        "reading the sample stack (60 of 88²)": lambda: read(stack),
        f"quality of {n} of {box}²": lambda: score_quality(images, mask=mask, contrast=contrast),
    }
    for name, montage in montages.items():
        if isinstance(montage, Montage):
            steps[f"squares of {name}"] = partial(detect_squares, montage)
    rows = tuple((name, _median_seconds(step, repeats)) for name, step in steps.items())
    return [Table("Around the search", ("", f"wall s, median of {repeats}"), rows)]


def _median_seconds(step: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _version() -> None:
    command = Path(sys.executable).with_name("cryocorr")
    subprocess.run([command, "--version"], check=True, capture_output=True)
