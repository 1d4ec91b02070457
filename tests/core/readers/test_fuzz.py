"""Whatever the bytes are, a reader answers with a result or an `InputError`, and in silence."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_forge import bmp, eman_hdf, imagic, in_memory, mrc, png, ramp, spider_stack

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.readers import read

IMAGES = ramp(3, 6, 6)
NAMES = ["MRC", "big-endian MRC", "gzip", "bzip2", "SPIDER", "TIFF", "zlib TIFF", "PNG", "JPEG"]
NAMES += ["LZW TIFF", "BMP", "PGM", "IMAGIC", "HDF"]
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One sound file of each format."""
    hdf = eman_hdf(tmp_path_factory.mktemp("hdf") / "a.hdf", list(IMAGES), {"apix_x": 2.0})
    jpeg = cv2.imencode(".jpg", IMAGES[0].astype(np.uint8))[1].tobytes()
    pages = list(IMAGES.astype(np.uint16))
    lzw = cv2.imencodemulti(".tiff", pages, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    files = [
        mrc(IMAGES),
        mrc(IMAGES, order=">"),
        gzip.compress(mrc(IMAGES)),
        bz2.compress(mrc(IMAGES)),
        spider_stack(IMAGES),
        in_memory(tifffile.imwrite, IMAGES, photometric="minisblack"),
        in_memory(tifffile.imwrite, IMAGES, photometric="minisblack", compression="zlib"),
        png(3, 2, depth=8, colour=0, rows=b"\0\1\2\3\0\4\5\6"),
        jpeg,
        lzw,
        bmp(2, 2, 24, bytes(16)),
        b"P5 3 2 255\n123456",
        imagic(IMAGES)[0],
        hdf.read_bytes(),
    ]
    return dict(zip(NAMES, files, strict=True))


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read(path)
    except InputError as error:
        sentence = str(error)
    else:
        return
    assert sentence.startswith(f"{path.parent}")
    assert "\n" not in sentence


@FUZZ
@given(content=st.binary(max_size=3000))
def test_random_bytes_are_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    survives(tmp_path / "noise.mrc", content)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
@settings(FUZZ, max_examples=25)
@given(data=st.data())
def test_sound_files_cut_off_and_spoiled_are_refused_or_read_in_silence(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    whole: dict[str, bytes],
    name: str,
    data: st.DataObject,
) -> None:
    content = bytearray(whole[name])
    # Nearly everything that can go wrong stands in the header.
    places = st.integers(0, min(len(content), 1100) - 1)
    for at, value in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=4)).items():
        content[at] = value
    kept = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path / "spoiled.hed"
    path.with_suffix(".img").write_bytes(imagic(IMAGES)[1])
    survives(path, bytes(content[:kept]))
    printed = capfd.readouterr()
    assert printed == ("", "") or name == "JPEG"  # libjpeg has its say about a spoiled scan
