from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from cryocorr_tui.core.readers import read
from cryocorr_tui.core.readers.glance import Glance, glance
from tests.class_average_forge import particles, write_stack

GREY = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)


def test_an_mrc_stack_tells_images_box_and_pixel_size(tmp_path: Path) -> None:
    path = write_stack(tmp_path / "a.mrcs", particles(5, 32), pixel_size=2.5)
    assert glance(path) == Glance("MRC", "stack", 5, 32, 32, 2.5)


def test_a_packed_stack_is_told_by_its_beginning(tmp_path: Path) -> None:
    path = write_stack(tmp_path / "a.mrcs", particles(40, 64), pixel_size=2.5)
    packed = tmp_path / "a.mrcs.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:200_000])
    assert glance(packed) == Glance("MRC", "stack", 40, 64, 64, 2.5)


def test_the_pixels_of_a_stack_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.mrcs"
    with mrcfile.new_mmap(path, (20_000, 512, 512), mrc_mode=2, fill=None) as file:
        file.set_image_stack()
    assert path.stat().st_blocks * 512 < 1 << 20, "the file system has no sparse files"
    assert glance(path) == Glance("MRC", "stack", 20_000, 512, 512, None)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "pgm", "ppm", "tif"])
def test_a_picture_tells_its_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), GREY if suffix != "ppm" else np.dstack([GREY] * 3))
    told = glance(path)
    assert told is not None
    assert (told.kind, told.images, told.height, told.width) == ("picture", 1, 20, 30)
    assert told.format == read(path).format


def test_a_tiff_of_several_pages_is_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([GREY] * 3), photometric="minisblack")
    assert glance(path) == Glance("TIFF", "stack", 3, 20, 30, None)


def test_an_hdf_stack_tells_images_and_box(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    with h5py.File(path, "w") as file:
        for k in range(12):
            group = file.create_group(f"MDF/images/{k}")
            group["image"] = np.zeros((24, 24), np.float32)
            group.attrs["EMAN.apix_x"] = 3.0
    assert glance(path) == Glance("EMAN2 HDF", "stack", 12, 24, 24, 3.0)


@pytest.mark.parametrize("name", ["a.hed", "a.img"])
def test_both_files_of_an_imagic_pair_tell_of_it(tmp_path: Path, name: str) -> None:
    header = np.zeros((4, 256), "<i4")
    header[:, 12:14] = 16, 18
    header[:, 14] = int.from_bytes(b"REAL", "little")
    header[0, 1] = 3
    (tmp_path / "a.hed").write_bytes(header.tobytes())
    (tmp_path / "a.img").write_bytes(np.zeros((4, 16, 18), "<f4").tobytes())
    assert glance(tmp_path / name) == Glance("IMAGIC", "stack", 4, 16, 18, None)


@pytest.mark.parametrize(
    "content", [b"", b"some words", b"\x1f\x8b\x08 no gzip", b"\x89PNG\r\n\x1a\n cut"]
)
def test_what_holds_no_class_averages_tells_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert glance(path) is None


def test_a_volume_a_cut_stack_a_folder_and_a_missing_file_tell_nothing(tmp_path: Path) -> None:
    volume = tmp_path / "volume.mrc"
    with mrcfile.new(volume) as file:
        file.set_data(np.zeros((8, 8, 8), np.float32))
        file.set_volume()
    cut = write_stack(tmp_path / "cut.mrcs", particles(5, 32))
    cut.write_bytes(cut.read_bytes()[:-1])
    paths = (volume, cut, tmp_path, tmp_path / "none")
    assert [glance(path) for path in paths] == [None] * 4
