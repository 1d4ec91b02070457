"""What of this machine and terminal works, what does not, and how to mend it: facts, no printing.

The terminal is judged by the environment, and by what tmux knows of it; nothing is asked of it.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil
import pynvml

from cryocorr_tui import __version__
from cryocorr_tui.core.backend import choose_backend, usable_cpus
from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.terminals import (
    GRAPHICS,
    TMUX_WITH_PASSTHROUGH,
    TMUX_WITH_SIXEL,
    TRUECOLOR,
    Ask,
    ask_tmux,
    names,
)
from cryocorr_tui.core.words import counted

__all__ = ["Finding", "State", "cards", "examine", "machine", "software", "terminal", "tmux"]

DISTRIBUTION = "cryocorr-tui"
MODULES = {
    "chafa-py": "chafa",  # as the metadata of a distribution spell it
    "chafa.py": "chafa",
    "nvidia-ml-py": "pynvml",
    "opencv-python-headless": "cv2",
    "scikit-image": "skimage",
}
GIB = 2**30
SMALLEST_TERMINAL = (80, 24)  # columns, rows
OLDEST_CUDA = 12_000  # as NVML numbers them: of the CuPy in the extra "gpu"


class State(Enum):
    """How well a thing serves."""

    WORKS = "works"
    LIMITED = "limited"  # serves, but could do so better
    ABSENT = "absent"  # is not there, which need not be a fault


@dataclass(frozen=True)
class Finding:
    """One fact.

    Attributes
    ----------
    section, subject : str
        Where it belongs ("terminal", "colours").
    state : State
        Whether it works.
    said : str
        The fact in words.
    mend : tuple of str
        What makes it work or serve better: a sentence, a command or a line of a file each.
    """

    section: str
    subject: str
    state: State
    said: str
    mend: tuple[str, ...] = ()


def examine(environ: Mapping[str, str] = os.environ) -> tuple[Finding, ...]:
    """Return everything that is known of this machine, its cards and the terminal."""
    return (
        *software(),
        *machine(),
        *cards(),
        *terminal(environ, size=_terminal_size()),
        *tmux(environ),
    )


def software() -> Iterator[Finding]:
    """Yield the versions of Python and of the packages, each of which is imported."""
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("software", "Python", State.WORKS, f"{python}, {sys.executable}")
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        said = f"{__version__}, run from its folder without being installed"
        yield Finding("software", DISTRIBUTION, State.LIMITED, said, ("pip install .",))
        return
    yield Finding("software", DISTRIBUTION, State.WORKS, __version__)
    working = []
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            importlib.import_module(MODULES.get(name, name.replace("-", "_")))
            working.append(f"{name} {metadata.version(name)}")
        except (ImportError, OSError) as error:  # OSError: a shared library is missing
            mend = (f"pip install --force-reinstall '{requirement}'",)
            yield Finding("software", name, State.ABSENT, f"cannot be imported ({error})", mend)
    yield Finding("software", "packages", State.WORKS, ", ".join(sorted(working)))


def machine() -> Iterator[Finding]:
    """Yield the cores and the memory that this process may use."""
    usable, there = usable_cpus(), psutil.cpu_count() or 1
    said = counted(there, "core")
    if usable < there:
        said = f"{usable} of {said} may be used"
    yield Finding("machine", "CPU", State.WORKS, said)
    memory, limit = psutil.virtual_memory(), _memory_limit()
    said = f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
    if limit < memory.total:
        said += f", of which this session may use {limit / GIB:.1f} GiB (its control group)"
    yield Finding("machine", "memory", State.WORKS, said)


def cards() -> Iterator[Finding]:
    """Yield the NVIDIA cards, and whether CuPy can compute on them; none is a normal state."""
    try:
        pynvml.nvmlInit()
        try:
            yield from _cards()
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError_LibraryNotFound:
        yield Finding("GPU", "NVIDIA", State.ABSENT, "no driver here: the CPU does all the work")
    except pynvml.NVMLError as error:
        mend = ("nvidia-smi tells more; the driver is your administrator's to mend",)
        yield Finding("GPU", "NVIDIA", State.ABSENT, f"the driver does not answer ({error})", mend)


def _cards() -> Iterator[Finding]:
    count, cuda = pynvml.nvmlDeviceGetCount(), pynvml.nvmlSystemGetCudaDriverVersion()
    said = f"driver {pynvml.nvmlSystemGetDriverVersion()}, CUDA {cuda // 1000}.{cuda % 1000 // 10}"
    if cuda < OLDEST_CUDA:
        mend = (f"a driver for CUDA {OLDEST_CUDA // 1000} or newer",)
        yield Finding("GPU", "NVIDIA", State.LIMITED, said, mend)
    else:
        yield Finding("GPU", "NVIDIA", State.WORKS if count else State.ABSENT, said)
    for index in range(count):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        said = (
            f"{pynvml.nvmlDeviceGetName(handle)}, "
            f"{memory.free / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
        )
        problem = _why_not_computing(f"cuda:{index}")
        if problem:
            mend = ("pip install 'cryocorr-tui[gpu]'",)
            yield Finding("GPU", f"cuda:{index}", State.ABSENT, f"{said}; {problem}", mend)
        else:
            yield Finding("GPU", f"cuda:{index}", State.WORKS, f"{said}; CuPy computes on it")


def _why_not_computing(device: str) -> str:
    """Return why a card does not even square a number, or an empty text where it does."""
    try:
        backend, _ = choose_backend(device)
        values = backend.to_device(np.arange(3, dtype=np.float32))
        squares = backend.to_host(values * values)
    except DeviceError as error:
        return str(error)
    except Exception as error:  # whatever goes wrong in CuPy or its compiler is the finding
        return f"CuPy fails on it: {type(error).__name__}: {error}".splitlines()[0]
    return "" if squares.tolist() == [0.0, 1.0, 4.0] else "CuPy computes wrongly on it"


def terminal(environ: Mapping[str, str], *, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Yield what the environment tells of the terminal.

    Parameters
    ----------
    environ : mapping
        The environment's variables.
    size : (columns, rows) or None
        None where there is no terminal.
    """
    term = environ.get("TERM", "")
    program = " ".join(
        filter(None, [environ.get("TERM_PROGRAM"), environ.get("TERM_PROGRAM_VERSION")])
    )
    if size is None:
        yield Finding("terminal", "size", State.ABSENT, "no terminal here (a pipe or a batch job)")
    else:
        small = size[0] < SMALLEST_TERMINAL[0] or size[1] < SMALLEST_TERMINAL[1]
        mend = ("make the window at least 80×24, or the font smaller",) if small else ()
        state = State.LIMITED if small else State.WORKS
        yield Finding("terminal", "size", state, f"{size[0]}×{size[1]} characters", mend)
    known = f"TERM={term}" + (f", {program}" if program else "")
    if term in ("", "dumb"):
        mend = ("export TERM=xterm-256color",)
        yield Finding("terminal", "name", State.ABSENT, f"{known}: moves no cursor", mend)
    else:
        yield Finding("terminal", "name", State.WORKS, known)
    yield _colours(environ)
    if "TMUX" not in environ:  # there it depends on tmux
        yield _graphics(names(environ))
    yield _line(environ)


def _colours(environ: Mapping[str, str]) -> Finding:
    said, mend = "", ("export COLORTERM=truecolor",)
    if environ.get("NO_COLOR"):
        said, mend = "none, since NO_COLOR is set", ("unset NO_COLOR",)
    elif environ.get("COLORTERM") in ("truecolor", "24bit"):
        return Finding("terminal", "colours", State.WORKS, "24 bit, COLORTERM says so")
    elif any(name in names(environ) for name in TRUECOLOR):
        said = "the terminal has 24 bit, but COLORTERM does not say so (SSH drops it)"
    elif "256color" in environ.get("TERM", ""):
        said = "256; COLORTERM does not say that there are more"
        mend = ("if your terminal has 24-bit colour: export COLORTERM=truecolor",)
    else:
        said, mend = "16 or fewer, by TERM", ("export TERM=xterm-256color",)
    return Finding("terminal", "colours", State.LIMITED, said, mend)


def _graphics(names: str) -> Finding:
    for name, protocol in GRAPHICS.items():
        if name in names:
            return Finding("terminal", "graphics", State.WORKS, f"{protocol}, by the environment")
    said = "no protocol for pixels is known of this terminal, by the environment"
    mend = ("kitty, Ghostty, foot, WezTerm and iTerm2 have one",)
    return Finding("terminal", "graphics", State.ABSENT, said, mend)


def _line(environ: Mapping[str, str]) -> Finding:
    if not {"SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"} & environ.keys():
        return Finding("terminal", "line", State.WORKS, "local, not over SSH")
    if "TMUX" in environ or "STY" in environ:
        return Finding("terminal", "line", State.WORKS, "over SSH; a run outlives a dropped line")
    said = "over SSH; a dropped line ends the run (analyze --resume goes on with it)"
    return Finding("terminal", "line", State.LIMITED, said, ("tmux new -s cryocorr",))


def tmux(environ: Mapping[str, str], ask: Ask = ask_tmux) -> Iterator[Finding]:
    """Yield what tmux lets through, with the exact lines for ``~/.tmux.conf``.

    Parameters
    ----------
    environ : mapping
        The environment's variables; without TMUX there is nothing to say.
    ask : callable
        Runs a tmux command.
    """
    if "TMUX" not in environ:
        yield Finding("tmux", "inside", State.ABSENT, "not inside tmux")
        return
    told = ask("display -p #{version}")
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if not version:
        yield Finding("tmux", "version", State.ABSENT, "tmux does not answer")
        return
    yield Finding("tmux", "version", State.WORKS, told)

    name = ask("show -gv default-terminal")
    if name.endswith("256color"):
        yield Finding("tmux", "default-terminal", State.WORKS, name)
    else:
        mend = _tmux_line('set -g default-terminal "tmux-256color"')
        yield Finding("tmux", "default-terminal", State.LIMITED, name or "not set", mend)

    # The client is the real terminal; its features are those tmux was told of or knows.
    client = ask("display -p #{client_termname}") or "xterm-256color"
    kind = f"{client} {ask('display -p #{client_termtype}')}".lower()
    features = f"{ask('display -p #{client_termfeatures}')} {ask('show -gv terminal-overrides')}"
    if re.search(r"\b(RGB|Tc)\b", features):
        yield Finding("tmux", "24-bit colour", State.WORKS, f"passed on to {client}")
    else:
        mend = _tmux_line(f'set -as terminal-features ",{client}:RGB"')
        yield Finding("tmux", "24-bit colour", State.LIMITED, f"not passed on to {client}", mend)
    yield from _tmux_graphics(kind, client, version, features, ask("show -gv allow-passthrough"))


def _tmux_graphics(
    kind: str, client: str, version: tuple[int, ...], features: str, passthrough: str
) -> Iterator[Finding]:
    mend: tuple[str, ...]
    protocol = next((GRAPHICS[name] for name in GRAPHICS if name in kind), "")
    if passthrough in ("on", "all"):
        yield Finding("tmux", "allow-passthrough", State.WORKS, passthrough)
    elif version < TMUX_WITH_PASSTHROUGH:
        mend = ("tmux 3.3 or newer",)
        yield Finding("tmux", "allow-passthrough", State.LIMITED, "this tmux has none", mend)
    else:
        mend = _tmux_line("set -g allow-passthrough on")
        yield Finding("tmux", "allow-passthrough", State.LIMITED, passthrough or "off", mend)

    if "sixel" in features:
        yield Finding("tmux", "graphics", State.WORKS, f"sixel, passed on to {client}")
    elif protocol == "kitty":
        yield Finding("tmux", "graphics", State.WORKS, "kitty, where allow-passthrough is on")
    elif protocol == "sixel" and version >= TMUX_WITH_SIXEL:
        mend = _tmux_line(f'set -as terminal-features ",{client}:sixel"')
        yield Finding("tmux", "graphics", State.LIMITED, f"sixel, not passed on to {client}", mend)
    elif protocol == "sixel":
        mend = ("tmux 3.4 or newer, built with sixel",)
        yield Finding("tmux", "graphics", State.LIMITED, "sixel, which this tmux lacks", mend)
    else:
        said = f"no protocol for pixels is known of {client}, by what tmux tells"
        yield Finding("tmux", "graphics", State.ABSENT, said)


def _tmux_line(line: str) -> tuple[str, ...]:
    return (f"add to ~/.tmux.conf, then detach and attach again: {line}",)


def _terminal_size() -> tuple[int, int] | None:
    for stream in (1, 2, 0):
        with suppress(OSError):
            size = os.get_terminal_size(stream)
            return size.columns, size.lines
    return None


def _memory_limit() -> float:
    """Return the bytes that the control groups of this process allow, infinite without a limit."""
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        group /= next(line[3:].lstrip("/") for line in lines if line.startswith("0::"))
    limits = []
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):
            limits.append(int((folder / "memory.max").read_text()))
    return min(limits, default=float("inf"))
