"""Draw the screenshots of the README: ``python docs/screenshots.py``.

The app is driven by keys on the sample data. An SVG carries no sixels and no kitty pictures, so
class averages are drawn with block characters here; a terminal that draws pictures shows pixels.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"  # read when Textual is imported
os.environ.pop("NO_COLOR", None)

from textual.pilot import Pilot

from cryocorr_tui.core.load import Load
from cryocorr_tui.core.model import Settings
from cryocorr_tui.core.resources import sample_data
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.session import Session

IMAGES = Path(__file__).parent / "images"
SIZE = (120, 42)
FONT_TO_FETCH = re.compile(r"@font-face {.*?}\s*", re.DOTALL)  # the fonts at hand will do
GIB = 2**30
LOAD = Load(cpu=0.42, own_cpu=0.8, used=3 * GIB, total=16 * GIB, own=GIB // 2)


class StillApp(CryocorrApp):
    """The app with a meter that stands still, so that pictures change only with the app."""

    def _sample_load(self) -> None:
        self.load = LOAD


async def main() -> None:
    """Compare the sample data, and draw three screens."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(
            files=[sample_data() / "class_averages.mrcs"],
            output=Path(folder) / "results",
            settings=Settings(pixel_size=4.2),
        )
        app = StillApp(session)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("r")
            await _until(pilot, lambda: session.finished)
            await _draw(pilot, "matrix", ["o", "o"])
            await _draw(pilot, "viewer", ["enter"])
            await _draw(pilot, "groups", ["escape", "5", "right", "right", "space"])


async def _draw(pilot: Pilot[None], name: str, keys: Sequence[str]) -> None:
    for key in keys:
        await pilot.press(key)
        await _until(pilot, lambda: not _busy(pilot))
    drawn = pilot.app.export_screenshot(title="cryocorr", simplify=True)
    drawn = FONT_TO_FETCH.sub("", drawn)
    (IMAGES / f"{name}.svg").write_text(drawn, encoding="utf-8")


def _busy(pilot: Pilot[None]) -> bool:
    return any(worker.is_running for worker in pilot.app.workers)


async def _until(pilot: Pilot[None], there: Callable[[], bool]) -> None:
    await pilot.pause(0.5)  # what a key starts has begun by then
    while not there():
        await pilot.pause(0.2)


if __name__ == "__main__":
    asyncio.run(main())
