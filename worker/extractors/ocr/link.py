"""Links each price to the name it belongs to: right of it, below it or left of it, as the page mostly does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from worker.extractors.ocr.align import align
from worker.extractors.ocr.pieces import Piece, PricePiece, TextPiece
from worker.extractors.ocr.prices import Price
from worker.extractors.ocr.wording import reads_like_description

SAME_ROW = 0.6
"""Two pieces whose middles differ by less than so many heights stand in one row."""

FAR = 2.5
"""Text so many times as far before a price as the text behind it is another column's."""


class Side(Enum):
    """Where a page puts the price, seen from the name."""

    RIGHT = "right"
    LEFT = "left"
    BELOW = "below"


@dataclass(slots=True, eq=False)
class Row:
    """Text with the prices linked to it; a row without prices is text still to be understood.

    ``certainty`` 0..1 is how sure the link between name and prices is.
    """

    texts: list[TextPiece]
    price_pieces: list[PricePiece] = field(default_factory=list)
    certainty: float = 1.0

    @property
    def prices(self) -> list[Price]:
        return [price for piece in self.price_pieces for price in piece.prices]

    @property
    def labels(self) -> list[str]:
        return [label for piece in self.price_pieces for label in piece.labels]

    @property
    def text(self) -> str:
        return " ".join(text.text for text in self.texts)

    @property
    def x0(self) -> float:
        return min([text.x0 for text in self.texts] + [piece.x0 for piece in self.price_pieces])

    @property
    def x1(self) -> float:
        return max([text.x1 for text in self.texts] + [piece.x1 for piece in self.price_pieces])

    @property
    def y(self) -> float:
        return self.texts[0].y

    @property
    def height(self) -> float:
        return self.texts[0].height

    @property
    def score(self) -> float:
        """The recognition score of the text, the mean weighted by length."""
        return sum(t.score * len(t.text) for t in self.texts) / sum(len(t.text) for t in self.texts)


@dataclass(frozen=True, slots=True)
class Linked:
    """All rows of a page, the prices without a name, and the side that the page mostly puts its prices on."""

    rows: list[Row]
    orphans: list[PricePiece]
    side: Side


def link_prices(pieces: Sequence[Piece]) -> Linked:
    """Give every price to a name. A name may get several prices, a price only one name."""
    texts = [piece for piece in pieces if isinstance(piece, TextPiece)]
    prices = [piece for piece in pieces if isinstance(piece, PricePiece)]
    sides = vote_sides(texts, prices)
    rows = {id(text): Row([text]) for text in texts}
    aligned = _aligned(texts, prices, sides)
    linked: list[tuple[PricePiece, Row]] = []
    orphans = []
    for price in sorted(prices, key=lambda piece: (piece.y, piece.x0)):
        choice = _choose(price, texts, rows, sides[id(price)])
        name = aligned.get(id(price))
        if name is not None and (choice is None or name is not choice[0]):
            choice = name, max(0.6, 0.9 - 0.3 * abs(name.y - price.y) / price.height)
        if choice is not None:
            row, certainty = rows[id(choice[0])], choice[1]
        elif (further := _row_above(price, linked)) is not None:
            row, certainty = further, 0.7
        else:
            orphans.append(price)
            continue
        row.price_pieces.append(price)
        row.certainty = min(row.certainty, certainty)
        linked.append((price, row))
    for row in rows.values():
        _order(row)
    return Linked(list(rows.values()), orphans, Counter(sides.values()).most_common(1)[0][0] if sides else Side.RIGHT)


def _aligned(texts: Sequence[TextPiece], prices: Sequence[PricePiece], sides: dict[int, Side]) -> dict[int, TextPiece]:
    """What the prices' columns as a whole say about their names, by the price's ``id``."""
    beside = [price for price in prices if sides[id(price)] is Side.RIGHT]
    near = {id(price): text for price in beside if (text := price.follows or _nearest_left(price, texts)) is not None}
    own = {id(price.follows) for price in beside if price.follows is not None}
    free = [text for text in texts if id(text) not in own]
    found: dict[int, TextPiece] = {}
    for column in _price_columns(beside):
        found |= align([price for price in column if price.follows is None], near, free)
    return found


def _order(row: Row) -> None:
    """Prices of the row itself from left to right, then those on lines of their own below it."""
    row.price_pieces.sort(key=lambda piece: (piece.y - row.y > SAME_ROW * piece.height, piece.x0))


def vote_sides(texts: Sequence[TextPiece], prices: Sequence[PricePiece]) -> dict[int, Side]:
    """For each price, by ``id``, the side that the prices printed in one column with it mostly stand on."""
    lefts = {id(price): price.follows or _nearest_left(price, texts) for price in prices}
    rights = {id(price): price.precedes or _nearest_right(price, texts) for price in prices}
    before = {price_id: text for price_id, text in lefts.items() if text is not None}
    under = [price for price in prices if price.follows is None and _stands_under(price, _above(price, texts))]
    otherwise = Side.BELOW if len(under) >= 0.6 * len(prices) else Side.RIGHT
    sides: dict[int, Side] = {}
    # From the right: a list whose prices lead leaves the names before it to the list on its left.
    for column in reversed(_price_columns(prices)):
        priced = {id(text) for text in before.values()}
        close = [
            right
            for price in column
            if (right := rights[id(price)]) is not None
            and right.x0 - price.x1 <= 1.5 * price.height
            and abs(right.y - price.y) <= 0.35 * price.height
        ]
        # To the right of a column of prices stand either its own names or the next column's, which have prices.
        own = [text for text in close if id(text) not in priced]
        others = [price for price in prices if sides.get(id(price)) is not Side.LEFT]
        alone = not any(_has_price_behind(text, others) for text in close)
        first = [
            price
            for price in column
            if lefts[id(price)] is None or (alone and _stands_first(price, lefts[id(price)], rights[id(price)]))
        ]
        leads = (
            len(column) >= 2
            and len(close) >= 0.8 * len(column)
            and len(own) >= 0.6 * len(close)
            and len(first) >= 0.2 * len(column)
        )
        for price in column:
            sides[id(price)] = Side.LEFT if leads else otherwise
            if leads:
                before.pop(id(price), None)
    return sides


def _has_price_behind(text: TextPiece, prices: Sequence[PricePiece]) -> bool:
    """Whether any price stands right of the text, in its row or next to it."""
    return any(price.x0 >= text.x1 and abs(price.y - text.y) <= 1.2 * text.height for price in prices)


def _stands_first(price: PricePiece, left: TextPiece | None, right: TextPiece | None) -> bool:
    """Whether what stands before the price in its row is much further off than what follows it."""
    if left is None or right is None:
        return left is None
    return price.x0 - left.x1 >= FAR * max(right.x0 - price.x1, 0.5 * price.height)


def _stands_under(price: PricePiece, text: TextPiece | None) -> bool:
    """Whether the price is set under the text: with a common middle or a common left edge."""
    if text is None:
        return False
    off_centre = abs((text.x0 + text.x1) - (price.x0 + price.x1)) / 2
    return min(off_centre, abs(text.x0 - price.x0)) <= 0.8 * price.height


def _price_columns(prices: Sequence[PricePiece]) -> list[list[PricePiece]]:
    columns: list[list[PricePiece]] = []
    for price in sorted(prices, key=lambda piece: piece.x0 + piece.x1):
        middle = (price.x0 + price.x1) / 2
        last = columns[-1][-1] if columns else None
        if last is not None and middle - (last.x0 + last.x1) / 2 <= 0.6 * price.height:
            columns[-1].append(price)
        else:
            columns.append([price])
    return columns


def _choose(
    price: PricePiece, texts: Sequence[TextPiece], rows: dict[int, Row], side: Side
) -> tuple[TextPiece, float] | None:
    if price.follows is not None and side is not Side.LEFT:
        return price.follows, 1.0
    left, right, above = _nearest_left(price, texts), _nearest_right(price, texts), _above(price, texts)
    if side is Side.LEFT and (leading := price.precedes or right) is not None:
        return leading, 0.95
    if side is Side.BELOW and above is not None:
        return above, 0.85
    if left is not None:
        left = _name_above(price, left, texts, rows)
        offset = abs(left.y - price.y) / max(left.height, price.height)
        return left, max(0.5, 1.0 - 0.4 * offset)
    if price.precedes is not None:
        return price.precedes, 0.7
    return (above, 0.6) if above is not None and not rows[id(above)].price_pieces else None


def _row_above(price: PricePiece, linked: Sequence[tuple[PricePiece, Row]]) -> Row | None:
    """The row whose last price stands right above this one: a further size on a line of its own."""
    for other, row in reversed(linked):
        down = price.y - other.y
        if 0.5 * price.height < down <= 2.0 * price.height and other.x0 <= price.x1 and other.x1 >= price.x0:
            return row
    return None


def _in_row(price: PricePiece, text: TextPiece) -> bool:
    return abs(text.y - price.y) <= SAME_ROW * max(text.height, price.height)


def _ends_before(text: TextPiece, price: PricePiece) -> bool:
    """Whether ``text`` ends where the price begins; the engine's boxes overlap a little, long ones a little more."""
    overlap = text.x1 - price.x0
    return overlap <= 0.5 * price.height or (overlap <= 0.8 * price.height and text.x1 - text.x0 >= 3 * overlap)


def _nearest_left(price: PricePiece, texts: Sequence[TextPiece]) -> TextPiece | None:
    left = [text for text in texts if _in_row(price, text) and _ends_before(text, price)]
    # Of two lines that both fit, the one in the same row counts, even if the other reaches further right.
    return max(left, key=lambda text: text.x1 - 4 * abs(text.y - price.y), default=None)


def _name_above(price: PricePiece, left: TextPiece, texts: Sequence[TextPiece], rows: dict[int, Row]) -> TextPiece:
    """The name over ``left`` where the price is set half way down a name and its description, else ``left``."""
    if abs(left.y - price.y) <= 0.25 * price.height or not reads_like_description(left.text):
        return left
    names = [
        text
        for text in texts
        if left.y - 1.3 * (left.height + text.height) / 2 <= text.y < price.y
        and text is not left
        and abs(text.x0 - left.x0) <= 0.8 * text.height
        and not reads_like_description(text.text)
        and not rows[id(text)].price_pieces
    ]
    return max(names, key=lambda text: text.y, default=left)


def _nearest_right(price: PricePiece, texts: Sequence[TextPiece]) -> TextPiece | None:
    slack = 0.5 * price.height
    right = [text for text in texts if _in_row(price, text) and text.x0 >= price.x1 - slack]
    return min(right, key=lambda text: text.x0 + 4 * abs(text.y - price.y), default=None)


def _above(price: PricePiece, texts: Sequence[TextPiece]) -> TextPiece | None:
    def fits(text: TextPiece) -> bool:
        down = price.y - text.y
        reach = 1.1 * (text.height + price.height)
        return 0.4 * price.height < down <= reach and text.x0 <= price.x1 and text.x1 >= price.x0

    return max((text for text in texts if fits(text)), key=lambda text: text.y, default=None)
