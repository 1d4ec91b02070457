"""Print on the squares of a montage: read into the tables, and without a say in the scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
from class_average_forge import column, particles, rows

from cryocorr_tui.core.analysis import analyze
from cryocorr_tui.core.events import Notice
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.montage_cutting import cut_montages
from cryocorr_tui.core.simulation.montage_drawing import (
    draw_cryosparc_montage,
    draw_relion_montage,
)

BOX, VIEWS = 128, 4
COUNTS = [412, 9754, 36, 1280, 77, 5023, 640, 218]
ANGSTROMS = [6.4, 12.5, 18.0, 7.9, 9.6, 14.1, 15.6, 8.2]


def views_twice() -> np.ndarray:
    """Each of some particles twice, with other noise: (2 VIEWS, BOX, BOX) float32."""
    noise = cv2.GaussianBlur(
        np.random.default_rng(0).standard_normal((BOX, BOX, 2 * VIEWS)), (0, 0), 1.5
    )
    return np.tile(particles(VIEWS, BOX), (2, 1, 1)) + 1.2 * noise.transpose(2, 0, 1)


def save(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def printed_montage(path: Path) -> Path:
    drawn = draw_cryosparc_montage(
        views_twice(), particles=COUNTS, resolution=ANGSTROMS, ess=[1] * len(COUNTS),
        pixel_size=2.0, columns=4, side=BOX,
    )  # fmt: skip
    return save(path, drawn.picture)


def clean_montage(path: Path) -> Path:
    grey = draw_relion_montage(views_twice(), columns=4, line=4).picture
    return save(path, np.repeat(grey[..., None], 3, axis=2))


def blends(folder: Path) -> np.ndarray:
    return np.array([float(value) for value in column(folder / "pairs.csv", "blend")])


def run(montage: Path, folder: Path) -> Path:
    list(analyze([montage], folder, Settings(pixel_size=2.0)))
    return folder


def test_pairs_with_different_print_score_as_if_there_were_none(tmp_path: Path) -> None:
    printed = run(printed_montage(tmp_path / "printed.png"), tmp_path / "a")
    clean = run(clean_montage(tmp_path / "clean.png"), tmp_path / "b")
    off = np.abs(blends(printed) - blends(clean))
    assert off.max() < 0.02
    assert np.median(off) < 0.005
    quality = [
        np.array([float(value) for value in column(folder / "classes.csv", "quality")])
        for folder in (printed, clean)
    ]
    assert np.abs(quality[0] - quality[1]).max() < 0.05


def test_printed_numbers_reach_the_tables(tmp_path: Path) -> None:
    folder = run(printed_montage(tmp_path / "m.png"), tmp_path / "run")
    read = column(folder / "classes.csv", "particles")
    assert all(got in ("", str(count)) for got, count in zip(read, COUNTS, strict=True))
    assert sum(got != "" for got in read) >= 4
    resolution = [float(value) for value in column(folder / "classes.csv", "resolution_angstrom")]
    assert resolution == pytest.approx(ANGSTROMS)
    squares = rows(folder / "squares.csv")
    assert [row["particles"] for row in squares] == read
    assert squares[0]["label_text"].startswith("412 ptcls; 6.4 A")
    assert {row["selected"] for row in squares} == {""}


def test_print_is_filled_in_the_stack_that_is_cut_out_and_told_in_words(tmp_path: Path) -> None:
    montage = printed_montage(tmp_path / "m.png")
    events = list(cut_montages([montage], tmp_path / "out", Settings()))
    findings = [event.text for event in events if isinstance(event, Notice) and not event.warning]
    assert any(
        "8 squares have print on them" in text and "resolution on 8" in text for text in findings
    )
    with mrcfile.open(tmp_path / "out" / "stack.mrcs") as file:
        cut = file.data.astype(np.float32)
    clean = draw_relion_montage(views_twice(), columns=4).picture
    drawn = clean.reshape(2, BOX, 4, BOX).transpose(0, 2, 1, 3).reshape(-1, BOX, BOX)
    first_left = cv2.imread(str(montage), cv2.IMREAD_GRAYSCALE)[4 : 4 + BOX, 4 : 4 + BOX]
    printed = np.abs(first_left[2:14, 30:98] - drawn[0, 2:14, 30:98].astype(np.float32))
    filled = np.abs(cut[0, 2:14, 30:98] - drawn[0, 2:14, 30:98])
    assert filled.mean() < 0.6 * printed.mean()  # noise cannot be guessed


def test_squares_framed_in_colour_are_selected(tmp_path: Path) -> None:
    path = clean_montage(tmp_path / "m.png")
    picture = cv2.imread(str(path))
    pitch = BOX + 4
    for k in (1, 6):
        y, x = (k // 4) * pitch, (k % 4) * pitch
        cv2.rectangle(picture, (x + 2, y + 2), (x + BOX - 3, y + BOX - 3), (0, 0, 255), 2)
    cv2.imwrite(str(path), picture)
    folder = run(path, tmp_path / "run")
    chosen = ["true" if k in (1, 6) else "false" for k in range(8)]
    assert column(folder / "squares.csv", "selected") == chosen
    assert column(folder / "classes.csv", "selected") == chosen
