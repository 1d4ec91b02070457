"""IMAGIC pairs: headers of 1024 bytes in a ``.hed`` file, the pixels in the ``.img`` beside it.

Either file may be named. Places are counted from 1 in words of four bytes. IMAGIC knows no pixel
size. Rows stay in file order; IMAGIC and EMAN2 may show row 0 at the other end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryocorr_tui.core.model import Stack
from cryocorr_tui.core.readers.content import HEAD_BYTES, MAX_SIDE, Content, Glance, opened

__all__ = ["glance", "header_path", "read", "recognises"]

_NAME = "IMAGIC"
_RECORD = HEAD_BYTES
_IFOL, _IYLP, _IXLP, _TYPE, _IZLP, _I4LP = 2, 13, 14, 15, 61, 62
_DTYPES = {b"REAL": "f4", b"INTG": "i2", b"PACK": "u1", b"LONG": "i4"}
_FOURIER = (b"COMP", b"RECO")


def header_path(path: Path) -> Path | None:
    """Return the ``.hed`` of the pair that `path` belongs to by its name, None if it is neither."""
    return {".hed": path, ".img": _beside(path, ".hed")}.get(path.suffix.lower())


def recognises(head: bytes) -> bool:
    """Whether `head`, of a ``.hed`` file, is an IMAGIC header."""
    return _order(head) is not None


def read(content: Content, *, pixel_size: float | None) -> Stack:
    """Read the pair that the ``.hed`` or ``.img`` file `content` belongs to.

    Raises
    ------
    InputError
        If the other file is missing, the two do not fit, or they hold a volume or transforms.
    """
    header_file, pixel_file = _pair(content)
    with opened(header_file) as header:
        dtype, shape = _describe(header)
    with opened(pixel_file) as body:
        images = body.pixels(dtype, shape, offset=0)
        if images.nbytes != body.size:
            raise body.refused(
                f"it does not fit its {header_file.name} ({images.nbytes} bytes expected,"
                f" {body.size} found); copy both files again"
            )
        return content.stack(images, file_format=_NAME, pixel_size=pixel_size)


def glance(content: Content) -> Glance:
    """Tell what the ``.hed`` file of the pair tells."""
    header_file, _ = _pair(content)
    with opened(header_file) as header:
        _, shape = _describe(header)
    return content.glance(shape, file_format=_NAME)


def _pair(content: Content) -> tuple[Path, Path]:
    """Return the ``.hed`` and the ``.img`` file of a pair."""
    header_file = header_path(content.path)
    if header_file is None:
        raise ValueError(f"expected a .hed or .img file, received {content.path}")
    pixel_file = _beside(header_file, ".img")
    for partner in (header_file, pixel_file):
        if not partner.exists():
            raise content.refused(
                f"the other half of the IMAGIC pair, {partner.name}, is missing;"
                " put it into the same folder"
            )
    return header_file, pixel_file


def _describe(header: Content) -> tuple[np.dtype[np.generic], tuple[int, int, int]]:
    """Return dtype and shape of the images that a ``.hed`` file tells of."""
    order = _order(header.head)
    if order is None:
        raise header.damaged("the sizes in its IMAGIC header make no sense")
    words = np.frombuffer(header.head, order + "i4")

    def word(place: int) -> int:
        return int(words[place - 1])

    kind = header.head[4 * (_TYPE - 1) : 4 * _TYPE]
    if kind in _FOURIER:
        raise header.refused("it holds Fourier transforms; give the images themselves")
    count = header.size // _RECORD
    # The first header tells how many follow; programs that append images may leave it at 0.
    expected = max(word(_IFOL) + 1, count + (header.size % _RECORD > 0)) * _RECORD
    if header.size < expected:
        raise header.truncated(expected)
    if count > 1 and word(_IZLP) == count and word(_I4LP) == 1:
        raise header.refused("this is a 3D volume; give a stack of 2D class averages")
    return np.dtype(order + _DTYPES[kind]), (count, word(_IYLP), word(_IXLP))


def _order(head: bytes) -> str | None:
    """Return the byte order in which `head` is an IMAGIC header, None if in neither."""
    if len(head) < _RECORD or head[4 * (_TYPE - 1) : 4 * _TYPE] not in (*_DTYPES, *_FOURIER):
        return None
    for order in "<>":
        height, width = np.frombuffer(head, order + "i4", count=2, offset=4 * (_IYLP - 1))
        if 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE:
            return order
    return None


def _beside(path: Path, suffix: str) -> Path:
    if not path.name:  # "." and "/" have none to put a suffix on
        return path
    return path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)
