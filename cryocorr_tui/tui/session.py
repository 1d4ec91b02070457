"""What the user has chosen and found so far: one session, which all screens share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from cryocorr_tui.core.model import DisplacementSettings, Settings

if TYPE_CHECKING:  # these draw in numba, zarr and OpenCV, which the first frame does not wait for
    from cryocorr_tui.core.choices import Choices
    from cryocorr_tui.core.inputs import Inputs
    from cryocorr_tui.core.ranking import Ranker
    from cryocorr_tui.core.run import Run
    from cryocorr_tui.tui.compared import Compared
    from cryocorr_tui.tui.score_map import ScoreMap

__all__ = ["Changed", "Session"]


class Changed(Enum):
    """What is new in the session."""

    FILES = auto()  # other files are chosen
    TAKEN = auto()  # they are read, squares are found in pictures, or that failed
    RUN = auto()  # another run is open, with what its store holds
    TILES = auto()  # more pairs are scored
    FINISHED = auto()  # all is known of the run
    CHOICES = auto()  # the user kept, dropped or grouped classes
    COMPARED = auto()  # two other pictures are chosen for a displacement


@dataclass(eq=False)
class Session:
    """All state that outlives a screen.

    Attributes
    ----------
    files : list of Path
        Chosen, in the order of their choice.
    settings : Settings
        Of the next run.
    output : Path
        Folder of runs and tables.
    folder : Path
        Where files are looked for.
    read : Inputs or None
        `files`, read; squares are looked for in a copy. None until that is done.
    taken : Inputs or None
        The same with the squares that were found; None until that is done, and where it failed.
    problem : str
        Why reading or comparing failed, a sentence.
    corrected : bool
        The user changed squares of `taken` by hand.
    outdated : bool
        `taken` was read with other settings than `settings`, and is kept for its corrections.
    run : Run or None
        The run on the screens.
    finished : bool
        All is known of it.
    score_map : ScoreMap or None
        Its matrix, as far as it is scored.
    choices : Choices or None
        What the user decided about its classes.
    compared : Compared or None
        The two pictures between which the displacement is measured.
    field_settings : dict
        How, as the user wants it, by the box of class averages; of other pictures by None.
    field_mask : str
        What of the reference counts, see `loading.read_mask`.
    notes : list of str
        What the last job told, a sentence each.
    """

    files: list[Path] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    output: Path = Path("cryocorr_results")
    folder: Path = Path()
    read: Inputs | None = None
    taken: Inputs | None = None
    problem: str = ""
    corrected: bool = False
    outdated: bool = False
    run: Run | None = None
    finished: bool = False
    score_map: ScoreMap | None = None
    choices: Choices | None = None
    compared: Compared | None = None
    field_settings: dict[int | None, DisplacementSettings] = field(default_factory=dict)
    field_mask: str = ""
    notes: list[str] = field(default_factory=list)
    _ranker: Ranker | None = None

    def ranker(self, run: Run) -> Ranker:
        """Return what finds the best pairs of a run: each is read from its store but once."""
        from cryocorr_tui.core.ranking import Ranker

        if self._ranker is None or self._ranker.run.store is not run.store:
            self._ranker = Ranker(run)
        return self._ranker
