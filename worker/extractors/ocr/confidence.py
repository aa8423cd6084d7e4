"""How sure the extractor is: from what the engine says of its reading and how clear the layout was."""

from __future__ import annotations

import math

from worker.extractors.ocr.headers import THRESHOLD
from worker.extractors.ocr.menu import FoundCategory, FoundItem, FoundMenu
from worker.extractors.ocr.prices import Evidence


def item_confidence(item: FoundItem, page: float) -> float:
    """That name and price of the item are right. ``page`` is ``page_regularity`` of its page."""
    row = item.row
    reading = row.score * min(piece.score for piece in row.price_pieces)
    price = row.prices[0]
    kind = {Evidence.MARKED: 1.0, Evidence.DECIMAL: 0.99, Evidence.WHOLE: 0.93}[price.evidence]
    if price.repaired:
        kind *= 0.9
    if len(row.prices) > 1:
        kind *= 0.9
    words = len(item.name.split())
    shape = 1.0 if words <= 6 else max(0.5, 1.0 - 0.08 * (words - 6))
    if item.name[:1].islower():
        shape *= 0.7
    return _share(reading**2 * kind * item.certainty * shape * page)


def category_confidence(category: FoundCategory) -> float:
    """That the items stand under this heading: how clearly it is one."""
    if category.header is None:
        return 0.3
    return _share(category.header.score * (1.0 - 0.5 * math.exp(THRESHOLD - category.rating)))


def page_regularity(menu: FoundMenu, orphans: int) -> float:
    """How well the page as a whole was understood: prices without names and undecided lines speak against it."""
    items = sum(len(category.items) for category in menu.categories)
    unsolved = orphans + len(menu.doubts)
    stray = sum(aside.context == "text outside the list of dishes" for aside in menu.asides)
    return items / (items + unsolved + 0.3 * stray) if items else 0.0


def overall_confidence(confidences: list[float], page: float) -> float:
    """For the whole result: the items' mean, lowered by what was left undecided."""
    return _share(sum(confidences) / len(confidences) * (0.5 + 0.5 * page)) if confidences else 0.0


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 3)
