from __future__ import annotations

import sys
from collections.abc import Mapping

import pynvml
import pytest

from cryocorr_tui.core import doctor
from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.doctor import Finding, State, cards, machine, software, terminal, tmux
from cryocorr_tui.core.errors import DeviceError

SIZE = (120, 40)


def of(findings: object, subject: str) -> Finding:
    return next(fact for fact in findings if fact.subject == subject)  # type: ignore[attr-defined]


def colours(**environ: str) -> Finding:
    return of(terminal(environ, size=SIZE), "colours")


def graphics(**environ: str) -> Finding:
    return of(terminal(environ, size=SIZE), "graphics")


def test_every_package_the_program_needs_is_imported_and_named_with_its_version() -> None:
    import numpy

    packages = of(software(), "packages")
    assert packages.state is State.WORKS
    assert f"numpy {numpy.__version__}" in packages.said
    assert "textual" in packages.said
    assert "cupy" not in packages.said  # an extra


def test_a_package_that_cannot_be_imported_is_named_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    finding = of(software(), "opencv-python-headless")
    assert finding.state is State.ABSENT
    assert finding.mend[0].startswith("pip install --force-reinstall 'opencv-python-headless")


def test_the_machine_has_cores_and_memory() -> None:
    assert "core" in of(machine(), "CPU").said
    assert "GiB free of" in of(machine(), "memory").said


def test_no_driver_is_a_normal_state_with_nothing_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    (finding,) = cards()
    assert finding.state is State.ABSENT
    assert not finding.mend


@pytest.fixture
def one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        free, total = 70 * 2**30, 80 * 2**30

    answers = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetCount": 1,
        "nvmlSystemGetCudaDriverVersion": 12040,
        "nvmlSystemGetDriverVersion": "550.54",
        "nvmlDeviceGetHandleByIndex": 0,
        "nvmlDeviceGetMemoryInfo": Memory,
        "nvmlDeviceGetName": "H100",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)


@pytest.mark.usefixtures("one_card")
def test_a_card_without_cupy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> tuple[Backend, str]:
        raise DeviceError("CuPy is not installed")

    monkeypatch.setattr(doctor, "choose_backend", refuse)
    finding = of(cards(), "cuda:0")
    assert finding.state is State.ABSENT
    assert finding.said == "H100, 70.0 GiB free of 80.0 GiB; CuPy is not installed"
    assert finding.mend == ("pip install 'cryocorr-tui[gpu]'",)


@pytest.mark.usefixtures("one_card")
def test_a_card_that_squares_numbers_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "choose_backend", lambda device: (Backend("cpu"), ""))
    findings = tuple(cards())
    assert of(findings, "NVIDIA").said == "driver 550.54, CUDA 12.4"
    assert of(findings, "cuda:0").state is State.WORKS


def test_colorterm_decides_on_24_bit_colour() -> None:
    assert colours(TERM="xterm-256color", COLORTERM="truecolor").state is State.WORKS
    assert colours(TERM="xterm-256color").mend == (
        "if your terminal has 24-bit colour: export COLORTERM=truecolor",
    )
    assert colours(TERM="xterm-kitty").mend == ("export COLORTERM=truecolor",)
    assert colours(TERM="xterm").mend == ("export TERM=xterm-256color",)


def test_no_color_is_reported_above_all() -> None:
    finding = colours(TERM="xterm-kitty", COLORTERM="truecolor", NO_COLOR="1")
    assert finding.state is State.LIMITED
    assert finding.mend == ("unset NO_COLOR",)


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "sixel"),
    ],
)
def test_the_environment_names_the_protocol_for_pixels(
    environ: Mapping[str, str], protocol: str
) -> None:
    finding = graphics(**environ)
    assert finding.state is State.WORKS
    assert finding.said == f"{protocol}, by the environment"


def test_an_unknown_terminal_has_no_known_protocol() -> None:
    assert graphics(TERM="xterm-256color").state is State.ABSENT


def test_a_small_window_and_a_missing_terminal_are_told() -> None:
    assert of(terminal({}, size=(79, 24)), "size").state is State.LIMITED
    assert of(terminal({}, size=(80, 24)), "size").state is State.WORKS
    assert of(terminal({}, size=None), "size").state is State.ABSENT
    assert of(terminal({"TERM": "dumb"}, size=None), "name").state is State.ABSENT


def test_ssh_without_tmux_is_warned_of() -> None:
    ssh = {"SSH_CONNECTION": "somewhere"}
    assert of(terminal(ssh, size=SIZE), "line").mend == ("tmux new -s cryocorr",)
    assert of(terminal({**ssh, "TMUX": "socket"}, size=SIZE), "line").state is State.WORKS
    assert of(terminal({}, size=SIZE), "line").said == "local, not over SSH"


ADD = "add to ~/.tmux.conf, then detach and attach again: "
PLAIN_TMUX = {
    "#{version}": "3.5a",
    "#{client_termname}": "xterm-256color",
    "#{client_termtype}": "",
    "#{client_termfeatures}": "title",
    "terminal-overrides": "",
    "default-terminal": "tmux-256color",
    "allow-passthrough": "off",
}


def in_tmux(**told: str) -> dict[str, Finding]:
    """What is found where tmux answers as told; an answer is asked for by its last word."""
    answers = {**PLAIN_TMUX, **{f"#{{{name}}}": answer for name, answer in told.items()}}
    findings = tmux({"TMUX": "socket"}, lambda arguments: answers[arguments.split()[-1]])
    return {finding.subject: finding for finding in findings}


def test_outside_tmux_there_is_one_line() -> None:
    (finding,) = tmux({}, lambda arguments: "")
    assert finding.said == "not inside tmux"


def test_tmux_that_does_not_answer_is_told() -> None:
    (finding,) = tmux({"TMUX": "socket"}, lambda arguments: "")
    assert finding.said == "tmux does not answer"


def test_the_lines_for_tmux_name_the_terminal_outside() -> None:
    found = in_tmux()
    assert found["24-bit colour"].mend == (f'{ADD}set -as terminal-features ",xterm-256color:RGB"',)
    assert found["allow-passthrough"].mend == (f"{ADD}set -g allow-passthrough on",)
    assert found["default-terminal"].state is State.WORKS
    assert found["graphics"].state is State.ABSENT


def test_a_tmux_that_passes_everything_on_has_nothing_to_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PLAIN_TMUX, "allow-passthrough", "on")
    found = in_tmux(client_termname="xterm-kitty", client_termfeatures="256,RGB,title")
    assert not any(finding.mend for finding in found.values())


def test_tmux_before_3_3_cannot_pass_graphics_on() -> None:
    found = in_tmux(version="3.2a")
    assert found["allow-passthrough"].mend == ("tmux 3.3 or newer",)


def test_sixel_in_tmux_depends_on_its_version_and_features() -> None:
    foot = {"client_termname": "foot"}
    assert in_tmux(version="3.3a", **foot)["graphics"].mend == (
        "tmux 3.4 or newer, built with sixel",
    )
    assert in_tmux(**foot)["graphics"].mend == (f'{ADD}set -as terminal-features ",foot:sixel"',)
    works = in_tmux(client_termfeatures="RGB,sixel", **foot)["graphics"]
    assert works.state is State.WORKS


def test_a_wrong_default_terminal_is_mended_by_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLAIN_TMUX, "default-terminal", "screen")
    assert in_tmux()["default-terminal"].mend == (f'{ADD}set -g default-terminal "tmux-256color"',)


@pytest.mark.usefixtures("one_card")
def test_a_driver_that_fails_half_way_is_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", refuse)
    *_, last = cards()
    assert last.state is State.ABSENT
    assert "does not answer" in last.said
