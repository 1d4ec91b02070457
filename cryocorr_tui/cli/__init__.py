"""The front door: ``cryocorr`` and its exit codes.

0 done, 1 an error the user can mend (one sentence on stderr), 2 wrong usage, 130 interrupted.

Only argparse is imported here, so that ``cryocorr --version`` and ``--help`` answer at once; what a
command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from cryocorr_tui.cli.opening import on_terminal
from cryocorr_tui.cli.parser import COMMANDS, build_parser
from cryocorr_tui.core.errors import CryocorrError

__all__ = ["main"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
RESUMABLE = ("analyze", "match")
PIPE_CLOSED = 128 + 13  # what a shell reports of a program that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Raises
    ------
    SystemExit
        With code 2 on wrong usage, 0 after ``--help`` and ``--version``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an Å must not end a run under LANG=C
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words and not on_terminal():
        parser.print_help(sys.stderr)
        return USAGE
    arguments = parser.parse_args(words if _names_command(words) else ["app", *words])
    if arguments.command == "detect":
        _require_reference_mode(arguments)
    if arguments.command == "dic":
        _require_two_pictures(arguments)
    with _stopped_by_signals():
        try:
            from cryocorr_tui.cli import commands

            commands.COMMANDS[arguments.command](arguments)
            sys.stdout.flush()  # here, and not at exit, a closed pipe can still be told apart
        except CryocorrError as error:
            sys.stderr.write(f"cryocorr: {error}\n")
            return FAILED
        except KeyboardInterrupt:
            _hush_abandoned_work()
            sys.stderr.write(f"cryocorr: interrupted{_way_on(arguments.command)}\n")
            return INTERRUPTED
        except BrokenPipeError:
            # The reader has gone, as in `cryocorr doctor | head -1`; the interpreter would complain
            # again when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
    return DONE


def _names_command(words: Sequence[str]) -> bool:
    """Tell whether a command line names a command, or asks for help; else the app opens."""
    return bool(words) and (words[0] in COMMANDS or words[0] in ("-h", "--help", "--version"))


def _require_reference_mode(arguments: argparse.Namespace) -> None:
    """End with a usage error where options of the two modes of detect are mixed."""
    hunting = arguments.mode == "reference"
    if hunting != (arguments.reference is not None):
        arguments.parser.error("--mode reference and --reference go together")
    for name in ("scales", "threshold"):
        if not hunting and getattr(arguments, name) is not None:
            arguments.parser.error(f"--{name} is for --mode reference")


def _require_two_pictures(arguments: argparse.Namespace) -> None:
    """End with a usage error unless two pictures, or two classes of a run, are named."""
    given = [path for path in (arguments.reference, arguments.deformed) if path is not None]
    if len(given) != (0 if arguments.pair else 2):
        arguments.parser.error("dic needs REFERENCE and DEFORMED, or --pair RUN I J and no picture")
    if arguments.pair and not all(re.fullmatch(r"\d+", word) for word in arguments.pair[1:]):
        arguments.parser.error("--pair RUN I J: I and J are class ids, whole numbers from 0")


def _hush_abandoned_work() -> None:
    """Keep asyncio, by which zarr writes, from telling of a write that nobody waits for."""
    import logging
    import warnings

    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    # An interrupt may come between the making of a write and its start.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _way_on(command: str) -> str:
    return "; the same command with --resume goes on from here" if command in RESUMABLE else ""


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let a batch system's SIGTERM and a lost line's SIGHUP clean up as ctrl+c does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    stops = [signal.SIGTERM, signal.SIGHUP]
    # What is ignored stays so: that is how nohup works.
    previous = {
        stop: signal.signal(stop, interrupt)
        for stop in stops
        if signal.getsignal(stop) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for stop, handler in previous.items():
            signal.signal(stop, handler)
