"""What the footer, the palette and the help tell of the keys."""

from __future__ import annotations

import gc
import runpy
from collections import Counter
from pathlib import Path

import pytest
from running_app import app_of, until
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import STEPS
from cryocorr_tui.tui.screens.help import HelpScreen
from cryocorr_tui.tui.screens.pair_viewer import Panel

MOST_KEYS = 7
LIST_KEYS = Path(__file__).parents[2] / "docs" / "list_keys.py"


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
async def test_the_footer_of_a_step_shows_few_keys_and_all_of_them(
    finished_run: Run, number: int
) -> None:
    app = app_of(finished_run)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(str(number))
        await until(pilot, lambda: app.screen.query(FooterKey))
        await pilot.pause()
        keys = app.screen.query(FooterKey)
        assert len(keys) <= MOST_KEYS
        assert max(key.region.right for key in keys) <= app.screen.query_one(Footer).size.width


async def test_the_palette_and_the_help_name_every_action_once(finished_run: Run) -> None:
    app = app_of(finished_run)
    async with app.run_test() as pilot:
        await pilot.press("3")
        offered = [command.title for command in app.get_system_commands(app.screen)]
        assert offered.count("Zoom in") == 1
        assert "Copy selected text" not in offered
        explained = [what for _, what in HelpScreen(app.screen)._keys]
        assert len(explained) == len(set(explained))
        assert "Copy selected text" not in explained


def test_the_page_of_keys_is_up_to_date_and_an_id_is_of_one_action() -> None:
    listing = runpy.run_path(str(LIST_KEYS))
    assert listing["PAGE"].read_text(encoding="utf-8") == listing["page"](), "run docs/list_keys.py"
    counts = Counter(binding.id for binding in listing["bindings"]())
    assert max(counts.values()) == 1, counts.most_common(3)


async def test_keys_that_are_no_longer_shown_are_let_go(finished_run: Run) -> None:
    app = app_of(finished_run)
    async with app.run_test(size=(100, 30)) as pilot:
        for _ in range(12):
            await pilot.press("3", "4", "5")
        shown = sum(len(screen.query(FooterKey)) for screen in app.screen_stack)
        gc.collect()
        alive = sum(isinstance(thing, FooterKey) for thing in gc.get_objects())
        assert 0 < shown <= alive <= 100  # some on each of six screens, and not those of 36 changes


async def test_a_viewer_that_is_closed_is_let_go(finished_run: Run) -> None:
    app = app_of(finished_run)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        for _ in range(6):
            await pilot.press("enter", "escape")
        gc.collect()
        panels = sum(isinstance(thing, Panel) for thing in gc.get_objects())
        assert panels <= 12  # four of each viewer, of which the last ones may linger
