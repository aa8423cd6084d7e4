"""Prices that only the rest of the page shows to be misread."""

from __future__ import annotations

import pytest

from tests.unit.ocr_page import listing
from worker.extractors.ocr.pieces import PricePiece, cut_pieces
from worker.extractors.ocr.price_repair import repair_prices
from worker.extractors.ocr.straighten import straighten


def repaired(*written: str) -> list[float | None]:
    page = listing(*((f"Dish {letter}", price) for letter, price in zip("abcdefghijklmnop", written, strict=False)))
    pieces = repair_prices(cut_pieces(straighten(page)))
    return [price.value for piece in pieces if isinstance(piece, PricePiece) for price in piece.prices]


@pytest.mark.parametrize(
    ("usual", "suspect", "value"),
    [
        (("12.50", "18.25", "3.00", "22.00", "14.95"), "300", 3.0),  # the point is lost
        (("10", "12", "10", "9", "11"), ".10", 10.0),  # a speck before a whole number
        (("$12", "$21", "$9.5", "$18", "$7", "$25", "$11", "$14", "$16"), "59", 9.0),  # the mark is read as a digit
    ],
)
def test_a_price_unlike_the_others_is_mended_by_them(usual: tuple[str, ...], suspect: str, value: float) -> None:
    assert repaired(*usual, suspect)[-1] == value


def test_a_price_that_may_be_right_is_left_alone() -> None:
    assert repaired("$12", "21", "$9.5", "18", "$7", "25", "59")[-1] == 59.0
    assert repaired("12.50", "18.25", "3.50", "22.00", ".95")[-1] == 0.95
    assert repaired("12.50", "18.25", "3.50", "22.00", "95")[-1] == 95.0
    assert repaired("12.50", "18.25", "3.50", "22.00", ".20")[-1] == 0.2
    assert repaired("10", "12", "11", "9", "14", "1200")[-1] == 1200.0
    assert repaired("$12", "$21", "$9.5", "$18", "$7", "$25", "$11", "$14", "$16", "49")[-1] == 49.0


def test_a_few_prices_do_not_say_what_is_usual() -> None:
    assert repaired("12.50", "18.25", "3.00", "300")[-1] == 300.0
