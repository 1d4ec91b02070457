from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryocorr_tui.core.budget import OWN, Budget


@pytest.mark.parametrize(
    ("n", "box", "memory", "side"),
    [
        (1000, 96, 8e9, 32),  # a cancel waits for one tile
        (7, 96, 8e9, 7),
        (1000, 128, 1e9, 32),
        (1000, 128, 0.5e9, 19),
        (1000, 128, 1.0, 1),
    ],
)
def test_the_tile_size_fits_the_memory_and_the_run(n, box, memory, side):
    assert Budget(memory, box, 49).tile(n) == side


def test_a_card_takes_larger_tiles():
    assert Budget(8e9, 128, 49, on_card=True).tile(1000) == 123
    assert Budget(64e9, 128, 49, on_card=True).tile(10_000) == 256
    assert Budget(64e9, 128, 49, on_card=True).tile(100) == 100


def test_more_shifts_leave_room_for_smaller_tiles():
    sides = [Budget(0.6e9, 128, shifts).tile(1000) for shifts in (49, 200, 800)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]


@given(
    memory=st.floats(0.35e9, 64e9), box=st.integers(32, 128), shifts=st.sampled_from([1, 49, 81])
)
def test_what_is_held_at_a_time_stays_within_the_memory(memory, box, shifts):
    budget = Budget(memory, box, shifts)
    tile = budget.tile(10**6)
    # As measured at 128 px: a row of pictures in work with its spectra, a column, a pair passing.
    picture, ring = 4 * box**2, 4 * 130 * round(0.3 * box)
    rows = 3 * tile * (13 * picture + shifts * ring)
    columns = budget.columns * 11 * picture
    passing = budget.lanes(tile) * tile**2 * 1.3 * picture
    assert OWN + rows + columns + passing <= memory
