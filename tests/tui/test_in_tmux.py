"""The whole path in a real terminal multiplexer: keys in, screens and tables out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cryocorr_tui.core.resources import sample_data
from tests.class_average_forge import column, rows

if shutil.which("tmux") is None:
    pytest.skip("tmux is not installed", allow_module_level=True)

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cryocorr_tui")
STACK, CLASSES = "class_averages.mrcs", 60
BEST_PAIR = "score      0.38"  # as the matrix tells beside the map


class Tmux:
    """A tmux server of its own with the app in it, in a working folder.

    Parameters
    ----------
    folder : Path
        Where the app works; its state and configuration are kept beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name = f"cryocorr-test-{os.getpid()}"

    def start(self, *arguments: str) -> None:
        """Run the app, and keep the exit code that it ends with."""
        self._exit_code.unlink(missing_ok=True)
        program = shlex.join([*PROGRAM, *arguments])
        self._run(
            *("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "36"),
            *("-c", str(self.folder), f"{program}; echo $? > {shlex.quote(str(self._exit_code))}"),
        )

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    @property
    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def until(self, *words: str, seconds: float = 60.0) -> None:
        """Wait until the screen shows all of these."""
        self.wait(lambda: all(each in self.screen for each in words), seconds, words)

    def wait(self, true: Callable[[], bool], seconds: float = 60.0, what: object = "") -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"in vain after {seconds} s: {what}\n{self.screen}"
            time.sleep(0.1)

    def hang_up(self) -> None:
        """Take the terminal away, as a line that drops does, and wait until the app has left."""
        shell = psutil.Process(int(self._run("display", "-p", "#{pane_pid}")))
        processes = [shell, *shell.children(recursive=True)]
        self._run("kill-session")
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive, "the app goes on without a terminal"

    @property
    def exit_code(self) -> int:
        """What the app ended with, once it has."""
        end = time.monotonic() + 20
        while not (self._exit_code.exists() and self._exit_code.read_text()):
            assert time.monotonic() < end, f"the app does not end\n{self.screen}"
            time.sleep(0.1)
        return int(self._exit_code.read_text())

    def stop(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], capture_output=True, check=False)

    @property
    def _exit_code(self) -> Path:
        return self.folder.with_name("exit_code")

    def _run(self, *arguments: str) -> str:
        foreign = ("TMUX", "STY", "COLUMNS", "LINES")  # the last two would rule over the size
        environ = {key: value for key, value in os.environ.items() if key not in foreign}
        environ |= {
            "PYTHONPATH": str(CHECKOUT),
            "LC_ALL": "C.UTF-8",
            "XDG_STATE_HOME": str(self.folder.with_name("state")),
            "XDG_CONFIG_HOME": str(self.folder.with_name("config")),
        }
        command = ["tmux", "-L", self._name, *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in (STACK, "montage_relion.png", "truth.csv"):
        shutil.copy(sample_data() / name, folder)
    server = Tmux(folder)
    yield server
    server.stop()


def choose_the_stack(tmux: Tmux) -> None:
    tmux.until("nothing chosen", f"MRC {CLASSES} × 88²")
    tmux.press("Down", "Space")
    tmux.until("1 chosen", f"{CLASSES} images")


def run_to_the_end(tmux: Tmux) -> None:
    """Wait until the matrix is full: its cursor stands on the best pair, and nothing runs."""
    tmux.until(BEST_PAIR, seconds=90)
    tmux.wait(lambda: "comparing" not in tmux.screen, what="the end of the run")


def pairs_of_a_run_without_the_app(folder: Path) -> str:
    subprocess.run(
        [*PROGRAM, "analyze", STACK, "-o", "headless"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        check=True,
        timeout=100,
    )
    return (folder / "headless" / "pairs.csv").read_text()


@pytest.mark.timeout(200)
def test_from_files_to_tables_by_keys_alone(tmux: Tmux) -> None:
    tmux.start()
    choose_the_stack(tmux)
    tmux.press("r")
    tmux.until("order source")  # the matrix, at once
    run_to_the_end(tmux)
    tmux.press("Down", "Right")
    tmux.wait(lambda: BEST_PAIR not in tmux.screen, what="another pair")
    tmux.press("Up", "Left")
    tmux.until(BEST_PAIR)
    tmux.press("Enter")
    tmux.until("Pair ", "1 of 1770", "A magenta, B green")
    tmux.press("Escape")
    tmux.until("order source")
    tmux.press("4")
    tmux.until("1,770 of 1,770", "s by score")
    tmux.press("5")
    tmux.until("cut at blend", "dropped 0")
    tmux.press("Right")  # to the members of the first group
    tmux.press("Right")
    tmux.press("Space")
    tmux.until("dropped 1")
    tmux.press("e")
    tmux.until("In cryocorr_results: classes.csv")
    tmux.press("q")
    assert tmux.exit_code == 0

    results = tmux.folder / "cryocorr_results"
    kept = column(results / "classes.csv", "kept")
    assert (len(kept), kept.count("false")) == (CLASSES, 1)
    pairs = rows(results / "pairs.csv")
    assert len(pairs) == CLASSES * (CLASSES - 1) // 2
    assert max(float(pair["score"]) for pair in pairs) == pytest.approx(0.38, abs=0.005)
    assert len(rows(results / "matrix.csv")) == CLASSES
    assert sum(int(size) for size in column(results / "groups.csv", "size")) == CLASSES


@pytest.mark.timeout(200)
def test_a_line_that_drops_during_a_run_costs_nothing(tmux: Tmux) -> None:
    tmux.start()
    choose_the_stack(tmux)
    tmux.press("r")
    tmux.until("order source", "comparing pairs")
    tmux.hang_up()

    tmux.start()
    tmux.until("Go on where you were in this folder (1 file", "cryocorr_results)?")
    tmux.press("Enter")
    run_to_the_end(tmux)
    tmux.press("e")
    tmux.until("In cryocorr_results: classes.csv")
    tmux.press("q")
    assert tmux.exit_code == 0
    assert (
        pairs_of_a_run_without_the_app(tmux.folder)
        == (tmux.folder / "cryocorr_results" / "pairs.csv").read_text()
    )


@pytest.mark.timeout(200)
def test_leaving_during_a_run_is_at_once_and_it_goes_on_later(tmux: Tmux) -> None:
    tmux.start(STACK, "--graphics", "none")
    tmux.until("1 chosen")
    tmux.press("r")
    tmux.until("comparing pairs")
    tmux.press("q")
    assert tmux.exit_code == 0
    tmux.start("cryocorr_results")
    run_to_the_end(tmux)
    tmux.press("q")
    assert tmux.exit_code == 0
