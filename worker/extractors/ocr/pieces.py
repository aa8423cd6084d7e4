"""Cuts straightened lines into pieces of text and pieces that are prices, by how the page as a whole writes prices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.extractors.ocr.extras import Extra, extras_in, offers_extras
from worker.extractors.ocr.prices import Evidence, Price, find_prices
from worker.extractors.ocr.text_line import Line, Word

WIDE_GAP = 2.4
"""Two words further apart than so many line heights belong to different pieces."""
_LEADER = re.compile(r"^(?:[.·…•_‥⋯~*=:,'`]+|[-–—.·_]{2,})$")
_VOLUME = re.compile(r"(0[.,][1-9]5?)\s?[1lI|]")
"""A volume of which the engine took the l for a one."""
_LIKE_EUROS = re.compile(r"[CG]\s?\d{1,3}(?:[.,]\d{1,2})?")
"""Prices of which the engine took the euro sign for a letter."""
FEWEST_EUROS = 3
_SIZE_WORDS = """
    sm s m l xl med lg small medium large regular reg half full glass gls bottle btl cup bowl pint single double triple
    each ea person persons people pp kg lb pc pcs piece pieces oz ml cl dozen doz slice whole size serves serving
    tall short shot pot carafe jug can draft draught petit grand klein groß gross copa botella jarra caña media
    ración racion verre bouteille calice bottiglia inch glas flasche kleine große kieliszek butelka mała duża
"""
_SIZES = frozenset(_SIZE_WORDS.split())
_SIZE_LINK_WORDS = "for or and from up to the a x one two three per in pour für para"
_BESIDE_SIZES = frozenset(_SIZE_LINK_WORDS.split())


@dataclass(frozen=True, slots=True, eq=False)
class TextPiece:
    """A run of words that is no price."""

    text: str
    x0: float
    x1: float
    y: float
    height: float
    score: float
    extras: tuple[Extra, ...] = ()
    """What the text offers to be added, for surcharges that it names itself."""


@dataclass(frozen=True, slots=True, eq=False)
class PricePiece:
    """Prices that stand together. ``labels`` say what each is for (``glass``), empty where nothing is said."""

    prices: tuple[Price, ...]
    labels: tuple[str, ...]
    x0: float
    x1: float
    y: float
    height: float
    score: float
    follows: TextPiece | None = None
    """The text it stands behind on the very same line."""
    precedes: TextPiece | None = None
    """The text it stands before on the very same line."""


Piece = TextPiece | PricePiece


def cut_pieces(lines: Sequence[Line]) -> list[Piece]:
    """All pieces of the page, in the order of the lines."""
    parts = _with_euro_signs(_with_volumes([part for line in lines for part in _cut_at_gaps(line)]))
    found = [find_prices(part.text) for part in parts]
    accepted = _accept(parts, found)
    return [piece for part, prices in zip(parts, accepted, strict=True) for piece in _cut_line(part, prices)]


def _with_volumes(parts: Sequence[Line]) -> list[Line]:
    """The parts with ``0,31`` and its like read as volumes, ``0,3 l``, where nothing else costs so little."""
    volumes = {id(part): found for part in parts if (found := _VOLUME.fullmatch(part.text))}
    others = [price.value for part in parts if id(part) not in volumes for price in find_prices(part.text)]
    if not volumes or sum(value is not None and value >= 1 for value in others) < len(others) or len(others) < 3:
        return list(parts)
    return [_as_volume(part, volumes[id(part)].group(1)) if id(part) in volumes else part for part in parts]


def _as_volume(part: Line, number: str) -> Line:
    words = (replace(part.words[0], text=number), replace(part.words[-1], text="l"))
    middle = words[0].x0 + 0.75 * (words[1].x1 - words[0].x0)
    return replace(part, words=(replace(words[0], x1=middle), replace(words[1], x0=middle)))


def _with_euro_signs(parts: Sequence[Line]) -> list[Line]:
    """The parts with ``C23`` and its like read as prices in euros where the page writes others so."""
    if sum(part.text.startswith("€") for part in parts) < FEWEST_EUROS:
        return list(parts)
    return [
        replace(part, words=(replace(part.words[0], text=f"€{part.words[0].text[1:]}"), *part.words[1:]))
        if _LIKE_EUROS.fullmatch(part.text)
        else part
        for part in parts
    ]


def _cut_at_gaps(line: Line) -> list[Line]:
    words = [word for word in line.words if not _LEADER.match(word.text)]
    parts: list[list[Word]] = []
    for word in words:
        if parts and word.x0 - parts[-1][-1].x1 <= WIDE_GAP * line.height:
            parts[-1].append(word)
        else:
            parts.append([word])
    return [replace(line, words=tuple(part)) for part in parts]


def _accept(parts: Sequence[Line], found: Sequence[list[Price]]) -> list[list[Price]]:
    """Drop the bare whole numbers where they are no prices: a page writes most of its prices in one way."""
    strong = [
        (part, price)
        for part, prices in zip(parts, found, strict=True)
        for price in prices
        if price.evidence > Evidence.WHOLE
    ]
    edges = [(part, price) for part, prices in zip(parts, found, strict=True) if (price := _outer_whole(part, prices))]
    usual = len(edges) >= 3 and len(edges) >= 0.7 * len(strong)
    places = [_span(part, price) for part, price in strong]
    kept = []
    for part, prices in zip(parts, found, strict=True):
        outer = _outer_whole(part, prices)
        fits = outer is not None and (usual or _aligned(part, outer, places))
        has_strong = any(price.evidence > Evidence.WHOLE for price in prices)
        kept.append(
            [
                price
                for price in prices
                if price.evidence > Evidence.WHOLE
                or (price is outer and fits and not has_strong)
                or (fits and not has_strong and _only_numbers(part.text, prices))
            ]
        )
    return kept


def _outer_whole(part: Line, prices: Sequence[Price]) -> Price | None:
    """The bare whole number at the end of the line or, failing that, at its beginning."""
    whole = [
        price
        for price in prices
        if price.evidence is Evidence.WHOLE and price.value and price.value >= 1 and not 1700 <= price.value < 2100
    ]
    text = part.text
    for price in reversed(whole):
        if not text[price.end :].strip(" .,-*)"):
            return price
    for price in whole:
        if not text[: price.start].strip(" .-*(") and text[price.end :][:1] == " ":
            return price
    return None


def _only_numbers(text: str, prices: Sequence[Price]) -> bool:
    rest = text
    for price in prices:
        rest = rest.replace(text[price.start : price.end], " ", 1)
    return not re.search(r"[^\W_]", rest)


def _aligned(part: Line, price: Price, places: Sequence[tuple[float, float]]) -> bool:
    x0, x1 = _span(part, price)
    near = 0.8 * part.height
    return sum(abs(x1 - right) <= near or abs(x0 - left) <= near for left, right in places) >= 3


def _span(part: Line, price: Price) -> tuple[float, float]:
    words = _words_between(part, price.start, price.end)
    return words[0].x0, words[-1].x1


def _words_between(part: Line, start: int, end: int) -> list[Word]:
    """The words that ``text[start:end]`` touches, cut to it."""
    chosen, place = [], 0
    for word in part.words:
        first, last = max(start - place, 0), min(end - place, len(word.text))
        if first < last and word.text[first:last].strip():
            width = (word.x1 - word.x0) / len(word.text)
            chosen.append(Word(word.text[first:last], word.x0 + first * width, word.x0 + last * width, word.score))
        place += len(word.text) + 1
    return chosen


def _cut_line(part: Line, prices: Sequence[Price]) -> list[Piece]:
    if not prices:
        text = _text_piece(part, 0, len(part.text))
        return [text] if text else []
    if offers_extras(part.text, prices):
        whole = _text_piece(part, 0, len(part.text))
        return [replace(whole, extras=extras_in(part.text, prices))] if whole else []
    texts = [
        _text_piece(part, start, end)
        for start, end in zip(
            [0, *(price.end for price in prices)], [*(price.start for price in prices), len(part.text)], strict=True
        )
    ]
    labels = [text.text if text and _is_label(text.text) else "" for text in texts]
    names = [None if label else text for text, label in zip(texts, labels, strict=True)]
    pieces: list[Piece] = []
    run: list[tuple[Price, str]] = []
    before: TextPiece | None = None
    for index, price in enumerate(prices):
        name = names[index]
        if name is not None:
            if run:
                pieces.append(_price_piece(part, run, before, None))
            pieces.append(name)
            before, run = name, []
        run.append((price, labels[index]))
    last = names[-1]
    if last is not None:
        pieces.append(last)
    elif labels[-1] and not run[-1][1]:
        run[-1] = (run[-1][0], labels[-1])
    pieces.append(_price_piece(part, run, before, last if before is None else None))
    return pieces


def is_size(text: str) -> bool:
    """Whether ``text`` names sizes or quantities and nothing else: ``Sm.``, ``per person``, ``250 ml``."""
    return _is_label(text) and any(word in _SIZES for word in _letters(text))


def _is_label(text: str) -> bool:
    """Whether ``text`` between prices only says what they are for: a size, ``3 for``, a number."""
    return bool(re.search(r"\w", text)) and all(word in _SIZES or word in _BESIDE_SIZES for word in _letters(text))


def _letters(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())


def _text_piece(part: Line, start: int, end: int) -> TextPiece | None:
    words = _words_between(part, start, end)
    text = clean_text(" ".join(word.text for word in words))
    if not re.search(r"\w", text):
        return None
    score = sum(word.score * len(word.text) for word in words) / sum(len(word.text) for word in words)
    return TextPiece(text, words[0].x0, words[-1].x1, part.y, part.height, score)


def _price_piece(
    part: Line, run: Sequence[tuple[Price, str]], follows: TextPiece | None, precedes: TextPiece | None
) -> PricePiece:
    words = _words_between(part, run[0][0].start, run[-1][0].end)
    score = min(word.score for word in words)
    prices, labels = tuple(price for price, _ in run), tuple(label for _, label in run)
    return PricePiece(prices, labels, words[0].x0, words[-1].x1, part.y, part.height, score, follows, precedes)


def clean_text(text: str) -> str:
    """``text`` without leader dots, bullets and stray punctuation at its ends."""
    text = re.sub(r"[.·…‥⋯_]{3,}|…+|(?:\s[.·]){2,}", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"^[\s.·•●○■▪◦*~_\-–—=:;,/|>»)\]]+", "", text)
    return re.sub(r"[\s·•●○■▪◦~_\-–—=:;,/|<«(\[]+$|\s*\.{2,}$|\s\.$", "", text).strip()
