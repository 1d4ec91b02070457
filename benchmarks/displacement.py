"""Displacement fields against truth: real and simulated pictures, and OpenPIV on the same pairs.

OpenPIV is measured where it is installed (``pip install openpiv``), which nothing else here needs.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.class_displacement import measure_classes
from benchmarks.measuring import Cell, Options, Table
from cryocorr_tui.core.backend import usable_cpus
from cryocorr_tui.core.displacement import displacement_field
from cryocorr_tui.core.displacement.validation import find_outliers
from cryocorr_tui.core.export import write_picture
from cryocorr_tui.core.model import DisplacementField, DisplacementSettings, FloatArray
from cryocorr_tui.core.simulation.speckle import speckle_pair

__all__ = ["run"]

Coordinates = NDArray[np.float64]
Truth = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]
Row = tuple[Cell, ...]

NOISE = 1.5  # grey values of 255, of the simulated 8-bit pictures
BLOCK, STEP = 32, 16


def run(options: Options) -> list[Table]:
    """Measure every figure of the displacement."""
    return [
        *_challenge(options),
        _translation(options),
        _large_motion(options),
        _outliers(options),
        _uncertainty(options),
        measure_classes(options),
        _speed(options),
    ]


def _measure(
    reference: FloatArray, deformed: FloatArray, **changed: int | float
) -> DisplacementField:
    settings = DisplacementSettings(device="cpu", **changed)  # type: ignore[arg-type]
    return displacement_field(reference, deformed, settings)


def _challenge(options: Options) -> Iterator[Table]:
    """Compare with the true displacement of the SEM DIC Challenge's Sample 14, where it is."""
    folder = _sample_14(options)
    if folder is None:
        return
    reference = _picture(folder / "Sample14 Reference.tif")
    truth = np.loadtxt(folder / "command.csv", delimiter=",")
    rows: list[Row] = []
    for level, column in (("L1", 1), ("L5", 5)):
        deformed = _picture(folder / f"Sample14 {level} Amp0.1b.tif")
        for block in (16, 24, 32, 48, 64):
            field = _measure(reference, deformed, block_size=block, step=STEP)
            off = field.dx - np.interp(field.x, truth[:, 0], truth[:, column])
            rows.append(
                (f"{level}, block {block}", *_errors(field, off), *_errors(field, field.dy)[:1])
            )
        found = _openpiv(reference, deformed)
        if found is not None:
            x, _, dx, dy, _ = found
            off = dx - np.interp(x, truth[:, 0], truth[:, column])
            figures = float(np.sqrt((off**2).mean())), float(off.mean())
            rows.append(
                (f"{level}, OpenPIV, block 32", *figures, 100.0, "", float(np.sqrt((dy**2).mean())))
            )
    yield Table(
        "DIC Challenge Sample 14, real pictures with an imposed displacement along x, in px",
        ("", "RMSE dx", "bias dx", "valid %", "told uncertainty", "RMSE dy"),
        tuple(rows),
    )


def _translation(options: Options) -> Table:
    """Shift pictures by 0 to 1 px along both axes."""
    shifts = np.array([0.0, 0.5]) if options.quick else np.linspace(0, 1, 21)
    side = 96 if options.quick else 384
    kinds: dict[str, Callable[[float], tuple[FloatArray, FloatArray]]] = {
        "simulated speckle, 8 bit": lambda shift: _shifted_speckle(shift, side, 0.0),
        f"simulated speckle, 8 bit, noise {NOISE:g}": lambda shift: _shifted_speckle(
            shift, side, NOISE
        ),
    }
    folder = _sample_14(options)
    if folder is not None:
        picture = _picture(folder / "Sample14 Reference.tif")[:, 300:1324]
        kinds["real speckle (Sample 14), shifted by Fourier, 8 bit"] = lambda shift: _shifted(
            picture, shift
        )
    rows: list[Row] = []
    curves: dict[str, NDArray[np.float64]] = {}
    for kind, pair in kinds.items():
        ours, other = [], []
        for shift in shifts:
            reference, deformed = pair(float(shift))
            field = _measure(reference, deformed)
            inner = field.valid & _inner(field.y, field.x, reference.shape)
            off = np.stack([field.dy - shift, field.dx - shift], axis=1)[inner]
            ours.append((off.mean(), off.std()))
            found = _openpiv(reference, deformed)
            if found is not None:
                x, y, dx, dy, _ = found
                off = np.stack([dy - shift, dx - shift], axis=1)[_inner(y, x, reference.shape)]
                other.append((off.mean(), off.std()))
        for name, series in (("", ours), (", OpenPIV", other)):
            if series:
                bias, spread = np.array(series).T
                curves[kind + name] = bias
                rows.append(
                    (kind + name, float(abs(bias).max()), float(_rms(bias)), float(_rms(spread)))
                )
    if options.plots is not None:
        write_picture(options.plots / "translation.png", _plotted(shifts, curves))
    return Table(
        f"Shifted by 0 to 1 px in {len(shifts)} steps, block {BLOCK}: bias and scatter in px",
        ("", "largest bias", "RMS bias", "scatter"),
        tuple(rows),
        ("Bias is the mean error of all vectors at one shift.",),
    )


def _large_motion(options: Options) -> Table:
    """Rotate and stretch simulated pictures, and follow them in two passes."""
    side = 160 if options.quick else 512
    motions = {"rotation 20°": _rotation(20, side / 2)}
    if not options.quick:
        motions = {
            **{f"rotation {angle}°": _rotation(angle, side / 2) for angle in (2, 5, 10, 15, 20)},
            **{f"strain {part} %": _stretch(part / 100, side / 2) for part in (1, 5, 10)},
        }
    rows: list[Row] = []
    for name, truth in motions.items():
        pair = speckle_pair(side, side, truth, seed=5)
        for passes in (1, 2):
            field = _measure(*_eight_bit(pair.reference, pair.deformed, NOISE), passes=passes)
            inside = field.reason != "out of image"
            off = np.stack(_off(field, truth), axis=1)[field.valid]
            size = (float(_rms(off)), float(abs(off).max())) if off.size else ("none", "none")
            rows.append((name, passes, 100 * float(field.valid[inside].mean()), *size))
    return Table(
        f"Large motion, simulated speckle of {side} × {side} px, 8 bit, noise {NOISE:g}",
        ("", "passes", "valid % of what stays in the picture", "RMSE px", "largest error px"),
        tuple(rows),
    )


def _outliers(options: Options) -> Table:
    """Plant random vectors in measured fields and look for them."""
    side = 160 if options.quick else 512
    rows: list[Row] = []
    for name, truth in (
        ("rotation 3°", _rotation(3, side / 2)),
        ("strain 5 %", _stretch(0.05, side / 2)),
        ("bulge of 3 px", _bulge(3, side / 2, side / 5)),
    ):
        pair = speckle_pair(side, side, truth, seed=6)
        field = _measure(*_eight_bit(pair.reference, pair.deformed, NOISE), median_threshold=0)
        dy, dx, valid = (field.on_grid(part) for part in (field.dy, field.dx, field.valid))
        rng = np.random.default_rng(0)
        found: list[NDArray[np.bool_]] = []
        lost: list[NDArray[np.bool_]] = []
        for _ in range(2 if options.quick else 20):
            planted = valid & (rng.random(valid.shape) < 0.1)
            wrong = rng.uniform(-BLOCK / 2, BLOCK / 2, (2, *valid.shape))
            judged = find_outliers(
                np.where(planted, wrong[0], dy),
                np.where(planted, wrong[1], dx),
                valid,
                threshold=DisplacementSettings().median_threshold,
            )
            found.append(judged[planted])
            lost.append(judged[valid & ~planted])
        every, good = np.concatenate(found), np.concatenate(lost)
        rows.append((name, len(every), 100 * float(every.mean()), 100 * float(good.mean())))
    return Table(
        "One vector in ten replaced by a random one within the search area",
        ("field", "planted", "flagged %", "good ones flagged %"),
        tuple(rows),
    )


def _uncertainty(options: Options) -> Table:
    """Compare the error that is told for each vector with the true one."""
    side = 128 if options.quick else 512
    rows: list[Row] = []
    for noise in (2.0,) if options.quick else (1.0, 2.5, 5.0, 10.0, 20.0):
        for smoothing in (0.5, 1.0):
            reference, deformed = _shifted_speckle(0.3, side, noise)
            field = _measure(reference, deformed, smoothing=smoothing, step=BLOCK)
            inner = field.valid & _inner(field.y, field.x, reference.shape)
            off = np.stack([field.dy - 0.3, field.dx - 0.3], axis=1)[inner]
            told = field.uncertainty[inner]
            within = float((abs(off) < 2 * told[:, None]).mean())
            correlation = float(field.correlation[inner].mean())
            name = f"noise {noise:g}, smoothing {smoothing:g}"
            rows.append((name, correlation, _rms(off), _rms(told), 100 * within))
    return Table(
        "Uncertainty told and true, simulated speckle, grey values 0 to 255, block 32",
        ("", "mean correlation", "RMSE px", "told px", "within 2 × told %"),
        tuple(rows),
        ("95 % of errors lie within twice a true standard uncertainty.",),
    )


def _speed(options: Options) -> Table:
    """Time pictures of 2000 × 1000 px at step 16, everything included."""
    height, width = (200, 200) if options.quick else (1000, 2000)
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.standard_normal((height, width)), 1.5)
    reference = (127 + 40 * texture / texture.std()).clip(0, 255).astype(np.float32)
    deformed = (np.roll(reference, (1, 2), (0, 1)) + rng.normal(0, 2, reference.shape)).astype(
        np.float32
    )
    rows: list[Row] = []

    def ours(passes: int) -> int:
        return len(_measure(reference, deformed, step=STEP, passes=passes).y)

    # OpenPIV leaves out subsets whose search area leaves the picture: widened, it has as many.
    wide = [np.pad(picture, BLOCK // 2, mode="reflect") for picture in (reference, deformed)]

    def theirs() -> int:
        found = _openpiv(*wide)
        return 0 if found is None else len(found[0])

    works = {f"this program, passes {passes}": partial(ours, passes) for passes in (1, 2)}
    if find_spec("openpiv") is not None:
        works["OpenPIV, one pass, one core"] = partial(theirs)
    for name, work in works.items():
        subsets, wall, cpu = _timed(work, options)
        rows.append((name, subsets, wall, cpu, 1e6 * wall / subsets, 1e6 * cpu / subsets))
    note = "OpenPIV is not installed and was not timed."
    if find_spec("openpiv") is not None:
        wall_ratio, cpu_ratio = (float(rows[-1][k]) / float(rows[0][k]) for k in (4, 5))
        note = (
            f"OpenPIV takes {wall_ratio:.1f} times the wall time and {cpu_ratio:.1f} times the CPU "
            "time of this program's one pass. Both find a peak ratio; this program also registers "
            "and judges each subset and tells its uncertainty."
        )
    return Table(
        f"{width} × {height} px, block {BLOCK} in {2 * BLOCK}, step {STEP}, best of several runs",
        (
            "",
            "subsets",
            f"wall s on {usable_cpus()} cores",
            "CPU s",
            "wall µs a subset",
            "CPU µs a subset",
        ),
        tuple(rows),
        (note,),
    )


def _timed(work: Callable[[], int], options: Options) -> tuple[int, float, float]:
    """Return what `work` returns, and the least wall and CPU seconds it takes."""
    walls, cpus = [], []
    count = work()
    for _ in range(1 if options.quick else 7):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return count, min(walls), min(cpus)


def _openpiv(reference: FloatArray, deformed: FloatArray) -> tuple[NDArray[np.float64], ...] | None:
    """Return x, y, dx, dy and peak ratio, all (n,), as OpenPIV measures; None without it."""
    if find_spec("openpiv") is None:
        return None
    from openpiv import pyprocess

    # Its vectorised form, the faster one, prints.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        dx, dy, ratio = pyprocess.extended_search_area_piv(
            reference.astype(np.int32),
            deformed.astype(np.int32),
            window_size=BLOCK,
            overlap=2 * BLOCK - STEP,  # of search areas
            search_area_size=2 * BLOCK,
            correlation_method="circular",
            normalized_correlation=True,
            subpixel_method="gaussian",
            sig2noise_method="peak2peak",
            use_vectorized=True,
        )
        x, y = pyprocess.get_coordinates(reference.shape, 2 * BLOCK, 2 * BLOCK - STEP)
    return tuple(np.asarray(part, dtype=np.float64).ravel() for part in (x, y, dx, dy, ratio))


def _sample_14(options: Options) -> Path | None:
    folder = None if options.data is None else options.data / "dic" / "sample14"
    return folder if folder is not None and folder.is_dir() and not options.quick else None


def _picture(path: Path) -> FloatArray:
    return np.asarray(tifffile.imread(path), dtype=np.float32)


def _errors(
    field: DisplacementField, off: NDArray[np.floating]
) -> tuple[float, float, float, float]:
    valid = field.valid
    return (
        float(_rms(off[valid])),
        float(off[valid].mean()),
        100 * float(valid.mean()),
        float(_rms(field.uncertainty[valid])),
    )


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))


def _inner(
    y: NDArray[np.floating], x: NDArray[np.floating], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Tell which subsets do not touch the border, for which nobody knows what lies beyond."""
    low, high = BLOCK, np.array(shape) - BLOCK
    return np.asarray((y > low) & (y < high[0]) & (x > low) & (x < high[1]))


def _shifted_speckle(shift: float, side: int, noise: float) -> tuple[FloatArray, FloatArray]:
    pair = speckle_pair(side, side, lambda y, x: (shift + 0 * y, shift + 0 * x), seed=3)
    return _eight_bit(pair.reference, pair.deformed, noise)


def _shifted(picture: FloatArray, shift: float) -> tuple[FloatArray, FloatArray]:
    moved = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(picture), shift)).real
    return picture, np.rint(moved.clip(0, 255)).astype(np.float32)


def _eight_bit(
    reference: FloatArray, deformed: FloatArray, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Return both pictures, 0 to 1, as whole grey values up to 255, with noise."""
    rng = np.random.default_rng(4)
    first, second = (
        np.rint((255 * part + noise * rng.standard_normal(part.shape)).clip(0, 255))
        for part in (reference, deformed)
    )
    return first.astype(np.float32), second.astype(np.float32)


def _off(field: DisplacementField, truth: Truth) -> tuple[Coordinates, Coordinates]:
    dy, dx = truth(field.y.astype(np.float64), field.x.astype(np.float64))
    return field.dy - dy, field.dx - dx


def _rotation(degrees: float, centre: float) -> Truth:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def field(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
        v, u = y - centre, x - centre
        return cosine * v - sine * u - v, cosine * u + sine * v - u

    return field


def _stretch(part: float, centre: float) -> Truth:
    def field(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
        return -0.3 * part * (y - centre), part * (x - centre)

    return field


def _bulge(height: float, centre: float, sigma: float) -> Truth:
    def field(y: Coordinates, x: Coordinates) -> tuple[Coordinates, Coordinates]:
        bump = height * np.exp(-((y - centre) ** 2 + (x - centre) ** 2) / (2 * sigma**2))
        return bump, -bump / 2

    return field


def _plotted(
    shifts: NDArray[np.float64], curves: dict[str, NDArray[np.float64]]
) -> NDArray[np.uint8]:
    """Draw bias against shift, ±0.02 px high, with lines at ±0.01."""
    height, width, edge = 500, 900, 60
    canvas = np.full((height + 2 * edge + 24 * len(curves), width + 2 * edge, 3), 255, np.uint8)
    colours = [
        (213, 94, 0),
        (0, 114, 178),
        (0, 158, 115),
        (204, 121, 167),
        (86, 180, 233),
        (230, 159, 0),
    ]

    def place(shift: float, bias: float) -> tuple[int, int]:
        high = min(max(bias / 0.02, -1), 1)
        return round(edge + width * shift), round(edge + height / 2 * (1 - high))

    for bias in (-0.02, -0.01, 0.0, 0.01, 0.02):
        cv2.line(canvas, place(0, bias), place(1, bias), (200, 200, 200), 1)
        cv2.putText(
            canvas, f"{bias:+.2f}", (4, place(0, bias)[1]), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 0
        )
    for number, (name, values) in enumerate(curves.items()):
        colour = colours[number % len(colours)]
        points = np.array([place(s, b) for s, b in zip(shifts, values, strict=True)])
        cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
        below = (edge, height + 2 * edge + 24 * number)
        cv2.putText(canvas, name, below, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return canvas
