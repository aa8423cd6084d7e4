"""One price for several dishes, headings of sizes, and extras offered inside a line."""

from __future__ import annotations

import pytest

from tests.unit.ocr_page import listing, read, read_right
from tests.unit.test_ocr_menu import dishes, result_of
from worker.extractors.ocr.extras import extra_in, extras_in, offers_extras
from worker.extractors.ocr.prices import find_prices
from worker.extractors.ocr.text_line import ReadLine
from worker.extractors.ocr.wording import names_only_a_section


def priced_heading(*names: str) -> list[ReadLine]:
    page = [read("LUNCH DISHES", 50, 100, height=32), read_right("£6.50", 600, 100, height=26)]
    page += [read("SOUPS", 50, 400, height=32)]
    page += listing(("Leek Soup", "£4.00"), ("Beet Soup", "£5.00"), ("Corn Soup", "£4.50"), y=450)
    return page + [read(name, 50, 150 + 40 * index) for index, name in enumerate(names)]


def test_the_price_of_a_heading_is_that_of_every_dish_below_it() -> None:
    found = dishes(result_of(priced_heading("Ham Roll", "Veal Pasty", "Duck Pie")))
    assert found["LUNCH DISHES"] == [("Ham Roll", 6.5, None), ("Veal Pasty", 6.5, None), ("Duck Pie", 6.5, None)]


def test_a_dish_with_two_lines_of_text_below_it_is_no_heading() -> None:
    found = dishes(result_of(priced_heading("Ham Roll", "Veal Pasty")))
    assert [name for name, _, _ in found["Menu"]] == ["LUNCH DISHES"]


def test_a_price_half_way_down_a_group_is_that_of_each() -> None:
    page = listing(("Leek Tart", "£4.00"), ("Beet Soup", "£5.00"))
    page += [
        read(name, 50, 300 + 26 * index)
        for index, name in enumerate(("Cured Trout", "Boiled Ham", "Plain Egg", "Goat Curd"))
    ]
    page.append(read_right("£8.20", 600, 339))
    found = {name: price for items in dishes(result_of(page)).values() for name, price, _ in items}
    assert [found[name] for name in ("Cured Trout", "Boiled Ham", "Plain Egg", "Goat Curd")] == [8.2] * 4


def test_a_price_beside_one_end_of_a_group_is_not_that_of_all() -> None:
    page = listing(("Leek Tart", "£4.00"), ("Beet Soup", "£5.00"))
    page += [read(name, 50, 300 + 26 * row) for row, name in enumerate(("Cured Trout", "Boiled Ham", "Plain Egg"))]
    page.append(read_right("£8.20", 600, 308))
    found = [name for items in dishes(result_of(page)).values() for name, _, _ in items]
    assert found == ["Leek Tart", "Beet Soup", "Cured Trout"]


def test_a_shared_price_is_less_sure_than_one_of_its_own() -> None:
    lunch, soups = result_of(priced_heading("Ham Roll", "Veal Pasty", "Duck Pie"))["menu"]["categories"]
    assert max(item["confidence"] for item in lunch["items"]) < min(item["confidence"] for item in soups["items"])


def sized() -> list[ReadLine]:
    page = [read("Juice", 50, 40, height=26), read("Cup", 400, 40), read("Jug", 520, 40)]
    for index, name in enumerate(("Apple Press", "Pear Press", "Quince Press")):
        y = 100 + 40 * index
        page += [read(name, 50, y), read("$2.50", 395, y), read("$7.50", 515, y)]
    return page


def test_headings_of_sizes_label_the_prices_below_them() -> None:
    (category,) = result_of(sized(), "stage2")["menu"]["categories"]
    assert category["name"] == "Juice"
    assert [(one["size"], one["price"]) for one in category["items"][2]["variants"]] == [("Cup", 2.5), ("Jug", 7.5)]


def test_prices_have_the_sizes_of_the_nearest_headings_above_them() -> None:
    page = [*sized(), read("Glass", 395, 270), read("Bottle", 505, 270)]
    for row, name in enumerate(("White House Wine", "Red House Wine")):
        page += [read(name, 50, 310 + 40 * row), read("$4.50", 395, 310 + 40 * row), read("$9.50", 515, 310 + 40 * row)]
    items = [item for category in result_of(page, "stage2")["menu"]["categories"] for item in category["items"]]
    sizes = {item["name"]: [variant["size"] for variant in item["variants"]] for item in items}
    assert sizes["Apple Press"] == ["Cup", "Jug"]
    assert sizes["Red House Wine"] == ["Glass", "Bottle"]


def test_a_size_that_is_written_with_the_price_counts_more_than_a_heading() -> None:
    page = [*sized(), read("Plum Press", 50, 220), read("Small $2.50", 345, 220), read("Large $7.50", 495, 220)]
    item = result_of(page, "stage2")["menu"]["categories"][0]["items"][-1]
    assert [variant["size"] for variant in item["variants"]] == ["Small", "Large"]


def test_extras_in_a_description_become_a_group_of_modifiers() -> None:
    page = [read("Oat Porridge", 50, 100), read_right("$6.00", 700, 100)]
    page += [read("with honey. Add plums + $1.50 // seeds + $0.80", 50, 128, height=18)]
    page += listing(("Egg Roll", "$4.00"), ("Bean Roll", "$4.50"), y=200)
    (category,) = result_of(page, "stage2")["menu"]["categories"]
    assert [item["name"] for item in category["items"]] == ["Oat Porridge", "Egg Roll", "Bean Roll"]
    (group,) = category["items"][0]["modifierGroups"]
    assert group["options"] == [{"name": "plums", "priceDelta": 1.5}, {"name": "seeds", "priceDelta": 0.8}]
    assert "modifierGroups" not in result_of(page)["menu"]["categories"][0]["items"][0]


def test_a_surcharge_on_its_own_line_is_a_modifier_too() -> None:
    page = listing(("Caesar Salad", "$9.00"), ("Add Prawns", "$4.00"), ("Greek Salad", "$8.00"))
    item = result_of(page, "stage2")["menu"]["categories"][0]["items"][0]
    assert item["modifierGroups"][0]["options"] == [{"name": "Prawns", "priceDelta": 4.0}]


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("Choice of bread. Add brie + $2", True),
        ("or our pickled walnuts + $1", True),
        ("Pickled Walnuts +$1", False),
        ("Walnut Loaf $4", False),
        ("with seeds and honey $4", False),
        ("+ $4", False),
        ("Toast. Add brie + $2", True),
    ],
)
def test_what_offers_extras(text: str, offers: bool) -> None:
    assert offers_extras(text, find_prices(text)) is offers


def test_the_names_of_extras() -> None:
    text = "Add one egg + $3 // bacon + $3.50"
    offered = extras_in(text, find_prices(text))
    assert [(extra.name, extra.price) for extra in offered] == [("one egg", 3.0), ("bacon", 3.5)]
    text = "Add egg + $3 bacon + $3.50"
    assert [extra.name for extra in extras_in(text, find_prices(text))] == ["egg", "bacon"]
    assert extra_in("Add 2", 3.0) is None


@pytest.mark.parametrize(
    ("text", "only"),
    [("Main Courses", True), ("Platos principales", True), ("Shrimp Cocktail", False), ("The Grand", False)],
)
def test_words_that_only_head_a_section(text: str, only: bool) -> None:
    assert names_only_a_section(text) is only
