"""MRC stacks of class averages: modes 0, 1, 2, 6 and 12, either byte order.

The layout is that of MRC2014 (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002). The header is
checked against the length of the file before a pixel is touched, and the pixels are mapped, not
loaded, until they are converted.

Rows stay in file order, row 0 first. Programs that take MRC for a right-handed coordinate system
(IMOD, EMAN2) show row 0 at the bottom, RELION at the top; since every class of a file is shown the
same way up, no comparison depends on it, but two programs' exports of one image may be mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mrcfile.dtypes
import numpy as np

from cryocorr_tui.core.model import Stack
from cryocorr_tui.core.readers.content import MAX_SIDE, Content, Glance

__all__ = ["glance", "read", "recognises"]

_NAME = "MRC"
_HEADER_BYTES = 1024
_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES = {
    3: "a Fourier transform (mode 3)",
    4: "a Fourier transform (mode 4)",
    101: "packed 4-bit pixels (mode 101)",
}
_IMOD_STAMP = 1146047817
_VOLUME_STACK = 401  # space groups from here on mean a stack of volumes


@dataclass(frozen=True)
class _Header:
    """What is used of the 1024 bytes, and the byte order that makes sense of them."""

    order: str
    fields: Any
    imod: tuple[int, int]  # IMOD's stamp and flags

    @property
    def shape(self) -> tuple[int, int, int]:
        return int(self.fields["nz"]), int(self.fields["ny"]), int(self.fields["nx"])

    @property
    def mode(self) -> int:
        return int(self.fields["mode"])

    @property
    def dtype(self) -> np.dtype[Any]:
        code = _DTYPES[self.mode]
        stamp, flags = self.imod
        # IMOD wrote bytes unsigned before it marked signed ones by the lowest flag.
        if self.mode == 0 and stamp == _IMOD_STAMP and not flags & 1:
            code = "u1"
        return np.dtype(self.order + code)

    @property
    def is_plausible(self) -> bool:
        """Whether this can be MRC at all, for files older than the mark 'MAP '."""
        axes = sorted(int(self.fields[axis]) for axis in ("mapc", "mapr", "maps"))
        return (
            (self.mode in _DTYPES or self.mode in _OTHER_MODES)
            and axes == [1, 2, 3]
            and self.fields["nsymbt"] >= 0
            and 0 <= self.fields["nlabl"] <= 10
        )

    @property
    def pixel_size(self) -> float | None:
        """Å per pixel: cell over sampling, None where x and y disagree by over 1 %."""
        cell = self.fields["cella"]
        x = float(cell["x"]) / max(int(self.fields["mx"]) or self.shape[2], 1)
        y = float(cell["y"]) / max(int(self.fields["my"]) or self.shape[1], 1)
        return x if abs(x - y) <= 0.01 * abs(x) else None

    def is_volume(self, *, named_mrcs: bool) -> bool:
        """Whether the sections are slices of a volume; see `read` for the rule."""
        nz, ny, nx = self.shape
        space_group = int(self.fields["ispg"])
        if nz == 1:
            return False
        if space_group >= _VOLUME_STACK:
            return True
        if int(self.fields["mz"]) not in (0, nz):
            return False
        if nx == ny == nz:
            return space_group > 0 or not named_mrcs
        return space_group > 0 and nx != ny


def recognises(head: bytes) -> bool:
    """Whether `head` is that of an MRC file, with the mark 'MAP ' or from before there was one."""
    if head[208:211] == b"MAP":
        return True
    header = _parse(head)
    return header is not None and header.is_plausible


def read(content: Content, *, pixel_size: float | None) -> Stack:
    """Read an MRC stack.

    Whether the sections are images or slices is nowhere said reliably: many programs write space
    group 1, or as many sampling steps as sections (mz = nz), for stacks too, and some write space
    group 0 for volumes. The rule: one section is an image. Space groups from 401 are volumes. If
    mz is neither nz nor 0, it is a stack. Otherwise a cube (nx = ny = nz) is a volume, unless the
    space group is 0 and the file is named ``.mrcs``; oblong sections (nx ≠ ny) are a volume if the
    space group is not 0; square sections of any other number are a stack.

    Raises
    ------
    InputError
        If the file is truncated, a volume, a transform, of an unknown mode, or its header makes no
        sense.
    """
    header, start = _describe(content)
    images = content.pixels(header.dtype, header.shape, offset=start)
    surplus = content.size - start - images.nbytes
    notes: tuple[str, ...] = ()
    if surplus:
        notes = (f"{surplus} bytes more than the header tells are left unread.",)
    return content.stack(
        images,
        file_format=_NAME,
        pixel_size=pixel_size,
        header_pixel_size=header.pixel_size,
        notes=notes,
    )


def glance(content: Content) -> Glance:
    """Tell what the header tells; what `read` refuses by the header is refused."""
    header, start = _describe(content)
    content.check_length(header.dtype, header.shape, offset=start)
    return content.glance(header.shape, file_format=_NAME, header_pixel_size=header.pixel_size)


def _describe(content: Content) -> tuple[_Header, int]:
    """Return the header of a stack, and where its pixels begin."""
    if len(content.head) < _HEADER_BYTES:
        raise content.truncated(_HEADER_BYTES)
    header = _parse(content.head)
    if header is None or header.fields["nsymbt"] < 0:
        raise content.damaged("the sizes in its MRC header make no sense")
    if header.mode not in _DTYPES:
        held = _OTHER_MODES.get(header.mode, f"pixels of the unknown mode {header.mode}")
        raise content.refused(
            f"it holds {held}, which is not read; convert it to 32-bit floats (mode 2)"
        )
    named_mrcs = ".mrcs" in (suffix.lower() for suffix in content.path.suffixes)
    if header.is_volume(named_mrcs=named_mrcs):
        raise content.refused(
            "this is a 3D volume ({} × {} × {}); give a stack of 2D class averages (if it is one,"
            " set its space group to 0 and name it .mrcs)".format(*header.shape[::-1])
        )
    return header, _HEADER_BYTES + int(header.fields["nsymbt"])


def _parse(head: bytes) -> _Header | None:
    """Return the header in the byte order in which its sizes make sense, if there is one."""
    if len(head) < _HEADER_BYTES:
        return None
    for order in "<>":  # the machine stamp is too often wrong; at most one order passes
        fields = np.frombuffer(head, mrcfile.dtypes.HEADER_DTYPE.newbyteorder(order), count=1)[0]
        if 0 < fields["nx"] <= MAX_SIDE and 0 < fields["ny"] <= MAX_SIDE and fields["nz"] > 0:
            stamp, flags = np.frombuffer(head, order + "i4", count=2, offset=152)
            return _Header(order, fields, (int(stamp), int(flags)))
    return None
