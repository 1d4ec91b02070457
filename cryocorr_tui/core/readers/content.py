"""A file of the user's, open for reading, and the words for what can be wrong with it."""

from __future__ import annotations

import bz2
import gzip
import io
import math
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.memory import room_for
from cryocorr_tui.core.model import Montage, Stack, frozen_array

__all__ = [
    "HEAD_BYTES",
    "MAX_PICTURE_PIXELS",
    "MAX_SIDE",
    "Content",
    "Glance",
    "opened",
    "peeked",
    "unpacked",
]

HEAD_BYTES = 1024
"""What a format is recognised by: the length of an MRC or IMAGIC header, the longest there are."""

MAX_SIDE = 65535
"""Pixels. A header of binary integers read in the wrong byte order always claims more than this."""

MAX_PICTURE_PIXELS = 100_000_000

PEEKED_BYTES = 1 << 16
"""Unpacked of a compressed file to see what it is."""

_GZIP, _BZIP2 = b"\x1f\x8b\x08", b"BZh"


@dataclass(frozen=True)
class Glance:
    """What the header of a file tells.

    Attributes
    ----------
    format : str
        As `Stack.format`.
    kind : str
        "stack", or "picture": one that may hold a grid or be one class average.
    images : int
        1 for a picture.
    height, width : int
        Of each of them in pixels.
    pixel_size : float or None
        Å per pixel; None where it is unknown or not believable.
    """

    format: str
    kind: str
    images: int
    height: int
    width: int
    pixel_size: float | None = None


@dataclass(frozen=True)
class Content:
    """The bytes of one file.

    Attributes
    ----------
    path : Path
        As the user named it.
    file : binary file
        On disk and seekable; a nameless temporary one where the user's is compressed.
    size : int
        Bytes in `file`.
    head : bytes
        The first `HEAD_BYTES` of them, or all there are.
    """

    path: Path
    file: IO[bytes]
    size: int
    head: bytes

    def refused(self, why: str) -> InputError:
        """Return the error that names this file and says `why`, remedy included."""
        return InputError(f"{self.path}: {why}.")

    def damaged(self, why: str) -> InputError:
        """Return the error for a file whose content contradicts itself."""
        return self.refused(f"the file is damaged ({why}); copy or export it again")

    def truncated(self, expected: int) -> InputError:
        """Return the error for a file that should hold `expected` bytes and holds fewer."""
        return self.refused(
            f"the file is truncated ({expected} bytes expected, {self.size} found); copy it again"
        )

    def pixels(self, dtype: DTypeLike, shape: tuple[int, ...], *, offset: int) -> NDArray[Any]:
        """Map pixels into memory, once the file is known to hold them all.

        Raises
        ------
        InputError
            If the file ends before ``offset`` plus the bytes of `shape`.
        """
        self.check_length(dtype, shape, offset=offset)
        return np.memmap(self.file, dtype, mode="r", offset=offset, shape=shape)

    def check_length(self, dtype: DTypeLike, shape: tuple[int, ...], *, offset: int) -> None:
        """Refuse a file that ends before ``offset`` plus the bytes of `shape`."""
        expected = offset + math.prod(shape) * np.dtype(dtype).itemsize
        if self.size < expected:
            raise self.truncated(expected)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a picture of no, one or far too many pixels before it is decoded."""
        if height < 2 or width < 2:
            raise self.refused(
                f"{width} × {height} pixels are no class average; give the file with the images"
            )
        if height * width > MAX_PICTURE_PIXELS:
            raise self.refused(
                f"{width} × {height} pixels are more than {MAX_PICTURE_PIXELS // 10**6} megapixels;"
                " crop or shrink the picture first"
            )

    def stack(
        self,
        images: NDArray[Any],
        *,
        file_format: str,
        pixel_size: float | None,
        header_pixel_size: float | None = None,
        particles: NDArray[np.float64] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Stack:
        """Wrap `images`, (n, height, width) of any real dtype, as the file's `Stack`."""
        self.check_size(*images.shape[1:])
        used, remarks = self._settle(pixel_size, header_pixel_size)
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, seen to later
            own = room_for(images.shape)
            own[:] = images
        own.setflags(write=False)
        return Stack(
            str(self.path),
            own,
            pixel_size=used,
            format=file_format,
            particles=None if particles is None else frozen_array(particles, np.float64),
            notes=notes + remarks,
        )

    def montage(
        self,
        picture: NDArray[Any],
        *,
        file_format: str,
        pixel_size: float | None,
        header_pixel_size: float | None = None,
    ) -> Montage:
        """Wrap `picture`, grey or RGB; what is neither uint8 nor uint16 becomes float32.

        An array of its own, no view of another, is taken over and frozen rather than copied.
        """
        used, notes = self._settle(pixel_size, header_pixel_size)
        kept = picture.dtype.newbyteorder("=")
        if kept not in (np.uint8, np.uint16):
            kept = np.dtype(np.float32)
        with np.errstate(over="ignore"):
            own = np.ascontiguousarray(picture, kept)
        if own.base is not None:
            own = own.copy()
        own.setflags(write=False)
        return Montage(str(self.path), own, pixel_size=used, format=file_format, notes=notes)

    def glance(
        self,
        shape: tuple[int, int, int],
        *,
        file_format: str,
        kind: str = "stack",
        header_pixel_size: float | None = None,
    ) -> Glance:
        """Say that the file holds pictures of `shape`, (n, height, width)."""
        self.check_size(*shape[1:])
        pixel_size, _ = self._settle(None, header_pixel_size)
        return Glance(file_format, kind, *shape, pixel_size=pixel_size)

    def _settle(
        self, given: float | None, header: float | None
    ) -> tuple[float | None, tuple[str, ...]]:
        """Choose between the user's pixel size and the header's; return it and the notes.

        A header is believed from 0.05 to 100 Å, except at exactly 1.0: that is what EMAN2 and
        RELION write when they do not know, so it is worth no more than a 0. Somebody whose pixels
        do measure 1 Å says so once; Å that are wrong without a word would cost more.
        """
        if given is not None:
            return given, ()
        if header is None or header == 0:
            return None, (
                "no pixel size is told, so the run goes on in pixels; give --pixel-size for results"
                " in Å.",
            )
        if 0.05 <= header <= 100 and not math.isclose(header, 1.0, rel_tol=1e-6):
            # Headers are float32: 302.08 Å over 256 pixels is meant as 1.18, not 1.1799999.
            return float(f"{header:.6g}"), ()
        return None, (
            f"the pixel size of {header:.4g} Å in the header is not believed; give --pixel-size for"
            " results in Å.",
        )


@contextmanager
def opened(path: Path, named: Path | None = None) -> Iterator[Content]:
    """Open the file at `path`; `named` is what messages call it, should that differ.

    Raises
    ------
    InputError
        If it is a folder, a device or empty.
    OSError
        If it cannot be opened.
    """
    named = named or path
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{named}: this is a folder; give the files in it.")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        raise InputError(f"{named}: this is not an ordinary file; give the file with the images.")
    with path.open("rb") as file:
        yield _content(named, file)


@contextmanager
def unpacked(content: Content) -> Iterator[Content]:
    """Yield what is inside a gzip or bzip2 file; any other content is yielded as it is.

    Raises
    ------
    InputError
        If the compressed data are damaged or end too early.
    """
    packed = _unpacking(content)
    if packed is None:
        yield content
        return
    # A real file, so that every reader may map it, however large the stack is.
    with tempfile.TemporaryFile() as inside:
        with _damage_told(content):
            shutil.copyfileobj(packed, inside, 1 << 20)
        yield _content(content.path, inside)


@contextmanager
def peeked(content: Content) -> Iterator[Content]:
    """Yield the first part of what is inside a gzip or bzip2 file; other content as it is.

    Its size is not known, so it is as good as endless.

    Raises
    ------
    InputError
        If that part of the compressed data is damaged or ends too early.
    """
    packed = _unpacking(content)
    if packed is None:
        yield content
        return
    with _damage_told(content):
        start = packed.read(PEEKED_BYTES)
    yield Content(content.path, io.BytesIO(start), sys.maxsize, start[:HEAD_BYTES])


@contextmanager
def _damage_told(content: Content) -> Iterator[None]:
    """Put into words why a compressed file does not decompress."""
    try:
        yield
    except EOFError as error:
        raise content.refused(
            "the compressed file is truncated (it ends too early); copy it again"
        ) from error
    except (OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise content.refused(
                f"no room to decompress it in {tempfile.gettempdir()} ({error.strerror});"
                " decompress it yourself"
            ) from error
        raise content.damaged("it does not decompress") from error


def _unpacking(content: Content) -> IO[bytes] | None:
    """Return a file that reads what is inside a compressed one; None if it is not compressed."""
    if content.head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=content.file)  # type: ignore[return-value]
    if content.head.startswith(_BZIP2):
        return bz2.BZ2File(content.file)
    return None


def _content(path: Path, file: IO[bytes]) -> Content:
    size = file.seek(0, 2)
    if size == 0:
        raise InputError(f"{path}: the file is empty; copy or export it again.")
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return Content(path, file, size, head)
