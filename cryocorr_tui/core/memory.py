"""Memory that can be had back: large arrays that lie in files, and what Python has freed."""

from __future__ import annotations

import ctypes
import math
import os
import tempfile
from contextlib import suppress

import numpy as np

from cryocorr_tui.core.model import FloatArray

__all__ = ["return_freed_memory", "room_for"]

LARGEST_IN_MEMORY = 128e6  # bytes of one array


def room_for(shape: tuple[int, ...]) -> FloatArray:
    """Return zeros, many of which lie in a file without a name.

    Memory that shows a file is taken back by the system when something else needs it, and read
    again when it is looked at. The file lies where `tempfile` puts it (``TMPDIR``) and is gone with
    the process; where there is no room for it, the array lies in ordinary memory.

    Parameters
    ----------
    shape : tuple of int

    Returns
    -------
    `shape` float32
    """
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    if size > LARGEST_IN_MEMORY:
        with suppress(OSError, AttributeError), tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told here, not by a signal
            return np.asarray(np.memmap(file, np.float32, mode="r+", shape=shape))
    return np.zeros(shape, dtype=np.float32)


def return_freed_memory() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    It keeps what large arrays leave behind, in case it is wanted again: a third of what a large
    picture takes.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
