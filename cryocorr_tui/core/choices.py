"""What the user decides about class averages: keep or drop, groups of their own, the cut; undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from cryocorr_tui.core.model import Groups

__all__ = ["Choices"]


@dataclass(frozen=True)
class _Decided:
    groups: Groups | None
    dropped: frozenset[int] = frozenset()
    assigned: Mapping[int, int] = field(default_factory=dict)


class Choices:
    """Decisions about `n` class averages; each may be taken back, what changed nothing is none.

    Parameters
    ----------
    n : int
        Number of classes.
    groups : Groups or None
        As the run found them.
    """

    def __init__(self, n: int, groups: Groups | None) -> None:
        self.n = n
        self._history = [_Decided(groups)]

    @property
    def groups(self) -> Groups | None:
        """At the cut as it is now."""
        return self._history[-1].groups

    @property
    def dropped(self) -> frozenset[int]:
        """Class ids that are not to be kept."""
        return self._history[-1].dropped

    @property
    def assigned(self) -> Mapping[int, int]:
        """The user's own group of a class, by class id; those without one are not in it."""
        return MappingProxyType(dict(self._history[-1].assigned))

    @property
    def automatic(self) -> Groups | None:
        """As the run found them."""
        return self._history[0].groups

    @property
    def can_undo(self) -> bool:
        """Whether anything was decided."""
        return len(self._history) > 1

    def drop(self, ids: Iterable[int]) -> None:
        """Drop classes."""
        self._decide(dropped=self.dropped | frozenset(ids))

    def keep(self, ids: Iterable[int]) -> None:
        """Keep classes."""
        self._decide(dropped=self.dropped - frozenset(ids))

    def keep_only(self, kept: Iterable[int], ids: Iterable[int]) -> None:
        """Keep `kept`, and drop the others of `ids`: one decision."""
        kept = frozenset(kept)
        self._decide(dropped=(self.dropped | frozenset(ids)) - kept)

    def assign(self, ids: Iterable[int], group: int | None) -> None:
        """Put classes into a group of the user's own; None takes them out of any."""
        assigned = dict(self.assigned)
        for k in ids:
            if group is None:
                assigned.pop(k, None)
            else:
                assigned[k] = group
        self._decide(assigned=assigned)

    def regroup(self, groups: Groups) -> None:
        """Take groups at another cut; cuts that follow each other are one decision."""
        if self._moving:
            self._history.pop()
        self._decide(groups=groups)

    def undo(self) -> bool:
        """Take the last decision back; False where there is none."""
        if not self.can_undo:
            return False
        self._history.pop()
        return True

    def columns(self) -> dict[str, list[object]]:
        """Return the columns of ``classes.csv`` that tell what was decided."""
        return {
            "kept": ["false" if k in self.dropped else "true" for k in range(self.n)],
            "assigned": [self.assigned.get(k, "") for k in range(self.n)],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what was decided as JSON can hold it; the cut only where it was moved."""
        moved = self.groups is not None and self.groups is not self.automatic
        return {
            "classes": self.n,
            "dropped": sorted(self.dropped),
            "assigned": [list(pair) for pair in self.assigned.items()],
            "cut": self.groups.threshold if self.groups is not None and moved else None,
        }

    def take_over(self, told: Mapping[str, Any], regroup: Callable[[float], Groups]) -> None:
        """Decide as `as_dict` tells; nothing where that was about another number of classes.

        Parameters
        ----------
        told : mapping
            Of `as_dict`.
        regroup : callable
            Gives the groups at a height of the cut.
        """
        if told["classes"] != self.n:
            return
        if told["cut"] is not None and self.groups is not None:
            self.regroup(regroup(told["cut"]))
        self.drop(told["dropped"])
        for class_id, group in told["assigned"]:
            self.assign([class_id], group)

    @property
    def _moving(self) -> bool:
        """Whether the last decision moved the cut and nothing else."""
        return self.can_undo and self._history[-1].groups is not self._history[-2].groups

    def _decide(self, **changes: object) -> None:
        decided = replace(self._history[-1], **changes)  # type: ignore[arg-type]
        if decided != self._history[-1]:
            self._history.append(decided)
