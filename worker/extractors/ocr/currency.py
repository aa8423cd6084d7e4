"""Currency marks as menus print them, and which currency a page means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from worker.extractors.ocr.language import likely_currency

DEFAULT = "USD"
_SHARED = {"SEK": ("SEK", "DKK"), "CNY": ("CNY", "TWD"), "JPY": ("JPY", "CNY")}
"""``kr``, ``元`` and ``¥`` mean either; the language says which."""

_MARKS = {
    "US$": "USD", "AU$": "AUD", "A$": "AUD", "CA$": "CAD", "C$": "CAD", "NZ$": "NZD", "S$": "SGD", "HK$": "HKD",
    "NT$": "TWD", "MX$": "MXN", "R$": "BRL", "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "JPY", "₹": "INR",
    "₩": "KRW", "₫": "VND", "฿": "THB", "₺": "TRY", "₽": "RUB", "₱": "PHP", "₪": "ILS", "₴": "UAH", "₦": "NGN",
    "元": "CNY", "円": "JPY", "원": "KRW", "zł": "PLN", "Kč": "CZK", "Rp": "IDR", "RM": "MYR", "Rs": "INR",
    "Euro": "EUR", "Fr": "CHF", "kr": "SEK", "Ft": "HUF", "lei": "RON", "TL": "TRY",
    "đ": "VND",
}  # fmt: skip
_CODES = (
    "USD EUR GBP CHF INR THB VND IDR MYR SGD HKD TWD AUD NZD CAD SEK NOK DKK PLN CZK HUF RON TRY JPY KRW CNY BRL MXN"
)
_BY_MARK = {mark.casefold(): code for mark, code in _MARKS.items()} | {code.casefold(): code for code in _CODES.split()}
_WORDS = sorted((mark for mark in (*_MARKS, *_CODES.split())), key=len, reverse=True)


def _alternative(mark: str) -> str:
    escaped = re.escape(mark)
    if mark in {"Rp", "Rs", "Fr", "kr"}:
        escaped += r"\.?"
    starts = r"(?<![^\W\d_])" if mark[0].isalpha() else ""
    ends = r"(?![^\W\d_])" if mark[-1].isalpha() else ""
    return f"{starts}{escaped}{ends}"


MARK = "(?:" + "|".join(_alternative(mark) for mark in _WORDS) + ")"
"""A regular expression for one mark, to be used without regard to case."""


def currency_of(mark: str) -> str:
    """The ISO 4217 code that ``mark`` most often means; raises ``KeyError`` for anything ``MARK`` does not match."""
    return _BY_MARK[mark.strip().rstrip(".").casefold()]


def page_currency(marked: Iterable[str], texts: Iterable[str]) -> tuple[str, float]:
    """The page's currency and how sure that is, 0..1.

    ``marked`` are the currencies of the prices that carry a mark; they decide. Without any, a currency named in the
    other ``texts`` does; without that too it is that of the language's country or else US dollars, with a confidence
    that says it is an assumption.
    """
    texts = list(texts)
    votes = Counter(marked)
    if votes:
        code, count = votes.most_common(1)[0]
        if code in _SHARED:
            code = likely_currency(texts, _SHARED[code]) or code
        return code, count / votes.total()
    named = Counter(
        currency_of(found.group()) for text in texts for found in re.finditer(MARK, text) if found.group() not in _WEAK
    )
    if named:
        code, count = named.most_common(1)[0]
        return code, 0.6 * count / named.total()
    spoken = likely_currency(texts)
    return (spoken, 0.4) if spoken is not None else (DEFAULT, 0.2)


_WEAK = {"Fr", "Fr.", "kr", "lei", "TL", "RM", "Rs", "Rp", "đ", "Ft", "元"}
"""Also ordinary letters of a menu's text; they mean money only beside a number."""
