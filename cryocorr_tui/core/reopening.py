"""A run folder, opened again: as the same analysis or match, which goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryocorr_tui.core.analysis import Event, analyze, match
from cryocorr_tui.core.intake import take_in
from cryocorr_tui.core.run_recipe import read_recipe, restore_squares

__all__ = ["reopen"]


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
        taken = yield from take_in(recipe.inputs, recipe.settings)
        restore_squares(taken, recipe.squares)
    yield from analyze(
        recipe.inputs, folder, recipe.settings, resume=True, taken=taken, write=False
    )
