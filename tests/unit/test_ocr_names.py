"""Where a dish's name stands when it does not stand before its price alone: above a description, or in two lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.ocr_page import listing, read, read_right
from tests.unit.test_ocr_menu import dishes, result_of
from worker.extractors.ocr.link import link_prices
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.style import is_pair
from worker.extractors.ocr.text_line import ReadLine

ROLLS = [
    ("CHEESEBURGER", "LETTUCE, ONION"),
    ("HOT DOG", "ON A SOFT ROLL"),
    ("BACON, RANCH, HAM SANDWICH", "ON WHOLEMEAL TOAST"),
    ("AVOCADO PICO", "MILD SALSA"),
    ("TUNA MELT", "TWO CHEESES"),
    ("PATTY MELT", "SWISS, RYE"),
    ("FISH BURGER", "CAPERS"),
]


def pairs(first: int, second: int) -> list[ReadLine]:
    """Two lines of the same type for each dish, the price behind the second of them, at these steps."""
    page = []
    for index, (above, below) in enumerate(ROLLS):
        y = 100 + (first + second) * index
        page += [read(above, 50, y), read(below, 50, y + first), read_right(f"{5 + index}.50", 600, y + first)]
    return page


def test_names_above_descriptions_of_the_same_size_that_end_in_the_price() -> None:
    found = dishes(result_of(pairs(first=30, second=42)))["Menu"]
    assert found == [(name, 5.5 + index, text) for index, (name, text) in enumerate(ROLLS)]


def test_descriptions_below_their_priced_names_are_not_taken_for_names() -> None:
    found = dishes(result_of(pairs(first=38, second=30)))
    assert [name for items in found.values() for name, _, _ in items] == [second for _, second in ROLLS]


def test_descriptions_below_their_dish_and_far_above_the_next_are_no_names() -> None:
    page = []
    for index, (name, text) in enumerate(ROLLS):
        y = 100 + 72 * index
        page += [read(name, 50, y), read_right("9.50", 600, y), read(f"({text.lower()})", 50, y + 42)]
    found = dishes(result_of(page))["Menu"]
    assert [name for name, _, _ in found] == [name for name, _ in ROLLS]


def test_names_in_small_letters_above_their_descriptions() -> None:
    page = [replace(line, text=line.text.lower()) for line in pairs(first=30, second=42)]
    found = dishes(result_of(page))["Menu"]
    assert [(name, text) for name, _, text in found] == [(name.lower(), text.lower()) for name, text in ROLLS]


def test_a_few_such_pairs_on_a_page_of_plain_dishes_are_none() -> None:
    page = listing(*[(f"Dish Number {letter}", "9.50") for letter in "ABCDEFGHIJ"])
    page += [read("Club Sandwich", 50, 500), read("Ham Toast", 50, 530), read_right("7.50", 600, 530)]
    assert "Club Sandwich" not in {name for name, _, _ in dishes(result_of(page))["Menu"]}


def test_a_larger_line_above_a_pair_is_its_heading() -> None:
    page = [read("SANDWICHES", 50, 64, height=36), *pairs(first=30, second=42)]
    assert list(dishes(result_of(page))) == ["SANDWICHES"]


def test_a_larger_line_above_a_plain_dish_is_its_heading_there_too() -> None:
    page = [*pairs(first=30, second=42), read("SIDES", 50, 650, height=36)]
    page += listing(("FRIES", "3.50"), ("ONION RINGS", "4.50"), y=690)
    assert [name for name, _, _ in dishes(result_of(page))["SIDES"]] == ["FRIES", "ONION RINGS"]


def test_where_few_dishes_have_two_lines_these_are_a_name() -> None:
    page = listing(*[(f"Dish Number {letter}", "9.50") for letter in "ABCDEFGHIJKLMNOP"])
    for index, (above, below) in enumerate(ROLLS[:5]):
        y = 760 + 64 * index
        page += [read(above.title(), 50, y), read(below.title(), 50, y + 24), read_right("7.50", 600, y + 24)]
    assert "Cheeseburger Lettuce, Onion" in {name for name, _, _ in dishes(result_of(page))["Menu"]}


@pytest.mark.parametrize(
    ("x", "y", "is_one"),
    [(50, 70, True), (65, 70, True), (75, 70, False), (50, 55, False), (50, 59, True), (50, 95, False)],
)
def test_what_is_a_pair(x: float, y: float, is_one: bool) -> None:
    rows = link_prices(
        cut_pieces(straighten([read("Above", 50, 46), read("Below", x, y), read_right("5.50", 600, y)]))
    ).rows
    above, below = sorted(rows, key=lambda row: row.y)
    assert is_pair(above, below) is is_one


def test_the_lines_of_one_name_are_set_closer_than_a_heading_and_its_first_dish() -> None:
    page = listing(("Veg Momos", "5.90"), ("Corn Momos", "6.50"), ("Paneer Momos", "6.90"), ("Soya Momos", "7.10"))
    page += [read("Cheesy Pizza", 50, 262), read("Momos", 50, 286), read_right("10.90", 600, 286)]
    assert ("Cheesy Pizza Momos", 10.9, None) in dishes(result_of(page))["Menu"]


def test_a_heading_in_the_same_type_remains_one() -> None:
    page = listing(("Veg Momos", "5.90"), ("Corn Momos", "6.50"), ("Paneer Momos", "6.90"), ("Soya Momos", "7.10"))
    page += listing(("Pizza", ""), ("Margherita", "9.90"), ("Funghi", "10.90"), y=290)
    assert list(dishes(result_of(page))) == ["Menu", "Pizza"]


def test_a_line_that_ends_in_or_goes_on_in_the_next() -> None:
    page = listing(("2 Eggs with Toast", "5.25"), ("2 Eggs with Bacon", "6.25"), ("Pancakes", "6.75"), step=28)
    page += listing(("2 Eggs, Ham Steak OR", ""), ("Chopped Steak", "8.99"), ("Waffle", "8.50"), y=184, step=28)
    names = [name for name, _, _ in dishes(result_of(page))["Menu"]]
    assert names[3:] == ["2 Eggs, Ham Steak OR Chopped Steak", "Waffle"]


def test_a_line_beside_the_column_begins_no_name() -> None:
    page = [read("Follow", 700, 75), *listing(("Fried Egg", "1.00"), ("Bacon", "1.20"), ("Cheddar", "1.00"))]
    assert [name for name, _, _ in dishes(result_of(page))["Menu"]] == ["Fried Egg", "Bacon", "Cheddar"]


def test_a_name_that_can_hardly_be_read_is_uncertain() -> None:
    page = [read("MAINS", 50, 40, height=32), *listing(("Steak", "22.00"), ("Salmon", "19.00"), ("Duck", "21.00"))]
    page += [read("Ope Torata", 50, 220, score=0.55), read_right("21.40", 600, 220)]
    result = result_of(page)
    assert [name for name, _, _ in dishes(result)["MAINS"]] == ["Steak", "Salmon", "Duck"]
    (unread,) = [one for one in result["uncertainItems"] if one["text"] == "Ope Torata"]
    assert (unread["suggestedPrice"], unread["suggestedCategory"]) == (21.4, "MAINS")
    assert "hardly be read" in unread["reason"]
