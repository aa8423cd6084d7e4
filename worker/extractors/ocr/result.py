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
            if all(price.value is None for price in item.row.prices):
                uncertain.append(_uncertain(item.name, "The price has to be asked for.", confidence, category.name))
                continue
            made = _item(item, confidence, schema_version)
            if confidence < A_GUESS:
                reason = "It may be a dish, but too much speaks against how it was read."
                found = _uncertain(item.name, reason, confidence, category.name)
                uncertain.append(found | {"suggestedPrice": made["price"]})
                continue
            confidences.append(confidence)
            items.append(made)
        if items:
            categories.append({"name": category.name, "items": items, "confidence": category_confidence(category)})
    for doubt in menu.doubts:
        found = _uncertain(doubt.row.text, doubt.reason, round(0.5 * doubt.row.score, 3), doubt.category)
        values = [price.value for price in doubt.row.prices if price.value is not None]
        uncertain.append(found | ({"suggestedPrice": values[0]} if values else {}))
    for orphan in linked.orphans:
        values = [price.value for price in orphan.prices if price.value is not None]
        if values:
            text = " / ".join(f"{value:g}" for value in values)
            found = _uncertain(text, "A price without a name beside it.", round(0.5 * orphan.score, 3), None)
            uncertain.append(found | {"suggestedPrice": values[0]})
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


def _uncertain(text: str, reason: str, confidence: float, category: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"text": text[:LONGEST_NAME], "reason": reason, "confidence": confidence}
    return found | ({"suggestedCategory": category} if category else {})
