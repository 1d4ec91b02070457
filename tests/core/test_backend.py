from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from devices import StrictBackend, card

from cryocorr_tui.core.backend import (
    Backend,
    Memory,
    choose_backend,
    choose_backends,
    usable_cpus,
)
from cryocorr_tui.core.errors import DeviceError


class NoDriverError(RuntimeError):
    """What CuPy raises where no driver answers."""


@pytest.fixture
def cards(monkeypatch):
    """Pretend that CuPy is installed and sees so many cards (None: no driver)."""

    def pretend(count):
        def device_count():
            if count is None:
                raise NoDriverError("cudaErrorNoDevice")
            return count

        runtime = SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=NoDriverError)
        monkeypatch.setitem(
            sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
        )

    return pretend


@pytest.fixture
def without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it now raises ImportError


def test_the_cpu_is_there_whatever_else_is(without_cupy):
    assert choose_backend("cpu") == (Backend("cpu"), "")
    assert not Backend("cpu").is_cuda


def test_on_the_cpu_arrays_are_not_copied():
    array = np.arange(4.0)
    backend = Backend("cpu")
    assert backend.to_device(array) is array
    assert backend.to_host(array) is array
    assert backend.free_memory() > 0
    backend.release()


def test_auto_takes_the_cpu_where_cupy_is_not_installed(without_cupy):
    assert choose_backend("auto")[0] == Backend("cpu")


def test_auto_takes_the_cpu_where_no_driver_answers(cards):
    cards(None)
    assert choose_backend("auto")[0] == Backend("cpu")


def test_auto_takes_the_first_card(cards):
    cards(2)
    backend, _ = choose_backend("auto")
    assert backend == Backend("cuda:0")
    assert backend.is_cuda


def test_a_card_can_be_chosen_by_number(cards):
    cards(2)
    assert choose_backend("cuda:1")[0] == Backend("cuda:1")
    assert choose_backend("cuda")[0] == Backend("cuda:0")


def test_a_card_that_is_not_there_is_an_error_that_names_the_way_out(cards):
    cards(2)
    with pytest.raises(
        DeviceError, match=r"cuda:2 cannot be used: there are 2 cards.*--device cpu"
    ):
        choose_backend("cuda:2")


def test_a_card_without_a_driver_is_an_error(cards):
    cards(None)
    with pytest.raises(DeviceError, match="no NVIDIA driver answers"):
        choose_backend("cuda")


def test_a_card_without_cupy_is_an_error_that_says_what_to_install(without_cupy):
    with pytest.raises(DeviceError, match=r"cryocorr-tui\[gpu\]"):
        choose_backend("cuda:0")


def test_several_cards_can_be_chosen_each_once(cards):
    cards(4)
    backends, note = choose_backends("cuda:2,0,2")
    assert backends == (Backend("cuda:2"), Backend("cuda:0"))
    assert note == ""
    assert choose_backends("cpu") == ((Backend("cpu"),), "")


def test_one_missing_card_of_several_is_an_error(cards):
    cards(2)
    with pytest.raises(DeviceError, match="cuda:0,2 cannot be used: there are 2 cards"):
        choose_backends("cuda:0,2")


def test_auto_tells_why_it_took_the_cpu(cards, without_cupy):
    assert "CPU does all the work: CuPy is not installed" in choose_backends("auto")[1]


def test_arrays_of_a_record_stay_where_they_are_on_the_cpu():
    record = Memory(1, 2, 3)
    assert Backend("cpu").moved(record) is record


def test_arrays_of_a_record_move_to_a_device_and_nothing_else_does():
    @dataclass(frozen=True)
    class Record:
        values: np.ndarray
        count: int

    device = StrictBackend()
    moved = device.moved(Record(np.arange(3), 5))
    assert moved.count == 5
    assert device.to_host(moved.values).tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="device1"):
        np.asarray(moved.values)


def test_the_memory_of_the_machine_is_told():
    memory = Backend("cpu").memory()
    assert 0 < memory.free < memory.total
    assert 0 < memory.peak < memory.total
    assert Backend("cpu").out_of_memory is MemoryError


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:0;1", "CPU", ""])
def test_an_unknown_device_is_an_error_that_lists_the_known(name):
    with pytest.raises(DeviceError, match="auto, cpu or cuda:N"):
        choose_backend(name)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_usable_cpus_respect_the_quota_of_a_container(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(Path, "read_text", lambda _: quota + "\n")
    assert usable_cpus() == cores


def test_usable_cpus_need_no_quota_file(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    monkeypatch.setattr(Path, "read_text", missing)
    assert usable_cpus() == 3


@pytest.mark.gpu
def test_arrays_go_to_the_card_and_come_back():
    backend = card()
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    there = backend.to_device(array)
    assert not isinstance(there, np.ndarray)
    np.testing.assert_array_equal(backend.to_host(there + 1), array + 1)
    assert backend.free_memory() > 0
    backend.release()
