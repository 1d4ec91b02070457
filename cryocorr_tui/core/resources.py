"""Where the files that come with the program lie.

In an installed wheel they are folders of the package; in a checkout they lie beside it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_data", "styles"]

_PACKAGE = Path(__file__).resolve().parents[1]


def sample_data() -> Path:
    """Return the folder of the sample class averages, their truth and the bundled structure."""
    return _bundled("sample_data")


def styles() -> Path:
    """Return the folder of the app's style sheets."""
    return _bundled("styles")


def _bundled(name: str) -> Path:
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name
