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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import mrcfile
import numpy as np

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
from cryocorr_tui.core.grouping import BYTES_PER_PAIR, group_classes
from cryocorr_tui.core.inputs import Inputs, find_squares, read_sources, to_class_averages
from cryocorr_tui.core.matching import Matches, find_matches
from cryocorr_tui.core.model import (
    PAIR_FIELDS,
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
from cryocorr_tui.core.readers.picture import swap_red_and_blue
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.similarity import PairScorer, tile_size, warm_up
from cryocorr_tui.core.store import STORE_NAME, RunStore, Tile
from cryocorr_tui.core.survey import Survey, begin_survey, count_pairs

__all__ = [
    "AnalysisFinished",
    "DetectionFinished",
    "Event",
    "MatchFinished",
    "Notice",
    "StageProgressed",
    "StageStarted",
    "TileScored",
    "analyze",
    "detect",
    "match",
]

PREPARING = 10  # ordinary pairs that take as long as to prepare one class: 8 at 64², 13 at 128²
HOST_SHARE, CARD_SHARE = 0.5, 0.8  # of the free memory that a run takes unless told how much
FOUND = 0.05  # q-value from which down a class has a counterpart in the other set
MOST_NAMED = 5  # classes left out for one reason that are named in a sentence


@dataclass(frozen=True)
class StageStarted:
    """A stage of `total` steps (0: unknown) begins.

    An earlier run has ``done`` so many of them, which is ``share`` of the work (as in
    `TileScored`).
    """

    stage: str
    total: int
    done: int = 0
    share: float | None = None


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
    """A block of pairs is in the store; `done` of `total` pairs are.

    ``share`` is the part of the work that is behind, 0 to 1 (None: that of the pairs): not every
    pair costs the same.
    """

    rows: slice
    cols: slice
    done: int
    total: int
    share: float | None = None


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


@dataclass(frozen=True)
class MatchFinished:
    """All tables of a comparison of two sets are written.

    ``classes`` and ``found`` are for both sets: how many each has, and how many of them have a
    counterpart in the other at a q-value below `FOUND`. ``mutual`` counts pairs of classes that are
    the best partner of each other, at such a q-value.
    """

    folder: Path
    classes: tuple[int, int]
    pairs: int
    found: tuple[int, int]
    mutual: int
    tables: tuple[Path, ...]


Event = (
    StageStarted
    | StageProgressed
    | Notice
    | TileScored
    | AnalysisFinished
    | DetectionFinished
    | MatchFinished
)


@dataclass(frozen=True, eq=False)
class _Material:
    """What a run works on; the first `split` classes against the others, or (None) all with all."""

    sources: Inputs
    classes: tuple[ClassAverage, ...]
    working: WorkingSet
    quality: Quality
    backends: Sequence[Backend]
    settings: Settings
    split: int | None
    fingerprint: str
    peaks: dict[str, int] = field(default_factory=dict)  # bytes held by each device, by its name

    @property
    def reasons(self) -> dict[int, str]:
        """Why a class was left out, by class id."""
        return {k: reason for k, reason in enumerate(self.working.reasons) if reason}


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
    timings: dict[str, float] = {}
    began = time.perf_counter()
    material = yield from _prepare(
        inputs, None, output, settings, timings, overwrite=overwrite, resume=resume
    )
    with _store(output, material) as store:
        with _timed(timings, "comparing"):
            yield from _compare(store, material)
        with _timed(timings, "surveying"):
            found = yield from _survey(store, material)
        yield StageStarted("grouping", 0)
        with _timed(timings, "grouping"):
            groups, said = _group(store, material, found)
            yield said
        yield StageStarted("writing tables", 0)
        with _timed(timings, "writing tables"):
            tables = _write_classes(output, material, groups)
            tables += _write_pairs(store, material, found, matrices, min_score)
            if groups is None:
                (output / "groups.csv").unlink(missing_ok=True)  # of a resumed run with more memory
            else:
                tables.append(output / "groups.csv")
                blend = store.symmetric("blend", slice(None), slice(None))
                export.write_groups(
                    tables[-1], groups, material.classes, material.quality.quality, blend
                )
            tables += _write_squares(output, material)
        timings["all"] = time.perf_counter() - began
        tables.append(output / "run.json")
        export.write_run_json(
            tables[-1],
            {
                **_told_of_run(store, material, found),
                "grouping": None if groups is None else groups.criterion,
                "seconds": _rounded(timings),
            },
        )
        yield AnalysisFinished(
            folder=output,
            classes=store.n,
            pairs=store.pairs_done(),
            groups=0 if groups is None else len(groups.representatives),
            tables=tuple(tables),
        )


def match(
    set_a: Sequence[Path],
    set_b: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    resume: bool = False,
    matrices: Sequence[str] = (),
    min_score: float = 0.5,
) -> Iterator[Event]:
    """Compare every class average of one set with every one of another and write every table.

    Parameters
    ----------
    set_a, set_b : sequence of Path
        Stacks, montages, or pictures of one class average each. Different pixel sizes are brought
        together as in `analyze`.
    output, settings, overwrite, resume, min_score
        As in `analyze`.
    matrices : sequence of str
        Further fields to write as |A|×|B| tables, beside the score.

    Yields
    ------
    Event
        The last one is `MatchFinished`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend. Nothing of an earlier run is touched before the
        inputs have been read and understood.
    """
    timings: dict[str, float] = {}
    began = time.perf_counter()
    material = yield from _prepare(
        set_a, set_b, output, settings, timings, overwrite=overwrite, resume=resume
    )
    with _store(output, material) as store:
        with _timed(timings, "comparing"):
            yield from _compare(store, material)
        with _timed(timings, "surveying"):
            found = yield from _survey(store, material)
        yield StageStarted("writing tables", 0)
        with _timed(timings, "writing tables"):
            matches = find_matches(
                store,
                quality=material.quality.quality,
                quality_weight=settings.quality_weight,
            )
            sets = np.where(np.arange(store.n) < store.rows.stop, "A", "B").tolist()
            tables = [output / "matches.csv"]
            export.write_matches(tables[0], matches, material.classes, sets, chance=found.chance)
            tables += _write_classes(output, material, None, {"set": sets})
            tables += _write_pairs(store, material, found, matrices, min_score)
            tables += _write_squares(output, material)
        timings["all"] = time.perf_counter() - began
        tables.append(output / "run.json")
        export.write_run_json(
            tables[-1], {**_told_of_run(store, material, found), "seconds": _rounded(timings)}
        )
        yield _match_finished(store, matches, found, tables)


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
    if pictures and settings.reading != "images":
        yield StageStarted("finding squares", len(inputs))
        for done in find_squares(taken, settings):
            yield StageProgressed("finding squares", done)
        for text in taken.findings:
            yield Notice(text, warning=False)
    return taken


def _prepare(
    first: Sequence[Path],
    second: Sequence[Path] | None,
    output: Path,
    settings: Settings,
    timings: dict[str, float],
    *,
    overwrite: bool,
    resume: bool,
) -> Generator[Event, None, _Material]:
    """Read one set or two and make them ready to be compared, and the output folder as well."""
    check_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    with _timed(timings, "reading"):
        sources = yield from _take_in([*first, *(second or ())], settings)
        classes = to_class_averages(sources)
        working = prepare(classes, settings)
        split = None if second is None else _split(first, classes, working)
    backends, remark = choose_backends(settings.device)
    for text in (*sources.warnings, *working.notes, *_left_out(classes, working)):
        yield Notice(text)
    if remark:
        yield Notice(remark, warning=False)
    yield StageStarted("scoring quality", len(classes))
    with _timed(timings, "scoring quality"):
        quality = _quality(working)
        yield StageProgressed("scoring quality", len(classes))
    fingerprint = _fingerprint(working, settings, backends[0], split)
    prepare_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    return _Material(sources, classes, working, quality, backends, settings, split, fingerprint)


def _split(first: Sequence[Path], classes: Sequence[ClassAverage], working: WorkingSet) -> int:
    """Return how many classes are of the first set; the others are of the second.

    Raises
    ------
    InputError
        If either set has no class that can be compared.
    """
    names = {str(path) for path in first}
    split = sum(item.source in names for item in classes)
    for name, usable in (("first", working.usable[:split]), ("second", working.usable[split:])):
        if not usable.any():
            raise InputError(
                f"The {name} set holds no class average that can be compared; give a file with at "
                "least one picture of a particle."
            )
    return split


def _compare(store: RunStore, material: _Material) -> Generator[Event, None, None]:
    """Score the tiles that are not in the store yet."""
    done = store.pairs_done()
    if done == store.pairs:
        return
    settings, backends = material.settings, material.backends
    missing = (tile for tile in store.tiles() if not store.done(tile))
    try:
        yield StageStarted("loading kernels (compiled at the first run)", 0)
        for backend in backends:
            warm_up(backend)
        work = sum(_work(tile) for tile in store.tiles())
        behind = sum(_work(tile) for tile in store.tiles() if store.done(tile))
        yield StageStarted("comparing pairs", store.pairs, done, behind / work)
        memory = _memory(settings, backends)
        scored = score_tiles(
            missing, backends, lambda on: PairScorer(material.working, settings, on, memory=memory)
        )
        with closing(scored):
            for tile, block in scored:
                store.write(tile, block)
                done += tile.pairs
                behind += _work(tile)
                yield TileScored(tile.rows, tile.cols, done, store.pairs, behind / work)
        material.peaks.update((backend.name, backend.memory().peak) for backend in backends)
    finally:
        for backend in backends:
            backend.release()


def _work(tile: Tile) -> int:
    """Return what a tile costs, in ordinary pairs.

    The coarse search covers a whole tile, also on the diagonal, and columns are prepared when the
    first row meets them.
    """
    height, width = int(tile.rows.stop - tile.rows.start), int(tile.cols.stop - tile.cols.start)
    return height * width + (PREPARING * width if tile.row == 0 else 0)


def _survey(store: RunStore, material: _Material) -> Generator[Event, None, Survey]:
    """Learn what chance gives, and warn of poses at the edge of the search."""
    yield StageStarted("surveying", store.rows.stop)
    found = begin_survey(store)
    for rows in count_pairs(store, material.working, found):
        yield StageProgressed("surveying", rows)
    if found.at_largest_shift:
        yield Notice(
            f"{found.at_largest_shift} similar pairs reach the largest shift that was searched, so "
            "they may fit better beyond it; try a larger --max-shift."
        )
    return found


@contextmanager
def _store(output: Path, material: _Material) -> Iterator[RunStore]:
    """Open the store of an earlier run in `output`, or make a new one."""
    if (output / STORE_NAME).exists():
        store = RunStore.open(output, fingerprint=material.fingerprint)
    else:
        n, box = material.working.images.shape[:2]
        settings = material.settings
        store = RunStore.create(
            output,
            n=n,
            tile=tile_size(
                n,
                box,
                _memory(settings, material.backends),
                on_card=not material.backends[0].is_host,
            ),
            split=material.split,
            fingerprint=material.fingerprint,
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


def _group(store: RunStore, material: _Material, found: Survey) -> tuple[Groups | None, Notice]:
    """Group the classes, where memory allows, and say how."""
    needed = BYTES_PER_PAIR * store.pairs / 1e9
    if needed > _memory(material.settings, [Backend("cpu")]) / 1e9:
        return None, Notice(
            f"The {store.n} class averages are not grouped: all pairs at once take {needed:.1f} GB "
            f"of memory; give --resume --memory {np.ceil(needed * 10) / 10:g} for that."
        )
    blend = store.symmetric("blend", slice(None), slice(None))
    groups = group_classes(blend, quality=material.quality.quality, null=found.null)
    return groups, Notice(f"Groups: {groups.criterion}.", warning=False)


def _match_finished(
    store: RunStore, matches: Matches, found: Survey, tables: Sequence[Path]
) -> MatchFinished:
    _, q_values = found.chance(matches.pairs[PAIR_FIELDS.index("blend")], *matches.pair_ids())
    counterpart = q_values < FOUND
    a, b = counterpart[store.rows], counterpart[store.cols]
    return MatchFinished(
        folder=store.folder,
        classes=(a.size, b.size),
        pairs=store.pairs_done(),
        found=(int(a.sum()), int(b.sum())),
        mutual=int((matches.mutual[store.rows] & a).sum()),
        tables=tuple(tables),
    )


def _write_classes(
    folder: Path,
    material: _Material,
    groups: Groups | None,
    extra: Mapping[str, Sequence[object]] | None = None,
) -> list[Path]:
    contrast = ["bright" if sign > 0 else "dark" for sign in material.working.contrast]
    export.write_classes(
        folder / "classes.csv",
        material.classes,
        material.quality,
        groups,
        extra={"contrast": contrast, "reason": material.working.reasons, **(extra or {})},
    )
    return [folder / "classes.csv"]


def _write_pairs(
    store: RunStore,
    material: _Material,
    found: Survey,
    matrices: Sequence[str],
    min_score: float,
) -> list[Path]:
    """Write the table of pairs and those of single fields."""
    weighting: dict[str, Any] = {
        "quality": material.quality.quality,
        "quality_weight": material.settings.quality_weight,
        "reasons": material.reasons,
    }
    tables = [store.folder / "pairs.csv"]
    export.write_pairs(
        tables[0], store, material.classes, chance=found.chance, min_score=min_score, **weighting
    )
    for name in ("score", *matrices):
        tables.append(store.folder / ("matrix.csv" if name == "score" else f"matrix_{name}.csv"))
        export.write_matrix(tables[-1], store, name, **weighting)
    return tables


def _write_squares(folder: Path, material: _Material) -> list[Path]:
    montages = material.sources.montages
    if not montages:
        return []
    export.write_squares(folder / "squares.csv", [detection for _, detection in montages])
    return [folder / "squares.csv"]


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


def _fingerprint(
    working: WorkingSet, settings: Settings, backend: Backend, split: int | None
) -> str:
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
        "split": split,
    }
    digest.update(json.dumps(shaping, sort_keys=True).encode())
    return digest.hexdigest()


def _told_of_run(store: RunStore, material: _Material, found: Survey) -> dict[str, object]:
    """Return what ``run.json`` tells of any comparison, all but the time it took."""
    null = found.null
    return {
        **_provenance(material.sources, material.classes, material.settings),
        "device": ",".join(backend.name for backend in material.backends),
        "device_peak_bytes": material.peaks,
        "fingerprint": material.fingerprint,
        "classes": store.n,
        "split": store.split,
        "pairs": store.pairs_done(),
        "null": {"location": null.location, "scale": null.scale, "pairs": null.pairs},
    }


def _rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(seconds, 3) for stage, seconds in timings.items()}


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
    """Write an RGB picture, of which nothing is kept: its colours are swapped in place."""
    with atomic_path(path) as partial:
        swap_red_and_blue(picture)
        encoded = cv2.imencode(".png", picture)[1]
        partial.write_bytes(encoded.data)


def _write_stack(path: Path, classes: Sequence[ClassAverage]) -> None:
    """Write all class averages as one MRC stack, in the box of the smallest."""
    box = min(item.image.shape[0] for item in classes)
    pixel_size = classes[0].pixel_size
    shape = len(classes), box, box
    with (
        atomic_path(path) as partial,
        mrcfile.new_mmap(partial, shape, mrc_mode=2, overwrite=True) as mrc,
    ):
        for image, item in zip(mrc.data, classes, strict=True):
            image[:] = fourier_resample(item.image[None], box)[0]
        _describe(mrc)
        mrc.set_image_stack()
        if pixel_size is not None:
            mrc.voxel_size = pixel_size * classes[0].image.shape[0] / box


def _describe(mrc: mrcfile.mrcmemmap.MrcMemmap) -> None:
    """Set the statistics of a header image by image: mrcfile would copy the stack to float64."""
    header, images = mrc.header, mrc.data
    header.dmin, header.dmax = images.min(), images.max()
    means = [image.mean(dtype=np.float64) for image in images]
    variances = [image.var(dtype=np.float64) for image in images]
    header.dmean = np.mean(means)
    header.rms = np.sqrt(np.mean(variances) + np.var(means))


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = time.perf_counter() - began
