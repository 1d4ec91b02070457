"""Memory of what comes after the search; `python -m benchmarks memory` measures all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.memory import fill

CLASSES = 3000
LIMIT = 0.1  # GB beyond imports; blends, p- and q-values of all pairs at once take twice as much

SCRIPT = """
import pathlib, sys
from benchmarks.memory import peak_of_survey
print(*peak_of_survey(pathlib.Path(sys.argv[1])))
"""


def test_all_pairs_of_3000_classes_are_surveyed_in_little_memory(tmp_path: Path) -> None:
    fill(tmp_path, CLASSES, tile=128)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, capture_output=True, text=True
    )
    before, after = map(float, run.stdout.split())
    assert after - before < LIMIT
