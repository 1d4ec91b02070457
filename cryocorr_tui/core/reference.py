"""Hunt one particle view in a picture: every place, rotation, mirror state and scale.

Three passes, from everywhere to exactly there. The *proposal* correlates a small copy of the
picture with the reference in all its rotations, mirror states and scales, by batches of FFTs, and
keeps the places where the best of them peaks. The *search* finds the few best poses at each place
(`search.CoarseSearch`). The *refinement* maximises the correlation over rotation, shift and scale.
Every correlation is a Pearson coefficient inside the disc of the reference, −1…1.

How much is enough? A picture full of particles holds many places that look a little like the
reference. So decoys are hunted beside it: the same reference, in which each angular order is turned
by an angle of its own. A decoy has the radial profile, the elongation and the fineness of the
reference, and is another particle. What the decoys reach in this very picture, where the reference
does no better than they, is what a wrong view reaches; the threshold is what the best decoy would
exceed in one picture of a hundred.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import NDArray
from scipy import fft

from cryocorr_tui.core.backend import Backend, usable_cpus
from cryocorr_tui.core.detection import detect_squares
from cryocorr_tui.core.errors import InputError, SettingsError
from cryocorr_tui.core.model import Detection, FloatArray, Montage, Pose, Square, frozen_array
from cryocorr_tui.core.polar import shift_lattice
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.readers import read
from cryocorr_tui.core.search import CoarseSearch

__all__ = [
    "Hit",
    "Hunt",
    "Reference",
    "ReferenceSpec",
    "hunt",
    "load_reference",
    "parse_reference",
    "strongest",
]

SCALES = (0.7, 1.4)
SMALLEST_BOX = 16  # pixels; less does not tell one view from another
DISC = 0.9  # diameter of the disc as a part of the box

PROPOSAL_DISC = 18.0  # pixels: diameter of the disc where the whole picture is correlated
SEARCH_BOX = 40  # pixels: box of the search for poses
LARGEST_FINE_BOX = 96  # pixels: box of the refinement
DECOYS = 16
FALSE_ALARM = 0.01  # chance of a false hit in a picture

_LEAST_PROPOSAL = 0.25  # a place below this correlation is not looked at
_BLOCK = 128  # pixels: side of the FFTs of the proposal
_BYTES_AT_ONCE = {False: 4 << 20, True: 256 << 20}  # in the cache of a CPU, in the memory of a GPU
_COLUMNS_AT_ONCE = 512
_FAINTEST = 1e-3  # local contrast, as a part of the picture's, below which there is none
_POSES = 3  # refined at each place
_DECOY_PLACES = 5  # refined for each decoy
_OVERLAP = 0.3  # of the smaller disc, above which two hits are one
_SLACK = 0.1  # correlation that the refinement may still win
_STEPS = 8
_LONGEST_STEP = 1.5  # pixels at the rim of the disc; further the linearisation does not hold
_STILL = 0.02  # pixels at the rim


@dataclass(frozen=True)
class ReferenceSpec:
    """Which picture the reference is: a box in a picture, or an image by its index.

    Exactly one of `box` (x, y, width, height in pixels, y down) and `index` (0-based: image of a
    stack, or square of a montage in reading order) is not None.
    """

    path: Path
    box: tuple[float, float, float, float] | None = None
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """One particle view.

    Attributes
    ----------
    source : str
        Where it is from, as the user named it.
    image : (box, box) float32
        Its centre is the pixel ``box // 2``.
    diameter : float
        Of the disc it is compared in, in pixels.
    """

    source: str
    image: FloatArray
    diameter: float

    @property
    def mask(self) -> FloatArray:
        """(box, box) float32, 1 inside the disc and 0 outside."""
        return disc_mask(self.image.shape[-1], self.diameter)


@dataclass(frozen=True)
class Hit:
    """A place where the reference was found.

    Attributes
    ----------
    square : Square
        The reference's box at the hit's scale, upright; pixels of the picture.
    score : float
        Correlation coefficient of reference and picture inside the disc, −1…1.
    rotation, mirrored
        Bring the *reference* onto the hit, as `model.Pose` does: mirror it left-right if
        `mirrored`, then rotate it counter-clockwise on screen by `rotation` in [0, 360) degrees.
    scale : float
        Pixels of the picture per pixel of the reference.
    y, x : float
        Where the centre of the reference, its pixel ``box // 2``, falls; whole numbers are the
        centres of pixels.
    """

    square: Square
    score: float
    rotation: float
    mirrored: bool
    scale: float
    y: float
    x: float


@dataclass(frozen=True)
class Hunt:
    """What was found in one picture.

    Attributes
    ----------
    source : str
        The picture.
    hits : tuple of Hit
        The best first.
    threshold : float
        The least score of a hit, −1…1.
    explanation : str
        Where the threshold comes from, one sentence.
    """

    source: str
    hits: tuple[Hit, ...]
    threshold: float
    explanation: str

    def detection(self) -> Detection:
        """Return the squares of the hits in reading order."""
        squares = _reading_order([hit.square for hit in self.hits])
        return Detection(self.source, tuple(squares), (self.explanation,))


# --------------------------------------------------------------------------------------------------
# The reference
# --------------------------------------------------------------------------------------------------

_NUMBER = r"\s*(\d+(?:\.\d*)?)\s*"
_BOX = re.compile(rf"(?P<path>.+):{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}", re.DOTALL)
_INDEX = re.compile(r"(?P<path>.+)#(?P<index>\d+)", re.DOTALL)


def parse_reference(text: str) -> ReferenceSpec:
    """Read what the user wrote: ``FILE:X,Y,W,H`` or ``FILE#INDEX``.

    The last ``:`` or ``#`` counts, so that names may contain both.

    Raises
    ------
    SettingsError
        If it is neither.
    """
    found = _BOX.fullmatch(text)
    if found is not None:
        x, y, width, height = (float(number) for number in found.groups()[1:])
        if min(width, height) <= 0:
            raise SettingsError(f"--reference {text}: width and height must be above 0.")
        return ReferenceSpec(Path(found["path"]), box=(x, y, width, height))
    found = _INDEX.fullmatch(text)
    if found is not None:
        return ReferenceSpec(Path(found["path"]), index=int(found["index"]))
    raise SettingsError(
        f"--reference {text} is not understood; give FILE:X,Y,W,H (pixels from the top left "
        "corner) or FILE#INDEX (counted from 0)."
    )


def load_reference(spec: ReferenceSpec, *, bottom_up: bool = False) -> Reference:
    """Read one particle view.

    A box or image that is not square gives its largest centred square.

    Parameters
    ----------
    spec : ReferenceSpec
    bottom_up : bool
        The squares of a montage count from the bottom row, as in `detect_squares`.

    Raises
    ------
    InputError
        A file that cannot be read, an index or a box that is not in it, a box smaller than
        `SMALLEST_BOX`, pixels that are not finite, or no contrast.
    NoSquaresError
        An index into a picture without a grid.
    """
    source = read(spec.path)
    if isinstance(source, Montage):
        picture, place = _grey(source), spec.box
        if spec.index is not None:
            squares = detect_squares(source, bottom_up=bottom_up).squares
            _require_index(spec, len(squares), "squares")
            square = squares[spec.index]
            place = (square.x, square.y, square.width, square.height)
    else:
        if spec.index is None and len(source.images) > 1:
            raise InputError(
                f"{spec.path} holds {len(source.images)} images; give {spec.path}#INDEX."
            )
        index = spec.index or 0
        _require_index(spec, len(source.images), "images")
        picture, place = source.images[index], spec.box
    name = f"{spec.path}#{spec.index}" if spec.box is None else str(spec.path)
    return _checked(name, picture if place is None else _cut(spec, picture, place))


def _require_index(spec: ReferenceSpec, count: int, what: str) -> None:
    if spec.index is not None and spec.index >= count:
        raise InputError(
            f"{spec.path} has no number {spec.index}: it holds {count} {what}, counted from 0."
        )


def _cut(
    spec: ReferenceSpec, picture: FloatArray, place: tuple[float, float, float, float]
) -> FloatArray:
    x, y, width, height = (round(value) for value in place)
    rows, columns = picture.shape
    if x + width > columns or y + height > rows:
        raise InputError(
            f"The reference {x},{y},{width},{height} leaves {spec.path}, which is "
            f"{columns}×{rows} pixels; choose a box inside."
        )
    return picture[y : y + height, x : x + width]


def _checked(name: str, image: FloatArray) -> Reference:
    box = min(image.shape)
    if box < SMALLEST_BOX:
        raise InputError(
            f"The reference {name} is {image.shape[1]}×{image.shape[0]} pixels; choose a view of "
            f"at least {SMALLEST_BOX}×{SMALLEST_BOX}."
        )
    top, left = (side // 2 - box // 2 for side in image.shape)
    image = frozen_array(image[top : top + box, left : left + box])
    reference = Reference(name, image, DISC * box)
    inside = image[reference.mask > 0]
    if not np.isfinite(inside).all():
        raise InputError(f"The reference {name} has pixels that are no numbers; choose another.")
    if float(np.ptp(inside)) <= 1e-6 * float(np.abs(inside).max()):
        raise InputError(f"The reference {name} is constant; choose a view that shows a particle.")
    return reference


def _grey(montage: Montage) -> FloatArray:
    """Return the luminance of a picture, (height, width) float32; what is no number becomes 0."""
    picture = np.nan_to_num(montage.picture.astype(np.float32), posinf=0.0, neginf=0.0)
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return picture


# --------------------------------------------------------------------------------------------------
# The hunt
# --------------------------------------------------------------------------------------------------


def hunt(
    montage: Montage,
    reference: Reference,
    *,
    scales: tuple[float, float] = SCALES,
    mirror: bool = True,
    threshold: float | None = None,
    backend: Backend | None = None,
) -> Hunt:
    """Find a particle view in a picture, with or without a grid.

    The contrast is that of the reference: where the picture is its negative there is no hit.

    Parameters
    ----------
    montage : Montage
    reference : Reference
    scales : (low, high)
        Range of pixels of the picture per pixel of the reference.
    mirror : bool
        Whether mirror images are hits too.
    threshold : float, optional
        The least score of a hit, −1…1. By default what a wrong view would exceed in one picture of
        a hundred, from decoys (see the top of this module).
    backend : Backend, optional
        Where to correlate; by default the CPU.

    Returns
    -------
    Hunt

    Raises
    ------
    InputError
        A reference larger than the picture at every scale.
    SettingsError
        Scales or a threshold out of range.
    """
    _validate(scales, threshold)
    backend = backend or Backend("cpu")
    picture = _grey(montage)
    if reference.diameter * scales[0] > min(picture.shape):
        height, width = picture.shape
        raise InputError(
            f"The reference {reference.source} ({len(reference.image)} px) does not fit into "
            f"{montage.source} ({width}×{height}) at a scale of {scales[0]:g}; choose a smaller "
            "one or allow smaller scales."
        )
    pyramid = _Pyramid(picture)
    places = _propose(pyramid, reference, scales=scales, mirror=mirror, backend=backend)
    views = _views(reference, scales[0])
    if threshold is not None:
        views = views[:1]
    poses = _search(pyramid, places, views, reference, scales, mirror=mirror, backend=backend)
    explanation = "The threshold was given."
    if threshold is None:
        threshold, explanation = _threshold_from_decoys(pyramid, views, poses)
    promising = poses.best[0] >= threshold - _SLACK
    found = [_refined(pyramid, views[0], poses.starts(0, k)) for k in np.flatnonzero(promising)]
    hits = [
        _hit(placement, score, reference, picture.shape)
        for placement, score in found
        if score >= threshold and scales[0] / 1.05 <= placement.scale <= scales[1] * 1.05
    ]
    return Hunt(montage.source, _without_overlap(hits, reference), threshold, explanation)


def _validate(scales: tuple[float, float], threshold: float | None) -> None:
    low, high = scales
    if not 0 < low <= high < math.inf:
        raise SettingsError(f"Scales from {low:g} to {high:g} make no range; give 0 < low ≤ high.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise SettingsError(f"A threshold of {threshold:g} is no correlation; give −1 to 1.")


@dataclass(frozen=True, eq=False)
class _Placement:
    """Where the reference lies: picture (x, y) = centre + linear @ offset from its centre."""

    linear: NDArray[np.float64]  # (2, 2): rotation, mirror and scale
    centre: NDArray[np.float64]  # (x, y)

    @property
    def mirrored(self) -> bool:
        return bool(np.linalg.det(self.linear) < 0)

    @property
    def scale(self) -> float:
        return math.sqrt(abs(np.linalg.det(self.linear)))

    @property
    def rotation(self) -> float:
        # The second column is scale × (sin, cos) with and without a mirror; see Pose.linear.
        angle = math.degrees(math.atan2(self.linear[0, 1], self.linear[1, 1]))
        return angle % 360.0 % 360.0

    def moved(self, shift: NDArray[np.float64], turn: float, growth: float) -> _Placement:
        """Undo a small motion of the reference: by shift (x, y), turn and relative growth."""
        c, s = math.cos(turn), math.sin(turn)
        linear = self.linear @ np.array([[c, s], [-s, c]]) * math.exp(-growth)
        return _Placement(linear, self.centre - linear @ shift)


class _Pyramid:
    """A picture and reduced copies of it, so that sampling never skips pixels."""

    def __init__(self, picture: FloatArray) -> None:
        self._levels = {0: np.ascontiguousarray(picture)}

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self._levels[0].shape
        return height, width

    def reduced(self, height: int, width: int) -> FloatArray:
        """Return the picture at another, not larger size."""
        copy: FloatArray = cv2.resize(
            self._levels[0], (width, height), interpolation=cv2.INTER_AREA
        )
        return copy

    def sample(
        self, linear: NDArray[np.float64], centre: NDArray[np.float64], side: int
    ) -> FloatArray:
        """Return (side, side): its pixel side // 2 shows `centre`, offsets go through `linear`."""
        step = math.sqrt(abs(np.linalg.det(linear)))
        octave = max(0, round(2 * math.log2(step)))  # levels are half octaves apart
        if octave not in self._levels:
            self._levels[octave] = self.reduced(
                *(max(1, round(length * 2 ** (-octave / 2))) for length in self.shape)
            )
        level = self._levels[octave]
        factor = np.array(level.shape[::-1]) / np.array(self.shape[::-1])
        matrix = linear * factor[:, None]
        origin = (centre + 0.5) * factor - 0.5 - matrix @ [side // 2, side // 2]
        patch: FloatArray = cv2.warpAffine(
            level,
            np.column_stack([matrix, origin]),
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return patch


# --------------------------------------------------------------------------------------------------
# Proposal: masked correlation with everything, everywhere
# --------------------------------------------------------------------------------------------------


def _propose(
    pyramid: _Pyramid,
    reference: Reference,
    *,
    scales: tuple[float, float],
    mirror: bool,
    backend: Backend,
) -> NDArray[np.float64]:
    """Return the places (n, 2) as (x, y) in the picture where the correlation peaks."""
    height, width = pyramid.shape
    # Reference pixels per proposal pixel at scale 1; at no scale is the picture enlarged.
    reduction = max(1.0, reference.diameter / PROPOSAL_DISC)
    rows, columns = (max(1, round(length / reduction)) for length in (height, width))
    small = pyramid.reduced(rows, columns).astype(np.float64)
    small = (small - small.mean()) / (small.std() or 1.0)
    diameter = reference.diameter / reduction
    steps = _scale_steps(scales, radius=diameter / 2, rim=0.7)
    side = math.ceil(diameter * steps[-1]) // 2 * 2 + 3
    block = max(_BLOCK, fft.next_fast_len(3 * side, real=True))
    tiles, layout = _tiles(small, block, side)
    tiles = backend.to_device(tiles)
    best = np.full((rows, columns), -1.0, dtype=np.float32)
    for scale in steps:
        disc = disc_mask(side, diameter * scale)
        templates = _templates(reference, disc, reduction / scale, mirror=mirror)
        scores = strongest(
            tiles,
            backend.to_device(templates),
            backend.to_device(disc),
            bytes_at_once=_BYTES_AT_ONCE[backend.is_cuda],
        )
        scores = layout.joined(backend.to_host(scores))
        rim = math.floor(diameter * scale / 2)  # nearer to the edge the disc leaves the picture
        inner = (slice(rim, rows - rim), slice(rim, columns - rim))
        best[inner] = np.maximum(best[inner], scores[inner])
    # Discs that do not overlap are at least the smallest diameter apart.
    reach = max(1, math.floor(0.45 * diameter * steps[0]))
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    peaks = (best >= cv2.dilate(best, near)) & (best >= _LEAST_PROPOSAL)
    found = np.argwhere(peaks)[:, ::-1].astype(np.float64)
    return (found + 0.5) * [width / columns, height / rows] - 0.5


def strongest(tiles: Any, templates: Any, disc: Any, *, bytes_at_once: int = 4 << 20) -> Any:
    """Correlate tiles of a picture with many templates and keep the best of each place.

    Namespace and device are those of the arguments.

    Parameters
    ----------
    tiles : (n, block, block) float64
        Standardised parts of one picture.
    templates : (m, side, side) float32
        Zero outside the disc, zero mean and unit norm.
    disc : (side, side) float32
        0 or 1; local mean and local energy of the picture are taken in it.
    bytes_at_once : int
        Bounds the working memory.

    Returns
    -------
    (n, block − side + 1, block − side + 1) float32
        The largest correlation coefficient over all templates, −1…1, by their top left corner; 0
        where the picture has no contrast inside the disc.

    References
    ----------
    Padfield, D. (2012), masked normalised cross-correlation, doi:10.1109/TIP.2011.2173203; with
    one mask that no rotation changes, local mean and energy are shared by all templates.
    """
    xp = array_namespace(tiles)
    count, block, _ = tiles.shape
    side = disc.shape[-1]
    valid = block - side + 1
    pixels = xp.sum(xp.astype(disc, xp.float64))

    def correlated(spectra: Any, spectrum: Any) -> Any:
        return _irfft2(spectra * xp.conj(spectrum), block)[..., :valid, :valid]

    # In double precision, since local mean and energy nearly cancel where contrast is low.
    window = _rfft2(xp.astype(disc, xp.float64), block)
    spectra = _rfft2(tiles, block)
    total = correlated(spectra, window)
    energy = correlated(_rfft2(tiles**2, block), window) - total**2 / pixels
    has_contrast = energy > pixels * _FAINTEST**2
    gain = xp.where(has_contrast, 1 / xp.sqrt(xp.where(has_contrast, energy, 1.0)), 0.0)

    spectra = xp.astype(spectra, xp.complex64)[:, None, :, :]
    each = max(1, bytes_at_once // (block * block * 8))
    rows = [
        _largest(spectra[first : first + each, ...], templates, block, valid, each)
        for first in range(0, count, each)
    ]
    return xp.concat(rows, axis=0) * xp.astype(gain, xp.float32)


def _largest(spectra: Any, templates: Any, block: int, valid: int, each: int) -> Any:
    """Return the largest correlation over all templates, (n, valid, valid)."""
    xp = array_namespace(spectra)
    together = max(1, each // spectra.shape[0])
    best = None
    for first in range(0, templates.shape[0], together):
        spectrum = xp.conj(_rfft2(templates[first : first + together, ...], block))
        product = _irfft2(spectra * spectrum[None, ...], block)[..., :valid, :valid]
        largest = xp.max(product, axis=1)
        best = largest if best is None else xp.maximum(best, largest)
    return best


def _rfft2(images: Any, side: int) -> Any:
    if is_numpy_array(images):
        return fft.rfft2(images, s=(side, side), workers=usable_cpus())
    xp = array_namespace(images)
    return xp.fft.rfftn(images, s=(side, side), axes=(-2, -1))


def _irfft2(spectra: Any, side: int) -> Any:
    if is_numpy_array(spectra):
        return fft.irfft2(spectra, s=(side, side), workers=usable_cpus(), overwrite_x=True)
    xp = array_namespace(spectra)
    return xp.fft.irfftn(spectra, s=(side, side), axes=(-2, -1))


@dataclass(frozen=True)
class _Layout:
    """How a picture was cut into overlapping tiles: (down, across) of them, every `step` pixels."""

    shape: tuple[int, int]
    grid: tuple[int, int]
    step: int

    def joined(self, parts: FloatArray) -> FloatArray:
        """Lay the (n, step, step) results of the tiles side by side again."""
        down, across = self.grid
        rows, columns = self.shape
        whole = parts.reshape(down, across, self.step, self.step).swapaxes(1, 2)
        return whole.reshape(down * self.step, across * self.step)[:rows, :columns]


def _tiles(picture: NDArray[np.float64], block: int, side: int) -> tuple[Any, _Layout]:
    """Cut a picture so that each placement of a template of `side` lies whole in one tile."""
    step = block - side + 1
    rows, columns = picture.shape
    down, across = -(-rows // step), -(-columns // step)
    before = side // 2
    padded = np.pad(
        picture,
        (
            (before, down * step + side - 1 - before - rows),
            (before, across * step + side - 1 - before - columns),
        ),
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, (block, block))[::step, ::step]
    layout = _Layout((rows, columns), (down, across), step)
    return np.ascontiguousarray(windows.reshape(-1, block, block)), layout


def _templates(reference: Reference, disc: FloatArray, step: float, *, mirror: bool) -> FloatArray:
    """Return the reference in all rotations and mirror states, (m, side, side), inside `disc`.

    ``step`` is reference pixels per template pixel.
    """
    side = disc.shape[-1]
    pyramid = _Pyramid(reference.image)
    middle = np.full(2, len(reference.image) // 2, dtype=np.float64)
    # Up to a quarter of the sampling frequency, the rim holds a quarter of its pixels as angular
    # orders; each takes two samples.
    count = math.ceil(0.5 * math.pi * reference.diameter / step)
    templates = np.stack(
        [
            pyramid.sample(Pose(360.0 * k / count, mirrored=m).linear().T * step, middle, side)
            for m in ((False, True) if mirror else (False,))
            for k in range(count)
        ]
    )
    inside = disc > 0
    templates -= templates[:, inside].mean(axis=1)[:, None, None]
    templates *= disc
    norm = np.sqrt((templates**2).sum(axis=(1, 2), keepdims=True))
    return templates / np.where(norm > 0, norm, np.float32(1))


def _scale_steps(
    scales: tuple[float, float], *, radius: float, rim: float
) -> NDArray[np.float64]:
    """Return scales so close that no other moves the rim by more than `rim` pixels."""
    low, high = scales
    count = math.ceil(math.log(high / low) / (2 * rim / radius)) + 1
    return np.geomspace(low, high, count)


# --------------------------------------------------------------------------------------------------
# Search: the best poses at each place, for the reference and its decoys
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _View:
    """The reference or a decoy, ready to be compared; `box` is that of the reference."""

    image: FloatArray  # (fine, fine)
    box: int
    diameter: float  # reference pixels

    @cached_property
    def levels(self) -> tuple[_Template, ...]:
        fine = len(self.image)
        return tuple(_Template(self.at(side), self) for side in sorted({SEARCH_BOX, fine}))

    def at(self, side: int) -> FloatArray:
        fine = len(self.image)
        middle = np.full(2, fine // 2, dtype=np.float64)
        return _Pyramid(self.image).sample(np.eye(2) * fine / side, middle, side)


def _views(reference: Reference, smallest: float) -> list[_View]:
    """Return the reference and its decoys at the resolution of the smallest hits."""
    box = len(reference.image)
    fine = min(max(SEARCH_BOX, math.floor(box * smallest)), LARGEST_FINE_BOX)
    middle = np.full(2, box // 2, dtype=np.float64)
    image = _Pyramid(reference.image).sample(np.eye(2) * box / fine, middle, fine)
    rng = np.random.default_rng(0)
    images = [image, *(_decoy(image, rng) for _ in range(DECOYS))]
    return [_View(item, box, reference.diameter) for item in images]


def _decoy(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a picture whose every angular order is turned by an angle of its own."""
    side = len(image)
    centre, radius = (side // 2, side // 2), side / 2
    rings = cv2.warpPolar(
        image,
        (2 * side, 4 * side),
        centre,
        radius,
        cv2.INTER_CUBIC | cv2.WARP_POLAR_LINEAR | cv2.WARP_FILL_OUTLIERS,
    )
    orders = fft.rfft(rings, axis=0)
    turns = np.exp(2j * np.pi * rng.uniform(size=(len(orders), 1)))
    turns[0] = 1
    rings = fft.irfft(orders * turns, n=len(rings), axis=0).astype(np.float32)
    return cv2.warpPolar(
        rings,
        (side, side),
        centre,
        radius,
        cv2.INTER_CUBIC | cv2.WARP_POLAR_LINEAR | cv2.WARP_INVERSE_MAP,
    )


@dataclass(frozen=True, eq=False)
class _Poses:
    """The best coarse poses of v views at n places: (`_POSES`, v, n) each, the best first."""

    correlation: FloatArray
    rotation: FloatArray
    mirrored: NDArray[np.bool_]
    scale: FloatArray
    x: FloatArray
    y: FloatArray

    @property
    def best(self) -> FloatArray:
        """(v, n) float32: the best correlation."""
        return self.correlation[0]

    def starts(self, view: int, place: int) -> list[_Placement]:
        at = (slice(None), view, place)
        rows = zip(
            self.rotation[at],
            self.mirrored[at],
            self.scale[at],
            self.x[at],
            self.y[at],
            strict=True,
        )
        return [
            _Placement(
                Pose(float(turn), mirrored=bool(flip)).linear() * float(scale),
                np.array([x, y], dtype=np.float64),
            )
            for turn, flip, scale, x, y in rows
        ]


def _search(
    pyramid: _Pyramid,
    places: NDArray[np.float64],
    views: Sequence[_View],
    reference: Reference,
    scales: tuple[float, float],
    *,
    mirror: bool,
    backend: Backend,
) -> _Poses:
    """Find the best poses of every view at every place."""
    box = len(reference.image)
    zoom = box / SEARCH_BOX
    steps = _scale_steps(scales, radius=reference.diameter / zoom / 2, rim=0.7)
    mask = disc_mask(SEARCH_BOX, reference.diameter / zoom + 2, edge=4.0)
    patches = [
        pyramid.sample(np.eye(2) * scale * zoom, place, SEARCH_BOX)
        for place in places
        for scale in steps
    ]
    stack = np.stack([*(view.at(SEARCH_BOX) for view in views), *patches])
    stack -= (stack * mask).sum(axis=(1, 2), keepdims=True) / mask.sum()
    stack *= mask
    # A place is known to about half a pixel of the proposal.
    shifts = shift_lattice(1.2 * reference.diameter / zoom / PROPOSAL_DISC)
    search = CoarseSearch(backend.to_device(stack), shifts, mirror=mirror, to_host=backend.to_host)
    rows = search.shifted(slice(0, len(views)))
    found = [
        search.candidates(rows, slice(first, min(first + _COLUMNS_AT_ONCE, len(stack))))
        for first in range(len(views), len(stack), _COLUMNS_AT_ONCE)
    ]
    shape = (-1, len(views), len(places), len(steps))
    correlation, rotation, shift_y, shift_x = (
        np.concatenate([getattr(part, name) for part in found], axis=-1).reshape(shape)
        for name in ("correlation", "rotation", "shift_y", "shift_x")
    )
    # Of each of the distinct rotations the best scale, of these the best few.
    peaks = len(correlation)
    at_scale = correlation.argmax(axis=-1)[..., None]
    chosen = np.take_along_axis(correlation, at_scale, axis=-1)[..., 0]
    order = np.argsort(-chosen, axis=0, kind="stable")[:_POSES]

    def take(values: NDArray[Any]) -> NDArray[Any]:
        best = np.take_along_axis(values, at_scale, axis=-1)[..., 0]
        return np.take_along_axis(best, order, axis=0)

    scale = steps[np.take_along_axis(at_scale[..., 0], order, axis=0)].astype(np.float32)
    mirrored = order >= peaks // 2
    rotation, shift_y, shift_x = take(rotation), take(shift_y), take(shift_x)
    # The search brings the patch onto the view; its inverse brings the view onto the patch.
    angle = np.deg2rad(np.where(mirrored, rotation, -rotation))
    sign = np.where(mirrored, -1.0, 1.0)
    c, s = np.cos(angle), np.sin(angle)
    back_x = -(c * sign * shift_x + s * shift_y)
    back_y = -(-s * sign * shift_x + c * shift_y)
    return _Poses(
        correlation=take(correlation),
        rotation=np.rad2deg(angle).astype(np.float32),
        mirrored=mirrored,
        scale=scale,
        x=(places[:, 0] + back_x * scale * zoom).astype(np.float32),
        y=(places[:, 1] + back_y * scale * zoom).astype(np.float32),
    )


# --------------------------------------------------------------------------------------------------
# Refinement
# --------------------------------------------------------------------------------------------------


class _Template:
    """A view at one resolution: values and derivatives on the pixels of its disc.

    The enhanced correlation coefficient method (Evangelidis & Psarakis 2008,
    doi:10.1109/TPAMI.2008.113) in its inverse form: the derivatives by shift x, shift y, turn and
    growth are those of the view and are computed once.
    """

    def __init__(self, image: FloatArray, view: _View) -> None:
        self.side = len(image)
        self.zoom = view.box / self.side  # reference pixels per pixel here
        diameter = view.diameter / self.zoom
        self.radius = diameter / 2
        self.inside = np.flatnonzero(disc_mask(self.side, diameter))
        offset = np.arange(self.side, dtype=np.float64) - self.side // 2
        slope_y, slope_x = np.gradient(image.astype(np.float64))
        x, y = offset[None, :], offset[:, None]
        slopes = np.stack(
            [slope_x, slope_y, slope_y * x - slope_x * y, slope_x * x + slope_y * y]
        ).reshape(4, -1)[:, self.inside]
        values = image.reshape(-1)[self.inside].astype(np.float64)
        values -= values.mean()
        norm = np.linalg.norm(values)
        self.values = values / norm
        self.slopes = (slopes - slopes.mean(axis=1, keepdims=True)) / norm
        self.inverse_hessian = np.linalg.inv(self.slopes @ self.slopes.T)
        self.projection = self.slopes @ self.values

    def aligned(self, pyramid: _Pyramid, placement: _Placement) -> tuple[_Placement, float]:
        """Return the best placement near `placement`, and its correlation coefficient."""
        best, highest = placement, -1.0
        for _ in range(_STEPS):
            patch = pyramid.sample(placement.linear * self.zoom, placement.centre, self.side)
            seen = patch.reshape(-1)[self.inside].astype(np.float64)
            seen -= seen.mean()
            norm = np.linalg.norm(seen)
            if norm <= 1e-6:
                break
            seen /= norm
            correlation = float(self.values @ seen)
            if correlation > highest:
                best, highest = placement, correlation
            explained = self.inverse_hessian @ (self.slopes @ seen)
            left = correlation - self.projection @ explained
            if left <= 0:
                break
            whole = 1 - self.projection @ self.inverse_hessian @ self.projection
            motion = explained * (whole / left) - self.inverse_hessian @ self.projection
            length = math.hypot(*motion[:2]) + self.radius * math.hypot(*motion[2:])
            if length < _STILL:
                break
            motion *= min(1.0, _LONGEST_STEP / length)
            placement = placement.moved(motion[:2] * self.zoom, motion[2], motion[3])
        return best, highest


def _refined(
    pyramid: _Pyramid, view: _View, starts: Sequence[_Placement]
) -> tuple[_Placement, float]:
    """Refine each start at rising resolution and return the best placement and its score."""
    coarse = [view.levels[0].aligned(pyramid, start) for start in starts]
    if len(view.levels) > 1:
        coarse = [view.levels[1].aligned(pyramid, placement) for placement, _ in coarse]
    return max(coarse, key=lambda found: found[1])


# --------------------------------------------------------------------------------------------------
# What counts
# --------------------------------------------------------------------------------------------------


def _threshold_from_decoys(
    pyramid: _Pyramid, views: Sequence[_View], poses: _Poses
) -> tuple[float, str]:
    """Return the score that a decoy exceeds somewhere in `FALSE_ALARM` of such pictures."""
    best = poses.best
    beaten = best[0] <= best[1:].max(axis=0)
    places = np.flatnonzero(beaten) if beaten.any() else np.arange(best.shape[1])
    highest = []
    for decoy in range(1, len(views)):
        tried = places[np.argsort(-best[decoy, places])[:_DECOY_PLACES]]
        scores = [_refined(pyramid, views[decoy], poses.starts(decoy, k))[1] for k in tried]
        highest.append(max(scores))
    # Maxima follow Gumbel's law: its quantile from mean and spread, on Fisher's z.
    z = np.arctanh(np.clip(highest, -0.999, 0.999))
    spread = z.std(ddof=1) * math.sqrt(6) / math.pi
    quantile = z.mean() + spread * (-math.log(-math.log(1 - FALSE_ALARM)) - np.euler_gamma)
    threshold = math.tanh(quantile)
    return threshold, f"threshold {threshold:.2f}; {len(places)} {min(highest):.2f} {max(highest):.2f}"


def _hit(
    placement: _Placement, score: float, reference: Reference, shape: tuple[int, int]
) -> Hit:
    box = len(reference.image)
    side = box * placement.scale
    x, y = (placement.centre + 0.5 - (box // 2 + 0.5) * placement.scale).tolist()
    cut = x < -0.5 or y < -0.5 or x + side > shape[1] + 0.5 or y + side > shape[0] + 0.5
    return Hit(
        square=Square(x, y, side, side, min(max(score, 0.0), 1.0), cut),
        score=score,
        rotation=placement.rotation,
        mirrored=placement.mirrored,
        scale=placement.scale,
        y=float(placement.centre[1]),
        x=float(placement.centre[0]),
    )


def _without_overlap(hits: Sequence[Hit], reference: Reference) -> tuple[Hit, ...]:
    """Return hits, the best first, that overlap no better one."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if all(_overlap(hit, other, reference.diameter) <= _OVERLAP for other in kept):
            kept.append(hit)
    return tuple(kept)


def _overlap(first: Hit, second: Hit, diameter: float) -> float:
    """Return the part of the smaller disc that lies in the other, 0…1."""
    a, b = sorted((first.scale * diameter / 2, second.scale * diameter / 2))
    distance = math.hypot(first.x - second.x, first.y - second.y)
    if distance >= a + b:
        return 0.0
    if distance <= b - a:
        return 1.0
    # The lens of two circles.
    near = (distance**2 + a**2 - b**2) / (2 * distance)
    far = distance - near
    lens = a * a * math.acos(near / a) - near * math.sqrt(a * a - near * near)
    lens += b * b * math.acos(far / b) - far * math.sqrt(b * b - far * far)
    return lens / (math.pi * a * a)


def _reading_order(squares: Sequence[Square]) -> list[Square]:
    """Sort squares into rows from top to bottom, each from left to right."""
    ordered: list[Square] = []
    left = sorted(squares, key=lambda square: square.y)
    while left:
        row = [square for square in left if square.y < left[0].y + left[0].height / 2]
        ordered += sorted(row, key=lambda square: square.x)
        left = [square for square in left if square not in row]
    return ordered
