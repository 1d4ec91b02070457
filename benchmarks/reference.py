"""One view hunted in simulated pictures with truth and in real montages; the cost of a screenshot.

Views are class averages of a simulated ribosome and its two subunits. A view is found where a hit
lies within a tenth of the box of its true place and has its mirror state; the reference itself,
where it stands in the picture, is not counted. A hit anywhere else is false, except on the same
view of a larger or smaller part of the ribosome, which really shows what the reference shows.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Options, Table, measured
from cryocorr_tui.core.model import FloatArray, Hit, Montage, Pose
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.reference import (
    SCALES,
    Reference,
    ReferenceSpec,
    hunt,
    load_reference,
)
from cryocorr_tui.core.reference.placement import Placement
from cryocorr_tui.core.simulation import (
    ClassTruth,
    SimulatedSet,
    SimulationSettings,
    relative_pose,
    simulate_class_averages,
)
from cryocorr_tui.core.simulation.class_averages import particle_mask
from cryocorr_tui.core.simulation.montage_drawing import draw_relion_montage

__all__ = ["run"]

PICTURES = 16
RATIOS = (16.0, 4.0, 2.0, 1.0)
NEAR = 0.1  # of the box
MOST_PLACED = 40


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, the numbers of the class averages in it, and how each lies there."""

    picture: NDArray[np.uint8]
    classes: tuple[int, ...]
    placements: tuple[Placement, ...]


Draw = Callable[[SimulatedSet, int, np.random.Generator], Scene]


@dataclass
class Score:
    """What was found in some pictures; errors in degrees, pixels and per cent."""

    pictures: int = 0
    shown: int = 0
    false: int = 0
    pictures_with_false: int = 0
    of_a_part: int = 0
    errors: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str) -> tuple[str | int | float, ...]:
        """Return a row of the table."""
        found = len(self.errors)
        share = 100 * found / self.shown if self.shown else "–"
        medians = np.median(self.errors, axis=0).tolist() if found else ["–"] * 3
        return (
            *(name, self.pictures, self.shown, share, self.false, self.pictures_with_false),
            *(self.of_a_part, *medians, float(np.median(self.seconds))),
        )


def run(options: Options) -> list[Table]:
    """Return tables for simulated pictures, real montages, and the cost of a screenshot."""
    pictures = 1 if options.quick else PICTURES
    rows = []
    for ratio in RATIOS[-1:] if options.quick else RATIOS:
        simulated = _simulated(ratio, quick=options.quick)
        scenes: dict[str, Draw] = {
            "grid": _grid,
            "no grid": _scattered,
            "grid without it": _without,
        }
        for name, draw in scenes.items():
            score = Score()
            for seed in range(pictures):
                _hunt_one(simulated, seed, draw, score)
            rows.append(score.row(f"{name}, SNR {ratio:g}"))
    columns = (
        *("picture", "pictures", "views", "found %", "false hits", "pictures with any"),
        *("same view of a part", "median ° off", "px off", "scale % off", "CPU s a picture"),
    )
    tables = [Table("One view in simulated pictures", columns, tuple(rows)), _cost(options)]
    if options.data:
        tables.append(_real(options.data))
    return tables


def _simulated(ratio: float, *, quick: bool) -> SimulatedSet:
    return simulate_class_averages(
        SimulationSettings(
            views=2 if quick else 8, replicates=2 if quick else 4, junk=8, snr=ratio, seed=11
        )
    )


def _grid(simulated: SimulatedSet, reference: int, rng: np.random.Generator) -> Scene:
    others = [k for k in range(len(simulated.truth)) if k != reference]
    return _drawn(simulated, [reference, *others])


def _without(simulated: SimulatedSet, reference: int, rng: np.random.Generator) -> Scene:
    """Return a grid without any square of the reference's view, of whatever part."""
    wanted = simulated.truth[reference].view
    others = [k for k, truth in enumerate(simulated.truth) if truth.view != wanted]
    return _drawn(simulated, others)


def _drawn(simulated: SimulatedSet, classes: Sequence[int]) -> Scene:
    images = simulated.images[list(classes)]
    drawn = draw_relion_montage(images, columns=12, line=1)
    centres = drawn.squares[:, :2].astype(np.float64) + images.shape[-1] // 2
    placements = tuple(Placement(np.eye(2), centre) for centre in centres)
    return Scene(drawn.picture, tuple(classes), placements)


def _scattered(simulated: SimulatedSet, reference: int, rng: np.random.Generator) -> Scene:
    """Return class averages in any size and rotation, anywhere on noise, none over another."""
    truth, box = simulated.truth, simulated.images.shape[-1]
    same = [k for k in range(len(truth)) if k != reference and _same(truth[k], truth[reference])]
    rest = [k for k in range(len(truth)) if k != reference and k not in same]
    chosen = (same + rng.permutation(rest).tolist())[:MOST_PLACED]
    height, width = 900, 1200
    inside = simulated.images[:, particle_mask(box)]
    canvas = 0.3 * inside.std() * _smooth_noise(height, width, rng)
    placed: list[tuple[int, Placement]] = []
    for k in chosen:
        scale = rng.uniform(*SCALES)
        linear = Pose(rng.uniform(0, 360)).linear() * scale
        for _ in range(500):
            rim = scale * box / 2 + 1
            centre = rng.uniform((rim, rim), (width - rim, height - rim))
            if all(_apart(centre, scale, other, box) for _, other in placed):
                placement = Placement(linear, centre)
                _lay(canvas, simulated.images[k], placement)
                placed.append((k, placement))
                break
    picture = cv2.normalize(canvas, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return Scene(picture, tuple(k for k, _ in placed), tuple(place for _, place in placed))


def _apart(centre: NDArray[np.float64], scale: float, other: Placement, box: int) -> bool:
    return math.dist(centre, other.centre) > (scale + other.scale) * box / 2


def _lay(canvas: FloatArray, image: FloatArray, placement: Placement) -> None:
    """Draw a class average into the canvas, up to the disc outside which it is flat."""
    box = len(image)
    corner = placement.centre - placement.linear @ [box // 2, box // 2]
    matrix = np.column_stack([placement.linear, corner])
    size = canvas.shape[::-1]
    drawn = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC)
    weight = cv2.warpAffine(particle_mask(box).astype(np.float32), matrix, size)
    canvas += weight * (drawn - canvas)


def _smooth_noise(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 1.5)
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _hunt_one(simulated: SimulatedSet, seed: int, draw: Draw, score: Score) -> None:
    rng = np.random.default_rng(seed)
    truth = simulated.truth
    index = int(rng.choice([k for k, shown in enumerate(truth) if not shown.junk]))
    scene = draw(simulated, index, rng)
    began = time.process_time()
    found = hunt(Montage("simulated", scene.picture), Reference("view", simulated.images[index]))
    score.seconds.append(time.process_time() - began)
    _judge(scene, truth, index, found.hits, simulated.images.shape[-1], score)


def _judge(
    scene: Scene,
    truth: Sequence[ClassTruth],
    index: int,
    hits: Sequence[Hit],
    box: int,
    score: Score,
) -> None:
    expected = [
        _expected(placement, truth[k], truth[index])
        for k, placement in zip(scene.classes, scene.placements, strict=True)
        if k != index and _same(truth[k], truth[index])
    ]
    parts = [
        placement
        for k, placement in zip(scene.classes, scene.placements, strict=True)
        if not _same(truth[k], truth[index]) and truth[k].view == truth[index].view
    ]
    false = 0
    for hit in hits:
        right = [item for item in expected if _lies_on(hit, item, NEAR * box)]
        if right and right[0].mirrored == hit.mirrored:
            turn = abs((right[0].rotation - hit.rotation + 180) % 360 - 180)
            away = math.dist((hit.x, hit.y), right[0].centre)
            score.errors.append((turn, away, 100 * abs(hit.scale / right[0].scale - 1)))
        elif any(_lies_on(hit, item, 0.5 * box) for item in parts):
            score.of_a_part += 1
        elif hit.score < 0.995:  # more is the reference itself
            false += 1
    score.pictures += 1
    score.shown += len(expected)
    score.false += false
    score.pictures_with_false += bool(false)


def _same(first: ClassTruth, second: ClassTruth) -> bool:
    return not first.junk and (first.structure, first.view) == (second.structure, second.view)


def _expected(placement: Placement, shown: ClassTruth, reference: ClassTruth) -> Placement:
    pose = relative_pose(shown, reference)
    shift = placement.linear @ [pose.shift_x, pose.shift_y]
    return Placement(placement.linear @ pose.linear(), placement.centre + shift)


def _lies_on(hit: Hit, placement: Placement, distance: float) -> bool:
    return math.dist((hit.x, hit.y), placement.centre) <= distance


def _cost(options: Options) -> Table:
    """Return time and memory of a screenshot of many squares, large and small."""
    simulated = _simulated(4.0, quick=True)
    rows = []
    for side, columns, count in (
        ((48, 4, 8),) if options.quick else ((128, 20, 200), (40, 64, 2000), (128, 46, 1426))
    ):
        resized = [cv2.resize(image, (side, side)) for image in simulated.images]
        images = np.stack([resized[k % len(resized)] for k in range(count)])
        picture = draw_relion_montage(images, columns=columns, line=1).picture
        cost = measured(partial(_hunt_in, picture, images[0]), options)
        height, width = picture.shape
        name = f"{width} × {height}, {count} squares of {side} px"
        rows.append((name, cost.wall, cost.cpu, cost.peak))
    return Table("Cost of a hunt", ("picture", "wall s", "CPU s", "peak GB"), tuple(rows))


def _hunt_in(picture: NDArray[np.uint8], image: FloatArray) -> None:
    hunt(Montage("screenshot", picture), Reference("view", image))


def _real(folder: Path) -> Table:
    """Return in how many real montages a class average from its own file is the best hit."""
    rows = []
    for name, files, scales in _real_pairs(folder):
        about = json.loads((folder / "montages/squares.json").read_text())[name]
        montage = read(folder / "montages" / name)
        if not isinstance(montage, Montage):
            raise ValueError(f"expected a picture, received a stack in {name}")
        right, margins = 0, []
        for square, path in enumerate(files):
            reference = load_reference(ReferenceSpec(path, index=0))
            found = hunt(montage, reference, scales=scales)
            squares = [_square_of(hit, about["boxes"]) for hit in found.hits]
            right += bool(squares) and squares[0] == square
            margins += [found.hits[0].score - found.threshold] if squares else []
        rows.append((name, len(files), right, min(margins, default="–")))
    columns = ("montage", "files hunted", "best hit is its own square", "least score − threshold")
    return Table("Class averages from files in real montages", columns, tuple(rows))


def _real_pairs(folder: Path) -> Iterator[tuple[str, list[Path], tuple[float, float]]]:
    stacks = folder / "stacks"
    pom = [
        stacks / f"pom152_wt_hdf/pom152_iclasses_091316_rescaled_small{k}.hdf" for k in range(1, 36)
    ]
    yield "pom152_WT_montage.png", pom, (0.45, 0.7)
    nup = "nup82_combined_no_bg.png"
    about = json.loads((folder / "montages/squares.json").read_text())[nup]
    yield nup, [stacks / f"nup82_spi/{k}.spi" for k in about["class_ids"]], SCALES


def _square_of(hit: Hit, boxes: Sequence[Sequence[float]]) -> int:
    corners = np.asarray(boxes, dtype=np.float64)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return int(np.argmin(np.hypot(*(centres - [hit.x, hit.y]).T)))
