"""Aligns a column of prices with the names left of it: in order, each with the nearest line that can be a name.

Prices are often set a little above or below their names, and the distance drifts down the page. The nearest line is
then the wrong one, but the order of prices and names is still the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from worker.extractors.ocr.item_name import split_name
from worker.extractors.ocr.pieces import PricePiece, TextPiece
from worker.extractors.ocr.wording import reads_like_description

FEWEST = 4
"""Shorter columns say too little about where their names begin."""
LEVEL = 0.35
"""A price and a name whose middles differ by less than so many heights stand in one row."""
REACH = 1.3
"""A name may stand so many heights above or below its price."""
NO_NAME = 0.7
"""What it costs, in heights, to take a line that looks like a description for the name."""
LEFT_OUT = 0.45
"""What it costs to leave a line that looks like a name without a price."""
SECOND_LINE = 0.3
"""How much speaks against a line that begins small but is set like a name: it may be the end of one in two lines."""
UNLINKED = 2.0
"""What it costs to leave a price without a name."""


def align(
    column: Sequence[PricePiece], near: Mapping[int, TextPiece], texts: Sequence[TextPiece]
) -> dict[int, TextPiece]:
    """The name of each price of ``column``, by the price's ``id``; empty where the names share no left edge.

    ``near`` is the text that each price would take for itself, by ``id``.
    """
    prices = sorted(column, key=lambda piece: piece.y)
    if len(prices) < FEWEST or any(after.y - before.y < 0.5 * after.height for before, after in pairwise(prices)):
        return {}
    first = [near[id(price)] for price in prices if id(price) in near]
    edge = _common_left_edge(first)
    if edge is None or len(first) < 0.4 * len(prices):
        return {}
    left, right = edge, min(price.x0 for price in prices)
    span = REACH * max(price.height for price in prices)
    names = [
        text
        for text in sorted(texts, key=lambda text: text.y)
        if abs(text.x0 - left) <= 0.8 * text.height
        and text.x0 < right
        and prices[0].y - span <= text.y <= prices[-1].y + span
    ]
    level = [
        text for price in prices if (text := near.get(id(price))) and abs(text.y - price.y) <= LEVEL * price.height
    ]
    look = _look(level)
    return _cheapest(prices, names, [look.doubt(text) for text in names])


def _common_left_edge(texts: Sequence[TextPiece]) -> float | None:
    best: list[float] = []
    for text in texts:
        close = [other.x0 for other in texts if abs(other.x0 - text.x0) <= 0.8 * text.height]
        best = max(best, close, key=len)
    return median(best) if texts and len(best) >= 0.6 * len(texts) else None


@dataclass(frozen=True, slots=True)
class _Names:
    """How the lines that stand level with a price of the column look."""

    height: float
    wordy: bool
    in_capitals: bool

    def doubt(self, text: TextPiece) -> float:
        """How much speaks against ``text`` as a name, 0..1, from its wording and from the size of its type."""
        ratio = text.height / self.height if self.height else 1.0
        same_size = 0.88 <= ratio <= 1.15
        if text.extras or (not self.wordy and _describes(text.text)):
            return SECOND_LINE if same_size and _may_end_a_name(text.text) else 1.0
        if self.in_capitals and not _begins_in_capitals(text.text):
            return 1.0
        return 0.0 if same_size else 0.6


def _look(level: Sequence[TextPiece]) -> _Names:
    return _Names(
        median(text.height for text in level) if level else 0.0,
        sum(_describes(text.text) for text in level) >= 0.5 * len(level),
        len(level) >= FEWEST and sum(_begins_in_capitals(text.text) for text in level) >= 0.7 * len(level),
    )


def _describes(text: str) -> bool:
    return reads_like_description(split_name(text)[0])


def _may_end_a_name(text: str) -> bool:
    return len(text.split()) <= 3 and "," not in text and text[:1].isalpha()


def _begins_in_capitals(text: str) -> bool:
    words = re.findall(r"[^\W\d_]{2,}", text)
    return bool(words) and words[0].isupper()


def _cost(price: PricePiece, name: TextPiece, doubt: float) -> float | None:
    """What it costs to link the two, in heights; ``None`` if they are too far apart."""
    away = abs(price.y - name.y) / max(price.height, name.height)
    if away > REACH:
        return None
    if doubt < 1.0:  # the height of a box is a weak sign against a line in the very same row
        return away + NO_NAME * doubt * min(1.0, away / LEVEL)
    return away + NO_NAME


def _cheapest(
    prices: Sequence[PricePiece], names: Sequence[TextPiece], doubts: Sequence[float]
) -> dict[int, TextPiece]:
    """The links in order that cost least: dynamic programming over both lists from their ends."""
    rows, columns = len(prices), len(names)
    cost = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    step = [[""] * (columns + 1) for _ in range(rows + 1)]
    skip = [LEFT_OUT * (1.0 - doubt) for doubt in doubts]
    for row in range(rows, -1, -1):
        for column in range(columns, -1, -1):
            if row == rows and column == columns:
                continue
            options: list[tuple[float, str]] = []
            if row < rows:
                options.append((UNLINKED + cost[row + 1][column], "price"))
            if column < columns:
                options.append((skip[column] + cost[row][column + 1], "name"))
            if row < rows and column < columns:
                apart = _cost(prices[row], names[column], doubts[column])
                if apart is not None:
                    options.append((apart + cost[row + 1][column + 1], "link"))
            cost[row][column], step[row][column] = min(options)
    links: dict[int, TextPiece] = {}
    row = column = 0
    while row < rows or column < columns:
        taken = step[row][column]
        if taken == "link":
            links[id(prices[row])] = names[column]
        row += taken != "name"
        column += taken != "price"
    return links
