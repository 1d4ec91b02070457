from __future__ import annotations

import numpy as np
import pytest
from class_average_forge import particles, write_stack

from cryocorr_tui.core.analysis import AnalysisFinished, MatchFinished, analyze, match
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.run import Run

VIEWS, CLASSES = 4, 15


def class_averages() -> np.ndarray:
    """Three noisy ones of each of four views, then three of something else."""
    rng = np.random.default_rng(1)
    different = particles(VIEWS + 3, seed=3)
    images = np.concatenate([np.repeat(different[:VIEWS], 3, axis=0), different[VIEWS:]])
    return (images + 0.1 * rng.standard_normal(images.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over two stacks, of 8 and 7 classes; no test may change it."""
    folder = tmp_path_factory.mktemp("run")
    images = class_averages()
    stacks = [
        write_stack(folder / "first.mrcs", images[:8], 2.5),
        write_stack(folder / "second.mrcs", images[8:], 2.5),
    ]
    *_, last = analyze(stacks, folder / "results", Settings(), write=False)
    assert isinstance(last, AnalysisFinished)
    assert last.run is not None
    return last.run


@pytest.fixture(scope="session")
def matched_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one small set against another."""
    folder = tmp_path_factory.mktemp("match")
    images = class_averages()
    sets = [write_stack(folder / f"{k}.mrcs", images[k::2][:4], 2.5) for k in range(2)]
    *_, last = match([sets[0]], [sets[1]], folder / "results", Settings(), write=False)
    assert isinstance(last, MatchFinished)
    assert last.run is not None
    return last.run
