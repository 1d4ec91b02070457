"""A tree of folders and files, with what each file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from cryocorr_tui.core.listing import Entry, list_folder, plain_path
from cryocorr_tui.tui.latest import LatestWins
from cryocorr_tui.tui.marks import Mark, look_at
from cryocorr_tui.tui.names import shortened

__all__ = ["FileTree"]

PAUSE = 0.08  # seconds of quiet before what is in sight is looked at
WIDE = 70  # cells, from which on a file says more of what it is
MOST_SHOWN = 2000  # of a folder: a tree of more takes too long to fill
NARROWEST_NAME = 14  # cells of a name, below which it is not told what the file is


class _Listing:
    """What is in a folder, or why that is not known."""

    def __init__(self, entries: list[Entry], problem: str = "") -> None:
        self.entries, self.problem = entries, problem

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        """Read a folder."""
        try:
            return cls(list_folder(folder))
        except OSError as error:
            return cls([], error.strerror or str(error))


class FileTree(Tree[Entry]):
    """Folders are read when they are opened, files are looked at when they come into sight.

    Parameters
    ----------
    folder : Path
        Where to begin.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "file-tree--chosen",
        "file-tree--mark",
        "file-tree--run",
        "file-tree--other",
    }
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space",
            "choose",
            "Choose",
            tooltip="Choose the file, or take it back",
            id="files.choose",
        ),
        Binding(
            "enter",
            "select_cursor",
            "Open",
            show=False,
            tooltip="Choose the file, open the folder, or open the run in it",
            id="files.open",
        ),
        Binding(
            "a",
            "choose_all",
            "All",
            show=False,
            tooltip="Choose all files of this folder that hold class averages",
            id="files.choose_all",
        ),
        Binding(
            "backspace,u",
            "leave_folder",
            "Parent",
            key_display="u",
            tooltip="Go to the parent folder",
            id="files.parent",
        ),
        Binding("f5", "look_again", "Look again", show=False, id="files.look_again"),
        Binding("k", "cursor_up", "Up", show=False, id="files.up"),
        Binding("j", "cursor_down", "Down", show=False, id="files.down"),
        Binding("right,l", "unfold", "Unfold", show=False, id="files.unfold"),
        Binding("left,h", "fold", "Fold", show=False, id="files.fold"),
        Binding("home,g", "scroll_home", "Top", show=False, id="files.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="files.bottom"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="files.page_up"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, id="files.page_down"),
    ]

    narrowed: reactive[str] = reactive("")
    """Only files whose names hold this are shown."""

    class Chosen(Message):
        """The user chose a file or took it back."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class AllChosen(Message):
        """The user chose all class averages of a folder."""

        def __init__(self, entries: list[Entry]) -> None:
            super().__init__()
            self.entries = entries

    class RunChosen(Message):
        """The user chose to open a run."""

        def __init__(self, folder: Path) -> None:
            super().__init__()
            self.folder = folder

    class Moved(Message):
        """Another folder is the root."""

        def __init__(self, folder: Path) -> None:
            super().__init__()
            self.folder = folder

    class Looked(Message):
        """It is known what a file is."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(str(folder), Entry(folder, is_folder=True), **options)
        self.show_guides = False
        self.guide_depth = 2
        self.auto_expand = False
        self.marks: dict[Path, Mark] = {}
        self._chosen: frozenset[Path] = frozenset()
        self._listings: dict[Path, _Listing] = {}
        self._lister: LatestWins[Path, _Listing] = LatestWins(self, _Listing.of, self._take_listing)
        self._looker: LatestWins[Entry, Mark] = LatestWins(self, look_at, self._take_mark)
        self._pause: Timer | None = None

    # --- what is shown

    def on_mount(self) -> None:
        """Begin with the root."""
        self.root.expand()

    def show_folder(self, folder: Path) -> None:
        """Make another folder the root."""
        self.reset(str(folder), Entry(folder, is_folder=True))
        self.root.expand()
        self.move_cursor_to_line(0)
        self.post_message(self.Moved(folder))

    def mark_chosen(self, paths: list[Path]) -> None:
        """Show which files are chosen."""
        self._chosen = frozenset(map(plain_path, paths))
        self._repaint()

    def _repaint(self) -> None:
        self._line_cache.clear()
        self.refresh()

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Entry]) -> None:
        """Read the folder."""
        entry = event.node.data
        if entry is None:
            return
        if entry.path in self._listings:
            self._fill(event.node)
        else:
            unread = [
                node.data.path
                for node in self._folders(self.root)
                if node.data and node.data.path not in self._listings
            ]
            self._lister.ask(*unread)

    def _folders(self, node: TreeNode[Entry]) -> list[TreeNode[Entry]]:
        """Return the open folders from `node` down."""
        if not node.is_expanded:
            return []
        return [node, *(found for child in node.children for found in self._folders(child))]

    def _take_listing(self, folder: Path, listing: _Listing) -> None:
        self._listings[folder] = listing
        if listing.problem:
            self.notify(f"{folder}: {listing.problem}.", severity="warning", markup=False)
        for node in self._folders(self.root):
            if node.data and node.data.path == folder:
                self._fill(node)

    def _fill(self, node: TreeNode[Entry]) -> None:
        """Show what is in a folder, as far as it is not narrowed away."""
        assert node.data is not None
        fitting = [entry for entry in self._entries(node.data.path) if self._fits(entry)]
        opened = {child.data.path for child in self._folders(node) if child.data} - {node.data.path}
        node.remove_children()
        for entry in fitting[:MOST_SHOWN]:
            if entry.is_folder:
                child = node.add(entry.path.name, entry)
                if entry.path in opened:
                    child.expand()
            else:
                node.add_leaf(entry.path.name, entry)
        if len(fitting) > MOST_SHOWN:
            node.add_leaf(f"  and {len(fitting) - MOST_SHOWN} more: / narrows them")
        self._look_soon()

    def _entries(self, folder: Path) -> list[Entry]:
        listing = self._listings.get(folder)
        return listing.entries if listing else []

    def _fits(self, entry: Entry) -> bool:
        """Tell whether an entry, or anything that is or may be in it, has the wanted name."""
        if self.narrowed.casefold() in entry.path.name.casefold():
            return True
        if not entry.is_folder:
            return False
        unread = entry.path not in self._listings
        return unread or any(map(self._fits, self._entries(entry.path)))

    def watch_narrowed(self) -> None:
        """Show fewer files, or all of them again."""
        if self.root.is_expanded:
            self._fill(self.root)
            self.move_cursor_to_line(min(1, self.last_line) if self.narrowed else 0)

    def action_look_again(self) -> None:
        """Forget what is known of files and folders."""
        self.marks.clear()
        self._listings.clear()
        self._lister.ask(*(node.data.path for node in self._folders(self.root) if node.data))

    # --- what is in sight is looked at

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Look at what comes into sight."""
        super().watch_scroll_y(old_value, new_value)
        self._look_soon()

    def on_resize(self) -> None:
        """Look at what comes into sight."""
        self._look_soon()

    def _look_soon(self) -> None:
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE, self._look)

    def _look(self) -> None:
        top, height = round(self.scroll_y), self.size.height
        nodes = [self.get_node_at_line(line) for line in range(top, top + height)]
        entries = [node.data for node in nodes if node is not None and node.data is not None]
        self._looker.ask(*(entry for entry in entries if entry.path not in self.marks))

    def _take_mark(self, entry: Entry, mark: Mark) -> None:
        self.note_mark(entry.path, mark)
        self._repaint()

    def note_mark(self, path: Path, mark: Mark) -> None:
        """Take what a file is from whoever looked at it."""
        self.marks[path] = mark
        self.post_message(self.Looked(path))

    def get_label_width(self, node: TreeNode[Entry]) -> int:
        """Return a width that never asks for a scroll bar: labels fill the line."""
        return 1

    def render_label(self, node: TreeNode[Entry], base_style: Style, style: Style) -> Text:
        """Return the name on the left, and on the right what the file is."""
        entry = node.data
        if entry is None:
            return Text(str(node.label), style)
        chosen = plain_path(entry.path) in self._chosen
        room = self.size.width - self._indent(node)
        if node is self.root:
            name, left, look = str(plain_path(entry.path)), Text(), style + Style(bold=True)
        else:
            icon = "  "
            if entry.is_folder:
                icon = self.ICON_NODE_EXPANDED if node.is_expanded else self.ICON_NODE
            name = entry.path.name + ("/" if entry.is_folder else "")
            left = Text.assemble(
                ("●" if chosen else " ", self._component("file-tree--chosen")),
                (icon, base_style + Style(meta={"toggle": True})),
            )
            look = self._name_style(entry, style, node)
        mark = self.marks.get(entry.path)
        words = "" if mark is None else mark.short if self.size.width < WIDE else mark.words
        if left.cell_len + NARROWEST_NAME + len(words) > room:
            words = ""
        space = room - len(words) - 2
        left.append(shortened(name, space - left.cell_len, _beside(node)), look)
        left.truncate(space, overflow="ellipsis")  # some letters are two cells wide
        gap = space - left.cell_len
        kind = "run" if entry.is_folder else "mark"
        return Text.assemble(
            left,
            (" " * (gap + 1), style),
            (words, self._coloured(f"file-tree--{kind}", style, node)),
        )

    def _indent(self, node: TreeNode[Entry]) -> int:
        depth = 0
        while (parent := node.parent) is not None:
            node, depth = parent, depth + 1
        return depth * self.guide_depth

    def _name_style(self, entry: Entry, style: Style, node: TreeNode[Entry]) -> Style:
        if entry.is_folder:
            return style + Style(bold=True)
        if self.marks.get(entry.path) == Mark():
            return self._coloured("file-tree--other", style, node)
        return style

    def _coloured(self, name: str, style: Style, node: TreeNode[Entry]) -> Style:
        """Return a style in the colour of a component, except under the cursor."""
        return style if node is self.cursor_node else style + self._component(name)

    def _component(self, name: str) -> Style:
        found = self.get_component_rich_style(name)
        return Style(color=found.color, bold=found.bold)  # on any background

    # --- what the user does

    @property
    def highlighted(self) -> Entry | None:
        """The entry under the cursor."""
        return self.cursor_node.data if self.cursor_node else None

    def action_choose(self) -> None:
        """Choose a file, or unfold a folder."""
        node = self.cursor_node
        if node is None or node.data is None:
            return
        if node.data.is_folder:
            node.toggle()
        else:
            self.post_message(self.Chosen(node.data.path))

    def action_select_cursor(self) -> None:
        """Open a run; anything else is chosen."""
        entry = self.highlighted
        # The mark may not be there yet; to look for one folder is quick.
        if entry is not None and entry.is_folder and (entry.path / "store.zarr").is_dir():
            self.post_message(self.RunChosen(entry.path))
        else:
            self.action_choose()

    def action_choose_all(self) -> None:
        """Choose all class averages of the folder in which the cursor is."""
        node = self.cursor_node or self.root
        if not node.is_expanded and node.parent is not None:
            node = node.parent
        assert node.data is not None
        entries = [entry for entry in self._entries(node.data.path) if self._fits(entry)]
        self.post_message(self.AllChosen([entry for entry in entries if not entry.is_folder]))

    def action_leave_folder(self) -> None:
        """Go to the parent of the root."""
        assert self.root.data is not None
        here = plain_path(self.root.data.path)
        if here != here.parent:
            self.show_folder(here.parent)

    def action_unfold(self) -> None:
        """Open the folder under the cursor."""
        if self.cursor_node is not None and self.cursor_node.allow_expand:
            self.cursor_node.expand()

    def action_fold(self) -> None:
        """Close the folder, or go to the one that holds what is under the cursor."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and not node.is_root:
            node.collapse()
        elif node.parent is not None:
            self.move_cursor(node.parent, animate=False)


def _beside(node: TreeNode[Entry]) -> list[str]:
    """Return the names above and below one: they are the most alike, being in order."""
    around = (node.previous_sibling, node.next_sibling)
    return [other.data.path.name for other in around if other is not None and other.data]
