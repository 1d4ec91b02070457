"""Whole runs of one set of class averages against another."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import column, particles, rows, write_stack

from cryocorr_tui.core.analysis import Event, MatchFinished, analyze, match
from cryocorr_tui.core.errors import InputError, OutputError
from cryocorr_tui.core.events import Notice, StageStarted, TileScored
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.simulation import (
    SimulatedSet,
    SimulationSettings,
    relative_pose,
    simulate_class_averages,
)
from cryocorr_tui.core.store import RunStore

FIELD = 384.0  # Å, which the particle fits into
VIEWS = 7
TABLES = ("matches.csv", "classes.csv", "pairs.csv", "matrix.csv")
SEVERAL_TILES = Settings(memory=0.04)  # GB: tiles of 5 × 5 classes of 32 px


def job(box: int, seed: int) -> SimulatedSet:
    """One class average of each view of a ribosomal subunit, and some junk."""
    return simulate_class_averages(
        SimulationSettings(
            views=VIEWS,
            replicates=1,
            box=box,
            pixel_size=FIELD / box,
            junk=2,
            seed=seed,
        )
    )


def last(events: list[Event]) -> MatchFinished:
    assert isinstance(events[-1], MatchFinished)
    return events[-1]


@pytest.fixture(scope="module")
def jobs() -> tuple[SimulatedSet, SimulatedSet]:
    """The same views with other noise, other poses, another pixel size and box."""
    return job(48, seed=1), job(64, seed=2)


@pytest.fixture(scope="module")
def matched(
    jobs: tuple[SimulatedSet, SimulatedSet], tmp_path_factory: pytest.TempPathFactory
) -> MatchFinished:
    folder = tmp_path_factory.mktemp("jobs")
    stacks = [
        write_stack(folder / f"{name}.mrcs", made.images, made.pixel_size)
        for name, made in zip("ab", jobs, strict=True)
    ]
    return last(list(match(stacks[:1], stacks[1:], folder / "run", Settings())))


def test_two_jobs_of_the_same_views_find_each_other(
    matched: MatchFinished, jobs: tuple[SimulatedSet, SimulatedSet]
) -> None:
    first, second = (made.truth for made in jobs)
    table = rows(matched.folder / "matches.csv")
    views = 3 * VIEWS
    assert matched.classes == (views + 2, views + 2)
    assert matched.pairs == (views + 2) ** 2
    right = 0
    for truth, row in zip((*first, *second), table, strict=True):
        if truth.junk:
            continue
        found = (*first, *second)[int(row["match"])]
        right += (found.structure, found.view) == (truth.structure, truth.view)
        assert row["set"] == ("A" if int(row["class_id"]) < views + 2 else "B")
    assert right >= 2 * views - 1
    assert views - 1 <= matched.mutual <= views + 1
    for found_in in matched.found:
        assert views - 1 <= found_in <= views + 1


def test_the_pose_brings_the_class_of_the_second_set_onto_that_of_the_first(
    matched: MatchFinished, jobs: tuple[SimulatedSet, SimulatedSet]
) -> None:
    first, second = (made.truth for made in jobs)
    turned, moved = [], []
    for row in rows(matched.folder / "matches.csv")[: len(first)]:
        i, j = first[int(row["class_id"])], second[int(row["match_source_index"])]
        if i.junk or (i.structure, i.view) != (j.structure, j.view):
            continue
        # Shifts of the second job in pixels of the first.
        scale = jobs[1].pixel_size / jobs[0].pixel_size
        assert j.pose is not None
        moved_j = replace(j.pose, shift_y=j.pose.shift_y * scale, shift_x=j.pose.shift_x * scale)
        truth = relative_pose(i, replace(j, pose=moved_j))
        assert (row["mirrored"] == "true") == truth.mirrored
        turned.append((float(row["rotation_deg"]) - truth.rotation + 180) % 360 - 180)
        moved.append(float(row["shift_y_px"]) - truth.shift_y)
        moved.append(float(row["shift_x_px"]) - truth.shift_x)
    assert np.median(np.abs(turned)) < 1.0
    assert np.median(np.abs(moved)) < 0.2


def test_pixel_sizes_are_brought_together_and_told(
    jobs: tuple[SimulatedSet, SimulatedSet], tmp_path: Path
) -> None:
    stacks = [
        write_stack(tmp_path / f"{name}.mrcs", made.images[:3], made.pixel_size)
        for name, made in zip("ab", jobs, strict=True)
    ]
    events = list(match(stacks[:1], stacks[1:], tmp_path / "run", Settings()))
    assert any(isinstance(e, Notice) and "Pixel sizes of 6 to 8 Å" in e.text for e in events)
    assert (
        column(tmp_path / "run" / "classes.csv", "pixel_size_angstrom") == ["8.0"] * 3 + ["6.0"] * 3
    )


# Small sets of which only the tables matter


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Seven classes, and five of which the first three show the same; class 1 is constant."""
    folder = tmp_path_factory.mktemp("stacks")
    images = particles(9)
    images[1] = 4.0
    return (
        write_stack(folder / "a.mrcs", images[:7], 2.5),
        write_stack(folder / "b.mrcs", images[[0, 2, 3, 7, 8]], 2.5),
    )


@pytest.fixture(scope="module")
def finished(stacks: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    list(match(stacks[:1], stacks[1:], folder, SEVERAL_TILES))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def test_the_events_end_with_what_was_found(stacks: tuple[Path, Path], tmp_path: Path) -> None:
    events = list(match(stacks[:1], stacks[1:], tmp_path / "run", SEVERAL_TILES))
    assert [e.stage for e in events if isinstance(e, StageStarted)] == [
        "reading",
        "scoring quality",
        "loading kernels (compiled at the first run)",
        "comparing pairs",
        "surveying",
        "writing tables",
    ]
    assert [e.done for e in events if isinstance(e, TileScored)] == [25, 35]
    end = last(events)
    assert (end.classes, end.pairs) == ((7, 5), 35)
    assert [path.name for path in end.tables] == [*TABLES, "run.json"]


def test_pairs_are_those_between_the_sets_and_as_all_against_all_scores_them(
    finished: Path, stacks: tuple[Path, Path], tmp_path: Path
) -> None:
    list(analyze(stacks, tmp_path / "run", Settings()))
    both = [r for r in rows(tmp_path / "run" / "pairs.csv") if r["same_source"] == "false"]
    pairs = rows(finished / "pairs.csv")
    assert [(r["i"], r["j"]) for r in pairs] == [
        (str(i), str(j)) for i in range(7) for j in range(7, 12)
    ]
    of_chance = {"p_value", "q_value"}  # what chance gives depends on the other pairs
    for mine, theirs in zip(pairs, both, strict=True):
        assert {k: v for k, v in mine.items() if k not in of_chance} == {
            k: v for k, v in theirs.items() if k not in of_chance
        }


def test_the_matrix_has_the_first_set_down_and_the_second_across(finished: Path) -> None:
    header, *lines = (finished / "matrix.csv").read_text().splitlines()
    assert header == "class_id,7,8,9,10,11"
    assert [line.split(",")[0] for line in lines] == [str(k) for k in range(7)]
    cells = [line.split(",")[1:] for line in lines]
    for row in rows(finished / "pairs.csv"):
        assert cells[int(row["i"])][int(row["j"]) - 7] == row["score"]


def test_classes_tell_their_set(finished: Path) -> None:
    assert column(finished / "classes.csv", "set") == ["A"] * 7 + ["B"] * 5
    assert set(column(finished / "classes.csv", "group")) == {""}


def test_matches_keep_their_contract(finished: Path, stacks: tuple[Path, Path]) -> None:
    table = rows(finished / "matches.csv")
    assert list(table[0]) == [
        "class_id", "set", "source", "source_index", "match", "match_source",
        "match_source_index", "mutual", "score", "blend", "ncc", "ssim", "nmi",
        "frc_resolution_px", "frc_resolution_angstrom", "rotation_deg", "shift_y_px",
        "shift_x_px", "mirrored", "p_value", "q_value",
    ]  # fmt: skip
    pairs = {(r["i"], r["j"]): r for r in rows(finished / "pairs.csv")}
    for a, b in ((0, 7), (2, 8), (3, 9)):
        assert table[a]["match"] == str(b)
        assert table[b]["match"] == str(a)
        assert table[a]["mutual"] == table[b]["mutual"] == "true"
        assert table[a]["match_source"] == str(stacks[1])
        assert table[a]["match_source_index"] == str(b - 7)
        for name in ("score", "blend", "rotation_deg", "p_value", "q_value"):
            assert table[a][name] == table[b][name] == pairs[str(a), str(b)][name]
    assert {table[1][name] for name in ("match", "match_source", "mutual", "score")} == {""}


def test_run_json_tells_where_the_sets_meet(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert (run["classes"], run["split"], run["pairs"]) == (12, 7, 35)


def test_the_store_holds_the_rectangle_alone(finished: Path) -> None:
    chunks = [p for p in (finished / "store.zarr" / "pairs" / "c").rglob("*") if p.is_file()]
    assert len(chunks) == 2
    with RunStore.open(finished, read_only=True) as store:
        assert (store.rows, store.cols) == (slice(0, 7), slice(7, 12))


def test_a_run_that_was_stopped_is_resumed_to_the_identical_result(
    finished: Path, stacks: tuple[Path, Path], tmp_path: Path
) -> None:
    run = match(stacks[:1], stacks[1:], tmp_path, SEVERAL_TILES)
    assert isinstance(run, Generator)
    with closing(run):
        next(event for event in run if isinstance(event, TileScored))
    events = list(match(stacks[:1], stacks[1:], tmp_path, SEVERAL_TILES, resume=True))
    (stage,) = [e for e in events if isinstance(e, StageStarted) and e.stage == "comparing pairs"]
    assert (stage.total, stage.done) == (35, 25)
    assert contents(tmp_path) == contents(finished)


def test_the_same_files_as_one_set_or_split_elsewhere_are_another_run(
    finished: Path, stacks: tuple[Path, Path]
) -> None:
    for other in (
        analyze(stacks, finished, SEVERAL_TILES, resume=True),
        match(stacks[1:], stacks[:1], finished, SEVERAL_TILES, resume=True),
    ):
        with pytest.raises(OutputError, match="other inputs or with other settings"):
            list(other)


def test_a_set_without_a_class_that_can_be_compared_is_refused(
    stacks: tuple[Path, Path], tmp_path: Path
) -> None:
    flat = write_stack(tmp_path / "flat.mrcs", np.zeros((3, 32, 32), dtype=np.float32), 2.5)
    with pytest.raises(InputError, match="The second set holds no class average"):
        list(match(stacks[:1], [flat], tmp_path / "run", Settings()))
    assert not (tmp_path / "run").exists()


def test_one_file_cannot_be_both_sets(stacks: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        list(match(stacks[:1], stacks[:1], tmp_path / "run", Settings()))


def test_one_class_can_be_held_against_a_set(stacks: tuple[Path, Path], tmp_path: Path) -> None:
    one = write_stack(tmp_path / "one.mrcs", particles(9)[4:5], 2.5)
    end = last(list(match([one], stacks[:1], tmp_path / "run", Settings())))
    assert end.classes == (1, 7)
    assert rows(tmp_path / "run" / "matches.csv")[0]["match_source_index"] == "4"
