"""TIFF: several pages are a stack, a single page is a picture.

Rows stay in file order, row 0 on top.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.model import Montage, Stack
from cryocorr_tui.core.readers.content import Content, Glance
from cryocorr_tui.core.readers.picture import lay_on_white, rgb_from_opencv

__all__ = ["glance", "read", "recognises"]

# tifffile reports by its log, which Python prints to the terminal where nobody else listens.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_NAME = "TIFF"
_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PHOTOMETRIC = tifffile.PHOTOMETRIC
# What tifffile decodes without the package imagecodecs; the rest (LZW, JPEG …) OpenCV can.
_PLAIN = {1, 8, 32773, 32946}
_CHANNELS = {
    _PHOTOMETRIC.MINISBLACK: 1,
    _PHOTOMETRIC.MINISWHITE: 1,
    _PHOTOMETRIC.PALETTE: 1,
    _PHOTOMETRIC.RGB: 3,
}
_PREMULTIPLIED = tifffile.EXTRASAMPLE.ASSOCALPHA
_ALPHAS = (_PREMULTIPLIED, tifffile.EXTRASAMPLE.UNASSALPHA)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_CENTIMETRE, _INCH = 3, 2
_ANGSTROM = {_CENTIMETRE: 1e8, _INCH: 2.54e8}


def recognises(head: bytes) -> bool:
    """Whether `head` is that of a TIFF or BigTIFF file."""
    return head.startswith(_MAGICS)


def read(content: Content, *, pixel_size: float | None) -> Stack | Montage:
    """Read a TIFF: a `Stack` of several pages, or the `Montage` that a single page is.

    Palettes are resolved, white-is-zero is inverted, transparent pixels are laid on white; colour
    pages of a stack become grey (BT.601 luma). Thumbnails are passed over.

    Raises
    ------
    InputError
        If the file is truncated or damaged, its pages differ in size or are volumes, or its colours
        or compression are not read.
    """
    with _open(content) as tiff:
        return _read(content, tiff, pixel_size)


def glance(content: Content) -> Glance:
    """Tell what the directories of the pages tell; what `read` refuses by them is refused."""
    with _open(content) as tiff:
        pages = list(_pages(content, tiff).values())
        return content.glance(
            (len(pages), pages[0].imagelength, pages[0].imagewidth),
            file_format=_NAME,
            kind="picture" if len(pages) == 1 else "stack",
            header_pixel_size=_header_pixel_size(pages[0]),
        )


@contextmanager
def _open(content: Content) -> Iterator[tifffile.TiffFile]:
    try:
        with tifffile.TiffFile(content.file) as tiff:
            yield tiff
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever tifffile makes of damaged bytes, none of it ours
        raise content.damaged("its TIFF pages cannot be read, it may be cut short") from error


def _pages(content: Content, tiff: tifffile.TiffFile) -> dict[int, tifffile.TiffPage]:
    """Return the pages that hold images, by their numbers in the file."""
    everything = list(tiff.pages)
    _check_chain(content, tiff)
    numbers = [k for k, page in enumerate(everything) if not page.is_reduced]
    if not numbers:
        raise content.refused("it holds no images but thumbnails; export it again")
    for k in numbers:
        _check_page(content, everything[k])
    announced = (tiff.imagej_metadata or {}).get("images", 1)
    if announced > len(everything):  # ImageJ describes only the first image beyond 4 GB
        raise content.refused(
            f"it announces {announced} images and describes {len(everything)};"
            " save it as MRC or as single images"
        )
    return {k: everything[k] for k in numbers}


def _read(content: Content, tiff: tifffile.TiffFile, pixel_size: float | None) -> Stack | Montage:
    pages = _pages(content, tiff)
    pictures = _decoded(content, list(pages.values()), list(pages))
    options: dict[str, Any] = {
        "file_format": _NAME,
        "pixel_size": pixel_size,
        "header_pixel_size": _header_pixel_size(next(iter(pages.values()))),
    }
    if len(pictures) == 1:
        return content.montage(pictures[0], **options)
    sizes = {picture.shape[:2] for picture in pictures}
    if len(sizes) > 1:
        (a, b), (c, d) = sorted(sizes)[:2]
        raise content.refused(
            f"its pages differ in size ({b} × {a} and {d} × {c} pixels); give one file a size"
        )
    return content.stack(np.stack([_grey(picture) for picture in pictures]), **options)


def _check_chain(content: Content, tiff: tifffile.TiffFile) -> None:
    """Refuse a file whose last page points to another: tifffile gives up on that in silence."""
    width = tiff.tiff.offsetsize
    content.file.seek(tiff.pages.next_page_offset)
    following = content.file.read(width)
    if following != bytes(width):
        raise content.refused("the file is truncated (pages are missing); copy it again")


def _check_page(content: Content, page: tifffile.TiffPage) -> None:
    """Refuse a page before it is decoded."""
    if page.imagedepth != 1:
        raise content.refused("its pages are 3D volumes; give a stack of 2D class averages")
    content.check_size(page.imagelength, page.imagewidth)
    ends = (at + n for at, n in zip(page.dataoffsets, page.databytecounts, strict=True))
    expected = max(ends, default=0)
    if expected > content.size:
        raise content.truncated(expected)


def _decoded(
    content: Content, pages: list[tifffile.TiffPage], numbers: list[int]
) -> list[NDArray[Any]]:
    """Return each page as (height, width) or (height, width, 3)."""
    if all(page.compression in _PLAIN for page in pages):
        return [_coloured(content, page) for page in pages]
    content.file.seek(0)
    data = np.frombuffer(content.file.read(), np.uint8)
    decoded, pictures = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
    if not decoded or len(pictures) <= max(numbers):
        raise content.refused(
            "its compression is not read, or it is damaged; save it without compression"
        )
    # OpenCV multiplies 8-bit colours by alpha and leaves deeper ones as they are stored.
    return [
        rgb_from_opencv(
            pictures[k],
            premultiplied=pictures[k].dtype == np.uint8
            or tuple(page.extrasamples) == (_PREMULTIPLIED,),
        )
        for page, k in zip(pages, numbers, strict=True)
    ]


def _coloured(content: Content, page: tifffile.TiffPage) -> NDArray[Any]:
    """Decode a page, resolving palette, polarity and alpha."""
    pixels: NDArray[Any] = page.asarray()
    if page.axes == "SYX":  # planes of colour, one after the other
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)

    channels = _CHANNELS.get(page.photometric, 0)
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels == 0 or samples not in (channels, channels + 1):
        raise content.refused("its colours are not read; save it as grey or RGB")
    extra = page.extrasamples[0] if samples > channels and page.extrasamples else None
    alpha = pixels[..., channels] if extra in _ALPHAS else None
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if channels == 3 else pixels[..., 0]

    if page.photometric == _PHOTOMETRIC.PALETTE:
        pixels = (page.colormap[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0)
    elif page.photometric == _PHOTOMETRIC.MINISWHITE:
        unsigned = np.issubdtype(pixels.dtype, np.unsignedinteger)
        pixels = np.iinfo(pixels.dtype).max - pixels if unsigned else -pixels
    if alpha is None:
        return pixels
    return lay_on_white(pixels, alpha, premultiplied=extra == _PREMULTIPLIED)


def _grey(picture: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = picture.astype(np.float32)
    return values if values.ndim == 2 else values @ _LUMA


def _header_pixel_size(page: tifffile.TiffPage) -> float | None:
    """Å per pixel from the resolution tags, in which IMOD keeps it; None where there is none."""
    unit = page.tags.valueof("ResolutionUnit", default=_INCH)
    resolution = page.tags.valueof("XResolution")
    if resolution is None or unit not in _ANGSTROM or not all(resolution):
        return None
    return _ANGSTROM[unit] * float(resolution[1]) / float(resolution[0])
