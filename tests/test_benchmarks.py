from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.__main__ import BENCHMARKS, benchmark
from benchmarks.brute_force import best_blend
from benchmarks.measuring import Options, Table
from cryocorr_tui.core.model import MetricWeights, Pose
from cryocorr_tui.core.preprocessing import disc_mask


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_benchmark_runs_at_tiny_size_and_returns_finite_figures(name):
    tables = benchmark(name)(Options(quick=True))
    numbers = [cell for table in tables for row in table.rows for cell in row if cell != ""]
    assert tables
    assert all(math.isfinite(cell) for cell in numbers if not isinstance(cell, str))
