"""Two pictures between which a displacement is measured, before they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # these draw in scipy and OpenCV, which the first frame does not wait for
    from cryocorr_tui.core.displacement.loading import ComparedPictures
    from cryocorr_tui.core.model import DisplacementSettings
    from cryocorr_tui.core.run import Run

__all__ = ["Compared"]


@dataclass(frozen=True, eq=False)
class Compared:
    """What shall be compared.

    Attributes
    ----------
    reference, deformed : str
        Names of the pictures.
    read : callable
        Returns them; takes a while.
    box : int or None
        Pixels across class averages; None of other pictures.
    files : tuple of Path
        The two files, where it is such that are compared.
    pair : tuple of int
        The two classes, where it is such of a run.
    """

    reference: str
    deformed: str
    read: Callable[[], ComparedPictures]
    box: int | None = None
    files: tuple[Path, ...] = ()
    pair: tuple[int, ...] = ()

    @classmethod
    def of_files(cls, reference: Path, deformed: Path) -> Compared:
        """Return two pictures; ``FILE#INDEX`` is one of a stack."""
        files = reference, deformed
        return cls(reference.name, deformed.name, partial(_of_files, *files), files=files)

    @classmethod
    def of_pair(cls, run: Run, i: int, j: int) -> Compared:
        """Return class i of a run, and class j laid on it."""
        box = run.classes[i].image.shape[-1]
        read = partial(_of_pair, run, i, j)
        return cls(f"class {i}", f"class {j} laid on {i}", read, box, pair=(i, j))

    def fitting(self, settings: DisplacementSettings) -> DisplacementSettings:
        """Return settings that suit the kind of picture; `settings` suit all but class averages."""
        if self.box is None:
            return settings
        from cryocorr_tui.core.displacement import pair_settings

        return pair_settings(self.box, device=settings.device, memory=settings.memory)


def _of_files(reference: Path, deformed: Path) -> ComparedPictures:
    from cryocorr_tui.core.displacement.loading import pictures_of_files

    return pictures_of_files(reference, deformed)


def _of_pair(run: Run, i: int, j: int) -> ComparedPictures:
    from cryocorr_tui.core.displacement.loading import pictures_of_pair

    return pictures_of_pair(run, i, j)
