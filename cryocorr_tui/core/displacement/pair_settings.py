"""Settings that suit two class averages, which are small, smooth and noisy."""

from __future__ import annotations

from typing import Any

from cryocorr_tui.core.model import DisplacementSettings

__all__ = ["SUITED", "pair_settings"]

SUITED = ("block_size", "step", "smoothing", "subset_shape", "min_peak_ratio")

SMALLEST_BLOCK = 16
BLOCKS_ACROSS = 3  # of a box: smaller ones hold too little but noise to be found by
STEPS = 4  # to a block


def pair_settings(box: int, **given: Any) -> DisplacementSettings:
    """Return settings for two class averages.

    Large subsets that overlap much and only shift, since six numbers are more than smooth, noisy
    pixels can tell; pictures smoothed; and no second peak to fear, as the two are aligned.
    docs/displacement.md has what that was measured to do.

    Parameters
    ----------
    box : int
        Pixels across both.
    **given
        Settings that are as the user wants them.
    """
    block = given.get("block_size", max(SMALLEST_BLOCK, box // BLOCKS_ACROSS // 2 * 2))
    suited = {
        "block_size": block,
        "step": max(1, block // STEPS),
        "smoothing": 1.5,
        "subset_shape": "shift",
        "min_peak_ratio": 1.0,
    }
    return DisplacementSettings(**(suited | given))
