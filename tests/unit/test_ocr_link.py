"""Prices find their names: right, left or below, as the page does it."""

from __future__ import annotations

from tests.unit.ocr_page import listing, read, read_right
from worker.extractors.ocr.link import Linked, Side, link_prices
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine


def link(page: list[ReadLine]) -> Linked:
    return link_prices(cut_pieces(straighten(page)))


def pairs(linked: Linked) -> dict[str, list[float | None]]:
    return {row.text: [price.value for price in row.prices] for row in linked.rows if row.prices}


def test_prices_at_the_right() -> None:
    linked = link(listing(("Soup", "7.50"), ("Salad", "9.00"), ("Stew", "12.00")))
    assert pairs(linked) == {"Soup": [7.5], "Salad": [9.0], "Stew": [12.0]}
    assert linked.side is Side.RIGHT


def test_the_price_of_the_second_column_is_not_given_to_the_first() -> None:
    page = listing(("Soup", "7.50"), ("Salad", "9.00"), ("Stew", "12.00"), right=400)
    page += listing(("Cake", "5.00"), ("Tart", "6.00"), ("Pie", "6.50"), x=440, right=800)
    assert pairs(link(page)) == {
        "Soup": [7.5],
        "Salad": [9.0],
        "Stew": [12.0],
        "Cake": [5.0],
        "Tart": [6.0],
        "Pie": [6.5],
    }


def test_prices_at_the_left_even_in_two_columns() -> None:
    names = [["Mineral Water", "Cola", "Soda", "Juice"], ["Lager", "Stout", "Cider"]]
    page = []
    for column, (left, words) in enumerate(zip((50, 450), names, strict=True)):
        for index, word in enumerate(words):
            # The second column is set half a line lower, so some of its prices have no text to their left.
            y = 100 + 40 * index + 20 * column
            page += [read(f"{10 * (index + 1) + column}.50", left, y), read(word, left + 75, y)]
    linked = link(page)
    assert linked.side is Side.LEFT
    assert pairs(linked)["Lager"] == [11.5]
    assert pairs(linked)["Cola"] == [20.5]


def test_prices_below_centred_names() -> None:
    page = []
    for index, name in enumerate(("Ginger Beer", "Lemonade", "Sparkling Water")):
        page += [read(name, 300 - 6 * len(name), 100 + 70 * index), read("4.50", 276, 128 + 70 * index)]
    linked = link(page)
    assert linked.side is Side.BELOW
    assert pairs(linked) == {"Ginger Beer": [4.5], "Lemonade": [4.5], "Sparkling Water": [4.5]}


def test_sizes_in_columns_all_belong_to_the_name_in_their_order() -> None:
    page = []
    for index, name in enumerate(("Coffee", "Tea", "Cocoa")):
        y = 100 + 40 * index
        page += [read(name, 50, y), read("3.50", 500, y - 1), read("2.50", 400, y + 1)]
    assert pairs(link(page)) == {"Coffee": [2.5, 3.5], "Tea": [2.5, 3.5], "Cocoa": [2.5, 3.5]}


def test_a_further_size_on_its_own_line_joins_the_row_above() -> None:
    page = listing(("Garlic Rolls", "3.25"), ("", ""), ("Soup", "7.50"))
    page = [line for line in page if line.text] + [read_right("5.25", 600, 130)]
    assert pairs(link(page))["Garlic Rolls"] == [3.25, 5.25]


def test_a_price_with_no_name_anywhere_near_is_an_orphan() -> None:
    page = [*listing(("Soup", "7.50"), ("Salad", "9.00")), read("3.00", 50, 700)]
    assert [[price.value for price in orphan.prices] for orphan in link(page).orphans] == [[3.0]]


def test_certainty_falls_with_the_distance_from_the_row() -> None:
    near = link([read("Soup", 50, 100), read("7.50", 400, 100)]).rows[0].certainty
    far = link([read("Soup", 50, 100), read("7.50", 400, 110)]).rows[0].certainty
    assert far < near <= 1.0


def test_a_price_half_way_down_name_and_description_belongs_to_the_name() -> None:
    page = []
    for index, name in enumerate(("Smashed Avo", "Corn Fritters", "Eggs Florentine")):
        y = 100 + 70 * index
        page += [read(name, 50, y), read("on toasted rye, with feta and lime", 50, y + 22), read("17.50", 640, y + 12)]
    assert pairs(link(page)) == {"Smashed Avo": [17.5], "Corn Fritters": [17.5], "Eggs Florentine": [17.5]}


def test_one_price_between_two_texts_belongs_to_the_left_one() -> None:
    page = [read("Onion Soup", 50, 100), read("9.50", 200, 100), read("Starters", 260, 100)]
    assert pairs(link(page)) == {"Onion Soup": [9.5]}
