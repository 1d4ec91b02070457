"""From source pixels to working pixels: contrast, pixel size, box, mask, normalisation.

The *working set* is what the search sees: every class average bright on dark, at one pixel size, in
one box of at most 128 pixels, with zero mean and unit variance inside the disc mask. The enhanced
picture (CLAHE) is for eyes and for the texture and edge scores only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.backend import threads_here
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.memory import room_for
from cryocorr_tui.core.model import ClassAverage, FloatArray, MaskDiameter, Settings, frozen_array

__all__ = [
    "WorkingSet",
    "at_unknown_zoom",
    "contrast_sign",
    "crop_or_pad",
    "disc_mask",
    "enhance",
    "fourier_resample",
    "prepare",
    "standardise",
]

LARGEST_WORKING_BOX = 128
AT_ONCE = 256  # pictures in double precision at a time
SMALLEST_WORKING_BOX = 16
_SMALLEST_MASK = 9  # working pixels across: a whole window of SSIM fits in
MOST_COVERED = 1 / 3  # of the mask: under more print a class average cannot be compared
BRIDGED = 4.0  # working pixels from the edge of print that its surroundings tell of
COVERED = 0.25  # part of a resampled pixel that print covers, from which on it counts as print
SAME_FIELD = 1.01  # boxes whose fields differ by less show the same one: the rounding of headers


@dataclass(frozen=True, eq=False)
class WorkingSet:
    """Class averages ready to be compared.

    Attributes
    ----------
    images : (n, box, box) float32
        Bright particles, zero mean and unit variance inside `mask`; all zero where unusable.
    mask : (box, box) float32
        The disc the metrics are taken in, 0 or 1.
    scale : (n,) float64
        Source pixels of each class per working pixel.
    pixel_size : float or None
        Å per working pixel.
    contrast : (n,) int8
        +1 where the source showed bright particles, −1 where dark.
    reasons : tuple of str
        Why a class takes no part in the search ("is constant"); empty where it does.
    max_shift : float
        Radius of the searched shifts in working pixels.
    overlay : (n, box, box) bool or None
        True where print covers a class average, and its picture is only filled in. None where
        there is no print.
    notes : tuple of str
        What the user should know, one sentence each.
    """

    images: FloatArray
    mask: FloatArray
    scale: NDArray[np.float64]
    pixel_size: float | None
    contrast: NDArray[np.int8]
    reasons: tuple[str, ...]
    max_shift: float
    overlay: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) bool, True for the classes that take part in the search."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """(n, box, box) bool, the part of `overlay` that no metric may look at; None for none.

        Thin strokes are bridged by what stands beside them, and scores come nearer to those without
        print when they count than when they are left out (docs/printed_text.md). What lies deeper
        under print is invented, and is left out.
        """
        if self.overlay is None:
            return None
        unknown = np.zeros(self.overlay.shape, dtype=bool)
        for k in np.flatnonzero(self.overlay.any(axis=(1, 2))):
            depth = cv2.distanceTransform(self.overlay[k].astype(np.uint8), cv2.DIST_L2, 5)
            unknown[k] = depth > BRIDGED
        return unknown if unknown.any() else None


def disc_mask(box: int, diameter: float, *, edge: float = 0.0) -> FloatArray:
    """Return a disc about the pixel ``(box // 2, box // 2)``.

    Parameters
    ----------
    box : int
        Side of the picture in pixels.
    diameter : float
        Diameter of the disc in pixels.
    edge : float
        Width in pixels of a raised-cosine edge that ends at `diameter`; 0 for a hard disc.

    Returns
    -------
    (box, box) float32
        1 inside, 0 outside.
    """
    offset = np.arange(box) - box // 2
    radius = np.hypot(offset[:, None], offset[None, :])
    if edge <= 0:
        return (radius <= diameter / 2).astype(np.float32)
    ramp = np.clip((diameter / 2 - radius) / edge, 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def enhance(images: NDArray[np.floating]) -> FloatArray:
    """Return the enhanced picture: contrast-limited adaptive histogram equalisation.

    Parameters
    ----------
    images : (n, height, width) or (height, width) float
        Any range; the central 99.8 % of each is spread over 8 bit first, since with more levels
        than pixels the clip limit would bite nowhere and noise be lifted to the particle's level.

    Returns
    -------
    same shape, float32 in 0…1
        A picture without contrast or with pixels that are not finite becomes 0.5 everywhere.

    References
    ----------
    Zuiderveld, K. (1994), Graphics Gems IV, 474–485, by OpenCV.
    """
    stack = np.asarray(images, dtype=np.float32)
    result = np.full(stack.shape, 0.5, dtype=np.float32)
    clahe = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
    for picture, out in zip(_pictures(stack), _pictures(result), strict=True):
        if not np.isfinite(picture).all():
            continue
        low, high = np.percentile(picture, (0.1, 99.9))
        if high > low:
            levels = np.clip((picture - low) / (high - low), 0, 1) * 255
            out[:] = clahe.apply(np.rint(levels).astype(np.uint8)) / np.float32(255)
    return result


def fourier_resample(images: FloatArray, box: int) -> FloatArray:
    """Resample square pictures to another box by cropping or padding their Fourier transform.

    The centre pixel ``n // 2`` goes to ``box // 2`` whatever the parity, grey values are kept.

    Parameters
    ----------
    images : (n, side, side) float32
        Square pictures.
    box : int
        The new side; the pixel size grows by ``side / box``.

    Returns
    -------
    (n, box, box) float32
    """
    side = images.shape[-1]
    if box == side:
        return images
    # With the centre moved to pixel 0, a plain crop of the spectrum keeps it in place.
    axes, workers = (-2, -1), threads_here()
    spectrum = fft.fft2(fft.ifftshift(images, axes=axes), workers=workers).astype(np.complex64)
    spectrum = crop_or_pad(fft.fftshift(spectrum, axes=axes), box, fill=0.0)
    resampled = fft.ifft2(fft.ifftshift(spectrum, axes=axes), workers=workers, overwrite_x=True)
    resampled = fft.fftshift(resampled, axes=axes)
    return np.ascontiguousarray(resampled.real * (box / side) ** 2, dtype=np.float32)


def crop_or_pad(images: NDArray[Any], box: int, *, fill: float | None = None) -> NDArray[Any]:
    """Bring square pictures to `box` about their centre pixel.

    Parameters
    ----------
    images : (n, side, side)
        Square pictures.
    box : int
        The new side.
    fill : float or None
        Value of new pixels; None for the median of each picture's border.

    Returns
    -------
    (n, box, box), same dtype
    """
    side = images.shape[-1]
    if box <= side:
        start = side // 2 - box // 2
        return np.ascontiguousarray(images[:, start : start + box, start : start + box])
    result = np.empty((len(images), box, box), dtype=images.dtype)
    result[:] = _border_median(images)[:, None, None] if fill is None else fill
    start = box // 2 - side // 2
    result[:, start : start + side, start : start + side] = images
    return result


def contrast_sign(images: Sequence[FloatArray] | FloatArray) -> int:
    """Tell whether the particles of one source are bright (+1) or dark (−1).

    The mean of each picture's middle (radius 0.25 box) is compared with that of the ring between
    0.4 and 0.5 box; all pictures of a source vote, weighted by how clear the difference is.

    Parameters
    ----------
    images : n of (box, box) float32
        Finite pictures of one source.

    Returns
    -------
    int
        +1 or −1; +1 where nothing can be told.
    """
    votes = (_vote_for_bright(np.stack(list(images[some]))) for some in _blocks(len(images)))
    return -1 if sum(votes) < 0 else 1


def _vote_for_bright(images: FloatArray) -> float:
    box = images.shape[-1]
    middle = disc_mask(box, 0.5 * box) > 0
    ring = (disc_mask(box, box) > 0) & (disc_mask(box, 0.8 * box) == 0)
    spread = images.std(axis=(1, 2), dtype=np.float64)  # squares may leave single precision
    difference = images[:, middle].mean(axis=1) - images[:, ring].mean(axis=1)
    return float((difference[spread > 0] / spread[spread > 0]).sum())


def _blocks(count: int) -> Iterator[slice]:
    """Yield slices of so many pictures that what is worked out on the way takes little memory."""
    for first in range(0, count, AT_ONCE):
        yield slice(first, min(first + AT_ONCE, count))


def standardise(
    images: FloatArray, mask: FloatArray, *, out: FloatArray | None = None
) -> FloatArray:
    """Return `images` with zero mean and unit variance inside `mask`; constant ones become 0.

    Parameters
    ----------
    images : (n, box, box) float32
        Finite pictures.
    mask : (box, box) float32
        0 or 1.
    out : (n, box, box) float32, optional
        Where they are put; `images` itself will do.

    Returns
    -------
    (n, box, box) float32
    """
    inside = mask > 0
    result = np.empty(images.shape, dtype=np.float32) if out is None else out
    for some in _blocks(len(images)):
        values = images[some][:, inside].astype(np.float64)
        mean = values.mean(axis=1)
        spread = values.std(axis=1)
        flat = spread <= 1e-6 * np.maximum(np.abs(mean), np.finfo(np.float32).tiny)
        gain = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
        result[some] = (images[some] - mean[:, None, None]) * gain[:, None, None]
    return result


def prepare(classes: Sequence[ClassAverage], settings: Settings) -> WorkingSet:
    """Bring class averages of all sources together into one working set.

    Where pixel sizes differ they become the coarsest of them; where boxes then differ they become
    the smallest of them. Boxes of unknown pixel size must agree, except those of squares cut from
    montages: a screenshot may have any zoom. Its squares are taken to show the field that the
    other boxes show, and are scaled to them; or, with ``drawn="pixels"``, to show their pixels, and
    all boxes are cropped to the smallest. `zoom.tell_zoom` finds out which.

    Parameters
    ----------
    classes : sequence of ClassAverage
        At least two usable ones.
    settings : Settings
        ``box``, ``mask_diameter``, ``max_shift`` and ``drawn`` are used.

    Returns
    -------
    WorkingSet

    Raises
    ------
    InputError
        Pictures that are not square, boxes that differ without pixel size, fewer than two usable.
    SettingsError
        A mask or working box that does not fit the box.
    """
    if len(classes) < 2:
        only = f"{classes[0].source}: only one class average" if classes else "No class average"
        raise InputError(f"{only} was given; give two or more to compare.")
    for item in classes:
        if item.image.shape[0] != item.image.shape[1]:
            height, width = item.image.shape
            raise InputError(
                f"{item.source}: image {item.source_index} is {height}×{width}; class averages "
                "must be square, so crop or pad them first."
            )
    reasons = [_why_unusable(item.image) for item in classes]
    contrast = _contrast_by_source(classes, reasons)
    frame = _common_frame(classes, settings.drawn)
    box = _working_box(settings, frame.box)
    images = room_for((len(classes), box, box))
    for index, item in enumerate(classes):
        if not reasons[index]:
            images[index] = frame.bring(item, box)[0] * contrast[index]
    scale = np.array([frame.source_pixels(item) * frame.box / box for item in classes])
    pixel_size = None if frame.pixel_size is None else frame.pixel_size * frame.box / box
    mask = disc_mask(box, _mask_pixels(settings.mask_diameter, frame, box))
    standardise(images, mask, out=images)
    overlay = _overlay(classes, frame, box)
    if overlay is not None:
        for k in np.flatnonzero(overlay[:, mask > 0].mean(axis=1) > MOST_COVERED):
            reasons[k] = reasons[k] or "is covered by print"
            images[k] = 0
    for k in np.flatnonzero(~images.any(axis=(1, 2))):
        reasons[k] = reasons[k] or "is constant inside the mask"
    if sum(not reason for reason in reasons) < 2:
        first = next(k for k, reason in enumerate(reasons) if reason)
        raise InputError(
            "Fewer than two class averages can be compared; "
            f"image {classes[first].source_index} of {classes[first].source} {reasons[first]}: "
            "give a file with at least two pictures of particles."
        )
    largest_scale = float(scale.max())
    max_shift = settings.max_shift
    working_shift = max(0.04 * box, 4.0) if max_shift is None else max_shift / largest_scale
    if working_shift >= box / 2:
        raise SettingsError(
            f"--max-shift {max_shift:g} is too large for this box; give less than "
            f"{box / 2 * largest_scale:g} px."
        )
    images.setflags(write=False)
    return WorkingSet(
        images=images,
        mask=frozen_array(mask),
        scale=frozen_array(scale, np.float64),
        pixel_size=pixel_size,
        contrast=frozen_array(contrast, np.int8),
        reasons=tuple(reasons),
        max_shift=working_shift,
        overlay=None if overlay is None else frozen_array(overlay, bool),
        notes=frame.notes,
    )


@dataclass(frozen=True)
class _Frame:
    """The common frame of all classes: a box of `box` pixels of `pixel_size` Å (None: unknown)."""

    box: int
    pixel_size: float | None
    same_field: bool  # every box shows the same field, whatever its pixels: scale box onto box
    notes: tuple[str, ...]

    def source_pixels(self, item: ClassAverage) -> float:
        """Return source pixels of `item` per pixel of the frame."""
        if self.same_field:
            return float(item.image.shape[0] / self.box)
        if self.pixel_size is None or item.pixel_size is None:
            return 1.0  # drawn pixel for pixel
        return self.pixel_size / item.pixel_size

    def bring(self, item: ClassAverage, box: int) -> FloatArray:
        """Return (1, box, box): `item` in the frame, Fourier-resampled to the working box."""
        return self.resampled(item, item.image, box)

    def resampled(self, item: ClassAverage, picture: FloatArray, box: int) -> FloatArray:
        """Return (1, box, box): a picture of `item`'s box, brought as `item` is."""
        images = picture[None]
        if self.same_field:
            return fourier_resample(images, box)
        # One resampling from source to working pixels, in a box chosen so that whole pixels fit.
        step = self.source_pixels(item) * self.box / box
        source_box, target = _matching_boxes(item.image.shape[0], step, box)
        return crop_or_pad(fourier_resample(crop_or_pad(images, source_box), target), box)


def _overlay(classes: Sequence[ClassAverage], frame: _Frame, box: int) -> NDArray[np.bool_] | None:
    """Return (n, box, box): where print covers the working pixels of each class; None for none."""
    if all(item.overlay is None for item in classes):
        return None
    overlay = np.zeros((len(classes), box, box), dtype=bool)
    for index, item in enumerate(classes):
        if item.overlay is not None:
            covered = frame.resampled(item, item.overlay.astype(np.float32), box)
            overlay[index] = covered[0] > COVERED
    return overlay if overlay.any() else None


def _matching_boxes(side: int, step: float, box: int) -> tuple[int, int]:
    """Return (source box, resampled box) whose ratio is nearest to `step` source pixels."""
    least = max(side, int(np.ceil(step * box)))
    candidates = np.arange(least, least + 33)
    targets = np.maximum(np.rint(candidates / step), 1)
    best = int(np.argmin(np.abs(candidates / targets - step)))
    return int(candidates[best]), int(targets[best])


def at_unknown_zoom(item: ClassAverage) -> bool:
    """Say whether a class average is the square of a montage whose pixel size nobody knows."""
    return item.x is not None and item.pixel_size is None


def _common_frame(classes: Sequence[ClassAverage], geometry: str) -> _Frame:
    drawn = [item for item in classes if at_unknown_zoom(item)]
    others = [item for item in classes if not at_unknown_zoom(item)]
    if drawn and others and geometry == "pixels":
        return _frame_of_drawn_pixels(drawn, others)
    if drawn:
        return _frame_of_drawn(drawn, others)
    boxes = sorted({item.image.shape[0] for item in classes})
    sizes = {item.pixel_size for item in classes}
    known = sorted(size for size in sizes if size is not None)
    notes: list[str] = []
    if None in sizes and known:
        notes.append(
            "Some sources have no pixel size; all are compared in pixels (give --pixel-size)."
        )
        known = []
    if len(boxes) == 1 and len(known) <= 1:
        return _Frame(boxes[0], known[0] if known else None, True, tuple(notes))
    if not known:
        raise _boxes_differ(classes)
    coarsest = known[-1]
    fields = [item.image.shape[0] * float(item.pixel_size or coarsest) for item in classes]
    box = int(min(fields) / coarsest + 1e-6)
    if len(known) > 1:
        notes.append(
            f"Pixel sizes of {known[0]:g} to {coarsest:g} Å were brought to {coarsest:g} Å."
        )
    if max(fields) > min(fields) * (1 + 1e-6):
        notes.append(f"Boxes were cropped to the smallest field, {box} px of {coarsest:g} Å.")
    return _Frame(box, coarsest, False, tuple(notes))


def _frame_of_drawn(drawn: Sequence[ClassAverage], others: Sequence[ClassAverage]) -> _Frame:
    """Return the frame where squares of montages at an unknown zoom take part."""
    boxes = sorted({item.image.shape[0] for item in (*drawn, *others)})
    notes: list[str] = []
    pixel_size = None
    if not others:
        if len(boxes) > 1:
            notes.append(
                f"Squares of {boxes[0]} to {boxes[-1]} px were scaled to one box of {boxes[0]} px."
            )
    elif all(item.pixel_size is not None for item in others):
        fields = sorted(item.image.shape[0] * float(item.pixel_size or 0) for item in others)
        if fields[-1] > SAME_FIELD * fields[0]:
            one_size = len({item.pixel_size for item in others}) == 1
            or_pixels = ", or give --drawn pixels if it shows them pixel for pixel"
            raise InputError(
                f"{drawn[0].source}: the zoom of its squares is unknown and the other inputs show "
                f"fields of {fields[0]:.0f} to {fields[-1]:.0f} Å; compare it with one at a time"
                f"{or_pixels if one_size else ''}."
            )
        pixel_size = fields[0] / boxes[0]
    elif len({item.image.shape[0] for item in others}) > 1:
        raise _boxes_differ(others)
    return _Frame(boxes[0], pixel_size, True, tuple(notes))


def _frame_of_drawn_pixels(drawn: Sequence[ClassAverage], others: Sequence[ClassAverage]) -> _Frame:
    """Return the frame where squares of montages show the pixels of the other inputs."""
    sizes = {item.pixel_size for item in others}
    known = sorted(size for size in sizes if size is not None)
    if len(known) > 1:
        raise InputError(
            f"{drawn[0].source}: its squares are to show other inputs pixel for pixel, but these "
            f"have pixels of {known[0]:g} to {known[-1]:g} Å; compare it with one at a time."
        )
    if None in sizes and len({item.image.shape[0] for item in others}) > 1:
        raise _boxes_differ(others)
    boxes = sorted({item.image.shape[0] for item in (*drawn, *others)})
    notes = [f"Boxes were cropped to the smallest, {boxes[0]} px."] if len(boxes) > 1 else []
    return _Frame(boxes[0], None if None in sizes else known[0], False, tuple(notes))


def _boxes_differ(classes: Sequence[ClassAverage]) -> InputError:
    first = classes[0]
    other = next(item for item in classes if item.image.shape != first.image.shape)
    return InputError(
        f"{other.source}: its box of {other.image.shape[0]} px differs from the "
        f"{first.image.shape[0]} px of {first.source}, and not every pixel size is known; give "
        "--pixel-size, or analyse them one by one."
    )


def _working_box(settings: Settings, frame_box: int) -> int:
    box = min(LARGEST_WORKING_BOX, frame_box) if settings.box is None else settings.box
    if box > frame_box:
        raise SettingsError(
            f"--box {box} is larger than the class averages ({frame_box} px); give a smaller one."
        )
    if box < SMALLEST_WORKING_BOX:
        raise SettingsError(
            f"A box of {box} px is too small to compare; give class averages of at least "
            f"{SMALLEST_WORKING_BOX} px."
        )
    return box


def _mask_pixels(diameter: MaskDiameter, frame: _Frame, box: int) -> float:
    """Return the diameter of the mask in working pixels."""
    pixels: float
    if diameter.unit == "angstrom":
        if frame.pixel_size is None:
            raise SettingsError(
                "--mask-diameter in Å needs a pixel size; give --pixel-size, or the diameter in "
                "pixels (such as 120px)."
            )
        pixels = diameter.value / frame.pixel_size
    else:
        pixels = diameter.value * (frame.box if diameter.unit == "box" else 1.0)
    least = _SMALLEST_MASK * frame.box / box
    if not least <= pixels <= frame.box:
        step, unit = 1.0, "px"  # as they are given on the command line
        if diameter.unit == "angstrom" and frame.pixel_size is not None:
            step, unit = frame.pixel_size, " Å"
        raise SettingsError(
            f"--mask-diameter of {pixels * step:.0f}{unit} does not fit a box of "
            f"{frame.box * step:.0f}{unit}; give {math.ceil(least * step)}{unit} to "
            f"{math.floor(frame.box * step)}{unit}."
        )
    return float(pixels * box / frame.box)


def _why_unusable(image: FloatArray) -> str:
    if not np.isfinite(image).all():
        return "has NaN or infinite pixels"
    if image.min() == image.max():
        return "is constant"
    return ""


def _contrast_by_source(
    classes: Sequence[ClassAverage], reasons: Sequence[str]
) -> NDArray[np.int8]:
    """Return (n,) +1 or −1; the classes of one source share their contrast.

    Files of one image each vote together with the others of their folder: one picture alone may
    show a particle so long that the vote is wrong.
    """
    contrast = np.ones(len(classes), dtype=np.int8)
    images_in = Counter(item.source for item in classes)
    by_source: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for index, item in enumerate(classes):
        if not reasons[index]:
            alone = images_in[item.source] == 1
            name = str(Path(item.source).parent) if alone else item.source
            by_source.setdefault((name, item.image.shape), []).append(index)
    for members in by_source.values():
        contrast[members] = contrast_sign([classes[k].image for k in members])
    return contrast


def _border_median(images: NDArray[Any]) -> NDArray[Any]:
    border = np.ones(images.shape[1:], dtype=bool)
    border[1:-1, 1:-1] = False
    return np.asarray(np.median(images[:, border], axis=1))


def _pictures(images: FloatArray) -> FloatArray:
    """Return a view of one or more pictures as (n, height, width)."""
    return images.reshape(-1, *images.shape[-2:])
