"""Keys that come all at once mean what they mean one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from running_app import app_of, until
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input

from cryocorr_tui.core.run import Run
from cryocorr_tui.tui import keys_in_order
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.score_map import ScoreMap
from cryocorr_tui.tui.screens.pair_viewer import PairViewer
from cryocorr_tui.tui.screens.prompt import Prompt
from cryocorr_tui.tui.screens.run_options import RunOptions
from cryocorr_tui.tui.widgets.heatmap import Heatmap


@asynccontextmanager
async def opened(run: Run) -> AsyncIterator[tuple[CryocorrApp, Pilot[None]]]:
    app = app_of(run)
    app.session.score_map = ScoreMap.of_run(run)
    async with app.run_test(size=(120, 40)) as pilot:
        yield app, pilot


async def send(app: CryocorrApp, pilot: Pilot[None], keys: Iterable[str]) -> None:
    for key in keys:
        alone = len(key) == 1
        name = _character_to_key(key) if alone else key
        app.post_message(events.Key(name, key if alone else None))
    app.call_later(lambda: None)
    await pilot.pause()
    await until(pilot, lambda: app._at_work is None)


async def test_what_is_typed_after_a_key_that_opens_a_line_stands_in_it(finished_run: Run) -> None:
    async with opened(finished_run) as (app, pilot):
        await send(app, pilot, "1/ab")
        assert isinstance(app.focused, Input)
        assert app.focused.value == "ab"
        await send(app, pilot, ["escape", "3", "O", "1", ".", "5"])
        assert isinstance(app.screen, RunOptions)
        assert isinstance(app.focused, Input)
        assert app.focused.value == "1.5"
        await send(app, pilot, ["escape", "g", *"2 7", "enter"])
        assert app.screen.query_one(Heatmap).cursor == (2, 7)


async def test_keys_after_one_that_changes_the_screen_are_for_the_new_one(
    finished_run: Run,
) -> None:
    async with opened(finished_run) as (app, pilot):
        await send(app, pilot, "3jjl")
        heatmap = app.screen.query_one(Heatmap)
        i, j = heatmap.cursor
        await send(app, pilot, "13jl")
        assert heatmap.cursor == (i + 1, j + 1)
        await send(app, pilot, ["5", "enter", "l", "Q"])
        assert isinstance(app.screen, Prompt)
        await send(app, pilot, ["escape", "3", "enter", "n", "escape"])
        assert not isinstance(app.screen, PairViewer)


async def test_a_key_that_is_never_through_holds_the_others_up_for_a_moment_only(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(pumps: object) -> None:
        await asyncio.Event().wait()

    async with opened(finished_run) as (app, pilot):
        await send(app, pilot, "3")
        heatmap = app.screen.query_one(Heatmap)
        i, j = heatmap.cursor
        monkeypatch.setattr(keys_in_order, "PATIENCE", 0.05)
        monkeypatch.setattr(keys_in_order, "_worked_off", never)
        await send(app, pilot, "jjj")
        assert heatmap.cursor == (i + 3, j)
