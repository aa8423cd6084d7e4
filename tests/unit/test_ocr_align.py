"""Prices that drift away from their names still go to the right ones, because both keep their order."""

from __future__ import annotations

from tests.unit.ocr_page import read, read_right
from worker.extractors.ocr.link import link_prices
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine

NAMES = ("Trout Almondine", "Veal Cutlet", "Goat Stew", "Plum Cake", "Rye Bread Soup")


def prices(page: list[ReadLine]) -> dict[str, list[float | None]]:
    rows = link_prices(cut_pieces(straighten(page))).rows
    return {row.text: [price.value for price in row.prices] for row in rows if row.price_pieces}


def drifting(steps: tuple[float, ...]) -> list[ReadLine]:
    """Names with a description each; the prices stand ``steps`` above or below their names."""
    page = []
    for index, (name, step) in enumerate(zip(NAMES, steps, strict=True)):
        y = 100 + 60 * index
        page += [read(name, 50, y), read("with herbs, butter and salt", 50, y + 26, height=18)]
        page.append(read_right(f"1{index}.50", 700, y + step))
    return page


def expected() -> dict[str, list[float | None]]:
    return {name: [10.5 + index] for index, name in enumerate(NAMES)}


def test_prices_nearer_to_a_description_still_go_to_the_name() -> None:
    assert prices(drifting((2, 14, 15, 16, 16))) == expected()


def test_prices_above_their_names_do_not_go_to_the_dish_before() -> None:
    assert prices(drifting((0, -10, -18, -18, -18))) == expected()


def test_a_heading_between_dishes_takes_no_price() -> None:
    page = drifting((0, 0, 0, 0, 0))
    page.append(read("CAKES", 50, 250, height=30))
    assert prices(page) == expected()


def test_a_name_whose_box_runs_into_that_of_its_price_keeps_it() -> None:
    page = [read("Twice Baked Potato", 50, 100), read("8.50", 250, 100), *drifting((0, 0, 0, 0, 0))[3:]]
    assert prices(page)["Twice Baked Potato"] == [8.5]


def test_prices_that_lead_a_second_list_go_to_the_right() -> None:
    page = []
    for index in range(4):
        y = 100 + 40 * index
        page += [read(f"1{index}", 50, y), read(f"Left Dish {'abcd'[index]}", 100, y)]
        page += [read(f"3{index}", 600, y), read(f"Other Dish {'abcd'[index]}", 650, y)]
    found = prices(page)
    assert found["Left Dish c"] == [12.0]
    assert found["Other Dish c"] == [32.0]


def test_a_name_in_two_lines_keeps_the_price_beside_its_second_line() -> None:
    page = []
    for index, name in enumerate(NAMES):
        page += [read(name, 50, 100 + 70 * index), read_right(f"1{index}.50", 700, 100 + 70 * index)]
    page += [read("Bruschetta with", 50, 450), read("tomatoes", 50, 474), read_right("15.50", 700, 474)]
    assert prices(page) == expected() | {"tomatoes": [15.5]}


def test_prices_that_drift_almost_to_the_description_still_go_to_the_name() -> None:
    assert prices(drifting((0, 0, 0, 0, 22))) == expected()


def test_where_names_are_in_capitals_other_lines_are_none() -> None:
    page = []
    for index, name in enumerate(NAMES):
        y = 100 + 60 * index
        page += [read(name.upper(), 50, y), read("Herb Butter Sauce", 50, y + 26)]
        page.append(read_right(f"1{index}.50", 700, y + 16 * (index == 4)))
    assert prices(page) == {name.upper(): price for name, price in expected().items()}
