"""An app whose pictures are drawn by the terminal."""

from __future__ import annotations

import os
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic
from weakref import WeakSet

from rich.console import RenderableType
from textual.app import App, ReturnType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import Monochrome
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.timer import Timer
from textual.worker import get_current_worker

from cryocorr_tui.tui.colourless import Colourless
from cryocorr_tui.tui.graphics.driver import QuietDriver
from cryocorr_tui.tui.graphics.terminal import PLAIN, Terminal, detect_again

if TYPE_CHECKING:
    from cryocorr_tui.tui.widgets.picture import Picture

__all__ = ["PictureHost"]


CALM = 0.05  # seconds without a repaint before sixels are sent: a resize repaints many times


class PictureHost(App[ReturnType], Generic[ReturnType]):
    """The base of an app that shows pictures.

    Kitty's pictures are text to Textual, once they are sent. Sixels are not: they stand on cells of
    which Textual knows nothing but the background, so they are sent when a frame has painted over
    them, and never where something covers them.

    Attributes
    ----------
    terminal : Terminal
        What the terminal can draw, and how it shall; pictures follow when it is set anew.
    wanted : str
        "auto", or the name of the protocol that the user chose.
    colourless : bool
        Whether the user wants no colours at all.
    LEAST_SIZE : (int, int)
        Columns and rows below which nothing is shown but a word about that.
    """

    LEAST_SIZE: ClassVar[tuple[int, int]] = (0, 0)

    terminal: reactive[Terminal] = reactive(PLAIN, init=False)
    wanted = "auto"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.colourless = bool(os.environ.get("NO_COLOR"))
        if self.no_color:  # Textual would send greys, and also where the variable is empty
            self._filters = [each for each in self._filters if not isinstance(each, Monochrome)]
            self._filters += [Colourless()] if self.colourless else []
        self.pictures: WeakSet[Picture] = WeakSet()
        self._frame: object = None
        self._calm: Timer | None = None
        self._told_small: Size | None = None  # the size of which was said that it is too small

    def get_driver_class(self) -> type[Driver]:
        """Return a driver that takes late answers of the terminal for what they are."""
        usual = super().get_driver_class()
        return QuietDriver if usual is LinuxDriver else usual

    def on_mount(self) -> None:
        """Send the pictures again when the app was stopped and goes on: they are forgotten."""
        self.app_resume_signal.subscribe(self, lambda _: self._draw_again())

    def _draw_again(self) -> None:
        for picture in self.pictures:
            picture.refresh_protocol()

    def on_app_focus(self) -> None:
        """Look again at what is attached to tmux: it may be another terminal than before."""
        self._look_again()
        if "TMUX" in os.environ:  # it redraws its windows, but not all the sixels in them
            for picture in self.pictures:
                if picture.sixel_region is not None:
                    picture.repaint()

    def on_resize(self) -> None:
        """Look again at the terminal: a larger font is a smaller window."""
        self._look_again()

    def _look_again(self) -> None:
        if not self.is_headless:  # else a test would depend on the terminal that it is run in
            self.run_worker(self._detect_again, thread=True, exclusive=True, group="terminal")

    def _detect_again(self) -> None:
        if not get_current_worker().is_cancelled:
            before = self.terminal
            after = detect_again(before, os.environ, wanted=self.wanted)
            self.call_later(self._detected, before, after)

    def _detected(self, before: Terminal, after: Terminal) -> None:
        if self.terminal == before:  # else the user has switched meanwhile
            self.terminal = after

    def action_switch_graphics(self) -> None:
        """Draw the pictures in the next way that the terminal has."""
        offered = self.terminal.offered
        protocol = offered[(offered.index(self.terminal.protocol) + 1) % len(offered)]
        self.wanted = protocol.value
        self.terminal = replace(self.terminal, protocol=protocol)

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """The screens that shine through: none where the top one lets nothing through.

        Textual takes the one below along at any rate, and repaints the whole screen, with all its
        pictures, whenever something changes down there.
        """
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    def send(self, code: str) -> None:
        """Send escape codes to the terminal; nothing is sent where there is none."""
        if code and self._driver is not None and not self.is_headless:
            self._driver.write(code)
            self._driver.flush()

    def send_sixels(self) -> None:
        """Send the sixels that the terminal does not show and that nothing covers."""
        self._calm = None
        for picture in self.pictures:
            region = picture.sixel_region
            due = picture.unsent and not picture.busy  # else a newer one is about to come
            if due and region is not None and self.in_sight(picture, region):
                picture.unsent = False
                move = f"\x1b[{region.y + 1};{region.x + 1}H"
                blank = Strip.blank(region.width, picture.rich_style).render(self.console)
                self.send(f"\x1b7{_everywhere(blank, region)}{move}{picture.code}\x1b8")

    def in_sight(self, picture: Picture, region: Region) -> bool:
        """Return whether sixels there would be on the top screen, whole and under nothing."""
        if self._too_small:
            return False
        # On the last row the cursor would leave the screen below the picture, and xterm scroll.
        if picture.screen is not self.screen or region.bottom >= self.screen.size.height:
            return False
        # In the order of sight, front first. The compositor has no public way to ask this.
        for widget, (place, clip) in self.screen._compositor.visible_widgets.items():
            if widget is picture:
                return clip.contains_region(region)
            if place.intersection(clip).overlaps(region):
                return False
        return False

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if self._too_small:
            self._tell_small()
            return
        self._told_small = None
        # Remembers what this frame paints: the hook below is not told.
        self._frame = None if self._batch_count else renderable
        super()._display(screen, renderable)

    @property
    def _too_small(self) -> bool:
        columns, rows = self.LEAST_SIZE
        return self.size.width < columns or self.size.height < rows

    def _tell_small(self) -> None:
        """Say once that the terminal is too small, in place of frames that would be broken."""
        if self.size == self._told_small:
            return
        self._told_small = self.size
        columns, rows = self.LEAST_SIZE
        words = f"Too small: {columns} × {rows} is needed, this terminal has "
        words += f"{self.size.width} × {self.size.height}. Enlarge it; q leaves."
        lines = textwrap.wrap(words, max(self.size.width, 1))[: self.size.height]
        self.send("\x1b[0m\x1b[2J\x1b[H" + "\r\n".join(lines))

    def post_display_hook(self) -> None:
        """Send the sixels over which this frame has painted, once no other frame does."""
        super().post_display_hook()
        frame, self._frame = self._frame, None
        if frame is None:
            return
        painted = False
        for picture in self.pictures:
            region = picture.sixel_region
            if region is not None and _paints(frame, region):
                picture.unsent = painted = True
        if painted and self._calm is not None:
            self._calm.stop()
            self._calm = None
        # Also those that were covered when it was their turn: what covered them may have gone with
        # this frame, without a cell of theirs painted.
        if self._calm is None and any(picture.unsent for picture in self.pictures):
            self._calm = self.set_timer(CALM, self.send_sixels)


def _everywhere(blank: str, region: Region) -> str:
    """Return the codes that paint a blank on every line of a region.

    xterm keeps a picture below another, and of more than 16 it drops the oldest, be it in sight or
    not; one whose cells are painted over is gone for good.
    """
    return "".join(f"\x1b[{y + 1};{region.x + 1}H{blank}" for y in region.line_range)


def _paints(frame: object, region: Region) -> bool:
    """Return whether a frame paints a cell of a region; only partial ones name what they paint."""
    spans = getattr(frame, "spans", None)
    if spans is None:
        return True
    lines = region.line_range
    return any(y in lines and first < region.right and last > region.x for y, first, last in spans)
