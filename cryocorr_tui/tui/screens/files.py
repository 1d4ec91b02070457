"""Files: choose what to compare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static, Tree
from textual.widgets.option_list import Option

from cryocorr_tui.core.listing import Entry, plain_path
from cryocorr_tui.tui.latest import LatestWins
from cryocorr_tui.tui.marks import Mark, check, look_at
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.file_tree import FileTree
from cryocorr_tui.tui.widgets.picture import Picture

if TYPE_CHECKING:
    from cryocorr_tui.tui.preview import Preview

__all__ = ["SCREEN", "FilesScreen"]

PAUSE = 0.3  # seconds in which more may become known of the chosen files
HINT = "space chooses a file, a all of a folder, r runs"


class Filter(Input):
    """Narrows the tree."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.clear_filter", "All files", id="filter.clear"),
        Binding("down,enter", "screen.leave_filter", "To the files", show=False, id="filter.leave"),
    ]


class ChosenList(OptionList):
    """The chosen files."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x,delete", "screen.remove", "Remove", key_display="x", id="chosen.remove"),
        Binding("k", "cursor_up", "Up", show=False, id="chosen.up"),
        Binding("j", "cursor_down", "Down", show=False, id="chosen.down"),
    ]


class FilesScreen(StepScreen):
    """The files of a folder, and those that are chosen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"files--mark", "files--problem"}
    STEP: ClassVar[str] = "files"
    HELP: ClassVar[str] = (
        "Choose what to compare: stacks of class averages (MRC, EMAN2/SPHIRE HDF, SPIDER, IMAGIC, "
        "TIFF) or pictures of many (PNG, JPEG, TIFF, BMP), in any mixture. Each file says what it "
        "is. Space chooses the file under the cursor, r compares all that are chosen, O sets how "
        "(pixel size, largest shift and the like); enter on the folder of a run opens it again. "
        "Tab goes to the chosen files."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "filter",
            "Filter",
            key_display="/",
            tooltip="Show fewer files",
            id="files.filter",
        ),
        Binding("escape", "clear_filter", "All files", show=False, id="files.clear_filter"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._seen: Path | None = None  # the file in the preview
        self._problems: dict[Path, str] = {}
        self._pause: Timer | None = None
        self._previews: LatestWins[tuple[Path, float], Preview] = LatestWins(
            self, _preview, self._show_preview
        )
        self._checks: LatestWins[Path, tuple[Mark, str]] = LatestWins(self, check, self._take_check)
        self._glances: LatestWins[tuple[Entry, ...], dict[Path, Mark]] = LatestWins(
            self, _look_at_all, self._choose_recognised
        )

    def compose_step(self) -> ComposeResult:
        """Lay out the tree beside what is chosen."""
        with Horizontal(id="files"):
            with Vertical(id="files-left"):
                yield Filter(placeholder="part of a name", compact=True, id="filter")
                yield FileTree(self.session.folder, id="tree")
            with Vertical(id="files-right"):
                yield ChosenList(id="chosen")
                yield Static(id="facts", markup=False)
                yield Picture(id="preview")

    def on_mount(self) -> None:
        """Begin in the tree."""
        super().on_mount()
        self.query_one("#facts").border_title = "O options of the run"
        self.tree_of_files.focus()

    @property
    def tree_of_files(self) -> FileTree:
        """The tree on the left."""
        return self.query_one(FileTree)

    def session_changed(self, change: Changed) -> None:
        """Show which files are chosen."""
        if change is Changed.FILES:
            self.tree_of_files.mark_chosen(self.session.files)
            self._show_chosen()
            if self._seen is None and self.session.files:
                self.call_after_refresh(self._look_into_first)
            self._checks.ask(*(path for path in self.session.files if path not in self._problems))

    # --- the chosen files

    def _choose(self, files: Iterable[Path]) -> None:
        self.cryocorr.choose_files(files)

    def on_file_tree_chosen(self, event: FileTree.Chosen) -> None:
        """Choose a file, or take it back."""
        name = plain_path(event.path)
        others = [path for path in self.session.files if plain_path(path) != name]
        if len(others) < len(self.session.files):
            self._choose(others)
        else:
            self._choose([*others, event.path])

    def on_file_tree_all_chosen(self, event: FileTree.AllChosen) -> None:
        """Look which files of a folder hold class averages."""
        self._glances.ask(tuple(event.entries))

    def _choose_recognised(self, entries: tuple[Entry, ...], marks: dict[Path, Mark]) -> None:
        for path, mark in marks.items():
            self.tree_of_files.note_mark(path, mark)
        chosen = {plain_path(path) for path in self.session.files}
        found = [path for path, mark in marks.items() if mark.kind]
        found = [path for path in found if not _is_second_of_pair(path, marks)]
        new = [path for path in found if plain_path(path) not in chosen]
        if new:
            self._choose([*self.session.files, *new])
        elif not found:
            self.notify("No file of this folder holds class averages.", severity="warning")

    def action_remove(self) -> None:
        """Take the file under the cursor of the list back."""
        chosen = self.query_one(ChosenList)
        index = chosen.highlighted
        if index is not None and index < len(self.session.files):
            files = list(self.session.files)
            del files[index]
            self._choose(files)
            if files:
                chosen.highlighted = min(index, len(files) - 1)

    def _show_chosen_soon(self) -> None:
        """Show what is new of many files at once."""
        if self._pause is None:
            self._pause = self.set_timer(PAUSE, self._show_chosen)

    def _show_chosen(self) -> None:
        self._pause = None
        chosen = self.query_one(ChosenList)
        before = chosen.highlighted
        files = self.session.files
        chosen.set_options(
            [Option(self._chosen_line(path)) for path in files]
            or [Option(Text(HINT, self._colour("files--mark")), disabled=True)]
        )
        if before is not None and files:
            chosen.highlighted = min(before, len(files) - 1)
        chosen.border_title = self._total()

    def _chosen_line(self, path: Path) -> Text:
        line = Text(path.name)
        problem = self._problems.get(path, "")
        if problem:
            return line.append(f"\n{problem}", self._colour("files--problem"))
        return line.append(f"  {self._mark(path).words}", self._colour("files--mark"))

    def _colour(self, name: str) -> Style:
        """Return the colour of a component, on any background."""
        return Style(color=self.get_component_rich_style(name).color)

    def _mark(self, path: Path) -> Mark:
        marks = self.tree_of_files.marks
        return marks.get(path) or marks.get(plain_path(path)) or Mark()

    def _total(self) -> str:
        """Return how much is chosen, in words."""
        files = self.session.files
        if not files:
            return "nothing chosen"
        marks = [self._mark(path) for path in files]
        images = sum(mark.images for mark in marks)
        pictures = sum(mark.kind == "picture" for mark in marks)
        parts = [f"{len(files)} chosen"]
        parts += [f"{images} image{'s' * (images != 1)}"] if images else []
        parts += [f"{pictures} picture{'s' * (pictures != 1)}"] if pictures else []
        return ": ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0]

    def _take_check(self, path: Path, found: tuple[Mark, str]) -> None:
        mark, problem = found
        self.tree_of_files.note_mark(path, mark)
        self._take_problem(path, problem)

    def _take_problem(self, path: Path, problem: str) -> None:
        self._problems[path] = problem
        if path in self.session.files:
            self._show_chosen_soon()

    def on_file_tree_looked(self, event: FileTree.Looked) -> None:
        """Say what a file is, wherever it stands."""
        if event.path == self._seen:
            self._show_facts()
        if event.path in self.session.files:
            self._show_chosen_soon()

    # --- the file under the cursor

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Entry]) -> None:
        """Look into the file under the cursor of the tree."""
        entry = event.node.data
        self._look_into(entry.path if entry and not entry.is_folder else None)
        if event.node.is_root:
            self._look_into_first()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Look into the file under the cursor of the list."""
        if self.query_one(ChosenList).has_focus and event.option_index < len(self.session.files):
            self._look_into(self.session.files[event.option_index])

    def _look_into_first(self) -> None:
        """Look into the first chosen file while there is none under the cursor."""
        if self._seen is None and self.session.files:
            self._look_into(self.session.files[0])

    def _look_into(self, path: Path | None) -> None:
        self._seen = path
        self._show_facts()
        if path is None:
            self.query_one(Picture).show(None)
            self._previews.ask()
        else:
            room = self.query_one(Picture).size
            self._previews.ask((path, room.width / max(2 * room.height, 1)))

    def _show_preview(self, job: tuple[Path, float], seen: Preview) -> None:
        path, _ = job
        if seen.problem:
            self._take_problem(path, seen.problem)
        if path == self._seen:
            self.query_one(Picture).show(seen.picture)
            self._show_facts(seen)

    def _show_facts(self, seen: Preview | None = None) -> None:
        facts = self.query_one("#facts", Static)
        if self._seen is None:
            facts.update("")
            return
        if seen is not None and seen.problem and not self._mark(self._seen).kind:
            facts.update(seen.problem)  # which names the file
            return
        more = seen.problem or seen.told if seen is not None else ""
        words = self._mark(self._seen).words
        facts.update("\n".join(filter(None, (self._seen.name, words, more))))

    # --- the filter, runs and folders

    def action_filter(self) -> None:
        """Begin to narrow the tree."""
        entry = self.query_one(Filter)
        entry.display = True
        entry.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the tree."""
        self.tree_of_files.narrowed = event.value

    def action_leave_filter(self) -> None:
        """Go to what is left."""
        self.query_one(Filter).display = bool(self.tree_of_files.narrowed)
        self.tree_of_files.focus()

    def action_clear_filter(self) -> None:
        """Show all files again."""
        entry = self.query_one(Filter)
        entry.value = ""
        entry.display = False
        self.tree_of_files.narrowed = ""
        self.tree_of_files.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave escape to the run where there is no filter to clear."""
        if action == "clear_filter":
            return self.query_one(Filter).display
        return super().check_action(action, parameters)

    def on_file_tree_run_chosen(self, event: FileTree.RunChosen) -> None:
        """Open a run."""
        self.cryocorr.open_run(event.folder)

    def on_file_tree_moved(self, event: FileTree.Moved) -> None:
        """Remember the folder."""
        self.session.folder = event.folder
        self.action_clear_filter()


def _preview(job: tuple[Path, float]) -> Preview:
    from cryocorr_tui.tui.preview import preview

    return preview(*job)


def _look_at_all(entries: tuple[Entry, ...]) -> dict[Path, Mark]:
    return {entry.path: look_at(entry) for entry in entries}


def _is_second_of_pair(path: Path, marks: dict[Path, Mark]) -> bool:
    """Tell whether a file is the pixels of an IMAGIC pair whose header file is there too."""
    from cryocorr_tui.core.readers.imagic import header_path

    header = header_path(path)
    return header is not None and header != path and marks.get(header, Mark()).kind != ""


SCREEN = FilesScreen
