from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cryocorr_tui.core.detection import cut_out, detect_squares, grey_picture
from cryocorr_tui.core.detection.content import is_drawing
from cryocorr_tui.core.detection.lattice import Lattice
from cryocorr_tui.core.errors import NoSquaresError
from cryocorr_tui.core.model import Detection, Hit, Labels, Montage, Square
from cryocorr_tui.core.overlay import confidence_colour, draw_overlay

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks lie beside the package

from benchmarks.detection import score_boxes
from benchmarks.drawn_montages import KINDS, NEGATIVES, draw_montage, draw_negative

REAL = (
    "magellon_cryosparc_labels.png",
    "nup82_combined_no_bg.png",
    "oldschool_2dclass_junk1.png",
    "pom152_WT_montage.png",
    "py2rely_PyQtGUI.png",
)


def particle(box: int, seed: int) -> np.ndarray:
    """A bright blob on grey with soft noise, (box, box) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:box, :box] - box / 2
    dy, dx = rng.uniform(-0.1, 0.1, 2) * box
    blob = 120 * np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * (0.12 * box) ** 2))
    noise = cv2.GaussianBlur(rng.normal(0, 15, (box, box)), (0, 0), 1)
    return np.clip(80 + blob + noise, 0, 255).astype(np.uint8)


def page(
    rows: int, columns: int, box: int, *, gap: int = 4, margin: int = 10, level: int = 0
) -> np.ndarray:
    """A montage of particles with gutters of one level, square (r, c) at margin + r·(box + gap)."""
    shape = [2 * margin + n * (box + gap) - gap for n in (rows, columns)]
    picture = np.full(shape, level, np.uint8)
    for row, column in np.ndindex(rows, columns):
        y, x = margin + row * (box + gap), margin + column * (box + gap)
        picture[y : y + box, x : x + box] = particle(box, row * columns + column)
    return picture


def find(picture: np.ndarray, **options: object) -> Detection:
    return detect_squares(Montage("grid.png", picture), **options)


def corners(detection: Detection, *, cut: bool = False) -> np.ndarray:
    return np.array(
        [(s.x, s.y, s.x + s.width, s.y + s.height) for s in detection.squares if s.cut is cut]
    ).reshape(-1, 4)


@pytest.mark.parametrize("name", REAL)
def test_every_square_of_a_real_montage_is_found_within_four_pixels(
    shared_data: Path, name: str
) -> None:
    folder = shared_data / "montages"
    truth = np.array(json.loads((folder / "squares.json").read_text())[name]["boxes"], float)
    picture = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)

    boxes = corners(find(picture))

    assert len(boxes) == len(truth)
    off = np.abs(truth[:, None] - boxes[None]).max(axis=2).min(axis=1)
    assert off.max() <= 4


def test_bottom_up_reads_an_eman_display_in_the_order_of_its_printed_numbers(
    shared_data: Path,
) -> None:
    folder = shared_data / "montages"
    name = "pom152_WT_montage.png"
    truth = np.array(json.loads((folder / "squares.json").read_text())[name]["boxes"], float)
    picture = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)

    boxes = corners(find(picture, bottom_up=True))

    np.testing.assert_allclose(boxes, truth, atol=4)  # number k is the k-th true box


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "very large"])
def test_squares_of_every_kind_of_montage_are_found(kind: str) -> None:
    drawn = draw_montage(kind, np.random.default_rng([KINDS.index(kind), 2]))

    score = score_boxes(drawn.boxes, corners(find(drawn.picture)))

    assert score.found == score.squares
    assert score.false == 0


@pytest.mark.parametrize("kind", NEGATIVES)
def test_a_picture_without_a_grid_gives_no_squares(kind: str) -> None:
    picture = draw_negative(kind, np.random.default_rng([NEGATIVES.index(kind), 2]))

    with pytest.raises(NoSquaresError):
        find(picture)


def test_no_squares_is_one_sentence_that_names_the_file_and_says_what_to_try() -> None:
    with pytest.raises(NoSquaresError, match=r"No squares found in blank\.png; .*--min-box"):
        detect_squares(Montage("blank.png", np.full((200, 300), 128, np.uint8)))


def test_a_picture_of_one_pixel_has_no_grid() -> None:
    with pytest.raises(NoSquaresError):
        find(np.zeros((1, 1, 3), np.uint8))


def test_repeated_pixels_give_the_squares_of_the_picture_that_was_zoomed() -> None:
    picture = page(2, 3, 40, gap=2, margin=1)
    zoomed = picture.repeat(3, axis=0).repeat(3, axis=1)

    np.testing.assert_array_equal(corners(find(zoomed)), 3 * corners(find(picture)))


def test_boxes_leave_out_the_border_line_and_hold_all_of_the_image() -> None:
    boxes = corners(find(page(3, 4, 60, gap=2, margin=2, level=255)))

    y, x = np.mgrid[:3, :4]
    x0, y0 = 2 + 62 * x.ravel(), 2 + 62 * y.ravel()
    np.testing.assert_array_equal(boxes, np.stack([x0, y0, x0 + 60, y0 + 60], axis=1))


def test_rows_are_read_from_the_top_and_from_the_bottom_where_asked() -> None:
    picture = page(2, 3, 50)

    down, up = corners(find(picture)), corners(find(picture, bottom_up=True))

    np.testing.assert_array_equal(up, down[[3, 4, 5, 0, 1, 2]])


def test_grids_beside_each_other_are_read_one_after_the_other() -> None:
    left, right = page(2, 3, 50, level=255), page(2, 3, 50, level=255)
    gap = np.full((len(left), 60), 255, np.uint8)

    boxes = corners(find(np.hstack([left, gap, right])))

    assert (boxes[:6, 0] < left.shape[1]).all()
    assert (boxes[6:, 0] > left.shape[1]).all()


def test_blank_places_of_the_last_row_are_no_squares() -> None:
    picture = page(3, 4, 60)
    picture[138:, 74:] = 0  # the last row keeps one square

    assert len(find(picture).squares) == 9


def test_a_constant_square_between_others_is_a_square() -> None:
    picture = page(3, 4, 60)
    picture[74:134, 74:134] = 90

    assert len(find(picture).squares) == 12


def test_squares_cut_by_the_edge_are_reported_as_cut_and_left_out_of_the_stack() -> None:
    montage = Montage("cut.png", page(3, 4, 60)[:160])

    detection = detect_squares(montage)

    assert [s.cut for s in detection.squares] == [False] * 8 + [True] * 4
    assert cut_out(montage, detection).shape == (8, 60, 60)
    assert any("cut" in note for note in detection.notes)


def test_a_stray_rectangle_outside_the_grid_is_no_square() -> None:
    picture = np.full((300, 500), 255, np.uint8)
    grid = page(3, 4, 60)
    picture[: len(grid), : grid.shape[1]] = grid
    cv2.rectangle(picture, (390, 100), (450, 160), 0, 2)

    assert len(find(picture).squares) == 12


def test_the_edges_of_a_frame_inside_the_squares_do_not_make_more_of_them() -> None:
    picture = page(3, 4, 80, gap=12, level=255)
    for row, column in np.ndindex(3, 4):
        y, x = 10 + 92 * row, 10 + 92 * column
        cv2.rectangle(picture, (x + 12, y + 12), (x + 67, y + 67), 255, 1)

    assert len(find(picture).squares) == 12


@pytest.mark.parametrize(("page_level", "frame_level"), [(30, 255), (255, 0)])
def test_a_thick_frame_around_each_square_is_left_out(page_level: int, frame_level: int) -> None:
    picture = np.full((290, 380), page_level, np.uint8)
    truth = []
    for row, column in np.ndindex(3, 4):
        y, x = 20 + 90 * row, 20 + 90 * column
        picture[y - 9 : y + 69, x - 9 : x + 69] = frame_level
        picture[y : y + 60, x : x + 60] = particle(60, 4 * row + column)
        truth.append((x, y, x + 60, y + 60))

    np.testing.assert_allclose(corners(find(picture)), truth, atol=1)


def framed(picture: np.ndarray, x: int, y: int, box: int, width: int, level: int) -> None:
    """Draw a frame just inside the sides of a square, or (width < 0) just outside."""
    out = max(-width, 0)
    part = picture[y - out : y + box + out, x - out : x + box + out]
    thick = abs(width)
    for side in (part[:thick], part[-thick:], part[:, :thick], part[:, -thick:]):
        side[:] = level


@pytest.mark.parametrize("width", [7, -7])
@pytest.mark.parametrize("gap", [16, 20])
def test_selection_frames_around_nearly_every_square_do_not_move_its_sides(
    width: int, gap: int
) -> None:
    picture = page(4, 5, 80, gap=gap, margin=12)
    rng = np.random.default_rng(1)
    for row, column in np.ndindex(4, 5):
        if (row, column) not in ((0, 0), (2, 3)):
            y, x = 12 + row * (80 + gap), 12 + column * (80 + gap)
            framed(picture, x, y, 80, width, int(rng.choice([90, 150, 255])))

    found = corners(find(picture))

    assert len(found) == 20
    np.testing.assert_allclose(found[0], [12, 12, 92, 92], atol=1)
    np.testing.assert_allclose(
        found[13], [12 + 3 * (80 + gap), 12 + 2 * (80 + gap)] * 2 + np.array([0, 0, 80, 80]), atol=1
    )


def test_a_frame_nearly_as_grey_as_the_images_is_left_out() -> None:
    picture = page(3, 4, 80, gap=40, margin=20, level=255)
    for row, column in np.ndindex(3, 4):
        framed(picture, 20 + column * 120, 20 + row * 120, 80, -14, 84)

    np.testing.assert_allclose(corners(find(picture))[0], [20, 20, 100, 100], atol=1)


def test_two_touching_squares_are_parted_at_their_only_seam() -> None:
    picture = page(1, 2, 90, gap=0, margin=0)
    picture[:, 90:] += 12

    assert [round(s.x) for s in find(picture).squares] == [0, 90]


def test_touching_squares_on_a_page_are_not_one_square() -> None:
    picture = page(2, 2, 90, gap=0, margin=30, level=255)

    assert len(find(picture).squares) == 4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_jagged_curve_that_fills_a_box_is_a_drawing(seed: int) -> None:
    level = np.cumsum(np.random.default_rng(seed).standard_normal(20))
    level = 3 + 54 * (level - level.min()) / np.ptp(level)
    points = 16 * np.stack([np.linspace(6, 54, 20), level], axis=1)  # in sixteenths of a pixel
    curve = np.full((60, 60), 255, np.uint8)
    cv2.polylines(curve, [points.astype(np.int32)], False, 100, 2, cv2.LINE_AA, shift=4)

    assert is_drawing(curve, np.array([0.0, 0.0, 60.0, 60.0]))


def test_bars_are_a_drawing_and_a_particle_is_none() -> None:
    bars = np.full((100, 100), 100, np.uint8)
    bars[:70, 40:60] = 255
    box = np.array([0.0, 0.0, 100.0, 100.0])

    assert is_drawing(bars, box)
    assert not is_drawing(particle(100, 0), box)


def test_borders_that_noise_hides_are_seen_from_further_away() -> None:
    rng = np.random.default_rng(3)
    picture = np.full((2 * 84 + 8, 4 * 84 + 8), 104.0)
    for row, column in np.ndindex(2, 4):
        y, x = 8 + 84 * row, 8 + 84 * column
        noise = cv2.GaussianBlur(rng.normal(0, 1, (76, 76)), (0, 0), 1.2)
        picture[y : y + 76, x : x + 76] = 90 + 14 * noise / noise.std()
        picture[y + 28 : y + 48, x + 28 : x + 48] += 90
    enlarged = cv2.resize(picture, None, fx=2.3, fy=2.3, interpolation=cv2.INTER_CUBIC)

    found = corners(find(np.clip(enlarged, 0, 255).astype(np.uint8)))

    y, x = np.mgrid[:2, :4]
    x0, y0 = 2.3 * (8 + 84 * x.ravel()), 2.3 * (8 + 84 * y.ravel())
    truth = np.stack([x0, y0, x0 + 2.3 * 76, y0 + 2.3 * 76], axis=1)
    assert score_boxes(truth, found).found == 8


def test_touching_squares_of_one_level_are_parted_at_their_seams() -> None:
    rng = np.random.default_rng(1)
    picture = np.empty((2 * 64, 5 * 64), np.uint8)
    for row, column in np.ndindex(2, 5):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), (0, 0), 2.0)
        square = 110 + 10 * noise / noise.std()
        picture[64 * row : 64 * row + 64, 64 * column : 64 * column + 64] = square

    found = corners(find(picture))

    y, x = 64 * np.mgrid[:2, :5].reshape(2, -1)
    np.testing.assert_allclose(found, np.stack([x, y, x + 64, y + 64], axis=1), atol=1)


def test_a_small_grid_on_a_large_page_is_found() -> None:
    picture = np.full((1400, 2000), 25, np.uint8)
    grid = page(3, 7, 60, level=25)
    grid = np.where(grid > 25, grid // 3 + 8, grid)  # dark squares, faint beside the page
    picture[200 : 200 + len(grid), 500 : 500 + grid.shape[1]] = grid

    assert len(find(picture).squares) == 21


def test_fine_cells_of_a_heat_map_are_not_taken_together_to_squares() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (15, 20), dtype=np.uint8)
    heat_map = cells.repeat(15, axis=0).repeat(15, axis=1)
    heat_map[::15] = heat_map[:, ::15] = 255

    with pytest.raises(NoSquaresError):
        find(np.pad(heat_map, 30, constant_values=255))


def test_a_pitch_of_a_fraction_of_a_pixel_is_followed_to_the_last_column() -> None:
    picture = cv2.resize(
        page(3, 12, 64, gap=3, level=255), None, fx=0.817, fy=0.817, interpolation=cv2.INTER_AREA
    )

    last = corners(find(picture))[11]

    assert last[0] == pytest.approx((10 + 11 * 67) * 0.817, abs=1.5)


def test_grids_of_one_pitch_below_each_other_are_both_found_out_of_phase() -> None:
    drawn = draw_montage("two grids", np.random.default_rng([KINDS.index("two grids"), 102]))

    score = score_boxes(drawn.boxes, corners(find(drawn.picture)))

    assert (score.found, score.false) == (12, 0)


def test_print_between_two_grids_of_one_lattice_is_no_square() -> None:
    picture = page(5, 3, 60)
    picture[138:198] = 0
    cv2.putText(picture, "mutant", (12, 195), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 150)

    assert len(find(picture).squares) == 12


def test_squares_as_dark_as_the_frames_around_them_are_found_by_the_frames() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((460, 170), 255, np.uint8)
    for row in range(3):
        y = 21 + 146 * row
        picture[y : y + 126, 21:147] = 0
        noise = cv2.GaussianBlur(rng.normal(0, 1, (114, 114)), (0, 0), 1.5)
        picture[y + 6 : y + 120, 27:141] = np.clip(25 + 120 * noise, 0, 255)

    found = corners(find(picture))

    y0 = 27 + 146 * np.arange(3)
    np.testing.assert_allclose(found, [(27, y, 141, y + 114) for y in y0], atol=1)


@pytest.mark.parametrize("kind", ["uint16", "float32", "rgb"])
def test_every_kind_of_pixel_gives_the_same_squares(kind: str) -> None:
    picture = page(2, 3, 60)
    other = {
        "uint16": picture.astype(np.uint16) * 200 + 1000,
        "float32": picture.astype(np.float32) / 1e4 - 3,
        "rgb": np.repeat(picture[..., None], 3, axis=2),
    }[kind]

    np.testing.assert_allclose(corners(find(other)), corners(find(picture)), atol=1)


def test_pixels_that_are_not_numbers_do_not_stop_the_search() -> None:
    picture = page(2, 3, 60).astype(np.float32)
    picture[30:33, 30:33] = np.nan

    assert len(find(picture).squares) == 6


def test_squares_smaller_than_asked_for_are_not_looked_for() -> None:
    with pytest.raises(NoSquaresError):
        find(page(4, 5, 40), min_box=80)


def test_a_smallest_box_below_twelve_pixels_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="12"):
        find(page(2, 2, 40), min_box=5)


def test_cut_out_returns_the_pixels_of_the_picture_where_sizes_agree() -> None:
    picture = page(2, 3, 60)
    montage = Montage("grid.png", picture)

    stack = cut_out(montage, detect_squares(montage))

    assert stack.dtype == np.float32
    np.testing.assert_array_equal(stack[4], picture[74:134, 74:134])


def test_squares_of_two_sizes_are_resampled_to_the_median_box_and_it_is_said() -> None:
    small, large = page(3, 3, 60, level=255), page(2, 2, 90, level=255)
    picture = np.full((max(len(small), len(large)), 60 + small.shape[1] + large.shape[1]), 255)
    picture[: len(small), : small.shape[1]] = small
    picture[: len(large), -large.shape[1] :] = large
    montage = Montage("two.png", picture.astype(np.uint8))

    detection = detect_squares(montage)

    assert cut_out(montage, detection).shape == (13, 60, 60)
    assert "Squares of 60 to 90 px are resampled to one box." in detection.notes


def test_a_resampled_square_keeps_its_mean_and_its_place() -> None:
    picture = page(2, 2, 60)
    montage = Montage("grid.png", picture)
    squares = tuple(Square(x, y, 60.0, 60.0, 1.0) for y in (10.0, 74.0) for x in (10.0, 74.0))
    wider = (*squares, replace(squares[0], x=10.0, y=10.0, width=30.0, height=30.0))

    stack = cut_out(montage, Detection("grid.png", wider))

    assert stack.shape == (5, 60, 60)
    assert stack[4].mean() == pytest.approx(picture[10:40, 10:40].mean(), rel=0.02)


def test_cut_out_of_nothing_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="whole square"):
        cut_out(Montage("grid.png", page(2, 2, 40)), Detection("grid.png", ()))


def test_confidence_lies_between_0_and_1_and_is_lower_where_borders_are_fainter() -> None:
    plain = find(page(3, 4, 60, level=255)).squares
    faint = find(page(3, 4, 60, level=78)).squares

    for square in (*plain, *faint):
        assert 0.0 <= square.confidence <= 1.0
    assert np.mean([s.confidence for s in faint]) < np.mean([s.confidence for s in plain])


def test_grey_pictures_keep_their_levels_and_others_are_stretched() -> None:
    picture = page(2, 2, 40)

    assert grey_picture(picture) is not None
    np.testing.assert_array_equal(grey_picture(picture), picture)
    assert grey_picture(picture.astype(np.float32) * 7).max() == 255


def test_a_lattice_goes_on_with_the_gap_of_its_columns_where_there_is_one_row() -> None:
    boxes = np.array([[5.0, 7.0, 45.0, 47.0], [55.0, 7.0, 95.0, 47.0]])

    lattice = Lattice.through(boxes, np.array([[0, 0], [0, 1]]))

    below = lattice.boxes(np.array([[1, 1]]))
    np.testing.assert_allclose(below, [[55.0, 57.0, 95.0, 97.0]])


def test_the_overlay_frames_each_square_in_the_colour_of_its_confidence() -> None:
    picture = page(2, 2, 60)
    detection = Detection(
        "grid.png",
        (
            Square(10, 10, 60, 60, 1.0),
            Square(74, 10, 60, 60, 0.0),
            Square(10, 74, 60, 60, 0.5, cut=True),
        ),
    )

    overlay = draw_overlay(Montage("grid.png", picture), detection)

    assert overlay.shape == (*picture.shape, 3)
    assert overlay.dtype == np.uint8
    assert tuple(overlay[69, 40]) == confidence_colour(1.0)
    assert tuple(overlay[69, 100]) == confidence_colour(0.0)
    assert tuple(overlay[133, 40]) == (160, 160, 160)
    np.testing.assert_array_equal(overlay[100:130, 100:130, 0], picture[100:130, 100:130])


def test_the_overlay_tints_the_print_that_is_masked_out() -> None:
    picture = np.full((80, 80), 100, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[20:30, 20:40] = True
    square = Square(10, 10, 60, 60, 1.0, labels=Labels(mask))

    overlay = draw_overlay(Montage("grid.png", picture), Detection("grid.png", (square,)))

    np.testing.assert_array_equal(overlay[35, 35], [152, 110, 133])
    np.testing.assert_array_equal(overlay[45, 45], [100, 100, 100])


def test_the_overlay_shows_how_the_reference_lies_in_a_hit() -> None:
    montage = Montage("grid.png", np.full((100, 100), 128, np.uint8))

    def letter(rotation: float, *, mirrored: bool = False) -> np.ndarray:
        hit = Hit(0.9, rotation, mirrored, scale=1.0, y=50.0, x=50.0)
        square = Square(10, 10, 80, 80, 0.9, hit=hit)
        return draw_overlay(montage, Detection("grid.png", (square,)))[10:26, 74:90, 2].astype(int)

    upright = letter(0.0)
    assert upright[:, :7].sum() > 1.5 * upright[:, 9:].sum()  # the stem of the F is left
    np.testing.assert_allclose(letter(90.0), np.rot90(upright), atol=40)
    np.testing.assert_allclose(letter(0.0, mirrored=True), upright[:, ::-1], atol=40)
    np.testing.assert_allclose(letter(90.0, mirrored=True), np.rot90(upright[:, ::-1]), atol=40)


def test_hits_that_overlap_bear_small_numbers_only() -> None:
    montage = Montage("grid.png", np.full((200, 300), 128, np.uint8))
    hit = Hit(0.9, 0.0, mirrored=False, scale=1.0, y=50.0, x=50.0)
    alone = Square(10, 10, 90, 90, 0.9, hit=hit)

    def written_on(*squares: Square) -> int:
        overlay = draw_overlay(montage, Detection("grid.png", squares))
        return int(np.all(overlay[10:100, 10:100] == 0, axis=2).sum())

    apart, close = Square(150, 10, 90, 90, 0.9, hit=hit), Square(70, 60, 90, 90, 0.9, hit=hit)
    assert 0 < written_on(alone, close) < written_on(alone, apart) / 2


def test_colours_of_confidence_run_from_vermilion_over_yellow_to_sky_blue() -> None:
    assert confidence_colour(0.0) == (213, 94, 0)
    assert confidence_colour(0.5) == (240, 228, 66)
    assert confidence_colour(2.0) == (86, 180, 233)
