"""The keys of what has the focus."""

from __future__ import annotations

from textual.reactive import Reactive
from textual.widgets import Footer

__all__ = ["KeysBar"]


class KeysBar(Footer):
    """Textual's footer, but for the keys it has shown before.

    Each key watches the footer, and Textual lets go of what watches only when what is watched
    changes: hours of work would gather tens of thousands of them.
    """

    async def recompose(self) -> None:
        """Show the keys anew, and let those before go."""
        Reactive._clear_watchers(self)
        await super().recompose()
