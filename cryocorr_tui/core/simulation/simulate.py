"""The files of a simulation: stack, truth, RELION-like tables and montages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pandas as pd
import starfile

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.files import atomic_path, output_error
from cryocorr_tui.core.model import FloatArray, frozen_array
from cryocorr_tui.core.simulation.montage_drawing import (
    DrawnMontage,
    draw_cryosparc_montage,
    draw_relion_montage,
)
from cryocorr_tui.core.simulation.simulated_set import (
    ClassTruth,
    SimulatedSet,
    SimulationSettings,
    Simulator,
)

__all__ = ["OUTPUT_FILES", "ClassSimulated", "SimulationFinished", "simulate"]

_STACK = "class_averages.mrcs"
_TRUTH = "truth.csv"
_MODEL = "model.star"
_RELION = "montage_relion.png"
_CRYOSPARC = "montage_cryosparc.png"
_SQUARES = "truth_squares.csv"
OUTPUT_FILES = (_STACK, _TRUTH, _MODEL, _RELION, _CRYOSPARC, _SQUARES)

_NOT_ESTIMATED = 999.0  # as RELION writes it


@dataclass(frozen=True)
class ClassSimulated:
    """One more class average is rendered: `done` of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class SimulationFinished:
    """Every file is written, `files` in the order of `OUTPUT_FILES`."""

    output: Path
    files: tuple[Path, ...]
    classes: int


def simulate(
    output: Path, settings: SimulationSettings, *, overwrite: bool = False
) -> Iterator[ClassSimulated | SimulationFinished]:
    """Simulate class averages and write them with their truth into a folder.

    Parameters
    ----------
    output : Path
        Folder; made where there is none.
    settings : SimulationSettings
    overwrite : bool
        Write into a folder that holds something; only files of the same names are replaced.

    Yields
    ------
    ClassSimulated
        After each class average.
    SimulationFinished
        At the end, when all files are there.

    Raises
    ------
    InputError
        If the structure cannot be read or lacks a chain.
    OutputError
        If the folder holds something and `overwrite` is false, or cannot be written.
    SettingsError
        If the settings make no sense or the particle does not fit into the box.
    """
    simulator = Simulator(settings)
    _claim(output, overwrite=overwrite)
    images = []
    for truth in simulator.truth:
        images.append(simulator.class_average(truth.class_id))
        yield ClassSimulated(len(images), len(simulator.truth))
    stack = frozen_array(images)
    _write(output, SimulatedSet(stack, simulator.truth, settings.pixel_size))
    yield SimulationFinished(output, tuple(output / name for name in OUTPUT_FILES), len(images))


def _claim(output: Path, *, overwrite: bool) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        occupied = any(output.iterdir())
    except OSError as error:
        raise output_error(output, error) from error
    if occupied and not overwrite:
        raise OutputError(
            f"{output}: the output folder is not empty; choose another one, or pass --overwrite to"
            " replace the simulation in it."
        )


def _write(output: Path, simulated: SimulatedSet) -> None:
    _write_stack(output / _STACK, simulated.images, simulated.pixel_size)
    _write_rows(output / _TRUTH, [_truth_row(truth) for truth in simulated.truth])
    with atomic_path(output / _MODEL) as part:
        starfile.write(_model(simulated), part)
    in_order = list(range(len(simulated.truth)))
    most_particles_first = sorted(in_order, key=lambda k: -simulated.truth[k].particles)
    relion = draw_relion_montage(simulated.images)
    cryosparc = _cryosparc_montage(simulated, most_particles_first)
    _write_picture(output / _RELION, relion)
    _write_picture(output / _CRYOSPARC, cryosparc)
    _write_rows(
        output / _SQUARES,
        [
            *_square_rows(_RELION, relion, in_order),
            *_square_rows(_CRYOSPARC, cryosparc, most_particles_first),
        ],
    )


def _write_stack(path: Path, images: FloatArray, pixel_size: float) -> None:
    with atomic_path(path) as part, mrcfile.new(part) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
        mrc.voxel_size = pixel_size
        # Instead of the time of day, which would make every file another one.
        mrc.header.label[0] = "Simulated by cryocorr-tui"


def _write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_picture(path: Path, montage: DrawnMontage) -> None:
    picture = montage.picture
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    with atomic_path(path) as part:
        part.write_bytes(encoded.tobytes())


def _truth_row(truth: ClassTruth) -> dict[str, object]:
    pose = truth.pose
    row: dict[str, object] = {
        "class_id": truth.class_id,
        "structure": truth.structure,
        "view": "" if truth.view is None else truth.view,
        "rotation_deg": "",
        "shift_y_px": "",
        "shift_x_px": "",
        "mirrored": "",
        "junk": truth.junk,
        "snr": truth.snr,
        "particles": truth.particles,
        "resolution_angstrom": truth.resolution,
    }
    if pose is not None:
        row["rotation_deg"] = pose.rotation
        row["shift_y_px"], row["shift_x_px"] = pose.shift_y, pose.shift_x
        row["mirrored"] = str(pose.mirrored).lower()
    return row


def _square_rows(
    name: str, montage: DrawnMontage, class_ids: Sequence[int]
) -> Iterator[dict[str, object]]:
    for index, (square, class_id) in enumerate(zip(montage.squares, class_ids, strict=True)):
        x, y, width, height = square.tolist()
        yield {
            "montage": name,
            "index": index,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "class_id": class_id,
        }


def _cryosparc_montage(simulated: SimulatedSet, order: Sequence[int]) -> DrawnMontage:
    shown = [simulated.truth[k] for k in order]
    return draw_cryosparc_montage(
        simulated.images[order],
        particles=[truth.particles for truth in shown],
        resolution=[truth.resolution for truth in shown],
        ess=[3 if truth.junk else 1 for truth in shown],
        pixel_size=simulated.pixel_size,
    )


def _model(simulated: SimulatedSet) -> dict[str, object]:
    """Return the tables of a RELION ``model.star`` of a 2D classification."""
    truth = simulated.truth
    resolution = np.array([t.resolution for t in truth])
    particles = np.array([t.particles for t in truth], dtype=np.float64)
    shows_particle = np.array([not t.junk for t in truth])
    box = simulated.images.shape[-1]
    general = {
        "rlnReferenceDimensionality": 2,
        "rlnDataDimensionality": 2,
        "rlnOriginalImageSize": box,
        "rlnCurrentResolution": float(resolution.min()),
        "rlnPixelSize": simulated.pixel_size,
        "rlnNrClasses": len(truth),
    }
    classes = pd.DataFrame(
        {
            "rlnReferenceImage": [f"{t.class_id + 1:06d}@{_STACK}" for t in truth],
            "rlnClassDistribution": particles / particles.sum(),
            "rlnAccuracyRotations": np.where(shows_particle, 0.15 * resolution, _NOT_ESTIMATED),
            "rlnAccuracyTranslationsAngst": np.where(
                shows_particle, 0.1 * resolution, _NOT_ESTIMATED
            ),
            "rlnEstimatedResolution": resolution,
            "rlnOverallFourierCompleteness": 1.0,
        }
    )
    return {"model_general": general, "model_classes": classes}
