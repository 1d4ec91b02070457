"""How a run was made, kept in its store: enough to go on with it, or to open it again.

The recipe stands in the store from the first moment, so that also a run that was cut off can be
opened without naming its inputs anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.inputs import Inputs, correct_squares
from cryocorr_tui.core.model import Settings, Square, settings_from
from cryocorr_tui.core.store import RunStore

__all__ = ["Recipe", "read_recipe", "restore_squares", "squares_of"]

Squares = Mapping[str, Sequence[tuple[float, float, float, float, float, bool]]]


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a run is made of.

    Attributes
    ----------
    inputs : tuple of Path
        The files, or those of the first of two sets.
    others : tuple of Path or None
        Those of the second set.
    settings : Settings
        Everything that shapes the result.
    squares : mapping or None
        By source, ``(x, y, width, height, confidence, cut)`` of every square, where they were
        corrected by hand; None where they are as they are found.
    """

    inputs: tuple[Path, ...]
    others: tuple[Path, ...] | None
    settings: Settings
    squares: Squares | None = None

    def as_manifest(self) -> dict[str, object]:
        """Return it as JSON can hold it; files are named as the user did, and from the root."""
        return {
            "settings": asdict(self.settings),
            "folder": str(Path.cwd()),
            "inputs": [str(path) for path in self.inputs],
            "others": None if self.others is None else [str(path) for path in self.others],
            "squares": None if self.squares is None else dict(self.squares),
        }


def read_recipe(folder: Path | str) -> Recipe:
    """Read how the run in `folder` was made.

    Returns
    -------
    Recipe
        A file is named as the user did where it is found so from the present folder, else from
        the root.

    Raises
    ------
    OutputError
        If there is no run, or it does not tell.
    """
    store = RunStore.open(folder, read_only=True)
    told = store.manifest
    try:
        return Recipe(
            inputs=_paths(told["inputs"], told["folder"]),
            others=None if told["others"] is None else _paths(told["others"], told["folder"]),
            settings=settings_from(told["settings"]),
            squares=told["squares"],
        )
    except (KeyError, TypeError) as error:
        raise OutputError(
            f"{folder}: this run does not tell how it was made; name its inputs again, and its "
            "folder as --output."
        ) from error


def squares_of(inputs: Inputs) -> Squares:
    """Return the squares of every montage, by source, as a `Recipe` holds them."""
    return {
        montage.source: [(s.x, s.y, s.width, s.height, s.confidence, s.cut) for s in found.squares]
        for montage, found in inputs.montages
    }


def restore_squares(inputs: Inputs, squares: Squares) -> None:
    """Put the squares of a `Recipe` in place of those that were found in `inputs`, if any were."""
    for index, source in enumerate(inputs.sources):
        kept = squares.get(source.source)
        if kept is not None:
            detection = inputs.detections.get(index)
            before = () if detection is None else detection.squares
            found = {_key(s.x, s.y, s.width, s.height): s for s in before}
            correct_squares(inputs, index, [found.get(_key(*s[:4]), Square(*s)) for s in kept])


def _key(*corner_and_sides: float) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in corner_and_sides)


def _paths(names: Sequence[str], folder: str) -> tuple[Path, ...]:
    paths = [Path(name) for name in names]
    return tuple(path if path.exists() else Path(folder) / path for path in paths)
