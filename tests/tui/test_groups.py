from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running_app import app_of, until
from textual.pilot import Pilot
from textual.widgets import Input, Static

from cryocorr_tui.core.choices import Choices
from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.screens.groups import GroupsScreen
from cryocorr_tui.tui.session import Changed, Session
from cryocorr_tui.tui.widgets.class_sheet import ClassSheet
from cryocorr_tui.tui.widgets.cut_plot import bars, groups_along
from cryocorr_tui.tui.widgets.group_list import GroupList, members_of

CLASSES = 15


class Shown:
    """The screen of groups, and what a test asks of it."""

    def __init__(self, pilot: Pilot[None], screen: GroupsScreen) -> None:
        self.pilot, self.screen = pilot, screen
        self.list, self.sheet = screen.query_one(GroupList), screen.query_one(ClassSheet)

    @property
    def choices(self) -> Choices:
        assert self.screen.session.choices is not None
        return self.screen.session.choices

    @property
    def number(self) -> int:
        assert self.choices.groups is not None
        return len(self.choices.groups.representatives)

    @property
    def told(self) -> str:
        return str(self.screen.query_one("#groups-told", Static).render())


@asynccontextmanager
async def groups_of(run: Run, *, size: tuple[int, int] = (160, 48)) -> AsyncIterator[Shown]:
    app = app_of(run)
    async with app.run_test(size=size) as pilot:
        await pilot.press("5")
        screen = app.screen
        assert isinstance(screen, GroupsScreen)
        await until(pilot, lambda: screen._blend is not None)
        yield Shown(pilot, screen)


async def test_groups_are_listed_with_their_members_beside(finished_run: Run) -> None:
    groups = finished_run.groups
    assert groups is not None
    async with groups_of(finished_run) as shown:
        assert shown.list.count == len(groups.representatives)
        assert shown.told.startswith(f"{shown.list.count} group")
        assert set(shown.sheet.ids) == set(members_of(groups, 1))
        assert shown.sheet.ids[0] == groups.representatives[0]
        await shown.pilot.press("j")
        assert set(shown.sheet.ids) == set(members_of(groups, 2))


async def test_members_most_like_the_representative_come_first(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        first, *others = shown.sheet.ids.tolist()
        blends = [finished_run.pair(first, k).blend for k in others]
        assert blends == sorted(blends, reverse=True)


async def test_every_step_of_the_cut_changes_the_groups_until_all_are_alone(
    finished_run: Run,
) -> None:
    async with groups_of(finished_run) as shown:
        numbers = [shown.number]
        while numbers[-1] < CLASSES:
            await shown.pilot.press("+")
            numbers.append(shown.number)
            assert numbers[-1] > numbers[-2]
        assert "by hand" in shown.told
        await shown.pilot.press("+")
        assert shown.number == CLASSES
        await shown.pilot.press("0")
        assert shown.number == numbers[0]
        assert "automatic" in shown.told
        await shown.pilot.press("<")
        assert shown.number < numbers[0]
        await shown.pilot.press("u")
        assert shown.number == numbers[0]


async def test_the_cursor_stays_on_its_class_when_the_cut_moves(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("j", "l", "l")
        class_id = shown.sheet.class_id
        await shown.pilot.press("-")
        assert shown.sheet.class_id == class_id
        assert shown.choices.groups is not None
        assert shown.choices.groups.labels[class_id] == shown.list.cursor + 1


async def test_a_class_is_dropped_and_kept_again(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("l", "l", "space")
        assert shown.choices.dropped == {shown.sheet.ids[1]}
        assert "dropped 1" in shown.told
        assert shown.sheet.cursor == 1
        await shown.pilot.press("space")
        assert not shown.choices.dropped


async def test_a_whole_group_is_dropped_and_kept_again(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        members = set(shown.sheet.ids.tolist())
        await shown.pilot.press("space")  # in the list it is about the group
        assert shown.choices.dropped == members
        await shown.pilot.press("l", "x")
        assert not shown.choices.dropped


@pytest.mark.parametrize(("columns", "told"), [(80, "cut 0."), (160, "cut at blend 0.")])
async def test_the_line_over_the_groups_has_the_room_that_there_is(
    finished_run: Run, columns: int, told: str
) -> None:
    app = app_of(finished_run)
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press("5")
        await pilot.resize_terminal(columns, 24)
        await pilot.pause()
        line = app.screen.query_one("#groups-told", Static)
        assert told in str(line.render())
        assert "dropped 0" in str(line.render())
        assert line.size.height == 1


async def test_what_is_redundant_is_dropped_in_one_group_or_in_all(finished_run: Run) -> None:
    assert finished_run.groups is not None
    representatives = set(finished_run.groups.representatives.tolist())
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("d")
        assert shown.choices.dropped == set(shown.sheet.ids[1:].tolist())
        await shown.pilot.press("D")
        assert shown.choices.dropped == set(range(CLASSES)) - representatives
        await shown.pilot.press("u", "u")
        assert not shown.choices.dropped
        await shown.pilot.press("u")  # nothing is left to take back
        assert not shown.choices.dropped


async def test_what_is_of_low_quality_is_dropped_in_all_groups(finished_run: Run) -> None:
    quality = finished_run.quality.quality
    least = float(np.median(quality))
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("Q")
        line = shown.pilot.app.screen.query_one(Input)
        assert line.value == f"{quality[shown.sheet.ids[0]]:.2f}"
        line.value = f"{least:.6f}"
        await shown.pilot.press("enter")
        below = set(np.flatnonzero(quality < np.float32(f"{least:.6f}")).tolist())
        assert shown.choices.dropped == below
        assert 0 < len(below) < CLASSES
        await shown.pilot.press("u")
        assert not shown.choices.dropped
        await shown.pilot.press("Q", *"7", "enter")
        assert not shown.choices.dropped
        await shown.pilot.press("Q", "escape")
        assert not shown.choices.dropped


async def test_classes_are_put_into_groups_of_the_users_own(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        first, second, *_ = members = shown.sheet.ids.tolist()
        await shown.pilot.press("A", "7")
        assert shown.choices.assigned == dict.fromkeys(members, 7)
        await shown.pilot.press("l", "a", "0")
        assert first not in shown.choices.assigned
        await shown.pilot.press("l", "a", "escape")
        assert shown.choices.assigned[second] == 7
        await shown.pilot.press("a", "2")
        assert shown.choices.assigned[second] == 2


async def test_enter_goes_to_the_members_and_opens_one_with_its_representative(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[int, int]] = []
    monkeypatch.setattr(CryocorrApp, "open_pair", lambda _, i, j: opened.append((i, j)))
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("enter")
        assert shown.sheet.has_focus
        await shown.pilot.press("l", "enter")
        await until(shown.pilot, lambda: opened)
        assert opened == [(shown.sheet.ids[0], shown.sheet.ids[1])]
        await shown.pilot.press("h", "h")
        assert shown.list.has_focus


async def test_pictures_of_the_members_arrive(finished_run: Run) -> None:
    async with groups_of(finished_run, size=(80, 24)) as shown:
        size = shown.sheet.picture_size(shown.sheet._entry)
        first, second, *_ = shown.sheet.ids.tolist()
        there = shown.sheet.thumbnails._drawings
        await until(shown.pilot, lambda: ((first, second), size) in there)


async def test_a_click_in_the_sheet_goes_to_that_class(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        entry = shown.sheet._entry
        left = shown.sheet.content_offset.x + entry.width  # of the second one
        await shown.pilot.click(shown.sheet, offset=(left, 2))
        assert shown.sheet.cursor == 1


async def test_the_numbers_of_a_class_are_copied(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        await shown.pilot.press("y")
        assert shown.pilot.app.clipboard.startswith(f"{shown.sheet.ids[0]}: source ")


async def test_members_are_laid_on_the_representative_or_as_they_are(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        first, second, *_ = shown.sheet.ids.tolist()
        assert shown.sheet.pictures(1) == ((first, second),)
        await shown.pilot.press("o")
        assert shown.sheet.pictures(1) == ((second, second),)


async def test_other_screens_hear_of_decisions(finished_run: Run) -> None:
    async with groups_of(finished_run) as shown:
        heard: list[Changed] = []
        shown.screen.cryocorr.changed.subscribe(shown.screen, heard.append)
        await shown.pilot.press("d")
        assert heard == [Changed.CHOICES]


async def test_the_export_tells_what_was_decided(finished_run: Run, tmp_path: Path) -> None:
    async with groups_of(finished_run) as shown:
        shown.screen.session.output = tmp_path / "results"
        await shown.pilot.press("l", "l", "space", "a", "4", "+")
        dropped = int(shown.sheet.class_id or 0)
        await shown.pilot.press("e")
        table = tmp_path / "results" / "classes.csv"
        await until(shown.pilot, (tmp_path / "results" / "run.json").exists)
        with table.open(newline="", encoding="utf-8") as file:
            rows = {int(row["class_id"]): row for row in csv.DictReader(file)}
        assert {k for k, row in rows.items() if row["kept"] == "false"} == {dropped}
        assert {k: row["assigned"] for k, row in rows.items() if row["assigned"]} == {dropped: "4"}
        assert shown.choices.groups is not None
        assert [
            int(rows[k]["group"]) for k in range(CLASSES)
        ] == shown.choices.groups.labels.tolist()


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_sheet_is_as_large_as_the_screen_lets_it_be(
    finished_run: Run, size: tuple[int, int]
) -> None:
    async with groups_of(finished_run, size=size) as shown:
        assert shown.sheet.size.width >= size[0] - 46
        assert shown.list.size.height >= 10
        lines = -(-shown.sheet.count // shown.sheet.columns)
        assert lines * shown.sheet._entry.height <= shown.sheet.size.height


async def test_a_match_of_two_sets_has_no_groups_and_the_screen_says_so(matched_run: Run) -> None:
    app = app_of(matched_run)
    async with app.run_test() as pilot:
        await pilot.press("5", "+", "space", "d", "D", "a", "A", "u", "0")
        assert "Two sets" in str(app.screen.query_one("#groups-told", Static).render())


async def test_what_is_missing_is_said_in_a_sentence(finished_run: Run) -> None:
    unfinished = app_of(replace(finished_run, groups=None, survey=None), finished=False)
    without_memory = app_of(replace(finished_run, groups=None))
    for app, words in (
        (CryocorrApp(Session()), "press r"),
        (unfinished, "when all pairs are scored"),
        (without_memory, "--memory"),
    ):
        async with app.run_test() as pilot:
            await pilot.press("5", "+", "d")
            assert words in str(app.screen.query_one("#groups-told", Static).render())


def test_a_bar_is_as_high_as_its_value() -> None:
    assert bars(np.array([1, 8, 16]), 2) == ["  █", "▁██"]


def test_groups_are_counted_along_the_blend_of_the_cut() -> None:
    heights = np.array([0.1, 0.2, 0.5])  # of four classes
    assert groups_along(heights, 0.4, 1.0, 4).tolist() == [1, 2, 3, 4]
