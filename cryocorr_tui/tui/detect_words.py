"""What the screen of squares and classes says in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cryocorr_tui.core.model import ClassAverage, Square
from cryocorr_tui.core.words import counted
from cryocorr_tui.tui.names import shortened

__all__ = ["class_in_words", "counts_in_words", "source_in_words", "square_in_words"]

MOST_SOURCES = 6  # named with their counts


def square_in_words(k: int, square: Square, quality: float) -> str:
    """Return what is known of the square of index `k`, a few lines."""
    lines = [
        f"square {k}: {square.width:.0f}×{square.height:.0f} px",
        f"at {square.x:.0f}, {square.y:.0f}{', cut by the edge' if square.cut else ''}",
        f"confidence {square.confidence:.2f}",
        *_quality(quality),
    ]
    if square.hit is not None:
        mirrored = ", mirrored" if square.hit.mirrored else ""
        lines.append(f"score {square.hit.score:.2f}, turned {square.hit.rotation:.0f}°{mirrored}")
    labels = square.labels
    if labels is not None and labels.selected:
        lines.append("framed as selected")
    if labels is not None and labels.text:
        lines.append(f"print: {labels.text}")
    return "\n".join(lines)


def class_in_words(item: ClassAverage, quality: float, room: int, sources: Sequence[str]) -> str:
    """Return what is known of a class average of one of `sources`, lines of `room` characters."""
    height, width = item.image.shape
    lines = [
        f"class {item.class_id}: image {item.source_index}",
        f"of {source_in_words(item.source, room - 3, sources)}",
        f"{width}×{height} px",
        *_quality(quality),
    ]
    if item.particles is not None:
        lines.append(counted(round(item.particles), "particle"))
    if item.resolution is not None:
        lines.append(f"{item.resolution:.1f} Å")
    return "\n".join(lines)


def source_in_words(source: str, room: int, sources: Sequence[str]) -> str:
    """Return the name of a file in at most `room` characters, told from those of `sources`."""
    return shortened(Path(source).name, room, (Path(other).name for other in sources))


def counts_in_words(classes: Sequence[ClassAverage], room: int) -> str:
    """Return how many classes there are, and of which file, lines of `room` characters."""
    counts = Counter(item.source for item in classes)
    lines = [f"{counted(len(classes), 'class')} in {counted(len(counts), 'file')}"]
    if 1 < len(counts) < len(classes):
        named = counts.most_common(MOST_SOURCES)
        names = [source for source, _ in named]
        lines += [f"{count:>5} {source_in_words(name, room - 6, names)}" for name, count in named]
        rest = len(counts) - len(named)
        lines += [f"      and {counted(rest, 'file')} more"] if rest else []
    return "\n".join(lines)


def _quality(quality: float) -> list[str]:
    return [] if math.isnan(quality) else [f"quality {quality:.2f}"]
