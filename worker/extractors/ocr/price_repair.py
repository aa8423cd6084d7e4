"""Mends prices that only the rest of the page shows to be misread: a lost decimal point, a currency mark
read as a digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from worker.extractors.ocr.pieces import Piece, PricePiece
from worker.extractors.ocr.prices import Evidence, Price

FEWEST = 5
"""Fewer prices say too little about what is usual on the page."""
LOOK_LIKE_A_MARK = "568"
"""Digits that the engine takes $, £ and € for."""
FAR = 6.0
"""A price so many times the page's median is suspected."""
NEAR = 4.0
"""Mended, it must lie within so many times the median, up or down."""


def repair_prices(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with suspect prices mended where one reading fits the page and the printed one does not."""
    prices = [price for piece in pieces if isinstance(piece, PricePiece) for price in piece.prices]
    valued = [price for price in prices if price.value]
    if len(valued) < FEWEST:
        return list(pieces)
    page = _Page(valued)
    return [
        replace(piece, prices=tuple(page.mended(price) for price in piece.prices))
        if isinstance(piece, PricePiece)
        else piece
        for piece in pieces
    ]


class _Page:
    def __init__(self, prices: Sequence[Price]) -> None:
        with_cents = [price.value for price in prices if price.value and price.cents]
        self._with_cents = len(with_cents) >= 0.5 * len(prices)
        self._median = median(with_cents if self._with_cents else [price.value for price in prices if price.value])
        values = sorted(price.value for price in prices if price.value and (price.cents or not self._with_cents))
        self._least, self._most = values[0], values[-1]
        self._always_marked = sum(price.evidence is Evidence.MARKED for price in prices) >= 0.9 * len(prices)
        self._whole = sum(price.value == int(price.value or 0) for price in prices) >= 0.8 * len(prices)
        self._marked = sum(price.evidence is Evidence.MARKED for price in prices) >= 0.6 * len(prices)

    def mended(self, price: Price) -> Price:
        value = price.value
        if value and value < 1 and self._whole and self._fits(value * 100):
            return replace(price, value=round(value * 100, 2), repaired=True)  # 10 read as .10
        if value is None or (value <= FAR * self._median and not self._lacks_mark(price)):
            return price
        if self._with_cents and not price.cents and value == int(value) and self._is_usual(value / 100):
            return replace(price, value=value / 100, repaired=True)
        if self._lacks_mark(price) and value >= 10:
            # The mark was read as the first digit: £23.50 as 523.50.
            rest = float(f"{value:.2f}"[1:])
            if self._fits(rest) and (
                not self._fits(value) or (self._always_marked and str(value)[0] in LOOK_LIKE_A_MARK)
            ):
                return replace(price, value=rest, repaired=True)
        return price

    def _lacks_mark(self, price: Price) -> bool:
        return self._marked and price.evidence is not Evidence.MARKED

    def _is_usual(self, value: float) -> bool:
        return self._fits(value) or self._least <= value <= self._most

    def _fits(self, value: float) -> bool:
        return self._median / NEAR <= value <= self._median * NEAR
