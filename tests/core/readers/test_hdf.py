"""HDF5 files of EMAN2 and SPHIRE."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from reader_forge import eman_hdf, ramp, read_stack

from cryocorr_tui.core.errors import InputError


def test_images_come_back_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    images = ramp(12, 3, 4)  # as text, 10 would come before 2
    path = eman_hdf(tmp_path / "a.hdf", list(images), {"apix_x": 2.03, "n_objects": 7})
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.images, images)
    assert stack.pixel_size == 2.03
    assert stack.particles is not None
    assert stack.particles.tolist() == [7.0] * 12
    assert stack.notes == ()


def test_a_pixel_size_of_one_is_eman2_not_knowing(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", [ramp(1, 3, 3)[0]], {"apix_x": 1.0})
    stack = read_stack(path)
    assert stack.pixel_size is None
    assert "--pixel-size" in stack.notes[0]
    assert read_stack(path, pixel_size=2.03).pixel_size == 2.03


def test_particles_are_counted_from_a_number_or_a_list(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", list(ramp(4, 3, 3)), {})
    with h5py.File(path, "r+") as file:
        file["MDF/images/0"].attrs["EMAN.ptcl_repr"] = np.array([41])
        file["MDF/images/1"].attrs["EMAN.ptcl_repr"] = np.array([3, 1, 4, 1, 5])
        file["MDF/images/2"].attrs["EMAN.n_objects"] = 9
        file["MDF/images/2"].attrs["EMAN.ptcl_repr"] = 8
    particles = read_stack(path).particles
    assert particles is not None
    np.testing.assert_array_equal(particles, [41, 5, 9, np.nan])


def test_without_a_count_there_are_no_particles(tmp_path: Path) -> None:
    assert read_stack(eman_hdf(tmp_path / "a.hdf", list(ramp(2, 3, 3)), {})).particles is None


def test_grey_values_stored_in_a_few_bits_are_brought_back(tmp_path: Path) -> None:
    stored = np.array([[0, 15], [3, 5]], np.uint8)
    scale = {"stored_renderbits": 4, "stored_rendermin": -1.0, "stored_rendermax": 2.0}
    stack = read_stack(eman_hdf(tmp_path / "a.hdf", [stored], scale))
    expected = np.array([[-1.0, 2.0], [-0.4, 0.0]])
    np.testing.assert_allclose(stack.images[0], expected, atol=1e-6)


def test_sections_of_one_are_images_and_thicker_ones_volumes(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", [ramp(1, 3, 4)], {})
    np.testing.assert_array_equal(read_stack(path).images, ramp(1, 3, 4))
    with pytest.raises(InputError, match="3D volume"):
        read_stack(eman_hdf(tmp_path / "b.hdf", [ramp(3, 3, 3)], {}))


def test_transforms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Fourier"):
        read_stack(eman_hdf(tmp_path / "a.hdf", list(ramp(1, 3, 4)), {"is_complex": 1}))


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", [ramp(1, 3, 4)[0], ramp(1, 5, 6)[0]], {})
    with pytest.raises(InputError, match=r"4 × 3 and 6 × 5"):
        read_stack(path)


def test_missing_images_are_noted(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", list(ramp(3, 3, 3)), {"apix_x": 2.0})
    with h5py.File(path, "r+") as file:
        del file["MDF/images/1"]
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.images, ramp(3, 3, 3)[[0, 2]])
    assert "3 images are announced, but there are 2" in stack.notes[0]


def test_other_and_empty_hdf5_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    with h5py.File(path, "w") as file:
        file["data"] = ramp(2, 3, 3)
    with pytest.raises(InputError, match="no /MDF/images"):
        read_stack(path)
    with pytest.raises(InputError, match="no images"):
        read_stack(eman_hdf(tmp_path / "b.hdf", [], {}))


def test_an_image_that_claims_a_tera_pixel_is_refused_at_once(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", [], {})
    with h5py.File(path, "r+") as file:
        file.create_dataset("MDF/images/0/image", (10**6, 10**6), "f4", chunks=(64, 64))
    with pytest.raises(InputError, match="megapixels"):
        read_stack(path)


def test_a_truncated_file_is_refused_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = eman_hdf(tmp_path / "a.hdf", list(ramp(4, 32, 32)), {})
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"a\.hdf: .*cut short"):
        read_stack(path)
    assert capfd.readouterr() == ("", "")


def test_an_image_group_without_an_image_is_refused(tmp_path: Path) -> None:
    path = eman_hdf(tmp_path / "a.hdf", list(ramp(2, 3, 3)), {})
    with h5py.File(path, "r+") as file:
        del file["MDF/images/1/image"]
    with pytest.raises(InputError, match="damaged"):
        read_stack(path)


def test_real_files_give_images_and_particles(shared_data: Path) -> None:
    stack = read_stack(
        shared_data / "stacks/eman2_hdf_multi/class_averages_merged_cen_p250_t52.hdf",
        pixel_size=2.287,
    )
    assert stack.images.shape == (13, 120, 120)
    assert stack.particles is not None
    assert stack.particles[:3].tolist() == [163, 207, 133]
    assert (stack.pixel_size, stack.notes) == (2.287, ())
    single = read_stack(
        shared_data / "stacks/pom152_wt_hdf/pom152_iclasses_091316_rescaled_small1.hdf"
    )
    assert single.images.shape == (1, 260, 260)
    assert float(single.images.max()) == pytest.approx(2.3488898)
    assert single.pixel_size is None
