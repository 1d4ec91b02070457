"""Tiles on one device and on two: the store is the same, and nobody waits for the disk."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
from devices import StrictBackend, assert_same_block, card
from phantoms import as_classes, disc_noise, phantom

from cryocorr_tui.core import scheduling
from cryocorr_tui.core.backend import Backend, choose_backends
from cryocorr_tui.core.budget import Budget
from cryocorr_tui.core.errors import DeviceError
from cryocorr_tui.core.model import PAIR_FIELDS, Settings
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.scheduling import score_tiles
from cryocorr_tui.core.similarity import PairScorer, Stopped, warm_up
from cryocorr_tui.core.store import RunStore

N, TILE = 6, 2
FIRST, SECOND = StrictBackend("device1"), StrictBackend("device2")


@pytest.fixture
def store(tmp_path):
    made = RunStore.create(tmp_path, n=N, tile=TILE, fingerprint="", manifest={})
    with made:
        yield made


class Scorer:
    """Stands in for a `PairScorer`; every tile has a value of its own."""

    def __init__(self, backend):
        self.backend = backend
        self.thread = threading.get_ident()
        self.stopped = threading.Event()

    def stop(self):
        self.stopped.set()

    def score(self, rows, cols):
        # Threads of the host share a scorer, that of a card is for its thread alone.
        assert threading.get_ident() == self.thread or self.backend.name == "cpu"
        shape = (len(PAIR_FIELDS), rows.stop - rows.start, cols.stop - cols.start)
        return np.full(shape, 100 * rows.start + cols.start, dtype=np.float32)


@pytest.mark.parametrize("backends", [[Backend("cpu")], [FIRST], [FIRST, SECOND]], ids=len)
def test_every_tile_is_scored_once_by_a_scorer_of_the_thread_it_was_made_in(store, backends):
    made = []

    def scorer_on(backend):
        made.append(Scorer(backend))
        return made[-1]

    blocks = {(t.row, t.col): b for t, b in score_tiles(store.tiles(), backends, scorer_on)}
    assert [scorer.backend.name for scorer in made] == [backend.name for backend in backends]
    assert sorted(blocks) == [(t.row, t.col) for t in store.tiles()]
    assert all(block[0, 0, 0] == 200 * row + 2 * col for (row, col), block in blocks.items())


def test_a_card_computes_while_the_block_before_is_written(store):
    begun = threading.Semaphore(0)

    class Telling(Scorer):
        def score(self, rows, cols):
            begun.release()
            return super().score(rows, cols)

    with closing(score_tiles(store.tiles(), [FIRST], Telling)) as scored:
        next(scored)
        # The consumer holds the first block; the second tile begins without being asked for.
        assert all(begun.acquire(timeout=10) for _ in range(2))


def test_closing_drops_the_tiles_that_wait_and_ends_the_threads(store):
    before = threading.active_count()
    scored = score_tiles(store.tiles(), [FIRST, SECOND], Scorer)
    next(scored)
    scored.close()
    assert threading.active_count() == before


def test_an_error_of_a_card_reaches_the_consumer_and_ends_the_threads(store):
    class Failing(Scorer):
        def score(self, rows, cols):
            if self.backend == SECOND:
                raise RuntimeError("the card fell off the bus")
            return super().score(rows, cols)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="fell off the bus"):
        list(score_tiles(store.tiles(), [FIRST, SECOND], Failing))
    assert threading.active_count() == before


def test_the_host_has_as_many_tiles_in_work_as_cores_and_gives_them_in_their_order(
    store, monkeypatch
):
    monkeypatch.setattr(scheduling, "usable_cpus", lambda: 3)
    monkeypatch.setattr(scheduling, "kernels_run_side_by_side", lambda: True)
    together = threading.Barrier(3)

    class Meeting(Scorer):
        def score(self, rows, cols):
            together.wait(timeout=10)  # broken, and an error, unless three are in work
            return super().score(rows, cols)

    tiles = list(store.tiles())
    assert len(tiles) % 3 == 0
    assert [tile for tile, _ in score_tiles(tiles, [Backend("cpu")], Meeting)] == tiles


def test_kernels_that_cannot_run_side_by_side_do_not(store, monkeypatch):
    monkeypatch.setattr(scheduling, "usable_cpus", lambda: 4)
    monkeypatch.setattr(scheduling, "kernels_run_side_by_side", lambda: False)
    threads = set()

    class Telling(Scorer):
        def score(self, rows, cols):
            threads.add(threading.get_ident())
            return super().score(rows, cols)

    list(score_tiles(store.tiles(), [Backend("cpu")], Telling))
    assert len(threads) == 1


def test_closing_stops_what_the_host_has_in_work(store):
    in_work = threading.Semaphore(0)

    class Endless(Scorer):
        def score(self, rows, cols):
            if rows == cols == slice(0, TILE):
                return super().score(rows, cols)
            in_work.release()
            assert self.stopped.wait(timeout=10)
            raise Stopped

    before = threading.active_count()
    scored = score_tiles(store.tiles(), [Backend("cpu")], Endless)
    next(scored)
    assert in_work.acquire(timeout=10)
    scored.close()
    assert threading.active_count() == before


def stored(folder, working, backends, *, tile):
    """Return the whole store that some devices write."""
    folder.mkdir()

    def scorer_on(backend):
        return PairScorer(working, Settings(), backend, memory=4e7)

    n = len(working.images)
    with RunStore.create(folder, n=n, tile=tile, fingerprint="", manifest={}) as store:
        for at, block in score_tiles(store.tiles(), backends, scorer_on):
            store.write(at, block)
        return store.window(slice(0, n), slice(0, n))


def test_two_cards_write_the_store_that_one_writes(tmp_path):
    images = np.stack([phantom(24, seed=k % 3) for k in range(N)]) + 0.3 * disc_noise(N, 24)
    working = prepare(as_classes(images), Settings())
    alone = stored(tmp_path / "one", working, [FIRST], tile=3)
    assert np.isfinite(alone[:, *np.triu_indices(N, 1)]).all()
    assert stored(tmp_path / "two", working, [FIRST, SECOND], tile=3).tobytes() == alone.tobytes()


def test_threads_of_the_host_write_the_store_that_one_writes(tmp_path, monkeypatch):
    warm_up(Backend("cpu"))
    images = np.stack([phantom(24, seed=k % 3) for k in range(9)]) + 0.3 * disc_noise(9, 24)
    working = prepare(as_classes(images), Settings())
    monkeypatch.setattr(scheduling, "_MOST_LANES", 1)
    alone = stored(tmp_path / "one", working, [Backend("cpu")], tile=2)
    monkeypatch.setattr(scheduling, "_MOST_LANES", 3)
    monkeypatch.setattr(scheduling, "usable_cpus", lambda: 3)
    together = stored(tmp_path / "three", working, [Backend("cpu")], tile=2)
    assert np.isfinite(alone[:, *np.triu_indices(9, 1)]).all()
    assert together.tobytes() == alone.tobytes()


@pytest.mark.gpu
def test_a_card_scores_a_thousand_classes_as_the_cpu_does(tmp_path):
    backend, n, box = card(), 1000, 64
    images = np.stack([phantom(box, seed=k % 50) for k in range(n)]) + 0.3 * disc_noise(n, box)
    working = prepare(as_classes(images), Settings())
    memory = 0.8 * backend.memory().free

    def scorer_on(backend):
        return PairScorer(working, Settings(), backend, memory=memory)

    tile = Budget.of(working, memory, on_card=True).tile(n)
    with RunStore.create(tmp_path, n=n, tile=tile, fingerprint="", manifest={}) as store:
        for at, block in score_tiles(store.tiles(), [backend], scorer_on):
            store.write(at, block)
        assert store.pairs_done() == n * (n - 1) // 2
        on_host = scorer_on(Backend("cpu"))
        for rows, columns in ((slice(0, 32), slice(968, 1000)), (slice(500, 532), slice(600, 632))):
            assert_same_block(store.window(rows, columns), on_host.score(rows, columns))
    assert 0 < backend.memory().peak <= backend.memory().total
    backend.release()


@pytest.mark.gpu
def test_two_cards_of_one_machine_write_one_store(tmp_path):
    card()
    try:
        backends, _ = choose_backends("cuda:0,1")
    except DeviceError:
        pytest.skip("needs two NVIDIA cards and CuPy")
    images = np.stack([phantom(32, seed=k % 5) for k in range(40)]) + 0.3 * disc_noise(40, 32)
    working = prepare(as_classes(images), Settings())
    alone = stored(tmp_path / "one", working, backends[:1], tile=8)
    assert stored(tmp_path / "two", working, backends, tile=8).tobytes() == alone.tobytes()
