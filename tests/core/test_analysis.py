from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
from class_average_forge import (
    TABLES,
    column,
    particles,
    rows,
    write_montage,
    write_picture,
    write_stack,
)
from devices import StrictBackend

from cryocorr_tui.core import analysis, scheduling
from cryocorr_tui.core.analysis import AnalysisFinished, Event, analyze
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.budget import Budget
from cryocorr_tui.core.errors import InputError, NoSquaresError, OutputError
from cryocorr_tui.core.events import Notice, StageProgressed, StageStarted, TileScored
from cryocorr_tui.core.model import MaskDiameter, MetricWeights, Settings
from cryocorr_tui.core.montage_cutting import DetectionFinished, cut_montages
from cryocorr_tui.core.search import CoarseSearch
from cryocorr_tui.core.store import RunStore

CLASSES, PAIRS = 12, 66
SEVERAL_TILES = Settings(memory=0.04)  # GB: tiles of 5 × 5 classes of 32 px
MANY_TILES = Settings(memory=0.09)  # tiles of 8 × 8 classes of 40 px


def warnings(events: Iterable[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.warning]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve classes of 2.5 Å; class 3 is constant and class 7 has a NaN."""
    images = particles(CLASSES)
    images[3] = 4.0
    images[7, 5, 5] = np.nan
    return write_stack(tmp_path_factory.mktemp("input") / "stack.mrcs", images, 2.5)


@pytest.fixture(scope="session")
def finished(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over `stack` that nobody disturbed."""
    folder = tmp_path_factory.mktemp("finished")
    list(analyze([stack], folder, SEVERAL_TILES))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def stopped_after(tiles: int, events: Iterator[Event]) -> list[Event]:
    """Consume events until so many tiles are scored, then close the run."""
    seen: list[Event] = []
    assert isinstance(events, Generator)
    with contextlib.closing(events):
        for event in events:
            seen.append(event)
            if sum(isinstance(each, TileScored) for each in seen) == tiles:
                return seen
    raise AssertionError(f"the run ended before {tiles} tiles were scored")


# Events


def test_the_events_tell_every_stage_in_order(stack: Path, tmp_path: Path) -> None:
    events = list(analyze([stack], tmp_path / "run", SEVERAL_TILES))
    assert [event.stage for event in events if isinstance(event, StageStarted)] == [
        "reading",
        "scoring quality",
        "loading kernels (compiled at the first run)",
        "comparing pairs",
        "surveying",
        "grouping",
        "writing tables",
    ]
    assert events[:2] == [StageStarted("reading", 1), StageProgressed("reading", 1)]
    tiles = [event for event in events if isinstance(event, TileScored)]
    assert len(tiles) == 6
    assert [tile.done for tile in tiles] == [10, 35, 45, 55, 65, 66]
    assert {tile.total for tile in tiles} == {PAIRS}
    assert events[-1] == AnalysisFinished(
        folder=tmp_path / "run",
        classes=CLASSES,
        pairs=PAIRS,
        groups=len(rows(tmp_path / "run" / "groups.csv")),
        tables=tuple(tmp_path / "run" / name for name in (*TABLES, "run.json")),
    )


def test_a_class_that_is_left_out_is_named_with_the_reason(stack: Path, tmp_path: Path) -> None:
    assert warnings(analyze([stack], tmp_path / "run", Settings())) == [
        f"Not compared, since it is constant: class 3 (image 3 of {stack}).",
        f"Not compared, since it has NaN or infinite pixels: class 7 (image 7 of {stack}).",
    ]


def test_many_classes_left_out_for_one_reason_are_one_sentence(tmp_path: Path) -> None:
    images = particles(40)
    images[2:] = 0
    stack = write_stack(tmp_path / "s.mrcs", images, 2.5)
    (text,) = warnings(analyze([stack], tmp_path / "run", Settings()))
    assert text.startswith("Not compared, since each is constant: class 2 (image 2 of ")
    assert text.endswith("33 more (see the column reason of classes.csv).")


def test_a_montage_tells_what_was_found_as_a_finding_and_writes_its_squares(
    tmp_path: Path,
) -> None:
    montage = write_montage(tmp_path / "m.png", particles(8))
    events = list(analyze([montage], tmp_path / "run", Settings(pixel_size=3.0)))
    assert StageStarted("finding squares", 1) in events
    (text,) = warnings(events)
    assert text.startswith("No two class averages are in one group")  # they are all different
    findings = [event.text for event in events if isinstance(event, Notice)]
    assert any("2 × 4, 8 squares of 32 px" in text for text in findings)
    squares = rows(tmp_path / "run" / "squares.csv")
    assert list(squares[0]) == [
        "source", "index", "x", "y", "width", "height", "confidence", "cut", "label_text",
        "score", "rotation_deg", "mirrored", "scale", "grid", "grid_confidence",
        "particles", "resolution_angstrom", "class_index", "selected",
    ]  # fmt: skip
    assert [row["index"] for row in squares] == [str(k) for k in range(8)]
    assert {row["cut"] for row in squares} == {"false"}
    assert [round(float(row["x"])) for row in squares[:4]] == [0, 34, 68, 102]
    finished = events[-1]
    assert isinstance(finished, AnalysisFinished)
    (overlay,) = (path for path in finished.tables if path.suffix == ".png")
    list(cut_montages([montage], tmp_path / "cut", Settings()))
    assert overlay.read_bytes() == (tmp_path / "cut" / overlay.name).read_bytes()


def test_pictures_that_are_one_class_each_are_not_searched_for_squares(tmp_path: Path) -> None:
    pictures = [write_picture(tmp_path / f"{k}.png", particles(3)[k]) for k in range(3)]
    events = list(analyze(pictures, tmp_path / "run", Settings(reading="images", pixel_size=2.0)))
    assert not any(isinstance(e, StageStarted) and e.stage == "finding squares" for e in events)
    assert not (tmp_path / "run" / "squares.csv").exists()


# Tables


def test_classes_keep_their_contract(finished: Path, stack: Path) -> None:
    classes = rows(finished / "classes.csv")
    assert list(classes[0]) == [
        "class_id", "source", "source_index", "x", "y", "width", "height", "box_px",
        "pixel_size_angstrom", "particles", "resolution_angstrom", "quality", "texture", "edge",
        "signal", "centring", "fill", "group", "selected", "contrast", "reason",
    ]  # fmt: skip
    assert [row["class_id"] for row in classes] == [str(k) for k in range(CLASSES)]
    assert [row["source_index"] for row in classes] == [str(k) for k in range(CLASSES)]
    assert {row["source"] for row in classes} == {str(stack)}
    assert {row["box_px"] for row in classes} == {"32"}
    assert {row["pixel_size_angstrom"] for row in classes} == {"2.5"}
    for name in ("x", "y", "width", "height", "particles", "resolution_angstrom", "selected"):
        assert {row[name] for row in classes} == {""}
    assert [k for k, row in enumerate(classes) if row["group"] == ""] == [3, 7]
    assert {k: row["reason"] for k, row in enumerate(classes) if row["reason"]} == {
        3: "is constant",
        7: "has NaN or infinite pixels",
    }


def test_pairs_keep_their_contract(finished: Path) -> None:
    pairs = rows(finished / "pairs.csv")
    assert list(pairs[0]) == [
        "i", "j", "score", "blend", "weight", "ncc", "ssim", "nmi", "frc_resolution_px",
        "frc_resolution_angstrom", "rotation_deg", "shift_y_px", "shift_x_px", "mirrored",
        "same_source", "p_value", "q_value", "reason",
    ]  # fmt: skip
    every = [(str(i), str(j)) for i in range(CLASSES) for j in range(i + 1, CLASSES)]
    assert [(row["i"], row["j"]) for row in pairs] == every
    for row in pairs:
        assert row["same_source"] == "true"
        if {row["i"], row["j"]} & {"3", "7"}:
            assert row["reason"]
            assert row["score"] == row["blend"] == row["ncc"] == row["mirrored"] == ""
            continue
        assert row["reason"] == ""
        assert row["mirrored"] in {"true", "false"}
        blend, weight = float(row["blend"]), float(row["weight"])
        assert float(row["score"]) == pytest.approx(max(blend, 0) * weight, rel=1e-6)
        metrics = [float(row[name]) for name in ("ncc", "ssim", "nmi")]
        assert blend == pytest.approx(np.dot(metrics, [0.5, 0.4, 0.1]), abs=1e-5)
        assert 0 <= float(row["rotation_deg"]) < 360
        if row["frc_resolution_px"]:
            period = float(row["frc_resolution_px"])
            assert float(row["frc_resolution_angstrom"]) == pytest.approx(2.5 * period, rel=1e-6)


def test_the_matrix_is_symmetric_and_holds_the_scores_of_the_pairs(finished: Path) -> None:
    header, *lines = (finished / "matrix.csv").read_text().splitlines()
    assert header == "class_id," + ",".join(str(k) for k in range(CLASSES))
    assert [line.split(",")[0] for line in lines] == [str(k) for k in range(CLASSES)]
    cells = [line.split(",")[1:] for line in lines]
    for row in rows(finished / "pairs.csv"):
        i, j = int(row["i"]), int(row["j"])
        assert cells[i][j] == cells[j][i] == row["score"]
    assert set(cells[3]) == {""}


def test_groups_hold_every_compared_class_once(finished: Path) -> None:
    groups = rows(finished / "groups.csv")
    members = [member for row in groups for member in row["members"].split()]
    assert sorted(members, key=int) == [str(k) for k in range(CLASSES) if k not in (3, 7)]
    for row in groups:
        assert len(row["members"].split()) == int(row["size"])
        assert row["representative"] in row["members"].split()
    by_class = column(finished / "classes.csv", "group")
    assert all(by_class[int(m)] == row["group"] for row in groups for m in row["members"].split())


@pytest.mark.parametrize("name", TABLES)
def test_tables_end_lines_as_rfc_4180_has_it_and_keep_full_precision(
    name: str, finished: Path
) -> None:
    raw = (finished / name).read_bytes()
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n")
    for number in re.findall(r"(?<=,)-?\d+\.\d+(?:e[-+]\d+)?(?=[,\r])", raw.decode()):
        assert np.float32(number) == np.float32(float(str(np.float32(number))))
        assert len(number.strip("-0.").replace(".", "")) <= 10


def test_run_json_tells_how_to_repeat_the_run(finished: Path, stack: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["settings"]["memory"] == 0.04
    assert run["classes"] == CLASSES
    assert run["pairs"] == PAIRS
    (source,) = run["inputs"]
    assert source["path"] == str(stack)
    assert source["pixel_size_angstrom"] == 2.5
    assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
    assert {"reading", "comparing", "all"} <= set(run["seconds"])


def test_without_a_pixel_size_angstrom_columns_are_empty_and_the_user_is_warned(
    tmp_path: Path,
) -> None:
    stack = write_stack(tmp_path / "s.mrcs", particles(4))
    (warning,) = warnings(analyze([stack], tmp_path / "run", Settings()))
    assert "give --pixel-size for results in Å" in warning
    assert set(column(tmp_path / "run" / "classes.csv", "pixel_size_angstrom")) == {""}
    assert set(column(tmp_path / "run" / "pairs.csv", "frc_resolution_angstrom")) == {""}
    assert "" not in column(tmp_path / "run" / "pairs.csv", "frc_resolution_px")


def test_the_pixel_size_given_by_the_user_fills_the_angstrom_columns(tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "s.mrcs", particles(4))
    assert warnings(analyze([stack], tmp_path / "run", Settings(pixel_size=2.0))) == []
    for row in rows(tmp_path / "run" / "pairs.csv"):
        in_pixels = float(row["frc_resolution_px"])
        assert float(row["frc_resolution_angstrom"]) == pytest.approx(2 * in_pixels, rel=1e-6)


def test_further_matrices_are_written_on_request(stack: Path, tmp_path: Path) -> None:
    list(analyze([stack], tmp_path / "run", Settings(), matrices=("ncc",)))
    cells = [row["1"] for row in rows(tmp_path / "run" / "matrix_ncc.csv")]
    (pair,) = [r for r in rows(tmp_path / "run" / "pairs.csv") if (r["i"], r["j"]) == ("0", "1")]
    assert cells[0] == pair["ncc"]
    assert cells[1] == "1.0"


def test_pairs_of_two_sources_are_told_apart_by_path(tmp_path: Path) -> None:
    images = particles(4)
    stacks = [
        write_stack(tmp_path / folder / "s.mrcs", images[part], 2.0)
        for folder, part in (("a", slice(0, 2)), ("b", slice(2, 4)))
    ]
    list(analyze(stacks, tmp_path / "run", Settings()))
    pairs = rows(tmp_path / "run" / "pairs.csv")
    assert [row["same_source"] for row in pairs] == [
        "true", "false", "false", "false", "false", "true",
    ]  # fmt: skip


def test_squares_of_a_montage_match_the_stack_it_was_drawn_from_at_another_zoom(
    tmp_path: Path,
) -> None:
    images = particles(6, 40)
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    montage = write_montage(tmp_path / "m.png", large, columns=3)
    stack = write_stack(tmp_path / "s.mrcs", images, 3.0)
    mask = MaskDiameter(100.0, "angstrom")  # in Å of the stack, whose field both show
    events = list(analyze([montage, stack], tmp_path / "run", Settings(mask_diameter=mask)))
    assert any(isinstance(e, Notice) and "the same field" in e.text for e in events)
    pairs = rows(tmp_path / "run" / "pairs.csv")
    best = max(pairs, key=lambda row: float(row["blend"]))
    assert int(best["j"]) - int(best["i"]) == 6
    for k in range(6):
        mine = [row for row in pairs if int(row["i"]) == k and int(row["j"]) >= 6]
        own = max(mine, key=lambda row: float(row["blend"]))
        assert int(own["j"]) == k + 6
        assert float(own["ncc"]) > 0.97


def test_a_montage_beside_stacks_of_two_fields_is_refused(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "m.png", particles(8))
    small = write_stack(tmp_path / "small.mrcs", particles(2, 40), 2.0)
    wide = write_stack(tmp_path / "wide.mrcs", particles(2, 40), 3.0)
    with pytest.raises(InputError, match=r"m\.png: the zoom of its squares is unknown"):
        list(analyze([montage, small, wide], tmp_path / "run", Settings()))


# Devices


def test_two_cards_find_what_the_cpu_finds_and_run_json_names_them(
    stack: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = StrictBackend("device1"), StrictBackend("device2")
    monkeypatch.setattr(analysis, "choose_backends", lambda device: (cards, ""))
    monkeypatch.setattr(Budget, "tile", lambda budget, n: 6)
    list(analyze([stack], tmp_path, Settings(memory=0.05)))
    on_cards, on_cpu = (
        pd.read_csv(folder / "pairs.csv").set_index(["i", "j"]) for folder in (tmp_path, finished)
    )
    for field in ("blend", "ncc", "ssim", "nmi"):
        difference = np.abs(on_cards[field] - on_cpu[field])
        assert np.mean(difference.dropna() > 1e-3) <= 0.02
        np.testing.assert_array_equal(difference.isna(), on_cpu[field].isna())
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["device"] == "device1,device2"
    assert list(run["device_peak_bytes"]) == ["device1", "device2"]


def test_auto_without_a_card_is_told_and_is_no_warning(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        analysis, "choose_backends", lambda device: ((Backend("cpu"),), "No card here.")
    )
    events = list(analyze([stack], tmp_path, Settings()))
    assert Notice("No card here.", warning=False) in events


# Stopping and going on


@pytest.mark.parametrize("tiles", [1, 4])
def test_a_run_that_was_closed_is_resumed_to_the_identical_result(
    tiles: int, stack: Path, finished: Path, tmp_path: Path
) -> None:
    stopped_after(tiles, analyze([stack], tmp_path, SEVERAL_TILES))
    assert not (tmp_path / "pairs.csv").exists()
    events = list(analyze([stack], tmp_path, SEVERAL_TILES, resume=True))
    assert sum(isinstance(event, TileScored) for event in events) == 6 - tiles
    assert contents(tmp_path) == contents(finished)


def test_the_size_of_tiles_stays_that_of_the_first_run(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    stopped_after(2, analyze([stack], tmp_path, SEVERAL_TILES))
    events = list(analyze([stack], tmp_path, replace(SEVERAL_TILES, memory=1.0), resume=True))
    assert sum(isinstance(event, TileScored) for event in events) == 4
    assert contents(tmp_path) == contents(finished)


def test_the_size_of_tiles_does_not_change_a_single_byte(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    events = list(analyze([stack], tmp_path, Settings()))
    assert sum(isinstance(event, TileScored) for event in events) == 1
    assert contents(tmp_path) == contents(finished)


def test_closing_frees_the_device_and_the_folder(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = []
    monkeypatch.setattr(Backend, "release", lambda backend: released.append(backend))
    stopped_after(1, analyze([stack], tmp_path, SEVERAL_TILES))
    assert released == [Backend("cpu")]
    RunStore.open(tmp_path).close()


def test_resuming_a_finished_run_scores_nothing_again(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    list(analyze([stack], tmp_path, SEVERAL_TILES))
    (tmp_path / "pairs.csv").unlink()
    events = list(analyze([stack], tmp_path, SEVERAL_TILES, resume=True))
    assert not any(isinstance(event, TileScored) for event in events)
    assert isinstance(events[-1], AnalysisFinished)
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize("there", [False, True])
def test_resuming_in_a_missing_or_an_empty_folder_starts_afresh(
    there: bool, stack: Path, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    if there:
        folder.mkdir()
    list(analyze([stack], folder, SEVERAL_TILES, resume=True))
    assert contents(folder) == contents(finished)


@pytest.mark.parametrize(
    "other",
    [
        {"max_shift": 2.0},
        {"mirror": False},
        {"weights": MetricWeights(1, 0, 0)},
        {"box": 24},
        {"mask_diameter": MaskDiameter(20, "px")},
        {"seed": 1},
        {"spectral_weighting": "snr"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_settings_do_not_resume_a_run(
    other: dict[str, object], stack: Path, tmp_path: Path
) -> None:
    stopped_after(1, analyze([stack], tmp_path, SEVERAL_TILES))
    settings = replace(SEVERAL_TILES, **other)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="other inputs or with other settings"):
        list(analyze([stack], tmp_path, settings, resume=True))
    with RunStore.open(tmp_path) as store:
        assert store.pairs_done() == 10


def test_other_inputs_do_not_resume_a_run(stack: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped_after(1, analyze([stack], folder, SEVERAL_TILES))
    other = write_stack(tmp_path / "other.mrcs", particles(CLASSES, seed=1), 2.5)
    with pytest.raises(OutputError, match="other inputs or with other settings"):
        list(analyze([other], folder, SEVERAL_TILES, resume=True))


def test_what_only_shapes_the_tables_may_change_on_resuming(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    stopped_after(1, analyze([stack], tmp_path, SEVERAL_TILES))
    unweighted = replace(SEVERAL_TILES, quality_weight=0.0)
    list(analyze([stack], tmp_path, unweighted, resume=True))
    assert column(tmp_path / "pairs.csv", "blend") == column(finished / "pairs.csv", "blend")
    assert set(column(tmp_path / "pairs.csv", "weight")) - {""} == {"1.0"}


def test_weighted_rings_change_the_scores_but_not_the_quality(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    list(analyze([stack], tmp_path, replace(SEVERAL_TILES, spectral_weighting="snr")))
    for table, name, same in (("classes.csv", "quality", True), ("pairs.csv", "blend", False)):
        assert (column(tmp_path / table, name) == column(finished / table, name)) is same
    told = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert told["settings"]["spectral_weighting"] == "snr"


@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_a_second_run_in_the_same_folder_is_told_and_harms_nothing(
    option: str, stack: Path, finished: Path, tmp_path: Path
) -> None:
    first = analyze([stack], tmp_path, SEVERAL_TILES)
    assert isinstance(first, Generator)
    with contextlib.closing(first):
        assert any(isinstance(event, TileScored) for event in first)
        with pytest.raises(OutputError, match="another cryocorr is working in this folder"):
            list(analyze([stack], tmp_path, SEVERAL_TILES, **{option: True}))  # type: ignore[arg-type]
        list(first)
    assert contents(tmp_path) == contents(finished)


def test_overwriting_replaces_the_results_and_leaves_the_files_of_others(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    list(analyze([write_stack(tmp_path / "in" / "s.mrcs", particles(3), 2.0)], tmp_path / "run",
                 Settings(), matrices=("ncc",)))  # fmt: skip
    (tmp_path / "run" / "thesis.txt").write_text("seven years")
    list(analyze([stack], tmp_path / "run", SEVERAL_TILES, overwrite=True))
    assert (tmp_path / "run" / "thesis.txt").read_text() == "seven years"
    assert not (tmp_path / "run" / "matrix_ncc.csv").exists()
    assert contents(tmp_path / "run") == contents(finished)


def test_nothing_of_an_earlier_run_is_touched_before_the_inputs_are_understood(
    stack: Path, finished: Path, tmp_path: Path
) -> None:
    list(analyze([stack], tmp_path, SEVERAL_TILES))
    with pytest.raises(InputError):
        list(analyze([tmp_path / "missing.mrcs"], tmp_path, SEVERAL_TILES, overwrite=True))
    assert contents(tmp_path) == contents(finished)


def test_columns_are_made_once_where_memory_holds_but_some_of_them(
    long_stack: Path, long_finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def columns(search: CoarseSearch, samples: np.ndarray) -> object:
        made.append(samples.shape[1])
        return as_ever(search, samples)

    as_ever = CoarseSearch.columns
    monkeypatch.setattr(CoarseSearch, "columns", columns)
    monkeypatch.setattr(scheduling, "_MOST_LANES", 1)  # two would make the first one twice
    monkeypatch.setattr(Budget, "columns", 16)
    list(analyze([long_stack], tmp_path, MANY_TILES))
    assert sum(made) == 40 + 2  # and those of the warming up
    assert contents(tmp_path) == contents(long_finished)


# A process that is stopped from outside


@pytest.fixture(scope="module")
def long_stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("long") / "s.mrcs", particles(40, 40), 3.0)


@pytest.fixture(scope="module")
def long_finished(long_stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_finished")
    list(analyze([long_stack], folder, MANY_TILES))
    return folder


def run_until_a_tile_is_there(stack: Path, folder: Path) -> subprocess.Popen[str]:
    # A shell that runs the tests in the background has its children ignore interrupts.
    heedful = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from cryocorr_tui.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", heedful, "analyze", str(stack), "-o", str(folder)]
    process = subprocess.Popen(
        [*command, "--memory", str(MANY_TILES.memory), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not any((folder / "store.zarr").glob("pairs/c/*/*/*")):
        time.sleep(0.002)
    return process


def test_a_process_that_was_interrupted_is_resumed_to_the_identical_result(
    long_stack: Path, long_finished: Path, tmp_path: Path
) -> None:
    with run_until_a_tile_is_there(long_stack, tmp_path) as process:
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.endswith("cryocorr: interrupted; the same command with --resume goes on from here\n")
    events = list(analyze([long_stack], tmp_path, MANY_TILES, resume=True))
    assert any(isinstance(event, TileScored) for event in events)
    assert contents(tmp_path) == contents(long_finished)
    assert not list(tmp_path.rglob("*.partial*"))


# Detection


def test_detect_writes_squares_an_overlay_a_montage_and_one_stack(tmp_path: Path) -> None:
    first = write_montage(tmp_path / "m.png", particles(8))
    (tmp_path / "x").mkdir()
    second = write_montage(tmp_path / "x" / "m.png", particles(6, 40, seed=1))
    events = list(cut_montages([first, second], tmp_path / "out", Settings(pixel_size=2.0)))
    assert events[-1] == DetectionFinished(
        folder=tmp_path / "out",
        squares=14,
        tables=tuple(
            tmp_path / "out" / name
            for name in ("squares.csv", "overlay_m.png", "overlay_m-2.png", "stack.mrcs")
        ),
    )
    assert (
        column(tmp_path / "out" / "squares.csv", "source") == [str(first)] * 8 + [str(second)] * 6
    )
    with mrcfile.open(tmp_path / "out" / "stack.mrcs") as file:
        assert file.data.shape == (14, 32, 32)
        assert file.is_image_stack()
        assert file.voxel_size.x == pytest.approx(2.0)


def test_overlays_of_any_names_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["m.png", "m-2.png", "x/m.png"]
    (tmp_path / "x").mkdir()
    montages = [write_montage(tmp_path / name, particles(8)) for name in names]
    *_, last = cut_montages(montages, tmp_path / "out", Settings())
    assert isinstance(last, DetectionFinished)
    assert [path.name for path in last.tables[1:4]] == [
        "overlay_m.png",
        "overlay_m-2.png",
        "overlay_m-3.png",
    ]


def test_detect_refuses_a_stack_and_a_picture_without_squares(stack: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a stack already"):
        list(cut_montages([stack], tmp_path / "out", Settings()))
    lone = write_picture(tmp_path / "p.png", particles(1)[0])
    with pytest.raises(NoSquaresError, match=r"p\.png"):
        list(cut_montages([lone], tmp_path / "out", Settings(reading="images")))
    assert not (tmp_path / "out").exists()


def test_more_classes_than_memory_can_group_are_still_compared(
    stack: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(analyze([stack], tmp_path, SEVERAL_TILES))
    monkeypatch.setattr(analysis, "BYTES_PER_PAIR", 1e6)
    events = list(analyze([stack], tmp_path, SEVERAL_TILES, resume=True))
    assert (
        "The 12 class averages are not grouped: all pairs at once take 0.1 GB of memory; give "
        "--resume --memory 0.3 for that."
    ) in warnings(events)
    assert not (tmp_path / "groups.csv").exists()
    assert set(column(tmp_path / "classes.csv", "group")) == {""}
    assert (tmp_path / "pairs.csv").read_bytes() == (finished / "pairs.csv").read_bytes()


@pytest.mark.parametrize(("memory", "warned"), [(0.49, True), (0.5, False)])
def test_less_memory_than_a_run_can_keep_to_is_told(
    stack: Path, tmp_path: Path, memory: float, warned: bool
) -> None:
    told = warnings(analyze([stack], tmp_path / "run", Settings(device="cpu", memory=memory)))
    assert any("keeps to 0.5 GB" in text for text in told) is warned


@pytest.mark.parametrize(("moved", "warned"), [(6, True), (1, False)])
def test_poses_at_the_largest_shift_are_told(tmp_path: Path, moved: int, warned: bool) -> None:
    images = particles(8, 40)
    both = np.concatenate([images, np.roll(images, moved, axis=2)])
    stack = write_stack(tmp_path / "s.mrcs", both, 3.0)
    told = warnings(analyze([stack], tmp_path / "run", Settings(max_shift=4.0)))
    assert any("--max-shift" in text for text in told) is warned
