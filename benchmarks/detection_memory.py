"""``python -m benchmarks.detection_memory PICTURE`` prints peaks of memory as JSON, in GB.

A program of its own, so that nothing counts but reading a picture and finding its squares.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from benchmarks.peak_memory import peak_memory
from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Montage
from cryocorr_tui.core.readers import read


def main() -> None:
    """Print the peak after the imports, after reading and after detection."""
    peaks = {"imported": peak_memory()}
    source = read(Path(sys.argv[1]))
    peaks["read"] = peak_memory()
    if not isinstance(source, Montage):
        raise ValueError(f"expected a picture, received a stack in {sys.argv[1]}")
    with suppress(NoSquaresError):
        detect_squares(source)
    peaks["detected"] = peak_memory()
    print(json.dumps(peaks))


if __name__ == "__main__":
    main()
