"""``cryocorr dic`` from the command line to the files."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from cryocorr_tui.cli import main
from cryocorr_tui.cli.parser import (
    REPLACEMENTS,
    SMALLEST_BLOCK,
    SUBSET_SHAPES,
    SWEEP,
    build_parser,
)
from cryocorr_tui.core import displacement
from cryocorr_tui.core.displacement import checking, sweep
from cryocorr_tui.core.model import DisplacementSettings
from cryocorr_tui.core.resources import sample_data

SAMPLE = [str(sample_data() / name) for name in ("dic_reference.tif", "dic_deformed.tif")]


def dic(*words):
    return main(["dic", "--device", "cpu", *map(str, words)])


def test_two_pictures_become_a_table_and_a_picture(tmp_path, capsys):
    table, plot = tmp_path / "new" / "field.csv", tmp_path / "new" / "field.png"
    assert dic(*SAMPLE, "-o", table, "--plot", plot, "--strain", "--remove-rigid") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(table), str(plot)]
    assert "of 225 vectors are valid" in err
    assert "taken off" in err
    field = pd.read_csv(table)
    expected = ["y", "x", "dy", "dx", "magnitude", "correlation", "peak_ratio", "valid"]
    assert field.columns[:8].tolist() == expected
    assert {"reason", "uncertainty", "replaced", "exx", "eyy", "exy"} <= set(field.columns)
    assert field.exx[field.valid].median() == pytest.approx(0.004, abs=5e-4)
    assert cv2.imread(str(plot)).shape[1] > 1000
    assert sorted(path.name for path in table.parent.iterdir()) == ["field.csv", "field.png"]


def test_files_that_exist_are_refused_unless_overwrite_is_given(tmp_path, capsys):
    table = tmp_path / "field.csv"
    table.write_text("mine")
    assert dic(*SAMPLE, "-o", table) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert table.read_text() == "mine"
    assert dic(*SAMPLE, "-o", table, "--overwrite") == 0
    assert table.read_text().startswith("y,x,dy,dx")


def test_a_drawing_that_is_no_png_is_refused(tmp_path, capsys):
    table = tmp_path / "field.csv"
    assert dic(*SAMPLE, "-o", table, "--plot", tmp_path / "field.foo") == 1
    assert "field.foo: the field is drawn as a PNG" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_input_is_never_written_over(tmp_path, capsys):
    mine = tmp_path / "a.tif"
    mine.write_bytes((sample_data() / "dic_reference.tif").read_bytes())
    assert dic(mine, SAMPLE[1], "-o", mine, "--overwrite") == 1
    assert "input" in capsys.readouterr().err
    assert mine.read_bytes() == (sample_data() / "dic_reference.tif").read_bytes()


def test_a_sweep_is_a_table_and_a_picture_beside_the_field(tmp_path, capsys):
    table = tmp_path / "field.csv"
    assert dic(*SAMPLE, "-o", table, "--sweep", "16,32:1.5,2") == 0
    assert len(pd.read_csv(tmp_path / "field_sweep.csv")) == 4
    assert cv2.imread(str(tmp_path / "field_sweep.png")) is not None
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_mask_leaves_vectors_out_and_says_so(tmp_path):
    table = tmp_path / "field.csv"
    assert dic(*SAMPLE, "-o", table, "--mask", "0,0 0,255 255,0", "--replace", "median") == 0
    field = pd.read_csv(table)
    assert field.reason[(field.y > 200) & (field.x > 200)].eq("masked").all()
    assert not field.replaced[field.reason == "masked"].any()
    assert field.valid[(field.y < 100) & (field.x < 100) & (field.y > 30) & (field.x > 30)].all()


BAD_LINES = [
    (["-o", "f.csv"], "REFERENCE and DEFORMED"),
    (["a.tif", "-o", "f.csv"], "REFERENCE and DEFORMED"),
    (["a.tif", "b.tif", "--pair", "run", "0", "1", "-o", "f.csv"], "no picture"),
    (["--pair", "run", "x", "1", "-o", "f.csv"], "whole numbers"),
    (["a.tif", "b.tif", "-o", "f.csv", "--block-size", "4"], "8 or more"),
    (["a.tif", "b.tif", "-o", "f.csv", "--sweep", "16,32"], "BLOCKS:MULTIPLIERS"),
    (["a.tif", "b.tif", "-o", "f.csv", "--search-area-multiplier", "1"], "above 1"),
    (["a.tif", "b.tif"], "-o"),
]


@pytest.mark.parametrize(("words", "said"), BAD_LINES)
def test_wrong_usage_ends_with_2(words, said, capsys):
    with pytest.raises(SystemExit) as left:
        dic(*words)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def bad_pictures(folder):
    grey = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    for name, pixels in {
        "good": grey,
        "small": grey[:60],
        "constant": np.full_like(grey, 7),
        "stack": np.stack([grey, grey]),
    }.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels)


@pytest.mark.parametrize(
    ("deformed", "options", "said"),
    [
        ("small.tif", [], "differ in size (64 × 64 and 64 × 60 pixels)"),
        ("constant.tif", [], "deformed picture is constant"),
        ("stack.tif", [], "holds 2 images"),
        ("missing.tif", [], "no such file"),
        ("good.tif", ["--block-size", "65"], "does not fit"),
        ("good.tif", ["--search-area-multiplier", "1.01"], "no room to search"),
        ("good.tif", ["--mask", "1,1 2,2"], "three corners"),
        ("good.tif", ["--mask", "small.tif"], "mask has 64 × 60"),
    ],
)
def test_bad_input_ends_with_1_and_one_sentence(
    deformed, options, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    bad_pictures(tmp_path)
    assert dic("good.tif", deformed, "-o", "field.csv", *options) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "cryocorr:" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "field.csv").exists()


def test_two_classes_of_a_run_are_compared_after_they_are_aligned(tmp_path, capsys):
    run = tmp_path / "run"
    made = main(["simulate", "-o", str(tmp_path / "sim"), "--views", "2", "--replicates", "2",
                 "--junk", "0", "--box", "96", "--snr", "16"])  # fmt: skip
    assert made == 0
    stack = next((tmp_path / "sim").glob("*.mrcs"))
    assert main(["analyze", str(stack), "-o", str(run), "--device", "cpu"]) == 0
    pairs = pd.read_csv(run / "pairs.csv").sort_values("score")
    best = pairs.iloc[-1]
    table = tmp_path / "field.csv"
    words = ["--pair", run, int(best.i), int(best.j), "-o", table]
    capsys.readouterr()
    assert dic(*words) == 0
    told = capsys.readouterr().err
    assert "of 96 px: --block-size 32 --step 8 --smoothing 1.5 --subset-shape shift" in told
    assert "of 81 vectors are valid" in told
    field = pd.read_csv(table)
    assert field.valid.mean() > 0.5
    assert field.magnitude[field.valid].median() < 1.5
    # What the user wants stays so, and what hangs on it follows.
    assert dic(*words, "--overwrite", "--block-size", "24", "--subset-shape", "affine") == 0
    told = capsys.readouterr().err
    assert "of 96 px: --step 6 --smoothing 1.5 --min-peak-ratio 1.0\n" in told
    assert "Against" in told
    assert "try larger blocks" in told
    assert len(pd.read_csv(table)) == 169
    assert dic("--pair", run, "0", "99", "-o", tmp_path / "other.csv") == 1
    assert "has no class 99" in capsys.readouterr().err
    assert dic("--pair", run, "1", "1", "-o", tmp_path / "other.csv") == 1
    assert "with itself" in capsys.readouterr().err


def test_what_is_not_given_is_left_to_the_core_and_help_tells_its_defaults():
    parser = build_parser()
    arguments = parser.parse_args(["dic", "a", "b", "-o", "f.csv"])
    commands = next(action for action in parser._actions if action.dest == "command")
    said = {action.dest: action.help or "" for action in commands.choices["dic"]._actions}
    for name, default in vars(DisplacementSettings()).items():
        if name == "device":
            assert arguments.device == default
            continue
        assert getattr(arguments, name) is None, name
        if default is not None and default is not False and name != "strain_window":
            value = default if isinstance(default, str) else f"{default:g}"
            assert f"default: {value})" in said[name], name
    assert SUBSET_SHAPES == displacement.SUBSET_SHAPES
    assert REPLACEMENTS == displacement.REPLACEMENTS
    assert SMALLEST_BLOCK == checking.SMALLEST_BLOCK
    assert SWEEP == (sweep.BLOCK_SIZES, sweep.MULTIPLIERS)
