"""IMAGIC pairs."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from reader_forge import imagic, mrc, ramp, read_stack

from cryocorr_tui.core.errors import InputError


def pair(tmp_path: Path, head: bytes, body: bytes) -> tuple[Path, Path]:
    paths = tmp_path / "avg.hed", tmp_path / "avg.img"
    for path, content in zip(paths, (head, body), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8", "int32"])
def test_either_file_of_a_pair_gives_all_images(tmp_path: Path, order: str, dtype: str) -> None:
    images = ramp(3, 4, 5)
    for path in pair(tmp_path, *imagic(images.astype(dtype), order=order)):
        stack = read_stack(path)
        np.testing.assert_array_equal(stack.images, images)
        assert stack.source == str(path)
        assert stack.pixel_size is None


def test_names_in_capitals_are_a_pair_too(tmp_path: Path) -> None:
    head, body = imagic(ramp(2, 4, 4))
    (tmp_path / "AVG.HED").write_bytes(head)
    (tmp_path / "AVG.IMG").write_bytes(body)
    assert len(read_stack(tmp_path / "AVG.IMG").images) == 2


def test_pixels_that_look_like_another_format_do_not_deceive(tmp_path: Path) -> None:
    images = ramp(2, 40, 40)
    head, body = imagic(images)
    _, path = pair(tmp_path, head, b"\x1f\x8b\x08\x00" + body[4:])
    assert read_stack(path).format == "IMAGIC"


def test_an_img_of_another_format_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "micrograph.img"
    path.write_bytes(mrc(ramp(2, 4, 4)))
    assert read_stack(path).format == "MRC"
    path.with_suffix(".hed").write_text("something else")
    assert read_stack(path).format == "MRC"


def test_a_missing_partner_is_named(tmp_path: Path) -> None:
    head, body = pair(tmp_path, *imagic(ramp(2, 4, 4)))
    body.rename(tmp_path / "elsewhere.img")
    with pytest.raises(InputError, match=r"avg\.hed: the other half .* avg\.img, is missing"):
        read_stack(head)
    head.unlink()
    with pytest.raises(InputError, match=r"elsewhere\.img: .*\.hed"):
        read_stack(tmp_path / "elsewhere.img")


def test_truncated_halves_are_refused(tmp_path: Path) -> None:
    head, body = imagic(ramp(3, 4, 4))
    path, _ = pair(tmp_path, head, body[:-1])
    with pytest.raises(InputError, match=r"avg\.img.*192 bytes expected, 191 found"):
        read_stack(path)
    for cut in (1024, 1500, 3000):
        path, _ = pair(tmp_path, head[:cut], body)
        with pytest.raises(InputError, match=r"avg\.hed.*3072 bytes expected"):
            read_stack(path)
    path, _ = pair(tmp_path, head, body + bytes(64))
    with pytest.raises(InputError, match=r"avg\.img: it does not fit its avg\.hed"):
        read_stack(path)


def test_a_count_left_at_nought_is_taken_from_the_length(tmp_path: Path) -> None:
    head, body = imagic(ramp(3, 4, 4))
    path, _ = pair(tmp_path, head[:4] + bytes(4) + head[8:], body)
    assert len(read_stack(path).images) == 3


def test_a_volume_and_transforms_are_refused(tmp_path: Path) -> None:
    head, body = imagic(ramp(3, 4, 4))
    volume = bytearray(head)
    struct.pack_into("<2i", volume, 240, 3, 1)
    path, _ = pair(tmp_path, bytes(volume), body)
    with pytest.raises(InputError, match="3D volume"):
        read_stack(path)
    path, _ = pair(tmp_path, head[:56] + b"COMP" + head[60:], body)
    with pytest.raises(InputError, match="Fourier"):
        read_stack(path)


def test_a_real_pair_is_read(shared_data: Path) -> None:
    stacks = [read_stack(shared_data / "stacks/imagic" / name) for name in ("avg.hed", "avg.img")]
    assert stacks[0].images.shape == (7, 120, 120)
    np.testing.assert_array_equal(stacks[0].images, stacks[1].images)
    assert float(stacks[0].images.max()) == pytest.approx(14.253116)
