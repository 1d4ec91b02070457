"""Real processes: killed at any moment, two at once, with one core and with all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from class_average_forge import particles, write_stack


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("stacks")
    images = particles(40, 40)
    return [
        write_stack(folder / "a.mrcs", images[:24], 3.0),
        write_stack(folder / "b.mrcs", images[24:], 3.0),
    ]


def command(name: str, stacks: list[Path], folder: Path, *options: str) -> list[str]:
    """A run in tiles of 8 × 8 classes."""
    run = [sys.executable, "-m", "cryocorr_tui", name, *map(str, stacks), "-o", str(folder)]
    return [*run, "--memory", "0.09", "--device", "cpu", *options]


def results(folder: Path) -> dict[str, bytes]:
    """Every file of a run; of run.json all but the time and memory it took."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".cryocorr.lock"
    }
    run = json.loads(files.pop("run.json"))
    del run["seconds"], run["device_peak_bytes"]
    return {**files, "run.json": json.dumps(run).encode()}


@pytest.fixture(scope="module", params=["analyze", "match"])
def undisturbed(
    request: pytest.FixtureRequest, stacks: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, bytes]]:
    """A command, and what it gives if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(request.param, stacks, folder), check=True, capture_output=True)
    return request.param, results(folder)


def wait_for_tiles(process: subprocess.Popen[bytes], folder: Path, number: int) -> None:
    chunks = folder / "store.zarr" / "pairs" / "c"
    while process.poll() is None and len(list(chunks.glob("0/*/*"))) < number:
        time.sleep(0.001)


def test_killed_at_random_moments_again_and_again_a_run_ends_as_if_undisturbed(
    undisturbed: tuple[str, dict[str, bytes]], stacks: list[Path], tmp_path: Path
) -> None:
    name, expected = undisturbed
    chance = random.Random(name)
    tiles = sum("store.zarr/pairs/c/" in path for path in expected)
    killed = 0
    for part in (0.0, 0.2, 0.5, 1.0):
        with subprocess.Popen(
            command(name, stacks, tmp_path, "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            wait_for_tiles(process, tmp_path, round(part * tiles))
            # From the start of the interpreter (0) to the writing of tables (1).
            time.sleep(chance.uniform(0, 0.3) if part in (0, 1) else chance.uniform(0, 0.02))
            process.kill()
        killed += process.returncode != 0
    assert killed >= 3
    subprocess.run(command(name, stacks, tmp_path, "--resume"), check=True, capture_output=True)
    assert results(tmp_path) == expected


def test_one_core_gives_every_byte_that_all_cores_give(
    undisturbed: tuple[str, dict[str, bytes]], stacks: list[Path], tmp_path: Path
) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot tie a process to a core")
    name, expected = undisturbed
    core = min(os.sched_getaffinity(0))
    script = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); "
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(core), *command(name, stacks, tmp_path)],
        check=True,
        capture_output=True,
    )
    assert results(tmp_path) == expected


@pytest.mark.parametrize("undisturbed", ["analyze"], indirect=True)
def test_a_second_process_and_one_with_other_settings_are_told_and_harm_nothing(
    undisturbed: tuple[str, dict[str, bytes]], stacks: list[Path], tmp_path: Path
) -> None:
    name, expected = undisturbed
    with subprocess.Popen(
        command(name, stacks, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        wait_for_tiles(first, tmp_path, 1)
        first.send_signal(signal.SIGSTOP)  # so that it is still there
        second = subprocess.run(
            command(name, stacks, tmp_path, "--resume"), capture_output=True, text=True
        )
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "another cryocorr is working in this folder" in second.stderr.splitlines()[-1]
    assert first.returncode == 0
    other = subprocess.run(
        command(name, stacks, tmp_path, "--resume", "--max-shift", "2"),
        capture_output=True,
        text=True,
    )
    assert other.returncode == 1
    assert "other inputs or with other settings" in other.stderr.splitlines()[-1]
    assert results(tmp_path) == expected
