"""TIFF pictures and stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from reader_forge import in_memory, ramp, read_montage, read_stack

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.readers import read


def tiff(images: NDArray[Any], **options: Any) -> bytes:
    options.setdefault("photometric", "minisblack")
    return in_memory(tifffile.imwrite, images, **options)


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    return path


def picture(tmp_path: Path, content: bytes) -> NDArray[Any]:
    return read_montage(written(tmp_path, content)).picture


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_several_pages_are_a_stack(tmp_path: Path, order: str, big: bool, dtype: str) -> None:
    images = ramp(3, 5, 6)
    content = tiff(images.astype(dtype), byteorder=order, bigtiff=big)
    stack = read_stack(written(tmp_path, content))
    np.testing.assert_array_equal(stack.images, images)


LZW, DEFLATE, PACKBITS = 5, 32946, 32773


@pytest.mark.parametrize("compression", [LZW, DEFLATE, PACKBITS])
def test_compressed_pages_and_pictures_are_read(tmp_path: Path, compression: int) -> None:
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    images = ramp(3, 8, 8).astype(np.uint16)
    done, data = cv2.imencodemulti(".tiff", list(images), options)
    assert done
    np.testing.assert_array_equal(read_stack(written(tmp_path, data.tobytes())).images, images)
    bgr = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    done, data = cv2.imencode(".tiff", bgr, options)
    assert done
    np.testing.assert_array_equal(picture(tmp_path, data.tobytes()), bgr[..., ::-1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_single_page_is_a_picture_of_the_same_depth(tmp_path: Path, dtype: str) -> None:
    image = ramp(1, 5, 6)[0].astype(dtype)
    shown = picture(tmp_path, tiff(image))
    assert shown.dtype == dtype
    np.testing.assert_array_equal(shown, image)


def test_other_depths_become_float32(tmp_path: Path) -> None:
    image = np.array([[-3, 4], [5, 70000]], np.int32)
    shown = picture(tmp_path, tiff(image))
    assert shown.dtype == np.float32
    np.testing.assert_array_equal(shown, image)


def test_black_and_white_becomes_grey(tmp_path: Path) -> None:
    image = np.array([[True, False], [False, True]])
    assert picture(tmp_path, tiff(image)).tolist() == [[255, 0], [0, 255]]


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    image = np.array([[0, 10], [200, 255]], np.uint8)
    content = tiff(image, photometric="miniswhite")
    assert picture(tmp_path, content).tolist() == [[255, 245], [55, 0]]


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 7] = 255 << 8, 128 << 8, 1 << 8
    image = np.full((2, 3), 7, np.uint8)
    shown = picture(tmp_path, tiff(image, photometric="palette", colormap=colours))
    assert shown.tolist() == [[[255, 128, 1]] * 3] * 2


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_are_rgb_however_the_planes_lie(tmp_path: Path, planar: str) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    stored = image if planar == "contig" else np.moveaxis(image, -1, 0)
    content = tiff(stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(picture(tmp_path, content), image)


@pytest.mark.parametrize(
    ("kind", "half"), [("unassalpha", [177, 152, 127]), ("assocalpha", [227, 177, 127])]
)
def test_transparent_pixels_are_laid_on_white(tmp_path: Path, kind: str, half: list[int]) -> None:
    image = np.array([[[100, 50, 0, 255], [100, 50, 0, 128]]] * 2, np.uint8)
    content = tiff(image, photometric="rgb", extrasamples=[kind])
    assert picture(tmp_path, content)[0].tolist() == [[100, 50, 0], half]


def test_colour_pages_of_a_stack_become_grey(tmp_path: Path) -> None:
    images = np.zeros((2, 3, 4, 3), np.uint8)
    images[0, ..., 1] = 100
    images[1] = 60
    stack = read_stack(written(tmp_path, tiff(images, photometric="rgb")))
    np.testing.assert_allclose(stack.images[:, 0, 0], [58.7, 60.0], rtol=1e-6)


def test_pages_of_different_sizes_are_refused_but_thumbnails_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for subfile, word in ((0, "refused"), (1, "read")):
        with tifffile.TiffWriter(path) as file:
            file.write(ramp(1, 8, 8)[0])
            file.write(ramp(1, 8, 8)[0] + 1)
            file.write(ramp(1, 4, 4)[0], subfiletype=subfile)
        if word == "refused":
            with pytest.raises(InputError, match=r"4 × 4 and 8 × 8"):
                read(path)
        else:
            assert read_stack(path).images.shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        (1e8 / 2.5, "CENTIMETER", 2.5),  # as IMOD writes it
        (2.54e8 / 3.0, "INCH", 3.0),
        (72, "INCH", None),
        (1, "NONE", None),
    ],
)
def test_the_resolution_tags_are_believed_where_they_are_angstroms(
    tmp_path: Path, resolution: float, unit: str, expected: float | None
) -> None:
    content = tiff(ramp(2, 4, 4), resolution=(resolution, resolution), resolutionunit=unit)
    assert read(written(tmp_path, content)).pixel_size == pytest.approx(expected)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}])
def test_a_file_cut_anywhere_is_refused_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    images = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    content = tiff(images, **options)
    with tifffile.TiffFile(written(tmp_path, content)) as file:
        last = file.pages[-1]
        needed = max(last.dataoffsets[0] + last.databytecounts[0], file.pages.next_page_offset + 4)
    for kept in range(8, needed, 37):
        with pytest.raises(InputError, match=r"a\.tif: "):
            read(written(tmp_path, content[:kept]))
    assert capfd.readouterr() == ("", "")


def test_a_page_that_claims_400_megapixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    content = bytearray(tiff(ramp(1, 8, 8)[0]))
    with tifffile.TiffFile(written(tmp_path, bytes(content))) as file:
        tags = file.pages[0].tags
        places = [(tags[name].valueoffset, tags[name].dtype) for name in (256, 257)]
    for at, dtype in places:
        width = 2 if dtype == tifffile.DATATYPE.SHORT else 4
        content[at : at + width] = (20_000).to_bytes(width, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="megapixels"):
        read(path)


def test_images_that_imagej_only_announces_are_not_lost_in_silence(tmp_path: Path) -> None:
    content = tiff(ramp(1, 8, 8)[0], description="ImageJ=1.53c\nimages=5\n", metadata=None)
    with pytest.raises(InputError, match="announces 5 images and describes 1"):
        read(written(tmp_path, content))
    images = ramp(5, 8, 8)
    path = written(tmp_path, tiff(images, imagej=True))
    np.testing.assert_array_equal(read_stack(path).images, images)


def test_one_pixel_is_no_class_average(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class average"):
        read(written(tmp_path, tiff(np.ones((1, 1), np.uint8))))


def test_volumes_and_strange_colours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3D volumes"):
        read(written(tmp_path, tiff(ramp(16, 16, 16), volumetric=True, tile=(16, 16, 16))))
    cmyk = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(InputError, match="grey or RGB"):
        read(written(tmp_path, tiff(cmyk, photometric="separated")))


def test_a_real_lzw_montage_equals_its_png(shared_data: Path) -> None:
    name = "oldschool_2dclass_junk1"
    paths = [shared_data / "montages" / f"{name}.{kind}" for kind in ("tiff", "png")]
    pictures = [read_montage(path) for path in paths]
    np.testing.assert_array_equal(pictures[0].picture, pictures[1].picture)
