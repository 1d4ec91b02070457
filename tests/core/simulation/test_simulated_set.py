from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.model import Pose
from cryocorr_tui.core.simulation import (
    SimulatedSet,
    SimulationSettings,
    Simulator,
    relative_pose,
    simulate_class_averages,
)
from cryocorr_tui.core.simulation.class_averages import (
    Optics,
    coloured_noise,
    draw_class_average,
    particle_mask,
)

SETTINGS = SimulationSettings(views=3, replicates=2, box=80, pixel_size=4.8, junk=4, seed=5)


@pytest.fixture(scope="module")
def simulated() -> SimulatedSet:
    return simulate_class_averages(SETTINGS)


def test_each_structure_view_and_replicate_is_there_and_so_is_junk(simulated) -> None:
    assert simulated.images.shape == (3 * 3 * 2 + 4, 80, 80)
    assert simulated.images.dtype == np.float32
    assert not simulated.images.flags.writeable
    assert np.isfinite(simulated.images).all()
    assert [t.class_id for t in simulated.truth] == list(range(22))
    shown = sorted((t.structure, t.view) for t in simulated.truth if not t.junk)
    assert shown == sorted([(s, v) for s in ("60S", "40S", "80S") for v in range(3)] * 2)
    junk = {t.junk for t in simulated.truth if t.junk}
    assert junk == {"noise", "blob", "edge", "overlap"}


def test_the_same_settings_give_the_same_pixels_in_any_order(simulated) -> None:
    simulator = Simulator(SETTINGS)
    assert simulator.truth == simulated.truth
    for class_id in (17, 3):
        assert np.array_equal(simulator.class_average(class_id), simulated.images[class_id])


def test_another_seed_gives_other_classes(simulated) -> None:
    assert Simulator(replace(SETTINGS, seed=6)).truth != simulated.truth


def test_dark_is_the_negative_of_bright(simulated) -> None:
    dark = Simulator(replace(SETTINGS, contrast="dark"))
    assert dark.truth == simulated.truth
    assert np.array_equal(dark.class_average(1), -simulated.images[1])
    particle = next(t.class_id for t in simulated.truth if not t.junk)
    centre = simulated.images[particle][35:45, 35:45].mean()
    assert centre > 0 > dark.class_average(particle)[35:45, 35:45].mean()


def test_without_mirror_no_pose_is_mirrored_and_shifts_stay_in_their_disc() -> None:
    simulator = Simulator(replace(SETTINGS, mirror=False, max_shift=1.5, replicates=20))
    poses = [t.pose for t in simulator.truth if t.pose]
    assert not any(pose.mirrored for pose in poses)
    reach = np.array([np.hypot(pose.shift_y, pose.shift_x) for pose in poses])
    assert 1.3 < reach.max() < 1.501


def test_the_relative_pose_brings_one_replicate_onto_the_other() -> None:
    simulated = simulate_class_averages(replace(SETTINGS, snr=1e6, junk=0))
    same = np.argwhere(np.triu(simulated.same_view(), 1))
    assert len(same) == 9
    inner = particle_mask(80) & np.pad(np.ones((64, 64), bool), 8)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    for i, j in same:
        pose = relative_pose(simulated.truth[i], simulated.truth[j])
        moved = cv2.warpAffine(simulated.images[j], pose.sampling_matrix(80), (80, 80), flags=flags)
        ncc = np.corrcoef(simulated.images[i][inner], moved[inner])[0, 1]
        assert ncc > 0.95, pose  # resolutions differ
    other = np.flatnonzero(~simulated.same_view()[0])[0]
    with pytest.raises(ValueError, match="expected one view of one structure"):
        relative_pose(simulated.truth[0], simulated.truth[other])


def test_the_relative_pose_undoes_and_does_by_hand(simulated) -> None:
    truth = next(t for t in simulated.truth if t.pose)
    j = replace(truth, pose=Pose(30.0, 1.0, 0.0, mirrored=False))
    i = replace(truth, pose=Pose(120.0, 0.0, 0.0, mirrored=False))
    pose = relative_pose(i, j)
    # A quarter turn counter-clockwise takes what is 1 px below to 1 px right: shift it back.
    assert (pose.rotation, pose.mirrored) == (pytest.approx(90), False)
    assert (pose.shift_y, pose.shift_x) == (pytest.approx(0), pytest.approx(-1))
    assert relative_pose(i, i) == Pose()


def test_the_snr_is_that_of_the_disc() -> None:
    optics, mask = Optics(96, 4.0), particle_mask(96)
    rng = np.random.default_rng(0)
    noise = coloured_noise(rng, optics=optics, resolution=10.0)
    assert noise[mask].var() == pytest.approx(1, abs=1e-5)
    empty = np.zeros((96, 96), np.float32)
    noisy = draw_class_average(
        empty, np.random.default_rng(0), optics=optics, resolution=10.0, snr=4.0
    )
    inner = np.hypot(*np.ogrid[-48:48, -48:48]) < 24  # where the rim is flat
    assert noisy[inner].var() == pytest.approx(noise[inner].var() / 4, rel=0.01)


def test_noise_is_smooth_and_falls_with_frequency() -> None:
    rng, optics = np.random.default_rng(0), Optics(96, 4.0)
    power = np.mean(
        [np.abs(np.fft.fft2(coloured_noise(rng, optics=optics, resolution=10.0))) ** 2
         for _ in range(20)], axis=0
    )  # fmt: skip
    ring = np.rint(np.hypot(*np.meshgrid(*[np.fft.fftfreq(96, 1 / 96)] * 2))).astype(int)
    profile = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    assert profile[6] > 3 * profile[16] > 9 * profile[30]
    assert profile[46] < 1e-4 * profile[6]
    assert profile[1] < 0.5 * profile[6]  # weak at the lowest frequencies


def test_nothing_is_left_outside_the_mask(simulated) -> None:
    outside = np.hypot(*np.ogrid[-40:40, -40:40]) > 0.95 * 40
    assert np.abs(simulated.images[:, outside]).max() == 0


def test_a_particle_too_large_for_its_box_is_refused_with_the_box_it_needs() -> None:
    with pytest.raises(SettingsError, match=r"60S does not fit into a box of 32.*a box of \d+"):
        Simulator(replace(SETTINGS, box=32))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"views": 0}, "views"),
        ({"replicates": 0}, "replicates"),
        ({"box": 81}, "even"),
        ({"pixel_size": 0.0}, "pixel size"),
        ({"snr": 0.0}, "SNR"),
        ({"contrast": "grey"}, "bright or dark"),
        ({"junk": -1}, "junk"),
        ({"max_shift": -1.0}, "shift"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, complaint) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Simulator(replace(SETTINGS, **change))


def test_a_structure_file_without_subsets_is_one_structure(small_structure: Path) -> None:
    settings = SimulationSettings(
        structure=small_structure, views=2, replicates=1, junk=0, box=64, pixel_size=2.0
    )
    simulated = simulate_class_averages(settings)
    assert [t.structure for t in simulated.truth] == ["coil", "coil"]
    assert simulated.images.shape == (2, 64, 64)


def test_chains_make_structures_of_their_own(small_structure: Path) -> None:
    settings = SimulationSettings(
        structure=small_structure, subsets={"half": ("A",)}, views=1, replicates=1, junk=0
    )
    assert [t.structure for t in Simulator(settings).truth] == ["half"]
