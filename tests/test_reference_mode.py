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
    assert any(abs(x - true[0]) < 2 and abs(y - true[1]) < 2 for x, y in found)
    assert len(found) < 20
    assert (tmp_path / "overlay_montage_relion.png").is_file()


@pytest.mark.parametrize("options", [["--mode", "reference"], ["--reference", "a.mrcs#0"]])
def test_mode_and_reference_go_together(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["detect", "m.png", "-o", "out", *options])
    assert "--mode reference and --reference go together" in capsys.readouterr().err
