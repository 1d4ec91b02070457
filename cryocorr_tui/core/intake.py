"""Taking inputs in: files read, and the squares of the pictures among them found."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryocorr_tui.core.events import Notice, StageProgressed, StageStarted
from cryocorr_tui.core.inputs import Inputs, find_squares, read_sources
from cryocorr_tui.core.model import Montage, Settings

__all__ = ["InputsTaken", "IntakeEvent", "SourcesRead", "find_in_sources", "read_inputs", "take_in"]


@dataclass(frozen=True, eq=False)
class SourcesRead:
    """The inputs are read; squares are not looked for yet."""

    inputs: Inputs


@dataclass(frozen=True, eq=False)
class InputsTaken:
    """The inputs are read, and the squares of the pictures among them are found."""

    inputs: Inputs


IntakeEvent = StageStarted | StageProgressed | Notice | SourcesRead | InputsTaken


def take_in(
    inputs: Sequence[Path], settings: Settings, *, leave_out: bool = False
) -> Generator[IntakeEvent, None, Inputs]:
    """Read the inputs and find the squares of the pictures among them, as `find_squares`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend.
    """
    read = yield from read_inputs(inputs, settings)
    yield SourcesRead(read)
    return (yield from find_in_sources(read, settings, leave_out=leave_out))


def read_inputs(inputs: Sequence[Path], settings: Settings) -> Generator[IntakeEvent, None, Inputs]:
    """Read the inputs; squares are not looked for.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend.
    """
    read = Inputs()
    yield StageStarted("reading", len(inputs))
    for done in read_sources(inputs, settings, read):
        yield StageProgressed("reading", done)
    return read


def find_in_sources(
    read: Inputs, settings: Settings, *, leave_out: bool = False
) -> Generator[IntakeEvent, None, Inputs]:
    """Find the squares of the pictures among sources, as `take_in` does once they are read.

    Parameters
    ----------
    read : Inputs
        Left as it is: squares may be looked for again, with other settings.
    settings, leave_out
        As for `inputs.find_squares`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend.
    """
    taken = Inputs(list(read.sources), dict(read.sha256))
    pictures = any(isinstance(source, Montage) for source in taken.sources)
    if pictures and settings.reading != "images":
        yield StageStarted("finding squares", len(taken.sources))
        for done in find_squares(taken, settings, leave_out=leave_out):
            yield StageProgressed("finding squares", done)
        for text in taken.findings:
            yield Notice(text, warning=False)
    yield InputsTaken(taken)
    return taken
