"""SPIDER images and stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reader_forge import ramp, read_stack, spider_image, spider_label, spider_stack

from cryocorr_tui.core.errors import InputError


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.spi"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("shape", [(2, 2), (9, 7), (3, 300)])
def test_an_image_in_either_byte_order_is_a_stack_of_one(
    tmp_path: Path, order: str, shape: tuple[int, int]
) -> None:
    image = ramp(1, *shape)
    path = written(tmp_path, spider_image(image[0], order=order, words={38: 2.5}))
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.images, image)
    assert stack.pixel_size == 2.5


@pytest.mark.parametrize("order", "<>")
def test_a_stack_in_either_byte_order_comes_back(tmp_path: Path, order: str) -> None:
    images = ramp(4, 5, 6)
    np.testing.assert_array_equal(
        read_stack(written(tmp_path, spider_stack(images, order=order))).images, images
    )


def test_a_truncated_stack_is_refused_with_both_lengths(tmp_path: Path) -> None:
    content = spider_stack(ramp(4, 8, 8))  # 1024 + 4 · (1024 + 256) bytes
    with pytest.raises(InputError, match=r"6144 bytes expected, 6143 found"):
        read_stack(written(tmp_path, content[:-1]))


def test_a_header_that_claims_a_billion_images_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="truncated"):
        read_stack(written(tmp_path, spider_stack(ramp(2, 8, 8), words={26: 1e9})))


@pytest.mark.parametrize("count", [0, -3, 2.5, np.nan])
def test_a_stack_that_counts_no_images_is_refused(tmp_path: Path, count: float) -> None:
    with pytest.raises(InputError, match="counts no images"):
        read_stack(written(tmp_path, spider_stack(ramp(2, 8, 8), words={26: count})))


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ({1: 8, 5: 3}, "3D volume"),
        ({5: -11}, "Fourier"),
        ({24: -2}, "indexed"),
        ({12: 7}, "not recognised"),
        ({2: 8.5}, "not recognised"),
        ({22: 4}, "not recognised"),
        ({13: np.nan}, "not recognised"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, words: dict[int, float], word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_stack(written(tmp_path, spider_label(8, 8, words=words) + bytes(4 * 8 * 8 * 8)))


def test_one_pixel_is_no_class_average(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class average"):
        read_stack(written(tmp_path, spider_image(ramp(1, 1, 1)[0])))


STRIPES = np.tile(np.linspace(-1, 1, 40, dtype=np.float32), (40, 1))


def test_an_image_of_one_repeated_row_without_its_headers_extremes_is_damaged(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, spider_image(STRIPES, words={6: 1, 7: 23.0, 8: -6.0}))
    with pytest.raises(InputError, match="rows repeat"):
        read_stack(path)


@pytest.mark.parametrize("words", [{}, {6: 1, 7: 1.0, 8: -1.0}, {6: 0, 7: 23.0, 8: -6.0}])
def test_stripes_that_the_header_does_not_contradict_are_read(
    tmp_path: Path, words: dict[int, float]
) -> None:
    path = written(tmp_path, spider_image(STRIPES, words=words))
    np.testing.assert_array_equal(read_stack(path).images[0], STRIPES)


def test_an_outdated_header_alone_does_no_harm(tmp_path: Path) -> None:
    image = ramp(1, 8, 8)
    read_stack(written(tmp_path, spider_image(image[0], words={6: 1, 7: 900.0, 8: -6.0})))
    read_stack(written(tmp_path, spider_image(np.zeros((8, 8)), words={6: 1, 7: 900.0, 8: -6.0})))


def test_a_damaged_image_within_a_stack_is_named_in_a_note(tmp_path: Path) -> None:
    overall = spider_label(40, 40, words={24: 2, 26: 2})
    whole = spider_image(ramp(1, 40, 40)[0])
    damaged = spider_image(STRIPES, words={6: 1, 7: 23.0, 8: -6.0})
    stack = read_stack(written(tmp_path, overall + whole + damaged))
    assert len(stack.images) == 2
    assert stack.notes[0].startswith("images 1 (counted from 0) are damaged")


def test_the_really_damaged_file_is_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match="rows repeat"):
        read_stack(shared_data / "stacks/pom152_wt_hdf/DAMAGED_small1.spi")


def test_a_real_stack_equals_its_hdf_twin(shared_data: Path) -> None:
    spider = read_stack(shared_data / "stacks/spider_stack/23904.spi")
    hdf = read_stack(shared_data / "stacks/eman2_hdf_multi/class_averages_merged_cen_p150_t34.hdf")
    assert spider.images.shape == (23, 120, 120)
    np.testing.assert_array_equal(spider.images, hdf.images)
