"""How the text of a page looks: capitals, length, and whether it reads like a name, a description or a heading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from worker.extractors.ocr.link import Row

_HEADINGS = re.compile(
    r"""\b(?:starters?|appeti[sz]ers?|small\s+plates|mains?|main\s+courses?|entr[ée]es?|plats?|desserts?|dolci|postres?|sweets?
    |drinks?|beverages?|soft\s+drinks|hot\s+drinks|cocktails?|mocktails?|beers?|wines?|coffees?|teas?|juices?|smoothies|spirits
    |soups?|salads?|sandwich(?:es)?|burgers?|pizzas?|pastas?|sides?|side\s+(?:dishes|orders)|breakfast|brunch|lunch|dinner|kids?
    |children|seafood|fish|meats?|grill|specials?|specialt(?:y|ies)|favou?rites|antipasti|primi|secondi|contorni|bevande|vini
    |entradas?|entrantes|tapas|raciones|bebidas|vinos?|cervezas|carnes?|pescados?|ensaladas?|sopas?|bocadillos|boissons|vins
    |fromages|viandes|poissons|salades|potages|vorspeisen|hauptgerichte|nachspeisen|getränke|suppen|salate|beilagen|extras?
    |add-?ons?|toppings|noodles|rice|curr(?:y|ies)|tacos|wraps|bowls|snacks|platters?|rolls|sushi|combos?|whiske?y|menu)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def is_capitals(text: str) -> bool:
    """Whether ``text`` is set in capitals (small words and units apart)."""
    letters = [character for character in text if character.isalpha()]
    return len(letters) >= 3 and sum(character.isupper() for character in letters) >= 0.85 * len(letters)


def names_a_section(text: str) -> bool:
    """Whether ``text`` is, or ends in, a word that menus use to head a section."""
    return bool(_HEADINGS.search(text)) and len(text.split()) <= 5


def reads_like_description(text: str) -> bool:
    """Whether ``text`` lists or describes rather than names: small first letter, commas, a sentence."""
    words = text.split()
    if text[:1] in "(*" or text[:1].islower():
        return True
    small = sum(word[:1].islower() for word in words)
    if is_capitals(text):
        return text.count(",") >= 2
    return (text.count(",") >= 1 and len(words) >= 4 and small >= 2) or (len(words) >= 7 and small >= 0.5 * len(words))


@dataclass(frozen=True, slots=True)
class PageStyle:
    """The usual look of the names of priced dishes on a page. Lengths in straightened pixels."""

    name_height: float
    text_height: float
    names_in_capitals: bool
    step: float
    """From one line to the next within an item or list."""
    price_on_description: bool
    """Whether prices mostly stand in the line of the description, with the name above."""


def page_style(rows: Sequence[Row], blocks: Sequence[Sequence[Row]]) -> PageStyle:
    """What the priced rows of a page have in common; ``rows`` must not be empty."""
    priced = [row for row in rows if row.price_pieces] or list(rows)
    name_height = median(row.height for row in priced)
    steps = [
        after.y - before.y
        for block in blocks
        for before, after in pairwise(block)
        if 0.5 * name_height < after.y - before.y < 4 * name_height
    ]
    capitals = sum(is_capitals(row.text) for row in priced) > 0.5 * len(priced)
    below = sum(reads_like_description(row.text) for row in priced) >= 0.4 * len(priced)
    step = sorted(steps)[len(steps) // 3] if steps else 1.3 * name_height
    return PageStyle(name_height, median(row.height for row in rows), capitals, step, below)
