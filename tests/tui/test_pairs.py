from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text
from running_app import app_of, until
from textual.pilot import Pilot
from textual.widgets import Static

from cryocorr_tui.core.model import PAIR_FIELDS
from cryocorr_tui.core.run import Run
from cryocorr_tui.core.store import RunStore
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.graphics.terminal import Protocol, Terminal
from cryocorr_tui.tui.screens.pair_viewer import PairViewer
from cryocorr_tui.tui.screens.pairs import PairsScreen
from cryocorr_tui.tui.session import Changed, Session
from cryocorr_tui.tui.widgets.pair_gallery import PairGallery

ALL = 15 * 14 // 2


@asynccontextmanager
async def pairs_of(
    run: Run, *, size: tuple[int, int] = (80, 24), finished: bool = True
) -> AsyncIterator[tuple[Pilot[None], PairsScreen, PairGallery]]:
    """The screen of pairs, once it shows some."""
    app = app_of(run, finished=finished)
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        screen = app.screen
        assert isinstance(screen, PairsScreen)
        await until(pilot, lambda: screen.ranking is not None)
        yield pilot, screen, screen.query_one(PairGallery)


def told(screen: PairsScreen) -> str:
    return str(screen.query_one("#filters", Static).render())


async def test_all_pairs_are_there_the_best_first(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (_, screen, gallery):
        assert gallery.count == ALL
        assert gallery.ranking is not None
        assert (np.diff(gallery.ranking.score[gallery.shown]) <= 0).all()
        assert told(screen).startswith("105 of 105")


async def test_a_narrow_screen_has_one_column_and_a_wide_one_several(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        assert gallery.columns == 1
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: gallery.columns == 3)


async def test_the_cursor_moves_by_keys_and_stays_within(finished_run: Run) -> None:
    async with pairs_of(finished_run, size=(200, 60)) as (pilot, _, gallery):
        places = []
        for key in ("h", "l", "j", "right", "down", "up", "k", "left", "G", "l", "pageup", "g"):
            await pilot.press(key)
            places.append(gallery.cursor)
        assert places[:8] == [0, 1, 4, 5, 8, 5, 2, 1]
        assert places[8:10] == [ALL - 1, ALL - 1]
        assert 0 < places[10] < ALL - 1
        assert places[11] == 0


async def test_the_cursor_is_always_in_sight(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        await pilot.press("end")
        await pilot.pause()
        assert gallery.scroll_offset.y == gallery.virtual_size.height - gallery.size.height
        await pilot.press("home")
        await pilot.pause()
        assert gallery.scroll_offset.y == 0


async def test_pictures_arrive_for_what_is_in_sight_only(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        size = gallery.picture_size(gallery._entry)
        there = gallery.thumbnails._drawings
        await until(pilot, lambda: all((each, size) in there for each in gallery.pictures(0)))
        assert len(there) < 20


async def test_where_the_terminal_has_real_pixels_the_gallery_has_them_too(
    finished_run: Run,
) -> None:
    def first_line() -> str:
        return "".join(segment.text for segment in gallery.render_line(0))

    async with pairs_of(finished_run) as (pilot, screen, gallery):
        screen.cryocorr.terminal = Terminal(
            Protocol.KITTY, 20, 10, colours=2**24, passthrough=False, offered=(Protocol.KITTY,)
        )
        await until(pilot, lambda: "\U0010eeee" in first_line())
        await pilot.press("question_mark")  # a dialog dims all colours, which are their names
        await until(pilot, lambda: "\U0010eeee" not in first_line())


async def test_enter_opens_the_pair_and_the_next_is_the_next_that_is_shown(
    finished_run: Run,
) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        await pilot.press("o", "j", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PairViewer))
        viewer = pilot.app.screen
        assert isinstance(viewer, PairViewer)
        assert (viewer.look.i, viewer.look.j) == gallery.pairs[1]
        await pilot.press("n")
        await until(pilot, lambda: (viewer.look.i, viewer.look.j) == gallery.pairs[2])


async def test_a_click_moves_the_cursor_and_another_one_opens(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[int, int]] = []
    monkeypatch.setattr(CryocorrApp, "open_pair", lambda _, i, j, pairs: opened.append((i, j)))
    async with pairs_of(finished_run, size=(200, 60)) as (pilot, _, gallery):
        second = (gallery.size.width // 2, 2)
        await pilot.click(gallery, offset=second)
        assert gallery.cursor == 1
        assert not opened
        await pilot.click(gallery, offset=second)
        assert opened == [gallery.pairs[1]]


async def test_another_sort_keeps_the_pair_under_the_cursor(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, screen, gallery):
        first = set()  # by some sort: there the place is kept, not the pair
        for _ in range(4):
            await pilot.press("s")
            first.add(gallery.pair)
        while gallery.pair in first:
            await pilot.press("j")
        pair = gallery.pair
        for sort in ("quality", "both", "p-value", "score"):
            await pilot.press("s")
            assert screen.sort == sort
            assert gallery.pair == pair
            assert f"by {sort}" in told(screen)


async def test_in_the_line_of_filters_only_what_is_set_stands_out(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, screen, _):
        await pilot.press("o")
        line = screen.query_one("#filters", Static).content
        assert isinstance(line, Text)
        bold = [line.plain[span.start : span.end] for span in line.spans if span.style == "bold"]
        assert not line.style
        assert bold[1:] == ["by score", "same sources"]


async def test_a_threshold_filters_while_it_is_typed_and_escape_takes_it_back(
    finished_run: Run,
) -> None:
    async with pairs_of(finished_run) as (pilot, screen, gallery):
        assert gallery.ranking is not None
        middle = float(np.median(gallery.ranking.score))
        await pilot.press("t", *f"{middle:.2f}")
        assert 0 < gallery.count < ALL
        assert "score ≥" in told(screen)
        await pilot.press("escape")
        assert gallery.count == ALL
        assert gallery.has_focus
        await pilot.press("w", "1", "enter")
        assert gallery.count == 0
        assert screen.wanted.quality == 1
        await pilot.press("0")
        assert gallery.count == ALL


async def test_sources_and_groups_are_filtered_in_turn(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        counts = []
        for key in ("o", "o", "o", "i", "i", "i"):
            await pilot.press(key)
            counts.append(gallery.count)
        same, other, every, inside, across, again = counts
        assert (same, other) == (28 + 21, 56)
        assert every == again == ALL
        assert 0 < inside < across < ALL
        assert inside + across == ALL


async def test_only_the_group_of_the_pair_can_be_shown(finished_run: Run) -> None:
    assert finished_run.groups is not None
    labels = finished_run.groups.labels
    async with pairs_of(finished_run) as (pilot, _, gallery):
        label = labels[gallery.pairs[0][0]]
        await pilot.press("I")
        assert gallery.count > 0
        assert {int(labels[k]) for pair in gallery.pairs for k in pair} == {int(label)}
        await pilot.press("I")
        assert gallery.count == ALL


async def test_text_filters_at_every_letter(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, screen, gallery):
        await pilot.press("slash", "3")
        assert gallery.count == 14
        await pilot.press("minus", "7", "enter")
        assert gallery.pairs == [(3, 7)]
        assert "3-7" in told(screen)
        await pilot.press("slash", *["backspace"] * 3, *"first")
        assert gallery.count == ALL - 21
        await pilot.press("enter", "0")
        assert gallery.count == ALL


async def test_the_numbers_of_a_pair_are_copied(finished_run: Run) -> None:
    async with pairs_of(finished_run) as (pilot, _, gallery):
        await pilot.press("y")
        i, j = gallery.pairs[0]
        assert pilot.app.clipboard.startswith(f"{i}, {j}: score ")


async def test_a_run_that_goes_on_fills_the_gallery_and_leaves_the_cursor_on_its_pair(
    finished_run: Run, tmp_path: Path
) -> None:
    known = finished_run.store.window(slice(0, 15), slice(0, 15))
    with RunStore.create(tmp_path, n=15, tile=8, fingerprint="", manifest={}) as store:
        first, *rest = store.tiles()
        store.write(first, known[:, first.rows, first.cols])
        run = replace(finished_run, store=store, survey=None, groups=None)
        async with pairs_of(run, finished=False) as (pilot, screen, gallery):
            assert gallery.count == 28
            await pilot.press("j")
            pair = gallery.pair
            assert np.isnan(screen.ranking.p_value).all()  # type: ignore[union-attr]
            await pilot.press("i")  # there are no groups yet
            assert screen.wanted.grouping == "all"
            best = np.full((len(PAIR_FIELDS), 8, 7), 0.0, dtype=np.float32)
            best[0] = 0.99
            store.write(rest[0], best)
            screen.cryocorr.changed.publish(Changed.TILES)
            await until(pilot, lambda: gallery.count == 28 + 56)
            assert gallery.pair == pair
            assert gallery.cursor > 1


async def test_without_a_run_the_screen_says_what_to_do() -> None:
    app = CryocorrApp(Session())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        assert "press r" in app.screen.query_one(PairGallery).empty
