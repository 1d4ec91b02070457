"""``python -m benchmarks.detection_memory PICTURE`` prints peaks of memory as JSON, in GB.

A program of its own, so that nothing counts but what the command itself takes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks.peak_memory import peak_memory
from cryocorr_tui.cli import main as main_of_command
from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Montage
from cryocorr_tui.core.readers import read


def main() -> None:
    """Print the peak after the imports, reading, detection, and all of ``cryocorr detect``."""
    peaks = {"imported": peak_memory()}
    source = read(Path(sys.argv[1]))
    peaks["read"] = peak_memory()
    if not isinstance(source, Montage):
        raise ValueError(f"expected a picture, received a stack in {sys.argv[1]}")
    with suppress(NoSquaresError):
        detect_squares(source)
    peaks["detected"] = peak_memory()
    del source
    with tempfile.TemporaryDirectory() as folder, suppress(SystemExit):
        main_of_command(["detect", sys.argv[1], "-o", f"{folder}/out"])
    peaks["command"] = peak_memory()
    print(json.dumps(peaks), file=sys.__stdout__)


if __name__ == "__main__":
    main()
