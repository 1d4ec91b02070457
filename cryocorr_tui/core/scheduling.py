"""Tiles dealt out to devices.

The only threads of the core. One a card, each with a scorer of its own: a card always has the next
tile waiting, so it computes while the block before is written by whoever consumes the blocks. On
the host a few that share a scorer and the cores, so that what cannot be spread over cores (making a
row of tiles ready, writing) goes on beside what can. Which thread scores a tile changes nothing in
it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from cryocorr_tui.core.backend import (
    Backend,
    compiled_code,
    kernels_run_side_by_side,
    usable_cpus,
)
from cryocorr_tui.core.model import FloatArray
from cryocorr_tui.core.similarity import PairScorer
from cryocorr_tui.core.store import Tile

__all__ = ["score_tiles"]

_AHEAD = 2  # tiles a card has at a time: one in work, one waiting
_MOST_LANES = 8  # tiles the host has in work at a time, at most; the cores are shared out to them


def score_tiles(
    tiles: Iterable[Tile],
    backends: Sequence[Backend],
    scorer_on: Callable[[Backend], PairScorer],
    *,
    lanes: float = math.inf,
) -> Generator[tuple[Tile, FloatArray], None, None]:
    """Score tiles on one device or several.

    Parameters
    ----------
    tiles : iterable of Tile
        Drawn from as devices fall idle.
    backends : sequence of Backend
        The host alone, or one or several cards.
    scorer_on : callable
        Makes the scorer of a device, in the thread that will use it.
    lanes : float
        Tiles that the host has room for at a time.

    Yields
    ------
    tile : Tile
    block : (fields, h, w) float32
        From `PairScorer.score`; on the host in the order of `tiles`, else in order of completion.

    Raises
    ------
    DeviceError
        If the memory of a device does not suffice for a single pair.
    """
    if backends[0].is_host:
        yield from _on_host(iter(tiles), backends[0], scorer_on, lanes)
        return
    cards = [_Card(backend, scorer_on) for backend in backends]
    coming = iter(tiles)
    at_work: dict[Future[FloatArray], tuple[Tile, _Card]] = {}

    def deal(card: _Card) -> None:
        for tile in coming:
            at_work[card.score(tile)] = tile, card
            return

    try:
        for card in cards * _AHEAD:
            deal(card)
        while at_work:
            for done in wait(at_work, return_when=FIRST_COMPLETED).done:
                tile, card = at_work.pop(done)
                deal(card)
                yield tile, done.result()
    finally:
        for card in cards:
            card.dismiss()


def _on_host(
    tiles: Iterator[Tile],
    backend: Backend,
    scorer_on: Callable[[Backend], PairScorer],
    room: float,
) -> Generator[tuple[Tile, FloatArray], None, None]:
    """Score tiles on the host, in their order, some at a time."""
    cores = usable_cpus()
    lanes = int(min(cores, _MOST_LANES, room)) if kernels_run_side_by_side() else 1
    scorer = scorer_on(replace(backend, threads=math.ceil(cores / lanes)))
    at_work: deque[tuple[Tile, Future[FloatArray]]] = deque()
    # What each lane asks of BLAS libraries is asked of the whole process: once, around them all.
    with compiled_code(), ThreadPoolExecutor(lanes, thread_name_prefix="cpu") as pool:
        try:
            # One more than there are lanes: none has to wait for the consumer.
            for tile in tiles:
                at_work.append((tile, pool.submit(scorer.score, tile.rows, tile.cols)))
                if len(at_work) > lanes:
                    first, block = at_work.popleft()
                    yield first, block.result()
            while at_work:
                first, block = at_work.popleft()
                yield first, block.result()
        finally:
            scorer.stop()
            pool.shutdown(cancel_futures=True)


class _Card:
    """One device and the thread that drives it."""

    def __init__(self, backend: Backend, scorer_on: Callable[[Backend], PairScorer]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=backend.name)
        self._scorer = self._thread.submit(scorer_on, backend)

    def score(self, tile: Tile) -> Future[FloatArray]:
        # The scorer was the first thing this thread was asked for, so nobody waits for it here.
        return self._thread.submit(lambda: self._scorer.result().score(tile.rows, tile.cols))

    def dismiss(self) -> None:
        """Let the tile in work end, drop the others."""
        self._thread.shutdown(cancel_futures=True)
