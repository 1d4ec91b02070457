from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.similarity import warm_up

# Real data of others, for local development only; it is no part of the project.
SHARED = Path(
    os.environ.get("CRYOCORR_SHARED_DATA", Path(__file__).parents[1].parent / "shared" / "data")
)


def pytest_configure() -> None:
    """Have the kernels compiled before any test calls them; see `similarity.warm_up`."""
    warm_up(Backend("cpu"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that want it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data are not here (set CRYOCORR_SHARED_DATA to their folder)")
    return SHARED
