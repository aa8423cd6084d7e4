"""Decides which line without a price heads a section."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.extractors.ocr.link import Row
from worker.extractors.ocr.style import PageStyle
from worker.extractors.ocr.wording import begins_like_description, is_capitals, names_a_section

THRESHOLD = 1.3


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a line in its column. Distances are in usual line steps; ``None`` where nothing stands."""

    gap_above: float | None
    gap_below: float | None
    priced_follows: int | None
    """How many lines further down the next priced row stands, 1 for the very next."""
    names_left: float
    names_right: float
    """Where the names begin and where the prices end in this column."""
    sizes_beside: bool = False
    """Whether headings of a column of sizes stand in the same line."""


def header_rating(row: Row, style: PageStyle, around: Surroundings) -> float:
    """How much speaks for a heading; ``THRESHOLD`` and above is one."""
    text = row.text
    words = text.split()
    if not re.search(r"[^\W\d_]{2}", text):
        return -3.0
    rating = max(-1.0, min(2.0, 4.0 * (row.height / style.name_height - 1.12)))
    if is_capitals(text) and not style.names_in_capitals:
        rating += 0.9
    elif style.names_in_capitals and not is_capitals(text):
        rating -= 0.5
    if around.gap_above is None or around.gap_above >= 1.5:
        rating += 0.6
    if around.gap_above is not None and around.gap_above >= 2.2:
        rating += 0.3
    if around.priced_follows is None:
        rating -= 1.5
    elif around.priced_follows <= 2:
        rating += 0.6
    if names_a_section(text):
        rating += 1.1
    if around.sizes_beside:
        rating += 1.5
    return rating + _text_rating(text, words) + _place_rating(row, style, around)


def _text_rating(text: str, words: Sequence[str]) -> float:
    rating = 0.3 if len(words) <= 4 else -1.2 if len(words) > 7 else 0.0
    if "," in text:
        rating -= 1.2
    if begins_like_description(text) or text[:1] in "\"'":
        rating -= 1.6
    if text.endswith("."):
        rating -= 0.8
    return rating


def _place_rating(row: Row, style: PageStyle, around: Surroundings) -> float:
    middle, half = (around.names_left + around.names_right) / 2, (around.names_right - around.names_left) / 2
    indented = row.x0 - around.names_left > 1.5 * style.name_height
    centred = half > 0 and abs((row.x0 + row.x1) / 2 - middle) <= 0.12 * half + 0.5 * style.name_height
    return 0.7 if indented and centred else 0.0
