"""Where to look again: beside or below names without a price, where the names like them have theirs.

The engine's detector passes over a price of one or two digits that stands alone. Its recogniser reads it all the same,
once it is shown the place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.extractors.ocr.link import Linked, Row, Side
from worker.extractors.ocr.pieces import PricePiece, is_size
from worker.extractors.ocr.prices import Evidence, find_prices
from worker.extractors.ocr.straighten import Levelling
from worker.extractors.ocr.text_line import Point, ReadLine
from worker.extractors.ocr.wording import is_capitals, names_only_a_section, reads_like_description

MOST_PLACES = 40
SUREST_AT_LEAST = 0.75
"""Fainter readings of a place where the detector saw nothing are not believed."""
FARTHEST = 15.0
"""A name like it, with a price, stands at most so many heights above or below."""

Corners = tuple[Point, Point, Point, Point]
ReadPlaces = Callable[[Sequence[Corners]], Sequence[tuple[str, float]]]
"""Recognises what stands between given corners, clockwise from the top left: text and score 0..1 of each."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place to look at: where a price is expected, in level pixels."""

    x0: float
    x1: float
    y: float
    height: float
    evidence: Evidence
    """How the price of the name like it is written."""

    def corners(self, page: Levelling) -> Corners:
        """Its corners in the picture, clockwise from the top left."""
        top, bottom = self.y - self.height / 2, self.y + self.height / 2
        return (
            page.in_picture(self.x0, top),
            page.in_picture(self.x1, top),
            page.in_picture(self.x1, bottom),
            page.in_picture(self.x0, bottom),
        )


def places_without_price(linked: Linked) -> list[Place]:
    """Where the prices of names without one should be; nowhere on pages that set prices before the names."""
    below = linked.side is Side.BELOW
    priced = [row for row in linked.rows if row.price_pieces and (_is_above if below else _is_before)(row)]
    taken = [(piece.y, piece.x0, piece.x1) for row in linked.rows for piece in row.price_pieces]
    taken += [(row.y, row.x0, row.x1) for row in linked.rows]
    places = []
    for row in linked.rows:
        if row.price_pieces or not _may_be_a_name(row):
            continue
        like = _nearest_like(row, priced)
        if like is None:
            continue
        place = _below(row, like) if below else _place(like.price_pieces[0], like.price_pieces[0].x0, row.y)
        if not any(_covers(one, place) for one in taken):
            places.append(place)
    return places[:MOST_PLACES]


def _is_before(row: Row) -> bool:
    return row.price_pieces[0].x0 >= row.texts[-1].x0


def _is_above(row: Row) -> bool:
    return row.price_pieces[0].y - row.y > 0.5 * row.height


def _below(row: Row, like: Row) -> Place:
    """As far below as the price of the name like it, and like that at its left end or under its middle."""
    price = like.price_pieces[0]
    off_left, off_right = price.x0 - like.texts[0].x0, price.x1 - like.texts[-1].x1
    at_left_end = abs(off_left) < abs(off_left + off_right) / 2
    x0 = row.x0 if at_left_end else (row.x0 + row.x1 - price.x1 + price.x0) / 2
    return _place(price, x0, row.y + price.y - like.y)


def _place(price: PricePiece, x0: float, y: float) -> Place:
    margin = 0.8 * price.height
    x1 = x0 + price.x1 - price.x0
    return Place(x0 - margin, x1 + margin, y, 1.25 * price.height, price.prices[0].evidence)


def _covers(taken: tuple[float, float, float], place: Place) -> bool:
    y, x0, x1 = taken
    return abs(y - place.y) < 0.6 * place.height and x0 < place.x1 and x1 > place.x0


def look_again(linked: Linked, page: Levelling, read: ReadPlaces) -> list[ReadLine]:
    """Prices that the detector passed over."""
    places = places_without_price(linked)
    corners = [place.corners(page) for place in places]
    found = []
    for place, where, (seen, score) in zip(places, corners, read(corners) if corners else [], strict=True):
        text = seen.strip(" .·:-_")
        if score >= SUREST_AT_LEAST and _is_price_like(text, place.evidence):
            centres = tuple((index + 0.5) / len(text) for index in range(len(text)))
            found.append(ReadLine(text, score, where, centres, (score,) * len(text)))
    return found


def _is_price_like(text: str, evidence: Evidence) -> bool:
    """Whether ``text`` is one price and nothing else, written no more carelessly than the one it is like."""
    prices = find_prices(text)
    if len(prices) != 1 or prices[0].evidence < min(evidence, Evidence.DECIMAL):
        return False
    return len(text) <= prices[0].end - prices[0].start + 1


def _may_be_a_name(row: Row) -> bool:
    text = row.text
    letters = sum(character.isalpha() for character in text)
    return letters >= 3 and not (reads_like_description(text) or is_size(text) or names_only_a_section(text))


def _nearest_like(row: Row, priced: Sequence[Row]) -> Row | None:
    """The nearest row with a price that is set like this one, below or above it."""
    like = [
        other
        for other in priced
        if _is_set_like(row, other)
        and abs(other.y - row.y) <= FARTHEST * row.height
        and 0.8 <= row.height / other.height <= 1.25
        and is_capitals(row.text) == is_capitals(other.text)
    ]
    return min(like, key=lambda other: abs(other.y - row.y), default=None)


def _is_set_like(row: Row, other: Row) -> bool:
    """Whether the two begin at the same place, or are centred on the same."""
    name = other.texts[-1]
    left = abs(other.texts[0].x0 - row.x0)
    middle = abs(other.texts[0].x0 + name.x1 - row.x0 - row.x1) / 2
    return min(left, middle) <= 0.8 * row.height
