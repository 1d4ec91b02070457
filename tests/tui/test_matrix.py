"""The matrix screen: keys pressed, state and picture checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from running_app import app_of, until
from textual.pilot import Pilot
from textual.widgets import Static

from cryocorr_tui.core.ranking import Ranker
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.score_map import HUNDREDTHS, UNKNOWN, ScoreMap
from cryocorr_tui.tui.screens.matrix import MatrixScreen
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.widgets.heatmap import Heatmap
from cryocorr_tui.tui.widgets.map_legend import MapLegend
from cryocorr_tui.tui.widgets.pair_gallery import PairGallery
from cryocorr_tui.tui.widgets.pair_panel import PairPanel
from tests.class_average_forge import particles, write_stack


class Shown:
    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot, self.screen = pilot, pilot.app.screen
        self.map = self.screen.query_one(Heatmap)

    @property
    def app(self) -> CryocorrApp:
        assert isinstance(self.pilot.app, CryocorrApp)
        return self.pilot.app

    async def press(self, *keys: str) -> tuple[int, int]:
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return self.map.cursor

    @property
    def legend(self) -> str:
        return self.screen.query_one(MapLegend).render().plain

    def text(self, line: int) -> str:
        return self.map.render_line(line).text


@asynccontextmanager
async def matrix_of(
    run: Run, *, size: tuple[int, int] = (120, 40), finished: bool = True
) -> AsyncIterator[Shown]:
    app = app_of(run, finished=finished)
    app.session.score_map = ScoreMap.of_run(run)
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert isinstance(app.screen, MatrixScreen)
        await until(pilot, lambda: app.screen.query_one(PairPanel).shown)
        yield Shown(pilot)


def best_pairs(run: Run) -> list[tuple[int, int]]:
    n = len(run.classes)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    return sorted(pairs, key=lambda pair: -run.pair(*pair).score)


async def test_the_cursor_begins_at_the_best_pair_and_n_goes_down_from_there(
    finished_run: Run,
) -> None:
    best = best_pairs(finished_run)
    async with matrix_of(finished_run) as shown:
        await until(shown.pilot, lambda: shown.map.cursor == best[0])
        for pair in best[1:4]:
            await shown.press("n")
            await until(shown.pilot, lambda pair=pair: shown.map.cursor == pair)
        assert await shown.press("N") == best[2]


async def test_before_there_is_a_run_the_matrix_says_what_to_do() -> None:
    app = CryocorrApp(Session())
    async with app.run_test() as pilot:
        await pilot.press("3")
        assert "press r" in app.screen.query_one(MapLegend).render().plain


async def test_matrix_and_pairs_read_a_run_but_once(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = []
    best_of = Ranker._best_of
    monkeypatch.setattr(
        Ranker, "_best_of", lambda ranker, *tile: tiles.append(tile) or best_of(ranker, *tile)
    )
    best = best_pairs(finished_run)
    async with matrix_of(finished_run) as shown:
        await until(shown.pilot, lambda: shown.map.cursor == best[0])
        await shown.press("4")
        gallery = shown.app.screen.query_one(PairGallery)
        await until(shown.pilot, lambda: len(gallery.shown))
    assert len(tiles) == len(list(finished_run.store.tiles()))


async def test_why_there_are_no_pairs_stands_on_the_screen(tmp_path: Path) -> None:
    damaged = write_stack(tmp_path / "damaged.mrcs", particles(4))
    damaged.write_bytes(damaged.read_bytes()[:3000])
    session = Session(files=[damaged], folder=tmp_path, output=tmp_path / "out")
    app = CryocorrApp(session)
    async with app.run_test() as pilot:
        for key, screen in (("r", "matrix"), ("2", "detect")):
            await pilot.press(key)
            await until(pilot, lambda: session.problem and not app.busy)
            line = app.screen.query_one(f"#{screen}-problem", Static)
            assert "damaged.mrcs" in str(line.render())
            assert line.display
        session.files = [write_stack(tmp_path / "whole.mrcs", particles(4))]
        await pilot.press("r")
        await until(pilot, lambda: session.finished)
        assert not app.screen.query_one("#matrix-problem").display


async def test_arrows_and_letters_move_by_a_class_and_stop_at_the_edge(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        shown.map.go_to(3, 7)
        assert await shown.press("right") == (3, 8)
        assert await shown.press("j", "j", "l") == (5, 9)
        assert await shown.press("k", "h", "up", "left") == (3, 7)
        assert await shown.press("home") == (3, 0)
        assert await shown.press("left") == (3, 0)
        assert await shown.press("end") == (3, 14)
        assert await shown.press("G") == (14, 14)
        assert await shown.press("pageup") == (0, 14)


async def test_the_pair_under_the_cursor_stands_beside_the_map(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        panel = shown.screen.query_one(PairPanel)
        shown.map.go_to(2, 9)
        await until(shown.pilot, lambda: panel.shown == (2, 9))
        assert f"{finished_run.pair(2, 9).blend:.3f}" in panel.told
        shown.map.go_to(4, 4)
        await until(shown.pilot, lambda: panel.shown == (4, 4))
        assert "texture" in panel.told


async def test_zoomed_in_every_pair_is_printed_with_its_score(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        assert shown.map.zoom == 2  # 15 classes are few
        shown.map.go_to(0, 0)
        for line, i in ((1, 0), (2, 1)):
            values = [finished_run.pair(i, j).score for j in range(8) if j != i]
            printed = [f"{value:.2f}"[1:] for value in values]
            assert [word for word in shown.text(line).split()[1:] if word[0] == "."][:7] == printed


async def test_zoomed_out_a_cell_has_the_best_of_its_pairs(finished_run: Run) -> None:
    async with matrix_of(finished_run, size=(60, 9)) as shown:
        while shown.map.zoom >= 0:
            await shown.press("minus")
        pooled = shown.map.pooled_levels()
        levels = shown.app.session.score_map.levels
        assert pooled.max() == levels.max()
        assert "best of 2×2" in shown.legend
        await shown.press("plus")
        assert "best of" not in shown.legend


async def test_the_order_changes_and_the_cursor_keeps_its_pair(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        shown.map.go_to(2, 9)
        for order in ("quality", "group", "source"):
            assert await shown.press("o") == (2, 9)
            assert f"order {order}" in shown.legend


async def test_in_group_order_the_tree_stands_above_the_columns(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        assert "█" not in shown.text(2)
        await shown.press("o", "o")
        assert "█" in shown.text(2)


async def test_every_metric_can_be_mapped_and_comes_from_the_store(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        for field in ("blend", "ncc", "ssim", "nmi", "frc", "score"):
            await shown.press("m")
            await until(shown.pilot, lambda field=field: shown.app.session.score_map.field == field)
            level = int(shown.app.session.score_map.levels[2, 9])
            pair = finished_run.pair(2, 9)
            value = 1 / pair.frc_resolution_px if field == "frc" else getattr(pair, field)
            assert level == round(min(max(value, 0), 1) * HUNDREDTHS) + 1


async def test_a_threshold_dims_what_lies_below_and_stops_n(finished_run: Run) -> None:
    best = best_pairs(finished_run)
    threshold = (finished_run.pair(*best[1]).score + finished_run.pair(*best[2]).score) / 2
    async with matrix_of(finished_run) as shown:
        await shown.press("t", *(["backspace"] * 4), *f"{threshold:.6f}", "enter")
        assert f"threshold {threshold:.3g}"[:14] in shown.legend
        shown.map.go_to(*best[1])
        await shown.press("n")
        assert shown.map.cursor == best[1]
        await shown.press("t", *(["backspace"] * 12), *"two", "enter")
        assert f"threshold {threshold:.3g}"[:14] in shown.legend  # as it was: two is no number


async def test_g_goes_to_a_class_or_a_pair_and_tells_of_what_is_not_there(
    finished_run: Run,
) -> None:
    async with matrix_of(finished_run) as shown:
        assert await shown.press("g", *"12 4", "enter") == (12, 4)
        assert await shown.press("g", *"7", "enter") == (7, 4)
        assert await shown.press("g", *"99", "enter") == (7, 4)


async def test_enter_and_a_second_click_open_the_pair(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        shown.map.go_to(2, 9)
        await shown.press("enter")
        assert shown.app.screen is not shown.screen
        await shown.press("escape")
        assert shown.app.screen is shown.screen
        spot = shown.map.cell_of(3, 5)
        await shown.pilot.click(Heatmap, offset=spot)
        assert shown.map.cursor == (3, 5)
        await shown.pilot.click(Heatmap, offset=spot)
        await shown.pilot.pause()
        assert shown.app.screen is not shown.screen


async def test_what_is_not_scored_looks_other_than_zero(finished_run: Run) -> None:
    score_map = ScoreMap(finished_run)
    assert (score_map.levels == UNKNOWN).all()
    block = np.zeros((9, 2, 2), dtype=np.float32)
    block[0, 0] = np.nan
    levels = score_map.levels_of(slice(0, 2), slice(4, 6), block)
    assert levels.tolist() == [[UNKNOWN, UNKNOWN], [1, 1]]


async def test_a_map_fills_with_tiles_and_stays_symmetric(finished_run: Run) -> None:
    score_map = ScoreMap(finished_run)
    score_map.put(slice(0, 2), slice(4, 7), np.full((2, 3), 50, np.uint8))
    assert score_map.levels[1, 6] == score_map.levels[6, 1] == 50
    assert (score_map.levels == score_map.levels.T).all()
    assert score_map.spread() == (0.49, pytest.approx(0.54))


async def test_two_sets_are_a_rectangle_of_their_own_classes(matched_run: Run) -> None:
    async with matrix_of(matched_run) as shown:
        assert await shown.press("home", "G") == (3, 4)
        assert await shown.press("end", "pageup") == (0, 7)
        assert await shown.press("o") == (0, 7)
        assert "order quality" in shown.legend
        assert await shown.press("o") == (0, 7)
        assert "order source" in shown.legend  # there are no groups


async def test_colours_change_with_a_key(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        before = [segment.style for segment in shown.map.render_line(5)]
        await shown.press("c")
        assert [segment.style for segment in shown.map.render_line(5)] != before
        spread = shown.legend
        await shown.press("x")
        assert "0.00" in shown.legend
        assert shown.legend != spread


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (200, 60)])
async def test_every_line_is_as_wide_as_the_widget(
    finished_run: Run, size: tuple[int, int]
) -> None:
    async with matrix_of(finished_run, size=size) as shown:
        for key in ("o", "minus", "minus", "o", "minus"):
            await shown.press(key)
            lines = [shown.map.render_line(y) for y in range(shown.map.size.height)]
            assert {line.cell_length for line in lines} == {shown.map.size.width}


async def test_the_numbers_of_the_pair_are_copied(finished_run: Run) -> None:
    async with matrix_of(finished_run) as shown:
        shown.map.go_to(2, 9)
        await shown.press("y")
        assert shown.app.clipboard.startswith("2, 9: score ")
