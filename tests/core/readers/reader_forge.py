"""Files written by hand, right or wrong in one chosen place; used by the tests of the readers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import Montage, Stack
from cryocorr_tui.core.readers import read


def read_stack(path: Path, *, pixel_size: float | None = None) -> Stack:
    """`read`, where a stack is to come of it."""
    stack = read(path, pixel_size=pixel_size)
    assert isinstance(stack, Stack)
    return stack


def read_montage(path: Path) -> Montage:
    """`read`, where a picture is to come of it."""
    montage = read(path)
    assert isinstance(montage, Montage)
    return montage


def ramp(n: int, height: int, width: int) -> NDArray[np.float32]:
    """Images in which every pixel differs, so that any flip or mix-up shows."""
    return np.arange(n * height * width, dtype=np.float32).reshape(n, height, width)


def mrc_header(nx: int, ny: int, nz: int, mode: int = 2, *, order: str = "<") -> bytearray:
    """The 1024 bytes of a stack of nz images, at 2.5 Å."""
    head = bytearray(1024)
    struct.pack_into(f"{order}4i", head, 0, nx, ny, nz, mode)
    struct.pack_into(f"{order}3i", head, 28, nx, ny, 1)
    struct.pack_into(f"{order}3f", head, 40, 2.5 * nx, 2.5 * ny, 2.5)
    struct.pack_into(f"{order}3i", head, 64, 1, 2, 3)
    head[208:212] = b"MAP "
    return head


def mrc(images: NDArray[Any], *, order: str = "<", extended: bytes = b"") -> bytes:
    """A stack in the mode of its dtype."""
    modes = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}
    n, height, width = images.shape
    head = mrc_header(width, height, n, modes[images.dtype.name], order=order)
    struct.pack_into(f"{order}i", head, 92, len(extended))
    return bytes(head) + extended + images.astype(order + images.dtype.str[1:]).tobytes()


def mrcfile_stack(path: Path, images: NDArray[Any], pixel_size: float | None = None) -> Path:
    """A stack as the package mrcfile writes it."""
    with mrcfile.new(path) as file:
        file.set_data(images)
        file.set_image_stack()
        if pixel_size is not None:
            file.voxel_size = pixel_size
    return path


def spider_label(
    height: int, width: int, *, order: str = "<", words: dict[int, float] | None = None
) -> bytes:
    """A SPIDER header; `words` replaces places counted from 1."""
    labrec = -(-1024 // (4 * width))
    values = np.zeros(labrec * width, order + "f4")
    standard = {1: 1, 2: height, 3: labrec + height, 5: 1, 12: width, 13: labrec}
    standard |= {22: labrec * width * 4, 23: width * 4}
    for place, value in (standard | (words or {})).items():
        values[place - 1] = value
    return values.tobytes()


def spider_image(
    image: NDArray[Any], *, order: str = "<", words: dict[int, float] | None = None
) -> bytes:
    pixels = image.astype(order + "f4").tobytes()
    return spider_label(*image.shape, order=order, words=words) + pixels


def spider_stack(
    images: NDArray[Any], *, order: str = "<", words: dict[int, float] | None = None
) -> bytes:
    n, height, width = images.shape
    overall = spider_label(height, width, order=order, words={24: 2, 26: n} | (words or {}))
    return overall + b"".join(
        spider_image(image, order=order, words={27: k + 1}) for k, image in enumerate(images)
    )


def imagic(images: NDArray[Any], *, order: str = "<") -> tuple[bytes, bytes]:
    """The ``.hed`` and the ``.img`` of float32, int16, uint8 or int32 images."""
    n, height, width = images.shape
    kinds = {"float32": b"REAL", "int16": b"INTG", "uint8": b"PACK", "int32": b"LONG"}
    heads = []
    for k in range(n):
        head = bytearray(1024)
        struct.pack_into(f"{order}2i", head, 0, k + 1, n - 1 if k == 0 else 0)
        struct.pack_into(f"{order}2i", head, 48, height, width)
        head[56:60] = kinds[images.dtype.name]
        heads.append(bytes(head))
    return b"".join(heads), images.astype(order + images.dtype.str[1:]).tobytes()


def eman_hdf(path: Path, images: list[NDArray[Any]], attributes: dict[str, Any]) -> Path:
    """An EMAN2 HDF file; `attributes` go to every image."""
    with h5py.File(path, "w") as file:
        parent = file.create_group("MDF/images")
        parent.attrs["imageid_max"] = np.array([len(images) - 1], np.int32)
        for k, image in enumerate(images):
            group = parent.create_group(str(k))
            group["image"] = image
            for name, value in attributes.items():
                group.attrs[f"EMAN.{name}"] = value
    return path


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, *, depth: int, colour: int, rows: bytes, extra: bytes = b""
) -> bytes:
    """A PNG of raw `rows`, each after its filter byte; colour types as in the specification."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def bmp(width: int, height: int, bits: int, pixels: bytes) -> bytes:
    """An uncompressed BMP, bottom row first as the format has it."""
    header = struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + header + info + pixels


def in_memory(write: Any, *arguments: Any, **options: Any) -> bytes:
    """What `write` (of a library) puts into a file."""
    file = io.BytesIO()
    write(file, *arguments, **options)
    return file.getvalue()
