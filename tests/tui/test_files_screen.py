from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from cryocorr_tui.core.analysis import analyze
from cryocorr_tui.core.model import Settings
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.marks import Mark
from cryocorr_tui.tui.screens.files import ChosenList, FilesScreen, Filter
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.widgets.file_tree import FileTree
from cryocorr_tui.tui.widgets.picture import Picture
from tests.class_average_forge import particles, write_montage, write_stack

SIZE = (120, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stacks, a montage, a text and a damaged stack, and a folder with one more."""
    write_stack(tmp_path / "a2.mrcs", particles(5), pixel_size=2.0)
    write_stack(tmp_path / "a10.mrcs", particles(3, seed=1))
    write_montage(tmp_path / "montage.png", particles(8))
    (tmp_path / "notes.txt").write_text("about the classes")
    cut = write_stack(tmp_path / "cut.mrcs", particles(4))
    cut.write_bytes(cut.read_bytes()[:3000])
    write_stack(tmp_path / "more" / "b.mrcs", particles(2))
    return tmp_path


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Wait for what a thread works out."""
    for _ in range(400):
        await pilot.pause(0.02)
        if holds():
            return
    raise AssertionError("it never came true")


def app_in(folder: Path, *files: Path) -> CryocorrApp:
    return CryocorrApp(Session(folder=folder, files=list(files), output=folder / "out"))


def shown(app: CryocorrApp) -> list[str]:
    """The names in the tree, from the root's first child down."""
    tree = app.screen.query_one(FileTree)
    nodes = (tree.get_node_at_line(line) for line in range(1, tree.last_line + 1))
    return [node.data.path.name for node in nodes if node is not None and node.data is not None]


async def go_to(pilot: Pilot[None], name: str) -> None:
    tree = pilot.app.screen.query_one(FileTree)
    await until(pilot, lambda: name in shown(pilot.app))  # type: ignore[arg-type]
    tree.move_cursor_to_line(1 + shown(pilot.app).index(name))  # type: ignore[arg-type]
    await pilot.pause()


def files_screen(app: CryocorrApp) -> FilesScreen:
    assert isinstance(app.screen, FilesScreen)
    return app.screen


async def test_folders_come_first_and_numbers_in_names_count(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: bool(shown(app)))
        assert shown(app) == ["more", "a2.mrcs", "a10.mrcs", "cut.mrcs", "montage.png", "notes.txt"]


async def test_each_file_says_what_it_is(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        marks = app.screen.query_one(FileTree).marks
        await until(pilot, lambda: len(marks) == 7)
        assert marks[folder / "a2.mrcs"].words == "MRC stack · 5 × 32² · 2 Å"
        assert marks[folder / "montage.png"].kind == "picture"
        assert marks[folder / "notes.txt"] == marks[folder / "cut.mrcs"] == Mark()
        tree = app.screen.query_one(FileTree)
        line = "".join(segment.text for segment in tree.render_line(2))
        assert line.split() == ["a2.mrcs", "MRC", "5", "×", "32²"]


async def test_the_first_chosen_file_is_shown_at_once(folder: Path) -> None:
    app = app_in(folder, folder / "montage.png", folder / "a2.mrcs")
    async with app.run_test(size=SIZE) as pilot:
        picture = app.screen.query_one("#preview", Picture)
        await until(pilot, lambda: picture.drawing is not None)
        facts = app.screen.query_one("#facts", Static)
        assert str(facts.render()).startswith("montage.png")
        await go_to(pilot, "a2.mrcs")
        await until(pilot, lambda: str(facts.render()).startswith("a2.mrcs"))


async def test_long_names_are_told_apart_in_a_small_terminal(tmp_path: Path) -> None:
    for job in ("025", "030"):
        name = f"relion_run_of_the_80S_ribosome_job{job}_it_025_classes.mrcs"
        write_stack(tmp_path / name, particles(3))
    app = app_in(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        tree = app.screen.query_one(FileTree)
        await until(pilot, lambda: len(tree.marks) == 3)
        lines = ["".join(segment.text for segment in tree.render_line(k)) for k in (1, 2)]
        assert "job025" in lines[0]
        assert "job030" in lines[1]


async def test_a_folder_that_is_unfolded_shows_its_files(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        await go_to(pilot, "more")
        await pilot.press("space")
        await until(pilot, lambda: "b.mrcs" in shown(app))
        await pilot.press("h")
        assert "b.mrcs" not in shown(app)


async def test_typing_narrows_the_tree_and_escape_brings_all_back(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(shown(app)) == 6)
        await pilot.press("slash", *".mrcs")
        assert shown(app) == ["more", "a2.mrcs", "a10.mrcs", "cut.mrcs"]
        await pilot.press("enter")
        assert app.screen.focused is app.screen.query_one(FileTree)
        await pilot.press("down", "space")
        assert app.session.files == [folder / "a2.mrcs"]
        await pilot.press("escape")
        assert len(shown(app)) == 6
        assert not app.screen.query_one(Filter).display


async def test_files_are_chosen_and_taken_back_in_their_order(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        for name in ("montage.png", "a2.mrcs"):
            await go_to(pilot, name)
            await pilot.press("space")
        assert app.session.files == [folder / "montage.png", folder / "a2.mrcs"]
        chosen = app.screen.query_one(ChosenList)
        await until(pilot, lambda: chosen.border_title == "2 chosen: 5 images, 1 picture")
        await pilot.press("enter")
        assert app.session.files == [folder / "montage.png"]


async def test_a_file_is_removed_in_the_list(folder: Path) -> None:
    app = app_in(folder, folder / "a2.mrcs", folder / "a10.mrcs")
    async with app.run_test(size=SIZE) as pilot:
        app.screen.query_one(ChosenList).focus()
        await pilot.press("down", "j", "x")
        assert app.session.files == [folder / "a2.mrcs"]


async def test_all_class_averages_of_a_folder_are_chosen_at_once(folder: Path) -> None:
    app = app_in(folder, folder / "montage.png")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(shown(app)) == 6)
        await pilot.press("a")
        await until(pilot, lambda: len(app.session.files) == 3)
        names = [path.name for path in app.session.files]
        assert names == ["montage.png", "a2.mrcs", "a10.mrcs"]


async def test_of_an_imagic_pair_one_file_is_chosen(tmp_path: Path) -> None:
    header = np.zeros((2, 256), "<i4")
    header[:, 12:14] = 16
    header[:, 14] = int.from_bytes(b"REAL", "little")
    header[0, 1] = 1
    (tmp_path / "a.hed").write_bytes(header.tobytes())
    (tmp_path / "a.img").write_bytes(np.zeros((2, 16, 16), "<f4").tobytes())
    app = app_in(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(shown(app)) == 2)
        await pilot.press("a")
        await until(pilot, lambda: bool(app.session.files))
        assert app.session.files == [tmp_path / "a.hed"]


async def test_a_chosen_file_that_cannot_be_read_says_why(folder: Path) -> None:
    app = app_in(folder, folder / "cut.mrcs")
    async with app.run_test(size=SIZE) as pilot:
        chosen = app.screen.query_one(ChosenList)
        await until(pilot, lambda: "truncated" in str(chosen.get_option_at_index(0).prompt))
        assert str(folder / "cut.mrcs") in str(chosen.get_option_at_index(0).prompt)


async def test_the_images_of_the_file_under_the_cursor_are_seen(folder: Path) -> None:
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        picture = app.screen.query_one("#preview", Picture)
        await go_to(pilot, "a2.mrcs")
        await until(pilot, lambda: picture.drawing is not None)
        await go_to(pilot, "more")
        await until(pilot, lambda: picture.drawing is None)


async def test_the_parent_folder_is_a_key_away(folder: Path) -> None:
    app = app_in(folder / "more")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: shown(app) == ["b.mrcs"])
        await pilot.press("u")
        await until(pilot, lambda: "montage.png" in shown(app))
        assert app.session.folder == folder


async def test_a_run_is_marked_and_opens(folder: Path) -> None:
    settings = Settings(device="cpu")
    with closing(analyze([folder / "a2.mrcs"], folder / "run", settings, write=False)) as events:
        for _ in events:
            pass
    app = app_in(folder)
    async with app.run_test(size=SIZE) as pilot:
        await go_to(pilot, "run")
        marks = app.screen.query_one(FileTree).marks
        await until(pilot, lambda: folder / "run" in marks)
        assert marks[folder / "run"].words == "run, 5 classes, finished"
        await pilot.press("enter")
        await until(pilot, lambda: app.session.finished)
        assert app.current_mode == "matrix"
        assert app.session.run is not None
        assert app.session.run.folder == folder / "run"


async def test_everything_fits_on_a_small_screen(folder: Path) -> None:
    app = app_in(folder, folder / "a2.mrcs")
    async with app.run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "montage.png")
        tree, chosen = app.screen.query_one(FileTree), app.screen.query_one(ChosenList)
        picture = app.screen.query_one("#preview", Picture)
        assert tree.size.height == 21
        assert chosen.size.height >= 1
        assert picture.size.height >= 10


async def test_of_a_large_folder_as_much_is_shown_as_can_be_at_once(tmp_path: Path) -> None:
    for k in range(2100):
        (tmp_path / f"f{k}.txt").touch()
    app = app_in(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        tree = app.screen.query_one(FileTree)
        await until(pilot, lambda: tree.last_line == 2001)
        last = tree.get_node_at_line(2001)
        assert last is not None
        assert str(last.label).strip() == "and 100 more: / narrows them"
        await pilot.press("G", "space", "enter")
        assert app.session.files == []
        await pilot.press("slash", *"209")
        assert shown(app)[-1] == "f2099.txt"
