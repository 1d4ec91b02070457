"""One comparison of class averages: what is compared, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.inputs import Inputs
from cryocorr_tui.core.model import (
    PAIR_FIELDS,
    ClassAverage,
    Groups,
    PairAlignment,
    Pose,
    Quality,
    Settings,
)
from cryocorr_tui.core.preprocessing import WorkingSet
from cryocorr_tui.core.scoring import pair_reason, pair_score, pair_weight
from cryocorr_tui.core.store import RunStore
from cryocorr_tui.core.survey import Survey

__all__ = ["Run"]


@dataclass(frozen=True, eq=False)
class Run:
    """Class averages and all their pairs.

    Attributes
    ----------
    sources : Inputs
        The files, and the squares found in the pictures among them.
    classes : tuple of ClassAverage
        In the order of their class ids.
    working : WorkingSet
        What the search sees of them.
    quality : Quality
        Of the same classes.
    settings : Settings
        Everything that shapes the result.
    fingerprint : str
        Names everything that the content of the store depends on.
    store : RunStore
        Every pair that is scored; it may be read while it fills.
    backends : sequence of Backend
        Where the pairs are computed.
    peaks : dict
        Bytes that each device held at most, by its name; filled when the last tile is scored.
    survey : Survey or None
        What chance gives; None until all pairs are scored.
    groups : Groups or None
        Groups of same views; None until then, where memory did not allow it, and for two sets.
    drawn : str
        What squares at an unknown zoom are taken to show: "field" or "pixels".
    doubt : str
        Why that could not be told by the pictures, a sentence; empty where it is known.
    """

    sources: Inputs
    classes: tuple[ClassAverage, ...]
    working: WorkingSet
    quality: Quality
    settings: Settings
    fingerprint: str
    store: RunStore
    backends: Sequence[Backend] = ()
    peaks: dict[str, int] = field(default_factory=dict)
    survey: Survey | None = None
    groups: Groups | None = None
    drawn: str = "field"
    doubt: str = ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.store.folder

    @property
    def reasons(self) -> dict[int, str]:
        """Why a class was left out, by class id."""
        return {k: reason for k, reason in enumerate(self.working.reasons) if reason}

    def pair(self, i: int, j: int) -> PairAlignment:
        """Read one pair.

        Parameters
        ----------
        i, j : int
            Class ids, of a pair of the run, in either order.

        Returns
        -------
        PairAlignment
            Its pose brings j onto i, also where i > j.

        Raises
        ------
        OutputError
            If the store is damaged.
        """
        first, second = min(i, j), max(i, j)
        values = self.store.window(slice(first, first + 1), slice(second, second + 1))[:, 0, 0]
        known = dict(zip(PAIR_FIELDS, values.tolist(), strict=True))
        weight = pair_weight(
            self.quality.quality[first],
            self.quality.quality[second],
            self.settings.quality_weight,
        )
        blend = values[PAIR_FIELDS.index("blend")]
        scored = not np.isnan(blend)
        p_value = q_value = float("nan")
        if self.survey is not None:
            p, q = self.survey.chance(np.array([blend]), np.array([first]), np.array([second]))
            p_value, q_value = float(p[0]), float(q[0])
        found = PairAlignment(
            i=first,
            j=second,
            score=float(pair_score(blend, weight)),
            blend=known["blend"],
            weight=float(weight),
            ncc=known["ncc"],
            ssim=known["ssim"],
            nmi=known["nmi"],
            frc_resolution_px=known["frc_resolution_px"],
            pixel_size=self.classes[first].pixel_size,
            pose=Pose(
                known["rotation_deg"],
                known["shift_y_px"],
                known["shift_x_px"],
                bool(known["mirrored"]),
            )
            if scored
            else None,
            p_value=p_value,
            q_value=q_value,
            same_source=self.classes[first].source == self.classes[second].source,
            reason="" if scored else pair_reason(first, second, self.reasons),
        )
        return found if i <= j else found.seen_from_j(self.source_pixels(second, first))

    def source_pixels(self, i: int, j: int) -> float:
        """Return how many source pixels of class i are as long as one of class j."""
        return float(self.working.scale[i] / self.working.scale[j])
