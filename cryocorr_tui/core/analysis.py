"""The stages in their order, as generators of small frozen events.

Whoever consumes the events may stop at any of them (``contextlib.closing``): what was scored is in
the store and the device is free again.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path

import cv2
import mrcfile
import numpy as np
from numpy.typing import NDArray

import cryocorr_tui
from cryocorr_tui.core import export
from cryocorr_tui.core.backend import Backend, choose_backends
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.files import (
    DETECTION_FILES,
    RUN_FILES,
    atomic_path,
    check_output,
    prepare_output,
)
from cryocorr_tui.core.grouping import group_classes
from cryocorr_tui.core.inputs import Inputs, find_squares, read_sources, to_class_averages
from cryocorr_tui.core.model import (
    ClassAverage,
    Groups,
    Montage,
    Quality,
    Settings,
    Stack,
)
from cryocorr_tui.core.overlay import draw_overlay
from cryocorr_tui.core.preprocessing import WorkingSet, fourier_resample, prepare
from cryocorr_tui.core.quality import score_quality
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.significance import Null, benjamini_yekutieli, fit_null
from cryocorr_tui.core.similarity import PairScorer, tile_size, warm_up
from cryocorr_tui.core.store import STORE_NAME, RunStore

__all__ = [
    "AnalysisFinished",
    "DetectionFinished",
    "Event",
    "Notice",
    "StageProgressed",
    "StageStarted",
    "TileScored",
    "analyze",
    "detect",
]

SIMILAR = 0.01  # p-value of pairs whose pose at the edge of the search is worth a warning
EDGE = 0.99  # of the largest shift
MOST_GROUPED = 8000  # classes; linkage needs all pairs in memory at once
HOST_SHARE, CARD_SHARE = 0.5, 0.8  # of the free memory that a run takes unless told how much
MOST_NAMED = 5  # classes left out for one reason that are named in a sentence


@dataclass(frozen=True)
class StageStarted:
    """A stage begins; `total` steps are ahead, 0 where the number is not known."""

    stage: str
    total: int


@dataclass(frozen=True)
class StageProgressed:
    """`done` steps of a stage are behind."""

    stage: str
    done: int


@dataclass(frozen=True)
class Notice:
    """One sentence for the user: a warning, or a plain finding."""

    text: str
    warning: bool = True


@dataclass(frozen=True)
class TileScored:
    """A block of pairs is in the store; `done` of `total` pairs are."""

    rows: slice
    cols: slice
    done: int
    total: int


@dataclass(frozen=True)
class AnalysisFinished:
    """All tables of a run are written."""

    folder: Path
    classes: int
    pairs: int
    groups: int
    tables: tuple[Path, ...]


@dataclass(frozen=True)
class DetectionFinished:
    """The squares of all montages are written."""

    folder: Path
    squares: int
    tables: tuple[Path, ...]


Event = StageStarted | StageProgressed | Notice | TileScored | AnalysisFinished | DetectionFinished


def analyze(
    inputs: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    resume: bool = False,
    matrices: Sequence[str] = (),
    min_score: float = 0.5,
) -> Iterator[Event]:
    """Compare all class averages with each other and write every table.

    Parameters
    ----------
    inputs : sequence of Path
        Stacks, montages, or pictures of one class average each.
    output : Path
        The run folder.
    settings : Settings
        Everything that shapes the result.
    overwrite, resume : bool
        What to do with a folder that holds something; see `files.prepare_output`.
    matrices : sequence of str
        Further fields to write as N×N tables ("ncc" …), beside the score.
    min_score : float
        Of the pairs written for more than `export.ALL_PAIRS_LIMIT` classes.

    Yields
    ------
    Event
        The last one is `AnalysisFinished`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend. Nothing of an earlier run is touched before the
        inputs have been read and understood.
    """
    check_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    timings: dict[str, float] = {}
    began = time.perf_counter()
    with _timed(timings, "reading"):
        sources = yield from _take_in(inputs, settings)
        classes = to_class_averages(sources)
        working = prepare(classes, settings)
    backends, remark = choose_backends(settings.device)
    for text in (*sources.warnings, *working.notes, *_left_out(classes, working)):
        yield Notice(text)
    if remark:
        yield Notice(remark, warning=False)

    yield StageStarted("scoring quality", len(classes))
    with _timed(timings, "scoring quality"):
        quality = _quality(working)
        yield StageProgressed("scoring quality", len(classes))

    fingerprint = _fingerprint(working, settings, backends[0])
    prepare_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    peaks: dict[str, int] = {}
    with _store(output, working, settings, fingerprint, backends) as store:
        with _timed(timings, "comparing"):
            yield from _compare(store, working, settings, backends, peaks)
        yield StageStarted("grouping", 0)
        with _timed(timings, "grouping"):
            null, groups = _group(store, quality)
        if groups is None:
            yield Notice(f"More than {MOST_GROUPED} class averages are not grouped.")
        else:
            yield Notice(f"Groups: {groups.criterion}.", warning=False)
        p_values = null.p_values(store.condensed("blend"))
        if reached := _at_largest_shift(store, working, p_values):
            yield Notice(
                f"{reached} similar pairs reach the largest shift that was searched, so they may "
                "fit better beyond it; try a larger --max-shift."
            )
        yield StageStarted("writing tables", 0)
        with _timed(timings, "writing tables"):
            tables = _write_tables(
                store, sources, classes, working, quality, groups, p_values, settings,
                matrices=matrices, min_score=min_score,
            )  # fmt: skip
        timings["all"] = time.perf_counter() - began
        tables.append(output / "run.json")
        export.write_run_json(
            tables[-1],
            {
                **_provenance(sources, classes, settings),
                "device": ",".join(backend.name for backend in backends),
                "device_peak_bytes": peaks,
                "fingerprint": fingerprint,
                "classes": len(classes),
                "pairs": store.pairs_done(),
                "null": asdict(null),
                "grouping": None if groups is None else groups.criterion,
                "seconds": {stage: round(value, 3) for stage, value in timings.items()},
            },
        )
        yield AnalysisFinished(
            folder=output,
            classes=len(classes),
            pairs=store.pairs_done(),
            groups=0 if groups is None else len(groups.representatives),
            tables=tuple(tables),
        )


def detect(
    inputs: Sequence[Path], output: Path, settings: Settings, *, overwrite: bool = False
) -> Iterator[Event]:
    """Cut montages into squares.

    Writes ``squares.csv``, one ``overlay_NAME.png`` a montage, and ``stack.mrcs`` with the whole
    squares of all montages in one box.

    Yields
    ------
    Event
        The last one is `DetectionFinished`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend; nothing is written then.
    """
    check_output(output, overwrite=overwrite, own=DETECTION_FILES)
    sources = yield from _take_in(inputs, replace(settings, reading="montage"))
    stack = next((source for source in sources.sources if isinstance(source, Stack)), None)
    if stack is not None:
        raise InputError(
            f"{stack.source}: is a stack already, there is nothing to cut; give it to "
            "cryocorr analyze."
        )
    for text in sources.warnings:
        yield Notice(text)
    prepare_output(output, overwrite=overwrite, own=DETECTION_FILES)
    detections = [detection for _, detection in sources.montages]
    tables = [output / "squares.csv"]
    export.write_squares(tables[0], detections)
    names = _overlay_names([montage for montage, _ in sources.montages])
    for (montage, detection), name in zip(sources.montages, names, strict=True):
        tables.append(output / name)
        _write_picture(tables[-1], draw_overlay(montage, detection))
    classes = to_class_averages(sources)
    if classes:
        tables.append(output / "stack.mrcs")
        _write_stack(tables[-1], classes)
    yield DetectionFinished(output, sum(len(d.squares) for d in detections), tuple(tables))


def _take_in(inputs: Sequence[Path], settings: Settings) -> Generator[Event, None, Inputs]:
    """Read the inputs and find the squares of the pictures among them."""
    taken = Inputs()
    yield StageStarted("reading", len(inputs))
    for done in read_sources(inputs, settings, taken):
        yield StageProgressed("reading", done)
    pictures = any(isinstance(source, Montage) for source in taken.sources)
    if settings.reference is not None or (pictures and settings.reading != "images"):
        yield StageStarted("finding squares", len(inputs))
        for done in find_squares(taken, settings):
            yield StageProgressed("finding squares", done)
        for text in taken.findings:
            yield Notice(text, warning=False)
    return taken


def _compare(
    store: RunStore,
    working: WorkingSet,
    settings: Settings,
    backends: Sequence[Backend],
    peaks: dict[str, int],
) -> Generator[Event, None, None]:
    """Score the tiles that are not in the store yet; `peaks` receives the bytes of each device."""
    total = store.n * (store.n - 1) // 2
    done = store.pairs_done()
    if done == total:
        return
    memory = _memory(settings, backends)
    missing = (tile for tile in store.tiles() if not store.done(tile))
    try:
        yield StageStarted("loading kernels (compiled at the first run)", 0)
        for backend in backends:
            warm_up(backend)
        yield StageStarted("comparing pairs", total)
        scored = score_tiles(
            missing, backends, lambda on: PairScorer(working, settings, on, memory=memory)
        )
        with closing(scored):
            for tile, block in scored:
                store.write(tile, block)
                _, height, width = block.shape
                done += height * (height - 1) // 2 if tile.row == tile.col else height * width
                yield TileScored(tile.rows, tile.cols, done, total)
        peaks.update((backend.name, backend.memory().peak) for backend in backends)
    finally:
        for backend in backends:
            backend.release()


@contextmanager
def _store(
    output: Path,
    working: WorkingSet,
    settings: Settings,
    fingerprint: str,
    backends: Sequence[Backend],
) -> Iterator[RunStore]:
    """Open the store of an earlier run in `output`, or make a new one."""
    if (output / STORE_NAME).exists():
        store = RunStore.open(output, fingerprint=fingerprint)
    else:
        n, box = working.images.shape[:2]
        memory, on_card = _memory(settings, backends), not backends[0].is_host
        store = RunStore.create(
            output,
            n=n,
            tile=tile_size(n, box, memory, on_card=on_card),
            fingerprint=fingerprint,
            manifest={"settings": asdict(settings), "version": cryocorr_tui.__version__},
        )
    with store:
        yield store


def _quality(working: WorkingSet) -> Quality:
    bright = np.ones(len(working.images), dtype=np.int8)  # the working set is bright already
    return score_quality(
        working.images,
        mask=working.mask,
        contrast=bright,
        pixel_size=working.pixel_size,
        overlay=working.overlay,
    )


def _at_largest_shift(store: RunStore, working: WorkingSet, p_values: NDArray[np.float64]) -> int:
    """Return how many pairs that hardly are unrelated have their pose at the edge of the search."""
    row = np.repeat(np.arange(store.n), np.arange(store.n)[::-1])  # i of each pair i < j
    length = np.hypot(store.condensed("shift_y_px"), store.condensed("shift_x_px"))
    return int(
        ((p_values < SIMILAR) & (length / working.scale[row] > EDGE * working.max_shift)).sum()
    )


def _group(store: RunStore, quality: Quality) -> tuple[Null, Groups | None]:
    null = fit_null(store.condensed("blend"))
    if store.n > MOST_GROUPED:
        return null, None
    blend = store.symmetric("blend", slice(None), slice(None))
    return null, group_classes(blend, quality=quality.quality, null=null)


def _write_tables(
    store: RunStore,
    sources: Inputs,
    classes: Sequence[ClassAverage],
    working: WorkingSet,
    quality: Quality,
    groups: Groups | None,
    p_values: NDArray[np.float64],
    settings: Settings,
    *,
    matrices: Sequence[str],
    min_score: float,
) -> list[Path]:
    folder = store.folder
    reasons = {k: reason for k, reason in enumerate(working.reasons) if reason}
    tables = [folder / "classes.csv"]
    contrast = ["bright" if sign > 0 else "dark" for sign in working.contrast]
    export.write_classes(
        tables[-1],
        classes,
        quality,
        groups,
        extra={"contrast": contrast, "reason": working.reasons},
    )
    tables.append(folder / "pairs.csv")
    export.write_pairs(
        tables[-1],
        store,
        classes,
        quality=quality.quality,
        quality_weight=settings.quality_weight,
        p_values=p_values,
        q_values=benjamini_yekutieli(p_values),
        reasons=reasons,
        min_score=min_score,
    )
    for field in ("score", *matrices):
        tables.append(folder / ("matrix.csv" if field == "score" else f"matrix_{field}.csv"))
        export.write_matrix(
            tables[-1],
            store,
            field,
            quality=quality.quality,
            quality_weight=settings.quality_weight,
            reasons=reasons,
        )
    if groups is not None:
        tables.append(folder / "groups.csv")
        blend = store.symmetric("blend", slice(None), slice(None))
        export.write_groups(tables[-1], groups, classes, quality.quality, blend)
    if sources.montages:
        tables.append(folder / "squares.csv")
        export.write_squares(tables[-1], [detection for _, detection in sources.montages])
    return tables


def _left_out(classes: Sequence[ClassAverage], working: WorkingSet) -> Iterator[str]:
    """Yield one sentence a reason, however many classes it concerns."""
    for reason in dict.fromkeys(filter(None, working.reasons)):
        names = [
            f"class {item.class_id} (image {item.source_index} of {item.source})"
            for item, why in zip(classes, working.reasons, strict=True)
            if why == reason
        ]
        more = len(names) - MOST_NAMED
        if more > 0:
            names[MOST_NAMED:] = [f"{more} more (see the column reason of classes.csv)"]
        each = "each" if len(names) > 1 else "it"
        yield f"Not compared, since {each} {reason}: {', '.join(names)}."


def _fingerprint(working: WorkingSet, settings: Settings, backend: Backend) -> str:
    """Return a name for everything the content of the store depends on."""
    digest = hashlib.sha256(cryocorr_tui.__version__.encode())
    for array in (working.images, working.mask, working.scale):
        digest.update(np.ascontiguousarray(array).tobytes())
    if working.overlay is not None:
        digest.update(working.overlay.tobytes())
    shaping = {
        "device": "cuda" if backend.is_cuda else "cpu",
        "max_shift": working.max_shift,
        "mirror": settings.mirror,
        "weights": asdict(settings.weights),
        "seed": settings.seed,
        "reasons": working.reasons,
    }
    digest.update(json.dumps(shaping, sort_keys=True).encode())
    return digest.hexdigest()


def _provenance(
    sources: Inputs, classes: Sequence[ClassAverage], settings: Settings
) -> dict[str, object]:
    """Return what a reader of ``run.json`` needs to repeat the run."""
    images = Counter(item.source for item in classes)
    packages = ("numpy", "scipy", "numba", "opencv-python-headless", "scikit-image", "zarr")
    return {
        "version": cryocorr_tui.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "settings": asdict(settings),
        "inputs": [
            {
                "path": source.source,
                "sha256": sources.sha256[source.source],
                "format": source.format,
                "pixel_size_angstrom": source.pixel_size,
                "images": images[source.source],
            }
            for source in sources.sources
        ],
    }


def _memory(settings: Settings, backends: Sequence[Backend]) -> float:
    """Return the bytes of each device that a run may use."""
    if settings.memory is not None:
        return settings.memory * 1e9
    share = HOST_SHARE if backends[0].is_host else CARD_SHARE
    return share * min(backend.memory().free for backend in backends)


def _overlay_names(montages: Sequence[Montage]) -> list[str]:
    """Return a file name for each overlay; montages of the same name are numbered."""
    names: list[str] = []
    for montage in montages:
        stem = f"overlay_{Path(montage.source).stem}"
        numbered = (f"{stem}-{number}.png" for number in count(2))
        names.append(next(name for name in chain([f"{stem}.png"], numbered) if name not in names))
    return names


def _write_picture(path: Path, picture: np.ndarray) -> None:
    with atomic_path(path) as partial:
        encoded = cv2.imencode(".png", picture[..., ::-1])[1]
        partial.write_bytes(encoded.tobytes())


def _write_stack(path: Path, classes: Sequence[ClassAverage]) -> None:
    """Write all class averages as one MRC stack, in the box of the smallest."""
    box = min(item.image.shape[0] for item in classes)
    images = np.concatenate([fourier_resample(item.image[None], box) for item in classes])
    pixel_size = classes[0].pixel_size
    with atomic_path(path) as partial, mrcfile.new(partial) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
        if pixel_size is not None:
            mrc.voxel_size = pixel_size * classes[0].image.shape[0] / box


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = time.perf_counter() - began
