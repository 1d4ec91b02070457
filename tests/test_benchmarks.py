from __future__ import annotations

import math
import sys

import pytest

from benchmarks import gpu
from benchmarks.__main__ import BENCHMARKS, benchmark
from benchmarks.measuring import Options
from cryocorr_tui.core.backend import Backend

# Even the least of these draws dozens of pictures; what they measure has tests of its own.
SLOW = {"detection", "quality", "reference"}
CARD = {"gpu"}  # prints one line where there is no card


@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - SLOW - CARD))
def test_a_benchmark_runs_at_tiny_size_and_returns_finite_figures(name):
    tables = benchmark(name)(Options(quick=True))
    cells = [cell for table in tables for row in table.rows for cell in row]
    assert any(isinstance(cell, float) for cell in cells)
    assert all(math.isfinite(cell) for cell in cells if not isinstance(cell, str))


def test_without_a_card_the_benchmark_of_cards_says_so_and_how_to_repeat_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert benchmark("gpu")(Options(quick=True)) == []
    said = capsys.readouterr().out.strip()
    assert "Nothing measured" in said
    assert "python -m benchmarks gpu" in said
    assert "\n" not in said


def test_the_benchmark_of_cards_runs_on_any_device():
    parity, scaling = gpu.tables(Backend("cpu"), Options(quick=True))
    assert all(cell == 0 for row in parity.rows for cell in row[1:])
    assert [row[0] for row in scaling.rows] == [6, 8]
    assert all(math.isfinite(cell) for row in scaling.rows for cell in row)


def test_the_estimated_work_of_a_pair_grows_with_the_box():
    small, large = gpu.work_of_a_pair(64), gpu.work_of_a_pair(128)
    for stage in ("coarse search", "refinement", "election", "FRC"):
        assert large[stage].operations > small[stage].operations > 0
        assert large[stage].traffic >= small[stage].traffic > 0
