"""Any keys in any order, and any size of the terminal: nothing breaks, and memory does not grow.

CRYOCORR_KEYS sets how many keys are pressed; a resize comes with every tenth. With
--log-cli-level=INFO it is told ten times how large the process is.
"""

from __future__ import annotations

import logging
import os
import random
import string
from pathlib import Path

import psutil
from running_app import app_of

from cryocorr_tui.core.run import Run
from cryocorr_tui.tui.score_map import ScoreMap

KEYS = [
    *sorted(set(string.ascii_letters) - {"q"}),  # so that a count is always the same keys
    *"0123456789",
    *("up", "down", "left", "right", "pageup", "pagedown", "home", "end"),
    *("enter", "escape", "tab", "shift+tab", "space", "backspace", "f1"),
    *("plus", "minus", "slash", "comma", "full_stop", "question_mark", "dollar_sign"),
    *("left_square_bracket", "right_square_bracket", "less_than_sign", "greater_than_sign"),
]
STEPS = "123456"
GROWTH = 150e6  # bytes: caches of pictures and styles fill, and then rest

log = logging.getLogger(__name__)


async def test_random_keys_and_sizes_break_nothing(finished_run: Run, tmp_path: Path) -> None:
    count = int(os.environ.get("CRYOCORR_KEYS", "150"))
    drawn = random.Random(count)
    app = app_of(finished_run)
    app.session.score_map = ScoreMap.of_run(finished_run)
    app.session.output = tmp_path / "out"
    app.session.folder = tmp_path
    process, before = psutil.Process(), 0
    pressed: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        for number in range(count):
            # Now and then to another step: keys alone hardly leave the dialogs.
            keys = ["escape", drawn.choice(STEPS)] if number % 25 == 0 else [drawn.choice(KEYS)]
            pressed += keys
            try:
                await pilot.press(*keys)
                if number % 10 == 0:
                    await pilot.resize_terminal(drawn.randint(20, 220), drawn.randint(6, 70))
            except Exception as error:
                error.add_note(f"after {' '.join(pressed[-60:])}")
                raise
            assert app.return_code is None, f"left after {' '.join(pressed[-60:])}"
            if number == count // 3:
                before = process.memory_info().rss
            if number % max(count // 10, 1) == 0:
                log.info("%d keys: %.0f MB", number, process.memory_info().rss / 1e6)
    assert process.memory_info().rss - before < GROWTH
