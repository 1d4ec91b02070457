"""How a run shares out its memory: the side of a tile, columns kept, tiles in work at a time.

The host takes half of it for rows of tiles and for one tile in work, a quarter for columns and a
quarter for further tiles in work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryocorr_tui.core.alignment import OVERSAMPLING
from cryocorr_tui.core.frc import CUTOFFS
from cryocorr_tui.core.polar import PolarGrid, shift_lattice
from cryocorr_tui.core.preprocessing import WorkingSet

__all__ = ["LEAST", "OWN", "Budget"]

OWN = 0.2e9  # bytes of the host that Python and its libraries take
LEAST = 0.5e9  # bytes of the host that a run keeps to
_LARGEST_TILE = 32  # about a quarter of a second on two cores, which is how long a cancel waits
_LARGEST_TILE_ON_CARD = 256  # enough work for a card at once; not measured yet
_COLUMN_CACHE = 512e6  # bytes, at most, on the host
_PASSING = 4e9  # bytes, at most, of what is thrown away when a tile is done; more gains nothing
_ROWS_IN_WORK = 3  # rows of tiles: one that comes to its end, the next, and one that is let go
_PICTURES_OF_A_ROW = 14  # each in single precision, beside its spectra
_PICTURES_OF_A_PAIR = 1.5


@dataclass(frozen=True)
class Budget:
    """What a run may hold at a time.

    Parameters
    ----------
    memory : float
        Bytes of the device that computes.
    box : int
        Working box in pixels.
    shifts : int
        Shifts searched.
    on_card : bool
        Whether the device is a card, which wants more work at a time than a CPU.
    """

    memory: float
    box: int
    shifts: int
    on_card: bool = False

    @classmethod
    def of(cls, working: WorkingSet, memory: float, *, on_card: bool) -> Budget:
        """Return the budget of a run over a working set."""
        shifts = len(shift_lattice(working.max_shift))
        return cls(memory, working.images.shape[-1], shifts, on_card)

    @property
    def free(self) -> float:
        """Bytes that are left for the pairs."""
        return self.memory if self.on_card else max(self.memory - OWN, self.memory / 4)

    @property
    def passing(self) -> float:
        """Bytes of what is thrown away when a tile is done."""
        return min(self.free / 4, _PASSING)

    @property
    def columns(self) -> int:
        """Class averages that are kept ready as columns.

        They are made once where tiles come in bands of so many.
        """
        grid = PolarGrid.for_box(self.box)
        rings = 4 * 2 * (grid.rotations + 1) * grid.rings  # samples, and spectra of them
        each = rings + self._picture * (OVERSAMPLING**2 + len(CUTOFFS))
        most = math.inf if self.on_card else _COLUMN_CACHE
        return max(1, int(min(self.free / 4, most) / each))

    def tile(self, n: int) -> int:
        """Return the side of a tile of a run of `n` class averages."""
        if self.on_card:
            both = 2 * self._picture  # of a pair: the aligned picture and a passing copy
            return max(1, min(_LARGEST_TILE_ON_CARD, n, math.isqrt(int(self.free / 4 / both))))
        grid = PolarGrid.for_box(self.box)
        spectra = 4 * (grid.rotations + 2) * grid.rings * self.shifts
        row = _ROWS_IN_WORK * (spectra + _PICTURES_OF_A_ROW * self._picture)
        pair = _PICTURES_OF_A_PAIR * self._picture
        # The largest side with side × row + side² × pair ≤ free / 2.
        side = (math.sqrt(row**2 + 2 * pair * self.free) - row) / (2 * pair)
        return max(1, min(_LARGEST_TILE, n, int(side)))

    def lanes(self, tile: int) -> int:
        """Return for how many tiles of that side at a time the host has room."""
        return 1 + int(self.free / 4 / (tile**2 * _PICTURES_OF_A_PAIR * self._picture))

    @property
    def _picture(self) -> int:
        return 4 * self.box**2
