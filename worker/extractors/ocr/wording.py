"""How a line is worded: in capitals, like a section's heading, like a description."""

from __future__ import annotations

import re

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
