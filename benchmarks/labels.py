"""Printed text: how much is found and masked, what is read rightly or wrongly, what scores lose.

``python -m benchmarks labels`` prints the tables; ``python -m benchmarks.labels`` draws the glyphs
that the program compares with anew, from the fonts named in `FONTS`, which must be installed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import cryocorr_tui.core.labels as package
from benchmarks.measuring import Cell, Options, Table
from cryocorr_tui.core import preprocessing
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.detection import cut_out, detect_squares, overlays_of
from cryocorr_tui.core.labels import find_labels
from cryocorr_tui.core.labels.glyphs import ABOVE, BELOW, CHARACTERS, DIGIT, WIDE
from cryocorr_tui.core.model import (
    ClassAverage,
    Detection,
    FloatArray,
    Montage,
    Settings,
    Square,
)
from cryocorr_tui.core.preprocessing import BRIDGED
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.similarity import PairScorer
from cryocorr_tui.core.simulation import SimulationSettings, simulate_class_averages

__all__ = ["run"]

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif",
    "LiberationSans-Regular",
    "LiberationSans-Bold",
    "LiberationMono-Regular",
    "NotoSans-Regular",
    "Roboto-Regular",
    "Aileron",
    "thin",
    "bold",
)
STRANGE = ("DejaVuSansCondensed", "DejaVuSans-Oblique", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
GREEN, RED, YELLOW, WHITE = (60, 255, 60), (255, 40, 30), (255, 255, 0), (255, 255, 255)
FIELDS = {"ptcls": "particles", "res_A": "resolution", "index": "class_index"}
AT_THE_RIM = 0.07, 0.93  # parts of the side, as cryoSPARC prints
PLACINGS = ("at the rim", AT_THE_RIM), ("across the particle", (0.42, 0.58))
GAP = 4  # pixels between drawn squares


@dataclass(frozen=True, eq=False)
class Sheet:
    """A drawn montage with and without print, and what is printed."""

    printed: Montage
    clean: Montage
    squares: tuple[Square, ...]
    particles: tuple[int, ...]
    resolution: tuple[float, ...]


def run(options: Options) -> list[Table]:
    """Measure real montages, drawn ones, and the scores of cleaned squares."""
    images = _simulated(8 if options.quick else 30)
    tables = [_real(options.data / "montages")] if options.data is not None else []
    scores = (
        _scores(images[:3], 96, PLACINGS[:1]) if options.quick else _scores(images, 160, PLACINGS)
    )
    return [*tables, _drawn(images, options.quick), scores]


def _real(folder: Path) -> Table:
    truth = json.loads((folder / "squares.json").read_text(encoding="utf-8"))
    truth["pom152_WT_montage.png"]["index"] = [7 * (4 - k // 7) + k % 7 for k in range(35)]
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(truth):
        montage = read(folder / name)
        assert isinstance(montage, Montage)
        squares = detect_squares(montage).squares
        began = time.perf_counter()
        labels = find_labels(montage, squares)
        seconds = time.perf_counter() - began
        selected = [k + 1 for k, label in enumerate(labels) if label.selected]
        counts = [
            _count([getattr(label, field) for label in labels], truth[name][key])
            for key, field in FIELDS.items()
            if key in truth[name]
        ]
        right, empty, wrong = (sum(column) for column in zip((0, 0, 0), *counts, strict=True))
        rows.append(
            (
                name,
                len(squares),
                right,
                empty,
                wrong,
                float(np.mean([label.mask.mean() for label in labels])),
                f"{selected} of {truth[name].get('selected_1based', [])}",
                seconds,
            )
        )
    columns = ("montage", "squares", "right", "empty", "wrong", "masked", "selected", "s")
    return Table("Numbers printed on real montages", columns, tuple(rows))


def _drawn(images: FloatArray, quick: bool) -> Table:
    rows = []
    groups: dict[str, tuple[str, ...]] = {"known": FONTS, "strange": STRANGE}
    if quick:
        groups = {"known": ("Aileron",)}
    for whose, names in groups.items():
        fonts = [name for name in names if _is_installed(name)]
        if not fonts:
            continue
        for colours, what in (((GREEN, RED, YELLOW), "coloured"), ((WHITE,), "white")):
            for quality in (75,) if quick else (None, 90, 75, 50):
                rng = np.random.default_rng(1)
                sheets = [
                    _sheet(images, rng, font, colour, quality)
                    for font in fonts
                    for colour in colours
                ]
                file = "PNG" if quality is None else f"JPEG {quality}"
                rows.append(_row(f"{whose} font, {what}, {file}", sheets))
    columns = ("print", "numbers", "right %", "empty %", "wrong", "masked %", "false mask %", "s")
    notes = (
        "Masked: of the pixels that print changes by more than 40 of 255. False mask: of all",
        "pixels, those masked though print changes nothing within two pixels. Seconds per sheet.",
    )
    return Table("Numbers printed on drawn montages", columns, tuple(rows), notes)


def _row(name: str, sheets: Sequence[Sheet]) -> tuple[Cell, ...]:
    counts, masked, falsely = [], [], []
    began = time.perf_counter()
    found = [find_labels(sheet.printed, sheet.squares) for sheet in sheets]
    seconds = (time.perf_counter() - began) / len(sheets)
    for sheet, labels in zip(sheets, found, strict=True):
        counts.append(_count([label.particles for label in labels], sheet.particles))
        counts.append(_count([label.resolution for label in labels], sheet.resolution))
        for square, label in zip(sheet.squares, labels, strict=True):
            printed, clean = (
                cut_of(montage, square).astype(int) for montage in (sheet.printed, sheet.clean)
            )
            change = np.abs(printed - clean).max(axis=2)
            masked.append(label.mask[change > 40].mean())
            near = cv2.dilate((change > 10).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            falsely.append((label.mask & ~near).mean())
    right, empty, wrong = (sum(column) for column in zip(*counts, strict=True))
    total = right + empty + wrong
    return (
        name,
        total,
        100 * right / total,
        100 * empty / total,
        wrong,
        100 * float(np.mean(masked)),
        100 * float(np.mean(falsely)),
        seconds,
    )


def _scores(
    images: FloatArray, side: int, placings: Sequence[tuple[str, tuple[float, float]]]
) -> Table:
    """Score all pairs with text A on one and text B on the other, and without any text."""
    rows: list[tuple[Cell, ...]] = []
    for where, middles in placings:
        sheets = [
            _sheet(
                images,
                np.random.default_rng(k),
                "Aileron",
                GREEN,
                None,
                middles=middles,
                side=side,
            )
            for k in (1, 2)
        ]
        printed = [_detection(sheet.printed, sheet.squares) for sheet in sheets]
        untold = [Detection("", sheet.squares) for sheet in sheets]
        wanted = _blends([sheet.clean for sheet in sheets], untold, math.inf)
        for name, detections, bridged in (
            ("left as it is", untold, math.inf),
            ("filled", printed, math.inf),
            (f"filled, left out from {BRIDGED:g} px on", printed, BRIDGED),
            ("left out", printed, 0.0),
        ):
            montages = [sheet.printed for sheet in sheets]
            off = np.abs(_blends(montages, detections, bridged) - wanted)
            rows.append(
                (
                    f"{where}, {name}",
                    float(np.median(off)),
                    float(np.percentile(off, 95)),
                    float(off.max()),
                    float(np.median(off.diagonal())),
                    float(off.diagonal().max()),
                )
            )
    columns = ("text", "median", "95 %", "largest", "one particle: median", "largest")
    return Table("What print changes in the blend: |with − without|", columns, tuple(rows))


def _detection(montage: Montage, squares: Sequence[Square]) -> Detection:
    labels = find_labels(montage, squares)
    return Detection(
        "", tuple(replace(square, labels=one) for square, one in zip(squares, labels, strict=True))
    )


def _blends(
    montages: Sequence[Montage], detections: Sequence[Detection], bridged: float
) -> FloatArray:
    """Return (n, n): blend of square i of the first montage with square j of the second.

    Print deeper than `bridged` working pixels is left out of the metrics.
    """
    pairs = list(zip(montages, detections, strict=True))
    images = np.concatenate([cut_out(*pair) for pair in pairs])
    overlays = np.concatenate([overlays_of(detection) for detection in detections])
    classes = [
        ClassAverage(k, "montage", k, image, overlay=overlay)
        for k, (image, overlay) in enumerate(zip(images, overlays, strict=True))
    ]
    with patch.object(preprocessing, "BRIDGED", bridged):
        working = preprocessing.prepare(classes, Settings())
        scorer = PairScorer(working, Settings(), Backend("cpu"), memory=1e9)
    n = len(detections[0].squares)
    return np.asarray(scorer.score(slice(0, n), slice(n, 2 * n))[0])


def _count(found: Sequence[float | None], truth: Sequence[float]) -> tuple[int, int, int]:
    """Return how many numbers are right, empty and wrong."""
    pairs = list(zip(found, truth, strict=True))
    empty = sum(got is None for got, _ in pairs)
    right = sum(got == want for got, want in pairs)
    return right, empty, len(pairs) - right - empty


def cut_of(montage: Montage, square: Square) -> NDArray[np.generic]:
    """Return the pixels of a square at whole pixels."""
    y, x = round(square.y), round(square.x)
    return montage.picture[y : y + round(square.height), x : x + round(square.width)]


def _simulated(views: int) -> FloatArray:
    settings = SimulationSettings(views=views, replicates=1, snr=4, seed=5)
    return simulate_class_averages(settings).images[:views]


def _sheet(
    images: FloatArray,
    rng: np.random.Generator,
    font: str,
    colour: tuple[int, int, int],
    quality: int | None,
    *,
    middles: tuple[float, float] = AT_THE_RIM,
    side: int | None = None,
    columns: int = 5,
) -> Sheet:
    """Draw class averages with two lines of print each, centred at parts of the side."""
    side = int(rng.integers(110, 220)) if side is None else side
    height = rng.uniform(0.055, 0.085) * side
    rows = -(-len(images) // columns)
    pitch = side + GAP
    clean = np.full((rows * pitch + GAP, columns * pitch + GAP), 20, np.float32)
    ink = np.zeros_like(clean)
    squares, particles, resolution = [], [], []
    for k, image in enumerate(images):
        y, x = GAP + k // columns * pitch, GAP + k % columns * pitch
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        low, high = np.percentile(large, [0.3, 99.8])
        clean[y : y + side, x : x + side] = np.clip((large - low) / (high - low) * 255, 0, 255)
        particles.append(int(10 ** rng.uniform(1, 5)))
        resolution.append(round(float(rng.uniform(3, 25)), 1))
        lines = f"{particles[-1]} ptcls", f"{resolution[-1]:.1f} A {rng.integers(1, 4)} ess"
        for line, middle in zip(lines, middles, strict=True):
            part = ink[y : y + side, x : x + side]
            part[:] = np.maximum(part, _print(side, line, font, height, middle * side))
        squares.append(Square(x, y, side, side, 1.0))
    printed = clean[..., None] + (np.array(colour, np.float32) - clean[..., None]) * ink[..., None]
    return Sheet(
        _montage(printed, quality),
        _montage(np.repeat(clean[..., None], 3, axis=2), quality),
        tuple(squares),
        tuple(particles),
        tuple(resolution),
    )


def _montage(picture: FloatArray, quality: int | None) -> Montage:
    levels = np.rint(picture).clip(0, 255).astype(np.uint8)
    if quality is not None:
        coded = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        levels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return Montage("drawn", np.ascontiguousarray(levels))


def _print(side: int, text: str, font: str, height: float, middle: float) -> FloatArray:
    """Return (side, side) ink, 0…1, of a centred line with digits of some height."""
    if font in ("thin", "bold"):
        return _print_by_opencv(side, text, font, height, middle)
    page = Image.new("L", (side, side))
    ImageDraw.Draw(page).text(
        (side / 2, middle), text, fill=255, font=_font(font, height), anchor="mm"
    )
    return np.asarray(page, np.float32) / np.float32(255)


def _print_by_opencv(side: int, text: str, font: str, height: float, middle: float) -> FloatArray:
    number, finer = _OPENCV[font], 4
    scale = cv2.getFontScaleFromHeight(number, round(height * finer), 1)
    (wide, high), _ = cv2.getTextSize(text, number, scale, 1)
    ink = np.zeros((side * finer, side * finer), np.uint8)
    corner = (side * finer - wide) // 2, round(middle * finer) + high // 2
    cv2.putText(ink, text, corner, number, scale, 255, 1, cv2.LINE_AA)
    small = cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


_OPENCV = {"thin": cv2.FONT_HERSHEY_SIMPLEX, "bold": cv2.FONT_HERSHEY_DUPLEX}


def _font(name: str, height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font with digits of some height; Pillow brings Aileron along."""
    if name == "Aileron":
        return ImageFont.load_default(height / 0.72)
    return ImageFont.truetype(f"{name}.ttf", round(height / 0.729))


def _is_installed(name: str) -> bool:
    try:
        _font("Aileron" if name in _OPENCV else name, 20)
    except OSError:
        return False
    return True


def draw_glyphs(path: Path) -> None:
    """Draw the glyphs of all `FONTS` and write them, (fonts, characters, rows, columns) uint8."""
    np.savez_compressed(path, ink=np.stack([_glyphs_of(font) for font in FONTS]))


def _glyphs_of(font: str) -> NDArray[np.uint8]:
    """Return the glyphs of a font, digits `DIGIT` rows high; empty where it lacks one."""
    large, finer = 160, 4
    missing = _large_glyph("\uffff", font, large)
    rows = np.flatnonzero(_large_glyph("1", font, large).max(axis=1) > 127)
    scale = finer * DIGIT / (rows[-1] + 1 - rows[0])
    size = finer * WIDE, finer * (ABOVE + DIGIT + BELOW)
    glyphs = []
    for character in CHARACTERS:
        ink = _large_glyph(character, font, large)
        if (ink == missing).all():
            ink = np.zeros_like(ink)
        weight = ink.sum(axis=0)
        centre = float(weight @ (np.arange(len(weight)) + 0.5)) / max(float(weight.sum()), 1.0)
        base = finer * (ABOVE + DIGIT) - (rows[-1] + 1) * scale
        place = np.array([[scale, 0, size[0] / 2 - centre * scale], [0, scale, base]])
        soft = cv2.blur(ink, (2, 2))
        fine = cv2.warpAffine(soft, place, size, flags=cv2.INTER_LINEAR)
        glyphs.append(cv2.resize(fine, (WIDE, ABOVE + DIGIT + BELOW), interpolation=cv2.INTER_AREA))
    return np.asarray(np.rint(np.stack(glyphs)), np.uint8)


def _large_glyph(character: str, font: str, large: int) -> FloatArray:
    """Return a picture of one glyph on a base line that all glyphs share."""
    if font in ("thin", "bold"):
        ink = np.zeros((4 * large, 4 * large), np.uint8)
        weight = 1 if font == "thin" else 5
        number = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(ink, character, (large, 2 * large), number, 4, 255, weight, cv2.LINE_AA)
        return ink.astype(np.float32)
    page = Image.new("L", (4 * large, 4 * large))
    ImageDraw.Draw(page).text(
        (large, 2 * large), character, fill=255, font=_font(font, 0.729 * large), anchor="ls"
    )
    return np.asarray(page, np.float32)


if __name__ == "__main__":
    draw_glyphs(Path(package.__file__).with_name("glyphs.npz"))
