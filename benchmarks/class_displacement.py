"""Displacement between simulated class averages of one view, of which one is deformed.

Atoms are moved before they are rendered, so the truth is known at every place. The deformed class
has a noise and a pose of its own and is laid back by that pose, as classes of a run are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Cell, Options, Table
from cryocorr_tui.core.aligned import laid_on
from cryocorr_tui.core.displacement import displacement_field, pair_settings
from cryocorr_tui.core.displacement.loading import ComparedPictures, laid_pictures
from cryocorr_tui.core.model import DisplacementSettings, Pose
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation.class_averages import (
    MASK_DIAMETER,
    Optics,
    clean_view,
    draw_class_average,
)
from cryocorr_tui.core.simulation.projection import view_matrices
from cryocorr_tui.core.simulation.structure import read_structure

__all__ = ["BOX", "bulge", "class_pairs", "measure_classes"]

Coordinates = NDArray[np.float64]
Truth = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]

BOX, FIELD = 96, 400.0  # pixels, Å
RESOLUTION = 2.9  # pixels
WRONG = 1.0  # pixels that a vector is off


def measure_classes(options: Options) -> Table:
    """Compare the settings for pairs with the general ones, and with affine subsets."""
    kinds = {
        "general settings": DisplacementSettings(device="cpu"),
        "settings for pairs, affine subsets": pair_settings(
            BOX, device="cpu", subset_shape="affine"
        ),
        "settings for pairs": pair_settings(BOX, device="cpu"),
    }
    rows: list[tuple[Cell, ...]] = []
    for snr in (4,) if options.quick else (16, 4, 1):
        for name, truth in (("stretch 3 %", _stretch), ("bulge 2 px", bulge)):
            pairs = list(class_pairs(truth, snr=snr, views=1 if options.quick else 12))
            for kind, settings in kinds.items():
                figures = _figures(pairs, truth, settings)
                rows.append((f"SNR {snr}, {name}, {kind}", *figures))
    return Table(
        f"Deformed class averages against truth, box {BOX}",
        ("", "vectors", "valid %", "RMSE px", "told px", f"valid ones off by {WRONG:g} px, %"),
        tuple(rows),
        ("Of vectors that are not masked; a bulge of 12 px (σ) is narrower than the blocks.",),
    )


def class_pairs(
    truth: Truth, *, snr: float, views: int, seed: int = 0
) -> Iterator[ComparedPictures]:
    """Yield pairs of class averages, the second deformed by a field, of different views."""
    structure = read_structure(sample_data() / "6zu5_backbone.cif.gz")
    centre = np.average(structure.positions, axis=0, weights=structure.weights)
    optics = Optics(BOX, FIELD / BOX, structure.spread)
    resolution = RESOLUTION * optics.pixel_size
    rng = np.random.default_rng(seed)

    def drawn(points: Coordinates) -> NDArray[np.float32]:
        signal = clean_view(points, structure.weights, optics=optics, resolution=resolution)
        return draw_class_average(signal, rng, optics=optics, resolution=resolution, snr=snr)

    for direction in view_matrices(views):
        points = (structure.positions - centre) @ direction[:2].T / optics.pixel_size
        dy, dx = truth(points[:, 1] + BOX // 2, points[:, 0] + BOX // 2)
        moved = points + np.stack([dx, dy], axis=1)
        pose = Pose(rng.uniform(0, 360), shift_y=rng.uniform(-2, 2), shift_x=rng.uniform(-2, 2))
        second = drawn((moved - [pose.shift_x, pose.shift_y]) @ pose.linear())
        mask = disc_mask(BOX, MASK_DIAMETER * BOX) > 0
        yield laid_pictures(drawn(points), laid_on(second, pose, box=BOX), mask)


def bulge(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Return a part that moves by 2 px against the rest."""
    distance = (y - 0.58 * BOX) ** 2 + (x - 0.4 * BOX) ** 2
    part = np.exp(-distance / (2 * (0.12 * BOX) ** 2))
    return 1.8 * part, -0.9 * part


def _stretch(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
    return 0.02 * (y - BOX / 2), 0.03 * (x - BOX / 2)


def _figures(
    pairs: list[ComparedPictures], truth: Truth, settings: DisplacementSettings
) -> tuple[float, ...]:
    unmasked, off, told = 0, [], []
    for pair in pairs:
        field = displacement_field(pair.reference, pair.deformed, settings, mask=pair.mask)
        dy, dx = truth(field.y.astype(np.float64), field.x.astype(np.float64))
        unmasked += int((field.reason != "masked").sum())
        off.append(np.stack([field.dy - dy, field.dx - dx], axis=1)[field.valid])
        told.append(field.uncertainty[field.valid])
    errors, uncertainty = np.concatenate(off), np.concatenate(told)
    return (
        unmasked,
        100 * len(errors) / unmasked,
        float(np.sqrt((errors**2).mean())),
        float(np.sqrt((uncertainty**2).mean())),
        100 * float((np.hypot(*errors.T) > WRONG).mean()),
    )
