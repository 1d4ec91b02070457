"""Class averages of which it is known what shows the same view, and what is easily taken for it.

Simulated ones show the ribosome of the sample data; real ones come from a folder of stacks and
montages that is no part of the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.engine import FIELD
from cryocorr_tui.core.model import ClassAverage, FloatArray, Pose, Stack
from cryocorr_tui.core.preprocessing import crop_or_pad, disc_mask, fourier_resample
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation.class_averages import (
    Optics,
    clean_view,
    coloured_noise,
    draw_class_average,
)
from cryocorr_tui.core.simulation.projection import view_matrices
from cryocorr_tui.core.simulation.structure import (
    Structure,
    chain_subset,
    read_structure,
    read_subsets,
)

__all__ = [
    "LabelledSet",
    "conformations",
    "degraded",
    "neighbouring_views",
    "real_montages",
    "real_stacks",
]

BoolArray = NDArray[np.bool_]

BOX = 96
NEIGHBOURS = 32.0  # degrees between the directions of neighbouring views
MOVED = 8.0  # Å by which the small subunit moves
LARGEST_SHIFT = 0.02  # of the box: two classes are at most twice as far apart
BLUR = 0.8  # pixels; the most that a degraded copy is blurred

STACKS = {
    "nup82": "nup82_spi/*.spi",
    "pom152 wt": "pom152_wt_hdf/*.hdf",
    "pom152 t1": "pom152_t1_spi/*.spi",
    "nup133 p150": "eman2_hdf_multi/*p150_t34.hdf",
}


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Class averages with truth about their pairs.

    Attributes
    ----------
    name : str
    classes : sequence of ClassAverage
        n of them.
    same : (n, n) bool
        Pairs of the same view.
    hard : (n, n) bool
        Pairs that are easily taken for it.
    considered : (n, n) bool
        Pairs that count; symmetric like the others.
    """

    name: str
    classes: Sequence[ClassAverage]
    same: BoolArray
    hard: BoolArray
    considered: BoolArray


def neighbouring_views(
    snr: float, *, seed: int, views: int = 20, replicates: int = 3, box: int = BOX
) -> LabelledSet:
    """Simulate the 60S and the 80S in many views.

    Hard negatives are the same view of the other structure, and views of the same structure whose
    directions are less than `NEIGHBOURS` degrees apart (from behind counts as mirrored).
    """
    whole = _ribosome()
    groups = read_subsets(sample_data() / "chain_groups.json")
    structures = [chain_subset(whole, name, groups[name]) for name in ("60S", "80S")]
    directions = view_matrices(views)
    kind, view = _product(len(structures), views, replicates)
    cosine = np.abs(directions[:, 2] @ directions[:, 2].T)[view[:, None], view]
    same_kind, same_view = kind[:, None] == kind, view[:, None] == view
    near = (cosine > np.cos(np.radians(NEIGHBOURS))) & same_kind
    return LabelledSet(
        name="neighbouring views, other structure",
        classes=_simulated(structures, directions, kind, view, snr=snr, seed=seed, box=box),
        same=same_kind & same_view,
        hard=(near | same_view) & ~(same_kind & same_view),
        considered=np.ones_like(near),
    )


def conformations(
    snr: float, *, seed: int, views: int = 12, replicates: int = 4, box: int = BOX
) -> LabelledSet:
    """Simulate the 80S as it is, and with its small subunit moved by `MOVED` Å.

    Hard negatives are the same view of the other conformation. The subunit moves in a direction
    drawn with the seed, so in some views most of it is along the line of sight.
    """
    whole = _ribosome()
    small = np.isin(whole.chains, read_subsets(sample_data() / "chain_groups.json")["40S"])
    direction = np.random.default_rng(seed).standard_normal(3)
    step = MOVED * direction / np.linalg.norm(direction)
    moved = replace(whole, positions=(whole.positions + small[:, None] * step).astype(np.float32))
    directions = view_matrices(views)
    kind, view = _product(2, views, replicates)
    same_view = view[:, None] == view
    same = same_view & (kind[:, None] == kind)
    return LabelledSet(
        name=f"conformations ({MOVED:g} Å)",
        classes=_simulated([whole, moved], directions, kind, view, snr=snr, seed=seed, box=box),
        same=same,
        hard=same_view & ~same,
        considered=np.ones_like(same),
    )


def degraded(
    name: str, images: FloatArray, snr: float, *, seed: int, replicates: int = 3
) -> LabelledSet:
    """Make bad copies of every real class average; those of one are the same view, all else is not.

    Each copy gets its own pose, blur (0 … `BLUR` px) and coloured noise; its SNR, the variance of
    the given picture over that of the added noise, is drawn from ½ to 2 × `snr`. Hard negatives
    are copies of other classes of the same complex; some of these do show much the same view,
    which counts against every metric alike.

    Parameters
    ----------
    name : str
    images : (n, side, side) float32
    snr : float
    seed : int
    replicates : int
        Copies of each class average.
    """
    rng = np.random.default_rng(seed)
    pictures = fourier_resample(images, min(BOX, images.shape[-1]))
    number = np.repeat(np.arange(len(pictures)), replicates)
    copies = [_bad_copy(pictures[k], snr * 2 ** rng.uniform(-1, 1), rng) for k in number]
    same = number[:, None] == number
    return LabelledSet(
        name=f"{name}, bad copies",
        classes=_classes(copies),
        same=same,
        hard=~same,
        considered=np.ones_like(same),
    )


def real_stacks(data: Path) -> Iterator[tuple[str, FloatArray]]:
    """Yield name and images (n, side, side) of real sets of class averages."""
    for name, pattern in STACKS.items():
        folder, _, files = pattern.partition("/")
        yield name, _read_images(sorted((data / "stacks" / folder).glob(files)))


def real_montages(data: Path) -> Iterator[LabelledSet]:
    """Yield sets in which class averages meet their own pictures in a published montage.

    Hard negatives are the pictures of the other classes. The montages were stretched, rounded to
    8 bit and scaled by other programs; that of pom152 is mirrored, turned by about 12° and carries
    printed numbers, that of nup82 had its background cut away.
    """
    stacks, montages = data / "stacks", data / "montages"
    pom152 = "pom152_wt_hdf/pom152_iclasses_091316_rescaled_small"
    images = _read_images([stacks / f"{pom152}{k + 1}.hdf" for k in range(35)])
    drawn, _ = _squares(montages, "pom152_WT_montage.png")
    yield _against_montage("pom152 wt", images, fourier_resample(drawn, images.shape[-1]))
    # This one shows every class average pixel by pixel in a wider square.
    drawn, about = _squares(montages, "nup82_combined_no_bg.png")
    images = _read_images([stacks / f"nup82_spi/{k}.spi" for k in about["class_ids"]])
    yield _against_montage("nup82", images, crop_or_pad(drawn, images.shape[-1]))


def _against_montage(name: str, images: FloatArray, drawn: FloatArray) -> LabelledSet:
    number = np.tile(np.arange(len(images)), 2)
    is_drawn = np.repeat([False, True], len(images))
    same = number[:, None] == number
    return LabelledSet(
        name=f"{name} against its montage",
        classes=_classes([*images], source="stack") + _classes([*drawn], source="montage"),
        same=same,
        hard=~same,
        considered=is_drawn[:, None] != is_drawn,
    )


def _ribosome() -> Structure:
    return read_structure(sample_data() / "6zu5_backbone.cif.gz")


def _product(kinds: int, views: int, replicates: int) -> tuple[NDArray[np.int64], ...]:
    kind, view = np.divmod(np.repeat(np.arange(kinds * views), replicates), views)
    return kind, view


def _simulated(
    structures: Sequence[Structure],
    directions: NDArray[np.float64],
    kind: NDArray[np.int64],
    view: NDArray[np.int64],
    *,
    snr: float,
    seed: int,
    box: int,
) -> list[ClassAverage]:
    """Draw class averages of different SNR (½ to 2 × `snr`), resolution and pose."""
    rng = np.random.default_rng(seed)
    images = []
    for structure, direction in zip([structures[k] for k in kind], directions[view], strict=True):
        optics = Optics(box, FIELD / box, structure.spread)
        centre = np.average(structure.positions, axis=0, weights=structure.weights)
        points = (structure.positions - centre) @ direction[:2].T / optics.pixel_size
        resolution = 2.2 * optics.pixel_size * rng.uniform(1.1, 1.6)
        signal = clean_view(
            points,
            structure.weights,
            optics=optics,
            resolution=resolution,
            pose=pose_about_centre(rng, box),
        )
        images.append(
            draw_class_average(
                signal,
                rng,
                optics=optics,
                resolution=resolution,
                snr=snr * 2 ** rng.uniform(-1, 1),
            )
        )
    return _classes(images)


def _bad_copy(image: FloatArray, snr: float, rng: np.random.Generator) -> FloatArray:
    box = image.shape[-1]
    level = float(np.median(image))
    moved = cv2.warpAffine(
        image,
        pose_about_centre(rng, box).sampling_matrix(box),
        (box, box),
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderValue=level,
    )
    blurred = cv2.GaussianBlur(moved, (0, 0), max(rng.uniform(0, BLUR), 1e-3))
    inside = disc_mask(box, 0.9 * box) > 0
    noise = coloured_noise(rng, optics=Optics(box, FIELD / box), resolution=2.5 * FIELD / box)
    spread = float(image[inside].std()) / np.sqrt(snr)
    return np.asarray(blurred + noise * spread, dtype=np.float32)


def pose_about_centre(rng: np.random.Generator, box: int) -> Pose:
    angle = rng.uniform(0, 2 * np.pi)
    away = LARGEST_SHIFT * box * np.sqrt(rng.uniform())
    return Pose(
        rotation=rng.uniform(0, 360),
        shift_y=away * np.sin(angle),
        shift_x=away * np.cos(angle),
        mirrored=bool(rng.integers(2)),
    )


def _classes(images: Sequence[FloatArray], *, source: str = "set") -> list[ClassAverage]:
    return [ClassAverage(k, source, k, image) for k, image in enumerate(images)]


def _read_images(paths: Sequence[Path]) -> FloatArray:
    stacks = [read(path) for path in paths]
    return np.concatenate([stack.images for stack in stacks if isinstance(stack, Stack)])


def _squares(folder: Path, name: str) -> tuple[FloatArray, dict[str, list[int]]]:
    """Return the squares of a montage in one box, (n, box, box), and what is known of it."""
    about = json.loads((folder / "squares.json").read_text("utf-8"))[name]
    grey = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FileNotFoundError(folder / name)
    boxes = np.array(about["boxes"])
    box = int((boxes[:, 2:] - boxes[:, :2]).min())
    squares = [grey[y : y + box, x : x + box] for x, y, _, _ in boxes]
    return np.stack(squares).astype(np.float32), about
