from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phantoms import disc_noise, phantom, score_all
from PIL import Image, ImageDraw, ImageFont

from cryocorr_tui.core.detection import cut_out, detect_squares, overlays_of
from cryocorr_tui.core.labels import find_labels, remove_labels
from cryocorr_tui.core.labels.lines import find_lines
from cryocorr_tui.core.labels.meaning import counting, meanings
from cryocorr_tui.core.labels.reading import Glyph
from cryocorr_tui.core.labels.strips import Strip, strips_of
from cryocorr_tui.core.labels.strokes import FIRST, _is_all
from cryocorr_tui.core.model import Detection, Montage, Square
from cryocorr_tui.core.readers import read

GREEN, RED, WHITE = (60, 255, 60), (255, 40, 30), (255, 255, 255)
SIDE, GAP, COLUMNS = 140, 6, 4


def class_averages(count, *, seed=0):
    """Grey levels 0…255, particles bright on noise, (count, SIDE, SIDE) float32."""
    noise = disc_noise(count, SIDE, seed=seed)
    images = [90 + 45 * phantom(SIDE, seed=k + seed) / 2 + 6 * noise[k] for k in range(count)]
    return np.clip(images, 0, 255).astype(np.float32)


def ink_of(text, *, height=11.0, middle=0.08, side=SIDE):
    """(side, side) ink, 0…1, of one centred line in Pillow's own font."""
    page = Image.new("L", (side, side))
    font = ImageFont.load_default(height / 0.72)
    at = (side / 2, middle * side)
    ImageDraw.Draw(page).text(at, text, fill=255, font=font, anchor="mm")
    return np.asarray(page, np.float32) / 255


def montage_of(images, *, texts=(), colour=GREEN, middles=(0.08, 0.92), height=11.0):
    """A grid of squares on black, with lines of print on each; RGB, and the squares."""
    rows = -(-len(images) // COLUMNS)
    pitch = SIDE + GAP
    picture = np.zeros((rows * pitch + GAP, COLUMNS * pitch + GAP, 3), np.float32)
    squares = []
    for k, image in enumerate(images):
        y, x = GAP + k // COLUMNS * pitch, GAP + k % COLUMNS * pitch
        part = picture[y : y + SIDE, x : x + SIDE]
        part[:] = image[..., None]
        for line, middle in zip(texts[k] if texts else (), middles, strict=False):
            ink = ink_of(line, middle=middle, height=height)[..., None]
            part += ink * (np.array(colour, np.float32) - part)
        squares.append(Square(x, y, SIDE, SIDE, 1.0))
    return Montage("m.png", np.rint(picture).astype(np.uint8)), tuple(squares)


def as_jpeg(montage, quality):
    coded = cv2.imencode(".jpg", montage.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return Montage("m.jpg", np.ascontiguousarray(cv2.imdecode(coded, 1)[..., ::-1]))


def cryosparc_texts(count, *, seed=0):
    rng = np.random.default_rng(seed)
    particles = [int(10 ** rng.uniform(1, 5)) for _ in range(count)]
    resolution = [round(float(rng.uniform(3, 25)), 1) for _ in range(count)]
    lines = [
        (f"{p} ptcls", f"{r:.1f} A {k % 3 + 1} ess")
        for k, (p, r) in enumerate(zip(particles, resolution, strict=True))
    ]
    return lines, particles, resolution


def changed_by(printed, clean, square):
    """(h, w): how much print changes each pixel of a square."""
    rows = slice(round(square.y), round(square.y) + round(square.height))
    columns = slice(round(square.x), round(square.x) + round(square.width))
    return np.abs(printed.picture[rows, columns].astype(int) - clean.picture[rows, columns]).max(2)


def test_green_text_is_masked_and_its_numbers_are_read():
    images = class_averages(8)
    texts, particles, resolution = cryosparc_texts(8)
    montage, squares = montage_of(images, texts=texts)
    clean, _ = montage_of(images)
    labels = find_labels(montage, squares)
    for label, square in zip(labels, squares, strict=True):
        change = changed_by(montage, clean, square)
        assert label.mask.shape == (SIDE, SIDE)
        assert label.mask[change > 8].all()
        near = cv2.dilate((change > 8).astype(np.uint8), np.ones((5, 5))) > 0
        assert not (label.mask & ~near).any()
    assert [label.particles for label in labels] == particles
    assert [label.resolution for label in labels] == resolution
    assert [label.text for label in labels] == ["; ".join(lines) for lines in texts]
    assert not any(label.selected for label in labels)


@pytest.mark.parametrize("colour", [RED, (0, 255, 255), (255, 255, 0), (255, 150, 0)])
def test_text_of_any_colour_is_masked_even_after_jpeg(colour):
    images = class_averages(4)
    texts, _, _ = cryosparc_texts(4)
    montage, squares = montage_of(images, texts=texts, colour=colour)
    clean, _ = montage_of(images)
    for label, square in zip(find_labels(as_jpeg(montage, 75), squares), squares, strict=True):
        change = changed_by(montage, clean, square)
        assert label.mask[change > 60].mean() > 0.99
        assert label.mask.mean() < 5 * (change > 20).mean()


@pytest.mark.parametrize("colour", [WHITE, (205, 205, 205), (0, 0, 0)])
def test_white_light_grey_and_black_text_is_masked_where_all_squares_have_it(colour):
    images = class_averages(8)
    texts, particles, _ = cryosparc_texts(8)
    montage, squares = montage_of(images, texts=texts, colour=colour)
    clean, _ = montage_of(images)
    labels = find_labels(montage, squares)
    for label, square in zip(labels, squares, strict=True):
        assert label.mask[changed_by(montage, clean, square) > 50].mean() > 0.98
    assert all(
        label.particles in (None, truth) for label, truth in zip(labels, particles, strict=True)
    )


def test_text_on_six_of_ten_of_many_squares_is_masked():
    count = 3 * FIRST // 2
    images = np.resize(class_averages(8), (count, SIDE, SIDE))
    texts, _, _ = cryosparc_texts(count)
    printed = [k % 5 < 3 for k in range(count)]
    texts = [lines if own else () for lines, own in zip(texts, printed, strict=True)]
    montage, squares = montage_of(images, texts=texts, colour=WHITE)
    clean, _ = montage_of(images)
    for label, square, own in zip(find_labels(montage, squares), squares, printed, strict=True):
        if own:
            assert label.mask[changed_by(montage, clean, square) > 50].mean() > 0.9


@example(seed=0, height=16.0, quality=None, colour=WHITE)  # its ones look like scale bars
@given(
    seed=st.integers(0, 10_000),
    height=st.floats(6, 16),
    quality=st.sampled_from([None, 95, 80, 60, 40]),
    colour=st.sampled_from([GREEN, RED, WHITE]),
)
@settings(max_examples=8, deadline=None)
def test_a_number_is_read_rightly_or_not_at_all(seed, height, quality, colour):
    texts, particles, resolution = cryosparc_texts(4, seed=seed)
    montage, squares = montage_of(class_averages(4), texts=texts, colour=colour, height=height)
    if quality is not None:
        montage = as_jpeg(montage, quality)
    for label, count, angstroms in zip(
        find_labels(montage, squares), particles, resolution, strict=True
    ):
        assert label.particles in (None, count)
        assert label.resolution in (None, angstroms)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_nothing_is_masked_where_nothing_is_printed(seed):
    montage, squares = montage_of(class_averages(8, seed=seed))
    for picture in (montage.picture, montage.picture[..., 0].copy()):
        for label in find_labels(Montage("m.png", picture), squares):
            assert not label.mask.any()
            assert (label.text, label.particles, label.resolution) == ("", None, None)
            assert label.class_index is None


def test_a_picture_drawn_in_colours_is_no_overlay():
    montage, squares = montage_of(class_averages(4))
    mapped = cv2.applyColorMap(montage.picture[..., 0].copy(), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    labels = find_labels(Montage("m.png", np.ascontiguousarray(mapped)), squares)
    assert not any(label.mask.any() for label in labels)


def test_deep_pictures_are_read_like_shallow_ones():
    texts, particles, _ = cryosparc_texts(4)
    montage, squares = montage_of(class_averages(4), texts=texts)
    for picture in (montage.picture.astype(np.uint16) * 257, montage.picture / np.float32(255)):
        labels = find_labels(Montage("m.tif", picture), squares)
        assert [label.particles for label in labels] == particles


@pytest.mark.parametrize("upright", [True, False])
def test_a_scale_bar_is_masked_with_its_caption_which_is_no_resolution(upright):
    montage, squares = montage_of(class_averages(4))
    part = montage.picture[GAP : GAP + SIDE, GAP : GAP + SIDE]
    turned = part.transpose(1, 0, 2) if upright else part
    turned[124:127, 40:100] = 255
    drawn = ink_of("140.0 A", middle=0.95, height=8)
    turned[drawn > 0.5] = 255
    first, *others = find_labels(montage, squares)
    mask = first.mask.T if upright else first.mask
    assert mask[124:127, 40:100].all()
    assert mask[drawn > 0.5].mean() > 0.95
    assert mask.mean() < 0.06
    assert first.resolution is None
    assert not any(label.mask.any() for label in others)


def test_selected_squares_are_those_with_a_coloured_frame():
    montage, squares = montage_of(class_averages(8))
    for k, inset in ((1, 4), (2, -2), (7, 12)):
        x, y = round(squares[k].x) + inset, round(squares[k].y) + inset
        far = SIDE - 2 * inset - 1
        cv2.rectangle(montage.picture, (x, y), (x + far, y + far), RED, 2)
    labels = find_labels(montage, squares)
    assert [k for k, label in enumerate(labels) if label.selected] == [1, 2, 7]
    assert labels[7].mask[12:14, 20:120].all()
    assert not labels[0].mask.any()


def test_numbers_that_count_the_squares_are_indices_on_their_black_plates():
    montage, squares = montage_of(class_averages(8))
    for k, square in enumerate(squares):
        x, y = round(square.x), round(square.y) + SIDE - 16
        plate = np.zeros((16, 24), np.float32)
        plate[:] = ink_of(str(k + 20), middle=0.5, height=10)[SIDE // 2 - 8 : SIDE // 2 + 8, 58:82]
        montage.picture[y : y + 16, x : x + 24] = np.rint(255 * plate)[..., None]
    labels = find_labels(montage, squares)
    found = [label.class_index for label in labels]
    assert all(got in (None, want) for got, want in zip(found, range(20, 28), strict=True))
    assert sum(got is not None for got in found) >= 6
    assert all(label.text == str(got) for label, got in zip(labels, found, strict=True) if got)
    assert all(label.mask[-16:, :24].all() for label in labels)
    assert all(label.mask.mean() < 0.05 for label in labels)


def test_lone_numbers_that_do_not_count_the_squares_are_left_out():
    assert counting([3, 4, 5, None], [1, 2, 3, None]) == [3, 4, 5, None]
    assert counting([3, 4, 9, None], [1, 2, 3, None]) == [3, 4, None, None]
    assert counting([30, 12, 7, 1], [1, 2, 3, None]) == [None] * 4


def test_a_square_alone_is_read_where_it_says_what_it_counts():
    montage, squares = montage_of(class_averages(1), texts=[("512 ptcls", "9.5 A 1 ess")])
    (label,) = find_labels(montage, squares)
    assert (label.particles, label.resolution) == (512, 9.5)


def test_squares_in_a_strip_are_filtered_as_if_alone():
    rng = np.random.default_rng(0)
    shapes = [(40, 60)] * 3 + [(30, 60)] * 2
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    strips = list(strips_of(shapes, range(5)))
    assert [strip.squares for strip in strips] == [(0, 1, 2), (3, 4)]
    for strip in strips:
        laid = strip.lay(pictures, 0)
        strip.mirror(laid, 4)
        for square, blurred in zip(strip.squares, strip.each(cv2.blur(laid, (9, 9))), strict=True):
            np.testing.assert_array_equal(blurred, cv2.blur(pictures[square], (9, 9)))
        for square, opened in zip(strip.squares, strip.each(strip.open(laid, (5, 3))), strict=True):
            alone = cv2.morphologyEx(pictures[square], cv2.MORPH_OPEN, np.ones((5, 3), np.uint8))
            np.testing.assert_array_equal(opened, alone)


def test_a_number_beside_ink_that_was_not_read_is_empty():
    ink = np.zeros((40, 60), np.float32)
    ink[20:30, 10:34:4] = 1
    strip = Strip((0,), 40, 60)
    (line,) = find_lines(strip.lay([ink], 0), strip, full=0.4, faint=0.3)
    assert _is_all(line, ink[20:30], digit=10.0)
    ink[20:30, 34:40] = 0.25  # too faint for a glyph
    assert not _is_all(line, ink[20:30], digit=10.0)


def test_no_squares_have_no_labels():
    assert find_labels(Montage("m.png", np.zeros((50, 50), np.uint8)), ()) == ()


def glyphs(text, *, residue=0.03, rivalry=5.0, unsure="", at=99, gap=0):
    return tuple(
        Glyph(
            c,
            c if c in "0123456789." else "8",
            residue,
            rivalry=1.1 if c in unsure else rivalry,
            doubt=1.0,
            left=0.8 * (k + gap * (k >= at)),
            right=0.8 * (k + gap * (k >= at)) + 0.7,
        )
        for k, c in enumerate(text)
    )


def test_one_unsure_digit_empties_its_line():
    sure, unsure = meanings([glyphs("412ptcls"), glyphs("412ptcls", unsure="4")])
    assert (sure.text, sure.particles) == ("412 ptcls", 412)
    assert (unsure.text, unsure.particles) == ("", None)


@pytest.mark.parametrize("at", [2, 3])
def test_a_hole_in_a_number_or_behind_it_empties_its_line(at):
    """A digit that was overlooked leaves the width of one."""
    line = glyphs("412ptcls")
    whole, _, holed = meanings([line, line, glyphs("412ptcls", at=at, gap=1)])
    assert (whole.particles, holed.text, holed.particles) == (412, "", None)


def test_an_index_with_a_count_keeps_its_text_but_the_count_has_no_name():
    (line,) = meanings([glyphs("12:3456")])
    assert (line.text, line.lone, line.particles) == ("12: 3456", 12, None)


def test_a_lost_decimal_point_is_no_resolution():
    lines = [glyphs("17.5A2ess"), glyphs("6.4A1ess"), glyphs("175A2ess"), glyphs("1.75A2ess")]
    assert [meaning.resolution for meaning in meanings(lines)] == [17.5, 6.4, None, None]


def test_a_digit_taken_for_a_letter_is_not_lost_in_the_word():
    first, second = meanings([glyphs("62lptcls"), glyphs("classl7")])
    assert (first.text, second.text) == ("", "")


def test_words_may_be_read_with_a_letter_wrong():
    first, second, third = meanings(
        [glyphs("719Parbcles"), glyphs("1,348particles"), glyphs("class12")]
    )
    assert (first.text, first.particles) == ("719 particles", 719)
    assert second.particles == 1348
    assert third.index == 12


def test_a_ramp_is_filled_as_if_nothing_had_been_drawn_on_it():
    y, x = np.mgrid[:60, :60].astype(np.float32)
    ramp = 3 * x - 2 * y + 7
    mask = np.zeros((60, 60), bool)
    mask[20:24, 5:50] = mask[30:55, 40:43] = True
    filled = remove_labels(np.where(mask, 255, ramp).astype(np.float32), mask)
    np.testing.assert_allclose(filled, ramp, atol=1e-2)


@pytest.mark.parametrize("side", [300, 601])
def test_a_large_picture_is_filled_as_well_as_a_small_one(side):
    y, x = np.mgrid[:side, :side].astype(np.float32)
    smooth = 100 + 40 * np.sin(2 * np.pi * x / side) * np.cos(2 * np.pi * y / side)
    mask = np.zeros((side, side), bool)
    mask[side // 3 : side // 3 + side // 40, side // 5 : side // 2] = True
    filled = remove_labels(np.where(mask, 255, smooth).astype(np.float32), mask)
    np.testing.assert_allclose(filled, smooth, atol=1.5)
    np.testing.assert_array_equal(filled[~mask], smooth[~mask])


def test_filling_stays_between_the_grey_levels_around_a_wide_hole():
    rng = np.random.default_rng(0)
    image = rng.uniform(90, 110, (60, 60)).astype(np.float32)
    mask = np.zeros((60, 60), bool)
    mask[30:, 35:] = True
    filled = remove_labels(image, mask)
    assert 90 <= filled[mask].min() <= filled[mask].max() <= 110
    np.testing.assert_array_equal(filled[~mask], image[~mask])


def test_filling_nothing_or_everything_changes_nothing():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    for mask in (np.zeros((4, 4), bool), np.ones((4, 4), bool)):
        np.testing.assert_array_equal(remove_labels(image, mask), image)
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(3, 4\)"):
        remove_labels(image, np.zeros((3, 4), bool))


def test_squares_with_different_text_score_as_if_there_were_none():
    # Four particles, each twice: with other noise, and printed over with other numbers.
    particles = np.stack([phantom(SIDE, seed=k) for k in range(4)])
    noise = disc_noise(8, SIDE).reshape(2, 4, SIDE, SIDE)
    images = np.clip(90 + 22 * particles + 8 * noise, 0, 255)
    _, squares = montage_of(images[0])

    def blends(montages, labelled):
        cut = [cut_out(each, Detection("m.png", labelled(each, squares))) for each in montages]
        return score_all(np.concatenate(cut))["blend"][:4, 4:]

    printed = [montage_of(images[k], texts=cryosparc_texts(4, seed=k)[0])[0] for k in range(2)]
    wanted = blends([montage_of(images[k])[0] for k in range(2)], lambda _, squares: squares)
    assert np.abs(blends(printed, with_labels) - wanted).max() < 0.01
    assert np.abs(blends(printed, lambda _, squares: squares) - wanted).max() > 0.02


def with_labels(montage, squares):
    labels = find_labels(montage, squares)
    return tuple(
        replace(square, labels=label) for square, label in zip(squares, labels, strict=True)
    )


def test_cutting_out_fills_print_and_leaves_all_other_pixels_alone():
    montage, squares = montage_of(class_averages(4), texts=cryosparc_texts(4)[0])
    labelled = with_labels(montage, squares)
    filled = cut_out(montage, Detection("m.png", labelled))
    plain = cut_out(montage, Detection("m.png", squares))
    masks = np.stack([square.labels.mask for square in labelled])
    np.testing.assert_array_equal(filled[~masks], plain[~masks])
    assert np.abs(filled - plain)[masks].max() > 50
    np.testing.assert_array_equal(overlays_of(Detection("m.png", labelled)), masks)


@pytest.mark.parametrize(
    ("name", "key", "field", "least"),
    [
        ("magellon_cryosparc_labels.png", "ptcls", "particles", 20),
        ("magellon_cryosparc_labels.png", "res_A", "resolution", 18),
        ("py2rely_PyQtGUI.png", "ptcls", "particles", 9),
    ],
)
def test_real_montages_are_read_without_a_mistake(shared_data, name, key, field, least):
    truth = json.loads((shared_data / "montages" / "squares.json").read_text())[name][key]
    montage = read(shared_data / "montages" / name)
    labels = find_labels(montage, detect_squares(montage).squares)
    found = [getattr(label, field) for label in labels]
    assert all(got in (None, want) for got, want in zip(found, truth, strict=True))
    assert sum(got is not None for got in found) >= least


def test_the_selection_of_a_real_window_is_found(shared_data):
    truth = json.loads((shared_data / "montages" / "squares.json").read_text())
    montage = read(shared_data / "montages" / "py2rely_PyQtGUI.png")
    labels = find_labels(montage, detect_squares(montage).squares)
    selected = [k for k, label in enumerate(labels, 1) if label.selected]
    assert selected == truth["py2rely_PyQtGUI.png"]["selected_1based"]


def test_indices_of_a_real_display_are_right_where_they_are_read(shared_data):
    montage = read(shared_data / "montages" / "pom152_WT_montage.png")
    labels = find_labels(montage, detect_squares(montage).squares)
    wanted = [7 * (4 - k // 7) + k % 7 for k in range(35)]  # the bottom row first
    found = [label.class_index for label in labels]
    assert all(got in (None, want) for got, want in zip(found, wanted, strict=True))
    assert sum(got is not None for got in found) >= 20
    assert all(label.mask[-8:, :6].any() for label in labels)


@pytest.mark.parametrize("name", ["nup82_combined_no_bg.png", "oldschool_2dclass_junk1.png"])
def test_real_montages_without_text_have_no_mask(shared_data, name):
    montage = read(shared_data / "montages" / name)
    labels = find_labels(montage, detect_squares(montage).squares)
    assert not any(label.mask.any() for label in labels)
