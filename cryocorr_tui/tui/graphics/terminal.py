"""What the terminal can draw: asked before the app starts, and looked up again on re-attach.

Nothing here imports Textual, so that the answer can still steer it: see `Terminal.colour_system`.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from cryocorr_tui.core.terminals import (
    OLDEST_KITTY,
    TMUX_WITH_PASSTHROUGH,
    TRUECOLOR,
    Ask,
    ask_tmux,
    names,
)

__all__ = [
    "PLAIN",
    "Protocol",
    "Replies",
    "Terminal",
    "detect_again",
    "probe",
    "through_tmux",
    "without_replies",
]


class Protocol(StrEnum):
    """A way to draw a picture, best first."""

    KITTY = "kitty"  # real pixels, by Unicode placeholders
    SIXEL = "sixel"  # real pixels
    BLOCKS = "blocks"  # characters in colour
    NONE = "none"  # characters without colour: the fewest bytes


@dataclass(frozen=True)
class Terminal:
    """What is known of the terminal.

    Attributes
    ----------
    protocol : Protocol
        How pictures are drawn.
    cell_height, cell_width : int
        Of a character, in pixels.
    colours : int
        2²⁴, 256, 16, or 0 where none are wanted or there are none.
    passthrough : bool
        Whether tmux is between, and the escape codes of kitty's pictures must be wrapped for it.
    offered : tuple of Protocol
        All that this terminal can draw, best first.
    client : str
        Which terminal is attached to tmux, empty outside: pictures sent to one are not in the next.
    """

    protocol: Protocol
    cell_height: int
    cell_width: int
    colours: int
    passthrough: bool
    offered: tuple[Protocol, ...]
    client: str = ""

    @property
    def colour_system(self) -> str:
        """What the variable TEXTUAL_COLOR_SYSTEM must be before Textual is imported.

        Without it Textual trusts COLORTERM, which SSH drops, and rounds the colours by which kitty
        knows its pictures. Tmux rounds them itself, by what is attached to it just then.
        """
        if self.passthrough or self.protocol is Protocol.KITTY:
            return "truecolor"
        return {2**24: "truecolor", 256: "256", 16: "standard"}.get(self.colours, "auto")


CELL = (20, 10)  # of the VT340, height and width, where the terminal does not tell
PLAIN = Terminal(
    Protocol.BLOCKS, *CELL, colours=256, passthrough=False, offered=(Protocol.BLOCKS, Protocol.NONE)
)
"""Any terminal of today."""

SLOWEST_ANSWER = 2.5  # seconds
THROUGH_REMOTE_TMUX = 1.0  # seconds, since one that passes nothing on never answers
SLOWEST_INTRODUCTION = 1.0  # seconds; some terminals never tell tmux their name
STRAGGLERS = 0.1  # seconds to go on reading after the limit
WITHOUT_ANSWERS = ("", "dumb", "linux")  # names of terminals that print a question as text

# What the device can do. Every terminal answers it, and in turn: then nothing more will come.
DEVICE_QUESTION = "\x1b[c"
QUESTIONS = "\x1b[>q\x1b[16t" + DEVICE_QUESTION  # name and version, size of a cell
# Only asked of those that are called kitty: tmux would take it for the title of its pane.
KITTY_QUESTION = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\" + DEVICE_QUESTION

_NAME = r"\x1bP>\|([^\x1b\x07]*)(?:\x1b\\|\x07)"
_KITTY = r"\x1b_Gi=31;([^\x1b]*)\x1b\\"
_CELL = r"\x1b\[6;(\d+);(\d+)t"
_DEVICE = r"\x1b\[\?([\d;]*)c"
_ANSWER = re.compile("|".join((_NAME, r"\x1b_G[^\x1b]*\x1b\\", _CELL, _DEVICE)))
_BEGUN = re.compile(
    r"\x1b(?:P(?:>(?:\|[^\x1b\x07]*\x1b?)?)?|_(?:G[^\x1b]*\x1b?)?|\[(?:\?[\d;]*|6(?:;[\d;]*)?)?)?\Z"
)


@dataclass(frozen=True)
class Replies:
    """What a terminal answered.

    Attributes
    ----------
    name : str
        Such as "kitty(0.41.1)" or "XTerm(398)", empty where it does not tell.
    kitty, sixel : bool
        Whether it says that it draws such pictures.
    cell : (height, width) or None
        Of a character, in pixels.
    complete : bool
        Whether the last answer is there.
    """

    name: str = ""
    kitty: bool = False
    sixel: bool = False
    cell: tuple[int, int] | None = None
    complete: bool = False

    @classmethod
    def parse(cls, text: str) -> Replies:
        """Read the answers out of what arrived, keys that were pressed meanwhile among them."""
        name, kitty, cell = (re.search(each, text) for each in (_NAME, _KITTY, _CELL))
        device = re.search(_DEVICE, text)
        return cls(
            name=name[1] if name else "",
            kitty=kitty is not None and kitty[1] == "OK",
            sixel=device is not None and "4" in device[1].split(";")[1:],
            cell=_cell(cell[1], cell[2]) if cell else None,
            complete=device is not None,
        )


@dataclass(frozen=True)
class Client:
    """The terminal that is attached to the tmux in which the app runs, as tmux knows it.

    Attributes
    ----------
    identity : str
        What tells one attachment from the next.
    name : str
        Such as "kitty(0.41.1)", empty where it did not tell tmux.
    sixel, truecolor : bool
        Whether tmux passes sixels and 24-bit colours on to it.
    passthrough : bool
        Whether tmux lets wrapped escape codes through to it.
    cell : (height, width) or None
        Of a character, in pixels.
    """

    identity: str
    name: str
    sixel: bool
    truecolor: bool
    passthrough: bool
    cell: tuple[int, int] | None

    FORMAT = (
        "display -p #{client_tty}:#{client_pid}:#{client_created}|#{client_termname}|"
        "#{client_termtype}|#{client_termfeatures}|#{client_cell_height}x#{client_cell_width}|"
        "#{allow-passthrough}|#{version}"
    )

    @classmethod
    def ask(cls, ask: Ask) -> Client:
        """Ask tmux, and not the terminal."""
        told = ask(cls.FORMAT).split("|")
        identity, term, name, features, cell, passthrough, version = (*told, *[""] * 7)[:7]
        colours = f"{features},{ask('show -gv terminal-overrides')}"
        height, _, width = cell.partition("x")
        return cls(
            identity=identity.strip(":"),  # which are all that is left where nothing is attached
            name=name,
            sixel="sixel" in features.split(","),
            # The terminfo entries of these two say it, which tmux does not list as a feature.
            truecolor=bool(re.search(r"\b(RGB|Tc)\b", colours) or re.search("kitty|ghostty", term)),
            passthrough=passthrough in ("on", "all") and _version(version) >= TMUX_WITH_PASSTHROUGH,
            cell=_cell(height, width),
        )


def probe(
    environ: Mapping[str, str] = os.environ,
    *,
    wanted: str = "auto",
    timeout: float = SLOWEST_ANSWER,
    ask: Ask = ask_tmux,
) -> Terminal:
    """Find out what the terminal can draw. To be called before the app starts.

    Parameters
    ----------
    environ : mapping
        The environment's variables.
    wanted : str
        "auto" takes the best. The name of a protocol is taken at its word, and for "blocks" and
        "none" the terminal is not even asked: the way out where one answers strangely.
    timeout : float
        Seconds to wait for its answers.
    ask : callable
        Runs a tmux command.
    """
    client = Client.ask(ask) if environ.get("TMUX") else None
    replies = behind = Replies()
    asked = wanted not in (Protocol.BLOCKS, Protocol.NONE)
    if asked and environ.get("TERM", "") not in WITHOUT_ANSWERS and _is_terminal():
        if client is None:
            replies = _interview(timeout)
            if replies.name.startswith("tmux"):  # it runs at the user's end of SSH
                behind = _interview(min(timeout, THROUGH_REMOTE_TMUX), through_tmux)
        elif client.passthrough and _has_placeholders(client.name):
            # tmux knows the terminal; what is left to see is whether its pictures get through.
            behind = Replies.parse(_converse(through_tmux(KITTY_QUESTION), timeout))
    return judge(environ, replies, behind, client, wanted=wanted, cell=_cell_of_window())


def judge(
    environ: Mapping[str, str],
    replies: Replies,
    behind: Replies,
    client: Client | None,
    *,
    wanted: str = "auto",
    cell: tuple[int, int] | None = None,
) -> Terminal:
    """Conclude from all that is known.

    Parameters
    ----------
    environ : mapping
        The environment's variables.
    replies : Replies
        Of the terminal, or of a tmux at the user's end of SSH.
    behind : Replies
        Of the terminal behind tmux.
    client : Client or None
        What tmux knows of it, None outside tmux.
    wanted : str
        "auto", or the name of a protocol.
    cell : (height, width), optional
        Of a character, where no one else tells.
    """
    if client is not None:
        tmux = True
        kitty = client.passthrough and client.truecolor and _has_placeholders(client.name)
        kitty = kitty and behind.kitty
        sixel = client.sixel
        colours = _colours(environ, "", passed=client.truecolor)
        cell = client.cell or cell
    else:
        tmux = replies.name.startswith("tmux")
        asked = behind if tmux else replies
        kitty = asked.kitty and _has_placeholders(asked.name)
        sixel = replies.sixel and asked.sixel  # both must know it
        colours = _colours(environ, asked.name)
        cell = replies.cell or cell
    can = ((Protocol.KITTY, kitty), (Protocol.SIXEL, sixel), (Protocol.BLOCKS, True))
    offered = [*(protocol for protocol, able in can if able and colours), Protocol.NONE]
    protocol = offered[0] if wanted == "auto" or not colours else Protocol(wanted)
    offered = [each for each in Protocol if each in offered or each is protocol]
    if protocol is Protocol.KITTY:
        colours = 2**24  # its pictures are known by such colours, whatever the environment says
    height, width = cell or CELL
    return Terminal(
        protocol=protocol,
        cell_height=height,
        cell_width=width,
        colours=colours,
        passthrough=tmux,
        offered=tuple(offered),
        client=client.identity if client else "",
    )


def detect_again(
    before: Terminal,
    environ: Mapping[str, str] = os.environ,
    *,
    wanted: str = "auto",
    ask: Ask = ask_tmux,
) -> Terminal:
    """Look whether another terminal is attached now, or its font has changed.

    The terminal itself is not asked: its answers would be read by the app, as keys. Of one that has
    just been attached its name is awaited, so this belongs into a thread.

    Parameters
    ----------
    before : Terminal
        What is known.
    environ : mapping
        The environment's variables.
    wanted : str
        "auto", or the name of the protocol that the user chose.
    ask : callable
        Runs a tmux command.
    """
    client = Client.ask(ask) if environ.get("TMUX") else None
    if client is None or client.identity in ("", before.client):
        cell = (client.cell if client else None) or _cell_of_window()
        height, width = cell or (before.cell_height, before.cell_width)
        return replace(before, cell_height=height, cell_width=width)
    end = time.monotonic() + SLOWEST_INTRODUCTION
    while not client.name and time.monotonic() < end:  # just attached: tmux is asking it itself
        time.sleep(0.1)
        client = Client.ask(ask)
    believed = Replies(kitty=True)
    return judge(environ, Replies(), believed, client, wanted=wanted, cell=_cell_of_window())


def without_replies(text: str) -> tuple[str, str]:
    """Return what arrived without the answers in it, and apart an answer that has just begun.

    An answer that comes after the limit would act as keys: Textual knows none of them.
    """
    text = _ANSWER.sub("", text)
    begun = _BEGUN.search(text)
    return (text[: begun.start()], text[begun.start() :]) if begun else (text, "")


def through_tmux(code: str) -> str:
    """Return an escape code wrapped so that tmux hands it to the terminal."""
    return "\x1bPtmux;" + code.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def _has_placeholders(name: str) -> bool:
    """Return whether a terminal of this name shows Unicode placeholders.

    Older kittys, Warp, Konsole and WezTerm have the protocol without them.
    """
    name = name.lower()
    return "ghostty" in name or (name.startswith("kitty") and _version(name) >= OLDEST_KITTY)


def _colours(environ: Mapping[str, str], name: str, *, passed: bool | None = None) -> int:
    """Return how many colours there are; `passed` is what tmux says of 24-bit colours."""
    term, said = environ.get("TERM", ""), f"{names(environ)} {name.lower()}"
    if environ.get("NO_COLOR") or term in ("", "dumb"):
        return 0
    if passed is None:
        passed = environ.get("COLORTERM") in ("truecolor", "24bit")
        passed = passed or any(each in said for each in (*TRUECOLOR, "xterm("))
    if passed:
        return 2**24
    return 256 if "256color" in term else 16


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _cell(height: str, width: str) -> tuple[int, int] | None:
    digits = height.isdecimal() and width.isdecimal()
    return (int(height), int(width)) if digits and int(height) and int(width) else None


def _is_terminal() -> bool:
    """Return whether Textual, which reads stdin and draws on stderr, has a terminal at both."""
    return sys.__stdin__ is not None and os.isatty(0) and os.isatty(2)


def _cell_of_window() -> tuple[int, int] | None:
    """Return the size of a cell by the size of the window in pixels, where that is known."""
    with suppress(OSError):
        told = fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", told)
        if rows and columns and height >= rows and width >= columns:
            return height // rows, width // columns
    return None


def _interview(timeout: float, wrapped: Callable[[str], str] = str) -> Replies:
    """Ask the terminal, or with wrapped questions the one behind tmux."""
    replies = Replies.parse(_converse(wrapped(QUESTIONS), timeout))
    if not _has_placeholders(replies.name):
        return replies
    kitty = Replies.parse(_converse(wrapped(KITTY_QUESTION), timeout)).kitty
    return replace(replies, kitty=kitty)


def _converse(questions: str, timeout: float) -> str:
    """Write to the terminal and return all that arrives until the last answer or the limit."""
    before = termios.tcgetattr(0)
    answers = ""
    try:
        tty.setcbreak(0, termios.TCSANOW)  # no echo, no waiting for a line; ctrl+c still works
        os.write(2, questions.encode())
        answers = _read(timeout, until=lambda text: Replies.parse(text).complete)
        if not Replies.parse(answers).complete:
            answers += _read(STRAGGLERS, until=lambda text: False)
    finally:
        complete = Replies.parse(answers).complete
        termios.tcsetattr(0, termios.TCSANOW if complete else termios.TCSAFLUSH, before)
    return answers


def _read(timeout: float, *, until: Callable[[str], bool]) -> str:
    text, end = "", time.monotonic() + timeout
    while not until(text) and (left := end - time.monotonic()) > 0:
        if select.select([0], [], [], left)[0]:
            data = os.read(0, 4096)
            if not data:  # the terminal is gone
                break
            text += data.decode("latin-1")
    return text
