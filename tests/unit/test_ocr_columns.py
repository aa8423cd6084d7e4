"""Columns are found over rows with their prices, and read one after the other."""

from __future__ import annotations

from tests.unit.ocr_page import listing, read
from worker.extractors.ocr.columns import read_in_columns
from worker.extractors.ocr.link import link_prices
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine

LEFT = listing(("Soup", "7.50"), ("Salad", "9.00"), ("Stew", "12.00"), ("Ham", "8.00"), right=400)
RIGHT = listing(("Cake", "5.00"), ("Tart", "6.00"), ("Pie", "6.50"), ("Ice", "3.00"), x=440, right=800)


def blocks(page: list[ReadLine]) -> list[list[str]]:
    linked = link_prices(cut_pieces(straighten(page)))
    return [[row.text for row in block] for block in read_in_columns(linked.rows)]


def test_the_gap_between_name_and_price_is_no_gutter() -> None:
    assert blocks(LEFT) == [["Soup", "Salad", "Stew", "Ham"]]


def test_two_columns_are_read_left_then_right() -> None:
    assert blocks(LEFT + RIGHT) == [["Soup", "Salad", "Stew", "Ham"], ["Cake", "Tart", "Pie", "Ice"]]


def test_a_title_across_stands_before_both_columns() -> None:
    title = read("The Grand Old Harbour House", 250, 40, height=26)
    assert blocks([title, *LEFT, *RIGHT]) == [
        ["The Grand Old Harbour House"],
        ["Soup", "Salad", "Stew", "Ham"],
        ["Cake", "Tart", "Pie", "Ice"],
    ]


def test_a_list_below_both_columns_does_not_hide_them() -> None:
    below = listing(("Espresso", "2.50"), ("Latte", "3.50"), ("Mocha", "3.80"), x=200, right=650, y=420)
    assert blocks(LEFT + RIGHT + below) == [
        ["Soup", "Salad", "Stew", "Ham"],
        ["Cake", "Tart", "Pie", "Ice"],
        ["Espresso", "Latte", "Mocha"],
    ]


def test_dishes_in_the_middle_do_not_hide_the_columns_above_them() -> None:
    """However many wider gaps the page has elsewhere."""
    title = [read(f"The Grand Old Harbour House {number}", 200, 40 - 70 * number) for number in range(5)]
    middle = listing(("Drunken Clams with White Wine and Butter", "16.00"), x=120, right=700, y=270)
    below = listing(("Shrimp Cocktail", "17.00"), ("Zuppa Di Mussels", "16.00"), x=250, right=600, y=450, step=150)
    found = blocks([*title, *LEFT, *RIGHT, *middle, *below])
    assert ["Soup", "Salad", "Stew", "Ham"] in found
    assert ["Cake", "Tart", "Pie", "Ice"] in found


def test_three_columns() -> None:
    third = listing(("Cola", "3.00"), ("Juice", "4.00"), ("Water", "2.00"), ("Tea", "2.50"), x=840, right=1200)
    assert [block[0] for block in blocks(LEFT + RIGHT + third)] == ["Soup", "Cake", "Cola"]


def test_nothing_gives_nothing() -> None:
    assert read_in_columns([]) == []


def test_lists_that_do_not_stand_side_by_side_are_no_columns() -> None:
    below = listing(("Cake", "5.00"), ("Tart", "6.00"), ("Pie", "6.50"), ("Ice", "3.00"), x=440, right=800, y=400)
    assert blocks(LEFT + below) == [["Soup", "Salad", "Stew", "Ham", "Cake", "Tart", "Pie", "Ice"]]
