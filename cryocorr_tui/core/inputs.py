"""What the user named becomes class averages: which picture is a grid, and which is one class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cryocorr_tui.core.backend import choose_backend
from cryocorr_tui.core.detection import cut_out, detect_squares, overlays_of
from cryocorr_tui.core.errors import InputError, NoSquaresError
from cryocorr_tui.core.files import STORE_NAME
from cryocorr_tui.core.labels import find_labels
from cryocorr_tui.core.listing import by_value, list_folder
from cryocorr_tui.core.memory import return_freed_memory
from cryocorr_tui.core.model import (
    ClassAverage,
    Detection,
    FloatArray,
    Montage,
    Settings,
    Square,
    Stack,
    frozen_array,
)
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.readers.imagic import header_path
from cryocorr_tui.core.words import are, counted

if TYPE_CHECKING:
    from cryocorr_tui.core.reference import Hunt

__all__ = [
    "Inputs",
    "correct_squares",
    "expand_set",
    "find_squares",
    "look_at_print",
    "read_sources",
    "replace_squares",
    "to_class_averages",
]

# What stands in a folder beside images and holds none.
BESIDE_IMAGES = frozenset(
    [".star", ".cs", ".json", ".txt", ".csv", ".log", ".md", ".pdf", ".job", ".sh", ".py"]
)
MOST_NAMED = 5  # files that cannot be read, beside the first
INSIDE = 0.75  # of a hit's box lies in one square, where the picture has a grid


@dataclass
class Inputs:
    """What was read, in the order it was named; filled by `read_sources` and `find_squares`."""

    sources: list[Stack | Montage] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)
    detections: dict[int, Detection] = field(default_factory=dict)  # by index of the source
    left_out: list[str] = field(default_factory=list)  # names of pictures without a grid
    remarks: list[str] = field(default_factory=list)  # on what is hunted

    def copy(self) -> Inputs:
        """Return inputs whose squares may be changed without changing these."""
        return Inputs(
            list(self.sources),
            dict(self.sha256),
            dict(self.detections),
            list(self.left_out),
            list(self.remarks),
        )

    @property
    def montages(self) -> list[tuple[Montage, Detection]]:
        """The pictures with a grid, and what was found in them."""
        return [
            (source, self.detections[index])
            for index, source in enumerate(self.sources)
            if isinstance(source, Montage) and index in self.detections
        ]

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the files."""
        warnings = _told_once(self.sources)
        if self.left_out:
            names = _listed(self.left_out)
            warnings.append(
                f"No grid of class averages was found in {names}, so nothing is cut there."
            )
        return warnings

    @property
    def findings(self) -> list[str]:
        """What was found in the montages."""
        return [*self.remarks, *_told_once(self.detections.values())]

    def leave_out(self, pictures: Sequence[Montage]) -> None:
        """Go on without some of the sources."""
        kept = [
            (source, self.detections.get(index))
            for index, source in enumerate(self.sources)
            if source not in pictures
        ]
        self.left_out += [picture.source for picture in pictures]
        self.sources = [source for source, _ in kept]
        self.detections = {
            index: detection for index, (_, detection) in enumerate(kept) if detection is not None
        }


def expand_set(name: str) -> list[Path]:
    """Return the files of one set: a file, every file of a folder, or all that fit a pattern.

    Parameters
    ----------
    name : str
        A path, or a pattern of `Path.glob` where no such file exists. Of a folder, hidden files and
        `BESIDE_IMAGES` are left out; files come in the order of their names, numbers by value.

    Raises
    ------
    InputError
        If a folder holds no file or is that of a run, or nothing fits the pattern.
    """
    path = Path(name)
    if (path / STORE_NAME).is_dir():
        raise InputError(
            f"{name}: this is the folder of a run; give the files that it was made from, or open "
            f"it: cryocorr {name}."
        )
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file()]
        files = [file for file in files if not file.name.startswith(".")]
        files = [file for file in files if file.suffix.lower() not in BESIDE_IMAGES]
        below = [] if files else [entry.path for entry in list_folder(path) if entry.is_folder]
        if below:
            raise InputError(
                f"{name}: this folder holds no file with images, only folders; name one of them, "
                f"as {below[0]}, or a pattern, as '{path / '*' / '*.mrcs'}'."
            )
        missing = "this folder holds no file with images"
    elif path.exists() or not any(wildcard in name for wildcard in "*?["):
        return [path]
    else:
        root = Path(path.anchor)
        files = [file for file in root.glob(str(path.relative_to(root))) if file.is_file()]
        missing = "no file fits this pattern"
    if not files:
        raise InputError(f"{name}: {missing}; check the name and the folder.")
    return sorted(files, key=lambda file: by_value(str(file)))


def read_sources(paths: Sequence[Path], settings: Settings, inputs: Inputs) -> Iterator[int]:
    """Read files one by one into `inputs`, yielding how many are read.

    Raises
    ------
    InputError
        Files that cannot be read, or one that is named twice.
    """
    # Both files of an IMAGIC pair are one input, as a wildcard names them.
    given = {path.resolve() for path in paths}
    paths = [path for path in paths if _first_of_pair(path) not in given - {path.resolve()}]
    named = Counter(path.resolve() for path in paths)
    twice = next((path for path, count in named.items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{twice.name} is given twice; name each input once.")
    refused: list[tuple[Path, InputError]] = []
    for done, path in enumerate(paths, start=1):
        try:
            inputs.sources.append(read(path, pixel_size=settings.pixel_size))
        except InputError as error:  # all that is wrong with a folder is told at once
            refused.append((path, error))
            continue
        with path.open("rb") as file:
            inputs.sha256[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        yield done
    if refused:
        first, names = refused[0][1], [path.name for path, _ in refused[1:]]
        if len(names) > MOST_NAMED:
            names[MOST_NAMED - 1 :] = [f"{len(names) - MOST_NAMED + 1} more"]
        more = f" Nor can {_listed(names)} be read." if names else ""
        raise InputError(f"{first}{more}") from first


def find_squares(inputs: Inputs, settings: Settings, *, leave_out: bool = False) -> Iterator[int]:
    """Find the squares of every picture in `inputs`, yielding how many sources are looked at.

    With ``settings.reading`` "montage" every picture must hold a grid, with "images" none is looked
    for. On "auto" a picture with a grid is a montage, and several square pictures of one size
    without a grid are one class average each. With `leave_out`, pictures without a grid are left
    out where any other has one.

    With ``settings.reference`` one view is hunted in all pictures, with or without a grid; a file
    of a single image is a picture too, whatever its format.

    Raises
    ------
    InputError
        A reference that cannot be used, or a stack to hunt it in.
    NoSquaresError
        A picture without a grid that cannot be a class average either, or pictures without a hit.
    """
    if settings.reference is not None:
        yield from _hunt_reference(inputs, settings, settings.reference)
        return
    alone: list[Montage] = []
    for index, source in enumerate(inputs.sources):
        if isinstance(source, Montage) and settings.reading != "images":
            try:
                detection = detect_squares(
                    source, bottom_up=settings.bottom_up, min_box=settings.min_box
                )
                return_freed_memory()
                inputs.detections[index] = _labelled(source, detection)
            except NoSquaresError:
                alone.append(source)
            return_freed_memory()
        yield index + 1
    if leave_out and inputs.detections:
        inputs.leave_out(alone)
    elif alone:
        _require_class_averages(alone, settings)


def _hunt_reference(inputs: Inputs, settings: Settings, reference_at: str) -> Iterator[int]:
    # Compiled code, which takes memory that large pictures want, is imported only for a hunt.
    from cryocorr_tui.core.reference import hunt, load_reference, parse_reference

    spec = parse_reference(reference_at)
    pictures = [_picture_to_hunt_in(source) for source in inputs.sources]
    inputs.sources[:] = pictures
    reference = load_reference(spec, bottom_up=settings.bottom_up, min_box=settings.min_box)
    inputs.remarks += reference.notes
    backend, _ = choose_backend(settings.device)
    hunts: list[Hunt] = []
    for index, montage in enumerate(pictures):
        found = hunt(
            montage,
            reference,
            scales=settings.reference_scales,
            mirror=settings.mirror,
            threshold=settings.reference_threshold,
            backend=backend,
        )
        hunts.append(_inside_squares(found, montage, min_box=settings.min_box))
        inputs.detections[index] = _labelled(montage, hunts[-1].detection())
        yield index + 1
    if not any(found.squares for found in hunts):
        nearest = max(hunts, key=lambda found: found.highest - found.threshold)
        best = f"the best place correlates by {nearest.highest:.2f} and a hit by "
        best += f"{nearest.threshold:.2f} or more"
        if nearest.highest >= nearest.threshold:
            best = "the places that resemble it lie across the borders of squares"
        raise NoSquaresError(
            f"{spec}: this view was found in none of the pictures, {best}; choose another "
            "reference, or give other --scales or a lower --threshold."
        )


def _inside_squares(found: Hunt, montage: Montage, *, min_box: int) -> Hunt:
    """Return a hunt without the hits that lie across the borders of squares.

    Borders and gutters are no particles, but the decoys of a hunt, which are, do not tell so: what
    is hunted in a picture with a grid lies in one of its squares.
    """
    if not found.squares:
        return found
    try:
        grid = detect_squares(montage, min_box=min_box).squares
    except NoSquaresError:
        return found
    kept = tuple(
        hit for hit in found.squares if max(_shared(hit, square) for square in grid) >= INSIDE
    )
    left_out = len(found.squares) - len(kept)
    if not left_out:
        return found
    explanation = (
        f"{found.explanation} {left_out} more lie across the borders of squares and are left out."
    )
    return replace(found, squares=kept, explanation=explanation)


def _shared(hit: Square, square: Square) -> float:
    """Return the part of a hit's box that lies in a square, 0…1."""
    wide = min(hit.x + hit.width, square.x + square.width) - max(hit.x, square.x)
    high = min(hit.y + hit.height, square.y + square.height) - max(hit.y, square.y)
    return max(wide, 0.0) * max(high, 0.0) / (hit.width * hit.height)


def _picture_to_hunt_in(source: Stack | Montage) -> Montage:
    if isinstance(source, Montage):
        return source
    if len(source.images) > 1:
        raise InputError(
            f"{source.source}: holds {len(source.images)} images that are cut already; a view is "
            "hunted in pictures, and cryocorr analyze compares all images of a stack."
        )
    return Montage(source.source, source.images[0], source.pixel_size, source.format, source.notes)


def correct_squares(inputs: Inputs, index: int, squares: Sequence[Square]) -> None:
    """Put other squares in place of those found in one picture, and look anew at what is printed.

    Parameters and errors are those of `replace_squares`.
    """
    replace_squares(inputs, index, [replace(square, labels=None) for square in squares])
    look_at_print(inputs)


def replace_squares(inputs: Inputs, index: int, squares: Sequence[Square]) -> None:
    """Put other squares in place of those found in one picture.

    What is printed on them is as they say; `look_at_print` finds it out for those that do not.

    Parameters
    ----------
    inputs : Inputs
        Changed in place.
    index : int
        Of the picture among the sources.
    squares : sequence of Square
        In their new order; none at all leaves the picture without class averages.

    Raises
    ------
    ValueError
        If the source is no picture.
    """
    montage = inputs.sources[index]
    if not isinstance(montage, Montage):
        raise ValueError(f"expected a picture, received the stack {montage.source}")
    inputs.detections[index] = Detection(montage.source, tuple(squares))


def look_at_print(inputs: Inputs) -> None:
    """Look anew at what is printed on the squares of pictures where nobody has looked at some."""
    for index, detection in inputs.detections.items():
        source = inputs.sources[index]
        if isinstance(source, Montage) and any(s.labels is None for s in detection.squares):
            inputs.detections[index] = _labelled(
                source, Detection(source.source, detection.squares)
            )


def _labelled(montage: Montage, detection: Detection) -> Detection:
    """Return a detection with what is printed on each of its squares."""
    labels = find_labels(montage, detection.squares)
    squares = tuple(
        replace(square, labels=label)
        for square, label in zip(detection.squares, labels, strict=True)
    )
    return replace(detection, squares=squares, notes=(*detection.notes, *_read_notes(squares)))


def _read_notes(squares: Sequence[Square]) -> Iterator[str]:
    """Yield what was printed on the squares, in words."""
    labels = [square.labels for square in squares if square.labels is not None]
    printed = sum(bool(label.mask.any()) for label in labels)
    if printed:
        read = [
            f"{what} on {count}"
            for what, count in (
                ("particles", sum(label.particles is not None for label in labels)),
                ("resolution", sum(label.resolution is not None for label in labels)),
                ("class number", sum(label.class_index is not None for label in labels)),
            )
            if count
        ]
        what = f"; read: {', '.join(read)}" if read else ""
        have = "has print on it" if printed == 1 else "have print on them"
        yield f"{counted(printed, 'square')} {have}, which is kept out of the scores{what}."
    selected = sum(label.selected for label in labels)
    if selected:
        framed = f"{counted(selected, 'square')} {are(selected)} framed in colour"
        yield f"{framed}, as selected ones are."


def to_class_averages(inputs: Inputs) -> tuple[ClassAverage, ...]:
    """Turn sources and their squares into class averages, numbered in input order.

    Stacks are taken as they are, montages are cut along their whole squares, and any other picture
    is one class average.
    """
    classes: list[ClassAverage] = []
    for index, source in enumerate(inputs.sources):
        if isinstance(source, Stack):
            classes += _of_stack(source, len(classes))
        elif index in inputs.detections:
            classes += _of_montage(source, inputs.detections[index], len(classes))
        else:
            image = _grey(source)
            classes.append(
                ClassAverage(len(classes), source.source, 0, image, pixel_size=source.pixel_size)
            )
    return tuple(classes)


def _told_once(items: Iterable[Stack | Montage | Detection]) -> list[str]:
    """Return the notes of `items`, one that many share only once."""
    told: dict[str, list[str]] = {}
    for item in items:
        for note in item.notes:
            told.setdefault(note, []).append(item.source)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} files'}: {note}"
        for note, names in told.items()
    ]


def _require_class_averages(pictures: Sequence[Montage], settings: Settings) -> None:
    """Refuse pictures without a grid unless they can be one class average each."""
    shapes = {picture.picture.shape[:2] for picture in pictures}
    no_grid = f"{_listed([picture.source for picture in pictures])}: no grid of class averages was "
    if settings.reading == "montage":
        no_grid += f"found; crop {'the picture' if len(pictures) == 1 else 'them'} to the grid, or "
        no_grid += f"try a lower --min-box (now {settings.min_box})."
    elif len(pictures) == 1:
        no_grid += "found; crop the picture to the grid, or give --as images if every picture is "
        no_grid += "one class average."
    elif len(shapes) > 1 or any(height != width for height, width in shapes):
        no_grid += "found, and the pictures are not squares of one size either; leave out what is "
        no_grid += "no class average."
    else:
        return
    raise NoSquaresError(no_grid)


def _listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _first_of_pair(path: Path) -> Path:
    return (header_path(path) or path).resolve()


def _of_stack(stack: Stack, first_id: int) -> Iterator[ClassAverage]:
    for index, image in enumerate(stack.images):
        yield ClassAverage(
            class_id=first_id + index,
            source=stack.source,
            source_index=index,
            image=image,
            pixel_size=stack.pixel_size,
            particles=_known(stack.particles, index),
            resolution=_known(stack.resolution, index),
        )


def _of_montage(montage: Montage, detection: Detection, first_id: int) -> Iterator[ClassAverage]:
    whole = [(index, square) for index, square in enumerate(detection.squares) if not square.cut]
    if not whole:
        return
    images, overlays = cut_out(montage, detection), overlays_of(detection)
    images.setflags(write=False)
    overlays.setflags(write=False)
    for offset, (index, square) in enumerate(whole):
        labels = square.labels
        yield ClassAverage(
            class_id=first_id + offset,
            source=montage.source,
            source_index=index,
            image=images[offset],
            pixel_size=montage.pixel_size,
            particles=labels.particles if labels else None,
            resolution=labels.resolution if labels else None,
            x=square.x,
            y=square.y,
            width=square.width,
            height=square.height,
            overlay=overlays[offset] if overlays[offset].any() else None,
            selected=labels.selected if labels and detection.shows_selection else None,
        )


def _grey(montage: Montage) -> FloatArray:
    """Return (height, width) float32, the luminance of a picture."""
    picture = montage.picture.astype(np.float32)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return frozen_array(picture)


def _known(values: np.ndarray | None, index: int) -> float | None:
    return None if values is None or np.isnan(values[index]) else float(values[index])
