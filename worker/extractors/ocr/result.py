"""Turns what was found into a ``stage1`` or ``stage2`` result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.extractors.ocr.confidence import (
    category_confidence,
    item_confidence,
    overall_confidence,
    page_regularity,
    usual_name_height,
)
from worker.extractors.ocr.currency import page_currency
from worker.extractors.ocr.extras import Extra
from worker.extractors.ocr.link import Linked, Row
from worker.extractors.ocr.menu import FoundItem, FoundMenu
from worker.extractors.ocr.prices import Price

A_GUESS = 0.1
"""Of the items with less confidence hardly one is right."""
LONGEST_NAME = 200
LONGEST_DESCRIPTION = 500


def build_result(menu: FoundMenu, linked: Linked, schema_version: str) -> tuple[dict[str, Any], float]:
    """The result and the confidence of the whole.

    Items without a number for a price, and those that are hardly more than a guess, go to ``uncertainItems``.
    """
    page = page_regularity(menu, len(linked.orphans))
    height = usual_name_height(menu)
    uncertain: list[dict[str, Any]] = []
    categories = []
    confidences: list[float] = []
    for category in menu.categories:
        items = []
        for item in category.items:
            confidence = item_confidence(item, page, height)
            values = _values(item.row.prices)
            if not values:
                uncertain.append(_uncertain(item.name, "The price has to be asked for.", confidence, category.name))
            elif confidence < A_GUESS:
                reason = "It may be a dish, but too much speaks against how it was read."
                uncertain.append(_uncertain(item.name, reason, confidence, category.name, values))
            else:
                confidences.append(confidence)
                items.append(_item(item, confidence, schema_version))
        if items:
            categories.append({"name": category.name, "items": items, "confidence": category_confidence(category)})
    for doubt in menu.doubts:
        confidence = round(0.5 * doubt.row.score, 3)
        values = _values(doubt.row.prices)
        uncertain.append(_uncertain(doubt.row.text, doubt.reason, confidence, doubt.category, values))
    for orphan in linked.orphans:
        if values := _values(orphan.prices):
            text = " / ".join(f"{value:g}" for value in values)
            confidence = round(0.5 * orphan.score, 3)
            uncertain.append(_uncertain(text, "A price without a name beside it.", confidence, None, values))
    currency, certainty = _currency(linked)
    if certainty < 0.5:
        reason = f"The page names no currency; {currency} is an assumption."
        uncertain.append({"text": currency, "reason": reason, "confidence": round(certainty, 3)})
    result = {
        "menu": {"categories": categories},
        "currency": currency,
        "uncertainItems": uncertain,
        "superfluousText": [
            {"text": aside.row.text, "context": aside.context, "confidence": round(aside.row.score, 3)}
            for aside in menu.asides
        ],
    }
    return result, overall_confidence(confidences, page)


def _currency(linked: Linked) -> tuple[str, float]:
    rows: Sequence[Row] = linked.rows
    prices = [price for row in rows for price in row.prices] + [p for piece in linked.orphans for p in piece.prices]
    return page_currency((price.currency for price in prices if price.currency), (row.text for row in rows))


def _item(item: FoundItem, confidence: float, schema_version: str) -> dict[str, Any]:
    prices = [
        (price, label) for price, label in zip(item.row.prices, item.row.labels, strict=True) if price.value is not None
    ]
    found: dict[str, Any] = {"name": item.name[:LONGEST_NAME].strip(), "price": prices[0][0].value}
    if item.description:
        found["description"] = item.description[:LONGEST_DESCRIPTION].strip()
    found["confidence"] = confidence
    if schema_version == "stage2" and len(prices) > 1:
        found["variants"] = [
            ({"size": label} if label else {}) | {"price": price.value, "confidence": confidence}
            for price, label in prices
        ]
    if schema_version == "stage2" and item.extras:
        found["modifierGroups"] = [_extras(item.extras)]
    return found


def _extras(extras: Sequence[Extra]) -> dict[str, Any]:
    options = [
        {"name": extra.name[:LONGEST_NAME]} | ({"priceDelta": extra.price} if extra.price is not None else {})
        for extra in extras
    ]
    return {"name": "Extras", "type": "multi", "required": False, "options": options}


def _values(prices: Sequence[Price]) -> list[float]:
    """Without those that have to be asked for."""
    return [price.value for price in prices if price.value is not None]


def _uncertain(
    text: str, reason: str, confidence: float, category: str | None, values: Sequence[float] = ()
) -> dict[str, Any]:
    found: dict[str, Any] = {"text": text[:LONGEST_NAME], "reason": reason, "confidence": confidence}
    if category:
        found["suggestedCategory"] = category
    if values:
        found["suggestedPrice"] = values[0]
    return found
