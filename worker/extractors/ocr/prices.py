"""Prices in a line of text: what is one, what it is worth, and where in the text it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from worker.extractors.ocr.currency import MARK, currency_of

LARGEST = 10_000_000


class Evidence(IntEnum):
    """What makes a number a price; a higher one is stronger."""

    WHOLE = 1
    """A bare whole number: a price only on pages that write prices so."""
    DECIMAL = 2
    """Two decimals, ``12k`` or ``12,-``."""
    MARKED = 3
    """With a currency mark."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price in ``text[start:end]``. ``value`` is ``None`` for a price the guest has to ask for (``MP``)."""

    value: float | None
    start: int
    end: int
    evidence: Evidence
    currency: str | None = None
    repaired: bool = False
    """Characters were read as others, for example ``I.40`` as 1.40."""
    added: bool = False
    """Written with a plus sign: a surcharge."""
    cents: bool = False
    """Written with two decimals."""


_SPACED = r"\d{1,3}(?:\s\d{3})+"
_NUMBER = (
    # A space groups thousands only before a mark, or where nothing but the number stands there.
    rf"(?<![^\W_]){_SPACED}(?=\s?(?:Ft|kr|K[čc]|z[łl]|HUF|CZK|PLN|SEK|NOK|DKK|€|₫|đ|VND|Rp|RSD)(?![^\W\d_]))|"
    rf"(?:^|(?<=[-–—:.]\s)){_SPACED}(?=\W*$)|"
    r"\d{1,3}(?:[.,'’]\d{3})+(?:[.,]\d{2})?|\d{1,4}\s?[.,]\s?\d{2}|\d{1,4}[.,]\d|\d{1,6}|(?<!\d)[.,]\d{2}"
)
_UNIT = (
    r"oz|ounces?|ml|cl|dl|l|lt|ltr|litres?|liters?|g|gr|grams?|kg|lbs?|pcs?|pieces?|inch(?:es)?|in|cm|mm|mins?|minutes?|"
    r"am|a\.m|pm|p\.m|h|hrs?|hours?|k?cal|kj|people|persons?|ppl|pax|years?|st|nd|rd|th|x|ct|pack|pk|abv|proof|st\.|"
    r"stück|piezas|pezzi|pièces?|days?|items?|toppings?|slices?|types?|kinds?"
)
_PRICE = re.compile(
    rf"""
    (?P<plus>\+\s?)?
    (?:(?:(?P<before>{MARK})|(?<![^\W_])E(?=\s?\d+[.,]\d\d))\s?)?
    (?<![\d:#]) (?<!\d[.,]) (?P<number>{_NUMBER}) (?!\d) (?![.,:]\d)
    (?P<thousand>\s?k\b)?
    (?P<dash>\s?[.,:][-–—=](?!\d))?
    (?:\s?(?:(?P<after>{MARK})|(?P<like>E(?=\W*$)))(?!\d))?
    (?P<unit>\s?(?:{_UNIT})\b | \s?(?:%|°|"|″|”|'') )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ASK = re.compile(r"\bM\.?P\.?(?=\s*$)|\b(?:market|seasonal|daily)\s+price\b|\ba\.?q\.?(?=\s*$)", re.IGNORECASE)
_NO_PRICE = re.compile(
    r"""
    \+\d[\d\s().-]{7,} | (?<![\d.,])0\d[\d\s/()-]{5,}\d                                      # phone
    | \(\d{2,4}\)\s?\d{3,4}[\s.-]?\d{3,4} | \b\d{3}[-.\s]\d{3}[-.]\d{4}\b | \b\d{3}-\d{4}\b  # phone
    | \b\d{1,2}[:.h]\d{2}\s?(?:am|pm|a\.m|p\.m|uhr) | \b\d{1,2}:\d{2}\b                              # time of day
    | \b(?:january|february|march|april|may|june|july|august|september|october|november|december
        |jan|feb|aug|sept?|oct|nov|dec)\.?\s+\d{1,2}\b                                            # date
    | \b1/[2-8]\b | \b\d{1,2}/\d{1,2}/\d{2,4}\b                                           # fraction, date
    | (?:since|est\.?|established|©|copyright|depuis|desde|dal|seit)\s*(?:1[89]|20)\d\d               # year
    """,
    re.IGNORECASE | re.VERBOSE,
)
_HOURS = re.compile(r"\b\d{1,2}[.:]\d{2}\s?(?:-|–|—|to|bis|à|a)\s?\d{1,2}[.:]\d{2}\b", re.IGNORECASE)
_TIME = r"(?:[01]?\d|2[0-4])[.:h][0-5][05]"
_FROM_TO = re.compile(
    rf"(?<![\d.,:]){_TIME}\s?(?:-|–|—|až|do|till?|bis|to|a|à|às|alle|—)\s?{_TIME}(?![\d.,:])", re.IGNORECASE
)
"""Two times of day, of which the later one stands behind."""
_OPENING = re.compile(
    r"\b(?:open|hours?|daily|(?:mon|tue|wed|thu|fri|sat|sun)\w{0,6}|ouvert|abierto|aperto|geöffnet|lun|mar|mer|jeu|ven|"
    r"sam|dim|horario|orari|täglich|until|from)\b",
    re.IGNORECASE,
)
# A number in which some digits were read as the letters that look like them.
_MISREAD = re.compile(
    r"(?<![^\W_])(?P<mark>[$€£]\s?|[Ss](?=\d))?(?P<whole>[\dOoIl|SBZ]{1,3})(?P<point>\s?[.,]\s?)(?P<part>[\dOoIl|SBZ]{2})(?![^\W_])"
)
# Before a bare whole number: it says how many, not how much.
_COUNTS = re.compile(
    r"\b(?:serves|for|feeds|pour|für|para|choice\s+of|choose(?:\s+any)?|any|pick|table|party\s+of|page|n[or]\.?|nº)\s*$",
    re.IGNORECASE,
)
_DIGITS = str.maketrans("OoIl|SBZ", "00111582")


def find_prices(text: str) -> list[Price]:
    """Every price in ``text``, from left to right, without overlaps. Places are those of ``text`` itself."""
    mended = _mend(_blank(text))
    prices = [price for match in _PRICE.finditer(mended) if (price := _price(match, text, mended)) is not None]
    prices.extend(Price(None, ask.start(), ask.end(), Evidence.MARKED) for ask in _ASK.finditer(text))
    return sorted(prices, key=lambda price: price.start)


def _blank(text: str) -> str:
    """``text`` with what looks like a price and is none overwritten, so that places stay the same."""
    text = _FROM_TO.sub(
        lambda match: "\N{BULLET}" * len(match.group()) if is_hours(match.group()) else match.group(), text
    )
    if _OPENING.search(text):
        text = _HOURS.sub(lambda match: "\N{BULLET}" * len(match.group()), text)
    return _NO_PRICE.sub(lambda match: "\N{BULLET}" * len(match.group()), text)


def names_hours(text: str) -> bool:
    """Whether ``text`` says from when to when something is open, in whatever language."""
    return any(is_hours(found.group()) for found in _FROM_TO.finditer(text))


def is_hours(text: str) -> bool:
    """Whether the two numbers in ``text`` are times of a day with hours between them, not a range of prices."""
    start, end = (int(hours) + int(minutes) / 60 for hours, minutes in re.findall(r"(\d{1,2})[.:h](\d\d)", text))
    return start >= 5 and (end - start >= 2 or end <= 4)


def _mend(text: str) -> str:
    def mended(match: re.Match[str]) -> str:
        mark, whole, point, part = match.group("mark") or "", *match.group("whole", "point", "part")
        if not mark and not any(character.isdigit() for character in whole + part):
            return match.group()
        return mark.replace("S", "$").replace("s", "$") + whole.translate(_DIGITS) + point + part.translate(_DIGITS)

    return _LONE_S.sub("$", _MISREAD.sub(mended, text))


_LONE_S = re.compile(r"(?<![^\W_])S(?=\d{1,3}(?:[.,]\d{1,2})?$)")


def _price(match: re.Match[str], original: str, mended: str) -> Price | None:
    if match.group("unit"):
        return None
    mark = match.group("before") or match.group("after")
    value, has_decimals = _value(match.group("number"))
    if match.group("thousand"):
        value *= 1000
    if value >= LARGEST:
        return None
    if mark or match.group("like"):  # a euro or pound sign is easily read as E
        evidence = Evidence.MARKED
    elif has_decimals or match.group("thousand") or match.group("dash"):
        evidence = Evidence.DECIMAL
    else:
        evidence = Evidence.WHOLE
        if _is_part_of_a_word(mended, *match.span("number")) or _COUNTS.search(mended[: match.start("number")]):
            return None
    start, end = match.span()
    repaired = original[start:end] != mended[start:end]
    return Price(
        value,
        start,
        end,
        evidence,
        currency_of(mark) if mark else None,
        repaired,
        bool(match.group("plus")),
        _has_cents(match.group("number")),
    )


def _has_cents(number: str) -> bool:
    return re.search(r"[.,]\s?\d{2}$", number) is not None


def _is_part_of_a_word(text: str, start: int, end: int) -> bool:
    before, after = text[:start][-1:], text[end:][:1]
    # Where the space was lost, nothing but a price is written with one decimal, or with two digits, behind a word.
    if not text[end:].strip() and (
        (re.fullmatch(r"\d{1,3}[.,]\d", text[start:end]) and re.search(r"[a-z]{3}$", text[:start]))
        or (re.fullmatch(r"[1-9]\d{1,2}", text[start:end]) and re.search(r"(?<!\w)[^\W\d_]{3,}$", text[:start]))
    ):
        return False
    if before == "(" and after == ")":  # a count: wings (6)
        return True
    if "/" in (before, after):  # 8/15 are two sizes, and/8 is not a price
        return not (text[: start - 1][-1:].isdigit() or text[end + 1 :][:1].isdigit())
    joined_before = before.isalnum() or before in {"_", ".", "'", "#", "&"} or (before == "-" and start > 1)
    return joined_before or after.isalnum() or after in {"-", "_"}


def _value(number: str) -> tuple[float, bool]:
    """The value of a number, and whether it is written with two decimals or groups of thousands."""
    compact = re.sub(r"[\s'’]", "", number)
    parts = re.split(r"[.,]", compact)
    if len(parts) == 1:
        return float(parts[0]), False
    if len(parts[-1]) == 3:  # 12.000 and 1,250 group thousands; no menu prints three decimals
        return float("".join(parts)), True
    return float("".join(parts[:-1]) or "0") + float(parts[-1]) / 10 ** len(parts[-1]), len(parts[-1]) == 2
