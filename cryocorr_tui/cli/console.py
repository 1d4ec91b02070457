"""The two streams of the command line, in the colours of ``styles/terminal.ini``."""

from __future__ import annotations

from rich.console import Console
from rich.theme import Theme

from cryocorr_tui.core.resources import styles

__all__ = ["data_console", "talk_console"]


def data_console() -> Console:
    """Return stdout: tables and findings."""
    return _console(stderr=False)


def talk_console() -> Console:
    """Return stderr: progress and warnings."""
    return _console(stderr=True)


class _PipedConsole(Console):
    def on_broken_pipe(self) -> None:
        # Ours is to decide what a reader that went away means, and rich would exit with 1.
        raise


def _console(*, stderr: bool) -> Console:
    # File names may hold brackets and numbers: neither markup nor highlighting of our own text.
    return _PipedConsole(
        stderr=stderr,
        theme=Theme.read(str(styles() / "terminal.ini")),
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
    )
