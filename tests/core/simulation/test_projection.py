from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.simulation.class_averages import Optics, clean_view
from cryocorr_tui.core.simulation.projection import image_from_spectrum, project, view_matrices

BOX = 64
OPTICS = Optics(BOX, pixel_size=4.0)
POSES = st.builds(
    Pose,
    rotation=st.floats(0, 359.9),
    shift_y=st.floats(-4, 4),
    shift_x=st.floats(-4, 4),
    mirrored=st.booleans(),
)


def a_particle(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """300 atoms without symmetry, within 18 pixels of the centre."""
    rng = np.random.default_rng(seed)
    radius, angle = 18 * np.sqrt(rng.uniform(size=300)), rng.uniform(0, 4, 300)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points, rng.uniform(1, 3, 300).astype(np.float32)


def rendered(pose: Pose) -> np.ndarray:
    return clean_view(*a_particle(), optics=OPTICS, resolution=20.0, pose=pose)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    inner = (slice(8, -8), slice(8, -8))
    return float(np.corrcoef(a[inner].ravel(), b[inner].ravel())[0, 1])


def test_an_atom_on_a_pixel_is_that_pixel_and_y_runs_down() -> None:
    points = np.array([[5.0, -3.0]])
    image = image_from_spectrum(project(points, np.ones(1, np.float32), box=BOX))
    assert np.unravel_index(image.argmax(), image.shape) == (BOX // 2 - 3, BOX // 2 + 5)


def test_the_spectrum_is_the_sum_over_the_atoms_written_out() -> None:
    points, weights = a_particle()
    spectrum = project(points, weights, box=BOX)
    ky, kx = np.fft.fftfreq(BOX, 1 / BOX)[:, None, None], np.arange(BOX // 2 + 1)[None, :, None]
    x, y = (points + BOX // 2).T
    expected = (weights * np.exp(-2j * np.pi / BOX * (ky * y + kx * x))).sum(axis=2)
    expected[BOX // 2] = expected[:, BOX // 2] = 0
    assert np.abs(spectrum - expected).max() < 1e-5 * weights.sum()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_those_of_the_pixels(quarters: int) -> None:
    # Even boxes have their centre pixel at box // 2, so the turn leaves out row and column 0.
    still, turned = rendered(Pose()), rendered(Pose(rotation=90.0 * quarters))
    expected = np.rot90(still[1:, 1:], quarters)  # counter-clockwise
    assert np.abs(turned[1:, 1:] - expected).max() < 1e-4


def test_a_mirror_is_that_of_the_pixels() -> None:
    still, mirrored = rendered(Pose()), rendered(Pose(mirrored=True))
    assert np.abs(mirrored[:, 1:] - still[:, :0:-1]).max() < 1e-4


def test_a_whole_shift_is_that_of_the_pixels() -> None:
    still, shifted = rendered(Pose()), rendered(Pose(shift_y=3, shift_x=-2))
    expected = np.roll(still, (3, -2), axis=(0, 1))
    assert np.abs(shifted - expected).max() < 0.02  # the mask's mean moves a little
    assert correlation(shifted, expected) > 0.99999


def test_a_turn_by_37_degrees_is_what_opencv_makes_of_the_pose() -> None:
    pose = Pose(rotation=37.0, shift_y=1.4, shift_x=-2.3, mirrored=True)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(rendered(Pose()), pose.sampling_matrix(BOX), (BOX, BOX), flags=flags)
    assert correlation(rendered(pose), warped) > 0.999


@settings(max_examples=15, deadline=None)
@given(pose=POSES)
def test_every_pose_is_what_opencv_makes_of_it(pose: Pose) -> None:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(rendered(Pose()), pose.sampling_matrix(BOX), (BOX, BOX), flags=flags)
    assert correlation(rendered(pose), warped) > 0.999


def test_an_odd_box_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="even box, received 63"):
        project(np.zeros((1, 2)), np.ones(1, np.float32), box=63)


@pytest.mark.parametrize("views", [1, 2, 6, 20, 100])
def test_views_are_rotations_and_no_two_are_alike_or_mirror_images(views: int) -> None:
    matrices = view_matrices(views)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(matrices), 1)
    directions = matrices[:, 2]
    # |cos|: a direction and its opposite see mirror images.
    cosines = np.abs(directions @ directions.T)[~np.eye(views, dtype=bool)]
    evenly_spaced = np.sqrt(2 * np.pi / views)  # radians, if each had a square of its own
    if views > 1:
        assert np.arccos(np.clip(cosines.max(), 0, 1)) > 0.4 * evenly_spaced


def test_a_particle_from_behind_is_the_mirror_image_of_the_front() -> None:
    rng = np.random.default_rng(3)
    atoms, view = rng.normal(0, 6, (200, 3)), view_matrices(5)[3]
    half_turn = np.diag([-1.0, 1.0, -1.0])  # about the picture's y axis
    weights = np.ones(200, np.float32)
    front = image_from_spectrum(project(atoms @ view[:2].T, weights, box=BOX))
    behind = atoms @ (half_turn @ view)[:2].T
    back = image_from_spectrum(project(behind, weights, box=BOX, pose=Pose(mirrored=True)))
    assert np.allclose(front, back, atol=1e-3 * front.max())
