"""PNG, JPEG, BMP, PGM and PPM pictures.

Size and completeness are judged from the bytes before OpenCV sees them, because its decoders fill
up what is missing in silence and libpng talks to the terminal.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import Montage
from cryocorr_tui.core.readers.content import Content, Glance

__all__ = [
    "glance",
    "lay_on_white",
    "read",
    "recognises",
    "rgb_from_opencv",
    "swap_red_and_blue",
]

# OpenCV would write what it thinks of a damaged picture over the screen of the app.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

BAND = 256  # rows that are converted at a time: OpenCV copies what it converts in place

_START = 1 << 18  # bytes in which a JPEG tells its size, behind colour profile and thumbnail
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG_SIZES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
_JPEG_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE}  # those that say their length
# Within a scan, a byte of 0xff is followed by 0 or the number of a restart.
_JPEG_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_PGM = re.compile(rb"P([2356])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")


class _IncompleteError(Exception):
    """The bytes end before the picture does, or do not hang together; says how in a few words."""


def recognises(head: bytes) -> bool:
    """Whether `head` is that of a picture in one of the formats."""
    return _kind(head) is not None


def read(content: Content, *, pixel_size: float | None) -> Montage:
    """Read a picture: grey or RGB, 8 or 16 bits, transparent pixels laid on white.

    Raises
    ------
    InputError
        If the picture is truncated, damaged, of over 100 megapixels or of a single pixel.
    """
    kind = _kind_of(content)
    data = content.file.read()
    try:
        data = kind.whole(data)
        height, width = kind.measure(data)
    except _IncompleteError as error:
        raise content.damaged(f"{kind.name}: {error}") from error
    content.check_size(height, width)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a side beyond OpenCV's own limit, for one
        picture = None
    if picture is None:
        raise content.damaged(f"the {kind.name} picture does not decode")
    return content.montage(rgb_from_opencv(picture), file_format=kind.name, pixel_size=pixel_size)


def glance(content: Content) -> Glance:
    """Tell what the first part of the file tells."""
    kind = _kind_of(content)
    try:
        height, width = kind.measure(content.file.read(_START))
    except _IncompleteError as error:
        raise content.damaged(f"{kind.name}: {error}") from error
    return content.glance((1, height, width), file_format=kind.name, kind="picture")


def rgb_from_opencv(picture: NDArray[Any], *, premultiplied: bool = False) -> NDArray[Any]:
    """Turn grey, BGR or BGRA as OpenCV decodes it into grey or RGB on white, in place if it can."""
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 3 and picture.dtype in (np.uint8, np.uint16, np.float32):
        swap_red_and_blue(picture)
        return picture
    colour = picture[..., 2::-1]
    if picture.shape[2] == 3:
        return colour
    return lay_on_white(colour, picture[..., 3], premultiplied=premultiplied)


def swap_red_and_blue(picture: NDArray[Any]) -> None:
    """Turn RGB of 8 or 16 bits or float32 into BGR in place, or the other way round."""
    for top in range(0, len(picture), BAND):
        part = picture[top : top + BAND]
        cv2.cvtColor(part, cv2.COLOR_BGR2RGB, dst=part)


def lay_on_white(
    colour: NDArray[Any], alpha: NDArray[Any], *, premultiplied: bool = False
) -> NDArray[Any]:
    """Show a transparent picture as it looks on white paper.

    Parameters
    ----------
    colour : (height, width) or (height, width, 3) of any real dtype
        Grey or RGB; integers from 0 to the greatest of their dtype, floats from 0 to 1.
    alpha : (height, width), same dtype
        0 is transparent. An alpha of 0 everywhere is one that a program forgot to fill in (usual
        in BMP), and counts as none.
    premultiplied : bool
        Whether `colour` has been multiplied by alpha already.

    Returns
    -------
    shape and dtype of `colour`
    """
    top = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1.0
    if not alpha.any() or (alpha == top).all():
        return colour
    working = np.result_type(alpha.dtype, np.float32)
    opacity = (alpha.astype(working) / top).reshape(alpha.shape + (1,) * (colour.ndim - 2))
    own = colour if premultiplied else colour * opacity
    laid = np.clip(own + top * (1 - opacity), 0, top)
    if np.issubdtype(colour.dtype, np.integer):
        laid = np.rint(laid)
    shown: NDArray[Any] = laid.astype(colour.dtype)
    return shown


@dataclass(frozen=True)
class _Kind:
    """A format of pictures.

    ``measure`` returns height and width, for which the first `_START` bytes are enough; ``whole``
    returns the bytes to decode, all of them proven to be there. Both raise `_IncompleteError`.
    """

    name: str
    measure: Callable[[bytes], tuple[int, int]]
    whole: Callable[[bytes], bytes]


def _kind_of(content: Content) -> _Kind:
    kind = _kind(content.head)
    if kind is None:
        raise ValueError(f"expected a picture, received {content.head[:8]!r}")
    return kind


def _kind(head: bytes) -> _Kind | None:
    """Return the format, None if it is no picture."""
    if head.startswith(_PNG):
        return _Kind("PNG", _measure_png, _whole_png)
    if head.startswith(b"\xff\xd8\xff"):
        return _Kind("JPEG", _measure_jpeg, _whole_jpeg)
    # Two letters are too few to go by: the reserved bytes are 0 and the second header has a length.
    if head.startswith(b"BM") and head[6:10] == bytes(4) and _bmp_header(head) in _BMP_HEADERS:
        return _Kind("BMP", _measure_bmp, _whole_bmp)
    if match := _PGM.match(head):
        return _Kind("PGM" if match[1] in b"25" else "PPM", _measure_pgm, _whole_pgm)
    return None


def _measure_png(data: bytes) -> tuple[int, int]:
    header = data[len(_PNG) :][:25]
    if header[4:8] != b"IHDR" or len(header) < 25:
        raise _IncompleteError("its header is not the first chunk")
    width, height = struct.unpack_from(">II", header, 8)
    return height, width


def _whole_png(data: bytes) -> bytes:
    """Return the chunks that make the picture, all of them proven whole."""
    kept, at, name = [_PNG], len(_PNG), b""
    while name != b"IEND":
        head = data[at : at + 8]
        if len(head) < 8:
            raise _IncompleteError("truncated")
        length, name = int.from_bytes(head[:4]), head[4:]
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise _IncompleteError("truncated")
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise _IncompleteError("a checksum is wrong")
        # Colour profiles, comments and further frames only give libpng something to complain of.
        if name in _PNG_KEPT:
            kept.append(chunk)
        at += len(chunk)
    return b"".join(kept)


def _measure_jpeg(data: bytes) -> tuple[int, int]:
    for segment in _jpeg_segments(data):
        if segment[1] in _JPEG_SIZES and len(segment) == 9:
            height, width = struct.unpack_from(">HH", segment, 5)
            return height, width
    raise _IncompleteError("its size is missing")


def _whole_jpeg(data: bytes) -> bytes:
    """Return `data`, all markers up to the end of the picture proven to hang together.

    libjpeg makes grey of what it cannot decode and only tells the terminal.
    """
    for _ in _jpeg_segments(data):
        pass
    return data


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """Yield the first nine bytes of each segment up to the end of the picture."""
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # padding
            at += 1
        segment = data[at : at + 9]
        if segment[:2] == _JPEG_END:
            return
        if len(segment) < 4:
            raise _IncompleteError("truncated")
        if segment[0] != 0xFF or segment[1] not in _JPEG_SEGMENTS:
            raise _IncompleteError("a marker is missing")
        yield segment
        at += 2 + int.from_bytes(segment[2:4])
        if segment[1] == _JPEG_SCAN:
            following = _JPEG_AFTER_SCAN.search(data, at)
            if following is None:
                raise _IncompleteError("truncated")
            at = following.start()


def _measure_bmp(data: bytes) -> tuple[int, int]:
    width, height, *_ = _bmp_fields(data)
    return height, width


def _whole_bmp(data: bytes) -> bytes:
    start = int.from_bytes(data[10:14], "little")
    width, height, bits, compression = _bmp_fields(data)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and len(data) < start + row * height:
        raise _IncompleteError("truncated")
    return data


def _bmp_fields(data: bytes) -> tuple[int, int, int, int]:
    """Return width, height, bits of a pixel and compression."""
    if len(data) < 54:
        raise _IncompleteError("truncated")
    if _bmp_header(data) == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # A negative height only says that row 0 is on top.
    return abs(width), abs(height), bits, compression


def _measure_pgm(data: bytes) -> tuple[int, int]:
    match = _pgm_header(data)
    return int(match[3]), int(match[2])


def _whole_pgm(data: bytes) -> bytes:
    match = _pgm_header(data)
    if match[1] not in b"56":
        return data + b"\n"  # OpenCV wants a character after the last number
    width, height, greatest = (int(match[k]) for k in (2, 3, 4))
    samples = width * height * (3 if match[1] == b"6" else 1)
    if len(data) < match.end() + samples * (2 if greatest > 255 else 1):
        raise _IncompleteError("truncated")
    return data


def _pgm_header(data: bytes) -> re.Match[bytes]:
    match = _PGM.match(data)
    if match is None:
        raise _IncompleteError("its header is incomplete")
    return match


def _bmp_header(data: bytes) -> int:
    return int.from_bytes(data[14:18], "little")
