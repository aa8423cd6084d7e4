"""How sure the extractor is: from what the engine says of its reading and how clear the layout was."""

from __future__ import annotations

import math
from statistics import median

from worker.extractors.ocr.headers import THRESHOLD
from worker.extractors.ocr.menu import FoundCategory, FoundItem, FoundMenu

SURE = 4.8
"""The log-odds of an item about which nothing speaks against it."""
MISREAD = 6.1
"""How much the root of the share of uncertain reading in a name takes from the log-odds; the others below likewise."""
LINK = 5.1
UNSOLVED = 9.1
OTHER_SIZE = 7.9
LARGEST_DEVIATION = 0.6


def item_confidence(item: FoundItem, page: float, usual_height: float) -> float:
    """That name and price of the item are right.

    ``page`` is ``page_regularity`` of its page, ``usual_height`` how high the names on it mostly are. The four weights
    are fitted to menus whose items are known, drawn and photographed ones, so that of the items with 0.9 nine in ten
    are right.
    """
    deviation = abs(math.log(item.row.height / usual_height)) if usual_height > 0 else 0.0
    odds = SURE - MISREAD * math.sqrt(max(0.0, 1.0 - item.row.score))
    odds -= LINK * (1.0 - min(1.0, item.certainty)) + UNSOLVED * (1.0 - page)
    odds -= OTHER_SIZE * min(LARGEST_DEVIATION, deviation)
    return _share(1.0 / (1.0 + math.exp(-odds)))


def usual_name_height(menu: FoundMenu) -> float:
    """The median height of the dishes' lines; zero without a dish."""
    heights = [item.row.height for category in menu.categories for item in category.items]
    return median(heights) if heights else 0.0


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
    """For the whole result: the share of the dishes that it gives right, of those it gives and those it lacks."""
    if not confidences or page <= 0:
        return 0.0
    return _share(sum(confidences) / len(confidences) * 2.0 / (1.0 + 1.0 / page))


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 3)
