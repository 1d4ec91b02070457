from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.files import (
    DETECTION_FILES,
    LOCK_NAME,
    atomic_path,
    check_output,
    folder_lock,
    output_error,
    prepare_output,
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK_NAME}


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "pairs.csv") as partial:
        partial.write_text("i,j\r\n")
        assert partial.parent == tmp_path
        assert partial.suffix == ".csv"
        assert not (tmp_path / "pairs.csv").exists()
    assert names(tmp_path) == {"pairs.csv"}
    assert (tmp_path / "pairs.csv").read_bytes() == b"i,j\r\n"


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt])
def test_what_was_there_stays_when_writing_breaks_off(
    tmp_path: Path, trouble: type[BaseException]
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as partial:
            partial.write_text("ne")
            raise trouble

    with pytest.raises(trouble):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"pairs.csv"}


def test_a_full_disk_is_told_in_one_sentence_and_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as partial:
            partial.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"pairs\.csv: the disk .* is full; free some space"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"pairs.csv"}


def test_a_writer_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "overlay.png"
    with pytest.raises(OutputError, match=r"overlay\.png: cannot be written"), atomic_path(path):
        pass


def test_a_missing_folder_is_an_error_of_output(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "field.csv"
    with pytest.raises(OutputError, match=r"field\.csv"), atomic_path(path) as partial:
        partial.write_text("y,x\r\n")


def test_trouble_with_another_file_inside_the_block_is_not_explained_as_output(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="input"), atomic_path(tmp_path / "pairs.csv"):
        (tmp_path / "input.mrc").read_bytes()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_each_trouble_of_the_disk_has_its_words(number: int, words: str) -> None:
    message = str(output_error("out", OSError(number, os.strerror(number))))
    assert message.startswith("out: ")
    assert words in message
    assert message.endswith(".")


def test_a_missing_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    prepare_output(tmp_path / "a" / "b", overwrite=False)
    assert names(tmp_path / "a" / "b") == set()


def test_a_folder_that_could_be_made_is_not_made_by_the_check(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b", overwrite=False)
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_known_before_the_work() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a place where nobody can make a folder")
    with pytest.raises(OutputError, match=r"^/proc/a/b: .*; choose another output folder\.$"):
        check_output("/proc/a/b", overwrite=False)


def test_an_empty_folder_is_fine_twice_over(tmp_path: Path) -> None:
    prepare_output(tmp_path, overwrite=False)
    prepare_output(tmp_path, overwrite=False)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"not empty.*--overwrite"):
        prepare_output(tmp_path, overwrite=False)


def test_overwrite_removes_our_files_and_leaves_others_alone(tmp_path: Path) -> None:
    for name in ("pairs.csv", "matrix_ncc.csv", "run.json", ".pairs.1a2b3c4d.partial.csv"):
        (tmp_path / name).write_text("old")
    for name in ("notes.txt", "model.star", "stack.mrcs", "matrix.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "store.zarr" / "pairs").mkdir(parents=True)
    prepare_output(tmp_path, overwrite=True)
    assert names(tmp_path) == {"notes.txt", "model.star", "stack.mrcs", "matrix.txt"}


def test_overwrite_of_a_detection_keeps_the_tables_of_a_run(tmp_path: Path) -> None:
    for name in ("pairs.csv", "squares.csv", "overlay_grid.png", "figure.png"):
        (tmp_path / name).write_text("old")
    prepare_output(tmp_path, overwrite=True, own=DETECTION_FILES)
    assert names(tmp_path) == {"pairs.csv", "figure.png"}


def test_a_store_that_is_a_link_loses_the_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "zarr.json").write_text("{}")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "store.zarr").symlink_to(scratch)
    prepare_output(folder, overwrite=True)
    assert names(folder) == set()
    assert (scratch / "zarr.json").exists()


def test_resume_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    prepare_output(tmp_path, overwrite=False, resume=True)
    assert names(tmp_path) == {"run.json"}


def test_resume_clears_away_what_a_killed_run_left_half_written(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("whole")
    (tmp_path / ".pairs.0123abcd.partial.csv").write_text("hal")
    prepare_output(tmp_path, overwrite=False, resume=True)
    assert names(tmp_path) == {"classes.csv"}


def test_resume_on_a_missing_or_empty_folder_is_a_fresh_start(tmp_path: Path) -> None:
    prepare_output(tmp_path / "new", overwrite=False, resume=True)
    prepare_output(tmp_path / "new", overwrite=False, resume=True)


def test_resume_in_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="no run of cryocorr that could be resumed"):
        prepare_output(tmp_path, overwrite=False, resume=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_where_a_folder_is_needed_is_refused_always(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    for folder in (path, path / "deeper"):
        with pytest.raises(OutputError, match="a file stands where a folder is needed"):
            prepare_output(folder, overwrite=overwrite)
    assert path.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        prepare_output(tmp_path, overwrite=False)


def test_a_folder_that_takes_no_files_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match="no permission"):
        prepare_output(tmp_path, overwrite=False)


def test_a_second_lock_on_a_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    in_use = pytest.raises(OutputError, match="another cryocorr")
    with folder_lock(tmp_path), in_use, folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("being written")
    with folder_lock(tmp_path), pytest.raises(OutputError, match="another cryocorr"):
        prepare_output(tmp_path, overwrite=True)
    assert names(tmp_path) == {"pairs.csv"}


def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("cryocorr_tui.core.files.fcntl.flock", unsupported)
    with folder_lock(tmp_path):
        pass
