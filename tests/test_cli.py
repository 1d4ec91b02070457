from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mrcfile
import pytest
from class_average_forge import column, particles, write_montage, write_stack
from rich.console import Console

from cryocorr_tui.cli import main, summary
from cryocorr_tui.cli.console import data_console
from cryocorr_tui.cli.parser import (
    COMMANDS,
    DRAWN,
    MATRICES,
    METRICS,
    SPECTRAL_WEIGHTINGS,
    build_parser,
)
from cryocorr_tui.cli.progress import Lines
from cryocorr_tui.cli.summary import print_summary
from cryocorr_tui.core import analysis, model, montage_cutting, simulation, store
from cryocorr_tui.core.analysis import AnalysisFinished, MatchFinished
from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.events import Notice, StageProgressed, StageStarted, TileScored
from cryocorr_tui.core.model import MaskDiameter, MetricWeights, Settings
from cryocorr_tui.core.montage_cutting import DetectionFinished

FINISHED = AnalysisFinished(
    folder=Path("out"),
    classes=3,
    pairs=3,
    groups=2,
    tables=(Path("out/classes.csv"), Path("out/pairs.csv")),
)


class FakeRun:
    """Stands for a stage of the core: takes what it is called with, yields what it is told to."""

    def __init__(self, *events: object, then: Callable[[], None] | None = None) -> None:
        self.events = events
        self.then = then
        self.called_with: dict[str, Any] = {}
        self.closed = False

    def __call__(self, inputs: Any, output: Any, settings: Any, **options: Any) -> Iterator[object]:
        self.called_with = {"inputs": inputs, "output": output, "settings": settings, **options}
        return self._events()

    def _events(self) -> Iterator[object]:
        try:
            yield from self.events
            if self.then:
                self.then()
        finally:
            self.closed = True


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRun]:
    def fake(*events: object, then: Callable[[], None] | None = None) -> FakeRun:
        run = FakeRun(*events, then=then)
        monkeypatch.setattr(analysis, "analyze", run)
        monkeypatch.setattr(montage_cutting, "cut_montages", run)
        return run

    return fake


ANALYZE = ["analyze", "a.mrcs", "b.png", "-o", "out"]


# Usage


def test_without_a_command_the_help_is_printed_as_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(name in err for name in COMMANDS)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "cuda:0,1"])
def test_a_device_is_taken_as_it_is_written(device: str) -> None:
    assert build_parser().parse_args([*ANALYZE, "--device", device]).device == device


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--device cuda:0,", "'cuda:0,' is not auto, cpu, cuda or cuda:N"),
        ("--device gpu", "'gpu' is not auto, cpu, cuda or cuda:N, as in cuda:1"),
        ("--max-shift -1", "'-1' is not a number of 0 or more"),
        ("--max-shift nan", "'nan' is not a number of 0 or more"),
        ("--pixel-size 0", "'0' is not a number above 0"),
        ("--pixel-size inf", "'inf' is not a number above 0"),
        ("--box 8", "'8' is not a whole number of 16 or more"),
        ("--box 64.5", "'64.5' is not a whole number of 16 or more"),
        ("--mask-diameter 10nm", "'10nm' is not a diameter: give Å as in 180, or pixels"),
        ("--mask-diameter px", "'px' is not a diameter"),
        ("--weights ncc", "'ncc' is no weight of ncc, ssim, nmi"),
        ("--weights mi=1", "'mi=1' is no weight of ncc, ssim, nmi"),
        ("--weights ncc=-1", "'-1' is not a number of 0 or more"),
        ("--weights ncc=1,ncc=2", "ncc is given twice"),
        ("--weights ncc=0", "at least one weight must be above 0"),
        ("--memory 0", "'0' is not a number above 0"),
        ("--seed -1", "'-1' is not a whole number of 0 or more"),
        ("--as stack", "invalid choice: 'stack'"),
        ("--quality-weight -2", "'-2' is not a number from 0 to 100"),
        ("--spectral-weighting white", "invalid choice: 'white'"),
        ("--min-score 2", "'2' is not a number from 0 to 1"),
        ("--matrix ncc,mi", "'mi' is none of ncc, ssim, nmi, blend, frc_resolution_px"),
        ("--resume --overwrite", "not allowed with argument"),
        ("--max-shif 3", "unrecognized arguments: --max-shif 3"),
    ],
)
def test_a_senseless_value_is_wrong_usage_with_a_clear_sentence(
    arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*ANALYZE, *arguments.split()])
    assert left.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("analyze", "cryocorr analyze: the following arguments are required"),
        ("dic a.png -o field.csv", "cryocorr dic: dic needs REFERENCE and DEFORMED"),
        ("detect a.png -o out --scales 1,2", "cryocorr detect: --scales is for --mode reference"),
        ("--colour", "cryocorr: unrecognized arguments: --colour"),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_a_hint(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(line.split())
    assert left.value.code == 2
    said = capsys.readouterr().err
    command = told.partition(":")[0]
    assert said.startswith(told)
    assert said.endswith(f"; {command} --help lists the options\n")
    assert said.count("\n") == 1


def test_a_folder_is_all_files_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.mrcs", "a.mrcs"):
        write_stack(tmp_path / "job" / name, particles(3, seed=ord(name[0])))
    run = str(tmp_path / "run")
    assert main(["analyze", str(tmp_path / "job"), "-o", run]) == 0
    sources = column(tmp_path / "run" / "classes.csv", "source")
    assert [Path(source).name for source in sources] == ["a.mrcs"] * 3 + ["b.mrcs"] * 3
    capsys.readouterr()
    assert main(["analyze", run, "-o", str(tmp_path / "other")]) == 1
    assert "this is the folder of a run" in capsys.readouterr().err
    (tmp_path / "pictures").mkdir()
    write_montage(tmp_path / "pictures" / "grid.png", particles(8, 48))
    assert main(["detect", str(tmp_path / "pictures"), "-o", str(tmp_path / "squares")]) == 0


@pytest.mark.parametrize("command", [["detect", "a.png"], ["analyze", "a.png"], ["simulate"]])
def test_an_output_folder_must_be_named(command: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 2


def test_the_parser_knows_the_metrics_of_the_core() -> None:
    assert METRICS == model.METRICS
    assert SPECTRAL_WEIGHTINGS == model.SPECTRAL_WEIGHTINGS
    assert DRAWN == model.DRAWN
    assert set(MATRICES) == set(store.SYMMETRIC_FIELDS)


# From options to settings


def test_without_options_the_settings_are_those_of_the_core(faked: Callable[..., FakeRun]) -> None:
    run = faked(FINISHED)
    assert main(ANALYZE) == 0
    assert run.called_with == {
        "inputs": [Path("a.mrcs"), Path("b.png")],
        "output": Path("out"),
        "settings": Settings(),
        "overwrite": False,
        "resume": False,
        "matrices": (),
        "min_score": 0.5,
    }


def test_every_option_reaches_the_settings(faked: Callable[..., FakeRun]) -> None:
    run = faked(FINISHED)
    options = (
        "--device cuda:1 --max-shift 5.5 --no-mirror --weights ncc=2,nmi=1 --pixel-size 2.03 "
        "--box 96 --mask-diameter 180 --memory 4 --seed 7 --as montage --quality-weight 0 "
        "--bottom-up --resume --min-score 0.25 --matrix ncc,ssim,ncc --spectral-weighting snr "
        "--drawn pixels"
    )
    assert main([*ANALYZE, *options.split()]) == 0
    assert run.called_with["settings"] == Settings(
        device="cuda:1",
        max_shift=5.5,
        mirror=False,
        weights=MetricWeights(ncc=2.0, ssim=0.0, nmi=1.0),
        quality_weight=0.0,
        pixel_size=2.03,
        box=96,
        mask_diameter=MaskDiameter(180.0, "angstrom"),
        memory=4.0,
        seed=7,
        reading="montage",
        bottom_up=True,
        spectral_weighting="snr",
        drawn="pixels",
    )
    assert run.called_with["resume"] is True
    assert run.called_with["matrices"] == ("ncc", "ssim")
    assert run.called_with["min_score"] == 0.25


def test_a_mask_diameter_may_be_in_pixels(faked: Callable[..., FakeRun]) -> None:
    run = faked(FINISHED)
    main([*ANALYZE, "--mask-diameter", "100px"])
    assert run.called_with["settings"].mask_diameter == MaskDiameter(100.0, "px")


def test_simulate_has_the_defaults_of_the_core(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def fake(output: Path, settings: object, *, overwrite: bool) -> Iterator[object]:
        asked.append((output, settings, overwrite))
        yield simulation.SimulationFinished(output, (output / "truth.csv",), 1)

    monkeypatch.setattr(simulation, "simulate", fake)
    assert main(["simulate", "-o", "out"]) == 0
    assert asked == [(Path("out"), simulation.SimulationSettings(), False)]
    assert capsys.readouterr().out == "out/truth.csv\n"


# Data on stdout, talk on stderr


def test_tables_go_to_stdout_and_talk_to_stderr(
    faked: Callable[..., FakeRun], capsys: pytest.CaptureFixture[str]
) -> None:
    faked(
        StageStarted("reading", 2),
        Notice("a.mrcs [1]: pixel size unknown, the run goes on in pixels."),
        StageProgressed("reading", 2),
        FINISHED,
    )
    assert main(ANALYZE) == 0
    out, err = capsys.readouterr()
    assert out == "out/classes.csv\nout/pairs.csv\n"
    assert err.splitlines() == [
        "reading (2)",
        "warning: a.mrcs [1]: pixel size unknown, the run goes on in pixels.",
        "3 class averages, 3 pairs, 2 groups",
    ]


def test_detect_tells_how_many_squares_it_found(
    faked: Callable[..., FakeRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = faked(DetectionFinished(Path("out"), 21, (Path("out/squares.csv"),)))
    assert main(["detect", "a.png", "-o", "out", "--as", "montage", "--overwrite"]) == 0
    assert run.called_with["settings"] == Settings(reading="montage")
    assert run.called_with["overwrite"] is True
    assert capsys.readouterr() == ("out/squares.csv\n", "21 squares\n")


def test_match_prints_how_many_classes_have_a_counterpart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called: dict[str, Any] = {}

    def run(set_a: Any, set_b: Any, output: Any, settings: Any, **options: Any) -> Iterator[object]:
        called.update(set_a=set_a, set_b=set_b, output=output, settings=settings, **options)
        yield StageStarted("comparing pairs", 12)
        yield MatchFinished(Path("out"), (4, 3), 12, (3, 2), 2, (Path("out/matches.csv"),))

    monkeypatch.setattr(analysis, "match", run)
    for name in ("k10.spi", "k2.spi", ".hidden"):
        (tmp_path / name).touch()
    arguments = ["match", str(tmp_path), "b.mrcs", "-o", "out", "--resume", "--matrix", "ncc"]
    assert main(arguments) == 0
    assert called["set_a"] == [tmp_path / "k2.spi", tmp_path / "k10.spi"]
    assert called["set_b"] == [Path("b.mrcs")]
    assert called["settings"] == Settings()
    assert (called["resume"], called["overwrite"], called["matrices"]) == (True, False, ("ncc",))
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "3 of 4 class averages of A have a counterpart in B (q < 0.05)",
        "2 of 3 class averages of B have a counterpart in A (q < 0.05)",
        "2 pairs of classes are the best of each other",
        "out/matches.csv",
    ]
    assert err.splitlines()[-1] == "7 class averages, 12 pairs"


def test_match_repeats_a_doubt_beside_its_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = MatchFinished(Path("out"), (4, 3), 12, (0, 0), 0, (), doubt="It may be wrong.")
    monkeypatch.setattr(analysis, "match", lambda *_, **__: (event for event in [finished]))
    assert main(["match", "a.mrcs", "b.png", "-o", "out"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "warning: It may be wrong."


def test_plain_progress_is_a_line_for_each_tenth_and_never_two_at_once() -> None:
    seconds = iter(range(1000))
    console = Console(file=io.StringIO(), width=80)
    lines = Lines(console, clock=lambda: 0.5 * next(seconds))
    lines.start("pairs", 100)
    for done in range(1, 101):
        lines.advance(done)
    written = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert written[:3] == ["pairs (100)", "pairs: 10%, 45 s left", "pairs: 20%, 40 s left"]
    assert len(written) == 11


def test_the_time_left_counts_only_what_is_left_of_a_resumed_run() -> None:
    seconds = iter([0.0, 10.0, 20.0])
    console = Console(file=io.StringIO(), width=80)
    lines = Lines(console, clock=lambda: next(seconds))
    lines.start("pairs", 100, 50)
    lines.advance(60)  # 10 in 10 s, 40 to go
    lines.advance(80)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "pairs (100, 50 done before)",
        "pairs: 60%, 40 s left",
        "pairs: 80%, 10 s left",  # 20 in the 10 s since
    ]


def test_the_time_left_goes_by_the_work_where_pairs_differ_in_cost() -> None:
    seconds = iter([0.0, 10.0])
    console = Console(file=io.StringIO(), width=80)
    lines = Lines(console, clock=lambda: next(seconds))
    lines.start("pairs", 100, 0, 0.0)
    lines.advance(10, 0.25)
    assert console.file.getvalue().splitlines()[-1] == "pairs: 10%, 30 s left"  # type: ignore[attr-defined]


def test_a_bar_of_a_resumed_run_begins_where_it_was(
    faked: Callable[..., FakeRun],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    faked(StageStarted("pairs", 4, 3), FINISHED)
    assert main(ANALYZE) == 0
    assert "3/4" in capsys.readouterr().err


def test_plain_progress_of_unknown_length_names_the_stage_alone() -> None:
    console = Console(file=io.StringIO(), width=80)
    lines = Lines(console, clock=lambda: 0.0)
    lines.start("reading", 0)
    lines.advance(3)
    assert console.file.getvalue() == "reading\n"  # type: ignore[attr-defined]


def test_on_a_terminal_there_is_a_bar_with_the_warnings_above_it(
    faked: Callable[..., FakeRun],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    faked(
        StageStarted("reading", 0),
        Notice("b.png: cut at the border."),
        StageStarted("pairs", 4),
        TileScored(slice(0, 2), slice(0, 2), 4, 4),
        FINISHED,
    )
    assert main(ANALYZE) == 0
    out, err = capsys.readouterr()
    assert out == "out/classes.csv\nout/pairs.csv\n"
    assert err.index("b.png: cut at the border.") < err.rindex("pairs")
    assert "4/4" in err


# Exit codes


def test_what_the_user_can_mend_is_one_sentence_and_exit_1(
    faked: Callable[..., FakeRun], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise InputError("a.mrcs is not there; check the name.")

    run = faked(then=fail)
    assert main(ANALYZE) == 1
    assert capsys.readouterr() == ("", "cryocorr: a.mrcs is not there; check the name.\n")
    assert run.closed


def test_a_mistake_of_the_program_is_not_hidden(faked: Callable[..., FakeRun]) -> None:
    def fail() -> None:
        raise ValueError("expected (n, 96, 96), received (96,)")

    faked(then=fail)
    with pytest.raises(ValueError, match="received"):
        main(ANALYZE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_closed_and_leaves_with_130(
    number: signal.Signals, faked: Callable[..., FakeRun], capsys: pytest.CaptureFixture[str]
) -> None:
    run = faked(
        TileScored(slice(0, 2), slice(0, 2), 1, 3), then=lambda: os.kill(os.getpid(), number)
    )
    inherited = signal.signal(number, signal.default_int_handler)  # nohup may have it ignored
    try:
        assert main(ANALYZE) == 130
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, inherited)
    assert run.closed
    assert "--resume" in capsys.readouterr().err


def test_a_write_that_was_interrupted_before_it_began_is_no_reason_to_complain() -> None:
    program = """
import signal, sys
from cryocorr_tui.cli import commands, main

async def write():
    pass

def analyze(arguments):
    chunk = write()  # as zarr does, which then hands it to the loop of another thread
    signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
commands.COMMANDS["analyze"] = analyze
sys.exit(main(["analyze", "a.mrcs", "-o", "run"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == (
        "cryocorr: interrupted; the same command with --resume goes on from here\n"
    )


def test_a_signal_that_nohup_ignores_stays_ignored(faked: Callable[..., FakeRun]) -> None:
    faked(FINISHED, then=lambda: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(ANALYZE) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_that_goes_away_is_no_reason_to_complain() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cryocorr_tui", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# The demo


def test_the_demo_runs_over_the_stack_and_a_montage_at_the_pixel_size_of_the_stack(
    faked: Callable[..., FakeRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(summary, "print_summary", lambda *_, **__: None)
    run = faked(FINISHED)
    assert main(["demo", "--device", "cpu"]) == 0
    stack, montage = run.called_with["inputs"]
    with mrcfile.open(stack, header_only=True) as file:
        assert run.called_with["settings"].pixel_size == pytest.approx(float(file.voxel_size.x))
    assert montage.is_file()
    assert run.called_with["settings"].device == "cpu"
    assert run.called_with["output"] == Path("cryocorr_demo")
    Path("cryocorr_demo").mkdir()  # with results, which stay
    assert main(["demo", "--device", "cpu"]) == 0
    assert run.called_with["output"] == Path("cryocorr_demo-2")


# Reports


def test_the_doctor_prints_each_section_and_leaves_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for section in ("software", "machine", "GPU", "terminal", "tmux"):
        assert f"{section}\n" in out


def test_the_summary_shows_the_best_pairs_and_holds_them_against_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.csv").write_text(
        "class_id,source,source_index\n0,s.mrcs,0\n1,s.mrcs,1\n2,s.mrcs,2\n3,m.png,0\n"
    )
    header = "i,j,score,ncc,ssim,rotation_deg,shift_y_px,shift_x_px,mirrored,same_source"
    (tmp_path / "pairs.csv").write_text(
        f"{header}\n"
        "0,1,0.9,0.95,0.8,37.04,1.26,-2,true,true\n"
        "0,2,0.2,0.3,0.1,10,0,0,false,true\n"
        "0,3,0.99,1,1,0,0,0,false,false\n"
        "1,2,,,,,,,,true\n"
    )
    truth = tmp_path / "truth.csv"
    truth.write_text("class_id,structure,view\n0,60S,1\n1,60S,1\n2,,\n")
    tables = (tmp_path / "classes.csv", tmp_path / "pairs.csv")
    run = AnalysisFinished(tmp_path, 4, 6, 2, tables)
    print_summary(data_console(), run, truth=truth, seconds=1.26)
    text = capsys.readouterr().out
    assert "4 class averages of 2 sources, 6 pairs, 2 groups, 1.3 s" in text
    within, between = text.index("Best pairs of one"), text.index("Best pairs of two")
    assert within < text.index("37.0°") < between < text.index("0.990")
    assert "+1.3 px" in text
    assert "1 pairs of s.mrcs show the same view; 1 of them are its 1 best pairs." in text
    assert str(tables[1]) in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: cryocorr {command}")
