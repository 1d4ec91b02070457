from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cryocorr_tui.core import memory


def mapped_files() -> int:
    return Path("/proc/self/maps").read_text().count("(deleted)")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGEST_IN_MEMORY", 1000)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="maps are told by Linux only")
def test_much_room_lies_in_a_file_that_is_gone_with_it(small: None, tmp_path: Path) -> None:
    gc.collect()
    before = mapped_files()
    few, many = memory.room_for((2, 10, 10)), memory.room_for((5, 10, 10))
    assert mapped_files() == before + 1
    for room in (few, many):
        assert type(room) is np.ndarray
        assert room.dtype == np.float32
        assert not room.any()
        room[-1] = 3.0
        assert room.sum() == 300
    del few, many, room
    gc.collect()
    assert mapped_files() == before


def test_a_full_disk_leaves_ordinary_memory(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert memory.room_for((50, 10, 10)).shape == (50, 10, 10)


def test_no_folder_for_files_leaves_ordinary_memory(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert memory.room_for((50, 10, 10)).shape == (50, 10, 10)
