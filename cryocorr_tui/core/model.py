"""The nouns of the program, and the pose convention.

Every array is host memory, float32 unless said otherwise, read-only, and goes y before x.

Pose convention
---------------
To bring class j onto class i: mirror j left-right if ``mirrored`` (x → −x about the centre), then
rotate it by ``rotation`` degrees counter-clockwise as seen on screen (y runs down), about the
pixel ``(box // 2, box // 2)``, then shift it by ``(shift_y, shift_x)``, positive down and right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "DRAWN",
    "METRICS",
    "PAIR_FIELDS",
    "SPECTRAL_WEIGHTINGS",
    "ClassAverage",
    "Detection",
    "DisplacementField",
    "DisplacementSettings",
    "Groups",
    "Hit",
    "MaskDiameter",
    "MetricWeights",
    "Montage",
    "PairAlignment",
    "Pose",
    "Quality",
    "RigidMotion",
    "Settings",
    "Square",
    "Stack",
    "frozen_array",
    "settings_from",
]

FloatArray = NDArray[np.float32]

METRICS = ("ncc", "ssim", "nmi")

SPECTRAL_WEIGHTINGS = ("none", "snr")  # of the Fourier rings, before search and metrics

DRAWN = ("auto", "field", "pixels")  # what squares of montages show where no pixel size tells

# What the store keeps of each pair, in this order, float32. Shifts and the FRC period are in pixels
# of the source box, ``mirrored`` is 0 or 1, what was not scored is NaN in every field.
PAIR_FIELDS = (
    "blend",
    "ncc",
    "ssim",
    "nmi",
    "frc_resolution_px",
    "rotation_deg",
    "shift_y_px",
    "shift_x_px",
    "mirrored",
)


def frozen_array(values: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return a C-contiguous, read-only copy of `values` as `dtype`."""
    array = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Stack:
    """Class averages as one file holds them.

    Attributes
    ----------
    source : str
        The path, as the user named it.
    images : (n, height, width) float32
        In file order.
    pixel_size : float or None
        Å per pixel; None where it is unknown or not believable.
    format : str
        Human name of the file format ("MRC", "EMAN2 HDF", "SPIDER", "IMAGIC", "TIFF" …).
    particles : (n,) float64 or None
        Particles behind each class; NaN where a single class lacks the number.
    resolution : (n,) float64 or None
        Å; NaN where a single class lacks the number.
    notes : tuple of str
        What the user should know, each the rest of a sentence that begins with the file's name.
    """

    source: str
    images: FloatArray
    pixel_size: float | None = None
    format: str = ""
    particles: NDArray[np.float64] | None = None
    resolution: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Montage:
    """A picture that may hold a grid of class averages, or be one class average itself.

    Attributes
    ----------
    source : str
        The path, as the user named it.
    picture : (height, width) or (height, width, 3) uint8, uint16 or float32
        Grey or RGB (never BGR, never with alpha: transparent pixels are laid on white).
    pixel_size : float or None
        Å per pixel of the class averages as drawn; None where unknown.
    """

    source: str
    picture: NDArray[np.generic]
    pixel_size: float | None = None
    format: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Labels:
    """What is printed and drawn on one square of a montage.

    Attributes
    ----------
    mask : (h, w) bool
        True for pixels of the square, as `detection.cut_out` cuts it, that show text, a bar or a
        frame rather than the class average, with a rim of one pixel.
    text : str
        The lines that could be read, parted by "; "; what could not be read is left out.
    particles, resolution : float or None
        Count and Å.
    class_index : int or None
        The number of the class, as printed.
    selected : bool
        A coloured frame is drawn around the square.
    """

    mask: NDArray[np.bool_]
    text: str = ""
    particles: float | None = None
    resolution: float | None = None
    class_index: int | None = None
    selected: bool = False


@dataclass(frozen=True)
class Hit:
    """How well, and in which pose, the reference was found at one place of a picture.

    Attributes
    ----------
    score : float
        Correlation coefficient of reference and picture inside the disc, 40 pixels across the box,
        −1…1.
    rotation, mirrored
        Bring the *reference* onto the hit, as `Pose` does: mirror it left-right if `mirrored`,
        then rotate it by `rotation` degrees, in [0, 360), counter-clockwise on screen.
    scale : float
        Pixels of the picture per pixel of the reference.
    y, x : float
        Where the centre of the reference, its pixel ``box // 2``, falls in the picture; whole
        numbers are the centres of pixels.
    """

    score: float
    rotation: float
    mirrored: bool
    scale: float
    y: float
    x: float


@dataclass(frozen=True)
class Square:
    """One class average found in a montage; pixels of the montage, y down, border excluded.

    ``x, y`` is the top-left corner (may be fractional), ``confidence`` lies in 0…1, ``cut`` says
    that the edge of the picture cuts it, ``labels`` is what is printed on it (None where nobody has
    looked); ``hit`` tells how the reference lies here where one was hunted, else it is None.
    ``grid`` counts the grids of the montage from 1, ``grid_confidence`` (0…1) is the mean of what
    its whole squares have; both are None for a hit.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float
    cut: bool = False
    labels: Labels | None = None
    hit: Hit | None = None
    grid: int | None = None
    grid_confidence: float | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """The squares of one montage in reading order."""

    source: str
    squares: tuple[Square, ...]
    notes: tuple[str, ...] = ()

    @property
    def shows_selection(self) -> bool:
        """Whether any square is shown selected; where none is, nobody has selected at all."""
        return any(square.labels is not None and square.labels.selected for square in self.squares)


@dataclass(frozen=True, eq=False)
class ClassAverage:
    """One class average of a run.

    ``image`` is (height, width) float32 at source pixels, ``pixel_size`` and ``resolution`` are in
    Å; ``x, y, width, height`` tell where it stood in its montage (None for stacks). ``overlay`` is
    (height, width) bool, True where print covers the class average and `image` is only filled in
    (None: nowhere); ``selected`` tells whether the montage shows it selected (None: no montage, or
    one that shows no selection).
    """

    class_id: int
    source: str
    source_index: int
    image: FloatArray
    pixel_size: float | None = None
    particles: float | None = None
    resolution: float | None = None
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    overlay: NDArray[np.bool_] | None = None
    selected: bool | None = None


@dataclass(frozen=True, eq=False)
class Quality:
    """Quality of n class averages; each score is (n,) float32 in 0…1, NaN where not computable."""

    quality: FloatArray
    texture: FloatArray
    edge: FloatArray
    signal: FloatArray
    centring: FloatArray
    fill: FloatArray


@dataclass(frozen=True)
class Pose:
    """How class j is brought onto class i; see the convention at the top of this module.

    Parameters
    ----------
    rotation : float
        Degrees counter-clockwise on screen, in [0, 360).
    shift_y, shift_x : float
        Pixels, positive down and right.
    mirrored : bool
        Mirror left-right first.
    """

    rotation: float = 0.0
    shift_y: float = 0.0
    shift_x: float = 0.0
    mirrored: bool = False

    def linear(self) -> NDArray[np.float64]:
        """Return the 2×2 matrix that takes (x, y) offsets of j to those of i, before the shift."""
        angle = math.radians(self.rotation)
        c, s = math.cos(angle), math.sin(angle)
        # Counter-clockwise on screen with y down: x' = x cos + y sin, y' = −x sin + y cos.
        sign = -1.0 if self.mirrored else 1.0
        return np.array([[c * sign, s], [-s * sign, c]])

    def inverse(self) -> Pose:
        """Return the pose that brings i onto j."""
        y, x = self.shift_y, self.shift_x
        back = -(self.linear().T @ np.array([x, y]))  # the linear part is orthogonal
        rotation = self.rotation if self.mirrored else -self.rotation
        # A tiny negative angle would round to 360 itself, hence the second remainder.
        return Pose(rotation % 360.0 % 360.0, float(back[1]), float(back[0]), self.mirrored)

    def sampling_matrix(self, box: int, scale: float = 1.0) -> NDArray[np.float64]:
        """Return the 2×3 affine map from pixel (x, y) of i's frame to the pixel of j it shows.

        Parameters
        ----------
        box : int
            Side of both images; the centre is ``box // 2``.
        scale : float
            Multiplies the shift: pixels of this box per pixel the shift is given in.

        Returns
        -------
        (2, 3) float64
            Ready for ``cv2.warpAffine(j, matrix, (box, box), flags=… | cv2.WARP_INVERSE_MAP)``.
        """
        back = self.linear().T
        centre = np.array([box // 2, box // 2], dtype=np.float64)
        shift = np.array([self.shift_x, self.shift_y]) * scale
        return np.column_stack([back, centre - back @ (centre + shift)])


@dataclass(frozen=True)
class PairAlignment:
    """How class j lies on class i, and how alike the two are; what is not known is NaN.

    Attributes
    ----------
    i, j : int
        Class ids.
    score, blend, weight, ncc, ssim, nmi : float
        As in ``pairs.csv``.
    frc_resolution_px : float
        Period, in source pixels of class i.
    pixel_size : float or None
        Å per source pixel of class i.
    pose : Pose or None
        Brings j onto i, shifts in source pixels of i; None where the pair was not scored.
    p_value, q_value : float
        0 to 1; NaN until the run has scored all pairs.
    same_source : bool
        Both come from one file.
    reason : str
        Why there is no score; empty where there is one.
    """

    i: int
    j: int
    score: float
    blend: float
    weight: float
    ncc: float
    ssim: float
    nmi: float
    frc_resolution_px: float
    pixel_size: float | None
    pose: Pose | None
    p_value: float
    q_value: float
    same_source: bool
    reason: str = ""

    @property
    def frc_resolution_angstrom(self) -> float:
        """The period in Å; NaN where the pixel size is not known."""
        return math.nan if self.pixel_size is None else self.frc_resolution_px * self.pixel_size

    def seen_from_j(self, pixels: float) -> PairAlignment:
        """Return the same pair with i and j exchanged.

        Parameters
        ----------
        pixels : float
            Source pixels of j that are as long as one of i.
        """
        back = None
        if self.pose is not None:
            inverse = self.pose.inverse()
            back = replace(
                inverse, shift_y=inverse.shift_y * pixels, shift_x=inverse.shift_x * pixels
            )
        return replace(
            self,
            i=self.j,
            j=self.i,
            pose=back,
            frc_resolution_px=self.frc_resolution_px * pixels,
            pixel_size=None if self.pixel_size is None else self.pixel_size / pixels,
        )


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of same views among n class averages.

    Attributes
    ----------
    labels : (n,) int32
        Group of each class, numbered from 1 by falling size; 0 for a class that was not scored.
    order : (n,) int32
        Class ids in dendrogram order, unscored ones last.
    linkage : (m − 1, 4) float64
        As scipy's, over the m scored classes in rising class id; heights are 1 − blend.
    threshold : float
        The height of the cut.
    representatives : (g,) int32
        Class id that stands for each group 1…g.
    criterion : str
        How the cut was chosen, in words.
    """

    labels: NDArray[np.int32]
    order: NDArray[np.int32]
    linkage: NDArray[np.float64]
    threshold: float
    representatives: NDArray[np.int32]
    criterion: str


@dataclass(frozen=True)
class MetricWeights:
    """Weights of the metrics in the blend; not negative, not all zero.

    The defaults are chosen from the table in docs/weights.md.
    """

    ncc: float = 0.5
    ssim: float = 0.4
    nmi: float = 0.1

    def of(self, metric: str) -> float:
        """Return the weight of one of `METRICS`."""
        return float(getattr(self, metric))


@dataclass(frozen=True)
class MaskDiameter:
    """Diameter of the disc mask in Å, in source pixels, or (the default) as a part of the box."""

    value: float = 0.9
    unit: str = "box"  # "box", "px" or "angstrom"


@dataclass(frozen=True)
class Settings:
    """Everything that shapes the result of a run.

    ``max_shift`` is in source pixels (None: the larger of 4 % of the box and 4 working pixels),
    ``pixel_size`` in Å (None: from the files), ``box`` is the working box in pixels (None: at most
    128), ``memory`` in GB of the device that computes (None: half of what is free, 0.8 of it on a
    card), ``reading`` one of "auto", "images", "montage", ``min_box`` the smallest square looked
    for in a montage (pixels), ``bottom_up`` counts its rows from the bottom, ``reference`` names
    one view to hunt instead of all squares, ``reference_scales`` the range of its scales (picture
    pixels per reference pixel), ``reference_threshold`` the least correlation of a hit (None: from
    decoys), ``quality_weight`` ≥ 0 (0 switches the weighting off), ``spectral_weighting`` one of
    `SPECTRAL_WEIGHTINGS`. ``drawn``, one of `DRAWN`, says what squares of montages show beside
    other inputs where no pixel size tells: the field of their boxes, scaled, or their pixels.
    """

    device: str = "auto"
    max_shift: float | None = None
    mirror: bool = True
    weights: MetricWeights = field(default_factory=MetricWeights)
    quality_weight: float = 1.0
    pixel_size: float | None = None
    box: int | None = None
    mask_diameter: MaskDiameter = field(default_factory=MaskDiameter)
    memory: float | None = None
    seed: int = 0
    reading: str = "auto"
    bottom_up: bool = False
    min_box: int = 24
    reference: str | None = None
    reference_scales: tuple[float, float] = (0.7, 1.4)
    reference_threshold: float | None = None
    spectral_weighting: str = "none"
    drawn: str = "auto"


def settings_from(told: Mapping[str, Any]) -> Settings:
    """Return settings that ``dataclasses.asdict`` has taken apart.

    Raises
    ------
    KeyError, TypeError
        If `told` is of another version.
    """
    known = {field.name for field in fields(Settings)}
    # Before there was a choice, all squares were taken to show the field of the other boxes.
    values = {"drawn": "field"} | {name: told[name] for name in told if name in known}
    return Settings(
        **{
            **values,
            "weights": MetricWeights(**told["weights"]),
            "mask_diameter": MaskDiameter(**told["mask_diameter"]),
            "reference_scales": tuple(told["reference_scales"]),
        }
    )


@dataclass(frozen=True)
class DisplacementSettings:
    """Everything that shapes a displacement field.

    Attributes
    ----------
    block_size : int
        Side of a subset in pixels.
    step : int or None
        Pixels from subset to subset (None: half a block).
    search_area_multiplier : float
        Side of the search area in blocks; a match may lie ``(multiplier − 1) / 2`` blocks off.
    passes : int
        With 2 or more the search is repeated in the picture deformed by what was found before.
    pyramid : int or None
        Halvings of the pictures before the first pass, for large displacements (None: none for one
        pass, else as many as leave 3 blocks across, at most 3).
    smoothing : float
        σ in pixels that both pictures are smoothed with first. The default hardly touches fine
        speckles; noisy pictures, such as class averages, want more.
    subset_shape : str
        How a subset may deform: "affine", or "shift", which only moves. The first follows rotation
        and strain within a subset, the second is steadier where pictures are noisy and smooth.
    min_correlation, min_peak_ratio : float
        A vector below either is invalid.
    median_threshold : float
        Of the normalised median test; 0 switches it off.
    remove_rigid : bool
        Take the common shift and rotation off.
    strain_window : int
        Subsets across the window of the strain, odd; 0: no strain.
    replacement : str
        What stands for an invalid vector: "none" (as measured), "median" or "mean" of valid ones
        around it.
    device : str
    memory : float or None
        GB to work in (None: 1, which is enough for full speed).
    """

    block_size: int = 32
    step: int | None = None
    search_area_multiplier: float = 2.0
    passes: int = 1
    pyramid: int | None = None
    smoothing: float = 0.5
    subset_shape: str = "affine"
    min_correlation: float = 0.7
    min_peak_ratio: float = 1.1
    median_threshold: float = 2.0
    remove_rigid: bool = False
    strain_window: int = 0
    replacement: str = "none"
    device: str = "auto"
    memory: float | None = None

    @property
    def spacing(self) -> int:
        """Pixels from subset to subset."""
        return max(1, self.block_size // 2) if self.step is None else self.step

    @property
    def reach(self) -> int:
        """Whole pixels that a match may lie off, in each direction."""
        return round((self.search_area_multiplier - 1) * self.block_size / 2)


@dataclass(frozen=True)
class RigidMotion:
    """A rotation about a point, then a shift: what a field has in common.

    ``rotation`` is in degrees, counter-clockwise on screen; the point is (``centre_y``,
    ``centre_x``); all lengths are in pixels.
    """

    rotation: float
    shift_y: float
    shift_x: float
    centre_y: float
    centre_x: float


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Where every subset of a reference picture lies in a deformed one.

    Arrays are (n,) in raster order; pixels, y down. Invalid vectors keep what was measured of them,
    NaN where nothing could be.

    Attributes
    ----------
    y, x : float32
        Centre of the subset in the reference, top-left pixel + (block − 1) / 2.
    dy, dx : float32
        Displacement; the subset is found at (y + dy, x + dx).
    magnitude : float32
        Length of (dy, dx).
    correlation : float32
        Zero-normalised coefficient of the subset and its deformed match, −1…1.
    peak_ratio : float32
        First over second peak of the search, up to 100.
    uncertainty : float32
        Standard uncertainty of dy and dx (root mean square of both), in pixels.
    valid : bool
    reason : str
        Why a vector is invalid, one of `displacement.REASONS`; empty where it is valid.
    replaced : bool
        (dy, dx) are not measured but come from the neighbours.
    exx, eyy, exy : float32 or None
        Green-Lagrange strain, which a rotation leaves 0; NaN where too few are valid.
    shape : tuple of int
        Rows and columns of subsets; n is their product.
    picture_shape : tuple of int
        Height and width of both pictures.
    settings : DisplacementSettings
    rigid : RigidMotion or None
        What was taken off, where that was wanted.
    """

    y: FloatArray
    x: FloatArray
    dy: FloatArray
    dx: FloatArray
    magnitude: FloatArray
    correlation: FloatArray
    peak_ratio: FloatArray
    uncertainty: FloatArray
    valid: NDArray[np.bool_]
    reason: NDArray[np.str_]
    replaced: NDArray[np.bool_]
    shape: tuple[int, int]
    picture_shape: tuple[int, int]
    settings: DisplacementSettings
    exx: FloatArray | None = None
    eyy: FloatArray | None = None
    exy: FloatArray | None = None
    rigid: RigidMotion | None = None

    def on_grid(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return any of the arrays as (rows, columns)."""
        return values.reshape(self.shape)
