"""Groups: same views at a cut that moves, and what to keep of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static
from textual.worker import get_current_worker

from cryocorr_tui.core.grouping import groups_at, moved_cut, redundancy
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.keyed import append_keyed
from cryocorr_tui.tui.pair_numbers import number
from cryocorr_tui.tui.screens.step import StepScreen
from cryocorr_tui.tui.session import Changed
from cryocorr_tui.tui.widgets.class_sheet import ClassSheet
from cryocorr_tui.tui.widgets.cut_plot import CutPlot
from cryocorr_tui.tui.widgets.gallery import Gallery
from cryocorr_tui.tui.widgets.group_list import GroupList, members_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryocorr_tui.core.model import FloatArray, Groups
    from cryocorr_tui.core.run import Run

__all__ = ["SCREEN", "GroupsScreen"]

MANY_STEPS = 10


class GroupsScreen(StepScreen):
    """Groups at the present cut, the members of one of them, and decisions about classes."""

    STEP: ClassVar[str] = "groups"
    HELP: ClassVar[str] = (
        "Groups of class averages that show the same view. They come from a tree that joins what is"
        " most alike; the cut says how alike, on average, the members of a group must be, and can"
        " be moved. The starred member stands for its group; the others are laid on it, and b is"
        " their blend with it. Q drops classes of low quality in all groups, as junk mostly has. "
        "What is dropped or assigned stands in classes.csv, in the columns kept and assigned."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "plus,equals_sign",
            "cut(-1)",
            "More groups",
            key_display="+",
            id="groups.more",
            tooltip="Move the cut by one merge: more groups",
        ),
        Binding(
            "minus",
            "cut(1)",
            "Fewer groups",
            show=False,
            key_display="-",
            id="groups.fewer",
            tooltip="Move the cut by one merge: fewer groups",
        ),
        Binding(
            "greater_than_sign",
            f"cut(-{MANY_STEPS})",
            "Many more",
            show=False,
            key_display=">",
            id="groups.many_more",
            tooltip="Move the cut by ten merges: more groups",
        ),
        Binding(
            "less_than_sign",
            f"cut({MANY_STEPS})",
            "Many fewer",
            show=False,
            key_display="<",
            id="groups.many_fewer",
            tooltip="Move the cut by ten merges: fewer groups",
        ),
        Binding("0", "automatic", "Automatic cut", show=False, id="groups.automatic"),
        Binding(
            "space",
            "keep_or_drop",
            "Keep/drop",
            id="groups.toggle",
            tooltip="Drop the class, or the group in the list; or keep it again",
        ),
        Binding(
            "d",
            "redundant",
            "Redundant",
            show=False,
            id="groups.redundant",
            tooltip="Drop all of the group but its representative",
        ),
        Binding(
            "D",
            "all_redundant",
            "Redundant in all groups",
            show=False,
            id="groups.all_redundant",
            tooltip="Drop all but the representatives, in all groups",
        ),
        Binding(
            "Q",
            "drop_below",
            "Drop junk",
            show=False,
            id="groups.drop_below",
            tooltip="Drop every class, of all groups, whose quality is below a number",
        ),
        Binding(
            "x",
            "drop_group",
            "Drop group",
            show=False,
            id="groups.drop",
            tooltip="Drop the whole group; again to keep it",
        ),
        Binding(
            "a",
            "assign",
            "Assign",
            show=False,
            id="groups.assign",
            tooltip="Put the class into your own group",
        ),
        Binding(
            "A",
            "assign_group",
            "Assign group",
            show=False,
            id="groups.assign_group",
            tooltip="Put the whole group into your own group",
        ),
        Binding(
            "u",
            "undo",
            "Undo",
            show=False,
            id="groups.undo",
            tooltip="Take the last decision back",
        ),
        Binding("y", "copy", "Copy the numbers of the class", show=False, id="groups.copy"),
        Binding(
            "o",
            "lay",
            "Orientation",
            show=False,
            id="groups.lay",
            tooltip="Members laid on the representative, or as they are",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._blend: FloatArray | None = None
        self._blend_of: Run | None = None

    def compose_step(self) -> ComposeResult:
        """Lay out the groups over their number against the cut, beside the members of one."""
        yield Static(id="groups-told")
        with Horizontal(id="groups-parts"):
            with Vertical(id="groups-left"):
                yield GroupList()
                yield CutPlot()
            yield ClassSheet()

    def on_mount(self) -> None:
        """Begin in the list."""
        super().on_mount()
        self.query_one(GroupList).focus()

    def on_resize(self) -> None:
        """Say what there is as the room allows."""
        self._show()

    # --- from the session to the screen

    def session_changed(self, change: Changed) -> None:
        """Show groups and decisions as they are now."""
        if change in (Changed.RUN, Changed.FINISHED):
            self._read_blend()
        if change in (Changed.RUN, Changed.FINISHED, Changed.CHOICES):
            self._show()

    def _read_blend(self) -> None:
        """Read the blends of all pairs, which tell representatives and means at any cut."""
        run = self.session.run
        if run is None or self._groups is None or self._blend_of is run:
            return
        self._blend, self._blend_of = None, run

        def read() -> None:
            from cryocorr_tui.core.errors import CryocorrError

            worker = get_current_worker()
            try:
                blend = run.store.symmetric("blend", slice(None), slice(None))
            except CryocorrError as error:
                self.call_later(self.cryocorr.tell_error, str(error))
                return
            if not worker.is_cancelled:
                self.call_later(self._take_blend, run, blend)

        self.run_worker(read, group="blend", exclusive=True, thread=True, exit_on_error=False)

    def _take_blend(self, run: Run, blend: FloatArray) -> None:
        if run is self._blend_of:
            self._blend = blend
            self._show()

    @property
    def _groups(self) -> Groups | None:
        choices = self.session.choices
        return None if choices is None else choices.groups

    def _missing(self) -> str:
        """Say why there are no groups; nothing where there are."""
        run = self.session.run
        if run is None:
            return "No run yet: choose files (1) and press r."
        if run.store.split is not None:
            return (
                "Two sets were compared with each other, so there are no groups; e writes each"
                " class's counterpart into matches.csv."
            )
        if not self.session.finished:
            return "Groups are made when all pairs are scored."
        if self._groups is None:
            return (
                "All pairs at once did not fit into memory; open the run with more of it"
                " (--resume --memory GB) to group its classes."
            )
        if not self._groups.representatives.size:
            return "Fewer than two classes could be compared, so there are no groups."
        return ""

    def _show(self, at: int | None = None) -> None:
        """Show everything, with the cursors where they were, or on class `at`."""
        missing = self._missing()
        self.query_one("#groups-parts").display = not missing
        told = self.query_one("#groups-told", Static)
        told.set_class(bool(missing), "-alone")
        if missing:
            told.update(missing)
            return
        run, choices, groups = self.session.run, self.session.choices, self._groups
        assert run is not None
        assert choices is not None
        assert groups is not None
        sheet, listed = self.query_one(ClassSheet), self.query_one(GroupList)
        at = sheet.class_id if at is None else at
        inside = at is not None and at < groups.labels.size and groups.labels[at] > 0
        cursor = int(groups.labels[at]) - 1 if inside else 0
        listed.show(run, choices, self._blend, cursor)
        self._show_members(at)
        self.query_one(CutPlot).show(groups)
        told.update(self._summary(run, groups, room=self.size.width - 2))

    def _show_members(self, at: int | None = None) -> None:
        """Show the members of the group under the cursor, the cursor of the sheet on class `at`."""
        run, choices = self.session.run, self.session.choices
        assert run is not None
        assert choices is not None
        ids = self._members()
        place = np.flatnonzero(ids == at) if at is not None else ids[:0]
        cursor = int(place[0]) if place.size else 0
        self.query_one(ClassSheet).show(run, choices, self._blend, ids, cursor)

    def _members(self) -> NDArray[np.intp]:
        """Return the classes of the group under the cursor, the most like its first one first."""
        groups = self._groups
        assert groups is not None
        group = self.query_one(GroupList).cursor
        ids, first = members_of(groups, group + 1), int(groups.representatives[group])
        alike = np.zeros(ids.size) if self._blend is None else self._blend[first, ids]
        return ids[np.lexsort((-np.nan_to_num(alike, nan=-1), ids != first))]

    def _summary(self, run: Run, groups: Groups, *, room: int, short: bool = False) -> Text:
        """Return what there is in one line, the shorter one if the other needs more room."""
        choices = self.session.choices
        assert choices is not None
        sizes = np.bincount(groups.labels)[1:]
        particles = [np.nan if c.particles is None else c.particles for c in run.classes]
        spare = redundancy(groups, np.array(particles, dtype=np.float64))
        how = "automatic" if groups is choices.automatic else "by hand"
        behind = "" if np.isnan(spare.particles) else f", {spare.particles:,.0f} particles"
        text = Text()
        text.append(counted(sizes.size, "group"), style="bold")
        text.append(f", {int((sizes == 1).sum())} single")
        cut, spared = f"{1 - groups.threshold:.3f}", f"redundant {spare.classes}"
        append_keyed(text, "+ -", f"cut {cut}" if short else f"cut at blend {cut} ({how})")
        append_keyed(text, "D", spared if short else f"{spared} of {spare.of}{behind}")
        append_keyed(text, "space", f"dropped {len(choices.dropped)}")
        if short or len(text) <= room:
            return text
        return self._summary(run, groups, room=room, short=True)

    # --- the cut

    def action_cut(self, steps: int) -> None:
        """Move the cut by merges of the tree."""
        groups, run = self._groups, self.session.run
        if groups is None or run is None or not groups.linkage.size:
            return
        if self._blend is None:
            self.notify("All pairs are still being read.")
            return
        quality, threshold = run.quality.quality, moved_cut(groups, steps)
        found = groups_at(groups, threshold, blend=self._blend, quality=quality)
        if len(found.representatives) == len(groups.representatives):
            self.notify("Every class is alone." if steps < 0 else "All classes are in one group.")
        else:
            self._regroup(found)

    def action_automatic(self) -> None:
        """Cut where the run did."""
        choices = self.session.choices
        if choices is not None and choices.automatic is not None:
            self._regroup(choices.automatic)

    def _regroup(self, groups: Groups) -> None:
        assert self.session.choices is not None
        self.session.choices.regroup(groups)
        self._announce()

    # --- decisions

    def action_keep_or_drop(self) -> None:
        """Drop or keep the class under the cursor, or in the list the whole group."""
        sheet = self.query_one(ClassSheet)
        if self.focused is not sheet:
            self.action_drop_group()
        elif sheet.class_id is not None:
            self._toggle([sheet.class_id])

    def action_drop_group(self) -> None:
        """Drop the whole group; keep it where all of it is dropped."""
        self._toggle(self.query_one(ClassSheet).ids.tolist())

    def _toggle(self, ids: list[int]) -> None:
        choices = self.session.choices
        if choices is None or not ids:
            return
        if choices.dropped.issuperset(ids):
            choices.keep(ids)
        else:
            choices.drop(ids)
        self._announce()

    def action_redundant(self) -> None:
        """Of the group keep its representative and drop the others."""
        ids = self.query_one(ClassSheet).ids.tolist()
        if self.session.choices is not None and ids:
            self.session.choices.keep_only(ids[:1], ids)
            self._announce()

    def action_all_redundant(self) -> None:
        """Of each group keep its representative and drop the others."""
        groups = self._groups
        if self.session.choices is not None and groups is not None:
            kept = groups.representatives.tolist()
            self.session.choices.keep_only(kept, np.flatnonzero(groups.labels > 0).tolist())
            self._announce()

    def action_drop_below(self) -> None:
        """Ask for a quality, and drop all classes below it."""
        from cryocorr_tui.tui.screens.prompt import Prompt, share

        run, class_id = self.session.run, self.query_one(ClassSheet).class_id
        if run is None or class_id is None:
            return
        quality = run.quality.quality

        def drop(text: str | None) -> None:
            if text is None or self.session.choices is None:
                return
            least = share(text)
            if least is None:
                self.notify(f"{text!r} is not a number from 0 to 1.", severity="warning")
                return
            below = np.flatnonzero(quality < least).tolist()
            self.session.choices.drop(below)
            self._announce()
            self.notify(f"{len(below)} of {quality.size} have a quality below {least:g}.")

        asked = f"Drop every class of a quality below (class {class_id} has this one)"
        self.app.push_screen(Prompt(asked, number(float(quality[class_id]), 2)), drop)

    def action_assign(self) -> None:
        """Put the class under the cursor into a group of the user's own."""
        class_id = self.query_one(ClassSheet).class_id
        if class_id is not None:
            self._ask_group([class_id], f"class {class_id}")

    def action_assign_group(self) -> None:
        """Put the whole group into a group of the user's own."""
        ids = self.query_one(ClassSheet).ids.tolist()
        if ids:
            self._ask_group(
                ids, f"class {ids[0]}" if len(ids) == 1 else f"these {len(ids)} classes"
            )

    def _ask_group(self, ids: list[int], what: str) -> None:
        from cryocorr_tui.tui.screens.assign import Assign

        def assign(group: int | None) -> None:
            if group is not None and self.session.choices is not None:
                self.session.choices.assign(ids, group or None)
                self._announce()

        self.app.push_screen(Assign(what), assign)

    def action_undo(self) -> None:
        """Take the last decision back."""
        choices = self.session.choices
        if choices is None or not choices.undo():
            self.notify("There is nothing to take back.")
            return
        self._announce()

    def _announce(self) -> None:
        self.cryocorr.changed.publish(Changed.CHOICES)

    # --- widgets

    def action_lay(self) -> None:
        """Show members laid on the representative, or as they are."""
        sheet = self.query_one(ClassSheet)
        sheet.laid = not sheet.laid
        sheet.redraw()

    def action_copy(self) -> None:
        """Copy the numbers of the class under the cursor as a line of text."""
        from cryocorr_tui.tui.pair_numbers import class_rows

        run, class_id = self.session.run, self.query_one(ClassSheet).class_id
        if run is not None and class_id is not None:
            rows = class_rows(run, class_id)
            text = "; ".join(f"{name} {value}" for name, value in rows)
            self.app.copy_to_clipboard(f"{class_id}: {text}")
            self.notify("Copied.")

    def on_gallery_moved(self, event: Gallery.Moved) -> None:
        """Show the members of another group."""
        if event.gallery is self.query_one(GroupList):
            self._show_members()

    def on_gallery_opened(self, event: Gallery.Opened) -> None:
        """Open a member with its representative."""
        sheet = self.query_one(ClassSheet)
        if event.gallery is not sheet:  # a click
            self.action_members()
        elif sheet.class_id is not None:
            self.cryocorr.open_pair(int(sheet.ids[0]), sheet.class_id)

    def action_members(self) -> None:
        """Go from the list to the members of the group."""
        self.set_focus(self.query_one(ClassSheet))

    def action_left(self) -> None:
        """Move left in the sheet, and from its first column to the list."""
        sheet = self.query_one(ClassSheet)
        if sheet.cursor % sheet.columns:
            sheet.action_move(-1, 0)
        else:
            self.set_focus(self.query_one(GroupList))


SCREEN = GroupsScreen
