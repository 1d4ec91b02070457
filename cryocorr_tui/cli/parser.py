"""The commands and options of ``cryocorr``, and what counts as a sensible value."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cryocorr_tui import __version__

__all__ = ["COMMANDS", "build_parser"]

COMMANDS = ("app", "detect", "analyze", "match", "dic", "simulate", "demo", "doctor")

MOST_ANGSTROM, MOST_WEIGHT = 1e6, 100.0
LEAST_SCALE, MOST_SCALE = 0.1, 10.0  # further ones take hours and gigabytes

# Named here and not taken from the core, which would import numpy before --help can answer; a test
# holds the two equal.
METRICS = ("ncc", "ssim", "nmi")
SPECTRAL_WEIGHTINGS = ("none", "snr")
DRAWN = ("auto", "field", "pixels")
MATRICES = (*METRICS, "blend", "frc_resolution_px")
SMALLEST_BOX = 16
SMALLEST_BLOCK = 8
SUBSET_SHAPES = ("affine", "shift")
REPLACEMENTS = ("none", "median", "mean")
A_SET = "stack or montage, a folder of them, or a quoted pattern as in 'job/*.spi'"
SWEEP = ((16, 24, 32, 48, 64), (1.5, 2.0, 3.0))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line: the usage would bury it."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help lists the options\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    That of the command that is given stands in the namespace, as ``parser``.
    """
    parser: argparse.ArgumentParser = _Parser(
        prog="cryocorr",
        usage="cryocorr [INPUT ...] | cryocorr COMMAND ...",
        description="Compare cryo-EM 2D class averages with each other. Without a command the app "
        "opens, with the INPUTs chosen; cryocorr app --help tells its options.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cryocorr {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", prog="cryocorr"
    )

    def add(name: str, summary: str, *options: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            parents=options,
            allow_abbrev=False,
        )
        command.set_defaults(parser=command)
        return command

    inputs, reading = _inputs(), _reading_options()
    run, search, tables = _run_options(), _search_options(), _table_options()
    detect = add(
        "detect", "cut montages into squares, one class average each", inputs, reading, run
    )
    _add_output(detect)
    detect.add_argument(
        "--mode",
        choices=("auto", "reference"),
        default="auto",
        help="auto takes every square of every grid, reference hunts one view (default: auto)",
    )
    _add_hunt(detect)

    analyze = add(
        "analyze",
        "score all pairs of class averages and group same views",
        *(inputs, reading, run, search, tables),
    )
    _add_resume(_add_output(analyze))

    match = add(
        "match",
        "score every class average of one set against every one of another",
        *(_sets(), reading, run, search, tables),
    )
    _add_resume(_add_output(match))

    dic = add("dic", "measure the displacement between two pictures, or two classes of a run")
    _add_dic(dic)

    _add_simulation(add("simulate", "make class averages with exact truth from a structure file"))

    app = add("app", "open the app, as cryocorr without a command does", reading, run, search)
    _add_app(app)

    demo = add("demo", "the app on the sample data that come with the program, in cryocorr_demo/")
    _add_device(demo)
    _add_graphics(demo)

    add("doctor", "tell what works here, what does not, and how to mend it")
    return parser


def _inputs() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("inputs", nargs="+", metavar="INPUT", help=A_SET)
    return options


def _add_app(app: argparse.ArgumentParser) -> None:
    app.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        metavar="INPUT",
        help="stacks and montages that are chosen already, a run folder, or a folder to look in",
    )
    app.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for runs and tables (default: cryocorr_results)",
    )
    _add_graphics(app)


def _add_graphics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--graphics",
        choices=("auto", "kitty", "sixel", "blocks", "none"),
        default="auto",
        help="how pictures are drawn (default: auto, the best that the terminal has)",
    )


def _sets() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    for name in ("SET_A", "SET_B"):
        options.add_argument(
            name.lower(),
            metavar=name,
            help=A_SET,
        )
    return options


def _reading_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--as",
        dest="reading",
        choices=("auto", "images", "montage"),
        default="auto",
        help="what a picture is: a montage, or one class average each (default: auto)",
    )
    options.add_argument(
        "--pixel-size",
        type=_number(0.0, MOST_ANGSTROM, exclusive=True),
        metavar="Å",
        help="Å per pixel of the inputs (default: from the files, else unknown)",
    )
    options.add_argument(
        "--min-box",
        type=_whole(12),
        default=24,
        metavar="PX",
        help="smallest square to look for in a montage (default: 24)",
    )
    options.add_argument(
        "--bottom-up",
        action="store_true",
        help="montages are counted from the bottom row, as EMAN2 draws them",
    )
    return options


def _run_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    _add_device(options)
    options.add_argument(
        "--memory",
        type=_number(0.0, exclusive=True),
        metavar="GB",
        help="memory to work in, on a GPU its own (default: half of what is free, 0.8 on a GPU)",
    )
    _add_seed(options)
    return options


def _search_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    search = options.add_argument_group("search")
    search.add_argument(
        "--max-shift",
        type=_number(0.0),
        metavar="PX",
        help="largest shift, in pixels of the source box "
        "(default: the larger of 4%% of the box and 4 working pixels)",
    )
    search.add_argument("--no-mirror", action="store_true", help="do not try mirror images")
    search.add_argument(
        "--box",
        type=_whole(SMALLEST_BOX),
        metavar="PX",
        help="working box (default: that of the source, at most 128)",
    )
    search.add_argument(
        "--mask-diameter",
        type=_mask_diameter,
        metavar="Å",
        help="diameter of the disc in which images are compared, in Å, "
        "or in pixels as in 100px (default: 0.9 of the box)",
    )
    search.add_argument(
        "--weights",
        type=_weights,
        metavar="ncc=…,ssim=…,nmi=…",
        help="weights of the metrics in the blend; one not named weighs nothing",
    )
    search.add_argument(
        "--quality-weight",
        type=_number(0.0, MOST_WEIGHT),
        metavar="W",
        default=1.0,
        help="power of the mean quality of both classes that the score is multiplied by "
        "(default: 1; 0 switches it off)",
    )
    search.add_argument(
        "--spectral-weighting",
        choices=SPECTRAL_WEIGHTINGS,
        default="none",
        help="snr weighs the rings of Fourier space by how far they stand out of the noise at the "
        "rim of the mask (default: none)",
    )
    search.add_argument(
        "--drawn",
        choices=DRAWN,
        default="auto",
        help="what squares of a montage show beside other inputs: the field of their boxes, "
        "scaled, or their pixels (default: auto, told by the pictures; with --pixel-size, pixels)",
    )
    return options


def _add_hunt(detect: argparse.ArgumentParser) -> None:
    hunt = detect.add_argument_group("with --mode reference")
    hunt.add_argument(
        "--reference",
        metavar="FILE:X,Y,W,H",
        help="the view to hunt: a part of a picture (pixels, from the top left corner), or "
        "FILE#INDEX, an image of a stack or a square of a montage (counted from 0)",
    )
    hunt.add_argument(
        "--scales",
        type=_range,
        metavar="LOW,HIGH",
        help="how many pixels of the picture a pixel of the reference may take (default: 0.7,1.4)",
    )
    hunt.add_argument(
        "--threshold",
        type=_number(0.0, 1.0, exclusive=True),
        metavar="R",
        help="least correlation of a hit, above 0, at most 1 "
        "(default: what scrambled copies of the reference hardly reach in the same picture)",
    )


def _table_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    tables = options.add_argument_group("tables")
    tables.add_argument(
        "--matrix",
        dest="matrices",
        type=_matrices,
        default=(),
        metavar="NAME,…",
        help=f"also write a matrix of each of these: {', '.join(MATRICES)}",
    )
    tables.add_argument(
        "--min-score",
        type=_number(0.0, 1.0),
        default=0.5,
        metavar="SCORE",
        help="with more pairs than 3000 classes have, only those over this score are written to "
        "pairs.csv (default: 0.5)",
    )
    return options


def _add_dic(dic: argparse.ArgumentParser) -> None:
    for name in ("REFERENCE", "DEFORMED"):
        dic.add_argument(
            name.lower(), nargs="?", type=Path, metavar=name, help="picture of one image"
        )
    dic.add_argument(
        "--pair",
        nargs=3,
        metavar=("RUN", "I", "J"),
        help="instead of two pictures: classes I and J of a run folder, J laid on I; the defaults "
        "are then such as suit class averages, and are told",
    )
    dic.add_argument(
        "-o", "--output", type=Path, metavar="FIELD.csv", required=True, help="table to write"
    )
    dic.add_argument("--overwrite", action="store_true", help="replace files that exist")
    dic.add_argument("--plot", type=Path, metavar="FIELD.png", help="also draw the field")
    dic.add_argument(
        "--sweep",
        nargs="?",
        type=_sweep,
        const=SWEEP,
        metavar="BLOCKS:MULTIPLIERS",
        help="also try these block sizes with these search areas (alone: "
        "16,24,32,48,64:1.5,2,3), and write FIELD_sweep.csv and FIELD_sweep.png",
    )
    _add_dic_search(dic.add_argument_group("search"))
    _add_dic_control(dic.add_argument_group("quality and results"))
    _add_device(dic)
    dic.add_argument(
        "--memory",
        type=_number(0.0, exclusive=True),
        metavar="GB",
        help="memory to work in, on a GPU its own (default: 1, more does not help)",
    )


# What is not given is None: the defaults are those of the core, and others for --pair.
def _add_dic_search(search: argparse._ArgumentGroup) -> None:
    search.add_argument(
        "--block-size",
        type=_whole(SMALLEST_BLOCK),
        metavar="PX",
        help="side of a subset (default: 32)",
    )
    search.add_argument(
        "--step",
        type=_whole(1),
        metavar="PX",
        help="from subset to subset (default: half a block)",
    )
    search.add_argument(
        "--search-area-multiplier",
        type=_number(1.0, exclusive=True),
        metavar="M",
        help="side of the search area in blocks; a match may lie (M - 1) / 2 blocks off "
        "(default: 2)",
    )
    search.add_argument(
        "--passes",
        type=_whole(1),
        metavar="N",
        help="with 2 or more, search again in the picture deformed by what was found, starting "
        "from coarse copies: for large displacements, rotation and strain (at most 20; default: 1)",
    )
    search.add_argument(
        "--pyramid",
        type=_whole(0),
        metavar="N",
        help="how often the pictures are halved before the first pass (default: 0 for one pass, "
        "else as often as 3 blocks fit across, at most 3)",
    )
    search.add_argument(
        "--smoothing",
        type=_number(0.0, 5.0),
        metavar="PX",
        help="sigma that both pictures are smoothed with; noisy ones want 1 to 2 (default: 0.5)",
    )
    search.add_argument(
        "--subset-shape",
        choices=SUBSET_SHAPES,
        help="affine subsets follow rotation and strain, such that only shift are steadier where "
        "pictures are noisy and smooth (default: affine)",
    )


def _add_dic_control(control: argparse._ArgumentGroup) -> None:
    control.add_argument(
        "--min-correlation",
        type=_number(0.0, 1.0),
        metavar="R",
        help="vectors below are invalid (default: 0.7)",
    )
    control.add_argument(
        "--min-peak-ratio",
        type=_number(1.0),
        metavar="R",
        help="of the first to the second peak; vectors below are invalid (default: 1.1)",
    )
    control.add_argument(
        "--median-threshold",
        type=_number(0.0),
        metavar="T",
        help="of the normalised median test for outliers; 0 switches it off (default: 2)",
    )
    control.add_argument(
        "--mask",
        metavar="FILE|POLYGON",
        help="where the reference counts: a picture that is bright there, or corners as in "
        "'10,10 10,200 150,100' (y,x)",
    )
    control.add_argument(
        "--remove-rigid",
        action="store_true",
        default=None,
        help="take the common shift and rotation off",
    )
    control.add_argument(
        "--strain",
        dest="strain_window",
        nargs="?",
        type=_whole(3),
        const=5,
        metavar="SUBSETS",
        help="also exx, eyy and exy, from planes over so many subsets across, odd (alone: 5)",
    )
    control.add_argument(
        "--replace",
        dest="replacement",
        choices=REPLACEMENTS,
        help="put the median or weighted mean of valid neighbours in place of invalid vectors, "
        "flagged (default: none)",
    )


def _add_simulation(simulate: argparse.ArgumentParser) -> None:
    _add_output(simulate)
    simulate.add_argument(
        "--structure",
        type=Path,
        metavar="FILE",
        help="mmCIF or PDB file, also gzipped (default: a ribosome that comes with the program)",
    )
    simulate.add_argument(
        "--subsets",
        type=Path,
        metavar="FILE.json",
        help="names of substructures and their chains; each is a structure of its own",
    )
    simulate.add_argument("--views", type=_whole(1), default=6, help="of each (default: 6)")
    simulate.add_argument(
        "--replicates", type=_whole(1), default=3, help="classes of each view (default: 3)"
    )
    simulate.add_argument(
        "--junk", type=_whole(0), default=6, help="classes without a particle (default: 6)"
    )
    simulate.add_argument(
        "--box", type=_whole(SMALLEST_BOX), default=96, metavar="PX", help="even (default: 96)"
    )
    simulate.add_argument(
        "--pixel-size",
        type=_number(0.0, exclusive=True),
        default=4.0,
        metavar="Å",
        help="Å per pixel (default: 4)",
    )
    simulate.add_argument(
        "--snr",
        type=_number(0.0, exclusive=True),
        default=4.0,
        help="variance of the signal over that of the noise (default: 4)",
    )
    simulate.add_argument(
        "--contrast",
        choices=("bright", "dark"),
        default="bright",
        help="of the particles (default: bright)",
    )
    simulate.add_argument(
        "--max-shift",
        type=_number(0.0),
        default=2.0,
        metavar="PX",
        help="how far particles are off centre (default: 2)",
    )
    simulate.add_argument("--no-mirror", action="store_true", help="mirror no replicate")
    _add_seed(simulate)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda[:N[,M]]",
        help="where to compute (default: auto, a GPU where there is one; two of them: cuda:0,1)",
    )


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_whole(0), default=0, help="of all chance (default: 0)")


def _add_output(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True, help="folder for the results"
    )
    filled = parser.add_mutually_exclusive_group()
    filled.add_argument("--overwrite", action="store_true", help="replace what DIR holds")
    return filled


def _add_resume(filled: argparse._MutuallyExclusiveGroup) -> None:
    filled.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in DIR"
    )


def _number(
    low: float, high: float = math.inf, *, exclusive: bool = False
) -> Callable[[str], float]:
    """Return a reader of finite numbers of at least (or, exclusively, above) `low`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and low <= value <= high and not (exclusive and value == low):
            return value
        if math.isinf(high):
            limit = f"above {low:g}" if exclusive else f"of {low:g} or more"
        else:
            limit = f"above {low:g}, up to {high:g}" if exclusive else f"from {low:g} to {high:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a number {limit}")

    return read


def _range(text: str) -> tuple[float, float]:
    read = _number(LEAST_SCALE, MOST_SCALE)
    try:
        low, high = (read(part) for part in text.split(","))
    except (argparse.ArgumentTypeError, ValueError):
        low, high = 1.0, 0.0
    if low <= high:
        return low, high
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a range: give LOW,HIGH as in 0.7,1.4, "
        f"from {LEAST_SCALE:g} to {MOST_SCALE:g}"
    )


def _whole(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if re.fullmatch(r"\d+", text, re.ASCII) and int(text) >= low:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {low} or more")

    return read


def _device(text: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*)?", text, re.ASCII):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not auto, cpu, cuda or cuda:N, as in cuda:1, or cuda:0,1 for two cards"
    )


def _sweep(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    blocks, _, multipliers = text.partition(":")
    try:
        return (
            tuple(_whole(SMALLEST_BLOCK)(part) for part in blocks.split(",")),
            tuple(_number(1.0, exclusive=True)(part) for part in multipliers.split(",")),
        )
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no BLOCKS:MULTIPLIERS as in 16,32,64:1.5,2 ({error})"
        ) from None


def _mask_diameter(text: str) -> tuple[float, str]:
    number, unit = (text[:-2], "px") if text.endswith("px") else (text, "angstrom")
    try:
        return _number(0.0, exclusive=True)(number), unit
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a diameter: give Å as in 180, or pixels as in 100px"
        ) from None


def _weights(text: str) -> dict[str, float]:
    weights = dict.fromkeys(METRICS, 0.0)
    named = set()
    for part in text.split(","):
        metric, equals, number = part.strip().partition("=")
        if metric not in METRICS or not equals:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no weight of {', '.join(METRICS)}: give them as in ncc=0.6,ssim=0.4"
            )
        if metric in named:
            raise argparse.ArgumentTypeError(f"{metric} is given twice")
        named.add(metric)
        weights[metric] = _number(0.0)(number)
    if not any(weights.values()):
        raise argparse.ArgumentTypeError("at least one weight must be above 0")
    return weights


def _matrices(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in MATRICES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(MATRICES)}")
    return names
