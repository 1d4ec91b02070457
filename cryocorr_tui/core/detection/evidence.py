"""Evidence for straight, axis-parallel border lines in a grey picture.

Every pair of neighbouring pixels votes for an edge between them: a step of d grey levels gives
d / (|d| + softness), in −1…1. Along a true border the votes agree in sign however faint the border
is; in noise, text and particles they cancel. Summed along rows and columns once, the evidence of
any side of any box costs two look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["LineEvidence", "line_evidence", "texture_of"]

FloatArray = NDArray[np.float32]

# Grey levels (of 255) at which a step gives half a vote: above the noise of JPEG, below the
# contrast of a border that a person can see.
STEP_SOFTNESS = 2.5
# The same for steps of the texture picture, whose grey levels are 1/32 octave of gradient.
TEXTURE_SOFTNESS = 12.0


@dataclass(frozen=True, eq=False)
class LineEvidence:
    """Running sums of edge votes of one picture of ``height × width`` pixels.

    Lines lie between pixels: line x stands between columns x − 1 and x. The edges of the picture
    are lines with full evidence, since a montage often ends there.

    Attributes
    ----------
    vertical : (height + 1, width + 1) float32
        Votes for vertical lines, summed down the columns.
    horizontal : (width + 1, height + 1) float32
        Votes for horizontal lines, summed along the rows.
    """

    vertical: FloatArray
    horizontal: FloatArray

    def sides(self, boxes: NDArray[np.float64], *, slack: int) -> FloatArray:
        """Return the evidence of the left, top, right and bottom side of every box, each 0…1.

        Parameters
        ----------
        boxes : (n, 4) float64
            x0, y0, x1, y1; parts outside the picture are left out.
        slack : int
            A side may lie this many pixels off; the best position counts.

        Returns
        -------
        (n, 4) float32
        """
        return np.stack([self.side(boxes, which, slack=slack) for which in range(4)], axis=1)

    def side(self, boxes: NDArray[np.float64], which: int, *, slack: int) -> FloatArray:
        """Return the evidence of one side of every box, 0…1.

        Side 0 is the left, 1 the top, 2 the right, 3 the bottom; the rest as `sides`.
        """
        running = self.vertical if which % 2 == 0 else self.horizontal
        line, start, end = (
            np.rint(boxes[:, column]).astype(np.intp)
            for column in (which, 1 - which % 2, 3 - which % 2)
        )
        return _segments(running, line, start, end, slack)

    def corners(
        self, length: int, threshold: float, limit: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where boxes may begin (top left) and end (bottom right): two (n, 2) of x, y.

        A corner is where a vertical and a horizontal line of `length` pixels both start (or end)
        with evidence of at least `threshold`; at most the `limit` best are returned.
        """
        down = _runs(self.vertical, length)
        right = cv2.transpose(_runs(self.horizontal, length))
        # Blurred borders put the two lines of a corner up to a pixel apart.
        beside = cv2.dilate(down, np.ones((1, 3), np.uint8))
        below = cv2.dilate(right, np.ones((3, 1), np.uint8))
        starts = _peaks(down, right, beside, below, threshold, limit)
        # What starts at a point ends `length` further on: both lines that end at one point.
        above, before = np.s_[:-length, length:], np.s_[length:, :-length]
        ends = _peaks(down[above], right[before], beside[above], below[before], threshold, limit)
        return starts, ends + length


def line_evidence(picture: FloatArray, softness: float = STEP_SOFTNESS) -> LineEvidence:
    """Sum up the edge votes of a (height, width) float32 picture of 0…255."""
    return LineEvidence(
        _running_votes(picture, softness),
        _running_votes(np.ascontiguousarray(picture.T), softness),
    )


def texture_of(picture: FloatArray) -> FloatArray:
    """Return the local roughness of a picture, (height, width) float32, about 0…255.

    Where squares and gutters share the mean grey, or squares touch without a border, it is the
    texture that ends at the side of a square: 32 · log₂(1 + |gradient|), averaged over 3×3 pixels.
    """
    across = cv2.absdiff(picture[:, 1:], picture[:, :-1])
    down = cv2.absdiff(picture[1:], picture[:-1])
    gradient = np.zeros_like(picture)
    gradient[:, 1:] = across
    gradient[1:] = np.maximum(gradient[1:], down)
    rough: FloatArray = cv2.blur(np.log2(gradient + 1.0) * np.float32(32.0), (3, 3))
    return rough


def _running_votes(picture: FloatArray, softness: float) -> FloatArray:
    height, width = picture.shape
    votes = np.empty((height + 1, width + 1), np.float32)
    votes[0] = 0.0
    step = picture[:, 1:] - picture[:, :-1]
    np.divide(step, np.abs(step) + np.float32(softness), out=votes[1:, 1:-1])
    votes[1:, 0] = 1.0
    votes[1:, -1] = 1.0
    np.cumsum(votes, axis=0, out=votes)
    return votes


def _segments(
    running: FloatArray,
    line: NDArray[np.intp],
    start: NDArray[np.intp],
    end: NDArray[np.intp],
    slack: int,
) -> FloatArray:
    length, last = running.shape[0] - 1, running.shape[1] - 1
    start, end = np.clip(start, 0, length), np.clip(end, 0, length)
    best = np.zeros(len(line), np.float32)
    for offset in range(-slack, slack + 1):
        at = line + offset
        inside = (at >= 0) & (at <= last)
        at = np.clip(at, 0, last)
        votes = np.abs(running[end, at] - running[start, at]) * inside
        np.maximum(best, votes, out=best)
    best /= np.maximum(end - start, 1)
    return best


def _runs(running: FloatArray, length: int) -> FloatArray:
    """Evidence of the lines of `length` that start at each point and go down."""
    runs = np.zeros_like(running)
    if length < len(running):
        np.abs(running[length:] - running[:-length], out=runs[:-length])
    runs /= length
    return runs


def _peaks(
    down: FloatArray,
    right: FloatArray,
    beside: FloatArray,
    below: FloatArray,
    threshold: float,
    limit: int,
) -> NDArray[np.intp]:
    """Return (n, 2) x, y of the best points where two lines meet, at most `limit`.

    `down` and `right` are the evidence of either line, `beside` and `below` the best of it up to a
    pixel away.
    """
    both = np.minimum(beside, below)
    for line in (down, right):
        cv2.scaleAdd(line, 0.01, both, dst=both)  # breaks the ties of the best nearby
    peak = (both > threshold) & (both >= cv2.dilate(both, np.ones((5, 5), np.uint8)))
    y, x = np.nonzero(peak)
    if len(x) > limit:
        best = np.argpartition(-both[y, x], limit)[:limit]
        y, x = y[best], x[best]
    return np.stack([x, y], axis=1)
