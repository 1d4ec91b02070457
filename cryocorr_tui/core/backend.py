"""Where the arithmetic runs: numpy on the host or CuPy on an NVIDIA card.

The only module that imports CuPy. Kernels never ask where they are: they take the namespace of
their arguments (``array_api_compat.array_namespace``) and carry on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cryocorr_tui.core.errors import DeviceError

# Threads of compiled code that wait for each other shall sleep: spinning takes the cores from other
# users of the machine. libgomp reads this when it is loaded, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = ["Backend", "choose_backend", "compiled_code", "usable_cpus"]


@dataclass(frozen=True)
class Backend:
    """One device: its name ("cpu", "cuda:0"), and how arrays go there and come back."""

    name: str

    @property
    def is_cuda(self) -> bool:
        """Whether this is an NVIDIA card."""
        return self.name.startswith("cuda")

    def to_device(self, array: NDArray[Any]) -> Any:
        """Copy a host array to the device (on the CPU: the array itself)."""
        if not self.is_cuda:
            return array
        import cupy

        with cupy.cuda.Device(self._index):
            return cupy.asarray(array)

    def to_host(self, array: Any) -> NDArray[Any]:
        """Copy an array of the device to the host (on the CPU: the array itself)."""
        if not self.is_cuda:
            return np.asarray(array)
        import cupy

        return np.asarray(cupy.asnumpy(array))

    def free_memory(self) -> int:
        """Return the bytes that can still be allocated on the device."""
        if not self.is_cuda:
            return int(psutil.virtual_memory().available)
        import cupy

        with cupy.cuda.Device(self._index):
            free, _ = cupy.cuda.runtime.memGetInfo()
            return int(free) + int(cupy.get_default_memory_pool().free_bytes())

    def release(self) -> None:
        """Give cached memory of the device back."""
        if self.is_cuda:
            import cupy

            with cupy.cuda.Device(self._index):
                cupy.get_default_memory_pool().free_all_blocks()

    @property
    def _index(self) -> int:
        return int(self.name.partition(":")[2] or 0)


def choose_backend(device: str) -> tuple[Backend, str]:
    """Return the backend for ``auto``, ``cpu`` or ``cuda[:N]``, and a note for the user.

    Parameters
    ----------
    device : str
        ``auto`` takes the first card where CuPy and a driver work, else the CPU.

    Returns
    -------
    Backend, str
        The note is empty where there is nothing to say.

    Raises
    ------
    DeviceError
        A card was asked for by name and cannot be had.
    """
    if device == "cpu":
        return Backend("cpu"), ""
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", device)
    if match is None:
        raise DeviceError(f"--device {device} is unknown; use auto, cpu or cuda:N.")
    index = int(match.group(1) or 0)
    problem = _why_no_cuda(index)
    if not problem:
        return Backend(f"cuda:{index}"), ""
    if device == "auto":
        return Backend("cpu"), ""
    raise DeviceError(f"--device {device} cannot be used: {problem}; use --device cpu.")


def usable_cpus() -> int:
    """Return how many cores this process may use: affinity, and the quota of its cgroup."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


@contextmanager
def compiled_code() -> Iterator[None]:
    """Give all usable cores to compiled kernels, and one to each BLAS call inside them.

    The kernels spread over pairs by themselves; BLAS threads would only fight them for the cores.
    """
    numba.set_num_threads(min(usable_cpus(), numba.config.NUMBA_NUM_THREADS))
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _why_no_cuda(index: int) -> str:
    """Return why card `index` cannot be used, or an empty text where it can."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed (pip install 'cryocorr-tui[gpu]')"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no NVIDIA driver answers ({error})"
    return "" if index < count else f"there are {count} cards, numbered from 0"
