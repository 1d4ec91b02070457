"""What is known of terminals by their names, and how tmux tells which one is behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress

__all__ = [
    "GRAPHICS",
    "OLDEST_KITTY",
    "TMUX_WITH_PASSTHROUGH",
    "TMUX_WITH_SIXEL",
    "TRUECOLOR",
    "Ask",
    "ask_tmux",
    "names",
]

# A part of the terminal's name, and what it draws pixels with.
GRAPHICS = {
    "kitty": "kitty",
    "ghostty": "kitty",
    "foot": "sixel",
    "mlterm": "sixel",
    "wezterm": "sixel",
    "contour": "sixel",
    "iterm": "sixel",
}
TRUECOLOR = (*GRAPHICS, "alacritty", "konsole", "vscode", "direct")
OLDEST_KITTY = (0, 28)  # the first with Unicode placeholders

TMUX_WITH_PASSTHROUGH = (3, 3)
TMUX_WITH_SIXEL = (3, 4)
TMUX_SECONDS = 2.0

Ask = Callable[[str], str]
"""Takes the arguments of a tmux command, returns what it prints, empty where it fails."""


def names(environ: Mapping[str, str]) -> str:
    """Return all that names the terminal, lower case; LC_TERMINAL is what SSH lets through."""
    found = [environ.get(key, "") for key in ("TERM", "TERM_PROGRAM", "LC_TERMINAL")]
    found += ["kitty"] if "KITTY_WINDOW_ID" in environ else []
    found += ["konsole"] if "KONSOLE_VERSION" in environ else []
    return " ".join(found).lower()


def ask_tmux(arguments: str) -> str:
    """Run a tmux command and return what it prints, empty where it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["tmux", *arguments.split()],
            capture_output=True,
            text=True,
            timeout=TMUX_SECONDS,
            check=True,
        ).stdout.strip()
    return ""
