"""Pictures of class-average grids of every kind that people paste, drawn at random with truth.

`draw_montage(kind, rng)` draws one of `KINDS`, `draw_negative(kind, rng)` one of `NEGATIVES`, in
which there is no grid. Nothing here is taken from a real picture, except that callers may hand in
real class averages to be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "NEGATIVES", "DrawnMontage", "draw_montage", "draw_negative"]

Picture = NDArray[np.uint8]
Image = NDArray[np.float32]
T = TypeVar("T")

GREEN, WHITE, RED, ORANGE = (60, 255, 60), (255, 255, 255), (240, 40, 30), (255, 150, 0)


@dataclass(frozen=True, eq=False)
class DrawnMontage:
    """A picture, and the boxes x0, y0, x1, y1 of its whole and of its cut squares."""

    picture: Picture
    boxes: NDArray[np.float64]
    cut: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))


@dataclass(frozen=True)
class Look:
    """How a montage is drawn; lengths in pixels, levels in 0…255."""

    rows: int
    columns: int
    box: int
    gutter: int = 0
    gutter_level: int = 0
    margin: int = 0
    page_level: int = 255
    missing: int = 0  # squares that the last row lacks
    tail_level: int | None = None  # None: the gutter goes on
    frame: int = 0  # a line around each square, inside its gutter
    frame_level: int = 0
    content: str = "particle"
    spread: float = 25.0  # grey levels by which the squares' backgrounds differ
    noise: float = 8.0
    grain: float = 0.4  # least correlation length of the noise in pixels
    constant: float = 0.0  # share of squares without content
    dark: bool = False  # stretched from black, as on a black gutter
    text: bool = False
    selected: float = 0.0
    selected_outside: float = 0.0
    selection: int = 0  # width of a frame around nearly every square, on it or (< 0) outside
    level: float = 95.0  # mean grey level of the backgrounds
    slope: float = 0.0  # grey levels from one side of a square to the other
    scale_bar: bool = False


KINDS: tuple[str, ...] = (
    "thin black lines",
    "thin white lines",
    "thick frames",
    "grey gutters",
    "touching, different level",
    "touching, different texture",
    "white page",
    "incomplete last row",
    "two grids",
    "program window",
    "captions",
    "cut by the edge",
    "text, bars, selections",
    "constant squares",
    "nearly as dark as the border",
    "JPEG",
    "non-integer pitch",
    "many small squares",
    "few large squares",
    "negative stain",
    "one square on a page",
    "low contrast on black",
    "figure",
    "very large",
    "web page",
    "titles and ticks",
    "scrolled window",
    "touching, little different level",
    "dark page",
    "small picture",
    "three panels",
    "bright squares on white",
    "framed with a gap",
    "selection frames outside",
    "strong JPEG",
    "shaded backgrounds",
    "text over borders",
    "round masks on the gutter's level",
    "thick frame around each",
    "log window",
    "faint gutters, enlarged",
    "nearly all selected",
    "touching, one level",
    "touching, two or three",
)

NEGATIVES: tuple[str, ...] = (
    "line plot",
    "bar chart",
    "scatter plot",
    "text page",
    "photograph",
    "micrograph",
    "gradient",
    "table",
    "one class average",
    "one masked class average",
    "program without pictures",
    "noise",
    "heat map",
    "calendar",
    "terminal",
)


def draw_montage(
    kind: str, rng: np.random.Generator, *, real: Sequence[Image] = ()
) -> DrawnMontage:
    """Draw a montage of one of `KINDS`, with class averages out of `real` now and then."""
    pool = list(real) if len(real) and rng.random() < 0.5 else []
    match kind:
        case "two grids":
            return _two_grids(rng, pool)
        case "program window":
            return _program_window(rng, pool)
        case "captions":
            return _captions(rng, pool)
        case "cut by the edge":
            return _cut(rng, pool)
        case "JPEG":
            return _jpeg(draw_montage(_any_of(KINDS[:8], rng), rng, real=pool), rng)
        case "non-integer pitch":
            return _scaled(draw_montage(_any_of(KINDS[:8], rng), rng, real=pool), rng)
        case "figure":
            return _figure(rng, pool)
        case "web page":
            return _web_page(rng, pool)
        case "titles and ticks":
            return _titles_and_ticks(rng, pool)
        case "scrolled window":
            return _scrolled_window(rng, pool)
        case "three panels":
            return _three_panels(rng, pool)
        case "strong JPEG":
            return _jpeg(draw_montage(_any_of(KINDS[:4], rng), rng, real=pool), rng, worst=30)
        case "text over borders":
            return _text_over_borders(rng, pool)
        case "log window":
            return _log_window(rng, pool)
        case "faint gutters, enlarged":
            return _enlarged(_grid(_look(kind, rng), rng, pool), rng)
    return _grid(_look(kind, rng), rng, pool)


def _look(kind: str, rng: np.random.Generator) -> Look:
    look = Look(
        rows=int(rng.integers(2, 8)),
        columns=int(rng.integers(2, 11)),
        box=int(rng.integers(50, 190)),
        content=_any_of(("particle", "masked", "particle", "stain"), rng),
        noise=float(rng.uniform(2, 12)),
        spread=float(rng.uniform(5, 40)),
    )
    thin = int(rng.integers(1, 4))
    thick = int(rng.integers(4, 24))
    match kind:
        case "thin black lines":
            return replace(look, gutter=thin, margin=int(rng.integers(0, 3)), page_level=0)
        case "thin white lines":
            margin = int(rng.integers(0, 3))
            return replace(look, gutter=thin, gutter_level=255, margin=margin)
        case "thick frames":
            level = int(rng.choice([0, 255]))
            return replace(look, gutter=thick, gutter_level=level, margin=thick, page_level=level)
        case "grey gutters":
            level = int(rng.integers(70, 190))
            return replace(
                look,
                gutter=max(3, thick),
                gutter_level=level,
                margin=4,
                page_level=level,
                noise=max(look.noise, 5.0),
            )
        case "touching, different level":
            return replace(look, spread=float(rng.uniform(20, 45)))
        case "touching, different texture":
            noise = float(rng.uniform(10, 25))
            return replace(look, spread=3.0, noise=noise, grain=1.0, content="stain")
        case "white page":
            gutter = int(rng.integers(6, 50))
            return replace(
                look,
                gutter=gutter,
                gutter_level=255,
                margin=int(rng.integers(10, 90)),
                frame=int(rng.integers(0, 3)),
            )
        case "incomplete last row":
            tail = _any_of((None, None, 255, 0, 128), rng)
            return replace(
                look,
                gutter=int(rng.integers(0, 4)),
                gutter_level=int(rng.choice([0, 255])),
                rows=max(look.rows, 2),
                spread=float(rng.uniform(20, 40)),
                columns=max(look.columns, 3),
                missing=int(rng.integers(1, max(look.columns, 3))),
                tail_level=tail,
            )
        case "text, bars, selections":
            level = int(rng.choice([0, 255]))
            return replace(
                look,
                text=True,
                selected=0.3,
                scale_bar=True,
                box=max(look.box, 90),
                gutter=int(rng.integers(2, 12)),
                gutter_level=level,
                margin=6,
                page_level=level,
            )
        case "constant squares":
            return replace(
                look,
                constant=0.25,
                gutter=int(rng.integers(1, 8)),
                gutter_level=int(rng.choice([0, 255])),
            )
        case "nearly as dark as the border":
            return replace(
                look,
                gutter=int(rng.integers(2, 8)),
                margin=3,
                page_level=0,
                dark=True,
                noise=float(rng.uniform(1, 3)),
                spread=2.0,
            )
        case "many small squares":
            return replace(
                look,
                rows=int(rng.integers(10, 21)),
                columns=int(rng.integers(10, 21)),
                box=int(rng.integers(32, 70)),
                gutter=int(rng.integers(1, 5)),
                gutter_level=int(rng.choice([0, 255])),
            )
        case "few large squares":
            return replace(
                look,
                rows=1,
                columns=int(rng.integers(2, 4)),
                box=int(rng.integers(200, 420)),
                gutter=thin,
                gutter_level=int(rng.choice([0, 255])),
            )
        case "negative stain":
            return replace(
                look,
                content="stain",
                noise=float(rng.uniform(12, 30)),
                gutter=thin,
                gutter_level=int(rng.choice([0, 255])),
            )
        case "one square on a page":
            return replace(
                look,
                rows=1,
                columns=1,
                margin=int(rng.integers(20, 120)),
                box=int(rng.integers(120, 300)),
            )
        case "low contrast on black":
            return replace(
                look, content="masked", dark=True, gutter=thin, gutter_level=255, noise=2.0
            )
        case "very large":
            return replace(
                look,
                rows=4,
                columns=6,
                box=int(rng.integers(500, 800)),
                gutter=4,
                gutter_level=int(rng.choice([0, 255])),
            )
        case "touching, little different level":
            return replace(look, spread=float(rng.uniform(8, 15)), noise=float(rng.uniform(2, 8)))
        case "dark page":
            level = int(rng.integers(20, 50))
            gutter = int(rng.integers(4, 30))
            return replace(look, gutter=gutter, gutter_level=level, margin=30, page_level=level)
        case "small picture":
            return replace(
                look,
                rows=int(rng.integers(2, 6)),
                columns=int(rng.integers(3, 8)),
                box=int(rng.integers(30, 50)),
                gutter=thin,
                gutter_level=int(rng.choice([0, 255])),
            )
        case "bright squares on white":
            return replace(
                look, gutter=int(rng.integers(3, 20)), gutter_level=255, margin=12, level=235
            )
        case "framed with a gap":
            gutter = int(rng.integers(14, 40))
            return replace(
                look, gutter=gutter, gutter_level=255, margin=20, frame=int(rng.integers(1, 4))
            )
        case "selection frames outside":
            return replace(look, gutter=8, gutter_level=255, margin=8, selected_outside=0.4)
        case "shaded backgrounds":
            return replace(
                look, slope=float(rng.uniform(20, 60)), gutter=int(rng.integers(0, 4)), spread=25.0
            )
        case "round masks on the gutter's level":
            return replace(
                look,
                content="masked",
                gutter=int(rng.integers(1, 6)),
                gutter_level=110,
                spread=12.0,
                margin=3,
                page_level=110,
            )
        case "thick frame around each":
            level = _any_of((255, 30), rng)
            frame = max(3, int(rng.uniform(0.03, 0.14) * look.box))
            return replace(
                look,
                frame=frame,
                frame_level=_any_of((0, 90) if level else (255, 90), rng),
                gutter=2 * frame + int(rng.integers(4, 25)),
                gutter_level=level,
                margin=frame + 4,
                page_level=level,
            )
        case "faint gutters, enlarged":
            return replace(
                look,
                box=max(look.box, 80),
                gutter=int(rng.integers(4, 12)),
                gutter_level=int(look.level) + _any_of((-16, 16), rng),
                margin=8,
                page_level=int(look.level) + 16,
                noise=10.0,
                grain=1.2,
                spread=2.0,
            )
        case "nearly all selected":
            width = int(rng.integers(3, 9))
            outside = rng.random() < 0.5
            level = int(rng.choice([0, 230, 128]))
            gap = int(rng.integers(0, 12))
            return replace(
                look,
                box=max(look.box, 64),
                rows=max(look.rows, 3),
                columns=max(look.columns, 3),
                selection=-width if outside else width,
                gutter=2 * width + gap if outside else gap,
                gutter_level=level,
                margin=width + 4,
                page_level=level,
            )
        case "touching, one level":
            return replace(look, spread=3.0, content="particle", grain=0.8)
        case "touching, two or three":
            count = int(rng.integers(2, 4))
            rows, columns = (1, count) if rng.random() < 0.7 else (count, 1)
            spread = float(rng.uniform(3, 15))
            return replace(look, rows=rows, columns=columns, content="particle", spread=spread)
    raise ValueError(f"expected one of {KINDS}, received {kind!r}")


def _any_of(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


def _smooth_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Image:
    noise = rng.standard_normal(shape).astype(np.float32)
    if scale > 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return np.asarray(noise / noise.std(), np.float32)


def _class_average(look: Look, rng: np.random.Generator, real: Sequence[Image]) -> Image:
    """Return a (box, box) picture in grey levels, clipped at 0 and 255."""
    box = look.box
    level = float(np.clip(rng.normal(look.level, look.spread), 40, 245))
    if look.dark:
        level = float(rng.uniform(5, 12))
    if rng.random() < look.constant:
        return np.full((box, box), level, np.float32)
    if real:
        image = cv2.resize(_any_of(real, rng), (box, box), interpolation=cv2.INTER_AREA)
        low, high = np.percentile(image, [0.5, 99.8])
        return np.asarray(np.clip((image - low) / (high - low) * 255, 0, 255), np.float32)
    grid = (np.mgrid[:box, :box].astype(np.float32) - box / 2) / box
    shape = np.zeros((box, box), np.float32)
    for _ in range(int(rng.integers(3, 9))):
        y, x = rng.normal(0, 0.1, 2)
        spread = rng.uniform(0.03, 0.09)
        distance = (grid[0] - y) ** 2 + (grid[1] - x) ** 2
        shape += rng.uniform(0.4, 1.0) * np.exp(-distance / (2 * spread**2))
    radius = np.hypot(*grid)
    shape /= shape.max()
    shape -= 0.25 * np.exp(-((radius - 0.28) ** 2) / 0.005)
    tilt = rng.uniform(0, 2 * np.pi)
    level = level + look.slope * (np.cos(tilt) * grid[0] + np.sin(tilt) * grid[1])
    sign = -1.0 if look.level > 200 or (rng.random() < 0.15 and not look.dark) else 1.0
    image = level + sign * rng.uniform(90, 150) * shape
    grain = look.noise * _smooth_noise((box, box), float(rng.uniform(look.grain, 2.0)), rng)
    if look.content == "masked":
        inside = 1 / (1 + np.exp((radius - 0.42) * 80))
        image = level + (image - level + grain) * inside
    else:
        image = image + grain
    return np.asarray(np.clip(image, 0, 255), np.float32)


def _grid(look: Look, rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    pitch, margin = look.box + look.gutter, look.margin
    height = look.rows * pitch - look.gutter + 2 * margin
    width = look.columns * pitch - look.gutter + 2 * margin
    picture = np.full((height, width, 3), look.page_level, np.float32)
    inner = slice(margin, height - margin), slice(margin, width - margin)
    picture[inner] = look.gutter_level
    count = look.rows * look.columns - look.missing
    boxes = []
    for index in range(look.rows * look.columns):
        row, column = divmod(index, look.columns)
        y, x = margin + row * pitch, margin + column * pitch
        cell = slice(y, y + look.box), slice(x, x + look.box)
        if index >= count:
            if look.tail_level is not None:
                picture[y:, x : x + pitch] = look.tail_level
            continue
        if look.frame:
            outer = (max(y - look.frame, 0), max(x - look.frame, 0))
            picture[outer[0] : y + look.box + look.frame, outer[1] : x + look.box + look.frame] = (
                look.frame_level
            )
        picture[cell] = _class_average(look, rng, real)[..., None]
        boxes.append((x, y, x + look.box, y + look.box))
    drawn = np.ascontiguousarray(np.rint(picture).astype(np.uint8))
    for index, (x, y, _, _) in enumerate(boxes):
        _write_on(drawn, x, y, look, rng, first=index == 0)
    return DrawnMontage(drawn, np.array(boxes, np.float64))


def _write_on(
    picture: Picture, x: int, y: int, look: Look, rng: np.random.Generator, *, first: bool
) -> None:
    box = look.box
    if look.text:
        size = box / 320
        _text(picture, f"{rng.integers(1, 9999)} ptcls", x + box // 6, y + box // 8, size, GREEN)
        label = f"{rng.uniform(5, 25):.1f} A {rng.integers(1, 4)} ess"
        _text(picture, label, x + box // 6, y + box - box // 16, size, GREEN)
    if rng.random() < look.selected:
        colour = _any_of((RED, ORANGE), rng)
        cv2.rectangle(picture, (x + 1, y + 1), (x + box - 2, y + box - 2), colour, 2)
    if rng.random() < look.selected_outside:
        colour = _any_of((RED, ORANGE), rng)
        cv2.rectangle(picture, (x - 3, y - 3), (x + box + 2, y + box + 2), colour, 3)
    if look.selection and not first and rng.random() < 0.9:
        _draw_frame(picture, x, y, box, look.selection, _any_of((RED, ORANGE, GREEN, WHITE), rng))
    if look.scale_bar and first:
        cv2.line(picture, (x + 8, y + box // 4), (x + 8, y + box * 3 // 4), WHITE, 2)


def _draw_frame(
    picture: Picture, x: int, y: int, box: int, width: int, colour: tuple[int, int, int]
) -> None:
    """Draw a frame of a width just inside the sides of a square, or (< 0) just outside."""
    out = max(-width, 0)
    part = picture[y - out : y + box + out, x - out : x + box + out]
    thick = abs(width)
    for side in (part[:thick], part[-thick:], part[:, :thick], part[:, -thick:]):
        side[:] = colour


def _text(
    picture: Picture, words: str, x: int, y: int, size: float, colour: tuple[int, int, int]
) -> None:
    cv2.putText(picture, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _paste(canvas: Picture, part: DrawnMontage, x: int, y: int) -> NDArray[np.float64]:
    height, width = part.picture.shape[:2]
    canvas[y : y + height, x : x + width] = part.picture
    boxes: NDArray[np.float64] = part.boxes + np.array([x, y, x, y])
    return boxes


def _plain_look(rng: np.random.Generator) -> Look:
    return _look(_any_of(KINDS[:4], rng), rng)


def _two_grids(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    look = replace(_plain_look(rng), rows=int(rng.integers(2, 5)), columns=int(rng.integers(2, 5)))
    other = look if rng.random() < 0.5 else replace(look, box=int(look.box * rng.uniform(0.7, 1.4)))
    parts = [_grid(look, rng, real), _grid(other, rng, real)]
    gap = int(rng.integers(12, 90))
    sizes = [part.picture.shape[:2] for part in parts]
    level = int(rng.choice([255, 255, 0, 230]))
    if rng.random() < 0.6:
        shape = (max(s[0] for s in sizes), sizes[0][1] + gap + sizes[1][1], 3)
        places = [(0, 0), (sizes[0][1] + gap, 0)]
    else:
        shape = (sizes[0][0] + gap + sizes[1][0], max(s[1] for s in sizes), 3)
        places = [(0, 0), (0, sizes[0][0] + gap)]
    canvas = np.full(shape, level, np.uint8)
    boxes = [_paste(canvas, part, *place) for part, place in zip(parts, places, strict=True)]
    return DrawnMontage(canvas, np.concatenate(boxes))


def _program_window(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    part = _grid(_plain_look(rng), rng, real)
    high, wide = part.picture.shape[:2]
    left, top = int(rng.integers(10, 220)), int(rng.integers(60, 160))
    right, bottom = int(rng.integers(10, 60)), int(rng.integers(10, 90))
    canvas = np.full(
        (high + top + bottom, wide + left + right, 3), int(rng.integers(30, 245)), np.uint8
    )
    canvas[:32] = int(rng.integers(60, 230))
    _text(canvas, "Display classes", wide // 3, 22, 0.6, (20, 20, 20))
    for button in range(int(rng.integers(2, 8))):
        x, y = 8 + button * 78, 38
        cv2.rectangle(canvas, (x, y), (x + 70, y + 18), (150, 150, 150), 1)
        _text(canvas, "Button", x + 6, y + 14, 0.4, (20, 20, 20))
    for line in range((high + bottom) // 22):
        _text(canvas[:, : max(left - 6, 1)], "option = on", 4, top + 20 + 22 * line, 0.4, (9, 9, 9))
    boxes = _paste(canvas, part, left, top)
    x = left + wide + 2
    cv2.rectangle(canvas, (x, top), (x + 7, top + high), (190, 190, 190), 1)
    return DrawnMontage(canvas, boxes)


def _captions(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    part = _grid(_plain_look(rng), rng, real)
    high, wide = part.picture.shape[:2]
    head = int(rng.integers(30, 80))
    canvas = np.full((high + head + 30, wide + 40, 3), 255, np.uint8)
    _text(canvas, "Good class averages", 30, head - 10, head / 70, (0, 0, 0))
    for line, words in enumerate(("2D classes for iteration 25", "log: done in 12 s")):
        _text(canvas, words, 8, high + head + 13 + 14 * line, 0.4, (40, 40, 160))
    return DrawnMontage(canvas, _paste(canvas, part, 20, head))


def _cut(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    look = _plain_look(rng)
    look = replace(look, rows=max(look.rows, 3), columns=max(look.columns, 3))
    part = _grid(look, rng, real)
    high, wide = part.picture.shape[:2]
    x0, y0 = (int(rng.uniform(0.1, 0.8) * look.box * rng.integers(2)) for _ in range(2))
    x1, y1 = (
        end - int(rng.uniform(0.15, 0.8) * look.box * rng.integers(2)) for end in (wide, high)
    )
    boxes = part.boxes - [x0, y0, x0, y0]
    size = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    clipped = np.clip(boxes, 0, size)
    seen = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1)
    whole = seen > 0.97 * look.box**2
    return DrawnMontage(
        np.ascontiguousarray(part.picture[y0:y1, x0:x1]),
        clipped[whole],
        clipped[~whole & (seen > 0)],
    )


def _jpeg(part: DrawnMontage, rng: np.random.Generator, *, worst: int = 55) -> DrawnMontage:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(worst, 92))]
    _, code = cv2.imencode(".jpg", part.picture, quality)
    picture: Picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return replace(part, picture=picture)


def _scaled(part: DrawnMontage, rng: np.random.Generator) -> DrawnMontage:
    factor = float(rng.uniform(0.6, 1.7))
    how = cv2.INTER_AREA if factor < 1 else _any_of((cv2.INTER_LINEAR, cv2.INTER_CUBIC), rng)
    size = [round(side * factor) for side in part.picture.shape[1::-1]]
    picture = cv2.resize(part.picture, size, interpolation=how)
    return DrawnMontage(picture, part.boxes * factor, part.cut * factor)


def _figure(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    """Draw a grid beside a plot and a micrograph on a white page, with letters and an arrow."""
    part = _grid(_plain_look(rng), rng, real)
    high, wide = part.picture.shape[:2]
    plot = cv2.resize(_line_plot(rng), (360, 300), interpolation=cv2.INTER_AREA)
    photo = cv2.resize(_micrograph(rng), (380, 290), interpolation=cv2.INTER_AREA)
    canvas = np.full((high + 380, max(wide, 800) + 60, 3), 255, np.uint8)
    canvas[30:330, 30:390] = plot
    canvas[30:320, 420:800] = photo
    cv2.arrowedLine(canvas, (392, 180), (416, 180), (0, 0, 0), 2)
    for letter, x, y in (("A", 5, 25), ("B", 400, 25), ("C", 5, 350)):
        _text(canvas, letter, x, y, 0.9, (0, 0, 0))
    return DrawnMontage(canvas, _paste(canvas, part, 30, 360))


def _web_page(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    part = _grid(_plain_look(rng), rng, real)
    high, wide = part.picture.shape[:2]
    canvas = np.full((high + 330, wide + 300, 3), 255, np.uint8)
    canvas[:44] = (40, 60, 120)
    _text(canvas, "cryo-EM job 42", 12, 28, 0.7, WHITE)
    for line in range(8):
        words = " ".join(
            _any_of(("class", "averages", "of the", "job", "show"), rng) for _ in range(14)
        )
        _text(canvas, words, 40, 76 + 18 * line, 0.5, (30, 30, 30))
    for button in range(4):
        x = 40 + 100 * button
        cv2.rectangle(canvas, (x, high + 260), (x + 80, high + 290), (60, 120, 230), -1)
        _text(canvas, "Select", x + 12, high + 280, 0.5, WHITE)
    canvas[240:560, wide + 70 : wide + 290] = cv2.resize(_photograph(rng), (220, 320))[: high + 90]
    return DrawnMontage(canvas, _paste(canvas, part, 40, 230))


def _titles_and_ticks(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    """Draw squares as a plotting library does: titles that overlap a neighbour, frames, ticks."""
    look = _plain_look(rng)
    box = look.box
    pitch_x = box + int(rng.integers(8, 60))
    pitch_y = box + int(rng.integers(26, 70))
    canvas = np.full((look.rows * pitch_y + 60, look.columns * pitch_x + 70, 3), 255, np.uint8)
    ticks = rng.random() < 0.5
    boxes = []
    for row, column in np.ndindex(look.rows, look.columns):
        x, y = 40 + column * pitch_x, 40 + row * pitch_y
        image = _class_average(look, rng, real)
        canvas[y : y + box, x : x + box] = np.rint(image).astype(np.uint8)[..., None]
        cv2.rectangle(canvas, (x - 1, y - 1), (x + box, y + box), (0, 0, 0), 1)
        title = f"class {rng.integers(1, 99)}, {rng.integers(1, 9999)} particles"
        _text(canvas, title, x, y - 6, 0.35, (0, 0, 0))
        for tick in range(0, box, max(box // 3, 12)) if ticks else ():
            cv2.line(canvas, (x + tick, y + box), (x + tick, y + box + 4), (0, 0, 0), 1)
            cv2.line(canvas, (x - 5, y + tick), (x - 1, y + tick), (0, 0, 0), 1)
        boxes.append((x, y, x + box, y + box))
    return DrawnMontage(canvas, np.array(boxes, np.float64))


def _scrolled_window(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    """Draw a window whose lower edge cuts the last row of squares."""
    look = replace(_plain_look(rng), rows=int(rng.integers(3, 7)))
    part = _grid(look, rng, real)
    high, wide = part.picture.shape[:2]
    lost = int(rng.uniform(0.2, 0.8) * look.box)
    seen = high - look.margin - lost
    level = int(rng.integers(180, 240))
    canvas = np.full((seen + 150, wide + 80, 3), level, np.uint8)
    canvas[60 : 60 + seen, 20 : 20 + wide] = part.picture[:seen]
    cv2.rectangle(canvas, (wide + 30, 60), (wide + 44, 60 + seen), (120, 120, 120), 1)
    _text(canvas, "Display", 20, 30, 0.6, (0, 0, 0))
    _text(canvas, "Save selection     Close", 20, seen + 110, 0.6, (0, 0, 0))
    boxes = part.boxes + np.array([20, 60, 20, 60])
    last = boxes[:, 3] > 60 + seen
    cut = boxes[last]
    cut[:, 3] = 60 + seen
    return DrawnMontage(canvas, boxes[~last], cut)


def _three_panels(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    look = replace(_plain_look(rng), rows=2, columns=3)
    parts = [_grid(look, rng, real) for _ in range(3)]
    high, wide = parts[0].picture.shape[:2]
    gap = int(rng.integers(25, 80))
    canvas = np.full((2 * high + 2 * gap, 2 * wide + gap, 3), 255, np.uint8)
    places = [(0, gap), (wide + gap, gap), (0, high + 2 * gap)]
    for letter, (x, y) in zip("abc", places, strict=True):
        _text(canvas, letter, x + 2, y - 5, 0.8, (0, 0, 0))
    boxes = [_paste(canvas, part, *place) for part, place in zip(parts, places, strict=True)]
    return DrawnMontage(canvas, np.concatenate(boxes))


def _text_over_borders(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    part = _grid(_plain_look(rng), rng, real)
    picture = part.picture.copy()
    for x0, y0, x1, _ in part.boxes.astype(int):
        if rng.random() < 0.6:
            colour = _any_of((GREEN, WHITE, RED), rng)
            _text(
                picture,
                f"{rng.integers(99999)} ptcls 1 ess",
                x0 - 8,
                y0 + 5,
                (x1 - x0) / 190,
                colour,
            )
        if rng.random() < 0.1:
            cv2.putText(picture, "B", (x1 - 15, y0 + 30), cv2.FONT_HERSHEY_SIMPLEX, 1.2, ORANGE, 4)
    return replace(part, picture=picture)


def _enlarged(part: DrawnMontage, rng: np.random.Generator) -> DrawnMontage:
    factor = float(rng.uniform(1.6, 2.3))
    how = _any_of((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4), rng)
    picture = cv2.resize(part.picture, None, fx=factor, fy=factor, interpolation=how)
    return DrawnMontage(np.asarray(picture, np.uint8), part.boxes * factor)


def _log_window(rng: np.random.Generator, real: Sequence[Image]) -> DrawnMontage:
    """Draw a few numbered squares below lines of text, on a page that they do not fill."""
    dark = rng.random() < 0.5
    level = 25 if dark else 250
    look = replace(
        _look("dark page", rng),
        rows=int(rng.integers(2, 5)),
        columns=int(rng.integers(4, 8)),
        box=int(rng.integers(60, 120)),
        gutter_level=level,
        page_level=level,
        text=True,
    )
    part = _grid(look, rng, real)
    high, wide = part.picture.shape[:2]
    top = int(rng.integers(160, 500))
    shape = (top + high + 80, max(wide, int(rng.integers(700, 1800))) + 40, 3)
    canvas = _lines_of_text(shape, level, rng)
    canvas[top - 10 : top + high + 10, :] = level
    return DrawnMontage(canvas, _paste(canvas, part, 20, top))


def draw_negative(kind: str, rng: np.random.Generator) -> Picture:
    """Draw a (height, width, 3) picture of one of `NEGATIVES`: no grid of squares is in it."""
    match kind:
        case "line plot":
            return _line_plot(rng)
        case "bar chart":
            return _bar_chart(rng)
        case "scatter plot":
            return _scatter_plot(rng)
        case "text page":
            return _text_page(rng)
        case "photograph":
            return _photograph(rng)
        case "micrograph":
            return _micrograph(rng)
        case "gradient":
            return _gradient(rng)
        case "table":
            return _table(rng)
        case "one class average" | "one masked class average":
            look = Look(
                1,
                1,
                int(rng.integers(64, 400)),
                content="masked" if "masked" in kind else "particle",
            )
            return _grid(look, rng, ()).picture
        case "program without pictures":
            return _program(rng)
        case "noise":
            return _rgb(rng.normal(128, 40, _shape(rng)))
        case "heat map":
            return _heat_map(rng)
        case "calendar":
            return _calendar(rng)
        case "terminal":
            return _lines_of_text((*_shape(rng), 3), int(rng.choice([0, 25, 255])), rng)
    raise ValueError(f"expected one of {NEGATIVES}, received {kind!r}")


def _rgb(grey: NDArray[np.floating]) -> Picture:
    byte = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return np.repeat(byte[..., None], 3, axis=2)


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(300, 1100)), int(rng.integers(300, 1500))


def _axes(rng: np.random.Generator) -> tuple[Picture, int, int, int, int]:
    """Return a white page with the frame and ticks of a plot, and the corners of the frame."""
    height = int(rng.integers(400, 800))
    width = height if rng.random() < 0.4 else int(rng.integers(400, 1100))
    page = np.full((height, width, 3), 255, np.uint8)
    x0, y0, x1, y1 = 70, 40, width - 30, height - 60
    cv2.rectangle(page, (x0, y0), (x1, y1), (0, 0, 0), int(rng.integers(1, 3)))
    lines = rng.random() < 0.4
    for tick in range(6):
        x, y = x0 + (x1 - x0) * tick // 5, y0 + (y1 - y0) * tick // 5
        if lines:
            cv2.line(page, (x, y0), (x, y1), (210, 210, 210), 1)
            cv2.line(page, (x0, y), (x1, y), (210, 210, 210), 1)
        cv2.line(page, (x, y1), (x, y1 + 5), (0, 0, 0), 1)
        cv2.line(page, (x0 - 5, y), (x0, y), (0, 0, 0), 1)
        _text(page, f"{tick}", x - 5, y1 + 22, 0.5, (0, 0, 0))
        _text(page, f"{tick / 5:.1f}", x0 - 45, y + 5, 0.5, (0, 0, 0))
    return page, x0, y0, x1, y1


def _line_plot(rng: np.random.Generator) -> Picture:
    page, x0, y0, x1, y1 = _axes(rng)
    for _ in range(int(rng.integers(1, 4))):
        x = np.arange(x0 + 3, x1 - 3)
        y = cv2.GaussianBlur(rng.standard_normal((1, len(x))), (0, 0), 15)[0]
        y = (y0 + y1) / 2 + (y1 - y0) * 0.4 * y / np.abs(y).max()
        points = np.stack([x, y], axis=1).astype(np.int32)
        colour = tuple(int(c) for c in rng.integers(0, 200, 3))
        cv2.polylines(page, [points], False, colour, 2, cv2.LINE_AA)
    return page


def _bar_chart(rng: np.random.Generator) -> Picture:
    page, x0, y0, x1, y1 = _axes(rng)
    bars = int(rng.integers(4, 15))
    step = (x1 - x0) / bars
    for bar in range(bars):
        x = int(x0 + bar * step)
        top = int(rng.uniform(y0 + 10, y1 - 4))
        cv2.rectangle(page, (x + 4, top), (int(x + step - 4), y1), (60, 110, 180), -1)
    return page


def _scatter_plot(rng: np.random.Generator) -> Picture:
    page, x0, y0, x1, y1 = _axes(rng)
    for x, y in rng.uniform([x0 + 5, y0 + 5], [x1 - 5, y1 - 5], (200, 2)).astype(int):
        cv2.circle(page, (int(x), int(y)), 3, (180, 60, 60), -1, cv2.LINE_AA)
    return page


def _text_page(rng: np.random.Generator) -> Picture:
    page = np.full((*_shape(rng), 3), 255, np.uint8)
    letters = list("abcdefghijklmnopqrstuvwxyz      ")
    size = float(rng.uniform(0.4, 1.5))
    for y in range(30, page.shape[0], int(34 * size) + 6):
        words = "".join(rng.choice(letters, 200))
        _text(page[:, : page.shape[1] - 20], words, 20, y, size, (0, 0, 0))
    return page


def _lines_of_text(shape: tuple[int, int, int], level: int, rng: np.random.Generator) -> Picture:
    """Draw lines of small print as a program logs them, dark on bright or bright on dark."""
    page = np.full(shape, level, np.uint8)
    ink = (190, 220, 190) if level < 128 else (30, 30, 30)
    words = ("class", "averages", "particles", "[12:40]", "done", "iteration 25", "select", "of")
    for y in range(16, shape[0], 17):
        line = " ".join(_any_of(words, rng) for _ in range(int(rng.integers(3, 24))))
        _text(page, line, 8, y, 0.42, ink)
    return page


def _calendar(rng: np.random.Generator) -> Picture:
    """Draw a month of square days, some with an entry, on bright or dark paper."""
    day = int(rng.integers(50, 130))
    level = int(rng.choice([255, 30]))
    page = np.full((6 * day + 80, 7 * day + 40, 3), level, np.uint8)
    _text(page, "November", 20, 35, 1.0, (128, 128, 128))
    for row, column in np.ndindex(6, 7):
        x, y = 20 + column * day, 60 + row * day
        cv2.rectangle(page, (x, y), (x + day, y + day), (130, 130, 130), 1)
        _text(page, str((7 * row + column) % 31 + 1), x + 4, y + 16, 0.45, (128, 128, 128))
        if rng.random() < 0.3:
            colour = tuple(int(c) for c in rng.integers(80, 240, 3))
            corners = (x + 4, y + day // 2), (x + day - 4, y + day * 7 // 10)
            cv2.rectangle(page, *corners, colour, -1)
            _text(page, "meet", x + 6, y + day // 2 + 11, 0.35, (0, 0, 0))
    return page


def _photograph(rng: np.random.Generator) -> Picture:
    """Draw soft light, a few straight-edged objects of any size and grain."""
    shape = _shape(rng)
    scene = 120 + 45 * _smooth_noise(shape, 60, rng) + 15 * _smooth_noise(shape, 6, rng)
    for _ in range(int(rng.integers(3, 30))):
        y, x = (int(rng.integers(side)) for side in shape)
        high, wide = (int(side) for side in rng.integers(20, 300, 2))
        scene[y : y + high, x : x + wide] += rng.normal(0, 35)
    for _ in range(int(rng.integers(0, 12))):
        y, x = (int(rng.integers(side)) for side in shape)
        cv2.circle(scene, (x, y), int(rng.integers(10, 120)), float(rng.uniform(0, 255)), -1)
    scene = cv2.GaussianBlur(scene, (0, 0), 1.0) + rng.normal(0, 4, shape)
    return _rgb(scene)


def _micrograph(rng: np.random.Generator) -> Picture:
    shape = _shape(rng)
    field_of_view = 128 + 14 * _smooth_noise(shape, 1.2, rng) + 10 * _smooth_noise(shape, 40, rng)
    for _ in range(80):
        y, x = (int(rng.integers(side)) for side in shape)
        cv2.circle(field_of_view, (x, y), int(rng.integers(5, 14)), float(rng.uniform(60, 90)), -1)
    return _rgb(cv2.GaussianBlur(field_of_view, (0, 0), 1.5) + rng.normal(0, 12, shape))


def _gradient(rng: np.random.Generator) -> Picture:
    height, width = _shape(rng)
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, np.pi)
    ramp = np.cos(angle) * x / width + np.sin(angle) * y / height
    return _rgb(255 * (ramp - ramp.min()) / np.ptp(ramp))


def _table(rng: np.random.Generator) -> Picture:
    rows, columns = (int(n) for n in rng.integers(4, 14, 2))
    high, wide = int(rng.integers(22, 40)), int(rng.integers(60, 160))
    page = np.full((rows * high + 61, columns * wide + 61, 3), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            x, y = 30 + column * wide, 30 + row * high
            cv2.rectangle(page, (x, y), (x + wide, y + high), (90, 90, 90), 1)
            _text(page, f"{rng.uniform(0, 99):.2f}", x + 8, y + high - 8, 0.45, (0, 0, 0))
    return page


def _program(rng: np.random.Generator) -> Picture:
    canvas = np.full((*_shape(rng), 3), int(rng.integers(200, 245)), np.uint8)
    canvas[:30] = 120
    for button in range(12):
        x = 8 + 44 * button
        cv2.rectangle(canvas, (x, 40), (x + 32, 72), (130, 130, 130), 1)
        cv2.circle(
            canvas,
            (x + 16, 56),
            int(rng.integers(4, 12)),
            tuple(int(c) for c in rng.integers(0, 255, 3)),
            -1,
            cv2.LINE_AA,
        )
    for entry in range(int(rng.integers(4, 12))):
        y = 100 + 40 * entry
        cv2.rectangle(canvas, (160, y), (min(canvas.shape[1] - 9, 500), y + 26), (255,) * 3, -1)
        cv2.rectangle(canvas, (160, y), (min(canvas.shape[1] - 9, 500), y + 26), (120,) * 3, 1)
        _text(canvas, "Parameter:", 20, y + 18, 0.5, (10, 10, 10))
    return canvas


def _heat_map(rng: np.random.Generator) -> Picture:
    rows, columns = (int(n) for n in rng.integers(3, 12, 2))
    cell = int(rng.integers(24, 70))
    values = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    values = cv2.resize(values, (columns * cell, rows * cell), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.7:
        values = cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    else:
        values = np.repeat(values[..., None], 3, axis=2)
    page = np.full((rows * cell + 80, columns * cell + 90, 3), 255, np.uint8)
    page[30:-50, 60:-30] = values
    return page
