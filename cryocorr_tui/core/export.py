"""The tables of a run; `tables` tells how their fields are written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocorr_tui.core.files import atomic_path
from cryocorr_tui.core.grouping import mean_inside
from cryocorr_tui.core.matching import Matches
from cryocorr_tui.core.model import (
    PAIR_FIELDS,
    ClassAverage,
    DisplacementField,
    FloatArray,
    Groups,
    Quality,
)
from cryocorr_tui.core.scoring import pair_reason, pair_score, pair_weight
from cryocorr_tui.core.store import SYMMETRIC_FIELDS, RunStore
from cryocorr_tui.core.tables import Column, booleans, counts, csv_file, floats, texts, write_table

if TYPE_CHECKING:
    from cryocorr_tui.core.displacement import SweepCell

__all__ = [
    "ALL_PAIRS_LIMIT",
    "write_classes",
    "write_field",
    "write_groups",
    "write_matches",
    "write_matrix",
    "write_pairs",
    "write_picture",
    "write_run_json",
    "write_sweep",
]

# Above the pairs of this many classes `pairs.csv` would be a file of gigabytes: only high scores
# are written.
ALL_PAIRS_LIMIT = 3000

# Pairs held in memory at once while a table is written: about 100 MB.
PAIRS_AT_ONCE = 500_000

Ids = NDArray[np.integer]
Values = NDArray[np.floating]
Chance = Callable[[FloatArray, Ids, Ids], tuple[Values, Values]]


def write_classes(
    path: Path | str,
    classes: Sequence[ClassAverage],
    quality: Quality,
    groups: Groups | None = None,
    *,
    extra: Mapping[str, Column] | None = None,
) -> None:
    """Write ``classes.csv``, one row a class average.

    Parameters
    ----------
    path : Path or str
        The file.
    classes : sequence of ClassAverage
        In the order of their class ids.
    quality : Quality
        Of the same classes.
    groups : Groups, optional
        Without them, and for a class that was not scored, the column ``group`` is empty.
    extra : mapping of str to sequence, optional
        Further columns, put at the end.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    n = len(classes)
    if quality.quality.shape != (n,):
        raise ValueError(f"expected quality of shape ({n},), received {quality.quality.shape}")
    labels = np.zeros(n, dtype=np.int32) if groups is None else groups.labels
    columns: dict[str, Column] = {
        "class_id": [c.class_id for c in classes],
        "source": texts([c.source for c in classes]),
        "source_index": [c.source_index for c in classes],
        "x": floats([c.x for c in classes]),
        "y": floats([c.y for c in classes]),
        "width": floats([c.width for c in classes]),
        "height": floats([c.height for c in classes]),
        "box_px": [max(c.image.shape) for c in classes],
        "pixel_size_angstrom": floats([c.pixel_size for c in classes]),
        "particles": counts([c.particles for c in classes]),
        "resolution_angstrom": floats([c.resolution for c in classes]),
        "quality": floats(quality.quality),
        "texture": floats(quality.texture),
        "edge": floats(quality.edge),
        "signal": floats(quality.signal),
        "centring": floats(quality.centring),
        "fill": floats(quality.fill),
        "group": counts(np.where(labels > 0, labels, np.nan)),
        "selected": booleans([c.selected for c in classes]),
    }
    write_table(path, {**columns, **(extra or {})})


def write_pairs(
    path: Path | str,
    store: RunStore,
    classes: Sequence[ClassAverage],
    *,
    quality: FloatArray,
    quality_weight: float,
    chance: Chance | None = None,
    reasons: Mapping[int, str] | None = None,
    min_score: float = 0.5,
) -> None:
    """Write ``pairs.csv``, one row a pair of the run, by i, then j, streamed from `store`.

    Parameters
    ----------
    path : Path or str
        The file.
    store : RunStore
        A pair of a tile that is not done yet has empty fields and the reason "not scored".
    classes : sequence of ClassAverage
        The n classes of the run. A period in Å is that of class i, in whose frame a pair is scored.
    quality : (n,) float32
        0 to 1.
    quality_weight : float
        See `scoring.pair_weight`.
    chance : callable, optional
        Gives p-values and q-values of pairs from their blends, i and j, each (m,); see
        `survey.Survey.chance`. Unknown without it.
    reasons : mapping of int to str, optional
        Why a class was left out, see `scoring.pair_reason`.
    min_score : float
        With more pairs than those of `ALL_PAIRS_LIMIT` classes, only pairs of at least this score
        are written.

    Raises
    ------
    OutputError
        If the file cannot be written or the store is damaged.
    """
    n = store.n
    if len(classes) != n or quality.shape != (n,):
        raise ValueError(
            f"expected {n} classes and quality of shape ({n},), received {len(classes)} classes and"
            f" quality of shape {quality.shape}"
        )
    pixel_size = floats([c.pixel_size for c in classes])
    _, source = np.unique([c.source for c in classes], return_inverse=True)
    ids = np.arange(n)
    with csv_file(path) as file:
        for rows in store.bands(PAIRS_AT_ONCE):
            window = store.window(rows, store.cols)
            weight = pair_weight(quality[rows, np.newaxis], quality[store.cols], quality_weight)
            score = pair_score(window[PAIR_FIELDS.index("blend")], weight)
            wanted = ids[rows, np.newaxis] < ids[store.cols]
            if store.pairs > ALL_PAIRS_LIMIT * (ALL_PAIRS_LIMIT - 1) // 2:
                wanted &= score >= min_score
            row, col = np.nonzero(wanted)
            i, j = row + rows.start, col + store.cols.start
            fields = dict(zip(PAIR_FIELDS, window[:, row, col], strict=True))
            unknown = np.full(i.size, np.nan)
            p_values, q_values = chance(fields["blend"], i, j) if chance else (unknown, unknown)
            frame = pd.DataFrame(
                {
                    "i": i,
                    "j": j,
                    "score": score[row, col],
                    "blend": fields["blend"],
                    "weight": weight[row, col],
                    "ncc": fields["ncc"],
                    "ssim": fields["ssim"],
                    "nmi": fields["nmi"],
                    "frc_resolution_px": fields["frc_resolution_px"],
                    "frc_resolution_angstrom": fields["frc_resolution_px"] * pixel_size[i],
                    "rotation_deg": fields["rotation_deg"],
                    "shift_y_px": fields["shift_y_px"],
                    "shift_x_px": fields["shift_x_px"],
                    "mirrored": booleans(fields["mirrored"]),
                    "same_source": booleans(source[i] == source[j]),
                    "p_value": floats(p_values),
                    "q_value": floats(q_values),
                    "reason": _reasons(i, j, fields["blend"], reasons or {}),
                }
            )
            frame.to_csv(file, index=False, header=rows.start == 0, lineterminator="\r\n")


def write_matrix(
    path: Path | str,
    store: RunStore,
    field: str = "score",
    *,
    quality: FloatArray,
    quality_weight: float,
    reasons: Mapping[int, str] | None = None,
) -> None:
    """Write one field of all pairs as a table, streamed from `store`.

    The first row and the first column are class ids. Of all classes with each other it is N×N, of
    one set with another |A|×|B|. On the diagonal of N×N stands what a class gives with itself: 1
    for ``blend``, ``ncc``, ``ssim`` and ``nmi``, its weight for ``score``, and an empty field for
    ``frc_resolution_px``, since the curve of an image with itself never falls. A class that was not
    scored has an empty field there too.

    Parameters
    ----------
    path : Path or str
        The file.
    store : RunStore
        The run.
    field : str
        "score" or one of `store.SYMMETRIC_FIELDS`.
    quality : (n,) float32
        0 to 1.
    quality_weight : float
        See `scoring.pair_weight`; matters to the score alone.
    reasons : mapping of int to str, optional
        The classes that were not scored, with the reason.

    Raises
    ------
    OutputError
        If the file cannot be written or the store is damaged.
    """
    n = store.n
    if field != "score" and field not in SYMMETRIC_FIELDS:
        raise ValueError(f"expected 'score' or one of {SYMMETRIC_FIELDS}, received {field!r}")
    if quality.shape != (n,):
        raise ValueError(f"expected quality of shape ({n},), received {quality.shape}")
    itself = np.full(n, np.nan if field == "frc_resolution_px" else 1, dtype=np.float32)
    itself[list(reasons or {})] = np.nan
    ids = np.arange(n)
    with csv_file(path) as file:
        for rows in store.bands(PAIRS_AT_ONCE):
            values = store.symmetric("blend" if field == "score" else field, rows, store.cols)
            if store.split is None:
                values[ids[rows] - rows.start, ids[rows]] = itself[rows]
            if field == "score":
                weight = pair_weight(quality[rows, np.newaxis], quality[store.cols], quality_weight)
                values = pair_score(values, weight)
            frame = pd.DataFrame(values, index=ids[rows], columns=ids[store.cols])
            frame.to_csv(
                file, index_label="class_id", header=rows.start == 0, lineterminator="\r\n"
            )


def write_matches(
    path: Path | str,
    matches: Matches,
    classes: Sequence[ClassAverage],
    sets: Sequence[str],
    *,
    chance: Chance,
) -> None:
    """Write ``matches.csv``: for each class of either set the best one of the other.

    ``match`` is its class id, ``mutual`` tells whether the two choose each other. Pose and period
    are those of the pair in ``pairs.csv``: they bring the class of the second set onto that of the
    first.

    Parameters
    ----------
    path : Path or str
        The file.
    matches : Matches
        Of the n classes.
    classes : sequence of ClassAverage
        In the order of their class ids.
    sets : sequence of str
        Name of the set of each class.
    chance : callable
        As in `write_pairs`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    found = matches.partner >= 0
    partners = [classes[k] if k >= 0 else None for k in matches.partner]
    pair = dict(zip(PAIR_FIELDS, matches.pairs, strict=True))
    i, j = matches.pair_ids()
    p_values, q_values = chance(pair["blend"], i, j)
    pixel_size = floats([c.pixel_size for c in classes])
    columns: dict[str, Column] = {
        "class_id": [c.class_id for c in classes],
        "set": list(sets),
        "source": texts([c.source for c in classes]),
        "source_index": [c.source_index for c in classes],
        "match": counts(np.where(found, matches.partner, np.nan)),
        "match_source": texts([c.source if c else "" for c in partners]),
        "match_source_index": counts([c.source_index if c else None for c in partners]),
        "mutual": booleans(np.where(found, matches.mutual, np.nan)),
        "score": matches.score,
        **{name: pair[name] for name in ("blend", "ncc", "ssim", "nmi", "frc_resolution_px")},
        "frc_resolution_angstrom": pair["frc_resolution_px"] * pixel_size[i],
        **{name: pair[name] for name in ("rotation_deg", "shift_y_px", "shift_x_px")},
        "mirrored": booleans(pair["mirrored"]),
        "p_value": floats(p_values),
        "q_value": floats(q_values),
    }
    write_table(path, columns)


def write_groups(
    path: Path | str,
    groups: Groups,
    classes: Sequence[ClassAverage],
    quality: FloatArray,
    blend: FloatArray,
) -> None:
    """Write ``groups.csv``, one row a group, largest first.

    Columns: ``group``, ``size`` (classes), ``representative`` (class id), ``particles`` (of all
    members; empty unless known of each), ``mean_quality``, ``mean_blend`` (over the pairs inside
    the group; empty for a group of one), ``members`` (class ids, separated by spaces).

    Parameters
    ----------
    path : Path or str
        The file.
    groups : Groups
        Labels count from 1.
    classes : sequence of ClassAverage
        The n classes of the run.
    quality : (n,) float32
        0 to 1.
    blend : (n, n) float32
        Symmetric; the diagonal is not looked at.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    particles = np.array([math.nan if c.particles is None else c.particles for c in classes])
    members = [np.flatnonzero(groups.labels == k + 1) for k in range(groups.representatives.size)]
    columns: dict[str, Column] = {
        "group": np.arange(1, len(members) + 1),
        "size": [ids.size for ids in members],
        "representative": groups.representatives,
        "particles": counts([particles[ids].sum() for ids in members]),
        "mean_quality": floats([_known_mean(quality[ids]) for ids in members]),
        "mean_blend": floats([mean_inside(blend, ids) for ids in members]),
        "members": [" ".join(map(str, ids)) for ids in members],
    }
    write_table(path, columns)


def write_field(path: Path | str, field: DisplacementField) -> None:
    """Write ``field.csv``, one row a subset, in raster order; the strain only where it is known.

    Parameters
    ----------
    path : Path or str
        The file.
    field : DisplacementField

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    columns: dict[str, Column] = {
        "y": field.y,
        "x": field.x,
        "dy": field.dy,
        "dx": field.dx,
        "magnitude": field.magnitude,
        "correlation": field.correlation,
        "peak_ratio": field.peak_ratio,
        "valid": booleans(field.valid),
        "reason": field.reason,
        "uncertainty": field.uncertainty,
        "replaced": booleans(field.replaced),
    }
    strain = {"exx": field.exx, "eyy": field.eyy, "exy": field.exy}
    columns |= {name: values for name, values in strain.items() if values is not None}
    write_table(path, columns)


def write_picture(path: Path | str, picture: NDArray[np.uint8]) -> None:
    """Write a picture as PNG.

    Parameters
    ----------
    path : Path or str
        The file.
    picture : (h, w, 3) uint8
        RGB.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as partial:
        encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        partial.write_bytes(encoded.tobytes())


def write_sweep(path: Path | str, cells: Sequence[SweepCell]) -> None:
    """Write ``field_sweep.csv``, one row for each pair of block size and search area.

    Parameters
    ----------
    path : Path or str
        The file.
    cells : sequence of SweepCell

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    frame = pd.DataFrame([dataclasses.asdict(cell) for cell in cells])
    columns = {
        name: floats(frame[name]) if frame[name].dtype == np.float64 else list(frame[name])
        for name in frame
    }
    write_table(path, columns)


def write_run_json(path: Path | str, run: Mapping[str, object]) -> None:
    """Write ``run.json``: settings, versions, inputs and their hashes, timings.

    Parameters
    ----------
    path : Path or str
        The file.
    run : mapping
        May hold dataclasses, paths and numpy values; NaN and infinity become null.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = json.dumps(_plain(run), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _reasons(
    i: NDArray[np.intp], j: NDArray[np.intp], blend: FloatArray, reasons: Mapping[int, str]
) -> NDArray[np.object_]:
    texts = np.full(i.size, "", dtype=object)
    for k in np.flatnonzero(np.isnan(blend)):
        texts[k] = pair_reason(int(i[k]), int(j[k]), reasons)
    return texts


def _known_mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else math.nan


def _plain(value: object) -> object:
    """Return `value` as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
