"""What each command does: options become settings, events become talk, results become data."""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryocorr_tui.cli.console import data_console, talk_console
from cryocorr_tui.cli.progress import meter_on, warning
from cryocorr_tui.core.words import are, counted

if TYPE_CHECKING:
    from cryocorr_tui.core.displacement.loading import ComparedPictures
    from cryocorr_tui.core.model import DisplacementSettings, Settings

__all__ = ["COMMANDS"]

DEMO_FOLDER = Path("cryocorr_demo")
DEMO_INPUTS = ("class_averages.mrcs", "montage_relion.png")
DEMO_PIXEL_SIZE = 4.2  # Å, of the stack; the montage shows the same pixels and cannot tell


def app(options: argparse.Namespace) -> None:
    """Open the app, with files chosen or a run folder open."""
    from cryocorr_tui.cli.opening import open_app

    open_app(
        options.inputs,
        _search_settings(options),
        output=options.output,
        graphics=options.graphics,
    )


def detect(options: argparse.Namespace) -> None:
    """Cut montages into squares."""
    from cryocorr_tui.core.model import Settings
    from cryocorr_tui.core.montage_cutting import cut_montages

    # What was not given keeps the default of the core.
    chosen: dict[str, Any] = {}
    if options.scales is not None:
        chosen["reference_scales"] = options.scales
    settings = Settings(
        device=options.device,
        memory=options.memory,
        pixel_size=options.pixel_size,
        reading=options.reading,
        bottom_up=options.bottom_up,
        min_box=options.min_box,
        seed=options.seed,
        reference=options.reference,
        reference_threshold=options.threshold,
        **chosen,
    )
    finished = _follow(
        cut_montages(_files(options), options.output, settings, overwrite=options.overwrite)
    )
    talk_console().print(counted(finished.squares, "square"))
    _print_paths(finished.tables)


def analyze(options: argparse.Namespace) -> None:
    """Score all pairs and group same views."""
    from cryocorr_tui.core import analysis

    finished = _follow(
        analysis.analyze(
            _files(options), options.output, _search_settings(options), **_run_options(options)
        )
    )
    talk_console().print(
        f"{counted(finished.classes, 'class average')}, {counted(finished.pairs, 'pair')}, "
        f"{counted(finished.groups, 'group')}"
    )
    _print_paths(finished.tables)


def match(options: argparse.Namespace) -> None:
    """Score every class of one set against every one of another."""
    from cryocorr_tui.core import analysis
    from cryocorr_tui.core.inputs import expand_set

    finished = _follow(
        analysis.match(
            expand_set(options.set_a),
            expand_set(options.set_b),
            options.output,
            _search_settings(options),
            **_run_options(options),
        )
    )
    talk_console().print(
        f"{counted(sum(finished.classes), 'class average')}, {counted(finished.pairs, 'pair')}"
    )
    console = data_console()
    for one, other, found, classes in zip(
        "AB", "BA", finished.found, finished.classes, strict=True
    ):
        console.print(
            f"{found} of {counted(classes, 'class average')} of {one} "
            f"{'has' if found == 1 else 'have'} a counterpart in {other} "
            f"(q < {analysis.FOUND:g})"
        )
    mutual = f"{counted(finished.mutual, 'pair')} of classes {are(finished.mutual)}"
    console.print(f"{mutual} the best of each other")
    if finished.doubt:  # said early on already, but it is the verdict that it concerns
        talk_console().print(warning(finished.doubt))
    _print_paths(finished.tables)


def dic(options: argparse.Namespace) -> None:
    """Measure the displacement between two pictures, or two classes of a run."""
    from cryocorr_tui.core import displacement, export, field_drawing
    from cryocorr_tui.core.displacement.loading import file_and_index, with_mask
    from cryocorr_tui.core.errors import OutputError
    from cryocorr_tui.core.files import check_files

    table = options.output
    if options.plot and options.plot.suffix.lower() != ".png":
        raise OutputError(f"{options.plot}: the field is drawn as a PNG; name a file that ends so.")
    swept = [table.with_name(f"{table.stem}_sweep{end}") for end in (".csv", ".png")]
    files = [table, *([options.plot] if options.plot else []), *(swept if options.sweep else [])]
    given = [path for path in (options.reference, options.deformed) if path is not None]
    inputs = [file_and_index(path)[0] for path in given]
    check_files(files, overwrite=options.overwrite, inputs=inputs)

    pictures = _pictures(options)
    settings = _displacement_settings(options, box=len(pictures.reference))
    if options.mask is not None:
        pictures = with_mask(pictures, options.mask)
    both, mask = (pictures.reference, pictures.deformed, settings), pictures.mask
    field = _follow(displacement.measure_displacement(*both, mask=mask)).field
    export.write_field(table, field)
    if options.plot:
        export.write_picture(options.plot, field_drawing.draw_field(field))
    if options.sweep:
        blocks, multipliers = options.sweep
        events = displacement.sweep_settings(
            *both, mask=mask, block_sizes=blocks, multipliers=multipliers
        )
        cells = _follow(events).cells
        export.write_sweep(swept[0], cells)
        export.write_picture(swept[1], field_drawing.draw_sweep(cells))
    talk_console().print(displacement.described(field))
    if advice := displacement.advice(field):
        talk_console().print(advice)
    _print_paths(tuple(files))


def simulate(options: argparse.Namespace) -> None:
    """Make class averages with exact truth."""
    from cryocorr_tui.core import simulation

    settings = simulation.SimulationSettings(
        structure=options.structure,
        subsets=simulation.read_subsets(options.subsets) if options.subsets else None,
        views=options.views,
        replicates=options.replicates,
        junk=options.junk,
        box=options.box,
        pixel_size=options.pixel_size,
        snr=options.snr,
        contrast=options.contrast,
        max_shift=options.max_shift,
        mirror=not options.no_mirror,
        seed=options.seed,
    )
    events = simulation.simulate(options.output, settings, overwrite=options.overwrite)
    written: tuple[Path, ...] = ()
    with _closing(events), meter_on(talk_console()) as meter:
        for event in events:
            match event:
                case simulation.ClassSimulated(done, total):
                    if done == 1:
                        meter.start("class averages", total)
                    meter.advance(done)
                case simulation.SimulationFinished(files=files):
                    written = files
    _print_paths(written)


def demo(options: argparse.Namespace) -> None:
    """Open the app on the sample data; without a terminal, print what is found in them."""
    from cryocorr_tui.cli.opening import on_terminal, open_app
    from cryocorr_tui.cli.summary import print_summary
    from cryocorr_tui.core import analysis
    from cryocorr_tui.core.files import numbered_folder
    from cryocorr_tui.core.model import Settings
    from cryocorr_tui.core.resources import sample_data

    began = time.perf_counter()
    settings = Settings(device=options.device, pixel_size=DEMO_PIXEL_SIZE)
    inputs = [sample_data() / name for name in DEMO_INPUTS]
    output = numbered_folder(DEMO_FOLDER) if DEMO_FOLDER.exists() else DEMO_FOLDER
    if on_terminal():
        open_app(inputs, settings, output=output, graphics=options.graphics, anew=True)
        return
    finished = _follow(analysis.analyze(inputs, output, settings))
    seconds = time.perf_counter() - began
    print_summary(data_console(), finished, truth=sample_data() / "truth.csv", seconds=seconds)


def doctor(options: argparse.Namespace) -> None:
    """Tell what works here, what does not, and how to mend it."""
    from cryocorr_tui.cli.findings import print_findings
    from cryocorr_tui.core.doctor import examine

    print_findings(data_console(), examine())


COMMANDS = {
    "app": app,
    "detect": detect,
    "analyze": analyze,
    "match": match,
    "dic": dic,
    "simulate": simulate,
    "demo": demo,
    "doctor": doctor,
}


def _files(options: argparse.Namespace) -> list[Path]:
    """Return the inputs, of a folder all files in it."""
    from cryocorr_tui.core.inputs import expand_set

    return [file for name in options.inputs for file in expand_set(name)]


def _search_settings(options: argparse.Namespace) -> Settings:
    """Return the settings of a search; what was not given keeps the default of the core."""
    from cryocorr_tui.core.model import MaskDiameter, MetricWeights, Settings

    chosen: dict[str, Any] = {}
    if options.weights is not None:
        chosen["weights"] = MetricWeights(**options.weights)
    if options.mask_diameter is not None:
        chosen["mask_diameter"] = MaskDiameter(*options.mask_diameter)
    return Settings(
        device=options.device,
        max_shift=options.max_shift,
        mirror=not options.no_mirror,
        quality_weight=options.quality_weight,
        spectral_weighting=options.spectral_weighting,
        drawn=options.drawn,
        pixel_size=options.pixel_size,
        box=options.box,
        memory=options.memory,
        seed=options.seed,
        reading=options.reading,
        bottom_up=options.bottom_up,
        min_box=options.min_box,
        **chosen,
    )


def _pictures(options: argparse.Namespace) -> ComparedPictures:
    """Read the two pictures of dic, and tell what was done to them."""
    from cryocorr_tui.core.analysis import RunOpened
    from cryocorr_tui.core.displacement.loading import pictures_of_files, pictures_of_pair
    from cryocorr_tui.core.reopening import reopen

    if not options.pair:
        pictures = pictures_of_files(options.reference, options.deformed)
        for note in pictures.notes:
            talk_console().print(note)
        return pictures
    folder, i, j = options.pair
    opened = (event for event in reopen(Path(folder)) if isinstance(event, RunOpened))
    return pictures_of_pair(next(opened).run, int(i), int(j))


def _displacement_settings(options: argparse.Namespace, *, box: int) -> DisplacementSettings:
    """Return the settings of a displacement field; for class averages, tell what was chosen."""
    from cryocorr_tui.core.displacement.pair_settings import SUITED, pair_settings
    from cryocorr_tui.core.model import DisplacementSettings

    names = DisplacementSettings.__dataclass_fields__
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if not options.pair:
        return DisplacementSettings(**given)
    settings = pair_settings(box, **given)
    told = [
        f"--{name.replace('_', '-')} {getattr(settings, name)}"
        for name in SUITED
        if name not in given
    ]
    if told:
        talk_console().print(f"Chosen for class averages of {box} px: {' '.join(told)}")
    return settings


def _run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a run needs beside its settings."""
    names = ("overwrite", "resume", "matrices", "min_score")
    return {name: getattr(options, name) for name in names}


def _follow(events: Iterator[Any]) -> Any:
    """Show how far a run is and return its last event, which holds the result.

    The run is closed however this ends, so that an interrupted one frees its device.
    """
    from cryocorr_tui.core.events import Notice, StageProgressed, StageStarted, TileScored

    event = None
    with _closing(events), meter_on(talk_console()) as meter:
        for event in events:
            match event:
                case StageStarted(stage, total, done, share):
                    meter.start(stage, total, done, share)
                case StageProgressed(done=done):
                    meter.advance(done)
                case TileScored(done=done, share=share):
                    meter.advance(done, share)
                case Notice(text, warning=True):
                    meter.warn(text)
                case Notice(text):
                    meter.tell(text)
    return event


def _closing(events: Iterator[Any]) -> AbstractContextManager[object]:
    """Return a context that ends a run; what the core calls an iterator is a generator."""
    return closing(cast("Generator[Any, None, None]", events))


def _print_paths(paths: tuple[Path, ...]) -> None:
    console = data_console()
    for path in paths:
        console.print(str(path))
