"""MRC stacks."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reader_forge import mrc, mrc_header, mrcfile_stack, ramp, read_stack

from cryocorr_tui.core.errors import InputError

DTYPES = ["int8", "int16", "float32", "uint16", "float16"]


def written(tmp_path: Path, content: bytes | bytearray, name: str = "stack.mrc") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def with_fields(images: Any, fields: dict[int, int]) -> bytearray:
    """A stack in which the int32 at each given byte is replaced."""
    content = bytearray(mrc(images))
    for at, value in fields.items():
        struct.pack_into("<i", content, at, value)
    return content


SPACE_GROUP, MZ, NSYMBT = 88, 36, 92


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), name=st.sampled_from(DTYPES), order=st.sampled_from("<>"))
def test_every_mode_and_byte_order_that_mrcfile_writes_comes_back(
    tmp_path: Path, data: st.DataObject, name: str, order: str
) -> None:
    dtype = np.dtype(order + np.dtype(name).str[1:])
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 7), st.integers(2, 7)))
    images = data.draw(hnp.arrays(np.int8, shape)).astype(dtype)
    path = tmp_path / "stack.mrcs"
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(images)
        file.set_image_stack()
    np.testing.assert_array_equal(read_stack(path).images, images.astype(np.float32))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", DTYPES)
def test_rows_and_images_keep_the_order_of_the_file(tmp_path: Path, name: str, order: str) -> None:
    images = ramp(2, 3, 4)
    path = written(tmp_path, mrc(images.astype(name), order=order))
    np.testing.assert_array_equal(read_stack(path).images, images)


def test_a_single_image_is_a_stack_of_one(tmp_path: Path) -> None:
    path = tmp_path / "one.mrc"
    with mrcfile.new(path) as file:
        file.set_data(ramp(1, 6, 5)[0])
    np.testing.assert_array_equal(read_stack(path).images, ramp(1, 6, 5))


def test_an_extended_header_is_stepped_over(tmp_path: Path) -> None:
    path = written(tmp_path, mrc(ramp(2, 3, 4), extended=b"FEI metadata" * 64))
    np.testing.assert_array_equal(read_stack(path).images, ramp(2, 3, 4))


def test_a_file_from_before_the_mark_map_is_read(tmp_path: Path) -> None:
    for order in "<>":
        content = bytearray(mrc(ramp(2, 3, 4), order=order))
        content[208:212] = bytes(4)
        np.testing.assert_array_equal(read_stack(written(tmp_path, content)).images, ramp(2, 3, 4))


def test_a_wrong_machine_stamp_is_of_no_account(tmp_path: Path) -> None:
    content = bytearray(mrc(ramp(2, 3, 4)))
    content[212:216] = b"\x11\x11\x00\x00"  # says big-endian
    np.testing.assert_array_equal(read_stack(written(tmp_path, content)).images, ramp(2, 3, 4))


def test_bytes_of_imod_are_unsigned_unless_it_marks_them_signed(tmp_path: Path) -> None:
    images = np.array([[[0, 127], [128, 255]]], np.uint8)
    content = with_fields(images.view(np.int8), {152: 1146047817, 156: 0})
    assert read_stack(written(tmp_path, content)).images.ravel().tolist() == [0, 127, 128, 255]
    content = with_fields(images.view(np.int8), {152: 1146047817, 156: 1})
    assert read_stack(written(tmp_path, content)).images.ravel().tolist() == [0, 127, -128, -1]


def test_the_pixel_size_is_cell_over_sampling(tmp_path: Path) -> None:
    path = mrcfile_stack(tmp_path / "a.mrcs", ramp(5, 96, 96), pixel_size=1.18)
    stack = read_stack(path)
    assert stack.pixel_size == 1.18
    assert stack.notes == ()


@pytest.mark.parametrize("cell", [0.0, 1.0, 4.0, -8.0, np.nan, np.inf, 4e5])
def test_a_pixel_size_nobody_believes_is_unknown_and_said_so(tmp_path: Path, cell: float) -> None:
    # 4 pixels a side: cells of 0 (unset), 4 (1.0 Å: the default of RELION) and 1 (0.25 Å: fine).
    content = bytearray(mrc(ramp(3, 4, 4)))
    struct.pack_into("<2f", content, 40, cell, cell)
    stack = read_stack(written(tmp_path, content))
    if cell == 1.0:
        assert stack.pixel_size == 0.25
        return
    assert stack.pixel_size is None
    assert len(stack.notes) == 1
    assert "--pixel-size" in stack.notes[0]


def test_pixels_that_are_not_square_have_no_pixel_size(tmp_path: Path) -> None:
    content = bytearray(mrc(ramp(3, 4, 4)))
    struct.pack_into("<2f", content, 40, 8.0, 12.0)
    assert read_stack(written(tmp_path, content)).pixel_size is None


def test_a_volume_as_mrcfile_writes_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    with mrcfile.new(path) as file:
        file.set_data(ramp(6, 6, 6))
        file.set_volume()
    with pytest.raises(InputError, match=r"map\.mrc: this is a 3D volume \(6 × 6 × 6\)"):
        read_stack(path)


@pytest.mark.parametrize(
    ("shape", "space_group", "mz", "name", "is_volume"),
    [
        ((6, 6, 6), 1, 6, "map.mrc", True),
        ((6, 6, 6), 1, 6, "map.mrcs", True),
        ((6, 6, 6), 0, 6, "cryosparc_map.mrc", True),
        ((6, 6, 6), 0, 6, "relion.mrcs", False),  # RELION writes mz = nz for stacks
        ((6, 6, 6), 0, 6, "relion.mrcs.copy", False),
        ((6, 6, 6), 0, 1, "class_averages.mrc", False),
        ((6, 6, 6), 1, 1, "class_averages.mrc", False),
        ((6, 6, 6), 1, 0, "old_map.mrc", True),
        ((5, 6, 6), 1, 5, "careless_program.mrcs", False),
        ((5, 6, 6), 0, 5, "cryosparc.mrc", False),
        ((5, 6, 7), 1, 5, "tomogram.mrc", True),
        ((5, 6, 7), 0, 5, "oblong.mrc", False),
        ((6, 6, 6), 401, 3, "maps.mrc", True),
        ((1, 6, 6), 1, 1, "one.mrc", False),
    ],
)
def test_stacks_and_volumes_are_told_apart(
    tmp_path: Path,
    shape: tuple[int, int, int],
    space_group: int,
    mz: int,
    name: str,
    is_volume: bool,
) -> None:
    content = with_fields(ramp(*shape), {SPACE_GROUP: space_group, MZ: mz})
    path = written(tmp_path, content, name)
    if is_volume:
        with pytest.raises(InputError, match="3D volume"):
            read_stack(path)
    else:
        assert read_stack(path).images.shape == shape


def test_a_truncated_file_is_refused_with_both_lengths(tmp_path: Path) -> None:
    content = mrc(ramp(3, 8, 8))
    path = written(tmp_path, content[:-100], "cut.mrcs")
    with pytest.raises(InputError, match=r"cut\.mrcs.*truncated \(1792 bytes expected, 1692 found"):
        read_stack(path)
    with pytest.raises(InputError, match="truncated"):
        read_stack(written(tmp_path, content[:600]))


def test_a_header_that_claims_a_billion_images_is_refused_at_once(tmp_path: Path) -> None:
    content = mrc_header(4096, 4096, 10**9) + bytes(5000)
    with pytest.raises(InputError, match="truncated"):
        read_stack(written(tmp_path, content))


@pytest.mark.parametrize("size", [(0, 4, 2), (4, 0, 2), (4, 4, 0), (-4, 4, 2), (10**9, 4, 2)])
def test_senseless_sizes_are_refused(tmp_path: Path, size: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="make no sense"):
        read_stack(written(tmp_path, mrc_header(*size) + bytes(5000)))


def test_a_negative_extended_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make no sense"):
        read_stack(written(tmp_path, with_fields(ramp(2, 4, 4), {NSYMBT: -1000})))


@pytest.mark.parametrize(
    ("mode", "word"), [(3, "Fourier"), (4, "Fourier"), (101, "4-bit"), (7, "unknown mode 7")]
)
def test_modes_that_are_not_read_are_named(tmp_path: Path, mode: int, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_stack(written(tmp_path, mrc_header(4, 4, 2, mode) + bytes(5000)))


def test_one_pixel_is_no_class_average(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class average"):
        read_stack(written(tmp_path, mrc(ramp(3, 1, 1))))


def test_bytes_after_the_images_are_noted(tmp_path: Path) -> None:
    stack = read_stack(written(tmp_path, mrc(ramp(2, 3, 3)) + b"surplus"))
    np.testing.assert_array_equal(stack.images, ramp(2, 3, 3))
    assert "7 bytes more" in stack.notes[0]
