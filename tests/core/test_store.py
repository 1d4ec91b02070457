from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.model import PAIR_FIELDS
from cryocorr_tui.core.store import SYMMETRIC_FIELDS, RunStore, Tile

FIELDS = len(PAIR_FIELDS)
ALL = slice(None)


def create(folder: Path, n: int = 7, tile: int = 3) -> RunStore:
    folder.mkdir(exist_ok=True)
    return RunStore.create(folder, n=n, tile=tile, fingerprint="abc", manifest={"seed": 1})


def truth(n: int) -> NDArray[np.float32]:
    """Give every field of every pair i < j a value of its own."""
    f, i, j = np.ogrid[:FIELDS, :n, :n]
    return np.where(i < j, f / 10 + i / 100 + j / 10_000, np.nan).astype(np.float32)


def fill(store: RunStore, tiles: Iterator[Tile] | list[Tile] | None = None) -> None:
    values = truth(store.n)
    for tile in store.tiles() if tiles is None else tiles:
        store.write(tile, values[:, tile.rows, tile.cols])


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), tile=st.integers(1, 50))
def test_the_tiles_hold_every_pair_once(
    tmp_path_factory: pytest.TempPathFactory, n: int, tile: int
) -> None:
    seen = np.zeros((n, n), dtype=int)
    with create(tmp_path_factory.mktemp("run"), n, tile) as store:
        tiles = list(store.tiles())
    for each in tiles:
        assert each.row <= each.col
        seen[each.rows, each.cols] += 1
    assert (np.triu(seen, k=1) == np.triu(np.ones((n, n)), k=1)).all()
    assert [(each.row, each.col) for each in tiles] == sorted(
        (each.row, each.col) for each in tiles
    )


def test_a_tile_is_done_once_it_is_written_and_its_pairs_are_counted(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        first, second, *_ = store.tiles()
        assert store.pairs_done() == 0
        fill(store, [first])
        assert store.done(first)
        assert not store.done(second)
        assert store.pairs_done() == 3  # of 3 × 3 on the diagonal
        fill(store, [second])
        assert store.pairs_done() == 3 + 9
        fill(store)
        assert store.pairs_done() == 7 * 6 // 2


def test_every_window_gives_back_what_was_written(tmp_path: Path) -> None:
    expected = truth(7)
    with create(tmp_path) as store:
        fill(store)
        np.testing.assert_array_equal(store.window(ALL, ALL), expected)
        np.testing.assert_array_equal(store.window(slice(2, 5), slice(1, 7)), expected[:, 2:5, 1:7])
        np.testing.assert_array_equal(store.window(slice(5, 6), slice(0, 1)), expected[:, 5:6, 0:1])
        assert store.window(slice(2, 2), ALL).shape == (FIELDS, 0, 7)


def test_on_a_diagonal_tile_only_i_below_j_is_kept(tmp_path: Path) -> None:
    with create(tmp_path, n=3) as store:
        (tile,) = store.tiles()
        store.write(tile, np.ones((FIELDS, 3, 3), dtype=np.float32))
        blend = store.window(ALL, ALL)[0]
    np.testing.assert_array_equal(np.isnan(blend), ~np.triu(np.ones((3, 3), dtype=bool), k=1))


def test_what_was_not_scored_yet_is_nan(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        assert np.isnan(store.window(ALL, ALL)).all()
        assert np.isnan(store.symmetric("ncc", ALL, ALL)).all()


def test_a_tile_in_which_nothing_could_be_scored_is_done_as_well(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        tile = next(store.tiles())
        store.write(tile, np.full((FIELDS, 3, 3), np.nan, dtype=np.float32))
        assert store.done(tile)


@pytest.mark.parametrize("field", SYMMETRIC_FIELDS)
def test_the_symmetric_view_mirrors_the_upper_triangle(tmp_path: Path, field: str) -> None:
    upper = truth(7)[PAIR_FIELDS.index(field)]
    expected = np.where(np.isnan(upper), upper.T, upper)
    with create(tmp_path) as store:
        fill(store)
        for rows, cols in ((ALL, ALL), (slice(4, 7), slice(0, 5)), (slice(0, 2), slice(5, 7))):
            np.testing.assert_array_equal(store.symmetric(field, rows, cols), expected[rows, cols])


def test_a_rotation_has_no_symmetric_view(tmp_path: Path) -> None:
    with create(tmp_path) as store, pytest.raises(ValueError, match="rotation_deg"):
        store.symmetric("rotation_deg", ALL, ALL)


def test_condensed_pairs_are_ordered_by_i_then_j(tmp_path: Path) -> None:
    i, j = np.triu_indices(7, k=1)
    with create(tmp_path) as store:
        fill(store)
        np.testing.assert_array_equal(store.condensed("ncc"), truth(7)[1][i, j])


def test_a_run_that_was_broken_off_resumes_to_the_identical_files(tmp_path: Path) -> None:
    with create(tmp_path / "whole") as store:
        fill(store)
    with create(tmp_path / "parts") as store:
        fill(store, list(store.tiles())[::2])
    with RunStore.open(tmp_path / "parts", fingerprint="abc") as store:
        fill(store, [tile for tile in store.tiles() if not store.done(tile)])
    assert files(tmp_path / "whole") == files(tmp_path / "parts")


def test_the_manifest_comes_back(tmp_path: Path) -> None:
    create(tmp_path).close()
    with RunStore.open(tmp_path) as store:
        assert (store.n, store.tile) == (7, 3)
        assert store.manifest == {"seed": 1}


def test_a_process_killed_while_it_writes_leaves_no_half_tile_and_no_lock(tmp_path: Path) -> None:
    script = """
import os, pathlib, signal, sys
import numpy as np
from cryocorr_tui.core.model import PAIR_FIELDS
from cryocorr_tui.core.store import RunStore
store = RunStore.create(sys.argv[1], n=4, tile=2, fingerprint="abc", manifest={})
block = np.zeros((len(PAIR_FIELDS), 2, 2), dtype=np.float32)
first, second, third = store.tiles()
store.write(first, block)
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.write(second, block)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(path.name.endswith(".partial") for path in tmp_path.rglob("*"))
    with RunStore.open(tmp_path) as store:
        assert [store.done(tile) for tile in store.tiles()] == [True, False, False]
        assert not any(path.name.endswith(".partial") for path in tmp_path.rglob("*"))


def test_a_disk_that_fills_up_costs_no_tile_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with create(tmp_path) as store:
        first, second, *_ = store.tiles()
        fill(store, [first])
        before = files(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            with pytest.raises(OutputError, match=r"disk .* is full"):
                fill(store, [second])
        assert files(tmp_path) == before
        fill(store, [second])
        assert store.done(second)


def test_a_small_disk_really_filled_up_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    try:
        with create(disk / "run", n=256, tile=32) as store:
            with pytest.raises(OutputError, match=r"disk .* is full"):
                fill(store)
            done = [tile for tile in store.tiles() if store.done(tile)]
            assert done
            for tile in done[1:]:
                assert not np.isnan(store.window(tile.rows, tile.cols)).all()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_second_process_on_the_same_folder_is_told(tmp_path: Path) -> None:
    with create(tmp_path):
        with pytest.raises(OutputError, match="another cryocorr"):
            RunStore.open(tmp_path)
        with pytest.raises(OutputError, match="another cryocorr"):
            create(tmp_path)
        with RunStore.open(tmp_path, read_only=True) as look:
            assert look.pairs_done() == 0
    RunStore.open(tmp_path).close()


def test_a_refused_store_lets_go_of_the_folder(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(OutputError):
        RunStore.open(tmp_path, fingerprint="other")
    RunStore.open(tmp_path).close()


def test_a_store_of_other_inputs_or_settings_is_refused(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(OutputError, match="other inputs or with other settings"):
        RunStore.open(tmp_path, fingerprint="other")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        RunStore.open(tmp_path)


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(OutputError, match="holds a run already"):
        create(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"zarr_format": 3, "node_type": "group", "attributes": {}}']
)
def test_a_damaged_manifest_is_told_in_one_sentence(tmp_path: Path, content: str) -> None:
    create(tmp_path).close()
    (tmp_path / "store.zarr" / "pairs" / "zarr.json").write_text(content)
    with pytest.raises(OutputError, match=r"store\.zarr: is damaged") as caught:
        RunStore.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    create(tmp_path).close()
    path = tmp_path / "store.zarr" / "pairs" / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["fields"][-1] = "flipped"
    path.write_text(json.dumps(content))
    with pytest.raises(OutputError, match="another version"):
        RunStore.open(tmp_path)


@pytest.mark.parametrize("keep", [0, 20, None])
def test_a_spoiled_tile_is_named_and_can_be_scored_again(tmp_path: Path, keep: int | None) -> None:
    with create(tmp_path) as store:
        fill(store)
        chunk = tmp_path / "store.zarr" / "pairs" / "c" / "0" / "0" / "2"
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        chunk.write_bytes(raw if keep is None else raw[:keep])
        with pytest.raises(OutputError, match=r"c/0/0/2: is damaged .* delete this file"):
            store.window(ALL, ALL)
        np.testing.assert_array_equal(store.window(slice(0, 3), slice(0, 6)), truth(7)[:, 0:3, 0:6])
        chunk.unlink()
        fill(store, [tile for tile in store.tiles() if not store.done(tile)])
        np.testing.assert_array_equal(store.window(ALL, ALL), truth(7))


def test_a_block_of_the_wrong_shape_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    wrong = pytest.raises(ValueError, match=r"\(9, 3, 3\), received \(9, 2, 2\)")
    with create(tmp_path) as store, wrong:
        store.write(next(store.tiles()), np.zeros((FIELDS, 2, 2), dtype=np.float32))


@pytest.mark.parametrize(("n", "tile"), [(0, 1), (1, 0)])
def test_a_run_has_at_least_one_class_and_one_tile(tmp_path: Path, n: int, tile: int) -> None:
    with pytest.raises(ValueError, match="n >= 1 and tile >= 1"):
        create(tmp_path, n, tile)


# One set against another


def create_rectangle(folder: Path, n: int = 8, split: int = 5, tile: int = 2) -> RunStore:
    folder.mkdir(exist_ok=True)
    return RunStore.create(folder, n=n, tile=tile, split=split, fingerprint="abc", manifest={})


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), tile=st.integers(1, 50), data=st.data())
def test_the_tiles_of_two_sets_hold_every_pair_between_them_once_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, n: int, tile: int, data: st.DataObject
) -> None:
    split = data.draw(st.integers(1, n - 1))
    seen = np.zeros((n, n), dtype=int)
    with create_rectangle(tmp_path_factory.mktemp("run"), n, split, tile) as store:
        for each in store.tiles():
            seen[each.rows, each.cols] += 1
        assert store.pairs == split * (n - split)
    expected = np.zeros((n, n), dtype=int)
    expected[:split, split:] = 1
    np.testing.assert_array_equal(seen, expected)


def test_windows_of_two_sets_are_nan_outside_the_rectangle(tmp_path: Path) -> None:
    expected = truth(8)
    expected[:, 5:] = expected[:, :, :5] = np.nan
    both = np.where(np.isnan(expected[1]), expected[1].T, expected[1])
    with create_rectangle(tmp_path) as store:
        fill(store)
        assert store.pairs_done() == store.pairs == 15
        np.testing.assert_array_equal(store.window(ALL, ALL), expected)
        np.testing.assert_array_equal(store.window(slice(3, 7), slice(4, 7)), expected[:, 3:7, 4:7])
        np.testing.assert_array_equal(store.symmetric("ncc", ALL, ALL), both)
        np.testing.assert_array_equal(store.condensed("ncc"), expected[1][:5, 5:].ravel())
    with RunStore.open(tmp_path) as store:
        assert (store.n, store.split, store.rows, store.cols) == (8, 5, slice(0, 5), slice(5, 8))


@pytest.mark.parametrize("split", [0, 8])
def test_both_sets_have_classes(tmp_path: Path, split: int) -> None:
    with pytest.raises(ValueError, match="split between 0 and n=8"):
        create_rectangle(tmp_path, split=split)


@pytest.mark.parametrize(("pairs", "lengths"), [(1000, [8]), (24, [3, 3, 2]), (9, [1] * 8)])
def test_bands_of_rows_stay_inside_tiles(tmp_path: Path, pairs: int, lengths: list[int]) -> None:
    with create(tmp_path, n=8, tile=3) as store:
        bands = list(store.bands(pairs))
    assert [band.stop - band.start for band in bands] == lengths
    assert [band.start for band in bands[1:]] == [band.stop for band in bands[:-1]]
