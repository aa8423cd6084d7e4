"""Pieces of one line come together again: halves of a name, or a name and its description."""

from __future__ import annotations

from tests.unit.ocr_page import listing, read, read_right
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.link import Row, link_prices
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.rows import join_rows
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine


def joined(page: list[ReadLine]) -> list[Row]:
    return join_rows(link_prices(cut_pieces(straighten(page))).rows)


def test_two_halves_of_a_name_are_one_row() -> None:
    page = [read("Mozzarella", 50, 100), read("Sticks", 185, 102), read_right("7.99", 600, 101)]
    (row,) = joined(page)
    assert row.text == "Mozzarella Sticks"
    assert [price.value for price in row.prices] == [7.99]


def test_a_description_between_name_and_price_joins_their_row() -> None:
    page = [read("Lasagna", 50, 100), read("beef, ricotta", 250, 100, height=20), read_right("14.00", 700, 100)]
    (row,) = joined(page)
    assert [text.text for text in row.texts] == ["Lasagna", "beef, ricotta"]


def test_text_far_to_the_left_of_text_stays_apart() -> None:
    assert [row.text for row in joined([read("SOUPS", 50, 100), read("SALADS", 500, 100)])] == ["SOUPS", "SALADS"]


def test_numbers_before_a_row_are_no_part_of_its_name() -> None:
    page = [read("270-430", 50, 80, height=20), *listing(("Green Tea", "3.35"), ("Black Tea", "3.35"), x=200, y=80)]
    assert "Green Tea" in [row.text for row in joined(page)]


def test_a_name_beside_another_is_no_first_line_of_it() -> None:
    page = listing(("Latte", "10.50"), ("Mocha", "10.00"), ("Cortado", "9.50"), ("Ristretto", "9.00"), x=300, right=480)
    page += [read(name, 50, 97 + 40 * index) for index, name in enumerate(("Rooibos", "Sencha", "Assam", "Oolong"))]
    (category,) = understand(page).menu.categories
    assert [item.name for item in category.items] == ["Latte", "Mocha", "Cortado", "Ristretto"]


def test_two_halves_of_a_description_are_one_row() -> None:
    assert [row.text for row in joined([read("tomato, basil", 50, 100), read("and olives", 215, 101)])] == [
        "tomato, basil and olives"
    ]


def test_the_heading_of_a_column_of_sizes_joins_no_heading_of_a_section() -> None:
    page = [read("BEERS", 50, 100, height=34), read("Small", 160, 102)]
    assert [row.text for row in joined(page)] == ["BEERS", "Small"]


def test_a_name_in_a_column_of_its_own_joins_none_in_the_column_before() -> None:
    drinks = [("Latte", "10"), ("Mocha", "10"), ("Cortado", "10")]
    page = [*listing(*drinks, x=300, right=480), read("Rooibos", 50, 140)]
    assert {"Rooibos", "Mocha"} <= {row.text for row in joined(page)}
