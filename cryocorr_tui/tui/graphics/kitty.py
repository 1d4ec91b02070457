"""Pictures by kitty's graphics protocol, placed by Unicode placeholders.

A picture is sent once under an id; it then appears wherever the terminal shows placeholders in the
colour of that id. So it moves, is covered and comes back as text does, in tmux too.
https://sw.kovidgoyal.net/kitty/graphics-protocol/#unicode-placeholders
"""

from __future__ import annotations

from base64 import standard_b64encode

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.tui.graphics.terminal import through_tmux

__all__ = ["LARGEST", "delete", "placeholder_rows", "transmit"]

PLACEHOLDER = "\U0010eeee"
CHUNK = 4096  # the most base64 characters that one escape code may carry

# The combining characters of class 230 in Unicode 6 that no normalisation composes: the n-th says
# row or column n. As "first" or "first-last".
_DIACRITICS = (
    "305 30d-30e 310 312 33d-33f 346 34a-34c 350-352 357 35b 363-36f 483-487 592-595 597-599 "
    "59c-5a1 5a8-5a9 5ab-5ac 5af 5c4 610-617 657-65b 65d-65e 6d6-6dc 6df-6e2 6e4 6e7-6e8 6eb-6ec "
    "730 732-733 735-736 73a 73d 73f-741 743 745 747 749-74a 7eb-7f1 7f3 816-819 81b-823 825-827 "
    "829-82d 951 953-954 f82-f83 f86-f87 135d-135f 17dd 193a 1a17 1a75-1a7c 1b6b 1b6d-1b73 "
    "1cd0-1cd2 1cda-1cdb 1ce0 1dc0-1dc1 1dc3-1dc9 1dcb-1dcc 1dd1-1de6 1dfe 20d0-20d1 20d4-20d7 "
    "20db-20dc 20e1 20e7 20e9 20f0 2cef-2cf1 2de0-2dff a66f a67c-a67d a6f0-a6f1 a8e0-a8f1 aab0 "
    "aab2-aab3 aab7-aab8 aabe-aabf aac1 fe20-fe26 10a0f 10a38 1d185-1d189 1d1aa-1d1ad 1d242-1d244"
)


def _characters(ranges: str) -> str:
    pairs = (part.split("-") for part in ranges.split())
    return "".join(
        chr(code) for pair in pairs for code in range(int(pair[0], 16), int(pair[-1], 16) + 1)
    )


DIACRITICS = _characters(_DIACRITICS)
LARGEST = len(DIACRITICS)
"""The most rows, and the most columns, of one picture."""


def transmit(
    image: NDArray[np.uint8], image_id: int, *, rows: int, columns: int, tmux: bool = False
) -> str:
    """Return the escape codes that send a picture and make it ready for its placeholders.

    Parameters
    ----------
    image : ndarray, (h, w) or (h, w, 3) uint8
        The picture, sent as PNG: without loss.
    image_id : int
        From 1 to 2²⁴ − 1.
    rows, columns : int
        The cells over which the terminal spreads it.
    tmux : bool
        Whether tmux has to pass it on.
    """
    pixels = image if image.ndim == 2 else image[..., ::-1]  # OpenCV has blue first
    import cv2  # slow to load: the first frame has no picture

    _, png = cv2.imencode(".png", pixels)
    payload = standard_b64encode(png.tobytes()).decode()
    chunks = [payload[start : start + CHUNK] for start in range(0, len(payload), CHUNK)]
    # U=1: shown by placeholders only; q=2: no answer, which would arrive as keys.
    keys = f"a=T,U=1,q=2,f=100,i={image_id},c={columns},r={rows},"
    codes = []
    for index, chunk in enumerate(chunks):
        more = int(index < len(chunks) - 1)
        codes.append(f"\x1b_G{keys if index == 0 else 'q=2,'}m={more};{chunk}\x1b\\")
    return "".join(map(through_tmux, codes) if tmux else codes)


def delete(image_id: int, *, tmux: bool = False) -> str:
    """Return the escape code that removes a picture and frees its memory in the terminal."""
    code = f"\x1b_Ga=d,d=I,q=2,i={image_id}\x1b\\"
    return through_tmux(code) if tmux else code


def placeholder_rows(image_id: int, rows: int, columns: int) -> list[tuple[str, str]]:
    """Return the text of each row of placeholders, and its colour, such as "#01a2b3".

    Each cell says its row and column, though by the protocol the followers of a first cell count
    on: a toast may cover the left end of a line. Only the last cell relies on its neighbour: where
    it is the last of the screen, tmux loses its marks.
    """
    colour = f"#{image_id:06x}"
    marks = DIACRITICS[: max(columns - 1, 1)]
    last = PLACEHOLDER if columns > 1 else ""
    return [
        ("".join(PLACEHOLDER + DIACRITICS[row] + mark for mark in marks) + last, colour)
        for row in range(rows)
    ]
