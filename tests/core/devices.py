"""A device that CI has: arrays of array-api-strict never come to the host in silence."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import array_api_strict
import numpy as np
import pytest

from cryocorr_tui.core.backend import Backend, Memory, choose_backend

HOST = array_api_strict.Device("CPU_DEVICE")


class OutOfStrictMemoryError(Exception):
    """What the device raises where memory does not suffice."""


@dataclass(frozen=True)
class StrictBackend(Backend):
    """A backend of device1 or device2; `copies` are the shapes that came to the host."""

    name: str = "device1"
    copies: list[tuple[int, ...]] = field(default_factory=list, compare=False)

    def to_device(self, array):
        device = array_api_strict.Device(self.name)
        return array_api_strict.asarray(np.ascontiguousarray(array), device=device)

    def to_host(self, array):
        self.copies.append(array.shape)
        return np.asarray(array.to_device(HOST))

    @contextmanager
    def current(self):
        yield

    @property
    def out_of_memory(self):
        return OutOfStrictMemoryError

    def memory(self):
        return Memory(free=10**9, total=10**9, peak=0)

    def release(self):
        pass


def card():
    """The backend of an NVIDIA card; skips the test where there is none."""
    backend, _ = choose_backend("auto")
    if not backend.is_cuda:
        pytest.skip("needs an NVIDIA card and CuPy")
    return backend


DEVICES = [
    pytest.param(StrictBackend, id="strict"),
    pytest.param(card, id="cuda", marks=pytest.mark.gpu),
]
