"""What long work of any kind says on its way: small frozen events."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryocorr_tui.core.model import FloatArray

__all__ = ["LOADING", "Notice", "StageProgressed", "StageStarted", "TileScored"]

LOADING = "loading kernels (compiled at the first run)"  # a stage


@dataclass(frozen=True)
class StageStarted:
    """A stage of `total` steps (0: unknown) begins.

    An earlier run has ``done`` so many of them, which is ``share`` of the work (None: that of the
    steps).
    """

    stage: str
    total: int
    done: int = 0
    share: float | None = None


@dataclass(frozen=True)
class StageProgressed:
    """`done` steps of a stage are behind."""

    stage: str
    done: int


@dataclass(frozen=True)
class Notice:
    """One sentence for the user: a warning, or a plain finding."""

    text: str
    warning: bool = True


@dataclass(frozen=True)
class TileScored:
    """A block of pairs is in the store; `done` of `total` pairs are.

    ``share`` is the part of the work that is behind, 0 to 1 (None: that of the pairs): not every
    pair costs the same. ``block`` is what the store has of it, (fields, h, w) float32, fields as
    in `model.PAIR_FIELDS`.
    """

    rows: slice
    cols: slice
    done: int
    total: int
    share: float | None = None
    block: FloatArray | None = field(default=None, compare=False, repr=False)
