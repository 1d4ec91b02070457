"""The most memory that this process has held; imports nothing that holds any."""

from __future__ import annotations

import platform
import re
import resource
from pathlib import Path

__all__ = ["peak_memory"]


def peak_memory() -> float:
    """Return GB resident at most in the life of this process, interpreter and libraries too."""
    # Linux hands the peak of a parent on to its children in getrusage, but not here.
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found is not None:
            return int(found[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if platform.system() == "Darwin" else 1024) / 1e9
