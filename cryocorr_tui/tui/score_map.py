"""The matrix of a run as levels of colour: what the heatmap draws.

One byte a pair, so that the matrix of thousands of classes fits into memory and a line of it is
drawn by a few array operations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.scoring import pair_score, pair_weight

__all__ = ["HUNDREDTHS", "MAP_FIELDS", "UNKNOWN", "ScoreMap"]

UNKNOWN = 0  # not scored (yet), and a class with itself
NARROWEST = 0.05  # span of colours: less would paint noise
HUNDREDTHS = 100  # value 0…1 has the level 1…101: the value as it prints with two decimals

# What can be mapped, and the range of values that colours span.
MAP_FIELDS = {
    "score": (0.0, 1.0),
    "blend": (0.0, 1.0),
    "ncc": (0.0, 1.0),
    "ssim": (0.0, 1.0),
    "nmi": (0.0, 0.5),
    "frc": (0.0, 0.5),  # 1/px: the reciprocal of the period, up to Nyquist
}


class ScoreMap:
    """Levels of one field of all pairs.

    Attributes
    ----------
    run : Run
        Whose pairs they are.
    field : str
        One of `MAP_FIELDS`.
    levels : (rows, cols) uint8
        `UNKNOWN`, or 1 + the value in hundredths, clipped at 0 and 1; symmetric where all are
        compared with all.
    version : int
        Grows with each change.
    """

    def __init__(self, run: Run, field: str = "score") -> None:
        store = run.store
        self.run = run
        self.field = field
        self.levels = np.zeros(
            (store.rows.stop - store.rows.start, store.cols.stop - store.cols.start), np.uint8
        )
        self.version = 0

    @classmethod
    def of_run(
        cls, run: Run, field: str = "score", *, stopped: Callable[[], bool] = lambda: False
    ) -> ScoreMap:
        """Return the map of all pairs that are in the store; less of it once it is `stopped`."""
        found = cls(run, field)
        for tile in run.store.tiles():
            if stopped():
                break
            if run.store.done(tile):
                block = run.store.window(tile.rows, tile.cols)
                found.put(tile.rows, tile.cols, found.levels_of(tile.rows, tile.cols, block))
        return found

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same classes."""
        return self.run.store.split is None

    def levels_of(self, rows: slice, cols: slice, block: FloatArray) -> NDArray[np.uint8]:
        """Return the levels of a block of pairs.

        Parameters
        ----------
        rows, cols : slice
            Class ids.
        block : (fields, h, w) float32
            Fields of `model.PAIR_FIELDS`.

        Returns
        -------
        (h, w) uint8
        """
        values = self._values(rows, cols, block)
        known = ~np.isnan(values)
        hundredths = np.rint(np.clip(np.where(known, values, 0), 0, 1) * HUNDREDTHS)
        return np.where(known, hundredths + 1, UNKNOWN).astype(np.uint8)

    def put(self, rows: slice, cols: slice, levels: NDArray[np.uint8]) -> None:
        """Enter a block of levels, and its mirror image where the map is symmetric."""
        store = self.run.store
        y = slice(rows.start - store.rows.start, rows.stop - store.rows.start)
        x = slice(cols.start - store.cols.start, cols.stop - store.cols.start)
        np.maximum(self.levels[y, x], levels, out=self.levels[y, x])
        if self.symmetric:
            np.maximum(self.levels[x, y], levels.T, out=self.levels[x, y])
        self.version += 1

    def spread(self) -> tuple[float, float]:
        """Return the values below which 5 % and 99.9 % of the known ones lie, 0 to 1."""
        counts = np.bincount(self.levels.ravel(), minlength=HUNDREDTHS + 2)[UNKNOWN + 1 :]
        if not counts.any():
            return 0.0, 1.0
        share = np.cumsum(counts) / counts.sum()
        low, high = np.searchsorted(share, [0.05, 0.999]) / HUNDREDTHS
        return float(low), float(max(high, low + NARROWEST))

    def _values(self, rows: slice, cols: slice, block: FloatArray) -> FloatArray:
        if self.field == "frc":
            period = block[PAIR_FIELDS.index("frc_resolution_px")]
            return np.asarray(1 / period, dtype=np.float32)
        if self.field != "score":
            return np.asarray(block[PAIR_FIELDS.index(self.field)])
        quality = self.run.quality.quality
        weight = pair_weight(
            quality[rows, np.newaxis], quality[cols], self.run.settings.quality_weight
        )
        return pair_score(block[PAIR_FIELDS.index("blend")], weight)
