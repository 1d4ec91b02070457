from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from class_average_forge import particles, write_montage, write_picture, write_stack

from cryocorr_tui.core.errors import InputError, NoSquaresError
from cryocorr_tui.core.inputs import (
    Inputs,
    _inside_squares,
    expand_set,
    find_squares,
    read_sources,
    to_class_averages,
)
from cryocorr_tui.core.model import ClassAverage, Detection, Montage, Settings, Square, Stack
from cryocorr_tui.core.reference import Hunt


def taken(*paths: Path, **options: object) -> Inputs:
    settings = Settings(**options)
    inputs = Inputs()
    done = list(read_sources(paths, settings, inputs))
    assert done == list(range(1, len(inputs.sources) + 1))
    assert list(find_squares(inputs, settings)) == done
    return inputs


def pictures(folder: Path, *shapes: tuple[int, int]) -> list[Path]:
    return [
        write_picture(folder / f"{k}.png", particles(1, max(shape), seed=k)[0][: shape[0]])
        for k, shape in enumerate(shapes)
    ]


# Hunting a reference


def stamped(folder: Path) -> np.ndarray:
    """A picture of noise with one class average in it, which is written as the reference."""
    write_stack(folder / "view.mrcs", particles(2))
    picture = 0.05 * np.random.default_rng(1).standard_normal((120, 160)).astype(np.float32)
    picture[40:72, 70:102] += particles(2)[1]
    return picture


def test_a_reference_that_is_not_square_is_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "page.png", stamped(tmp_path))
    inputs = taken(tmp_path / "page.png", reference=f"{tmp_path / 'page.png'}:66,40,40,32")
    assert inputs.findings[0].endswith("is 40×32 pixels; its centred square of 32×32 is hunted.")


def test_one_image_of_a_stack_format_is_a_picture_to_hunt_in(tmp_path: Path) -> None:
    path = write_stack(tmp_path / "picture.mrc", stamped(tmp_path)[None], pixel_size=2.5)
    inputs = taken(path, reference=f"{tmp_path / 'view.mrcs'}#1")
    ((montage, detection),) = inputs.montages
    assert montage.pixel_size == 2.5
    (square,) = detection.squares
    assert (round(square.x), round(square.y)) == (70, 40)
    assert square.hit is not None
    assert square.hit.score == pytest.approx(square.confidence)


def test_a_stack_to_hunt_in_is_refused_with_what_compares_its_images(tmp_path: Path) -> None:
    stamped(tmp_path)
    with pytest.raises(InputError, match=r"view\.mrcs: holds 2 images .* cryocorr analyze"):
        taken(tmp_path / "view.mrcs", reference=f"{tmp_path / 'view.mrcs'}#1")


def test_where_nothing_is_found_the_best_correlation_is_told(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "picture.png", stamped(tmp_path))
    options = {"reference": f"{tmp_path / 'view.mrcs'}#0", "reference_threshold": 0.99}
    with pytest.raises(NoSquaresError, match=r"correlates by 0\.\d\d and a hit by 0\.99 or more"):
        taken(path, **options)


def test_the_settings_of_a_hunt_reach_it(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "picture.png", stamped(tmp_path))
    reference = f"{tmp_path / 'view.mrcs'}#1"
    with pytest.raises(NoSquaresError):
        taken(path, reference=reference, reference_scales=(0.5, 0.6), reference_threshold=0.9)
    inputs = taken(path, reference=reference, reference_threshold=0.9)
    assert len(inputs.detections[0].squares) == 1
    assert "0.90 or more, as was asked for" in inputs.detections[0].notes[0]


# Reading


def test_sources_keep_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    second = write_stack(tmp_path / "a.mrcs", particles(2))
    first = write_stack(tmp_path / "b.mrcs", particles(3))
    inputs = taken(first, second)
    assert [source.source for source in inputs.sources] == [str(first), str(second)]
    assert inputs.sha256[str(first)] == hashlib.sha256(first.read_bytes()).hexdigest()


@pytest.mark.parametrize("other", ["s.mrcs", "./s.mrcs", "sub/../s.mrcs", "link.mrcs"])
def test_a_file_given_twice_is_refused_by_whatever_name(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    write_stack(Path("s.mrcs"), particles(2))
    Path("link.mrcs").symlink_to("s.mrcs")
    with pytest.raises(InputError, match=r"s\.mrcs is given twice; name each input once"):
        taken(Path("s.mrcs"), Path(other))


def test_the_two_halves_of_an_imagic_pair_are_one_input(shared_data: Path) -> None:
    header = shared_data / "stacks" / "imagic" / "avg.hed"
    pair = taken(header, header.with_suffix(".img"))
    assert [item.source for item in pair.sources] == [str(header)]


def test_files_of_one_name_in_two_folders_are_two_sources(tmp_path: Path) -> None:
    paths = [write_stack(tmp_path / folder / "s.mrcs", particles(2)) for folder in "ab"]
    sources = {item.source for item in to_class_averages(taken(*paths))}
    assert sources == {str(path) for path in paths}


def test_the_pixel_size_of_the_user_goes_to_every_source(tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "s.mrcs", particles(2), 2.0)
    montage = write_montage(tmp_path / "m.png", particles(8))
    assert [item.pixel_size for item in taken(stack, montage).sources] == [2.0, None]
    both = taken(stack, montage, pixel_size=3.5)
    assert [item.pixel_size for item in both.sources] == [3.5, 3.5]


# What a picture is


def test_a_picture_with_a_grid_is_a_montage(tmp_path: Path) -> None:
    inputs = taken(write_montage(tmp_path / "m.png", particles(8)))
    ((montage, detection),) = inputs.montages
    assert montage.source == detection.source == str(tmp_path / "m.png")
    assert len(detection.squares) == 8


def test_square_pictures_of_one_size_are_one_class_average_each(tmp_path: Path) -> None:
    classes = to_class_averages(taken(*pictures(tmp_path, (32, 32), (32, 32))))
    assert [item.source for item in classes] == [str(tmp_path / f"{k}.png") for k in range(2)]
    assert [item.source_index for item in classes] == [0, 0]
    assert all(item.image.shape == (32, 32) and item.x is None for item in classes)


def test_one_lone_picture_without_a_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSquaresError, match=r"0\.png: no grid .* --as images"):
        taken(*pictures(tmp_path, (32, 32)))


@pytest.mark.parametrize("shapes", [((32, 32), (40, 40)), ((24, 32), (24, 32))])
def test_pictures_of_several_sizes_or_oblong_ones_are_refused(
    shapes: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    with pytest.raises(NoSquaresError, match="not squares of one size"):
        taken(*pictures(tmp_path, *shapes))


def test_as_montage_every_picture_must_hold_a_grid(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "m.png", particles(8))
    with pytest.raises(NoSquaresError, match=r"0\.png: no grid .* --min-box \(now 24\)"):
        taken(montage, *pictures(tmp_path, (32, 32)), reading="montage")


def test_a_picture_without_a_grid_may_be_left_out(tmp_path: Path) -> None:
    lone, montage = *pictures(tmp_path, (32, 32)), write_montage(tmp_path / "m.png", particles(8))
    inputs, settings = Inputs(), Settings(reading="montage")
    list(read_sources([lone, montage], settings, inputs))
    list(find_squares(inputs, settings, leave_out=True))
    assert [source.source for source, _ in inputs.montages] == [str(montage)]
    assert inputs.left_out == [str(lone)]
    assert {item.source for item in to_class_averages(inputs)} == {str(montage)}


def test_as_images_no_grid_is_looked_for(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "m.png", particles(8))
    inputs = taken(montage, reading="images")
    assert inputs.montages == []
    assert len(to_class_averages(inputs)) == 1


# Class averages


def test_classes_are_numbered_over_all_sources_and_within_each(tmp_path: Path) -> None:
    images = particles(3)
    stack = write_stack(tmp_path / "s.mrcs", images, 2.5)
    montage = write_montage(tmp_path / "m.png", particles(8, seed=1))
    classes = to_class_averages(taken(stack, montage))
    assert [item.class_id for item in classes] == list(range(11))
    assert [item.source_index for item in classes] == [0, 1, 2, *range(8)]
    np.testing.assert_array_equal([item.image for item in classes[:3]], images)
    assert {item.pixel_size for item in classes[:3]} == {2.5}
    assert classes[0].x is None
    assert classes[3].x == pytest.approx(0, abs=1)
    assert classes[4].x == pytest.approx(34, abs=1)


def test_squares_that_the_edge_cuts_keep_their_number_and_are_no_classes() -> None:
    squares = tuple(Square(32 * k, 0, 32, 32, 1.0, cut=k == 1) for k in range(3))
    montage = Montage("m.png", np.tile(np.arange(96, dtype=np.uint8), (32, 1)))
    inputs = Inputs([montage], detections={0: Detection("m.png", squares)})
    classes = to_class_averages(inputs)
    assert [(item.class_id, item.source_index) for item in classes] == [(0, 0), (1, 2)]
    assert classes[1].image[0, 0] == 64


def test_a_montage_of_cut_squares_alone_gives_no_classes() -> None:
    cut = Detection("m.png", (Square(0, 0, 32, 32, 1.0, cut=True),))
    montage = Montage("m.png", np.zeros((32, 32), np.uint8))
    assert to_class_averages(Inputs([montage], detections={0: cut})) == ()


def test_a_coloured_picture_becomes_its_luminance() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    (item,) = to_class_averages(Inputs([Montage("p.png", colours)]))
    np.testing.assert_allclose(item.image, [[76.2, 149.7, 29.1, 255]], atol=0.1)


def test_particles_and_resolution_that_are_not_known_stay_unknown() -> None:
    stack = Stack(
        "s.hdf",
        np.zeros((2, 4, 4), np.float32),
        particles=np.array([7, np.nan]),
        resolution=None,
    )
    first, second = to_class_averages(Inputs([stack]))
    assert (first.particles, second.particles) == (7.0, None)
    assert first.resolution is None


# What the user is told


def test_a_note_that_many_files_share_is_told_once() -> None:
    image = np.zeros((1, 4, 4), np.float32)
    shared = "no pixel size is told; give --pixel-size for results in Å."
    sources: list[Stack | Montage] = [
        Stack(
            f"{k}.spi", image, notes=(shared, "2 bytes are left unread.") if k == 1 else (shared,)
        )
        for k in range(35)
    ]
    assert Inputs(sources).warnings == [
        f"35 files: {shared}",
        "1.spi: 2 bytes are left unread.",
    ]


def test_class_averages_carry_no_view_that_can_be_written(tmp_path: Path) -> None:
    montage = write_montage(tmp_path / "m.png", particles(8))
    stack = write_stack(tmp_path / "s.mrcs", particles(2))
    classes: tuple[ClassAverage, ...] = to_class_averages(taken(stack, montage))
    assert not any(item.image.flags.writeable for item in classes)


def test_the_working_folder_itself_is_refused_as_a_folder() -> None:
    with pytest.raises(InputError, match="this is a folder; give the files in it"):
        taken(Path())


def test_a_set_is_a_file_a_folder_or_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    for name in ("10.spi", "9.spi", "notes.txt", ".9.spi.swp"):
        (folder / name).touch()
    (tmp_path / "odd[1].mrcs").touch()
    spi = [folder / "9.spi", folder / "10.spi"]
    assert expand_set(str(folder)) == spi  # what stands beside is no input
    assert expand_set(str(folder / "*.spi")) == spi
    assert expand_set(str(tmp_path / "odd[1].mrcs")) == [tmp_path / "odd[1].mrcs"]
    assert expand_set(str(tmp_path / "missing.mrcs")) == [tmp_path / "missing.mrcs"]
    monkeypatch.chdir(folder)
    assert expand_set("*.spi") == [Path("9.spi"), Path("10.spi")]
    assert expand_set("../job/1*.spi") == [Path("../job/10.spi")]


def test_a_set_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this folder holds no file"):
        expand_set(str(tmp_path))
    with pytest.raises(InputError, match="no file fits this pattern"):
        expand_set(str(tmp_path / "*.mrcs"))
    (tmp_path / "job2").mkdir()
    with pytest.raises(InputError, match=r"only folders; name one of them, as .*job2, or"):
        expand_set(str(tmp_path))


def test_hits_across_the_borders_of_squares_are_left_out_where_there_is_a_grid(
    tmp_path: Path,
) -> None:
    montage = taken(write_montage(tmp_path / "m.png", particles(8, 64))).montages[0][0]
    inside, across = Square(4, 4, 56, 56, 0.9), Square(36, 4, 56, 56, 0.9)
    found = Hunt("m.png", (inside, across), 0.5, 0.9, "Hits correlate by 0.50 or more.")
    kept = _inside_squares(found, montage, min_box=24)
    assert kept.squares == (inside,)
    assert kept.explanation.endswith("1 more lie across the borders of squares and are left out.")
    no_grid = Montage("p.png", np.zeros((200, 200), np.uint8))
    assert _inside_squares(found, no_grid, min_box=24) is found
