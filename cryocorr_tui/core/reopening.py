"""A run folder, opened again: as the same analysis or match, which goes on where it was."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cryocorr_tui.core.analysis import Event, analyze, match
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.events import StageProgressed, StageStarted
from cryocorr_tui.core.inputs import Inputs, find_squares
from cryocorr_tui.core.intake import InputsTaken, read_inputs
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.run_recipe import Squares, read_recipe, restore_squares

__all__ = ["reopen", "take_in_with"]


def reopen(folder: Path) -> Iterator[Event]:
    """Open the run in `folder`, and score what it lacks.

    Its inputs are read again; no table is written.

    Yields
    ------
    Event
        As `analysis.analyze` or `analysis.match` do.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend: no run, inputs that have gone or changed.
    """
    recipe = read_recipe(folder)
    if recipe.others is not None:
        yield from match(
            recipe.inputs, recipe.others, folder, recipe.settings, resume=True, write=False
        )
        return
    taken = None
    if recipe.squares is not None:
        taken = yield from take_in_with(recipe.squares, recipe.inputs, recipe.settings)
    yield from analyze(
        recipe.inputs, folder, recipe.settings, resume=True, taken=taken, write=False
    )


def take_in_with(
    squares: Squares, inputs: Sequence[Path], settings: Settings
) -> Generator[Event, None, Inputs]:
    """Read the inputs as `analysis.take_in` does, and put squares of the user's into them.

    Parameters
    ----------
    squares : mapping
        As a `Recipe` holds them.
    inputs, settings
        As for `analysis.take_in`.

    Raises
    ------
    CryocorrError
        With one sentence that says what to mend.
    """
    taken = yield from read_inputs(inputs, settings)
    if settings.reading != "images":
        yield StageStarted("finding squares", len(taken.sources))
        # What is found tells more of a square than its place. Where nothing is found, the user has
        # placed the squares.
        with suppress(NoSquaresError):
            for done in find_squares(taken, settings):
                yield StageProgressed("finding squares", done)
    restore_squares(taken, squares)
    yield InputsTaken(taken)
    return taken
