"""``cryocorr detect --mode reference``, from the command to the tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cryocorr_tui.cli import main
from cryocorr_tui.core.resources import sample_data


def test_one_view_is_found_in_the_sample_montage(tmp_path: Path) -> None:
    reference = f"{sample_data() / 'class_averages.mrcs'}#0"
    montage = str(sample_data() / "montage_relion.png")
    assert (
        main(
            [
                "detect",
                montage,
                "--mode",
                "reference",
                "--reference",
                reference,
                "-o",
                str(tmp_path),
            ]
        )
        == 0
    )
    with (tmp_path / "squares.csv").open(newline="") as file:
        found = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    with (sample_data() / "truth_squares.csv").open(newline="") as file:
        true = next(
            (float(row["x"]), float(row["y"]))
            for row in csv.DictReader(file)
            if row["montage"] == "montage_relion.png" and row["class_id"] == "0"
        )
    with (tmp_path / "squares.csv").open(newline="") as file:
        best = max(csv.DictReader(file), key=lambda row: float(row["score"]))
    assert float(best["score"]) > 0.95
    assert (best["mirrored"], float(best["scale"])) == ("false", pytest.approx(1, abs=0.01))
    assert any(abs(x - true[0]) < 2 and abs(y - true[1]) < 2 for x, y in found)
    assert len(found) < 20
    assert (tmp_path / "overlay_montage_relion.png").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mode", "reference"], "--mode reference and --reference go together"),
        (["--reference", "a.mrcs#0"], "--mode reference and --reference go together"),
        (["--threshold", "0.5"], "--threshold is for --mode reference"),
        (["--scales", "1,2"], "--scales is for --mode reference"),
        (["--threshold", "0"], "'0' is not a number above 0, up to 1"),
        (["--threshold", "high"], "'high' is not a number above 0, up to 1"),
        (["--scales", "2,1"], "'2,1' is not a range: give LOW,HIGH as in 0.7,1.4"),
        (["--scales", "0,1"], "'0,1' is not a range"),
        (["--scales", "1"], "'1' is not a range"),
        (["--scales", "1,2,3"], "'1,2,3' is not a range"),
    ],
)
def test_wrong_usage_ends_with_what_is_right(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["detect", "m.png", "-o", "out", *options])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("montage_relion.png:9000,0,50,50", "leaves the picture, which is"),
        ("montage_relion.png#999", "has no number 999: it holds"),
        ("class_averages.mrcs#999", "has no number 999: it holds"),
        ("class_averages.mrcs:0,0,50,50", "choose one of them with"),
        ("class_averages.mrcs", "give FILE:X,Y,W,H"),
        ("absent.mrcs#0", "there is no such file"),
    ],
)
def test_a_reference_that_cannot_be_used_is_one_sentence(
    reference: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    montage = str(sample_data() / "montage_relion.png")
    named = str(sample_data() / reference)
    out = tmp_path / "out"
    assert (
        main(["detect", montage, "--mode", "reference", "--reference", named, "-o", str(out)]) == 1
    )
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("cryocorr: ")
    assert told in complaint
    assert not out.exists()
