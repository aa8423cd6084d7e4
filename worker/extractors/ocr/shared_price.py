"""One price for several dishes: that of a whole section, behind its heading, or set half way down a group of names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import mean, median

from worker.extractors.ocr.item_name import split_name
from worker.extractors.ocr.link import Row
from worker.extractors.ocr.pieces import PricePiece, is_size
from worker.extractors.ocr.style import LARGER, PageStyle
from worker.extractors.ocr.wording import is_capitals, names_only_a_section, reads_like_description

FEWEST = 3
"""Fewer names without a price of their own may as well be descriptions."""
CLOSE = 1.6
"""Names of one group stand no further apart than so many heights."""
MUCH_LARGER = 1.3
"""A priced line so many times as high as the usual name is a heading, whatever it says."""
CERTAINTY = 0.6
_NOTE = re.compile(r"^\W*(?:all|each|served?|serves|with|choose|choice|includ\w+|comes|add|please)\b", re.IGNORECASE)


def share_prices(rows: Sequence[Row], style: PageStyle) -> list[Row]:
    """The rows of a block, those of such groups each with a copy of the price they share."""
    shared = list(rows)
    for index, row in enumerate(rows):
        if len(row.prices) != 1:
            continue
        if (names := _under_heading(rows, index, style)) is not None:
            shared[index] = Row(row.texts, [], row.certainty)
        elif (names := _around(rows, index)) is None:
            continue
        for place in names:
            shared[place] = Row(rows[place].texts, [_copy(row, rows[place])], CERTAINTY)
    return shared


def _copy(row: Row, name: Row) -> PricePiece:
    return replace(row.price_pieces[0], y=name.y, follows=None, precedes=None)


def _under_heading(rows: Sequence[Row], index: int, style: PageStyle) -> list[int] | None:
    """The names under a heading that carries the price of each of them."""
    heading = rows[index]
    if not names_only_a_section(heading.text) and heading.height < MUCH_LARGER * style.name_height:
        return None
    names = []
    for place in range(index + 1, len(rows)):
        row = rows[place]
        if row.price_pieces or row.height >= 0.95 * heading.height:
            break
        if _is_name(row) and not row.text[:1].islower() and is_capitals(row.text) >= style.names_in_capitals:
            names.append(place)
    if len({rows[place].text for place in names}) < max(FEWEST, len(names)) or heading.height < LARGER * median(
        rows[place].height for place in names
    ):
        return None
    return names


def _around(rows: Sequence[Row], index: int) -> list[int] | None:
    """The names of the group half way down which the price of this row is set."""
    row = rows[index]
    price = row.price_pieces[0]
    if abs(price.y - row.y) < 0.25 * row.height or not _is_name(row):
        return None
    first = last = index
    while first > 0 and _same_group(rows[first - 1], rows[first]):
        first -= 1
    while last + 1 < len(rows) and _same_group(rows[last + 1], rows[last]):
        last += 1
    group = rows[first : last + 1]
    if len(group) < FEWEST:
        return None
    step = mean(below.y - above.y for above, below in pairwise(group))
    half_way = (group[0].y + group[-1].y) / 2
    return list(range(first, last + 1)) if abs(price.y - half_way) <= 0.4 * step else None


def _same_group(row: Row, beside: Row) -> bool:
    near = abs(row.y - beside.y) <= CLOSE * beside.height and abs(row.x0 - beside.x0) <= 0.5 * beside.height
    alike = 0.8 <= row.height / beside.height <= 1.25 and _case(row.text) == _case(beside.text)
    return near and alike and not row.price_pieces and _is_name(row)


def _is_name(row: Row) -> bool:
    text = row.text
    if reads_like_description(text[:1].upper() + text[1:]) or split_name(text)[1] or "," in text:
        return False
    return not _NOTE.search(text) and not is_size(text) and bool(re.search(r"[^\W\d_]{3}", text))


def _case(text: str) -> tuple[bool, bool]:
    return is_capitals(text), text[:1].islower()
