"""Whole runs over real class averages of others, with the settings a user would give."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import rows

from cryocorr_tui.cli import main
from cryocorr_tui.core.model import Stack
from cryocorr_tui.core.readers import read

STACKS = {
    "pom152_wt_hdf": "*.hdf",
    "pom152_t1_spi": "*.spi",
    "nup82_spi": "*.spi",
    "eman2_hdf_multi": "*.hdf",
    "imagic": "*.hed",
    "spider_stack": "*.spi",
}
CLASSES = {
    "pom152_wt_hdf": 35,
    "pom152_t1_spi": 19,
    "nup82_spi": 23,
    "eman2_hdf_multi": 36,
    "imagic": 7,
    "spider_stack": 23,
}
MONTAGES = {
    "nup82_combined_no_bg.png": 21,
    "pom152_WT_montage.png": 35,
    "oldschool_2dclass_junk1.png": 24,
    "oldschool_2dclass_junk1.tiff": 24,
    "magellon_cryosparc_labels.png": 20,
    "py2rely_PyQtGUI.png": 9,
}


WIDE = ("--max-shift", "8")


def in_order(folder: Path, pattern: str) -> list[Path]:
    """Files by the last number in their name, as the classes are counted."""
    return sorted(folder.glob(pattern), key=lambda path: [*map(int, re.findall(r"\d+", path.name))])


def analyzed(inputs: Sequence[Path], folder: Path, *options: str) -> list[dict[str, str]]:
    """Analyze at a working box of 40 px, and return the pairs."""
    command = ["analyze", *map(str, inputs), "-o", str(folder), "--box", "40", *options]
    assert main(command) == 0
    return rows(folder / "pairs.csv")


def check_contract(folder: Path, n: int) -> None:
    classes, pairs = rows(folder / "classes.csv"), rows(folder / "pairs.csv")
    assert [row["class_id"] for row in classes] == [str(k) for k in range(n)]
    every = [(str(i), str(j)) for i in range(n) for j in range(i + 1, n)]
    assert [(row["i"], row["j"]) for row in pairs] == every
    assert all(row["reason"] == "" for row in pairs)
    assert all(0 <= float(row["quality"]) <= 1 for row in classes)
    for row in pairs:
        assert -1 <= float(row["ncc"]) <= 1
        assert 0 <= float(row["score"]) <= float(row["weight"]) <= 1
        assert 0 <= float(row["rotation_deg"]) < 360
        assert row["mirrored"] in {"true", "false"}
        same = classes[int(row["i"])]["source"] == classes[int(row["j"])]["source"]
        assert row["same_source"] == str(same).lower()
    matrix = np.array([list(row.values())[1:] for row in rows(folder / "matrix.csv")], float)
    assert matrix.shape == (n, n)
    np.testing.assert_array_equal(matrix, matrix.T)
    members = [m for row in rows(folder / "groups.csv") for m in row["members"].split()]
    assert sorted(map(int, members)) == list(range(n))


def best_partners(pairs: list[dict[str, str]], n: int) -> list[int]:
    """For each of the first n classes, which of the later ones it blends with best, from 0."""
    across = [row for row in pairs if int(row["i"]) < n <= int(row["j"])]
    best = [
        max((r for r in across if int(r["i"]) == k), key=lambda r: float(r["blend"]))
        for k in range(n)
    ]
    return [int(row["j"]) - n for row in best]


@pytest.mark.parametrize("name", STACKS)
def test_every_set_of_stacks_runs_and_its_tables_keep_the_contract(
    name: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = in_order(shared_data / "stacks" / name, STACKS[name])
    pairs = analyzed(inputs, tmp_path)
    check_contract(tmp_path, CLASSES[name])
    warnings = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning:")]
    warnings = [text for text in warnings if "in one group" not in text]
    assert len(warnings) == 1  # however many files share it
    assert warnings[0].endswith("give --pixel-size for results in Å.")
    assert {row["frc_resolution_angstrom"] for row in pairs} == {""}
    particles = [row["particles"] for row in rows(tmp_path / "classes.csv")]
    assert all(
        (count != "" and int(count) > 0) == (name == "eman2_hdf_multi") for count in particles
    )


@pytest.mark.parametrize("name", MONTAGES)
def test_every_montage_runs_and_its_tables_keep_the_contract(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    analyzed([shared_data / "montages" / name], tmp_path)
    check_contract(tmp_path, MONTAGES[name])
    squares, classes = rows(tmp_path / "squares.csv"), rows(tmp_path / "classes.csv")
    assert len(squares) == MONTAGES[name]
    for square, item in zip(squares, classes, strict=True):
        assert [square[k] for k in ("x", "y", "width")] == [item[k] for k in ("x", "y", "width")]


@pytest.mark.parametrize("name", MONTAGES)
def test_detect_cuts_every_montage(name: str, shared_data: Path, tmp_path: Path) -> None:
    montage = shared_data / "montages" / name
    assert main(["detect", str(montage), "-o", str(tmp_path)]) == 0
    assert len(rows(tmp_path / "squares.csv")) == MONTAGES[name]
    assert (tmp_path / f"overlay_{montage.stem}.png").is_file()
    stack = read(tmp_path / "stack.mrcs")
    assert isinstance(stack, Stack)
    assert len(stack.images) == MONTAGES[name]


def test_the_same_pixels_in_two_formats_give_identical_matrices(
    shared_data: Path, tmp_path: Path
) -> None:
    spider = shared_data / "stacks" / "spider_stack" / "23904.spi"
    hdf = shared_data / "stacks" / "eman2_hdf_multi" / "class_averages_merged_cen_p150_t34.hdf"
    analyzed([spider], tmp_path / "spider")
    analyzed([hdf], tmp_path / "hdf")
    first, second = (tmp_path / name / "matrix.csv" for name in ("spider", "hdf"))
    assert first.read_bytes() == second.read_bytes()


def test_a_damaged_spider_file_is_refused_by_name(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shared_data / "stacks" / "pom152_wt_hdf" / "DAMAGED_small1.spi"
    assert main(["analyze", str(damaged), "-o", str(tmp_path / "run")]) == 1
    assert f"{damaged}: the file is damaged" in capsys.readouterr().err


def test_a_montage_at_another_zoom_finds_every_class_of_its_stack(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # EMAN2 shows row 0 at the bottom and the picture was turned by about 12° besides.
    montage = shared_data / "montages" / "pom152_WT_montage.png"
    stack = in_order(shared_data / "stacks" / "pom152_wt_hdf", "*.hdf")
    pairs = analyzed([montage, *stack], tmp_path, "--bottom-up")
    assert "show the same field as the other inputs: best partners" in capsys.readouterr().err
    assert best_partners(pairs, 35) == list(range(35))
    own = [row for row in pairs if int(row["j"]) - int(row["i"]) == 35]
    assert min(float(row["ncc"]) for row in own) > 0.9
    upright = [row for row in own if row["mirrored"] == "true"]
    assert len(upright) >= 34
    assert all(math.isclose(float(row["rotation_deg"]), 193, abs_tol=1) for row in upright)


def test_a_montage_drawn_pixel_for_pixel_in_a_larger_box_finds_every_class_of_its_stack(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    montage = shared_data / "montages" / "nup82_combined_no_bg.png"
    truth = json.loads((shared_data / "montages" / "squares.json").read_text())[montage.name]
    stack = in_order(shared_data / "stacks" / "nup82_spi", "*.spi")
    pairs = analyzed([montage, *stack], tmp_path / "known", "--pixel-size", "3.23", *WIDE)
    assert best_partners(pairs, 21) == truth["class_ids"]
    capsys.readouterr()
    pairs = analyzed([montage, *stack], tmp_path / "told", *WIDE)
    assert "show the other inputs pixel for pixel: best partners" in capsys.readouterr().err
    assert best_partners(pairs, 21) == truth["class_ids"]


def test_a_montage_of_another_particle_cannot_be_told_and_the_verdict_says_so(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    montage = shared_data / "montages" / "oldschool_2dclass_junk1.png"
    stack = shared_data / "stacks" / "pom152_t1_spi"
    run = str(tmp_path / "run")
    assert main(["match", str(stack), str(montage), "-o", run, "--box", "40"]) == 0
    err = capsys.readouterr().err
    assert err.count("the pictures do not tell") == 2
    assert "the pictures do not tell" in err.splitlines()[-1]
    again = ["match", str(stack), str(montage), "-o", run, "--overwrite", "--box", "40"]
    assert main([*again, "--drawn", "field"]) == 0
    assert "do not tell" not in capsys.readouterr().err
