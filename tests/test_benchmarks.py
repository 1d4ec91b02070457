from __future__ import annotations

import math

import pytest

from benchmarks.__main__ import BENCHMARKS, benchmark
from benchmarks.measuring import Options

# Even the least of these draws dozens of pictures; what they measure has tests of its own.
SLOW = {"detection", "quality", "reference"}


@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - SLOW))
def test_a_benchmark_runs_at_tiny_size_and_returns_finite_figures(name):
    tables = benchmark(name)(Options(quick=True))
    cells = [cell for table in tables for row in table.rows for cell in row]
    assert any(isinstance(cell, float) for cell in cells)
    assert all(math.isfinite(cell) for cell in cells if not isinstance(cell, str))
