"""HDF5 files of EMAN2 and SPHIRE: one group an image under ``/MDF/images``.

Rows stay in file order; EMAN2 shows row 0 at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.memory import room_for
from cryocorr_tui.core.model import Stack
from cryocorr_tui.core.readers.content import Content, Glance

if TYPE_CHECKING:
    import h5py

__all__ = ["glance", "read", "recognises"]

_NAME = "EMAN2 HDF"
_MAGIC = b"\x89HDF\r\n\x1a\n"
_IMAGES = "MDF/images"


def recognises(head: bytes) -> bool:
    """Whether `head` is that of an HDF5 file."""
    return head.startswith(_MAGIC)


def read(content: Content, *, pixel_size: float | None) -> Stack:
    """Read all images of an EMAN2 or SPHIRE file, with the number of particles behind each.

    Images that EMAN2 stored as integers of a few bits are brought back to their grey values.

    Raises
    ------
    InputError
        If the file is truncated or damaged, has no ``/MDF/images``, or holds volumes, transforms
        or images of different sizes.
    """
    with _open(content) as file:
        return _read(content, file, pixel_size)


def glance(content: Content) -> Glance:
    """Tell what the file's groups and the attributes of the first image tell."""
    with _open(content) as file:
        groups = _groups(content, file)
        return content.glance(
            (len(groups), *_shape(content, groups[0])),
            file_format=_NAME,
            header_pixel_size=_number(groups[0], "apix_x"),
        )


@contextmanager
def _open(content: Content) -> Iterator[h5py.File]:
    import h5py  # memory that large pictures want, when no such file is read

    try:
        with h5py.File(content.file, "r") as file:
            yield file
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever HDF5 makes of damaged bytes, none of it ours
        raise content.damaged("HDF5 cannot read it, it may be cut short") from error


def _groups(content: Content, file: h5py.File) -> list[h5py.Group]:
    """Return the group of each image, in their order."""
    if _IMAGES not in file:
        raise content.refused(
            "an HDF5 file, but not of EMAN2 or SPHIRE (no /MDF/images); export an MRC stack"
        )
    parent = file[_IMAGES]
    groups = [parent[name] for name in sorted(filter(str.isdecimal, parent), key=int)]
    if not groups:
        raise content.refused("it holds no images; export it again")
    return groups


def _read(content: Content, file: h5py.File, pixel_size: float | None) -> Stack:
    groups = _groups(content, file)
    shape = _shape(content, groups[0])
    for group in groups:
        if _shape(content, group) != shape:
            raise content.refused(
                "its images differ in size ({1} × {0} and {3} × {2} pixels);"
                " give one file a size".format(*shape, *_shape(content, group))
            )
    images = room_for((len(groups), *shape))
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, seen to later
        for image, group in zip(images, groups, strict=True):
            image[:] = _pixels(group).reshape(shape)

    notes: tuple[str, ...] = ()
    announced = int(np.ravel(file[_IMAGES].attrs.get("imageid_max", [len(groups) - 1]))[0]) + 1
    if announced > len(groups):
        notes = (f"{announced} images are announced, but there are {len(groups)}.",)
    particles = np.array([_particles(group) for group in groups])
    return content.stack(
        images,
        file_format=_NAME,
        pixel_size=pixel_size,
        header_pixel_size=_number(groups[0], "apix_x"),
        particles=None if np.isnan(particles).all() else particles,
        notes=notes,
    )


def _shape(content: Content, group: h5py.Group) -> tuple[int, int]:
    """Return (height, width) of an image, after refusing what is not a real one."""
    shape = group["image"].shape
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 2:
        raise content.refused("this is a 3D volume; give a stack of 2D class averages")
    if _number(group, "is_complex"):
        raise content.refused("it holds Fourier transforms; give the images themselves")
    content.check_size(*shape)
    return int(shape[0]), int(shape[1])


def _pixels(group: h5py.Group) -> NDArray[Any]:
    """Return the grey values; ``stored_renderbits`` says that they are scaled to integers."""
    pixels: NDArray[Any] = group["image"][()]
    bits = _number(group, "stored_renderbits")
    low, high = _number(group, "stored_rendermin"), _number(group, "stored_rendermax")
    if not bits or low is None or high is None or low == high:
        return pixels
    return low + pixels * np.float32((high - low) / (2.0**bits - 1))


def _particles(group: h5py.Group) -> float:
    """Return how many particles were averaged; NaN where it is not told."""
    for name in ("n_objects", "ptcl_repr"):
        value = group.attrs.get(f"EMAN.{name}")
        if value is not None:  # a number in some versions, the list of particles in others
            return float(np.ravel(value)[0]) if np.size(value) == 1 else float(np.size(value))
    return np.nan


def _number(group: h5py.Group, name: str) -> float | None:
    value = group.attrs.get(f"EMAN.{name}")
    return None if value is None else float(np.ravel(value)[0])
