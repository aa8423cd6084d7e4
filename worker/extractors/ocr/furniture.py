"""Tells a page's furniture from its dishes: addresses, hours, notes on tax and allergies, slogans."""

from __future__ import annotations

import re
from difflib import get_close_matches

from worker.extractors.ocr.prices import names_hours

_KINDS = {
    "contact": r"""
        https?:// | www\b | \w\.(?:com|net|org|co\.uk|fr|it|es|de|eu|io|menu)\b | \S+@\w+\.\w+ | (?:^|\s)@\w+ | \#\w{4,}
        | \b(?:tel|tél|tlf|phone|fax|whatsapp|t[eé]l[eé]ph?[oó]n\w*|telefo\w+|đt)\b\W* [\d(+]
        | (?<![\d.,])0\d[\d\s/()-]{5,}\d\b | \bcall\s+(?:us|now|[\d(])
        | \(?\b\d{3}\)?[-.\s]\d{3}[-.\s]\d{4}\b | \bwi-?fi\b | \bfollow\s+us\b | \b(?:facebook|instagram|twitter)\b
        | \b\d{1,5}\s+(?:[A-ZÀ-Ý]\w*\.?\s+){1,3}(?:street|st|road|rd|avenue|ave|lane|drive|dr|blvd|square|highway|hwy)\b
        | \b(?:suite|ste)\s+\d+ | \b[A-Z]{2}\.?\s\d{5}\b""",
    "opening hours": r"""
        \b(?:opening|business)\s+(?:hours|times)\b | \bopen\s+(?:daily|every|from|mon|tue|wed|thu|fri|sat|sun|\d)
        | \bclosed\s+(?:on\s+)?(?:mon|tue|wed|thu|fri|sat|sun) | \b\d{1,2}(?::\d\d)?\s?[ap]\.?m\b
        | \b(?:mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)(?:day)?\.?\s*(?:-|–|to|&)\s*(?:mon|tue|wed|thu|fri|sat|sun)
        | \b(?:ouvert|abierto|aperto|geöffnet|horario|horaires|orari|öppet|åbent|otevřeno
        |otvoreno|nyitva|deschis|geopend)\b
        | \b(?:ferm[ée]|cerrado|encerrado|chiuso|geschlossen|gesloten|zavřeno|nieczynne
        |lukket|stängt|zatvoreno)\b""",
    "note on prices": r"""
        \b(?:service\s+charge|gratuity|minimum\s+(?:card|charge|spend|order)|surcharge|subject\s+to|incl(?:\.|udes?|uding)
        \s+(?:vat|tax|gst|service)|\bvat\b|all\s+prices|prices\s+(?:are|in|do|may|include)|sales\s+tax|plus\s+tax)
        | \b(?:servicio|iva|i\.v\.a|mwst|tva|coperto|service\s+(?:non\s+)?compris|prix\s+nets?|moms|btw|dph
        |pdv|ddv|kdv|áfát?|pdv-om|podatek|alv)\b | \b(?:alle|tous|todos|tutti|wszystkie|všechny|sve)
        \s+(?:preise|priser|prijzen|prix|los\s+precios|i\s+prezzi|os\s+preços|
        ceny|cijene)\b | ^\W*(?:ceny|áraink|fiyat\w+|prețurile|giá)\b""",
    "note on allergies": r"""
        \b(?:all|al)[eéè]rg | \balerji | \bintoleran | dị\s+ứng
        | \bfood-?borne\b | \bundercooked\b | \bconsuming\s+raw\b | \bgluten[\s-]free\b.*\bvegan\b
        | \bvegan\b.*\bgluten | \bV\W+(?:=|:|-)?\s*vegetarian\b | \bvegetarian\b.*\bvegan\b""",
    "copyright": r"© | \bcopyright\b | \ball\s+rights\s+reserved\b",
    "slogan": r"""
        \b(?:since|est\.?|established|depuis|desde|dal|seit|sedan|siden|sinds
        |od(?:\s+roku)?|din|từ(?:\s+năm)?)\W*
        (?:1[6-9]|20)\d\d\b | \b(?:1[6-9]|20)\d\d\s?(?:óta\b|[’']\w{2,3}\s+beri|roku\b)
        | \bfamily[\s-]owned\b | \bwelcome\b
        | \bthank\s+you\b | \bbon\s+app | \bbuen\s+provecho\b | \bguten\s+appetit\b | \bbuon\s+appetito\b
        | \bask\s+(?:your|our|the)\s+(?:server|waiter|staff) | \bplease\s+(?:ask|inform|notify|tell|call|note|allow|see)
        | \b(?:we\s+(?:cater|accept|deliver|use|are|have|only)|our\s+(?:food|dishes|kitchen|menu|team|chef))\b
        | \bcater(?:ing)?\s+(?:for|available)\b | \bwood[\s-]fired\s+and\b | \blocal(?:ly)?\s+(?:produce|sourced)\b
        | \b(?:credit|debit)\s+cards?\b | \b(?:take\s?-?\s?(?:out|away)|delivery)\s+(?:available|menu|orders?)\b""",
}
_PATTERNS = {kind: re.compile(pattern, re.IGNORECASE | re.VERBOSE) for kind, pattern in _KINDS.items()}
_TELLING = [
    "minimum",
    "payment",
    "service",
    "charge",
    "gratuity",
    "surcharge",
    "included",
    "including",
    "allergies",
    "allergens",
    "vegetarian",
    "opening",
    "wednesday",
    "thursday",
    "saturday",
    "copyright",
    "established",
]
"""Long words of the patterns, which are known for what they are with a letter or two misread."""
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
SIMILAR = 0.84


def furniture_kind(text: str) -> str | None:
    """What kind of page furniture ``text`` is, or ``None`` for what may be a dish, a description or a heading."""
    if names_hours(text):
        return "opening hours"
    text = _LONG_WORD.sub(_as_meant, text)
    for kind, pattern in _PATTERNS.items():
        if pattern.search(text):
            return kind
    return None


def _as_meant(word: re.Match[str]) -> str:
    like = [other for other in _TELLING if abs(len(other) - len(word[0])) <= 1]
    return next(iter(get_close_matches(word[0].casefold(), like, 1, SIMILAR)), word[0])
