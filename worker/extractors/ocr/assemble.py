"""Walks down the columns and makes of rows a menu: sections, dishes, descriptions, and what is none of these."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.extractors.ocr.extras import Extra, extra_in
from worker.extractors.ocr.headers import THRESHOLD, Surroundings, header_rating
from worker.extractors.ocr.item_name import split_name
from worker.extractors.ocr.link import Row, Side
from worker.extractors.ocr.menu import Aside, Doubt, FoundCategory, FoundItem, FoundMenu
from worker.extractors.ocr.pieces import is_size
from worker.extractors.ocr.rows import NEAR
from worker.extractors.ocr.sizes import SAME_LEVEL, size_headings
from worker.extractors.ocr.style import LARGER, PageStyle, is_pair, is_set_under
from worker.extractors.ocr.wording import is_capitals, reads_like_description

_TAGS = re.compile(r"\W*(?:[([]\s*\w{1,3}(?:\s*[,/&+ ]\s*\w{1,3})*\s*[)\]]\W*)+")
"""A line of nothing but marks such as ``(VG)``."""
_UNFINISHED = re.compile(r"(?:\b(?:or|and|with|w|of|on|in|the|ou|et|avec|con|und|mit|oder)|[&+/,-])\W*$", re.IGNORECASE)
"""How a line of text ends that goes on in the next."""
LEGIBLE = 0.6
"""A recognition score below which a name is a guess."""
TIGHT = 0.8
CONTIGUOUS = 1.55
"""Lines no further apart than so many steps belong to one paragraph."""
_SURCHARGE = re.compile(
    r"^\W*(?:add|extra|additional|substitute|sub|upgrade|make\s+it|supplement|suppl[ée]ment)\b|\badd(?:\s+\w+)?$|[.;]\s+add\b|\bor\b.*\bfor\W*$",
    re.IGNORECASE,
)


def assemble(menu: FoundMenu, blocks: Sequence[Sequence[Row]], side: Side, style: PageStyle) -> None:
    """Fill ``menu`` from all blocks in reading order; a column without a heading continues the section before."""
    walk = _Walk(menu, style, side)
    for block in blocks:
        walk.block(block)
    menu.categories = [category for category in menu.categories if category.items]


class _Walk:
    def __init__(self, menu: FoundMenu, style: PageStyle, side: Side) -> None:
        self.menu = menu
        self._style = style
        self._side = side

    def block(self, rows: Sequence[Row]) -> None:
        priced = [row for row in rows if row.price_pieces]
        reference = priced or rows
        left, right = min(row.x0 for row in reference), max(row.x1 for row in reference)
        self._size_levels = [heading.y for heading in size_headings(rows)]
        self._last: FoundItem | None = None
        self._last_y: float | None = None
        pending: list[Row] = []
        for row in rows:
            if row.price_pieces and _SURCHARGE.search(row.text):
                self._surcharge(row)
            elif row.price_pieces:
                self._place(pending, row, left, right)
                pending = []
                self._last_y = max(row.y, *(piece.y for piece in row.price_pieces))
            elif all(is_size(text.text) for text in row.texts):
                self.menu.asides.append(Aside(row, "heading of a column of sizes"))
            else:
                pending.append(row)
        self._place(pending, None, left, right)

    def _surcharge(self, row: Row) -> None:
        if self._last is not None and len(self._last.description) + len(row.text) < 400:
            self._last.description = _joined(self._last.description, f"{row.text} {_amount(row)}")
            if (extra := extra_in(row.text, row.prices[0].value)) is not None:
                self._last.extras.append(extra)
        else:
            self.menu.asides.append(Aside(row, "surcharge"))

    def _place(self, pending: list[Row], item_row: Row | None, left: float, right: float) -> None:
        ratings = self._ratings(pending, item_row, left, right)
        own = self._start_of_item(pending, ratings, item_row)
        header = max((index for index in range(own) if ratings[index] >= THRESHOLD), default=None)
        if header is None:
            if self._last is None:
                self._aside_notes(pending[:own])
            else:
                self._describe_last(pending[:own])
        else:
            self._describe_last(pending[:header])
            self._section(pending[header], ratings[header])
            self._aside_notes(pending[header + 1 : own])
        if item_row is not None:
            self._item(pending[own:], item_row)

    def _ratings(self, pending: Sequence[Row], item_row: Row | None, left: float, right: float) -> list[float]:
        step = self._style.step
        ratings = []
        for index, row in enumerate(pending):
            above = pending[index - 1].y if index else self._last_y
            below = pending[index + 1].y if index + 1 < len(pending) else item_row.y if item_row else None
            around = Surroundings(
                None if above is None else (row.y - above) / step,
                None if below is None else (below - row.y) / step,
                None if item_row is None else len(pending) - index,
                left,
                right,
                any(abs(row.y - y) <= SAME_LEVEL * row.height for y in self._size_levels),
            )
            ratings.append(header_rating(row, self._style, around))
        return ratings

    def _start_of_item(self, pending: Sequence[Row], ratings: Sequence[float], item_row: Row | None) -> int:
        """The index of the first line before ``item_row`` that belongs to its dish; ``len(pending)`` if none does."""
        count = len(pending)
        if item_row is None or not pending:
            return count
        if _TAGS.fullmatch(item_row.text):
            return count - 1
        if self._are_pair(pending[-1], item_row):
            return count - 1
        if self._takes_name_above(pending, item_row):
            names = [index for index in range(count) if not reads_like_description(pending[index].text)]
            return names[-1] if names else count
        if not self._continues(pending, item_row):
            return count
        # The lines of one name are set closer than a heading and its first dish.
        tight = item_row.y - pending[-1].y <= TIGHT * self._style.step
        return count - 1 if tight or ratings[-1] < THRESHOLD else count

    def _continues(self, pending: Sequence[Row], row: Row) -> bool:
        """Whether ``row`` is the second line of a name that begins in the line above it."""
        above = pending[-1]
        before = pending[-2].y if len(pending) > 1 else self._last_y
        gap = row.y - above.y
        if gap < 0.5 * row.height or above.x0 > row.x1 or above.x1 < row.x0:  # beside it, not above it
            return False
        if not _alike(above, row, self._style) or reads_like_description(above.text):
            return False
        if _UNFINISHED.search(above.text) and gap <= 0.6 * (above.height + row.height):
            return True
        # After a description the name's first line is no further from it than from its own second line.
        share = 1.0 if len(pending) > 1 and not _alike(pending[-2], above, self._style) else 0.88
        nearer = before is None or gap < share * (above.y - before)
        return gap <= 1.25 * self._style.step and nearer

    def _describe_last(self, rows: Sequence[Row]) -> None:
        """Lines right below a dish describe it; from the first gap on they are something else."""
        y = self._last_y
        contiguous = self._last is not None
        for row in rows:
            contiguous = contiguous and y is not None and row.y - y <= CONTIGUOUS * max(self._style.step, row.height)
            if contiguous and self._last is not None and not self._is_unpriced_name(row):
                self._last.description = _joined(self._last.description, row.text)
                self._last.description_lines.append(row)
                self._last.extras += _offered(row)
                y = row.y
            elif self._last is not None and self._is_unpriced_name(row):
                category = self.menu.categories[-1].name if self.menu.categories else None
                self.menu.doubts.append(Doubt(row, "It looks like a dish, but no price was found for it.", category))
                y = row.y
            else:
                self.menu.asides.append(
                    Aside(row, "title" if self._last is None else "text outside the list of dishes")
                )

    def _is_unpriced_name(self, row: Row) -> bool:
        last = self._last
        if last is None or reads_like_description(row.text) or not _alike(row, last.row, self._style):
            return False
        return abs(row.x0 - last.row.texts[0].x0) <= 0.8 * row.height and bool(re.search(r"[^\W\d_]{3}", row.text))

    def _section(self, row: Row, rating: float) -> None:
        name = row.text.strip(" :-–—*•.")[:100].strip()
        self.menu.categories.append(FoundCategory(name, row, rating))
        self._last = None
        self._last_y = row.y

    def _item(self, before: Sequence[Row], row: Row) -> None:
        texts = [text.text for text in row.texts]
        certainty = row.certainty
        name, description = split_name(texts[0])
        for previous, text in zip(row.texts, row.texts[1:], strict=False):
            if (
                not description
                and text.x0 - previous.x1 <= NEAR * text.height
                and not (reads_like_description(text.text) and is_capitals(name))
            ):
                name, description = split_name(f"{name} {text.text}")
            else:
                description = _joined(description, text.text)
        if before and self._takes_name_above(before, row):
            first, *rest = before
            description = _joined(" ".join(line.text for line in rest), row.text)
            name, further = split_name(first.text)
            description = _joined(further, description)
            certainty *= 0.85
        elif before:
            name = " ".join([*(line.text for line in before), name])
            certainty *= 0.9
        if not self.menu.categories:
            self.menu.categories.append(FoundCategory("Menu", None, 0.0))
        if not re.search(r"[^\W\d_]{2}", name):
            self.menu.doubts.append(Doubt(row, "A price stands here, but no readable name.", None))
            return
        if row.score < LEGIBLE:
            doubt = Doubt(row, "This looks like a dish, but can hardly be read.", self.menu.categories[-1].name)
            self.menu.doubts.append(doubt)
            return
        item = FoundItem(name, description, row, certainty)
        item.extras += [extra for line in (*before, row) for extra in _offered(line)]
        self.menu.categories[-1].items.append(item)
        self._last = item

    def _takes_name_above(self, pending: Sequence[Row], row: Row) -> bool:
        """Whether the price stands at the end of the description, so that the name is further up."""
        expected = self._style.price_on_description or self._side is Side.BELOW
        style = self._style
        if style.larger_above and row.height <= style.under_height and is_set_under(row, pending[-1]):
            return True
        return self._are_pair(pending[-1], row) or (expected and reads_like_description(row.text))

    def _are_pair(self, above: Row, row: Row) -> bool:
        """Whether the two are name and description, on a page that is set in such pairs."""
        return self._style.in_pairs and is_pair(above, row) and above.height <= LARGER * self._style.name_height

    def _aside_notes(self, rows: Sequence[Row]) -> None:
        for row in rows:
            note = bool(self.menu.categories) and self._last is None
            self.menu.asides.append(Aside(row, "note to a section" if note else "title"))


def _alike(row: Row, other: Row, style: PageStyle) -> bool:
    """Whether two lines are set alike: size and capitals."""
    ratio = row.height / max(other.height, 1.0)
    return (
        0.85 <= ratio <= 1.2
        and is_capitals(row.text) == is_capitals(other.text)
        and row.height >= 0.8 * style.name_height
    )


def _joined(first: str, second: str) -> str:
    return f"{first} {second}".strip()


def _offered(row: Row) -> list[Extra]:
    return [extra for text in row.texts for extra in text.extras]


def _amount(row: Row) -> str:
    return " / ".join(f"{price.value:g}" for price in row.prices if price.value is not None)
