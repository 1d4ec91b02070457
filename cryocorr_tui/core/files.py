"""Files and folders of results: whole or not at all, one run at a time, nobody else's touched."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.model import METRICS

__all__ = [
    "DETECTION_FILES",
    "PARTIAL",
    "RUN_FILES",
    "STORE_NAME",
    "atomic_path",
    "check_apart",
    "check_files",
    "check_output",
    "folder_lock",
    "numbered_folder",
    "output_error",
    "prepare_output",
]

LOCK_NAME = ".cryocorr.lock"
PARTIAL = ".partial"
STORE_NAME = "store.zarr"  # of a run, in its folder

# What a command writes into its output folder: all that --overwrite may remove there. Patterns of
# `pathlib.Path.glob`, and narrow: the folder may be one in which the user keeps other things.
RUN_FILES = (
    STORE_NAME,
    "classes.csv",
    "groups.csv",
    "matches.csv",
    "matrix.csv",
    *(f"matrix_{name}.csv" for name in (*METRICS, "blend", "frc_resolution_px")),
    "pairs.csv",
    "run.json",
    "squares.csv",
    "overlay_*.png",
)
DETECTION_FILES = ("squares.csv", "stack.mrcs", "overlay_*.png")


def output_error(path: Path | str, error: OSError) -> OutputError:
    """Put into words, for the user, why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"{path}: the disk (or your quota) is full; free some space or choose another output"
            " folder, then run again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            f"{path}: you have no permission to write here; choose another output folder."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return OutputError(
            f"{path}: a file stands where a folder is needed; choose another output folder."
        )
    why = error.strerror or str(error) or type(error).__name__
    return OutputError(f"{path}: cannot be written ({why}); choose another output folder.")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder and rename it to `path` once it is written.

    A reader sees the old file or the new one, never half of one; what was there stays if the block
    fails or is interrupted.

    Parameters
    ----------
    path : Path or str
        The file to write. Its folder must exist.

    Yields
    ------
    Path
        Where to write; it does not exist yet and ends in the suffix of `path`, by which some
        libraries choose the format.

    Raises
    ------
    OutputError
        If writing fails for a reason of the disk: full, no permission, no such folder.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{PARTIAL}{path.suffix}")
    try:
        yield partial
        # Network file systems may tell of a full disk only now, and it must be before the rename.
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        # The block may read other files; their troubles are not ours to explain.
        if error.filename is not None and str(error.filename) != str(partial):
            raise
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def numbered_folder(folder: Path) -> Path:
    """Return a path beside `folder` that nothing stands at yet: its name with the next number."""
    return next(
        path for k in count(2) if not (path := folder.with_name(f"{folder.name}-{k}")).exists()
    )


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the kernel lets go of it however the process ends.

    Raises
    ------
    OutputError
        If a run of another process (or of this one) holds the folder, or it cannot be written.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{folder}: another cryocorr is working in this folder; wait for it to end or"
                " choose another output folder."
            ) from error
        except OSError as error:
            # Some cluster file systems have no locks; a run there is better than none.
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise output_error(folder, error) from error
        yield
    finally:
        os.close(descriptor)


def prepare_output(
    folder: Path | str,
    *,
    overwrite: bool,
    resume: bool = False,
    own: Iterable[str] = RUN_FILES,
) -> None:
    """Make `folder` ready to receive results.

    A missing folder is made, with its parents; an empty one is taken as it is.

    Parameters
    ----------
    folder : Path or str
        The output folder.
    overwrite : bool
        Remove what the command wrote there before; files of others stay.
    resume : bool
        Accept a folder that holds files of the command, and keep them (unless `overwrite` is given
        as well).
    own : iterable of str
        Patterns of the files that the command writes, as of `pathlib.Path.glob`.

    Raises
    ------
    OutputError
        If `folder` is a file, holds something and neither option allows that, is in use by another
        run, or cannot be written.
    """
    folder = Path(folder)
    ours = check_output(folder, overwrite=overwrite, resume=resume, own=own)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    with folder_lock(folder):
        # What a killed run left half written is of no use to anybody.
        _remove(ours if overwrite else {path for path in ours if PARTIAL in path.name})
        _try_writing(folder)


def check_apart(folder: Path | str, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that holds inputs: results could take their place.

    Raises
    ------
    OutputError
        If any of `inputs` lies in `folder` itself, or is a link to what does.
    """
    folder = Path(folder)
    for path in inputs:
        inside = folder.resolve() in (path.resolve().parent, path.parent.resolve())
        if inside and path.exists():
            raise OutputError(
                f"{folder}: the output folder holds the input {path.name}, which stays untouched; "
                "choose another output folder."
            )


def check_files(files: Iterable[Path], *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse files that are there already, or are inputs, and make the folders of the others.

    Raises
    ------
    OutputError
        If a file exists and may not be replaced, is an input or a folder, or its folder cannot be
        made or written.
    """
    read = [path.resolve() for path in inputs]
    for file in files:
        if file.is_dir():
            raise OutputError(
                f"{file}: a folder stands where a file is needed; choose another name."
            )
        if file.resolve() in read:
            raise OutputError(
                f"{file}: this is an input, which stays untouched; choose another name."
            )
        if file.exists() and not overwrite:
            raise OutputError(
                f"{file}: the file exists; choose another name, or pass --overwrite to replace it."
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(file.parent, error) from error
        _try_writing(file.parent)


def check_output(
    folder: Path | str,
    *,
    overwrite: bool,
    resume: bool = False,
    own: Iterable[str] = RUN_FILES,
) -> set[Path]:
    """Refuse what `prepare_output` would refuse, and leave everything as it is.

    Returns
    -------
    set of Path
        The files of the command that are in `folder`.
    """
    folder = Path(folder)
    try:
        found = set(folder.iterdir()) - {folder / LOCK_NAME}
        ours = {path for pattern in (*own, f".*{PARTIAL}*") for path in folder.glob(pattern)}
    except FileNotFoundError:
        there = next(parent for parent in folder.absolute().parents if parent.exists())
        _try_writing(there, wanted=folder)
        return set()
    except OSError as error:
        raise output_error(folder, error) from error
    if STORE_NAME in own and folder / STORE_NAME in found and not (overwrite or resume):
        raise OutputError(
            f"{folder}: the output folder holds a run; pass --resume to go on with it, or "
            "--overwrite to replace it, or choose another one."
        )
    if found and not (overwrite or resume):
        raise OutputError(
            f"{folder}: the output folder is not empty; choose another one, or pass --overwrite to"
            " replace the results in it."
        )
    if found and not ours and not overwrite:
        raise OutputError(
            f"{folder}: holds no run of cryocorr that could be resumed; choose its folder or an"
            " empty one."
        )
    _try_writing(folder)
    return ours


def _remove(paths: set[Path]) -> None:
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(path, error) from error


def _try_writing(folder: Path, *, wanted: Path | None = None) -> None:
    # Before the hours of work, not after them.
    probe = folder / f".probe.{secrets.token_hex(4)}{PARTIAL}.txt"
    try:
        probe.write_bytes(b"cryocorr")
    except OSError as error:
        raise output_error(wanted or folder, error) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
