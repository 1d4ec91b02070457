"""SPIDER images and stacks, either byte order.

Every number of a SPIDER header is a float32; the places below are those of the SPIDER manual,
counted from 1. Rows stay in file order; SPIDER and EMAN2 may show row 0 at the other end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import Stack
from cryocorr_tui.core.readers.content import MAX_SIDE, Content, Glance

__all__ = ["glance", "read", "recognises"]

_NAME = "SPIDER"
_WORDS = 64
_NSLICE, _NROW, _IFORM, _IMAMI, _FMAX, _FMIN, _NSAM = 1, 2, 5, 6, 7, 8, 12
_LABREC, _LABBYT, _LENBYT, _ISTACK, _MAXIM, _PIXSIZ = 13, 22, 23, 24, 26, 38
_IMAGE, _VOLUME, _FOURIER = 1, 3, (-11, -12, -21, -22)


@dataclass(frozen=True)
class _Header:
    order: str
    words: NDArray[np.floating[Any]]

    def __getitem__(self, place: int) -> float:
        return float(self.words[place - 1])

    def whole(self, place: int) -> int:
        return int(self[place])


def recognises(head: bytes) -> bool:
    """Whether `head` holds a SPIDER header in one of the two byte orders."""
    return _parse(head) is not None


def read(content: Content, *, pixel_size: float | None) -> Stack:
    """Read a SPIDER image (a stack of one) or stack.

    An image is taken for damaged if its rows repeat each other *and* it lacks the extremes that its
    own header vouches for: stripes alone could be meant, an outdated header alone does no harm. A
    file of one such image is refused; within a stack it is named in a note.

    Raises
    ------
    InputError
        If the file is truncated, damaged, a volume, a transform or an indexed stack.
    """
    header, image, count = _describe(content)
    records = content.pixels(image, (count,), offset=_first(header))
    broken = [k for k, record in enumerate(records) if _is_broken(record)]
    notes: tuple[str, ...] = ()
    if broken and len(records) == 1:
        raise content.damaged("its rows repeat each other and its header tells of other pixels")
    if broken:
        numbers = ", ".join(str(k) for k in broken)
        notes = (f"images {numbers} (counted from 0) are damaged, their rows repeat each other.",)
    return content.stack(
        records["pixels"],
        file_format=_NAME,
        pixel_size=pixel_size,
        header_pixel_size=header[_PIXSIZ],
        notes=notes,
    )


def glance(content: Content) -> Glance:
    """Tell what the header tells; what `read` refuses by the header is refused."""
    header, image, count = _describe(content)
    content.check_length(image, (count,), offset=_first(header))
    return content.glance(
        (count, header.whole(_NROW), header.whole(_NSAM)),
        file_format=_NAME,
        header_pixel_size=header[_PIXSIZ],
    )


def _first(header: _Header) -> int:
    """Return where the first image begins: a stack has a header of its own before it."""
    return header.whole(_LABBYT) if header[_ISTACK] > 0 else 0


def _describe(content: Content) -> tuple[_Header, np.dtype[np.void], int]:
    """Return the header, the layout of an image with its label, and the number of images."""
    header = _parse(content.head)
    if header is None:
        raise content.damaged("the sizes in its SPIDER header make no sense")
    if header.whole(_IFORM) in _FOURIER:
        raise content.refused("it holds a Fourier transform; give the images themselves")
    if header.whole(_NSLICE) != 1 or header.whole(_IFORM) == _VOLUME:
        raise content.refused("this is a 3D volume; give a stack of 2D class averages")
    if header[_ISTACK] < 0:
        raise content.refused("indexed SPIDER stacks are not read; copy it to a plain stack")

    label, height, width = header.whole(_LABBYT), header.whole(_NROW), header.whole(_NSAM)
    content.check_size(height, width)
    image = np.dtype(
        [
            ("label", header.order + "f4", label // 4),
            ("pixels", header.order + "f4", (height, width)),
        ]
    )
    count = header[_MAXIM] if header[_ISTACK] > 0 else 1.0
    if not (count >= 1 and count.is_integer()):
        raise content.damaged("its SPIDER header counts no images")
    return header, image, int(count)


def _parse(head: bytes) -> _Header | None:
    if len(head) < 4 * _WORDS:
        return None
    for order in "<>":
        header = _Header(order, np.frombuffer(head, order + "f4", count=_WORDS))
        if _is_consistent(header):
            return header
    return None


def _is_consistent(header: _Header) -> bool:
    places = (_NSLICE, _NROW, _IFORM, _NSAM, _LABREC, _LABBYT, _LENBYT)
    if not all(header[place].is_integer() for place in places):  # False for NaN and infinity
        return False
    return (
        header[_IFORM] in (_IMAGE, _VOLUME, *_FOURIER)
        and header[_NSLICE] >= 1
        and 1 <= header[_NROW] <= MAX_SIDE
        and 1 <= header[_NSAM] <= MAX_SIDE
        and header[_LENBYT] == 4 * header[_NSAM]
        and header[_LABREC] >= 1
        and header[_LABBYT] == header[_LABREC] * header[_LENBYT]
        and header[_LABBYT] >= 4 * _WORDS
    )


def _is_broken(record: Any) -> bool:
    """Whether most rows are copies of the row above and the header's extremes are not there."""
    label, pixels = record["label"], record["pixels"]
    copies = (pixels[1:] == pixels[:-1]).all(axis=1) & (pixels[1:] != pixels[1:, :1]).any(axis=1)
    if label[_IMAMI - 1] != 1 or copies.mean() < 0.9:
        return False
    promised = float(label[_FMAX - 1]) - float(label[_FMIN - 1])
    return float(pixels.max()) - float(pixels.min()) < 0.5 * promised
