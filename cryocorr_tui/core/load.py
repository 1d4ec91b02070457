"""How busy the machine and this process are: CPU, memory, NVIDIA cards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil
import pynvml

__all__ = ["CardLoad", "Load", "LoadSampler"]


@dataclass(frozen=True)
class CardLoad:
    """One card.

    ``busy`` is 0…1 (None: it does not tell, as a card in MIG mode); memory is in bytes, ``own`` is
    what this process holds of it (None: it does not tell).
    """

    name: str
    busy: float | None
    used: int
    total: int
    own: int | None


@dataclass(frozen=True)
class Load:
    """One sample.

    ``cpu`` is 0…1 of all cores, ``own_cpu`` counts cores that this process keeps busy; memory is in
    bytes. Without an NVIDIA driver there are no cards, which is a normal state.
    """

    cpu: float
    own_cpu: float
    used: int
    total: int
    own: int
    cards: tuple[CardLoad, ...] = ()


class LoadSampler:
    """Takes samples; each is of the time since the one before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._handles: list[object] = []
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(k) for k in range(count)]

    def sample(self) -> Load:
        """Take one; some milliseconds, so not on the thread that draws."""
        memory = psutil.virtual_memory()
        return Load(
            cpu=psutil.cpu_percent() / 100,
            own_cpu=self._process.cpu_percent() / 100,
            used=memory.total - memory.available,
            total=memory.total,
            own=self._process.memory_info().rss,
            cards=tuple(card for handle in self._handles if (card := self._card(handle))),
        )

    def _card(self, handle: object) -> CardLoad | None:
        """Return the load of a card; None where it has fallen off the bus."""
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = str(pynvml.nvmlDeviceGetName(handle))
        except pynvml.NVMLError:
            return None
        busy = own = None
        with suppress(pynvml.NVMLError):
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        with suppress(pynvml.NVMLError):
            of_process = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            own = sum(p.usedGpuMemory or 0 for p in of_process if p.pid == self._process.pid)
        return CardLoad(name, busy, int(memory.used), int(memory.total), own)
