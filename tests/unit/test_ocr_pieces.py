"""Lines are cut into text and prices by how the page as a whole writes prices."""

from __future__ import annotations

import pytest

from tests.unit.ocr_page import listing, read
from worker.extractors.ocr.pieces import PricePiece, TextPiece, clean_text, cut_pieces, is_size
from worker.extractors.ocr.price_repair import repair_prices
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine


def cut(page: list[ReadLine]) -> list[str | list[float | None]]:
    pieces = repair_prices(cut_pieces(straighten(page)))
    return [piece.text if isinstance(piece, TextPiece) else [price.value for price in piece.prices] for piece in pieces]


def test_a_price_on_the_names_own_line_is_cut_off() -> None:
    pieces = cut_pieces(straighten([read("Onion Soup 7.50", 50, 50)]))
    text, price = pieces
    assert isinstance(text, TextPiece)
    assert isinstance(price, PricePiece)
    assert (text.text, price.follows) == ("Onion Soup", text)
    assert price.x0 >= text.x1


def test_several_items_on_one_line_become_pairs() -> None:
    assert cut([read("Espresso 2.50 Cappuccino 3.20", 50, 50)]) == ["Espresso", [2.5], "Cappuccino", [3.2]]


def test_words_for_sizes_label_the_prices() -> None:
    _, price = cut_pieces(straighten([read("Merlot glass 6.50 bottle 24.00", 50, 50)]))
    assert isinstance(price, PricePiece) or price is not None
    page = [read("glass 6.50 bottle 24.00", 50, 50)]
    (alone,) = cut_pieces(straighten(page))
    assert isinstance(alone, PricePiece)
    assert alone.labels == ("glass", "bottle")
    assert [one.value for one in alone.prices] == [6.5, 24.0]


def test_bare_numbers_are_prices_where_the_page_writes_prices_so() -> None:
    assert cut(listing(("Soup", "7"), ("Salad", "9"), ("Stew", "12"), ("Pie", "11")))[1] == [7.0]


def test_bare_numbers_are_none_where_the_page_writes_prices_otherwise() -> None:
    page = listing(("Soup", "7.50"), ("Salad", "9.00"), ("Stew", "12.00"), ("Pie", "11.00"))
    page.append(read("Table for 4", 50, 400))
    assert cut(page)[-1] == "Table for 4"


def test_text_far_apart_on_one_line_is_cut() -> None:
    wide = read("Starters          Mains", 50, 50)
    assert cut([wide]) == ["Starters", "Mains"]


def test_a_lost_decimal_point_and_a_mark_read_as_a_digit_are_mended() -> None:
    page = listing(("Soup", "£7.50"), ("Salad", "£9.00"), ("Stew", "£12.00"), ("Pie", "£11.00"), ("Tart", "523.50"))
    page += listing(("Roast", "£1395"), y=400)
    values = [value for piece in cut(page) if isinstance(piece, list) for value in piece]
    assert values == [7.5, 9.0, 12.0, 11.0, 23.5, 13.95]


def test_a_euro_sign_read_as_a_letter_is_mended_where_the_page_writes_euros() -> None:
    page = listing(("Soup", "€7"), ("Salad", "€9"), ("Stew", "€12"), ("Pie", "C23"), ("Ham", "G8.50"), ("Tart", "C9x"))
    prices = [piece for piece in cut(page) if isinstance(piece, list)]
    assert prices == [[7.0], [9.0], [12.0], [23.0], [8.5]]
    assert "C9x" in cut(page)


@pytest.mark.parametrize("others", ["€7", "$9"])
def test_elsewhere_it_is_a_letter(others: str) -> None:
    page = listing(("Soup", others), ("Salad", "€9"), ("Stew", "$12"), ("Room", "C23"))
    assert cut(page)[-1] == "C23"


def test_a_dear_dish_is_not_mended() -> None:
    page = listing(("Soup", "7.50"), ("Salad", "9.00"), ("Stew", "12.00"), ("Pie", "11.00"), ("Tomahawk", "95.00"))
    assert cut(page)[-1] == [95.0]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("MEAT FEAST....", "MEAT FEAST"),
        ("• Soup", "Soup"),
        ("Caprese . . .", "Caprese"),
        ("(peppers)", "(peppers)"),
        ("…", ""),
    ],
)
def test_leaders_and_bullets_are_cleaned_away(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_sizes() -> None:
    assert is_size("Sm.")
    assert is_size("per person")
    assert not is_size("Small Plates")
