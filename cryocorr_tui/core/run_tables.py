"""The tables of a run, in its folder or elsewhere."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cryocorr_tui
from cryocorr_tui.core import export
from cryocorr_tui.core.detection_files import write_detections
from cryocorr_tui.core.matching import find_matches
from cryocorr_tui.core.run import Run

__all__ = ["write_run_tables"]


def write_run_tables(
    run: Run,
    folder: Path,
    *,
    matrices: Sequence[str] = (),
    min_score: float = 0.5,
    seconds: Mapping[str, float] | None = None,
    chosen: Mapping[str, Sequence[object]] | None = None,
) -> tuple[Path, ...]:
    """Write every table of a run of which all is known.

    Parameters
    ----------
    run : Run
        With its survey.
    folder : Path
        An existing folder; tables that are there are replaced.
    matrices : sequence of str
        Further fields to write as matrices, beside the score.
    min_score : float
        Of the pairs written for more than `export.ALL_PAIRS_LIMIT` classes.
    seconds : mapping, optional
        How long each stage took.
    chosen : mapping, optional
        Further columns of ``classes.csv``, put at its end: what the user decided.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written or the store is damaged.
    """
    sets = _sets(run)
    tables = _write_matches(run, folder, sets) if sets else []
    tables += _write_classes(run, folder, {**({"set": sets} if sets else {}), **(chosen or {})})
    tables += _write_pairs(run, folder, matrices, min_score)
    tables += _write_groups(run, folder)
    tables += write_detections(run.sources, folder)
    tables.append(folder / "run.json")
    told = _told(run)
    if seconds is not None:
        told["seconds"] = {stage: round(value, 3) for stage, value in seconds.items()}
    export.write_run_json(tables[-1], told)
    return tuple(tables)


def _sets(run: Run) -> list[str]:
    """Return the set of each class, A or B; nothing where there is one set only."""
    if run.store.split is None:
        return []
    return ["A" if k < run.store.split else "B" for k in range(run.store.n)]


def _write_matches(run: Run, folder: Path, sets: Sequence[str]) -> list[Path]:
    assert run.survey is not None
    matches = find_matches(
        run.store,
        quality=run.quality.quality,
        quality_weight=run.settings.quality_weight,
    )
    path = folder / "matches.csv"
    export.write_matches(path, matches, run.classes, sets, chance=run.survey.chance)
    return [path]


def _write_classes(run: Run, folder: Path, extra: Mapping[str, Sequence[object]]) -> list[Path]:
    contrast = ["bright" if sign > 0 else "dark" for sign in run.working.contrast]
    path = folder / "classes.csv"
    export.write_classes(
        path,
        run.classes,
        run.quality,
        run.groups,
        extra={"contrast": contrast, "reason": run.working.reasons, **extra},
    )
    return [path]


def _write_pairs(run: Run, folder: Path, matrices: Sequence[str], min_score: float) -> list[Path]:
    """Write the table of pairs and those of single fields."""
    assert run.survey is not None
    weighting: dict[str, Any] = {
        "quality": run.quality.quality,
        "quality_weight": run.settings.quality_weight,
        "reasons": run.reasons,
    }
    tables = [folder / "pairs.csv"]
    export.write_pairs(
        tables[0],
        run.store,
        run.classes,
        chance=run.survey.chance,
        min_score=min_score,
        **weighting,
    )
    for name in ("score", *matrices):
        tables.append(folder / ("matrix.csv" if name == "score" else f"matrix_{name}.csv"))
        export.write_matrix(tables[-1], run.store, name, **weighting)
    return tables


def _write_groups(run: Run, folder: Path) -> list[Path]:
    path = folder / "groups.csv"
    if run.groups is None:
        path.unlink(missing_ok=True)  # of a run of all with all, resumed with less memory
        return []
    blend = run.store.symmetric("blend", slice(None), slice(None))
    export.write_groups(path, run.groups, run.classes, run.quality.quality, blend)
    return [path]


def _told(run: Run) -> dict[str, object]:
    """Return what ``run.json`` tells: all that a reader needs to repeat the run."""
    assert run.survey is not None
    images = Counter(item.source for item in run.classes)
    packages = ("numpy", "scipy", "numba", "opencv-python-headless", "scikit-image", "zarr")
    null = run.survey.null
    told = {
        "version": cryocorr_tui.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "settings": asdict(run.settings),
        "drawn": run.drawn,
        "inputs": [
            {
                "path": source.source,
                "sha256": run.sources.sha256[source.source],
                "format": source.format,
                "pixel_size_angstrom": source.pixel_size,
                "images": images[source.source],
            }
            for source in run.sources.sources
        ],
        "device": ",".join(backend.name for backend in run.backends),
        "device_peak_bytes": run.peaks,
        "fingerprint": run.fingerprint,
        "classes": run.store.n,
        "split": run.store.split,
        "pairs": run.store.pairs_done(),
        "null": {"location": null.location, "scale": null.scale, "pairs": null.pairs},
    }
    if run.store.split is None:
        told["grouping"] = None if run.groups is None else run.groups.criterion
    return told
