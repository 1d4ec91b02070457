"""Montages in, squares out: what ``cryocorr detect`` does, as a generator of events.

Apart from `analysis`, since it needs no part of the search, and a large picture wants the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryocorr_tui.core.detection_files import write_detections, write_stack
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.events import Notice
from cryocorr_tui.core.files import DETECTION_FILES, check_apart, check_output, prepare_output
from cryocorr_tui.core.inputs import to_class_averages
from cryocorr_tui.core.intake import IntakeEvent, take_in
from cryocorr_tui.core.model import Settings, Stack

__all__ = ["DetectionFinished", "cut_montages"]


@dataclass(frozen=True)
class DetectionFinished:
    """The squares of all montages are written."""

    folder: Path
    squares: int
    tables: tuple[Path, ...]


def cut_montages(
    inputs: Sequence[Path], output: Path, settings: Settings, *, overwrite: bool = False
) -> Iterator[IntakeEvent | DetectionFinished]:
    """Cut montages into squares.

    Writes ``squares.csv``, one ``overlay_NAME.png`` a montage, and ``stack.mrcs`` with the whole
    squares of all montages in one box. Pictures without a grid are left out, with a warning.

    Yields
    ------
    IntakeEvent or DetectionFinished
        The last one is `DetectionFinished`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend; nothing is written then.
    """
    check_apart(output, [*inputs, *_reference_of(settings)])
    check_output(output, overwrite=overwrite, own=DETECTION_FILES)
    sources = yield from take_in(inputs, replace(settings, reading="montage"), leave_out=True)
    stack = next((source for source in sources.sources if isinstance(source, Stack)), None)
    if stack is not None:
        raise InputError(
            f"{stack.source}: is a stack already, there is nothing to cut; give it to "
            "cryocorr analyze."
        )
    for text in sources.warnings:
        yield Notice(text)
    prepare_output(output, overwrite=overwrite, own=DETECTION_FILES)
    tables = write_detections(sources, output)
    squares = sum(len(detection.squares) for _, detection in sources.montages)
    classes = to_class_averages(sources)
    del sources  # the stack needs memory, too
    tables += write_stack(output, classes)
    yield DetectionFinished(output, squares, tuple(tables))


def _reference_of(settings: Settings) -> list[Path]:
    """Return the file of the reference, where one is hunted."""
    if settings.reference is None:
        return []
    from cryocorr_tui.core.reference import parse_reference  # brings compiled code along

    return [parse_reference(settings.reference).path]
