"""A device that CI has, and the tolerance to which devices agree.

Arrays of array-api-strict never come to the host in silence.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import array_api_strict
import numpy as np
import pytest

from cryocorr_tui.core.backend import Backend, Memory, choose_backend
from cryocorr_tui.core.model import PAIR_FIELDS

# The tolerance to which CPU and GPU agree, and why: sums in single precision are taken in another
# order, so values differ by these; of 100 pairs one may end its climb a step earlier, or elect
# another finalist of nearly the same blend, and differ by the second number.
AGREEMENT = {
    "blend": (1e-5, 1e-3),
    "ncc": (1e-5, 1e-3),
    "ssim": (1e-4, 5e-3),
    "nmi": (1e-3, 5e-3),  # a grey value may fall to either side of the edge of a level
    "frc_resolution_px": (1e-3, 0.5),
    "shift_y_px": (1e-3, 0.05),
    "shift_x_px": (1e-3, 0.05),
}
BORDERLINE = 0.02  # of the pairs

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


def assert_same_block(block, expected):
    """Check blocks of `PairScorer.score` of two devices field by field."""
    np.testing.assert_array_equal(np.isnan(block), np.isnan(expected))
    scored = np.isfinite(expected[0])
    for name, (usual, most) in AGREEMENT.items():
        at = PAIR_FIELDS.index(name)
        difference = np.abs(block[at] - expected[at])[scored]
        assert np.mean(difference > usual) <= BORDERLINE, name
        assert difference.max() <= most, name
    turn, mirrored = (PAIR_FIELDS.index(name) for name in ("rotation_deg", "mirrored"))
    np.testing.assert_array_equal(block[mirrored], expected[mirrored])
    difference = np.abs((block - expected)[turn][scored])
    assert np.minimum(difference, 360 - difference).max() <= 0.3
