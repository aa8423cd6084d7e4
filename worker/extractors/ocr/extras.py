"""Extras offered inside a line of text: ``Add bacon + $3 // avocado + $2``. They are no dishes of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.extractors.ocr.prices import Price

_OFFER = re.compile(
    r"\b(?:add(?:\s+(?:an?|on|extra))?|extra|additional|substitute|sub|upgrade(?:\s+to)?|make\s+it|supplement|suppl[ée]ment|"
    r"with|avec|con|mit)\b\s*:?\s*",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"//|[/|;,•·]|\.\s|\s[-–—]\s|[()]|\bor\b")
_LONGEST_NAME = 4


@dataclass(frozen=True, slots=True)
class Extra:
    """Something that can be added to a dish for ``price``; ``None`` where no number is given."""

    name: str
    price: float | None


def offers_extras(text: str, prices: Sequence[Price]) -> bool:
    """Whether the prices in ``text`` are surcharges that a line of description mentions, not those of dishes."""
    if not prices or not prices[0].added:
        return False
    before = text[: prices[0].start].strip()
    if not before:
        return False
    return len(prices) > 1 or before[:1].islower() or len(before.split()) > _LONGEST_NAME or ". " in before


def extras_in(text: str, prices: Sequence[Price]) -> tuple[Extra, ...]:
    """What ``text`` offers for each of ``prices``; a price without a name before it offers nothing."""
    extras, start = [], 0
    for price in prices:
        extra = extra_in(text[start : price.start], price.value)
        if extra is not None:
            extras.append(extra)
        start = price.end
    return tuple(extras)


def extra_in(text: str, price: float | None) -> Extra | None:
    """The extra that ``text`` offers at its end for ``price``; ``None`` where it names nothing."""
    last = _BETWEEN.split(text.rstrip(" +/|;,•·.:-–—("))[-1]
    name = _OFFER.split(last)[-1].strip(" +:.-–—*")
    return Extra(name, price) if re.search(r"[^\W\d_]{2}", name) else None
