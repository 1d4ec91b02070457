"""Where the arithmetic runs: numpy on the host or CuPy on an NVIDIA card.

The only module that imports CuPy. Kernels never ask where they are: they take the namespace of
their arguments (``array_api_compat.array_namespace``) and carry on.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.words import are, counted

# Threads of compiled code that wait for each other shall sleep: spinning takes the cores from other
# users of the machine. libgomp reads this when it is loaded, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = [
    "Backend",
    "Memory",
    "choose_backend",
    "choose_backends",
    "compiled_code",
    "kernels_run_side_by_side",
    "threads_here",
    "usable_cpus",
]

Record = TypeVar("Record")
_share = threading.local()  # threads: cores of this thread, where it shares them with others


@dataclass(frozen=True)
class Memory:
    """Bytes of a device.

    Attributes
    ----------
    free : int
        What can still be allocated.
    total : int
    peak : int
        The most that this process held since `Backend.release`; on the CPU what it holds now.
    """

    free: int
    total: int
    peak: int


@dataclass(frozen=True)
class Backend:
    """One device: its name ("cpu", "cuda:0"), and how arrays go there and come back.

    On the host, compiled kernels take ``threads`` cores at a time, all usable ones where it is 0.
    """

    name: str
    threads: int = 0

    @property
    def is_cuda(self) -> bool:
        """Whether this is an NVIDIA card."""
        return self.name.startswith("cuda")

    @property
    def is_host(self) -> bool:
        """Whether arrays of the device are plain numpy arrays, which compiled code can work on."""
        return self.name == "cpu"

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

    def moved(self, record: Record) -> Record:
        """Return a copy of a dataclass whose host arrays are on the device (on the CPU: itself)."""
        if self.is_host:
            return record
        arrays = {
            field.name: self.to_device(value)
            for field in fields(record)  # type: ignore[arg-type]
            if isinstance(value := getattr(record, field.name), np.ndarray)
        }
        return replace(record, **arrays)  # type: ignore[type-var]

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the device the current one of this thread.

        Every card has a default stream of its own, so one thread a card is one stream a card.
        """
        if not self.is_cuda:
            yield
            return
        import cupy

        with cupy.cuda.Device(self._index):
            yield

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Make the device the current one; on the host give the cores to compiled kernels."""
        with compiled_code(self.threads) if self.is_host else self.current():
            yield

    @property
    def out_of_memory(self) -> type[Exception]:
        """What the device raises where memory does not suffice."""
        if not self.is_cuda:
            return MemoryError
        import cupy

        error: type[Exception] = cupy.cuda.memory.OutOfMemoryError
        return error

    def memory(self) -> Memory:
        """Return how much memory the device has."""
        if not self.is_cuda:
            machine = psutil.virtual_memory()
            held = psutil.Process().memory_info().rss
            return Memory(int(machine.available), int(machine.total), int(held))
        import cupy

        with cupy.cuda.Device(self._index):
            free, total = cupy.cuda.runtime.memGetInfo()
            pool = cupy.get_default_memory_pool()
            # The pool gives nothing back before it is told to, so what it holds is its peak.
            return Memory(
                int(free) + int(pool.free_bytes()), int(total), peak=int(pool.total_bytes())
            )

    def free_memory(self) -> int:
        """Return the bytes that can still be allocated on the device."""
        return self.memory().free

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
    """Return the first of `choose_backends`, for work that one device does, and its note."""
    backends, note = choose_backends(device)
    return backends[0], note


def choose_backends(device: str) -> tuple[tuple[Backend, ...], str]:
    """Return the backends for ``auto``, ``cpu`` or ``cuda[:N[,M…]]``, and a note for the user.

    Parameters
    ----------
    device : str
        ``auto`` takes the first card where CuPy and a driver work, else the CPU.

    Returns
    -------
    tuple of Backend, str
        At least one, each once. The note says why ``auto`` took the CPU, else it is empty.

    Raises
    ------
    DeviceError
        A card was asked for by name and cannot be had.
    """
    if device == "cpu":
        return (Backend("cpu"),), ""
    match = re.fullmatch(r"auto|cuda(?::(\d+(?:,\d+)*))?", device)
    if match is None:
        raise DeviceError(f"--device {device} is unknown; use auto, cpu or cuda:N.")
    indices = list(dict.fromkeys(int(index) for index in (match[1] or "0").split(",")))
    problem = next(filter(None, map(_why_no_cuda, indices)), "")
    if not problem:
        return tuple(Backend(f"cuda:{index}") for index in indices), ""
    if device == "auto":
        return (Backend("cpu"),), f"The CPU does all the work: {problem}."
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
def compiled_code(threads: int = 0) -> Iterator[None]:
    """Give cores to the compiled kernels of this thread, and one to each BLAS call inside them.

    The kernels spread over pairs by themselves; BLAS threads would only fight them for the cores.

    Parameters
    ----------
    threads : int
        How many; 0 for all usable ones.
    """
    import numba  # takes long, and memory that work without compiled code does not need

    before, _share.threads = getattr(_share, "threads", 0), threads or usable_cpus()
    numba.set_num_threads(min(_share.threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        _share.threads = before


def threads_here() -> int:
    """Return how many cores this thread may use at a time: its share of `usable_cpus`."""
    return getattr(_share, "threads", 0) or usable_cpus()


def kernels_run_side_by_side() -> bool:
    """Say whether several threads may run compiled kernels at once, once one of them has run.

    numba's own pool of threads, its last resort where there is neither OpenMP nor TBB, would abort.
    """
    import numba

    with suppress(ValueError):  # none has run
        return bool(numba.threading_layer() in ("omp", "tbb"))
    return False


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
    return "" if index < count else f"there {are(count)} {counted(count, 'card')}, numbered from 0"
