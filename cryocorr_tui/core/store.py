"""The run on disk: every pair of a run, tile by tile.

A run folder holds ``store.zarr``, a zarr (format 3) array ``pairs`` of shape ``(fields, n, n)``
float32, fields as in `model.PAIR_FIELDS`. One chunk is one tile of the upper triangle, and **a
chunk that exists is done**: there is no second book to fall out of step with it, so a killed run
resumes by looking which chunks are there. zarr (from 3.1.3 on) writes a chunk under a temporary
name and renames it, so a chunk is whole or not there, and its checksum tells of a disk that spoiled
it. Inside a diagonal tile only i < j is filled; all else is NaN.

Where one set is compared with another, the array has a row for each of the first classes (`split`
of them) and a column for each of the others: the rectangle of their pairs and nothing else.

The manifest (fingerprint of inputs and settings, tile, versions, settings) stands in the attributes
of the array: zarr writes them with the shape and the chunk size in one file, in one rename, so
manifest and array cannot disagree.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.files import PARTIAL, STORE_NAME, folder_lock, output_error
from cryocorr_tui.core.model import PAIR_FIELDS, FloatArray

__all__ = ["SYMMETRIC_FIELDS", "RunStore", "Tile"]

ARRAY_NAME = "pairs"

# Fields for which (j, i) has the value of (i, j); a pose has an inverse instead.
SYMMETRIC_FIELDS = ("blend", "ncc", "ssim", "nmi", "frc_resolution_px")


@dataclass(frozen=True)
class Tile:
    """A block of pairs, ``rows`` × ``cols`` of class ids; its place among tiles: (row, col)."""

    row: int
    col: int
    rows: slice
    cols: slice

    @property
    def pairs(self) -> int:
        """Number of pairs i < j in it."""
        height, width = _length(self.rows), _length(self.cols)
        return height * (height - 1) // 2 if self.rows == self.cols else height * width


class RunStore:
    """All pairs of one run, on disk.

    Made by `create` or `open`; holds the lock of its folder until `close` (or the end of a ``with``
    block), except when opened to read only.

    Attributes
    ----------
    folder : Path
        The run folder.
    n : int
        Number of class averages.
    split : int or None
        The classes below it were compared with those from it on; None where all were compared with
        all.
    rows, cols : slice
        Class ids that are i and j of the pairs.
    tile : int
        Side of a tile in classes; the tiles of the last row and column may be smaller.
    manifest : mapping
        What `create` or `note` was given last.
    """

    def __init__(self, folder: Path, array: Any, lock: ExitStack) -> None:
        self.folder = folder
        self._array = array
        self._lock = lock
        self.split: int | None = array.attrs.get("split")
        self.n = int(array.shape[2]) + (self.split or 0)
        self.rows = slice(0, self.n if self.split is None else self.split)
        self.cols = slice(self.split or 0, self.n)
        self.tile = int(array.chunks[1])
        self.manifest = MappingProxyType(dict(array.attrs["manifest"]))

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        n: int,
        tile: int,
        fingerprint: str,
        manifest: Mapping[str, object],
        split: int | None = None,
    ) -> RunStore:
        """Make the store of a new run in `folder`.

        Parameters
        ----------
        folder : Path or str
            An existing folder without a store.
        n : int
            Number of class averages, at least 1.
        tile : int
            Side of a tile in classes, at least 1; fixed for the life of the run.
        fingerprint : str
            Names inputs and settings; `open` refuses a store that has another.
        manifest : mapping
            Whatever JSON can hold: settings, versions, inputs.
        split : int, optional
            Hold only the pairs of a class below it with one from it on; all pairs by default.

        Raises
        ------
        OutputError
            If the folder holds a store already, is in use, or cannot be written.
        """
        if n < 1 or tile < 1:
            raise ValueError(f"expected n >= 1 and tile >= 1, received n={n} and tile={tile}")
        if split is not None and not 0 < split < n:
            raise ValueError(f"expected a split between 0 and n={n}, received {split}")
        folder = Path(folder)
        with ExitStack() as stack:
            stack.enter_context(folder_lock(folder))
            if (folder / STORE_NAME).exists():
                raise OutputError(
                    f"{folder}: holds a run already; pass --resume to go on with it or --overwrite"
                    " to start anew."
                )
            with _told(folder), _whole_folder(folder / STORE_NAME) as path:
                zarr.create_array(
                    LocalStore(path),
                    name=ARRAY_NAME,
                    shape=(len(PAIR_FIELDS), split or n, n - (split or 0)),
                    chunks=(len(PAIR_FIELDS), tile, tile),
                    dtype="float32",
                    fill_value=np.nan,
                    compressors=ZstdCodec(level=1, checksum=True),
                    attributes={
                        "fingerprint": fingerprint,
                        "fields": list(PAIR_FIELDS),
                        "manifest": dict(manifest),
                        "split": split,
                    },
                )
            array = _open_array(folder / STORE_NAME, read_only=False)
            return cls(folder, array, stack.pop_all())

    @classmethod
    def open(
        cls, folder: Path | str, *, fingerprint: str | None = None, read_only: bool = False
    ) -> RunStore:
        """Open the store of an earlier run.

        Parameters
        ----------
        folder : Path or str
            The run folder.
        fingerprint : str, optional
            Refuse the store unless it was made of these inputs and settings.
        read_only : bool
            Take no lock and write nothing: for a look at a run that another process works on, or
            that belongs to somebody else.

        Raises
        ------
        OutputError
            If there is no store, it is damaged, was made by another version or of other inputs or
            settings, or is in use.
        """
        folder = Path(folder)
        path = folder / STORE_NAME
        if not path.is_dir():
            raise OutputError(
                f"{folder}: holds no run; name the output folder of cryocorr analyze or match."
            )
        with ExitStack() as stack:
            if not read_only:
                stack.enter_context(folder_lock(folder))
                _remove_partial(path)
            array = _open_array(path, read_only=read_only)
            if fingerprint is not None and array.attrs["fingerprint"] != fingerprint:
                raise OutputError(
                    f"{folder}: was made from other inputs or with other settings, so it cannot be"
                    " resumed; choose another output folder, or pass --overwrite to start anew."
                )
            return cls(folder, array, stack.pop_all())

    def note(self, manifest: Mapping[str, object]) -> None:
        """Keep another manifest, of the same inputs and pairs.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with _told(self.folder):
            self._array = self._array.update_attributes({"manifest": dict(manifest)})
        self.manifest = MappingProxyType(dict(self._array.attrs["manifest"]))

    def close(self) -> None:
        """Let go of the folder. What was written is on disk already."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pairs(self) -> int:
        """Number of pairs of the run, done or not."""
        if self.split is None:
            return self.n * (self.n - 1) // 2
        return self.split * (self.n - self.split)

    def tiles(self, columns: int | None = None) -> Iterator[Tile]:
        """Yield every tile that holds pairs of the run, row by row.

        With `columns`, row by row of about so many columns, then of the next so many.
        """
        width = self.n if columns is None else max(1, columns // self.tile) * self.tile
        for start in range(self.cols.start, self.cols.stop, width):
            yield from self._tiles(range(self.n), range(start, min(start + width, self.cols.stop)))

    def bands(self, pairs: int) -> Iterator[slice]:
        """Yield the rows in bands of about so many pairs, or of one row where that has more.

        No band reaches over a border of tiles, so whoever reads band by band reads a tile once,
        unless it is larger than a band.
        """
        most = max(1, pairs // _length(self.cols))
        if most >= self.tile:
            step = most // self.tile * self.tile
            starts = range(0, self.rows.stop, step)
            yield from (slice(start, min(start + step, self.rows.stop)) for start in starts)
            return
        for top in range(0, self.rows.stop, self.tile):
            bottom = min(top + self.tile, self.rows.stop)
            for start in range(top, bottom, most):
                yield slice(start, min(start + most, bottom))

    def done(self, tile: Tile) -> bool:
        """Tell whether `tile` is on disk."""
        return self._chunk(tile).is_file()

    def pairs_done(self) -> int:
        """Count the pairs i < j that are on disk."""
        return sum(tile.pairs for tile in self.tiles() if self.done(tile))

    def write(self, tile: Tile, block: FloatArray) -> None:
        """Put the pairs of `tile` on disk, all or none.

        Parameters
        ----------
        tile : Tile
            One of `tiles`.
        block : (fields, h, w) float32
            The fields of `model.PAIR_FIELDS`. On a diagonal tile only i < j is kept.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written; the tiles that were there stay.
        """
        shape = (len(PAIR_FIELDS), _length(tile.rows), _length(tile.cols))
        if block.shape != shape:
            raise ValueError(f"expected a block of shape {shape}, received {block.shape}")
        if tile.rows == tile.cols:
            upper = np.triu(np.ones(shape[1:], dtype=bool), k=1)
            block = np.where(upper, block, np.float32(np.nan))
        with _told(self.folder):
            self._array[:, tile.rows, self._stored(tile.cols)] = block

    def window(self, rows: slice, cols: slice) -> FloatArray:
        """Read a window of all fields as stored: NaN where there is no pair i < j of the run.

        Parameters
        ----------
        rows, cols : slice
            Ranges of class ids, step 1. Only the tiles they touch are read.

        Returns
        -------
        (fields, h, w) float32
        """
        return self._read(slice(None), rows, cols)

    def symmetric(self, field: str, rows: slice, cols: slice) -> FloatArray:
        """Read a window of one field with the lower triangle mirrored in.

        Parameters
        ----------
        field : str
            One of `SYMMETRIC_FIELDS`.
        rows, cols : slice
            Ranges of class ids, step 1.

        Returns
        -------
        (h, w) float32
            NaN on the diagonal and where a pair is not of the run or was not scored.
        """
        if field not in SYMMETRIC_FIELDS:
            raise ValueError(f"expected one of {SYMMETRIC_FIELDS}, received {field!r}")
        ids = np.arange(self.n)
        upper: NDArray[np.bool_] = ids[rows, np.newaxis] < ids[cols]
        values: FloatArray = self._read(_only(field), rows, cols)[0]
        if not upper.all():
            same = range(self.n)[rows] == range(self.n)[cols]
            mirrored = values.copy() if same else self._read(_only(field), cols, rows)[0]
            np.copyto(values, mirrored.T, where=~upper)
        return values

    def condensed(self, field: str) -> FloatArray:
        """Read one field of all pairs, ordered by i, then j: 4 bytes of memory for each of them.

        Returns
        -------
        (pairs,) float32
            NaN where a pair was not scored.
        """
        values = np.empty(self.pairs, dtype=np.float32)
        ids = np.arange(self.n)
        filled = 0
        for start in range(0, self.rows.stop, self.tile):
            rows = slice(start, min(start + self.tile, self.rows.stop))
            of_the_run = ids[rows, np.newaxis] < ids[self.cols]
            block = self._read(_only(field), rows, self.cols)[0][of_the_run]
            values[filled : filled + block.size] = block
            filled += block.size
        return values

    def _tiles(self, rows: range, cols: range) -> Iterator[Tile]:
        """Yield the tiles that the window `rows` × `cols` touches."""
        for row in _steps(rows, self.rows, self.tile):
            for col in _steps(cols, self.cols, self.tile):
                if self.split is not None or row <= col:
                    yield Tile(row, col, self._span(row, self.rows), self._span(col, self.cols))

    def _span(self, step: int, ids: slice) -> slice:
        start = ids.start + step * self.tile
        return slice(start, min(start + self.tile, ids.stop))

    def _stored(self, cols: slice) -> slice:
        """Return the columns of the array that hold the class ids `cols`."""
        return slice(cols.start - self.cols.start, cols.stop - self.cols.start)

    def _read(self, fields: slice, rows: slice, cols: slice) -> FloatArray:
        ys, xs = range(self.n)[rows], range(self.n)[cols]
        values = np.full((len(PAIR_FIELDS[fields]), len(ys), len(xs)), np.float32(np.nan))
        # Chunk by chunk: a spoiled one can be named, and beyond the window memory is one tile.
        for tile in self._tiles(ys, xs):
            y = slice(max(ys.start, tile.rows.start), min(ys.stop, tile.rows.stop))
            x = slice(max(xs.start, tile.cols.start), min(xs.stop, tile.cols.stop))
            within = values[:, y.start - ys.start : y.stop - ys.start]
            within[:, :, x.start - xs.start : x.stop - xs.start] = self._part(tile, fields, y, x)
        return values

    def _part(self, tile: Tile, fields: slice, rows: slice, cols: slice) -> FloatArray:
        try:
            stored = self._array[fields, rows, self._stored(cols)]
            return np.asarray(stored, dtype=np.float32)
        except (OSError, ValueError, RuntimeError) as error:
            raise OutputError(
                f"{self._chunk(tile)}: is damaged ({_in_short(error)}); delete this file and pass"
                " --resume to score its pairs again."
            ) from error

    def _chunk(self, tile: Tile) -> Path:
        key = self._array.metadata.encode_chunk_key((0, tile.row, tile.col))
        return self.folder / STORE_NAME / ARRAY_NAME / str(key)


def _only(field: str) -> slice:
    index = PAIR_FIELDS.index(field)
    return slice(index, index + 1)


def _steps(wanted: range, ids: slice, step: int) -> range:
    """Return the numbers of the steps through `ids` that `wanted` touches."""
    start = max(wanted.start, ids.start) - ids.start
    stop = min(wanted.stop, ids.stop) - ids.start
    return range(start // step, -(-stop // step)) if start < stop else range(0)


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _open_array(path: Path, *, read_only: bool) -> Any:
    try:
        # A tile in which no pair could be scored is done as well, so it must have its chunk.
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(
                LocalStore(path, read_only=read_only),
                path=ARRAY_NAME,
                mode="r" if read_only else "r+",
            )
        fields = array.attrs["fields"]
        shape, chunks = array.shape, array.chunks
        split = array.attrs.get("split")
        sound = shape[0] == chunks[0] == len(fields)
        sound &= shape[1] == (shape[2] if split is None else split)
        sound &= isinstance(array.attrs["manifest"], Mapping) and "fingerprint" in array.attrs
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    if not sound or array.dtype != np.float32:
        raise _damaged(path, ValueError("its parts do not fit together"))
    if tuple(fields) != PAIR_FIELDS:
        raise OutputError(
            f"{path}: was written by another version of cryocorr; choose another output folder, or"
            " pass --overwrite to start anew."
        )
    return array


def _damaged(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path}: is damaged ({_in_short(error)}); pass --overwrite to start anew, or choose"
        " another output folder."
    )


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _remove_partial(path: Path) -> None:
    # What a killed process was writing; zarr's own temporary names.
    for partial in path.rglob("*.partial"):
        with suppress(OSError):
            partial.unlink()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise output_error(folder, error) from error


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder and rename it to `path` once it is complete."""
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{PARTIAL}{path.suffix}")
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
