"""The stages in their order, as generators of small frozen events.

Whoever consumes the events may stop at any of them (``contextlib.closing``): what was scored is in
the store and the device is free again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

import cryocorr_tui
from cryocorr_tui.core.backend import Backend, choose_backends
from cryocorr_tui.core.budget import LEAST, OWN, Budget
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.events import LOADING, Notice, StageProgressed, StageStarted, TileScored
from cryocorr_tui.core.files import (
    RUN_FILES,
    STORE_NAME,
    check_apart,
    check_output,
    prepare_output,
)
from cryocorr_tui.core.grouping import BYTES_PER_PAIR, group_classes
from cryocorr_tui.core.inputs import (
    Inputs,
    look_at_print,
    to_class_averages,
)
from cryocorr_tui.core.intake import IntakeEvent, take_in
from cryocorr_tui.core.matching import Matches, find_matches
from cryocorr_tui.core.model import (
    PAIR_FIELDS,
    ClassAverage,
    Groups,
    Settings,
)
from cryocorr_tui.core.preprocessing import WorkingSet, prepare
from cryocorr_tui.core.quality import quality_of
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.run_recipe import Recipe, squares_of
from cryocorr_tui.core.run_tables import write_run_tables
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.similarity import PairScorer, warm_up
from cryocorr_tui.core.spectral import weighted
from cryocorr_tui.core.store import RunStore, Tile
from cryocorr_tui.core.survey import Survey, begin_survey, count_pairs
from cryocorr_tui.core.zoom import (
    Zoom,
    at_any_zoom,
    in_question,
    pixel_for_pixel,
    taken_at_given_size,
    tell_zoom,
)

__all__ = [
    "AnalysisFinished",
    "Event",
    "MatchFinished",
    "RunOpened",
    "analyze",
    "match",
]

PREPARING = 10  # ordinary pairs that take as long as to prepare one class: 8 at 64², 13 at 128²
HOST_SHARE, CARD_SHARE = 0.5, 0.8  # of the free memory that a run takes unless told how much
FOUND = 0.05  # q-value from which down a class has a counterpart in the other set
MOST_NAMED = 5  # classes left out for one reason that are named in a sentence


@dataclass(frozen=True, eq=False)
class RunOpened:
    """The class averages are ready and the store of their pairs is open, with what is in it."""

    run: Run


@dataclass(frozen=True)
class AnalysisFinished:
    """All is known of a run, and its tables are written where that was wanted."""

    folder: Path
    classes: int
    pairs: int
    groups: int
    tables: tuple[Path, ...]
    run: Run | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class MatchFinished:
    """All is known of a comparison of two sets, and its tables are written where wanted.

    ``classes`` and ``found`` are for both sets: how many each has, and how many of them have a
    counterpart in the other at a q-value below `FOUND`. ``mutual`` counts pairs of classes that are
    the best partner of each other, at such a q-value. ``doubt`` is a sentence that says why the
    numbers may be wrong (`Run.doubt`); empty where there is none.
    """

    folder: Path
    classes: tuple[int, int]
    pairs: int
    found: tuple[int, int]
    mutual: int
    tables: tuple[Path, ...]
    doubt: str = ""
    run: Run | None = field(default=None, compare=False, repr=False)


Event = IntakeEvent | RunOpened | TileScored | AnalysisFinished | MatchFinished


def analyze(
    inputs: Sequence[Path],
    output: Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    resume: bool = False,
    matrices: Sequence[str] = (),
    min_score: float = 0.5,
    taken: Inputs | None = None,
    write: bool = True,
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
    taken : Inputs, optional
        The inputs as `take_in` gives them, with squares corrected by hand.
    write : bool
        False leaves the tables to whoever looks at the run (`run_tables.write_run_tables`).

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
    run = yield from _prepare(
        inputs, None, output, settings, timings, overwrite=overwrite, resume=resume, taken=taken
    )
    with run.store as store:
        yield RunOpened(run)
        with _timed(timings, "comparing"):
            yield from _compare(run)
        with _timed(timings, "surveying"):
            found = yield from _survey(run)
        yield StageStarted("grouping", 0)
        with _timed(timings, "grouping"):
            groups, said = _group(run, found)
            yield said
        run = replace(run, survey=found, groups=groups)
        tables: tuple[Path, ...] = ()
        if write:
            yield StageStarted("writing tables", 0)
            timings["all"] = time.perf_counter() - began
            tables = write_run_tables(
                run, output, matrices=matrices, min_score=min_score, seconds=timings
            )
        yield AnalysisFinished(
            folder=output,
            classes=store.n,
            pairs=store.pairs_done(),
            groups=0 if groups is None else len(groups.representatives),
            tables=tables,
            run=run,
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
    write: bool = True,
) -> Iterator[Event]:
    """Compare every class average of one set with every one of another and write every table.

    Parameters
    ----------
    set_a, set_b : sequence of Path
        Stacks, montages, or pictures of one class average each. Different pixel sizes are brought
        together as in `analyze`.
    output, settings, overwrite, resume, min_score, write
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
    run = yield from _prepare(
        set_a, set_b, output, settings, timings, overwrite=overwrite, resume=resume
    )
    with run.store as store:
        yield RunOpened(run)
        with _timed(timings, "comparing"):
            yield from _compare(run)
        with _timed(timings, "surveying"):
            found = yield from _survey(run)
        run = replace(run, survey=found)
        matches = find_matches(
            store,
            quality=run.quality.quality,
            quality_weight=settings.quality_weight,
        )
        tables: tuple[Path, ...] = ()
        if write:
            yield StageStarted("writing tables", 0)
            timings["all"] = time.perf_counter() - began
            tables = write_run_tables(
                run, output, matrices=matrices, min_score=min_score, seconds=timings
            )
        yield _match_finished(run, matches, found, tables)


def _prepare(
    first: Sequence[Path],
    second: Sequence[Path] | None,
    output: Path,
    settings: Settings,
    timings: dict[str, float],
    *,
    overwrite: bool,
    resume: bool,
    taken: Inputs | None = None,
) -> Generator[Event, None, Run]:
    """Read one set or two, make them ready to be compared, and open the store of their pairs."""
    named = [*first, *(second or ())]
    check_apart(output, named)
    check_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    with _timed(timings, "reading"):
        if taken is None:
            sources = yield from take_in(named, settings)
        else:
            sources = taken
            look_at_print(sources)
        classes = to_class_averages(sources)
        if settings.drawn == "field":
            classes = at_any_zoom(classes)
    backends, remark = choose_backends(settings.device)
    with _timed(timings, "telling the zoom"):
        zoom = yield from _tell_zoom(classes, settings, backends)
    with _timed(timings, "preparing"):
        if zoom.drawn == "pixels":
            classes = pixel_for_pixel(classes)
        working = prepare(classes, replace(settings, drawn=zoom.drawn))
        split = None if second is None else _split(first, classes, working)
    for text in (*sources.warnings, *working.notes, *_left_out(classes, working)):
        yield Notice(text)
    if zoom.doubt:
        yield Notice(zoom.doubt)
    if taken_at_given_size(classes, settings):
        yield Notice(
            "Squares of montages are taken to have the --pixel-size of the other inputs, pixel for "
            "pixel; give --drawn field too if they are scaled."
        )
    if backends[0].is_host and _memory(settings, backends) < LEAST:
        yield Notice(
            f"A run keeps to {LEAST / 1e9:g} GB of memory or more; with less it takes as little as "
            "it can."
        )
    for text in filter(None, (zoom.finding, remark)):
        yield Notice(text, warning=False)
    yield StageStarted("scoring quality", len(classes))
    with _timed(timings, "scoring quality"):
        quality = quality_of(working)
        yield StageProgressed("scoring quality", len(classes))
    working = weighted(working, settings.spectral_weighting)  # quality is of the plain pictures
    fingerprint = _fingerprint(working, settings, backends[0], split)
    prepare_output(output, overwrite=overwrite, resume=resume, own=RUN_FILES)
    recipe = Recipe(
        inputs=tuple(first),
        others=None if second is None else tuple(second),
        settings=settings,
        squares=None if taken is None else squares_of(taken),
    )
    store = _store(output, working, settings, backends, split, fingerprint, recipe)
    return Run(
        sources,
        classes,
        working,
        quality,
        settings,
        fingerprint,
        store,
        backends,
        drawn=zoom.drawn,
        doubt=zoom.doubt,
    )


def _tell_zoom(
    classes: Sequence[ClassAverage], settings: Settings, backends: Sequence[Backend]
) -> Generator[Event, None, Zoom]:
    """Tell what squares of montages show, looking at the pictures only where nothing else tells."""
    if not in_question(classes, settings):
        return Zoom("field" if settings.drawn == "auto" else settings.drawn)
    try:
        yield from _load_kernels(backends[:1])
        yield StageStarted("telling the zoom of squares", 0)
        return tell_zoom(classes, settings, backends[0], memory=_memory(settings, backends))
    finally:
        backends[0].release()


def _load_kernels(backends: Sequence[Backend]) -> Generator[Event, None, None]:
    yield StageStarted(LOADING, 0)
    for backend in backends:
        warm_up(backend)


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


def _compare(run: Run) -> Generator[Event, None, None]:
    """Score the tiles that are not in the store yet."""
    store, settings, backends = run.store, run.settings, run.backends
    done = store.pairs_done()
    if done == store.pairs:
        return
    try:
        yield from _load_kernels(backends)
        work = sum(_work(tile) for tile in store.tiles())
        behind = sum(_work(tile) for tile in store.tiles() if store.done(tile))
        yield StageStarted("comparing pairs", store.pairs, done, behind / work)
        budget = _budget(run.working, settings, backends)
        missing = (tile for tile in store.tiles(budget.columns) if not store.done(tile))
        scored = score_tiles(
            missing,
            backends,
            lambda on: PairScorer(run.working, settings, on, memory=budget.memory),
            lanes=budget.lanes(store.tile),
        )
        with closing(scored):
            for tile, block in scored:
                store.write(tile, block)
                done += tile.pairs
                behind += _work(tile)
                yield TileScored(tile.rows, tile.cols, done, store.pairs, behind / work, block)
        run.peaks.update((backend.name, backend.memory().peak) for backend in backends)
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


def _survey(run: Run) -> Generator[Event, None, Survey]:
    """Learn what chance gives, and warn of poses at the edge of the search."""
    store = run.store
    yield StageStarted("surveying", store.rows.stop)
    found = begin_survey(store)
    for rows in count_pairs(store, run.working, found):
        yield StageProgressed("surveying", rows)
    if found.at_largest_shift:
        yield Notice(
            f"Similar pairs that reach the largest shift searched: {found.at_largest_shift}. They "
            "may fit better beyond it; try a larger --max-shift."
        )
    return found


def _store(
    output: Path,
    working: WorkingSet,
    settings: Settings,
    backends: Sequence[Backend],
    split: int | None,
    fingerprint: str,
    recipe: Recipe,
) -> RunStore:
    """Open the store of an earlier run in `output`, or make a new one."""
    manifest = {**recipe.as_manifest(), "version": cryocorr_tui.__version__}
    if (output / STORE_NAME).exists():
        store = RunStore.open(output, fingerprint=fingerprint)
        # Settings that only read the pairs in another way may have changed.
        if json.dumps(manifest) != json.dumps(dict(store.manifest)):
            store.note(manifest)
        return store
    n = len(working.images)
    return RunStore.create(
        output,
        n=n,
        tile=_budget(working, settings, backends).tile(n),
        split=split,
        fingerprint=fingerprint,
        manifest=manifest,
    )


def _group(run: Run, found: Survey) -> tuple[Groups | None, Notice]:
    """Group the classes, where memory allows, and say how."""
    store = run.store
    needed = BYTES_PER_PAIR * store.pairs
    if needed > _budget(run.working, run.settings, [Backend("cpu")]).free:
        enough = np.ceil((needed + OWN) / 1e8) / 10
        return None, Notice(
            f"The {store.n} class averages are not grouped: all pairs at once take "
            f"{needed / 1e9:.1f} GB of memory; give --resume --memory {enough:g} for that."
        )
    blend = store.symmetric("blend", slice(None), slice(None))
    groups = group_classes(blend, quality=run.quality.quality, null=found.null)
    if len(groups.representatives) == np.count_nonzero(groups.labels):
        return groups, Notice(
            "No two class averages are in one group, since no pair reaches the blend at which "
            f"groups are cut ({groups.criterion}). Some may show one view all the same: see the "
            "best pairs, or move the cut on the screen Groups of the app."
        )
    return groups, Notice(f"Groups: {groups.criterion}.", warning=False)


def _match_finished(
    run: Run, matches: Matches, found: Survey, tables: tuple[Path, ...]
) -> MatchFinished:
    store = run.store
    _, q_values = found.chance(matches.pairs[PAIR_FIELDS.index("blend")], *matches.pair_ids())
    counterpart = q_values < FOUND
    a, b = counterpart[store.rows], counterpart[store.cols]
    return MatchFinished(
        folder=store.folder,
        classes=(a.size, b.size),
        pairs=store.pairs_done(),
        found=(int(a.sum()), int(b.sum())),
        mutual=int((matches.mutual[store.rows] & a).sum()),
        tables=tables,
        doubt=run.doubt,
        run=run,
    )


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
        digest.update(np.ascontiguousarray(array).data)
    if working.overlay is not None:
        digest.update(np.ascontiguousarray(working.overlay).data)
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


def _budget(working: WorkingSet, settings: Settings, backends: Sequence[Backend]) -> Budget:
    """Return how much of each device a run may use."""
    return Budget.of(working, _memory(settings, backends), on_card=not backends[0].is_host)


def _memory(settings: Settings, backends: Sequence[Backend]) -> float:
    """Return the bytes of each device that a run may use."""
    if settings.memory is not None:
        return settings.memory * 1e9
    share = HOST_SHARE if backends[0].is_host else CARD_SHARE
    return share * min(backend.memory().free for backend in backends)


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = time.perf_counter() - began
