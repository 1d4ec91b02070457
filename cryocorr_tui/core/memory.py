"""Memory that Python has freed but the C library still holds."""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["return_freed_memory"]


def return_freed_memory() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    It keeps what large arrays leave behind, in case it is wanted again: a third of what a large
    picture takes.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
