"""What each part of the program may import."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cryocorr_tui

PACKAGE = Path(cryocorr_tui.__file__).parent
HEAVY = {"numpy", "pandas", "scipy", "cv2", "skimage", "numba", "rich", "textual", "zarr"}


def imported_by(statements: str) -> set[str]:
    """The top-level modules a fresh interpreter holds after some statements."""
    script = f"{statements}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.splitlines()[-1].split())


def core_modules() -> list[str]:
    core = PACKAGE / "core"
    return [
        module.name for module in pkgutil.walk_packages([str(core)], prefix="cryocorr_tui.core.")
    ]


@pytest.mark.parametrize("option", ["--version", "--help", "analyze --help"])
def test_version_and_help_import_nothing_heavy(option: str) -> None:
    loaded = imported_by(
        "from cryocorr_tui.cli import main\n"
        f"try: main({option.split()!r})\n"
        "except SystemExit as left: assert left.code == 0"
    )
    assert not loaded & HEAVY


def test_the_first_screen_waits_for_no_part_of_a_run() -> None:
    loaded = imported_by(
        "import cryocorr_tui.cli.opening, cryocorr_tui.tui.app, cryocorr_tui.tui.screens.files"
    )
    assert not loaded & (HEAVY - {"numpy", "rich", "textual"})


def test_the_core_knows_no_terminal() -> None:
    loaded = imported_by("import " + ", ".join(core_modules()))
    assert not loaded & {"rich", "textual", "textual_plotext", "plotext"}


def test_only_the_backend_imports_cupy() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "cupy" in top_level_imports(path)
    }
    assert importers <= {"core/backend.py"}


def top_level_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names
