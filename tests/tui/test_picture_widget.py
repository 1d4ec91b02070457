"""The widget, in characters: by Pilot there is no terminal that draws pixels."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from picture_app import PictureApp, class_average
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from cryocorr_tui.tui.graphics import blocks
from cryocorr_tui.tui.graphics.terminal import PLAIN, Protocol
from cryocorr_tui.tui.widgets.picture import Picture, View


async def drawn(pilot: Pilot[None]) -> Picture:
    """Wait until the picture that was wanted last is there."""
    await pilot.pause()
    picture = pilot.app.query_one(Picture)
    while picture.busy:
        await pilot.pause(0.01)
    return picture


def text_of(picture: Picture) -> list[str]:
    return [picture.render_line(y).text for y in range(picture.size.height)]


async def test_a_picture_is_drawn_with_characters_in_the_middle_of_its_widget() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        picture = await drawn(pilot)
        viewport = picture.drawing.viewport
        assert (viewport.rows, viewport.columns) == (20, 40)  # square, by cells twice as high
        assert viewport.left == (picture.size.width - 40) // 2
        lines = text_of(picture)
        assert {len(line) for line in lines} == {picture.size.width}
        assert set("".join(lines)) <= set(blocks.QUADRANTS)
        assert set("".join(lines)) != {" "}


async def test_the_newest_of_many_pictures_wins() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        picture = await drawn(pilot)
        for value in (10, 20, 30, 200):
            picture.show(np.full((50, 50), value, np.uint8))
        picture = await drawn(pilot)
        assert (picture.drawing.parts == 200).all()


async def test_pictures_that_are_no_longer_shown_are_let_go_at_once() -> None:
    app = PictureApp(class_average(64))
    async with app.run_test(size=(40, 20)) as pilot:
        gc.disable()  # it comes by rarely, and large pictures would wait for it
        try:
            shown = []
            for level in range(8):
                image = np.full((64, 64), level, np.uint8)
                shown.append(weakref.ref(image))
                (await drawn(pilot)).show(image)
                del image
            await drawn(pilot)
            assert [one() is not None for one in shown] == [False] * 7 + [True]
        finally:
            gc.enable()


async def test_no_picture_after_one_leaves_the_widget_blank() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        picture = await drawn(pilot)
        picture.show(class_average(2))
        picture.show(None)
        picture = await drawn(pilot)
        assert picture.drawing is None
        assert "".join(text_of(picture)).isspace()


async def test_zooming_in_shows_a_part_in_the_whole_widget() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        image = np.zeros((64, 64), np.uint8)
        image[40:, :] = 255
        picture = await drawn(pilot)
        picture.show(image, view=View(64, 32, 4))
        picture = await drawn(pilot)
        viewport = picture.drawing.viewport
        assert (viewport.y, viewport.height) == (48, 16)  # moved back inside
        assert viewport.columns > 70
        assert (picture.drawing.parts == 255).all()


async def test_a_resize_draws_the_picture_for_its_new_room() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.resize_terminal(50, 40)
        await pilot.pause()
        picture = await drawn(pilot)
        assert picture.drawing.viewport.columns == 48
        assert picture.drawing.viewport.rows == 24


async def test_the_terminal_is_followed_and_a_key_switches_what_it_can() -> None:
    async with PictureApp().run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert pilot.app.terminal.protocol is Protocol.BLOCKS
        await pilot.press("g")
        picture = await drawn(pilot)
        assert picture.drawing.protocol is Protocol.NONE
        assert set("".join(text_of(picture))) <= set(blocks.RAMP)
        pilot.app.terminal = replace(PLAIN, colours=2**24)
        assert (await drawn(pilot)).drawing.terminal.colours == 2**24


async def test_under_a_dialog_a_picture_is_drawn_with_characters() -> None:
    app = PictureApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.terminal = replace(PLAIN, protocol=Protocol.KITTY, colours=2**24)
        picture = await drawn(pilot)
        lines = [strip.text for strip in picture.render_lines(picture.size.region)]
        assert "\U0010eeee" in "".join(lines)
        await pilot.press("m")
        await pilot.pause()
        lines = [strip.text for strip in picture.render_lines(picture.size.region)]
        assert "\U0010eeee" not in "".join(lines)
        await pilot.press("escape")
        await pilot.pause()
        lines = [strip.text for strip in picture.render_lines(picture.size.region)]
        assert "\U0010eeee" in "".join(lines)


async def test_an_app_that_hosts_no_pictures_gets_characters() -> None:
    class Plain(App[None]):
        def compose(self) -> ComposeResult:
            yield Picture(class_average())

    async with Plain().run_test(size=(40, 20)) as pilot:
        picture = await drawn(pilot)
        assert picture.drawing.protocol is Protocol.BLOCKS


def test_a_picture_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 expected, not .*float64"):
        Picture().show(np.zeros((4, 4)))
