"""Pages made by hand for the layout stages: lines of text at given places, as the engine would report them."""

from __future__ import annotations

import math
from collections.abc import Callable

from worker.extractors.ocr.text_line import Point, ReadLine

LETTER = 0.5
"""Width of a letter in heights of its line."""


def read(
    text: str,
    x: float,
    y: float,
    *,
    height: float = 24,
    score: float = 0.98,
    bend: Callable[[float, float], Point] = lambda x, y: (x, y),
) -> ReadLine:
    """``text`` with its left end at ``x`` and its middle at ``y``; ``bend`` moves the corners, as a camera would."""
    width = max(len(text), 1) * LETTER * height
    corners = ((x, y - height / 2), (x + width, y - height / 2), (x + width, y + height / 2), (x, y + height / 2))
    bent = tuple(bend(*corner) for corner in corners)
    centres = tuple((index + 0.5) / len(text) for index in range(len(text)))
    return ReadLine(text, score, (bent[0], bent[1], bent[2], bent[3]), centres, (score,) * len(text))


def read_right(text: str, right: float, y: float, *, height: float = 24, score: float = 0.98) -> ReadLine:
    """``text`` with its right end at ``right``."""
    return read(text, right - len(text) * LETTER * height, y, height=height, score=score)


def turned(degrees: float) -> Callable[[float, float], Point]:
    """A page turned about its top left corner."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return lambda x, y: (x * cosine - y * sine, x * sine + y * cosine)


def listing(
    *rows: tuple[str, str], x: float = 50, right: float = 600, y: float = 100, step: float = 40
) -> list[ReadLine]:
    """Names with their prices at the right, one below the other; an empty price gives a line without one."""
    lines = []
    for index, (name, price) in enumerate(rows):
        lines.append(read(name, x, y + index * step))
        if price:
            lines.append(read_right(price, right, y + index * step))
    return lines
