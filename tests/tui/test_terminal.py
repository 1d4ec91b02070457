"""What is concluded from what terminals answer; the answers were recorded from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cryocorr_tui.tui.graphics.driver import QuietParser
from cryocorr_tui.tui.graphics.terminal import (
    PLAIN,
    Client,
    Protocol,
    Replies,
    detect_again,
    judge,
    probe,
    through_tmux,
    without_replies,
)

XTERM = "\x1bP>|XTerm(398)\x1b\\\x1b[6;17;8t\x1b[?64;1;2;4;6;9;15;16;17;18;21;22;28c"
KITTY = "\x1bP>|kitty(0.41.1)\x1b\\\x1b[6;17;8t\x1b[?62;c"
KITTY_GRAPHICS = "\x1b_Gi=31;OK\x1b\\\x1b[?62;c"
TMUX = "\x1bP>|tmux 3.5a\x1b\\\x1b[6;17;8t\x1b[?1;2;4c"
TMUX_IN_KITTY = (
    "/dev/pts/0:27808:1795520231|xterm-kitty|kitty(0.41.1)|"
    "bpaste,ccolour,clipboard,cstyle,focus,title|17x8|on|3.5a"
)
TMUX_IN_XTERM = (
    "/dev/pts/0:25507:1795520051|xterm-256color|XTerm(398)|"
    "256,bpaste,ccolour,clipboard,cstyle,RGB,sixel,strikethrough,title|17x8|off|3.5a"
)
SSH = {"TERM": "xterm-256color", "SSH_CONNECTION": "1 2 3 4"}
IN_TMUX = {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}


def asked(format_answer: str) -> Client:
    return Client.ask(lambda arguments: format_answer if "display" in arguments else "")


def kitty_replies(version: str = "kitty(0.41.1)") -> Replies:
    return replace(Replies.parse(KITTY), name=version, kitty=True)


def test_the_answers_are_told_apart_and_keys_between_them_do_no_harm() -> None:
    assert Replies.parse("j" + XTERM + "\x1b[A") == Replies(
        name="XTerm(398)", sixel=True, cell=(17, 8), complete=True
    )
    assert Replies.parse(KITTY) == Replies(name="kitty(0.41.1)", cell=(17, 8), complete=True)
    assert Replies.parse(KITTY_GRAPHICS).kitty
    assert not Replies.parse("\x1b_Gi=31;EINVAL:no\x1b\\\x1b[?62;c").kitty
    assert not Replies.parse("\x1b[?4c").sixel  # a VT132, whose first number is its model
    assert not Replies.parse(XTERM[:-1]).complete


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("kitty(0.41.1)", Protocol.KITTY),
        ("kitty(0.28.0)", Protocol.KITTY),
        ("ghostty 1.1.0", Protocol.KITTY),
        ("kitty(0.26.5)", Protocol.BLOCKS),
        ("WezTerm 20240203-110809-5046fc22", Protocol.BLOCKS),
        ("Konsole 24.12.3", Protocol.BLOCKS),
        ("Warp(v0.2025)", Protocol.BLOCKS),
        ("", Protocol.BLOCKS),
    ],
)
def test_only_terminals_with_placeholders_get_pictures_by_kittys_protocol(
    name: str, protocol: Protocol
) -> None:
    assert judge(SSH, kitty_replies(name), Replies(), None).protocol is protocol


def test_sixel_comes_after_kitty_and_before_blocks() -> None:
    both = replace(kitty_replies(), sixel=True)
    offered = (Protocol.KITTY, Protocol.SIXEL, Protocol.BLOCKS, Protocol.NONE)
    assert judge(SSH, both, Replies(), None).offered == offered
    xterm = judge(SSH, Replies.parse(XTERM), Replies(), None)
    assert (xterm.protocol, xterm.cell_height, xterm.cell_width) == (Protocol.SIXEL, 17, 8)
    assert xterm.colours == 2**24  # xterm has them, though SSH drops COLORTERM
    assert not xterm.passthrough


def test_what_is_wanted_is_taken_at_its_word() -> None:
    terminal = judge(SSH, Replies(), Replies(), None, wanted="sixel")
    assert terminal.protocol is Protocol.SIXEL
    assert terminal.offered == (Protocol.SIXEL, Protocol.BLOCKS, Protocol.NONE)
    terminal = judge(SSH, kitty_replies(), Replies(), None, wanted="none")
    assert terminal.protocol is Protocol.NONE
    assert terminal.offered[0] is Protocol.KITTY


def test_inside_tmux_the_real_terminal_counts_and_not_what_tmux_says_of_itself() -> None:
    passed = Replies.parse(KITTY_GRAPHICS)
    kitty = judge(IN_TMUX, Replies(), passed, asked(TMUX_IN_KITTY))
    assert kitty.protocol is Protocol.KITTY
    assert kitty.passthrough
    assert kitty.client == "/dev/pts/0:27808:1795520231"
    assert kitty.colours == 2**24
    assert judge(IN_TMUX, Replies(), Replies(), asked(TMUX_IN_KITTY)).protocol is Protocol.BLOCKS
    closed = asked(TMUX_IN_KITTY.replace("|on|", "|off|"))
    assert judge(IN_TMUX, Replies(), passed, closed).protocol is Protocol.BLOCKS
    old = asked(TMUX_IN_KITTY.replace("3.5a", "3.2a"))
    assert judge(IN_TMUX, Replies(), passed, old).protocol is Protocol.BLOCKS
    assert judge(IN_TMUX, Replies(), Replies(), asked(TMUX_IN_XTERM)).protocol is Protocol.SIXEL
    dull = asked(TMUX_IN_XTERM.replace(",RGB,sixel", ""))
    terminal = judge(IN_TMUX, Replies(), Replies(), dull)
    assert (terminal.protocol, terminal.colours) == (Protocol.BLOCKS, 256)
    assert terminal.colour_system == "truecolor"  # another may be attached while the app runs


def test_a_tmux_at_the_users_end_of_ssh_is_seen_by_its_name() -> None:
    kitty = judge(SSH, Replies.parse(TMUX), kitty_replies(), None)
    assert (kitty.protocol, kitty.passthrough) == (Protocol.KITTY, True)
    assert judge(SSH, Replies.parse(TMUX), Replies(), None).protocol is Protocol.BLOCKS
    both = judge(SSH, Replies.parse(TMUX), Replies.parse(XTERM), None)
    assert both.protocol is Protocol.SIXEL


@pytest.mark.parametrize(
    ("environ", "colours", "system"),
    [
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, 2**24, "truecolor"),
        ({"TERM": "xterm-kitty"}, 2**24, "truecolor"),
        ({"TERM": "screen-256color"}, 256, "256"),
        ({"TERM": "vt220"}, 16, "standard"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0, "auto"),
        ({"TERM": "dumb"}, 0, "auto"),
    ],
)
def test_the_colours_are_those_of_the_environment(
    environ: dict[str, str], colours: int, system: str
) -> None:
    terminal = judge(environ, Replies(), Replies(), None)
    assert (terminal.colours, terminal.colour_system) == (colours, system)


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda descriptor: False)
    assert probe(SSH).protocol is Protocol.BLOCKS


def test_another_terminal_at_tmux_is_noticed_without_asking_it() -> None:
    before = judge(IN_TMUX, Replies(), Replies(), asked(TMUX_IN_XTERM))
    same = detect_again(before, IN_TMUX, ask=lambda _: TMUX_IN_XTERM.replace("17x8", "20x10"))
    assert same == replace(before, cell_height=20, cell_width=10)
    after = detect_again(before, IN_TMUX, ask=lambda _: TMUX_IN_KITTY)
    assert after.protocol is Protocol.KITTY
    assert after.client != before.client
    for nothing in ("", "::|||||on|3.5a"):  # no answer, and no terminal attached
        assert detect_again(before, IN_TMUX, ask=lambda _, nothing=nothing: nothing) == before
    told = iter([TMUX_IN_KITTY.replace("kitty(0.41.1)", ""), "", TMUX_IN_KITTY, ""])
    late = detect_again(before, IN_TMUX, ask=lambda _: next(told))
    assert late.protocol is Protocol.KITTY
    wanted = detect_again(before, IN_TMUX, wanted="none", ask=lambda _: TMUX_IN_KITTY)
    assert wanted.protocol is Protocol.NONE
    assert detect_again(PLAIN, SSH).protocol is PLAIN.protocol


def test_answers_are_taken_out_of_what_arrives_and_keys_are_not() -> None:
    assert without_replies(f"a{XTERM}b{KITTY_GRAPHICS}\x1b[A") == ("ab\x1b[A", "")
    for keys in ("\x1b[6~", "\x1b[?2026;2$y", "\x1b[<0;3;4M", "\x1b[I", "\x1bOP", "\x1bp"):
        assert without_replies(keys) == (keys, "")
    for begun in ("\x1b", "\x1b[", "\x1bP>|kit", "\x1b[?62;4", "\x1b_Gi=31;OK\x1b", "\x1b[6;17"):
        assert without_replies("x" + begun) == ("x", begun)


def test_the_parser_gives_a_key_that_looks_like_an_answer_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser = QuietParser()
    assert list(parser.feed("\x1b")) == []
    assert next(iter(parser.feed("[A"))).key == "up"
    assert list(parser.feed("\x1b")) == []
    monkeypatch.setattr("cryocorr_tui.tui.graphics.driver.PATIENCE", 0)
    assert [event.key for event in parser.tick()] == ["escape"]


def test_codes_for_the_terminal_behind_tmux_have_their_escapes_doubled() -> None:
    assert through_tmux("\x1b[c") == "\x1bPtmux;\x1b\x1b[c\x1b\\"
