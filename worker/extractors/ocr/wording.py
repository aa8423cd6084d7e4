"""How a line is worded: in capitals, like a section's heading, like a description."""

from __future__ import annotations

import re

_SECTIONS = """
    starters? appeti[sz]ers? small\\s+plates mains? main\\s+courses? courses? meals? entr[ée]es? dish(?:es)?
    desserts? sweets? puddings? drinks? beverages? soft\\s+drinks hot\\s+drinks cold\\s+drinks cocktails?
    mocktails? beers? wines? coffees? teas? juices? smoothies spirits sodas? soups? salads? sandwich(?:es)?
    burgers? pizzas? pastas? sides? side\\s+(?:dishes|orders) breakfast brunch lunch dinner kids? children
    seafood fish meats? poultry grill specials? specialt(?:y|ies) favou?rites extras? add-?\\s?ons? toppings
    noodles rice curr(?:y|ies) tacos wraps bowls snacks platters? rolls sushi combos? whiske?y shakes?
    milkshakes? omelett?es? menu bakery pastr(?:y|ies) vegetarian vegan steaks? plats? hors\\s+d[’']œuvres
    boissons vins fromages viandes poissons salades potages soupes formules? accompagnements antipasti primi
    secondi contorni dolci bevande vini insalate carne pesce zuppe panini bibite birre entradas? entrantes tapas
    raciones bebidas vinos? cervezas carnes? pescados? ensaladas? sopas? bocadillos postres? platos? principales
    arroces mariscos verduras guarniciones refrescos carta vorspeisen hauptgerichte hauptspeisen nachspeisen
    nachtisch desserts getränke suppen salate beilagen fleischgerichte fischgerichte nudelgerichte weine biere
    alkoholfreie kalte warme kinderkarte speisen sobremesas peixes? pratos? entradas acompanhamentos massas
    cafés? przystawki zupy dania główne desery napoje sałatki dodatki ryby mięsa makarony pierogi kawa herbata
    piwo wino alkohole voorgerechten hoofdgerechten nagerechten bijgerechten dranken soepen forretter
    hovedretter desserter drikke förrätter huvudrätter efterrätter drycker başlangıçlar çorbalar ana\\s+yemekler
    salatalar tatlılar içecekler předkrmy polévky hlavní jídla dezerty nápoje přílohy
"""
_SECTION = "|".join(_SECTIONS.split())
_HEADINGS = re.compile(rf"\b(?:{_SECTION})\b", re.IGNORECASE)
_BESIDE_HEADING = re.compile(
    r"\b(?:and|or|of|the|our|from|with|for|all|day|hot|cold|fresh|house|classic|signature|chef'?s|today'?s|&|et|y|e|und|de|del|la|"
    r"le|les|los|di|da|i|nos|unsere|menu|lunch|small|large|main|side|soft|family|kids'?|local|draft|bottled|red|white|chicken|beef|pork|lamb)\b|[^\w\s]",
    re.IGNORECASE,
)


def is_capitals(text: str) -> bool:
    """Whether ``text`` is set in capitals (small words and units apart)."""
    letters = [character for character in text if character.isalpha()]
    return len(letters) >= 3 and sum(character.isupper() for character in letters) >= 0.85 * len(letters)


def names_a_section(text: str) -> bool:
    """Whether ``text`` is, or ends in, a word that menus use to head a section."""
    return bool(_HEADINGS.search(text)) and len(text.split()) <= 5


def names_only_a_section(text: str) -> bool:
    """Whether ``text`` is nothing but such words: ``Main courses``, but not ``Shrimp cocktail``."""
    rest, count = _HEADINGS.subn(" ", text)
    return count > 0 and not _BESIDE_HEADING.sub(" ", rest).strip()


def begins_like_description(text: str) -> bool:
    """Whether ``text`` begins as no name does: with a small letter, in brackets, with the star of a note."""
    return text[:1] in "(*" or text[:1].islower()


def reads_like_description(text: str) -> bool:
    """Whether ``text`` lists or describes rather than names: small first letter, commas, a sentence."""
    words = text.split()
    if begins_like_description(text):
        return True
    small = sum(word[:1].islower() for word in words)
    if is_capitals(text):
        return text.count(",") >= 2
    return (text.count(",") >= 1 and len(words) >= 4 and small >= 2) or (len(words) >= 7 and small >= 0.5 * len(words))
