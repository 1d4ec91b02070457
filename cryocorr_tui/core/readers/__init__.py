"""Files in: class averages and pictures of them, from every format the field's programs write.

``read`` is the door; there is one module a format behind it. What a file is, its content decides
and never its name (IMAGIC, which is two files, needs the names to find the other one).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import Montage, Stack
from cryocorr_tui.core.readers import hdf, imagic, mrc, picture, spider, tiff
from cryocorr_tui.core.readers.content import HEAD_BYTES, Content, Glance, opened, unpacked

__all__ = ["read", "recognised"]


class _Format(Protocol):
    """What the module of one format offers."""

    def recognises(self, head: bytes) -> bool: ...

    def read(self, content: Content, *, pixel_size: float | None) -> Stack | Montage: ...

    def glance(self, content: Content) -> Glance: ...


# From the unmistakable to the merely plausible: an old MRC file has no mark at all, and SPIDER's
# floats can pass for the sizes of one.
_FORMATS: tuple[_Format, ...] = (hdf, tiff, picture, spider, mrc)

_READABLE = "MRC, EMAN2/SPHIRE HDF, SPIDER, IMAGIC, TIFF, PNG, JPEG, BMP or PGM"

_STRANGERS = (
    (b"GIF8", "GIF pictures (animated ones too) are not read; save it as PNG"),
    (b"RIFF", "WebP pictures are not read; save it as PNG"),
    (b"\x95CSDAT", "cryoSPARC .cs tables are not read; give the stack itself (.mrc)"),
    (
        b"\x93NUMPY",
        "cryoSPARC .cs tables and NumPy arrays are not read; give the stack itself (.mrc)",
    ),
    (b"%PDF", "this is a PDF document; save the picture in it as PNG"),
    (b"PK\x03\x04", "this is a ZIP archive; unpack it and give the files in it"),
)

_STAR = re.compile(rb"^data_\w*\s", re.MULTILINE)
_STAR_3D = re.compile(rb"^_rlnReferenceDimensionality\s+3\s", re.MULTILINE)


def read(path: Path, *, pixel_size: float | None = None) -> Stack | Montage:
    """Read class averages, or a picture that may show some.

    Pixels are as the file has them: no row is flipped, no contrast inverted, NaN and infinity are
    left in, images need not be square.

    Parameters
    ----------
    path : Path
        A stack (MRC, EMAN2/SPHIRE HDF, SPIDER, IMAGIC, multi-page TIFF; MRC and the others may be
        compressed by gzip or bzip2) or a picture (PNG, JPEG, BMP, PGM, PPM, single-page TIFF).
    pixel_size : float, optional
        Å per pixel, above 0. It wins over the file's own, which is used only where believable.

    Returns
    -------
    Stack
        Of a stack: images (n, height, width) float32.
    Montage
        Of a picture: grey or RGB.

    Raises
    ------
    InputError
        If the file cannot be read; one sentence that names it and says what to do.
    SettingsError
        If `pixel_size` is not a positive number.
    """
    if pixel_size is not None and not (math.isfinite(pixel_size) and pixel_size > 0):
        raise SettingsError(f"The pixel size must be a positive number of Å, not {pixel_size:g}.")
    with recognised(Path(path)) as (reader, content):
        return reader.read(content, pixel_size=pixel_size)


@contextmanager
def recognised(
    path: Path, unpack: Callable[[Content], AbstractContextManager[Content]] = unpacked
) -> Iterator[tuple[_Format, Content]]:
    """Open a file and find the format of its content.

    Parameters
    ----------
    path : Path
    unpack : callable
        What to do with a compressed file: `content.unpacked` or `content.peeked`.

    Raises
    ------
    InputError
        If it is of no known format or cannot be opened; also in place of an `OSError` or
        `MemoryError` of whoever uses it.
    """
    try:
        with opened(path) as packed:
            if _is_imagic(path):
                yield imagic, packed
                return
            with unpack(packed) as content:
                reader = next((r for r in _FORMATS if r.recognises(content.head)), None)
                if reader is None:
                    raise content.refused(_reason(content))
                yield reader, content
    except OSError as error:
        raise _unopened(path, error) from error
    except MemoryError as error:
        raise InputError(f"{path}: too large for this machine's memory; split it.") from error


def _is_imagic(path: Path) -> bool:
    header = imagic.header_path(path)
    if header is None or not header.is_file():
        return False
    with header.open("rb") as file:
        return imagic.recognises(file.read(HEAD_BYTES))


def _reason(content: Content) -> str:
    """Say why a file of no known format is not read."""
    for magic, reason in _STRANGERS:
        if content.head.startswith(magic):
            return reason
    if content.path.suffix.lower() == ".img":
        return "if this is half of an IMAGIC pair, put its .hed file into the same folder"
    if not _is_text(content.head):
        return f"not recognised as {_READABLE}; check that it is the right file and copied whole"
    content.file.seek(0)
    start = content.file.read(1 << 16)
    if _STAR_3D.search(start):
        return "a STAR table of a 3D classification; give a stack of 2D class averages"
    if _STAR.search(start):
        return "a STAR or mmCIF table holds no images; give the stack itself (.mrcs)"
    return f"a text file; give one of {_READABLE}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the head merely ends within a character
            return False
        text = head[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)


def _unopened(path: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: there is no such file; check the name and the folder.")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: you have no permission to read it; change that with chmod.")
    why = error.strerror or str(error) or type(error).__name__
    return InputError(f"{path}: cannot be read ({why}); check the disk or copy the file again.")
