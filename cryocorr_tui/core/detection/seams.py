"""A montage of squares that touch without any border, found by its seams.

Where neighbouring squares share the grey level, no single side can be seen. But pixels that belong
to different pictures differ more than neighbours within one, and such a montage fills the picture
with whole squares: few divisions are possible, and each is judged by all its seams at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.detection.lattice import Boxes, Cells

__all__ = ["seam_grid"]

FloatArray = NDArray[np.float64]

MOST_SQUARES_ABREAST = 25
UNEQUAL_SIDES = 0.02
# Standard deviations by which the seams must exceed the same comb of lines elsewhere, in both
# directions together and in each, and the factor by which they must exceed the best of those
# (JPEG blocks make many good combs).
SEAM_SIGMAS = 4.5
LEAST_SIGMAS = 2.0
SEAM_LEAD = 1.3
LONE_SIGMAS, LONE_LEAD = 5.0, 1.5  # the same for the only seam there is
LEAST_CONTRAST = 0.1  # octaves of step between pixels
FULL_CONTRAST = 1.0  # more says no more: a single strong line is no comb
BANDS = 3
SAME_SEAM = 0.8  # contrast in terms of the strongest division: some of the same seams
FAINT_TOOTH = 0.68  # contrast of a line in terms of the true seams beside it: none of them


def seam_grid(grey: NDArray[np.uint8], *, min_box: int) -> tuple[Boxes, Cells]:
    """Return the squares of a picture that touching squares fill, none where it is not one.

    Returns
    -------
    boxes : (n, 4) float64
        x0, y0, x1, y1.
    cells : (n, 2) int
        Row and column.
    """
    x0, y0, x1, y1 = _filled_part(grey)
    part = grey[y0:y1, x0:x1]
    contrast = [
        [_seam_contrast(band) for band in np.array_split(picture, BANDS)]
        for picture in (part, np.ascontiguousarray(part.T))
    ]
    found: list[tuple[float, int, int]] = []
    for columns, rows in _divisions(x1 - x0, y1 - y0, min_box):
        combs = [
            _comb(bands, count)
            for bands, count in zip(contrast, (columns, rows), strict=True)
            if count > 1
        ]
        lone = columns * rows == 2
        sigmas, lead = (LONE_SIGMAS, LONE_LEAD) if lone else (SEAM_SIGMAS, SEAM_LEAD)
        if _are_seams(combs, sigmas, lead):
            found.append((float(np.mean([comb.contrast for comb in combs])), columns, rows))
    # A coarser comb sees some of the seams, a finer one also what resampling leaves between them.
    strongest = max((contrast for contrast, _, _ in found), default=0.0)
    strong = [division for division in found if division[0] >= SAME_SEAM * strongest]
    _, columns, rows = max(strong, key=lambda division: division[1], default=(0.0, 0, 0))
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.stack([row.ravel(), column.ravel()], axis=1).astype(np.intp)
    if not len(cells):
        return np.empty((0, 4)), cells
    step = np.array([(x1 - x0) / columns, (y1 - y0) / rows])
    corner = np.array([x0, y0]) + cells[:, ::-1] * step
    return np.concatenate([corner, corner + step], axis=1), cells


def _filled_part(grey: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the picture less its rows and columns of one level."""
    rows = np.flatnonzero(np.ptp(grey, axis=1) > 6)
    columns = np.flatnonzero(np.ptp(grey, axis=0) > 6)
    if not len(rows) or not len(columns):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _divisions(width: int, height: int, min_box: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers of columns and rows that cut an area into squares."""
    for columns in range(1, min(MOST_SQUARES_ABREAST, width // min_box) + 1):
        rows = round(height * columns / width) if width else 0
        if not 1 <= rows <= MOST_SQUARES_ABREAST or rows * columns < 2:
            continue
        wide, high = width / columns, height / rows
        if min(wide, high) >= min_box and abs(wide - high) <= 1 + UNEQUAL_SIDES * wide:
            yield columns, rows


def _seam_contrast(part: NDArray[np.uint8]) -> FloatArray:
    """Return how much each line between two columns stands out from the lines beside it."""
    if min(part.shape) < 2:
        return np.zeros(max(part.shape[1] - 1, 0))
    step = cv2.absdiff(part[:, 1:], part[:, :-1])
    profile = np.log2(step.astype(np.float32) + 1.0).mean(axis=0, dtype=np.float64)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(profile, 6, "reflect"), 13)
    contrast: FloatArray = profile - np.median(near, axis=1)
    return contrast


@dataclass(frozen=True)
class _Comb:
    """How far equally spaced lines stand out from the same comb of lines elsewhere.

    Attributes
    ----------
    contrast : float
        Above the mean of the others, octaves.
    sigmas : float
        The same in standard deviations of the others.
    lead : float
        The same in terms of the best of the others.
    """

    contrast: float = 0.0
    sigmas: float = 0.0
    lead: float = 0.0


def _are_seams(combs: list[_Comb], least_sigmas: float, least_lead: float) -> bool:
    """Say whether the lines of one or both directions together stand out enough."""
    sigmas = np.array([comb.sigmas for comb in combs])
    lead = np.array([comb.lead for comb in combs])
    return bool(
        sigmas.min() >= LEAST_SIGMAS
        and sigmas.sum() >= least_sigmas * np.sqrt(len(combs))
        and lead.min() >= 1.0
        and lead.prod() >= least_lead
        and np.mean([comb.contrast for comb in combs]) >= LEAST_CONTRAST
    )


def _comb(bands: list[FloatArray], count: int) -> _Comb:
    """Judge the seams of `count` squares abreast against the same comb at other places."""
    pitch = (len(bands[0]) + 1) / count
    teeth = np.rint(np.arange(1, count) * pitch).astype(np.intp) - 1
    shifts = np.arange(3, int(pitch) - 3)
    if len(shifts) < 8:
        return _Comb()
    comb = teeth + np.concatenate([[0], shifts])[:, None]
    lines = np.stack(
        [
            np.maximum.reduce([band, np.roll(band, 1), np.roll(band, -1)])[comb % len(band)]
            for band in bands
        ]
    )  # (band, shift, tooth)
    np.minimum(lines, FULL_CONTRAST, out=lines)
    each = lines[:, 0].mean(axis=0) - np.median(lines[:, 1:])
    if any(_is_too_fine(each, count, factor) for factor in range(2, count // 2 + 1)):
        return _Comb()
    here, *elsewhere = lines.mean(axis=(0, 2))
    contrast = float(here - np.mean(elsewhere))
    spread = float(np.std(elsewhere))
    best = float(np.max(elsewhere) - np.mean(elsewhere))
    return _Comb(contrast, contrast / max(spread, 1e-9), contrast / max(best, 1e-9))


def _is_too_fine(teeth: FloatArray, count: int, factor: int) -> bool:
    """Say whether every `factor`-th tooth alone is a seam."""
    if count % factor:
        return False
    coarse = np.arange(1, count) % factor == 0
    return bool(teeth[~coarse].mean() < FAINT_TOOTH * teeth[coarse].mean())
