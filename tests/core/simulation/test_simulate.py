from __future__ import annotations

import csv
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
import starfile

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.core.simulation import (
    OUTPUT_FILES,
    ClassSimulated,
    SimulationFinished,
    SimulationSettings,
    Simulator,
    simulate,
)

# As sample_data/README.md says.
SAMPLE = SimulationSettings(views=6, replicates=3, box=88, pixel_size=4.2, snr=4.0, junk=6, seed=0)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def settings(small_structure: Path) -> SimulationSettings:
    return SimulationSettings(
        structure=small_structure, views=3, replicates=2, box=80, pixel_size=2.0, junk=1
    )


@pytest.fixture(scope="module")
def output(settings: SimulationSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "deep" / "er"
    for _ in simulate(folder, settings):
        pass
    return folder


def test_progress_counts_the_classes_and_ends_with_the_files(
    tmp_path: Path, settings: SimulationSettings
) -> None:
    events = list(simulate(tmp_path / "new", settings))
    assert events[:-1] == [ClassSimulated(done, 7) for done in range(1, 8)]
    finished = events[-1]
    assert isinstance(finished, SimulationFinished)
    assert [path.name for path in finished.files] == list(OUTPUT_FILES)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(OUTPUT_FILES)


def test_the_stack_is_a_stack_of_images_with_its_pixel_size(
    output: Path, settings: SimulationSettings
) -> None:
    with mrcfile.open(output / "class_averages.mrcs") as mrc:
        assert mrc.data.shape == (7, 80, 80)
        assert (int(mrc.header.ispg), int(mrc.header.mode)) == (0, 2)
        assert float(mrc.voxel_size.x) == pytest.approx(2.0)
        assert np.array_equal(mrc.data[2], Simulator(settings).class_average(2))


def test_the_printed_truth_is_the_whole_truth(output: Path, settings: SimulationSettings) -> None:
    truth = Simulator(settings).truth
    rows = table(output / "truth.csv")
    assert list(rows[0]) == [
        "class_id", "structure", "view", "rotation_deg", "shift_y_px", "shift_x_px", "mirrored",
        "junk", "snr", "particles", "resolution_angstrom",
    ]  # fmt: skip
    for row, expected in zip(rows, truth, strict=True):
        if expected.pose is None:
            assert (row["structure"], row["view"], row["mirrored"]) == ("", "", "")
            assert row["junk"] == "noise"
            continue
        assert float(row["rotation_deg"]) == expected.pose.rotation
        assert float(row["shift_y_px"]) == expected.pose.shift_y
        assert float(row["shift_x_px"]) == expected.pose.shift_x
        assert row["mirrored"] == ("true" if expected.pose.mirrored else "false")


def test_the_model_star_is_like_one_of_relion_class2d(output: Path) -> None:
    model = starfile.read(output / "model.star")
    assert model["model_general"]["rlnReferenceDimensionality"] == 2
    assert model["model_general"]["rlnPixelSize"] == 2.0
    assert model["model_general"]["rlnNrClasses"] == 7
    classes = model["model_classes"]
    assert classes["rlnReferenceImage"][6] == "000007@class_averages.mrcs"
    assert classes["rlnClassDistribution"].sum() == pytest.approx(1, abs=1e-4)
    junk = [row["junk"] != "" for row in table(output / "truth.csv")]
    assert ((classes["rlnAccuracyRotations"] == 999.0) == junk).all()


def test_the_squares_of_both_montages_show_their_classes(
    output: Path, settings: SimulationSettings
) -> None:
    simulator = Simulator(settings)
    for name in ("montage_relion.png", "montage_cryosparc.png"):
        picture = cv2.imread(str(output / name), cv2.IMREAD_GRAYSCALE)
        rows = [row for row in table(output / "truth_squares.csv") if row["montage"] == name]
        assert [int(row["index"]) for row in rows] == list(range(7))
        for row in rows:
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            square = cv2.resize(
                picture[y : y + height, x : x + width], (80, 80), interpolation=cv2.INTER_AREA
            )
            image = simulator.class_average(int(row["class_id"]))
            inner = (slice(16, -16), slice(16, -16))  # without text
            assert np.corrcoef(square[inner].ravel(), image[inner].ravel())[0, 1] > 0.98
    particles = [simulator.truth[int(row["class_id"])].particles for row in rows]
    assert particles == sorted(particles, reverse=True)


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    tmp_path: Path, settings: SimulationSettings
) -> None:
    (tmp_path / "truth.csv").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        next(simulate(tmp_path, settings))
    assert (tmp_path / "truth.csv").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_overwriting_replaces_the_files_of_a_simulation_and_no_others(
    tmp_path: Path, settings: SimulationSettings
) -> None:
    (tmp_path / "truth.csv").write_text("old")
    (tmp_path / "thesis.txt").write_text("mine")
    assert list(simulate(tmp_path, settings, overwrite=True))
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "truth.csv").read_text() != "old"


def test_a_simulation_left_early_writes_nothing(
    tmp_path: Path, settings: SimulationSettings
) -> None:
    events = simulate(tmp_path / "new", settings)
    next(events)
    events.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_where_the_folder_should_be_is_refused(
    tmp_path: Path, settings: SimulationSettings
) -> None:
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(OutputError, match="taken"):
        next(simulate(path, settings, overwrite=True))
    assert path.read_text() == "mine"


def test_the_committed_sample_can_be_made_again() -> None:
    simulator = Simulator(SAMPLE)
    rows = table(sample_data() / "truth.csv")
    assert len(rows) == len(simulator.truth) == 60
    with mrcfile.open(sample_data() / "class_averages.mrcs") as mrc:
        for class_id in (0, 7, 31, 59):
            again = simulator.class_average(class_id)
            # Libraries of linear algebra differ in the last digits.
            assert np.abs(again - mrc.data[class_id]).max() < 1e-3
    for truth, row in zip(simulator.truth, rows, strict=True):
        assert (truth.structure, truth.junk) == (row["structure"], row["junk"])
        assert truth.pose is None or float(row["rotation_deg"]) == truth.pose.rotation


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in sample_data().iterdir()) <= 4_000_000
