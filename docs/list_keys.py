"""Write ``docs/keys.md``, the keys of the app and their ids: ``python docs/list_keys.py``."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from textual.binding import Binding
from textual.dom import DOMNode

from cryocorr_tui.tui import screens, widgets
from cryocorr_tui.tui.app import CryocorrApp

PAGE = Path(__file__).parent / "keys.md"

HEAD = """# Keys

Every action of the app with its id, by which `config.toml` gives it another key (`[keys]`, several
parted by commas). `?` in the app shows those of what has the focus. This page is written by
`docs/list_keys.py`.

| id | keys | does |
|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(
        f"| `{binding.id}` | `{binding.key}` | {binding.tooltip or binding.description} |\n"
        for binding in sorted(bindings(), key=lambda each: each.id or "")
    )


def bindings() -> set[Binding]:
    """Return all that have an id, each once."""
    return {
        binding
        for node in _nodes()
        for binding in node.BINDINGS
        if isinstance(binding, Binding) and binding.id
    }


def _nodes() -> Iterator[type[DOMNode]]:
    yield CryocorrApp
    for package in (screens, widgets):
        for found in pkgutil.iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{found.name}")
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if issubclass(kind, DOMNode) and kind.__module__ == module.__name__:
                    yield kind


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
