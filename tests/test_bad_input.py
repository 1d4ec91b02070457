"""Whatever is wrong with the input: exit 1, one sentence that says what to do, nothing harmed."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import (
    column,
    particles,
    rows,
    write_montage,
    write_picture,
    write_stack,
)

from cryocorr_tui.cli import main, parser
from cryocorr_tui.core import files
from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.store import RunStore

Refused = Callable[..., str]

# What a sentence tells the user to give must be there to be given.
OPTIONS = set(re.findall(r'"(--[a-z-]+)"', inspect.getsource(parser)))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with a good stack of five classes in it."""
    monkeypatch.chdir(tmp_path)
    write_stack(Path("good.mrcs"), particles(5), 3.0)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail, and return its sentence.

    Nothing may be on stdout, exactly one line of complaint on stderr, and every file must be as it
    was, with none beside them.
    """

    def run(*arguments: str) -> str:
        before = snapshot(here)
        capsys.readouterr()
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        *talk, complaint = err.splitlines()
        assert complaint.startswith("cryocorr: ")
        assert not any(line.startswith("cryocorr: ") for line in talk)
        assert complaint.endswith(".")
        assert set(re.findall(r"--[a-z-]+", complaint)) <= OPTIONS
        assert snapshot(here) == before
        return complaint.removeprefix("cryocorr: ")

    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`; the lock of a run folder is no result."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != files.LOCK_NAME
    }


def analyzed(*arguments: str) -> Path:
    assert main(["analyze", *arguments, "-o", "out"]) == 0
    return Path("out")


# Files


def test_a_missing_file(refused: Refused) -> None:
    said = refused("analyze", "missing.mrcs", "-o", "out")
    assert said == "missing.mrcs: there is no such file; check the name and the folder."


def test_an_empty_file(refused: Refused) -> None:
    Path("empty.mrcs").touch()
    said = refused("analyze", "good.mrcs", "empty.mrcs", "-o", "out")
    assert said == "empty.mrcs: the file is empty; copy or export it again."


@pytest.mark.parametrize("kept", [500, 5000])
def test_a_truncated_mrc(kept: int, refused: Refused) -> None:
    Path("cut.mrcs").write_bytes(Path("good.mrcs").read_bytes()[:kept])
    said = refused("analyze", "cut.mrcs", "-o", "out")
    assert said.startswith("cut.mrcs: the file is truncated")
    assert said.endswith(f"{kept} found); copy it again.")


def test_a_text_file_named_png(refused: Refused) -> None:
    Path("text.png").write_text("These are not pixels.\n")
    said = refused("analyze", "text.png", "-o", "out")
    assert said.startswith("text.png: a text file; give one of MRC,")


def test_a_star_file(refused: Refused) -> None:
    Path("model.star").write_text("data_model_classes\n\nloop_\n_rlnReferenceImage #1\n1@a.mrcs\n")
    said = refused("analyze", "model.star", "-o", "out")
    assert said.endswith("holds no images; give the stack itself (.mrcs).")


def test_a_folder_as_input(refused: Refused) -> None:
    Path("classes").mkdir()
    told = refused("analyze", "classes", "-o", "out")
    assert told == "classes: this folder holds no file with images; check the name and the folder."


def test_a_volume(refused: Refused) -> None:
    write_stack(Path("volume.mrc"), particles(32), 3.0)
    header = bytearray(Path("volume.mrc").read_bytes())
    header[36:40] = header[88:92] = (32).to_bytes(4, "little")  # mz = nz
    header[88:92] = (1).to_bytes(4, "little")  # space group of a volume
    Path("volume.mrc").write_bytes(header)
    said = refused("analyze", "volume.mrc", "-o", "out")
    assert said.startswith("volume.mrc: this is a 3D volume (32 × 32 × 32); give a stack")


def test_the_same_file_twice(refused: Refused) -> None:
    said = refused("analyze", "good.mrcs", "./good.mrcs", "-o", "out")
    assert said == "good.mrcs is given twice; name each input once."


def test_two_files_of_one_name_in_two_folders_are_fine() -> None:
    paths = [str(write_stack(Path(f"{k}/s.mrcs"), particles(2, seed=k), 2.0)) for k in range(2)]
    out = analyzed(*paths)
    assert column(out / "classes.csv", "source") == [paths[0], paths[0], paths[1], paths[1]]


# Pictures


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(height, width))


@pytest.mark.parametrize("command", ["analyze", "detect"])
def test_a_picture_without_squares(command: str, refused: Refused) -> None:
    write_picture(Path("noise.png"), noise(120, 200))
    said = refused(command, "noise.png", "-o", "out")
    assert "noise.png" in said
    assert "crop the picture to the grid" in said


def test_a_blank_picture(refused: Refused) -> None:
    write_picture(Path("blank.png"), np.zeros((120, 200)))
    assert refused("analyze", "blank.png", "-o", "out").startswith("blank.png: no grid")


def test_pictures_of_two_sizes(refused: Refused) -> None:
    pictures = [str(write_picture(Path(f"{box}.png"), particles(1, box)[0])) for box in (32, 40)]
    said = refused("analyze", *pictures, "-o", "out")
    assert said.endswith("not squares of one size either; leave out what is no class average.")
    said = refused("analyze", *pictures, "--as", "images", "-o", "out")
    assert said.startswith("40.png: its box of 40 px differs from the 32 px of 32.png")


def test_every_picture_without_a_grid_is_named(refused: Refused) -> None:
    write_montage(Path("grid.png"), particles(8))
    for name in ("a.png", "b.png"):
        write_picture(Path(name), noise(120, 200))
    said = refused("analyze", "grid.png", "a.png", "b.png", "-o", "out")
    assert said.startswith("a.png and b.png: no grid of class averages was found")
    said = refused("analyze", "a.png", "grid.png", "b.png", "-o", "out", "--as", "montage")
    assert said.startswith("a.png and b.png: no grid of class averages was found; crop them")
    said = refused("detect", "a.png", "b.png", "-o", "out")
    assert said.startswith("a.png and b.png: no grid of class averages was found; crop them")


def test_detect_cuts_the_other_pictures_and_names_those_without_a_grid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_montage(Path("grid.png"), particles(8))
    write_picture(Path("photo.png"), noise(120, 200))
    write_picture(Path("square.png"), noise(150, 150))
    assert main(["detect", "photo.png", "grid.png", "square.png", "-o", "out"]) == 0
    out, err = capsys.readouterr()
    assert "photo.png and square.png" in err
    assert out.split() == ["out/squares.csv", "out/overlay_grid.png", "out/stack.mrcs"]
    assert set(column(Path("out/squares.csv"), "source")) == {"grid.png"}


def test_a_stack_is_nothing_to_cut(refused: Refused) -> None:
    assert refused("detect", "good.mrcs", "-o", "out").endswith("give it to cryocorr analyze.")


# Images


def test_a_single_class(refused: Refused) -> None:
    write_stack(Path("one.mrcs"), particles(1), 3.0)
    said = refused("analyze", "one.mrcs", "-o", "out")
    assert said == "one.mrcs: only one class average was given; give two or more to compare."


def test_a_single_picture_as_image(refused: Refused) -> None:
    write_picture(Path("one.png"), particles(1)[0])
    said = refused("analyze", "one.png", "--as", "images", "-o", "out")
    assert said.endswith("give two or more to compare.")


def test_a_stack_of_constant_images(refused: Refused) -> None:
    write_stack(Path("flat.mrcs"), np.full((3, 32, 32), 7, np.float32), 3.0)
    said = refused("analyze", "flat.mrcs", "-o", "out")
    assert "image 0 of flat.mrcs is constant: give a file with at least two pictures" in said


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fewer_than_two_images_without_nan(value: float, refused: Refused) -> None:
    images = particles(3)
    images[1:, 4, 4] = value
    write_stack(Path("nan.mrcs"), images, 3.0)
    said = refused("analyze", "nan.mrcs", "-o", "out")
    assert "image 1 of nan.mrcs has NaN or infinite pixels" in said


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [(np.nan, "has NaN or infinite pixels"), (-np.inf, "has NaN or infinite pixels"),
     (None, "is constant")],
)  # fmt: skip
def test_one_image_that_cannot_be_compared_is_kept_named_and_not_scored(
    spoiled: float | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = particles(4)
    if spoiled is None:
        images[2] = 5.0
    else:
        images[2, 9, 9] = spoiled
    write_stack(Path("s.mrcs"), images, 3.0)
    out = analyzed("s.mrcs")
    said = capsys.readouterr().err
    assert f"warning: Not compared, since it {reason}: class 2 (image 2 of s.mrcs)." in said
    assert column(out / "classes.csv", "reason") == ["", "", reason, ""]
    for pair in rows(out / "pairs.csv"):
        unscored = "2" in (pair["i"], pair["j"])
        assert (pair["score"] == "") == unscored
        assert (reason in pair["reason"]) == unscored
    assert column(out / "matrix.csv", "2") == [""] * 4


def test_images_that_are_not_square(refused: Refused) -> None:
    write_stack(Path("oblong.mrcs"), particles(3)[:, :24], 3.0)
    said = refused("analyze", "oblong.mrcs", "-o", "out")
    assert said.startswith("oblong.mrcs: image 0 is 24×32; class averages must be square")


@pytest.mark.parametrize("pixel_size", [None, 2.0])
def test_boxes_of_two_sizes_without_pixel_size(pixel_size: float | None, refused: Refused) -> None:
    write_stack(Path("small.mrcs"), particles(3), pixel_size)
    write_stack(Path("large.mrcs"), particles(3, 40))
    said = refused("analyze", "small.mrcs", "large.mrcs", "-o", "out")
    assert said == (
        "large.mrcs: its box of 40 px differs from the 32 px of small.mrcs, and not every pixel "
        "size is known; give --pixel-size, or analyse them one by one."
    )
    assert main(["analyze", "small.mrcs", "large.mrcs", "-o", "out", "--pixel-size", "2"]) == 0


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--box 40", "--box 40 is larger than the class averages (32 px); give a smaller one."),
        ("--mask-diameter 150", "of 150 Å does not fit a box of 96 Å; give 27 Å to 96 Å."),
        ("--mask-diameter 33px", "of 33px does not fit a box of 32px; give 9px to 32px."),
        ("--max-shift 1000", "--max-shift 1000 is too large for this box; give less than 16 px."),
        ("--device cuda", "--device cuda cannot be used:"),
    ],
)
def test_an_option_that_does_not_fit(options: str, words: str, refused: Refused) -> None:
    if "cuda" in options and shutil.which("nvidia-smi"):
        pytest.skip("there is a card here")
    assert words in refused("analyze", "good.mrcs", "-o", "out", *options.split())


def test_a_mask_in_angstrom_without_a_pixel_size(refused: Refused) -> None:
    write_stack(Path("s.mrcs"), particles(3))
    said = refused("analyze", "s.mrcs", "-o", "out", "--mask-diameter", "150")
    assert "needs a pixel size; give --pixel-size, or the diameter in pixels" in said


# Outputs


def test_an_output_folder_that_holds_something(refused: Refused) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("seven years")
    assert "pass --overwrite" in refused("analyze", "good.mrcs", "-o", "out")
    assert "no run of cryocorr" in refused("analyze", "good.mrcs", "-o", "out", "--resume")


@pytest.mark.parametrize("option", [(), ("--overwrite",), ("--resume",)])
@pytest.mark.parametrize("output", ["file", "file/below", "good.mrcs"])
def test_an_output_path_that_is_a_file(
    output: str, option: tuple[str, ...], refused: Refused
) -> None:
    Path("file").write_text("mine")
    said = refused("analyze", "good.mrcs", "-o", output, *option)
    assert said == (
        f"{output}: a file stands where a folder is needed; choose another output folder."
    )


def test_an_output_folder_that_cannot_be_made(refused: Refused) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here, in which nobody can make a folder")
    said = refused("analyze", "good.mrcs", "-o", "/proc/cryocorr")
    assert said.startswith("/proc/cryocorr: ")
    assert said.endswith("choose another output folder.")


def test_an_output_folder_without_permission(refused: Refused) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("out").mkdir(mode=0o555)
    assert "no permission" in refused("analyze", "good.mrcs", "-o", "out")


def test_a_folder_in_which_another_run_is_at_work(refused: Refused) -> None:
    out = analyzed("good.mrcs")
    with RunStore.open(out):
        for option in ("--resume", "--overwrite"):
            said = refused("analyze", "good.mrcs", "-o", "out", option)
            assert said.startswith("out: another cryocorr is working in this folder; wait")


def test_other_settings_than_those_of_the_run_to_resume(refused: Refused) -> None:
    analyzed("good.mrcs")
    said = refused("analyze", "good.mrcs", "-o", "out", "--resume", "--no-mirror")
    assert said.startswith("out: was made from other inputs or with other settings")


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_an_output_folder_that_holds_an_input(options: tuple[str, ...], refused: Refused) -> None:
    Path("shots").mkdir()
    write_montage(Path("shots/overlay_a.png"), particles(8))
    write_stack(Path("shots/stack.mrcs"), particles(4), 3.0)
    Path("link.mrcs").symlink_to("shots/stack.mrcs")
    for command in (
        ("detect", "shots/overlay_a.png"),
        ("detect", "good.mrcs", "--mode", "reference", "--reference", "shots/stack.mrcs#0"),
        ("analyze", "link.mrcs"),
        ("match", "good.mrcs", "shots/stack.mrcs"),
    ):
        said = refused(*command, "-o", "shots", *options)
        assert "the output folder holds the input" in said


def test_a_broken_input_costs_nothing_of_the_run_that_was_there(refused: Refused) -> None:
    analyzed("good.mrcs")
    Path("cut.mrcs").write_bytes(Path("good.mrcs").read_bytes()[:5000])
    assert "truncated" in refused("analyze", "cut.mrcs", "-o", "out", "--overwrite")


@pytest.mark.parametrize("command", ["analyze", "detect"])
def test_a_disk_that_fills_up_while_tables_are_written(
    command: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_montage(Path("m.png"), particles(8))
    options = (command, "m.png", "-o", "out", "--pixel-size", "2")
    assert main([*options]) == 0

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    if command == "analyze":
        said = refused(*options, "--resume")
    else:
        shutil.rmtree("out")
        said = refused(*options)
    assert "the disk (or your quota) is full; free some space or choose another output" in said


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 128 kB that holds somebody's file."""
    disk = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (disk / "thesis.txt").write_text("seven years")
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("output", ["out", "."])
def test_a_disk_that_is_full(output: str, refused: Refused, small_disk: Path) -> None:
    fill(small_disk)
    said = refused("analyze", "good.mrcs", "-o", str(small_disk / output), "--overwrite")
    assert "is full; free some space or choose another output folder, then run again." in said
    assert (small_disk / "thesis.txt").read_text() == "seven years"


def test_a_disk_that_fills_up_during_the_run(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stack(Path("many.mrcs"), particles(60), 3.0)
    out = small_disk / "out"
    assert main(["analyze", "many.mrcs", "-o", str(out)]) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert "is full; free some space" in said
    assert (small_disk / "thesis.txt").read_text() == "seven years"
    assert not list(small_disk.rglob("*.partial*"))


def test_a_finished_run_survives_a_disk_that_is_full_when_its_tables_are_written_anew(
    refused: Refused, small_disk: Path
) -> None:
    out = small_disk / "out"
    assert main(["analyze", "good.mrcs", "-o", str(out)]) == 0
    before = snapshot(out)
    fill(small_disk)
    assert "is full" in refused("analyze", "good.mrcs", "-o", str(out), "--resume")
    assert snapshot(out) == before


# As a program


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.mrcs", "-o", "out"), "missing.mrcs: there is no such file"),
        (("good.mrcs", "-o", "good.mrcs"), "a file stands where a folder is needed"),
    ],
)
def test_the_program_leaves_with_1_and_one_sentence(
    arguments: tuple[str, ...], words: str, here: Path
) -> None:
    before = snapshot(here)
    command = [sys.executable, "-m", "cryocorr_tui", "analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert snapshot(here) == before


def test_a_library_that_meets_a_full_disk_is_put_into_words() -> None:
    error = files.output_error(Path("out"), OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert isinstance(error, OutputError)
    assert "quota" in str(error)


def test_all_files_of_a_folder_that_cannot_be_read_are_told_at_once(refused: Refused) -> None:
    Path("job").mkdir()
    shutil.copy("good.mrcs", "job/0.mrcs")
    for k in range(1, 9):
        Path(f"job/{k}.mrcs").write_text("no images\n" * 200)
    told = refused("analyze", "job", "-o", "out")
    assert told.startswith("job/1.mrcs: ")
    assert told.endswith("Nor can 2.mrcs, 3.mrcs, 4.mrcs, 5.mrcs and 3 more be read.")
