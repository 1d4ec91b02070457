"""The door: what a file is, and every way in which it can be no use."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reader_forge import mrc, png, ramp, read_montage, read_stack, spider_image

from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.readers import read


def refusal(path: Path) -> str:
    """The sentence with which `path` is refused: one line, naming the file, with a full stop."""
    with pytest.raises(InputError) as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    stack, image = tmp_path / "stack.png", tmp_path / "image.mrc"
    picture = tmp_path / "picture.hdf"
    stack.write_bytes(mrc(ramp(3, 4, 4)))
    image.write_bytes(spider_image(ramp(1, 4, 4)[0]))
    picture.write_bytes(png(2, 2, depth=8, colour=0, rows=b"\0\1\2\0\3\4"))
    assert [read(path).format for path in (stack, image, picture)] == ["MRC", "SPIDER", "PNG"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["packed.mrc", "packed.gz"])
def test_compressed_files_are_read_whatever_they_are_called(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    path = tmp_path / name
    for content, kind in ((mrc(ramp(3, 4, 5)), "MRC"), (spider_image(ramp(1, 9, 8)[0]), "SPIDER")):
        path.write_bytes(pack(content))
        stack = read(path)
        assert stack.format == kind
        assert stack.source == str(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_truncated_or_damaged_compressed_file_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(mrc(ramp(20, 16, 16)))
    path = tmp_path / "stack.mrc.packed"
    path.write_bytes(packed[: len(packed) // 2])
    assert "truncated" in refusal(path)
    path.write_bytes(packed[:20] + bytes(200) + packed[220:])
    assert "damaged" in refusal(path)


def test_images_are_frozen_float32_and_named_as_the_user_named_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mrcs").write_bytes(mrc(ramp(2, 3, 4).astype(np.int16)))
    monkeypatch.chdir(tmp_path)
    stack = read_stack(Path("a.mrcs"))
    assert stack.source == "a.mrcs"
    assert stack.images.dtype == np.float32
    assert stack.images.flags.c_contiguous
    assert not stack.images.flags.writeable
    assert type(stack.images) is np.ndarray
    np.testing.assert_array_equal(stack.images, ramp(2, 3, 4))


def test_a_montage_is_frozen_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 2, depth=8, colour=0, rows=b"\0\1\2\0\3\4"))
    montage = read_montage(path)
    assert not montage.picture.flags.writeable
    assert montage.picture.tolist() == [[1, 2], [3, 4]]


def test_nan_and_infinite_pixels_are_left_for_later(tmp_path: Path) -> None:
    images = ramp(1, 2, 2)
    images[0, 0] = np.nan, np.inf
    path = tmp_path / "nan.mrc"
    path.write_bytes(mrc(images))
    np.testing.assert_array_equal(read_stack(path).images, images)


def test_the_users_pixel_size_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc(ramp(2, 4, 4)))  # 2.5 Å in its header
    assert read(path).pixel_size == 2.5
    assert read(path, pixel_size=3.25).pixel_size == 3.25
    assert read(path, pixel_size=1.0).pixel_size == 1.0


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_that_is_none_is_refused(tmp_path: Path, nonsense: float) -> None:
    with pytest.raises(SettingsError, match="pixel size"):
        read(tmp_path / "a.mrc", pixel_size=nonsense)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.mrc")
    assert "no such file" in refusal(tmp_path / "missing.hed")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refusal(tmp_path / "file" / "stack.mrc")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.mrcs"
    path.touch()
    assert "empty" in refusal(path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mrc"
    os.mkfifo(path)
    assert "not an ordinary file" in refusal(path)


def test_a_file_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.mrc"
    path.write_bytes(mrc(ramp(2, 4, 4)))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # a test run by root may read everything
    assert "permission" in refusal(path)


def test_a_stack_that_does_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.mrc"
    path.write_bytes(mrc(ramp(2, 4, 4)))

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("cryocorr_tui.core.readers.content.room_for", exhausted)
    assert "memory" in refusal(path)


def test_a_full_disk_while_decompressing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(mrc(ramp(2, 4, 4))))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    assert "No space left" in refusal(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"Class averages of Tuesday\n", "a text file"),
        ("Klassenmittel für Å\n".encode(), "a text file"),
        (
            b"# version 30001\n\ndata_particles\n\nloop_\n_rlnImageName #1\n",
            "give the stack itself",
        ),
        (b"data_\nloop_\n_rlnReferenceImage\n000001@a.mrcs\n", "give the stack itself"),
        (b"data_model_general\n_rlnReferenceDimensionality   3 \n", "3D classification"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': [('blob/path', 'O')]}", "give the stack itself"),
        (b"\x95CSDAT\x01\x00", "give the stack itself"),
        (b"GIF89a\x01\x00\x01\x00", "GIF"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\x14\x00", "ZIP"),
        (bytes(range(256)) * 8, "not recognised as MRC, EMAN2/SPHIRE HDF, SPIDER, IMAGIC, TIFF"),
        (bytes(2000), "not recognised"),
    ],
)
def test_what_is_not_an_image_is_refused_with_a_remedy(
    tmp_path: Path, content: bytes, word: str
) -> None:
    path = tmp_path / "montage.png"
    path.write_bytes(content)
    assert word in refusal(path)


def test_text_is_known_although_a_letter_is_cut_at_the_end_of_the_head(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(b"x" * 1023 + "Å".encode() * 10)
    assert "a text file" in refusal(path)


def test_real_tables_are_refused(shared_data: Path) -> None:
    folder = shared_data / "metadata"
    assert "STAR" in refusal(folder / "em-testdata_run_it025_model.star")
    assert "STAR" in refusal(folder / "em-testdata_run_it025_data.star")
    assert "3D" in refusal(folder / "aspire_class3d_sample_data_model.star")
    assert ".cs" in refusal(folder / "cryosparc_J2_particles_exported.cs")


def test_every_real_stack_is_read(shared_data: Path) -> None:
    paths = [path for path in (shared_data / "stacks").glob("*/*") if path.is_file()]
    for path in paths:
        if path.name.startswith("DAMAGED"):
            assert "damaged" in refusal(path)
            continue
        stack = read_stack(path)
        assert stack.pixel_size is None
        assert any("--pixel-size" in note for note in stack.notes)
