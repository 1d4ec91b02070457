from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_structure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crooked coil of 300 carbon atoms, 80 Å long, without symmetry."""
    k = np.arange(300)
    x, y = 0.27 * k - 40, (10 + k / 20) * np.cos(k / 6)
    z = 14 * np.sin(k / 6) + (k / 60) ** 2
    path = tmp_path_factory.mktemp("structure") / "coil.pdb"
    line = "ATOM  {:5d}  C   GLY A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00 10.00           C\n"
    path.write_text("".join(line.format(n + 1, n // 3 + 1, x[n], y[n], z[n]) for n in k))
    return path
