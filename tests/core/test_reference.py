"""One view goes into a picture in a known pose; the hunt says where it is and how it lies."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import array_api_strict as xp
import cv2
import numpy as np
import pytest
from class_average_forge import particles, write_montage, write_picture, write_stack
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import UNMOVED, disc_noise, phantom, turn_between

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.detection import cut_out
from cryocorr_tui.core.errors import InputError, NoSquaresError, SettingsError
from cryocorr_tui.core.model import Montage, Pose
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.reference import (
    Reference,
    ReferenceSpec,
    hunt,
    load_reference,
    parse_reference,
    proposal,
)
from cryocorr_tui.core.reference.placement import Placement, Pyramid, Template
from cryocorr_tui.core.reference.proposal import find_places, strongest
from cryocorr_tui.core.reference.reading import grey_without_overlays
from cryocorr_tui.core.reference.views import decoys_of, view_of

BOX = 64
DEGREES, PIXELS, SCALE = 1.0, 0.5, 0.01


def standardised(image):
    return ((image - image.mean()) / image.std()).astype(np.float32)


def view(pose=UNMOVED, *, seed=0):
    return standardised(phantom(BOX, pose, seed=seed))


def grid(images, *, columns, noise=0.15):
    """Squares side by side with some noise; square k is at its row and column."""
    noisy = np.stack(images) + noise * disc_noise(len(images), BOX, seed=99)
    rows = [np.hstack(noisy[first : first + columns]) for first in range(0, len(images), columns)]
    return Montage("grid.png", np.vstack(rows))


def square_of(hit, *, columns):
    return int(hit.y // BOX) * columns + int(hit.x // BOX)


def crowd(own, *, count=12, seed=100):
    """Own views by square, among other particles."""
    images = [view(Pose(rotation=29.0 * k), seed=seed + k) for k in range(count)]
    for k, image in own.items():
        images[k] = image
    return images


POSES = {
    1: Pose(90.0),
    4: Pose(200.0, 1.3, -2.2),
    6: Pose(33.0, mirrored=True),
    11: Pose(301.0, -2.0, 0.6, mirrored=True),
}


@pytest.fixture(scope="module")
def hunted():
    montage = grid(crowd({k: view(pose) for k, pose in POSES.items()}), columns=4)
    return montage, hunt(montage, Reference("view", view()))


# The reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grid.png:10,20,64,64", ReferenceSpec(Path("grid.png"), box=(10, 20, 64, 64))),
        ("grid.png:0.5, 2.25,64,63.5", ReferenceSpec(Path("grid.png"), box=(0.5, 2.25, 64, 63.5))),
        ("a stack.mrcs#0", ReferenceSpec(Path("a stack.mrcs"), index=0)),
        ("C:/old#2/a:1,2,3,4.png#17", ReferenceSpec(Path("C:/old#2/a:1,2,3,4.png"), index=17)),
        ("run#3:b.png:1,2,30,40", ReferenceSpec(Path("run#3:b.png"), box=(1, 2, 30, 40))),
    ],
)
def test_a_reference_is_a_file_with_a_box_or_an_index(text, expected):
    assert parse_reference(text) == expected


@given(
    name=st.text(alphabet="ab:#,.1 ", min_size=1).map(lambda text: text + "x"),
    box=st.none() | st.tuples(*[st.integers(0, 999_999_999)] * 4),
    index=st.integers(0, 9999),
)
@settings(max_examples=60, deadline=None)
def test_what_a_reference_is_called_is_understood_again(name, box, index):
    spec = ReferenceSpec(Path(name), box=box, index=None if box else index)
    assert parse_reference(str(spec)) == spec


@pytest.mark.parametrize(
    "text", ["", "grid.png", "grid.png:1,2,3", "a.png:-1,2,3,4", "a.mrcs#", "a.mrcs#-1", "#3"]
)
def test_what_is_no_reference_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(SettingsError, match=r"FILE:X,Y,W,H .* FILE#INDEX"):
        parse_reference(text)


def test_a_box_of_a_picture_is_cut_out_of_it(tmp_path):
    path = write_picture(tmp_path / "picture.png", view())
    reference = load_reference(ReferenceSpec(path, box=(20, 10, 40, 32)))
    whole = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    # The largest centred square of a box that is wider than high.
    np.testing.assert_array_equal(reference.image, whole[10:42, 24:56])
    assert reference.name == f"{path}:20,10,40,32"


def test_an_index_chooses_an_image_of_a_stack(tmp_path):
    images = particles(3)
    path = write_stack(tmp_path / "stack.mrcs", images)
    reference = load_reference(ReferenceSpec(path, index=2))
    np.testing.assert_array_equal(reference.image, images[2])
    inside = reference.mask > 0
    assert inside[16, 16 - 14]
    assert not inside[16, 16 - 15]  # 0.9 of the box across


@pytest.mark.parametrize("bottom_up", [False, True])
def test_an_index_chooses_a_square_of_a_montage_in_reading_order(tmp_path, bottom_up):
    path = write_montage(tmp_path / "grid.png", particles(12, 48))
    reference = load_reference(ReferenceSpec(path, index=6), bottom_up=bottom_up)
    row, column = (1, 2)
    expected = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[50 * row :, 50 * column :][:48, :48]
    assert abs(reference.box - 48) <= 1
    shared = slice(2, 46)
    seen = np.corrcoef(reference.image[shared, shared].ravel(), expected[shared, shared].ravel())
    assert seen[0, 1] > 0.9


def bad_references(folder):
    stack = write_stack(folder / "stack.mrcs", particles(3))
    picture = write_picture(folder / "picture.png", view())
    flat = write_stack(folder / "flat.mrcs", np.full((1, 32, 32), 7, np.float32))
    broken = write_stack(folder / "nan.mrcs", np.full((1, 32, 32), np.nan, np.float32))
    return {
        "holds 3 images, counted from 0": ReferenceSpec(stack, index=3),
        "choose one of them with": ReferenceSpec(stack, box=(0, 0, 20, 20)),
        "leaves the picture, which is 64×64 pixels": ReferenceSpec(picture, box=(50, 0, 20, 20)),
        "is 30×8 pixels": ReferenceSpec(picture, box=(0, 0, 30, 8)),
        "has no contrast": ReferenceSpec(flat, index=0),
        "has pixels that are no numbers": ReferenceSpec(broken, index=0),
        "there is no such file": ReferenceSpec(folder / "absent.mrcs", index=0),
    }


@pytest.mark.parametrize("number", range(7))
def test_a_reference_that_cannot_be_used_is_refused_with_its_name(tmp_path, number):
    reason, spec = list(bad_references(tmp_path).items())[number]
    with pytest.raises(InputError) as caught:
        load_reference(spec)
    assert reason in str(caught.value)
    assert str(spec.path) in str(caught.value)


def test_an_index_into_a_picture_without_a_grid_is_refused(tmp_path):
    path = write_picture(tmp_path / "noise.png", disc_noise(1, 200)[0])
    with pytest.raises(NoSquaresError, match=r"noise\.png"):
        load_reference(ReferenceSpec(path, index=0))


def test_what_was_printed_in_colour_is_filled_from_around():
    grey = np.full((80, 120), 90, np.uint8)
    picture = np.stack([grey] * 3, axis=-1)
    cv2.putText(picture, "5578 ptcls", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 255, 20))
    clean = grey_without_overlays(Montage("a.png", picture))
    np.testing.assert_allclose(clean, 90, atol=0.5)


def test_a_picture_drawn_in_colours_is_left_as_it_is():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[..., 0] = np.arange(40)
    expected = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(grey_without_overlays(Montage("a.png", picture)), expected)


# The correlation


def correlation_inside(disc, template, window):
    a, b = template[disc > 0].astype(np.float64), window[disc > 0]
    return np.corrcoef(a, b)[0, 1]


@pytest.fixture(scope="module")
def matching():
    rng = np.random.default_rng(5)
    tiles = rng.standard_normal((2, 40, 40))
    tiles[1, :20, :20] = 0.25  # without any contrast
    disc = disc_mask(11, 9.0)
    views = rng.standard_normal((5, 11, 11)).astype(np.float32)
    views -= views[:, disc > 0].mean(axis=1)[:, None, None]
    views *= disc
    views /= np.sqrt((views**2).sum(axis=(1, 2), keepdims=True))
    return tiles, views, disc


def test_the_strongest_match_is_the_correlation_coefficient_written_out(matching):
    tiles, views, disc = matching
    scores = strongest(tiles, views, disc, bytes_at_once=40 * 40 * 8 * 2 * 2)
    assert scores.shape == (2, 30, 30)
    for y, x in itertools.product((0, 13, 29), repeat=2):
        expected = max(
            correlation_inside(disc, item, tiles[0, y : y + 11, x : x + 11]) for item in views
        )
        assert scores[0, y, x] == pytest.approx(expected, abs=1e-5)


def test_of_very_many_places_the_highest_peaks_are_kept(hunted, monkeypatch):
    montage, _ = hunted
    reference = Reference("view", view())

    def places():
        pyramid = Pyramid(grey_without_overlays(montage))
        backend = Backend("cpu")
        return find_places(pyramid, reference, scales=(0.9, 1.1), mirror=True, backend=backend)

    every = places()
    monkeypatch.setattr(proposal, "_MOST_PLACES", 3)
    np.testing.assert_array_equal(places().centres, every.centres[:3])


def test_a_place_without_contrast_matches_nothing(matching):
    tiles, views, disc = matching
    assert np.all(strongest(tiles, views, disc)[1, :9, :9] == 0)


def test_the_correlation_stays_in_the_namespace_of_its_arguments(matching):
    device = xp.Device("device1")
    arrays = [xp.asarray(array, device=device) for array in matching]
    scores = strongest(*arrays)
    assert scores.device == device
    on_host = np.from_dlpack(xp.asarray(scores, device=xp.Device("CPU_DEVICE")))
    # Single precision, and two FFT libraries.
    np.testing.assert_allclose(on_host, strongest(*matching), atol=2e-6)


# Where a view lies


@given(rotation=st.floats(0, 359.9), mirrored=st.booleans(), scale=st.floats(0.5, 2.0))
@settings(max_examples=40, deadline=None)
def test_a_placement_tells_the_rotation_mirror_and_scale_it_was_made_of(rotation, mirrored, scale):
    placement = Placement(Pose(rotation, mirrored=mirrored).linear() * scale, np.zeros(2))
    assert turn_between(placement, Pose(rotation)) < 1e-6
    assert placement.mirrored == mirrored
    assert placement.scale == pytest.approx(scale)


def test_a_pyramid_shows_the_centre_at_the_middle_pixel_at_any_scale():
    y, x = np.indices((200, 200))
    spot = np.exp(-0.5 * (((x - 70) / 9) ** 2 + ((y - 120) / 9) ** 2)).astype(np.float32)
    for step in (0.5, 1.0, 1.7, 3.0):
        placement = Placement(np.eye(2) * step, np.array([70.0, 120.0]))
        patch = Pyramid(spot).sample(placement, 33)
        offset = np.arange(33) - 16
        assert patch.sum(axis=0) @ offset / patch.sum() == pytest.approx(0, abs=0.1)
        assert patch.sum(axis=1) @ offset / patch.sum() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_refinement_finds_the_exact_place_of_a_clean_view(mirrored):
    true = Pose(40.0, 0.7, -0.4, mirrored=mirrored)
    template = Template(view(), 0.9 * BOX, 1.0)
    start = Placement(Pose(44.0, mirrored=mirrored).linear() * 1.03, np.full(2, BOX / 2))
    found, correlation = template.aligned(Pyramid(view(true)), start)
    assert correlation > 0.999
    assert turn_between(found, true) < 0.1
    assert found.scale == pytest.approx(1.0, abs=0.002)
    np.testing.assert_allclose(found.centre - BOX // 2, (-0.4, 0.7), atol=0.05)


# The hunt


def test_every_copy_of_the_view_is_found_and_nothing_else(hunted):
    _, found = hunted
    assert {square_of(hit, columns=4) for hit in found.hits} == set(POSES)
    assert len(found.hits) == len(POSES)


def test_a_hit_tells_rotation_mirror_scale_and_place(hunted):
    _, found = hunted
    for hit in found.hits:
        number = square_of(hit, columns=4)
        pose = POSES[number]
        assert hit.mirrored == pose.mirrored
        assert turn_between(hit, pose) <= DEGREES
        assert hit.scale == pytest.approx(1.0, abs=SCALE)
        row, column = divmod(number, 4)
        centre = (BOX * row + BOX // 2 + pose.shift_y, BOX * column + BOX // 2 + pose.shift_x)
        assert math.dist((hit.y, hit.x), centre) <= PIXELS


def test_the_pose_of_a_hit_brings_the_reference_onto_it():
    reference = view()
    onto = np.rot90(reference[:, ::-1])  # mirrored first, then a quarter turn counter-clockwise
    montage = grid(crowd({5: onto}), columns=4, noise=0.1)
    best = hunt(montage, Reference("view", reference)).hits[0]
    assert square_of(best, columns=4) == 5
    assert best.mirrored
    assert turn_between(best, Pose(90.0)) <= DEGREES


def test_scores_fall_from_hit_to_hit_and_lie_above_the_threshold(hunted):
    _, found = hunted
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert found.threshold <= scores[-1] <= scores[0] <= 1
    assert scores[-1] > 0.97


def test_the_threshold_is_explained(hunted):
    _, found = hunted
    assert f"by {found.threshold:.2f} or more: 24 scrambled copies" in found.explanation
    assert f"in one of 100 such pictures one would reach {found.threshold:.2f}" in found.explanation
    assert found.explanation in found.detection().notes


def test_the_squares_of_the_hits_come_in_reading_order_and_can_be_cut_out(hunted):
    montage, found = hunted
    detection = found.detection()
    places = [((s.y + BOX / 2) // BOX, (s.x + BOX / 2) // BOX) for s in detection.squares]
    assert places == [(0, 1), (1, 0), (1, 2), (2, 3)]
    images = cut_out(montage, detection)
    assert len(images) == len(POSES)
    assert abs(images.shape[-1] - BOX) <= 1


def test_squares_stay_inside_the_picture(hunted):
    montage, found = hunted
    height, width = montage.picture.shape
    for square in found.squares:
        assert 0 <= square.x <= width - square.width
        assert 0 <= square.y <= height - square.height


def test_the_same_hunt_gives_the_same_hits(hunted):
    montage, found = hunted
    assert hunt(montage, Reference("view", view())) == found


def test_without_mirror_a_mirror_image_is_no_hit(hunted):
    montage, _ = hunted
    found = hunt(montage, Reference("view", view()), mirror=False)
    assert {square_of(hit, columns=4) for hit in found.hits} == {1, 4}


def test_a_negative_of_the_view_is_no_hit(hunted):
    montage, _ = hunted
    assert hunt(Montage("negative.png", -montage.picture), Reference("view", view())).hits == ()


def test_pictures_without_the_view_hold_hardly_a_hit():
    pictures = [grid(crowd({}, seed=seed), columns=4) for seed in (100, 200, 300, 400)]
    found = [hunt(picture, Reference("view", view())) for picture in pictures]
    # The threshold lets one in a hundred pass, and the first crowd holds a look-alike just above.
    assert sum(len(of_picture.hits) for of_picture in found) <= 1


@pytest.mark.parametrize("scale", [0.75, 1.3])
def test_a_view_is_found_on_noise_without_a_grid_at_another_scale(scale):
    true = Pose(123.0, mirrored=True)
    size = round(scale * BOX) // 2 * 2
    placed = standardised(cv2.resize(view(true), (size, size), interpolation=cv2.INTER_CUBIC))
    picture = 0.1 * disc_noise(1, 240, seed=3)[0]
    picture[97 : 97 + size, 51 : 51 + size] += placed - np.median(placed[0])
    hits = hunt(Montage("noise.png", picture), Reference("view", view())).hits
    assert len(hits) == 1
    assert turn_between(hits[0], true) <= DEGREES
    assert hits[0].mirrored
    assert hits[0].scale == pytest.approx(size / BOX, rel=SCALE)
    # The middle of the reference's centre pixel, half a pixel beyond the middle of its box.
    centre = np.array([97, 51]) + (BOX // 2 + 0.5) * size / BOX - 0.5
    assert math.dist((hits[0].y, hits[0].x), centre) <= PIXELS


def test_hits_do_not_overlap():
    found = hunt(grid(crowd({}), columns=4), Reference("view", view()), threshold=0.3)
    for a, b in itertools.combinations(found.hits, 2):
        # Equal discs that share 0.3 of their area are 1.15 radii apart; a small one lies deeper.
        assert math.dist((a.y, a.x), (b.y, b.x)) > 0.5 * 0.9 * BOX * max(a.scale, b.scale)


def test_a_given_threshold_decides_and_is_said():
    montage = grid(crowd({5: view(Pose(70.0))}), columns=4)
    reference = Reference("view", view())
    low, high = (hunt(montage, reference, threshold=value) for value in (0.3, 0.999))
    assert len(low.hits) > 1
    assert low.threshold == 0.3
    assert "0.30" in low.explanation
    assert high.hits == ()


def test_a_top_view_of_four_subunits_is_found():
    def turned(angle):
        one = [phantom(BOX, Pose(angle + 90.0 * k), seed=1) for k in range(4)]
        return standardised(sum(one))

    montage = grid(crowd({2: turned(20.0), 9: turned(65.0)}), columns=4)
    found = hunt(montage, Reference("view", turned(0.0)))
    assert {square_of(hit, columns=4) for hit in found.hits} == {2, 9}


def test_nothing_is_found_in_a_constant_picture():
    found = hunt(Montage("flat.png", np.full((200, 300), 7, np.uint8)), Reference("view", view()))
    assert found.hits == ()
    assert found.explanation == "Nothing here resembles the reference."


def test_pixels_that_are_no_numbers_hide_only_what_is_there(hunted):
    montage, found = hunted
    picture = montage.picture.copy()
    picture[:4, :4] = np.nan
    again = hunt(Montage("nan.tif", picture), Reference("view", view()))
    assert [square_of(hit, columns=4) for hit in again.hits] == [
        square_of(hit, columns=4) for hit in found.hits
    ]


def test_a_reference_larger_than_the_picture_is_refused_with_both_names():
    with pytest.raises(InputError, match=r"view \(64×64 pixels\) .* small\.png \(30×40\)"):
        hunt(Montage("small.png", np.zeros((40, 30), np.uint8)), Reference("view", view()))


@pytest.mark.parametrize("scales", [(0.0, 1.0), (1.2, 0.8), (0.5, math.inf), (math.nan, 1.0)])
def test_scales_that_are_no_range_are_refused(scales):
    with pytest.raises(SettingsError, match="Scales from"):
        hunt(grid(crowd({}), columns=4), Reference("view", view()), scales=scales)


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.1, math.nan])
def test_a_threshold_that_is_no_correlation_is_refused(threshold):
    with pytest.raises(SettingsError, match="threshold"):
        hunt(grid(crowd({}), columns=4), Reference("view", view()), threshold=threshold)


# Decoys


def test_a_decoy_has_the_radial_profile_of_the_reference_and_is_another_particle():
    reference = view_of(Reference("view", view()))
    decoys = decoys_of(reference, 6)
    side = len(reference.image)
    offset = np.arange(side) - side // 2
    radius = np.hypot(offset[:, None], offset).round().astype(int)
    inside = radius < 0.45 * side
    for decoy in decoys:
        assert np.corrcoef(decoy.image[inside], reference.image[inside])[0, 1] < 0.95
        profiles = [
            np.bincount(radius[inside], image[inside]) / np.bincount(radius[inside])
            for image in (decoy.image, reference.image)
        ]
        np.testing.assert_allclose(*profiles, atol=0.2)  # of 5; rings are taken a pixel wide
        assert decoy.image[inside].std() == pytest.approx(reference.image[inside].std(), rel=0.05)


# Real pictures


def centre_of(box):
    return (box[1] + box[3]) / 2, (box[0] + box[2]) / 2


def nearest(hit, boxes):
    return min(range(len(boxes)), key=lambda k: math.dist((hit.y, hit.x), centre_of(boxes[k])))


@pytest.mark.parametrize("number", [0, 17])
def test_a_class_average_is_found_in_the_montage_that_shows_it_smaller(shared_data, number):
    boxes = squares_of(shared_data, "pom152_WT_montage.png")
    montage = read(shared_data / "montages" / "pom152_WT_montage.png")
    name = f"pom152_wt_hdf/pom152_iclasses_091316_rescaled_small{number + 1}.hdf"
    reference = load_reference(ReferenceSpec(shared_data / "stacks" / name, index=0))
    best = hunt(montage, reference, scales=(0.45, 0.7)).hits[0]
    assert nearest(best, boxes) == number
    assert best.mirrored
    assert best.score > 0.95
    assert best.scale == pytest.approx(0.546, abs=0.003)
    assert best.rotation == pytest.approx(193.0, abs=0.5)


def test_a_class_average_is_found_where_its_background_was_taken_off(shared_data):
    boxes = squares_of(shared_data, "nup82_combined_no_bg.png")
    montage = read(shared_data / "montages" / "nup82_combined_no_bg.png")
    reference = load_reference(ReferenceSpec(shared_data / "stacks/nup82_spi/6.spi", index=0))
    best = hunt(montage, reference).hits[0]
    assert nearest(best, boxes) == 6
    assert best.score > 0.95


def squares_of(folder, name):
    return json.loads((folder / "montages/squares.json").read_text())[name]["boxes"]
