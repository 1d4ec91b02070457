"""The app in a terminal: how soon it paints, how soon it answers, how much it sends."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import mrcfile
import numpy as np

from benchmarks.measuring import Cell, Options, Table
from benchmarks.terminal import Program
from cryocorr_tui.core.analysis import Event, RunOpened, analyze
from cryocorr_tui.core.model import PAIR_FIELDS, Settings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.run import Run

__all__ = ["run"]

GROUPS = 40
WATCHED = 10.0  # seconds of an idle app
BLOCKS = ("--graphics", "blocks")


def run(options: Options) -> list[Table]:
    """Return the tables of start, keys, idleness, and of keys while a run goes on."""
    classes = 60 if options.quick else 5000
    with TemporaryDirectory() as name:
        folder = Path(name)
        forge_run(folder / "run", classes)
        return [
            _start(folder, 1 if options.quick else 5),
            _keys(folder, classes, quick=options.quick),
            _while_running(folder, quick=options.quick),
        ]


def forge_run(folder: Path, classes: int) -> None:
    """Put a run of noise into `folder`, all of whose pairs have drawn scores."""
    rng = np.random.default_rng(0)
    stack = folder.with_suffix(".mrcs")
    with mrcfile.new(stack) as file:
        file.set_data(rng.standard_normal((classes, 16, 16)).astype(np.float32))
        file.set_image_stack()
    folder.mkdir()
    events = cast("Generator[Event]", analyze([stack], folder, Settings(box=16), write=False))
    with contextlib.closing(events):
        opened = next(event for event in events if isinstance(event, RunOpened))
        _fill(opened.run, rng)


def _fill(run: Run, rng: np.random.Generator) -> None:
    group = rng.integers(0, GROUPS, run.store.n)
    for tile in run.store.tiles():
        same = group[tile.rows, np.newaxis] == group[tile.cols]
        block = np.zeros((len(PAIR_FIELDS), *same.shape), dtype=np.float32)
        block[:4] = np.clip(rng.normal(0.3, 0.05, same.shape) + 0.4 * same, 0, 1)
        block[PAIR_FIELDS.index("frc_resolution_px")] = 8
        run.store.write(tile, block)


def _start(folder: Path, times: int) -> Table:
    version = min(
        _seconds_of(
            [sys.executable, "-c", "from cryocorr_tui.cli import main; main()", "--version"], times
        )
    )
    first = []
    for _ in range(times):
        with Program(["app", *BLOCKS], folder) as program:
            first.append(program.until("1 Files"))
            program.listen(1.0)
    with Program(["app", *BLOCKS], folder) as program:
        program.until("1 Files")
        program.listen(3.0)
        before, sent = program.cpu(), program.listen(WATCHED)
        busy = (program.cpu() - before) / WATCHED
        memory = program.memory()
    rows: list[tuple[Cell, ...]] = [
        ("`cryocorr --version`, s", version),
        ("start to first frame, s", min(first)),
        ("idle: cores busy (with the meter)", busy),
        ("idle: bytes a second", sent / WATCHED),
        ("idle: memory, GB", memory),
    ]
    return Table("App: start", ("what", "measured"), tuple(rows), ("Shortest of several starts.",))


def _seconds_of(command: list[str], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return seconds


def _keys(folder: Path, classes: int, *, quick: bool) -> Table:
    count = 2 if quick else 40
    presses = [
        ("right, left", "whole", count),
        ("down, up", "whole", count),
        ("plus", "nearer", 3),
        ("right, left", "nearer", count),
        ("down, up", "nearer", count),
        ("page down, page up", "nearer", 2 if quick else 8),
        ("o", "nearer", 2),
    ]
    with Program(["app", "run", *BLOCKS], folder) as program:
        program.until("row ")
        _until_quiet(program)
        rows = [row for press in presses if (row := _row(program, *press))]
        memory = program.memory()
    return Table(
        f"App: keys in the heatmap of {classes} classes",
        ("key", "median, ms", "95 %, ms", "most, ms", "median bytes"),
        tuple(rows),
        (f"From the key to the last byte of the new frame, 160×48; {memory:.2f} GB at the end.",),
    )


def _until_quiet(program: Program) -> None:
    """Wait until a run that is opened has nothing left to do."""
    while True:
        before = program.cpu()
        program.listen(3.0)
        if program.cpu() - before < 0.3:
            return


def _row(program: Program, key: str, zoom: str, count: int) -> tuple[Cell, ...]:
    """Return the times of keys pressed in turn; nothing where they change nothing."""
    turns = itertools.islice(itertools.cycle(key.split(", ")), count)
    answers = [answer for each in turns if (answer := program.answer(each))[1]]
    if not answers:
        return ()
    times = sorted(1000 * seconds for seconds, _ in answers)
    high = times[int(np.ceil(0.95 * len(times))) - 1]
    sent = statistics.median(sent for _, sent in answers)
    return f"{key} ({zoom})", statistics.median(times), high, times[-1], sent


def _while_running(folder: Path, *, quick: bool) -> Table:
    """Press arrows while both cores compare pairs."""
    stack = sample_data() / "class_averages.mrcs"
    with Program(["app", str(stack), "-o", "fresh", *BLOCKS], folder) as program:
        program.until("1 Files")
        program.listen(1.0)
        program.press("r")
        program.until("comparing pairs")
        rows = [
            _row(program, keys, "running", 3 if quick else 30)
            for keys in ("right, left", "down, up")
        ]
    return Table(
        "App: keys while a run goes on",
        ("key", "median, ms", "95 %, ms", "most, ms", "median bytes"),
        tuple(rows),
        ("60 classes of 88 px; every core is busy with pairs.",),
    )
