"""What the names of dishes and the steps between lines look like on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, median_low

from worker.extractors.ocr.link import Row
from worker.extractors.ocr.wording import begins_like_description, is_capitals, reads_like_description

LARGER = 1.15
"""A line so many times as high as the one below it is set in larger type."""
FEWEST_PAIRS = 5
"""Fewer of them on a page may as well be names in two lines."""


@dataclass(frozen=True, slots=True)
class PageStyle:
    """The usual look of the names of priced dishes on a page. Lengths in straightened pixels."""

    name_height: float
    text_height: float
    names_in_capitals: bool
    step: float
    """From one line to the next within an item or list."""
    price_on_description: bool
    """Whether prices mostly stand in a line that reads like a description, with the name above."""
    larger_above: bool
    """Whether priced lines mostly stand under a line in larger type: the name, which has no price itself."""
    under_height: float = 0.0
    """Lines with a price that are set under their name are no higher than this."""
    in_pairs: bool = False
    """Whether lines without and with a price take turns: a name, and below it a description with the price."""


def page_style(rows: Sequence[Row], blocks: Sequence[Sequence[Row]]) -> PageStyle:
    """What the priced rows of a page have in common; ``rows`` must not be empty."""
    priced = [row for row in rows if row.price_pieces] or list(rows)
    name_height = median(row.height for row in priced)
    steps = [
        after.y - before.y
        for block in blocks
        for before, after in pairwise(block)
        if 0.5 * name_height < after.y - before.y < 4 * name_height
    ]
    capitals = sum(is_capitals(row.text) for row in priced) > 0.5 * len(priced)
    under = [
        (above, row)
        for block in blocks
        for above, row in pairwise(block)
        if row.price_pieces and not above.price_pieces and is_set_under(row, above)
    ]
    described = [
        row
        for block in blocks
        for above, row in pairwise(block)
        if row.price_pieces and not above.price_pieces and reads_like_description(row.text)
    ]
    larger_above = len(under) >= 0.5 * len(priced)
    step = sorted(steps)[len(steps) // 3] if steps else 1.3 * name_height
    return PageStyle(
        name_height,
        median(row.height for row in rows),
        capitals,
        step,
        len(described) >= 0.4 * len(priced),
        larger_above,
        _between(under),
        _stands_in_pairs(blocks, len(priced)),
    )


def _between(pairs: Sequence[tuple[Row, Row]]) -> float:
    """The height half way between that of names and that of the priced lines under them."""
    if not pairs:
        return 0.0
    # The lower of two middles: a heading and a name are larger than a name and its description.
    return math.sqrt(median_low(above.height for above, _ in pairs) * median_low(row.height for _, row in pairs))


def is_set_under(row: Row, above: Row) -> bool:
    """Whether ``above`` stands right above ``row``, in larger type and no further to the right."""
    return _is_near(row, above) and above.height >= LARGER * row.height and above.x0 <= row.x0 + row.height


def is_pair(above: Row, row: Row) -> bool:
    """Whether ``above``, without a price, and ``row``, with one, begin at the same place in lines that follow."""
    if begins_like_description(above.text) and not begins_like_description(row.text):
        return False
    aligned = abs(above.x0 - row.x0) <= 0.8 * row.height
    follows = row.y - above.y > 0.5 * row.height and _is_near(row, above)
    return aligned and follows and bool(row.price_pieces) and not above.price_pieces


def _is_near(row: Row, above: Row) -> bool:
    return row.y - above.y <= 0.85 * (row.height + above.height)


def _stands_in_pairs(blocks: Sequence[Sequence[Row]], priced: int) -> bool:
    steps = [
        (above.y - before.y) / (row.y - above.y)
        for block in blocks
        for before, above, row in zip(block, block[1:], block[2:], strict=False)
        if before.price_pieces and is_pair(above, row)
    ]
    # A description that comes after its name with the price stands nearer to that.
    return len(steps) >= max(FEWEST_PAIRS, 0.3 * priced) and median(steps) >= LARGER
