"""What a built wheel holds, and that it is all the program needs."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cryocorr_tui

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT],
        capture_output=True,
        check=True,
        timeout=100,
    )
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("folder", ["styles", "sample_data"])
def test_the_wheel_holds_the_folders_beside_the_package(
    wheel: zipfile.ZipFile, folder: str
) -> None:
    expected = files_below(CHECKOUT / folder)
    assert expected
    assert {f"cryocorr_tui/{folder}/{name}" for name in expected} <= set(wheel.namelist())


def test_the_wheel_holds_every_module_and_the_mark_of_types(wheel: zipfile.ZipFile) -> None:
    expected = files_below(CHECKOUT / "cryocorr_tui")
    assert "py.typed" in expected
    assert {f"cryocorr_tui/{name}" for name in expected} <= set(wheel.namelist())


def test_the_wheel_holds_nothing_of_the_tests(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"cryocorr_tui", f"cryocorr_tui-{cryocorr_tui.__version__}.dist-info"}


def test_the_wheel_names_itself_its_licence_and_its_commands(wheel: zipfile.ZipFile) -> None:
    info = f"cryocorr_tui-{cryocorr_tui.__version__}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Name"] == "cryocorr-tui"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"gpu", "gpu13", "cluster"} == set(metadata.get_all("Provides-Extra", []))
    commands = wheel.read(f"{info}/entry_points.txt").decode()
    assert "cryocorr = cryocorr_tui.cli:main" in commands
    assert "cryocorr-tui = cryocorr_tui.cli:main" in commands


def test_what_is_sampled_is_small(wheel: zipfile.ZipFile) -> None:
    sample = [entry for entry in wheel.infolist() if "/sample_data/" in entry.filename]
    assert sum(entry.file_size for entry in sample) <= 4 * 2**20
