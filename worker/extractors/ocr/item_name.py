"""Splits the text before a price into the dish's name and a description on the same line."""

from __future__ import annotations

import re

from worker.extractors.ocr.wording import is_capitals

_NUMBERING = re.compile(r"^(?:\(?[A-Z]?\d{1,3}[.):]|#\s?\d{1,3}\b|No\.?\s?\d{1,3}\b)\s+(?=\D)")
_JOINING = frozenset(
    ["or", "and", "with", "of", "in", "on", "the", "ou", "et", "de", "la", "y", "con", "e", "o", "und", "oder", "mit"]
)
_DIETS = re.compile(r"(?<=\w)(?:\s+(?:v|vg|ve|vgn|gf|g|df|n|nf))+$")
"""Marks for diets behind a name, as in ``Garlic bread v vg``."""


def split_name(text: str) -> tuple[str, str]:
    """Name and description of ``text``; the description is empty when the line is but a name."""
    text = _DIETS.sub("", _NUMBERING.sub("", text)).strip()
    for split in (_at_end_of_capitals, _at_dash, _at_bracket):
        name, description = split(text)
        if description:
            return name, description
    return text, ""


def _at_end_of_capitals(text: str) -> tuple[str, str]:
    words = text.split()
    count = 0
    while count < len(words) and (is_capitals(words[count]) or not any(c.islower() for c in words[count])):
        count += 1
    while count and not any(character.isalpha() for character in words[count - 1]):
        count -= 1  # a dash or a number belongs to what follows
    rest = words[count:]
    if count == 0 or len(rest) < 2 or not is_capitals(" ".join(words[:count])):
        return text, ""
    if not any(word[:1].islower() for word in rest) and "," not in text:
        return text, ""
    if rest[0].casefold() in _JOINING and is_capitals(" ".join(rest[1:])):
        return text, ""  # CHEESE STEAK or CHICKEN STEAK is one name
    return _clean(" ".join(words[:count])), _clean(" ".join(rest))


def _at_dash(text: str) -> tuple[str, str]:
    found = re.search(r"\s[-–—]\s|\s[–—](?=[^\W\d_])|:\s", text)
    if not found:
        return text, ""
    name, rest = text[: found.start()], text[found.end() :]
    words = rest.split()
    describes = "," in rest or any(word.isalpha() and word.islower() for word in words) or len(words) >= 4
    describes = describes or (is_capitals(name) and not is_capitals(rest) and rest[:1].isupper())
    if not describes or len(name.split()) > 6 or not re.search(r"\w{3}", name):
        return text, ""
    return _clean(name), _clean(rest)


def _at_bracket(text: str) -> tuple[str, str]:
    found = re.search(r"\s\(", text)
    if not found or len(text[found.end() :].split()) < 4:
        return text, ""
    return _clean(text[: found.start()]), _clean(text[found.end() :].rstrip(")"))


def _clean(text: str) -> str:
    return text.strip(" -–—:;,.")
