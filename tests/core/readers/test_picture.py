"""PNG, JPEG, BMP, PGM and PPM pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from reader_forge import bmp, png, png_chunk, read_montage

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.model import Montage
from cryocorr_tui.core.readers import read


def montage(tmp_path: Path, content: bytes) -> Montage:
    path = tmp_path / "picture"
    path.write_bytes(content)
    return read_montage(path)


def pixels(tmp_path: Path, content: bytes) -> Any:
    return montage(tmp_path, content).picture.tolist()


def encoded(suffix: str, picture: NDArray[Any]) -> bytes:
    written, data = cv2.imencode(suffix, picture)
    assert written
    return bytes(data.tobytes())


def noise(height: int = 40, width: int = 50) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)


def smooth() -> NDArray[np.uint8]:
    y, x = np.mgrid[:40, :50]
    return np.dstack([4 * x, 5 * y, 2 * x + 2 * y]).astype(np.uint8)


def test_grey_png_of_8_and_16_bits_keep_their_depth(tmp_path: Path) -> None:
    grey = montage(tmp_path, png(2, 2, depth=8, colour=0, rows=b"\0\1\2\0\3\xff"))
    assert grey.picture.dtype == np.uint8
    assert grey.picture.tolist() == [[1, 2], [3, 255]]
    rows = b"\0\x12\x34\x00\x01" + b"\0\xff\xff\x00\x00"
    deep = montage(tmp_path, png(2, 2, depth=16, colour=0, rows=rows))
    assert deep.picture.dtype == np.uint16
    assert deep.picture.tolist() == [[0x1234, 1], [65535, 0]]


def test_colours_are_rgb_and_not_bgr(tmp_path: Path) -> None:
    red_blue = b"\0\xff\0\0\0\0\xff"
    content = png(2, 2, depth=8, colour=2, rows=red_blue * 2)
    assert pixels(tmp_path, content)[0] == [[255, 0, 0], [0, 0, 255]]
    content = b"P6\n2 2\n255\n" + b"\xff\0\0\0\0\xff" * 2
    assert pixels(tmp_path, content)[0] == [[255, 0, 0], [0, 0, 255]]
    content = bmp(2, 2, 24, b"\0\0\xff\xff\0\0\0\0" * 2)  # rows padded to 4 bytes
    assert pixels(tmp_path, content)[0] == [[255, 0, 0], [0, 0, 255]]


def test_transparent_pixels_are_laid_on_white(tmp_path: Path) -> None:
    opaque, half, none = b"\x64\x32\x00\xff", b"\x64\x32\x00\x80", b"\x64\x32\x00\x00"
    content = png(3, 2, depth=8, colour=6, rows=(b"\0" + opaque + half + none) * 2)
    # 100 · 128/255 + 255 · 127/255 = 177.2; 50 gives 152.1; 0 gives 127.
    assert pixels(tmp_path, content)[0] == [[100, 50, 0], [177, 152, 127], [255, 255, 255]]


def test_transparent_grey_and_16_bits_are_laid_on_white(tmp_path: Path) -> None:
    content = png(2, 2, depth=8, colour=4, rows=b"\0\x10\xff\x20\x00" * 2)
    assert pixels(tmp_path, content)[0] == [[16, 16, 16], [255, 255, 255]]
    half = b"\x00\x00\x80\x00"
    content = png(2, 2, depth=16, colour=4, rows=(b"\0" + half + b"\x12\x34\xff\xff") * 2)
    assert pixels(tmp_path, content)[0] == [[32767] * 3, [0x1234] * 3]


def test_a_palette_is_resolved_with_its_transparency(tmp_path: Path) -> None:
    palette = png_chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0]))
    transparency = png_chunk(b"tRNS", b"\xff\x00")
    rows = b"\0\0\1" * 2
    content = png(2, 2, depth=8, colour=3, rows=rows, extra=palette)
    assert pixels(tmp_path, content)[0] == [[255, 0, 0], [0, 255, 0]]
    content = png(2, 2, depth=8, colour=3, rows=rows, extra=palette + transparency)
    assert pixels(tmp_path, content)[0] == [[255, 0, 0], [255, 255, 255]]


def test_a_bmp_with_an_unused_fourth_byte_is_not_all_transparent(tmp_path: Path) -> None:
    content = bmp(2, 2, 32, bytes([30, 20, 10, 0]) * 4)
    assert pixels(tmp_path, content) == [[[10, 20, 30]] * 2] * 2


def test_a_bmp_keeps_its_top_row_on_top(tmp_path: Path) -> None:
    content = bmp(2, 2, 24, bytes([1] * 6 + [0] * 2 + [2] * 6 + [0] * 2))
    assert pixels(tmp_path, content) == [[[2] * 3] * 2, [[1] * 3] * 2]


def test_pgm_in_binary_and_text_and_16_bits(tmp_path: Path) -> None:
    assert pixels(tmp_path, b"P5\n# made by hand\n2 2\n255\n\1\2\3\4") == [[1, 2], [3, 4]]
    assert pixels(tmp_path, b"P2 2 2 255 1 2\n3 4") == [[1, 2], [3, 4]]
    deep = montage(tmp_path, b"P5 2 2 65535\n" + struct.pack(">4H", 1, 2, 3, 65535))
    assert deep.picture.dtype == np.uint16
    assert deep.picture.tolist() == [[1, 2], [3, 65535]]


def test_a_jpeg_is_decoded(tmp_path: Path) -> None:
    colour = montage(tmp_path, encoded(".jpg", smooth()[..., ::-1]))
    assert colour.format == "JPEG"
    assert np.abs(colour.picture.astype(int) - smooth()).mean() < 3
    grey = montage(tmp_path, encoded(".jpg", smooth()[..., 0]))
    assert grey.picture.shape == (40, 50)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".pgm", ".ppm"])
def test_a_truncated_picture_is_refused_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    picture = noise()[..., 0] if suffix == ".pgm" else noise()
    content = encoded(suffix, picture)
    path = tmp_path / "cut.png"
    for kept in (len(content) - 1, len(content) * 2 // 3, len(content) // 10):
        path.write_bytes(content[:kept])
        with pytest.raises(InputError, match=r"cut\.png: the file is damaged \(.*truncated"):
            read(path)
    assert capfd.readouterr() == ("", "")


def test_a_png_with_a_flipped_bit_is_refused_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(encoded(".png", noise()))
    content[len(content) // 2] ^= 4
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_jpeg_is_refused(tmp_path: Path) -> None:
    content = encoded(".jpg", noise())
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:20] + b"????" + content[24:])
    with pytest.raises(InputError, match=r"a\.jpg: the file is damaged"):
        read(path)


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_with_an_impossible_marker_within_its_scan_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], progressive: int
) -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    content = cv2.imencode(".jpg", noise(), options)[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert read(path).format == "JPEG"
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\xff\x3a" + content[middle + 2 :])
    with pytest.raises(InputError, match=r"a\.jpg: the file is damaged \(JPEG: a marker"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_colour_profiles_that_libpng_complains_of_are_passed_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    junk = png_chunk(b"iCCP", b"broken profile") + png_chunk(b"gAMA", b"x")
    content = png(2, 2, depth=8, colour=0, rows=b"\0\1\2\0\3\4", extra=junk)
    assert pixels(tmp_path, content) == [[1, 2], [3, 4]]
    assert capfd.readouterr() == ("", "")


def huge_png() -> bytes:
    return png(20_000, 20_000, depth=8, colour=0, rows=b"")


def huge_jpeg() -> bytes:
    content = encoded(".jpg", noise())
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", 20_000, 20_000) + content[at + 9 :]


@pytest.mark.parametrize(
    "content",
    [
        huge_png(),
        huge_jpeg(),
        b"P2 20000 20000 255 1 2 3",
    ],
)
def test_a_picture_of_400_megapixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("the picture was decoded")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    path = tmp_path / "huge"
    path.write_bytes(content)
    with pytest.raises(InputError, match="20000 × 20000 pixels are more than 100 megapixels"):
        read(path)


def test_one_pixel_and_no_pixel_are_no_class_average(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for content in (
        png(1, 1, depth=8, colour=0, rows=b"\0\1"),
        png(0, 5, depth=8, colour=0, rows=b""),
        b"P5 0 0 255\n",
        b"P5 1 1 255\n\1",
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="no class average"):
            read(path)


def test_a_side_beyond_what_opencv_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "strip.pgm"
    path.write_bytes(b"P2 2097152 2 255 1 2 3")
    with pytest.raises(InputError, match="does not decode"):
        read(path)


def test_two_letters_do_not_make_a_bmp(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM\xff\xfe" + bytes(range(255, 0, -1)))
    with pytest.raises(InputError, match="not recognised"):
        read(path)


def test_real_montages_have_their_sizes_and_no_alpha(shared_data: Path) -> None:
    shapes = {
        "magellon_cryosparc_labels.png": (430, 1958, 3),
        "nup82_combined_no_bg.png": (580, 1922),
        "oldschool_2dclass_junk1.png": (362, 880, 3),
        "oldschool_2dclass_junk1.tiff": (362, 880, 3),
        "pom152_WT_montage.png": (720, 1006, 3),
        "py2rely_PyQtGUI.png": (934, 1120, 3),
    }
    for name, shape in shapes.items():
        picture = read_montage(shared_data / "montages" / name).picture
        assert picture.dtype == np.uint8
        assert picture.shape == shape
    # The labels of cryoSPARC are green: in BGR they would be too, so look at the red of the GUI.
    gui = read_montage(shared_data / "montages/py2rely_PyQtGUI.png").picture.astype(int)
    assert ((gui[..., 0] > 200) & (gui[..., 2] < 60)).sum() > 5 * (
        (gui[..., 2] > 200) & (gui[..., 0] < 60)
    ).sum()
