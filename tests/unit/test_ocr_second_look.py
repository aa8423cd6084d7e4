"""The second look asks for prices only where names like those with a price have none, and believes only clear ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.unit.ocr_page import listing, read, read_right, turned
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.second_look import MOST_PLACES, Corners, ReadPlaces
from worker.extractors.ocr.straighten import levelling
from worker.extractors.ocr.text_line import ReadLine

PAGE = listing(("Lentil Pot", "8"), ("Turnip Mash", ""), ("Fried Perch", "9"), ("Nut Roast", "12"))


class Eye:
    """Answers every place with the same reading and remembers where it was asked to look."""

    def __init__(self, text: str, score: float = 0.99) -> None:
        self._answer = text, score
        self.asked: list[Corners] = []

    def __call__(self, places: Sequence[Corners]) -> list[tuple[str, float]]:
        self.asked += places
        return [self._answer for _ in places]


def dishes(page: list[ReadLine], look: ReadPlaces) -> dict[str, float | None]:
    items = [item for category in understand(page, look).menu.categories for item in category.items]
    return {item.name: item.row.prices[0].value for item in items}


def test_a_missed_price_is_found_in_the_column_of_prices() -> None:
    eye = Eye("7")
    assert dishes(PAGE, eye) == {"Lentil Pot": 8, "Turnip Mash": 7, "Fried Perch": 9, "Nut Roast": 12}
    ((top_left, top_right, bottom_right, _),) = eye.asked
    assert top_left[0] < 588 < top_right[0]
    assert top_left[1] < 140 < bottom_right[1]


def test_names_that_are_centred_are_like_each_other_too() -> None:
    page = [read("8.50", 400, 100 + 40 * index) for index in (0, 2, 3)]
    for index, name in enumerate(("Lentil Pot", "Sweet Turnip Mash", "Perch", "Nut Roast")):
        page.append(read(name, 200 - 6 * len(name), 100 + 40 * index))
    assert dishes(page, Eye("7.30"))["Sweet Turnip Mash"] == 7.3


def test_names_that_begin_at_the_same_place_are_however_long_they_are() -> None:
    page = listing(("Egg", "8"), ("Slow Roasted Turnip Mash", ""), ("Pie", "9"), ("Ham", "12"))
    assert dishes(page, Eye("7"))["Slow Roasted Turnip Mash"] == 7


def test_a_name_elsewhere_is_not_asked_about() -> None:
    eye = Eye("7")
    understand(
        [*listing(("Lentil Pot", "8"), ("Perch", "9"), ("Nut Roast", "12")), read("Fresh Turnips", 150, 220)], eye
    )
    assert eye.asked == []


def test_the_place_lies_right_in_a_turned_picture() -> None:
    bend = turned(7)
    names = [f"Long and Fine Dish {letter}" for letter in "ABCDEFGHI"]
    page = []
    for line in listing(*((name, "8.50" if name[-1] != "E" else "") for name in names)):
        a, b, c, d = (bend(*corner) for corner in line.corners)
        page.append(ReadLine(line.text, line.score, (a, b, c, d), line.centres, line.character_scores))
    eye = Eye("")
    understand(page, eye)
    ((top_left, _, bottom_right, _),) = eye.asked
    x, y = bend(576, 100 + 4 * 40)
    assert top_left[0] < x < bottom_right[0]
    assert (top_left[1] + bottom_right[1]) / 2 == pytest.approx(y, abs=6)


@pytest.mark.parametrize(("text", "score"), [("7", 0.74), ("", 0.99), ("rice", 0.99), ("7 or 8", 0.99)])
def test_what_is_no_clear_price_is_not_believed(text: str, score: float) -> None:
    assert "Turnip Mash" not in dishes(PAGE, Eye(text, score))


def test_a_clear_price_is_believed() -> None:
    assert dishes(PAGE, Eye("7", 0.75))["Turnip Mash"] == 7


def test_a_bare_number_is_not_believed_where_prices_have_decimals() -> None:
    page = listing(("Lentil Pot", "8.20"), ("Turnip Mash", ""), ("Fried Perch", "9.10"), ("Nut Roast", "12.40"))
    assert "Turnip Mash" not in dishes(page, Eye("7"))
    assert dishes(page, Eye("7.30"))["Turnip Mash"] == 7.3


def test_descriptions_headings_and_sizes_are_not_asked_about() -> None:
    eye = Eye("7")
    page = [read("MAINS", 50, 60), *listing(("Lentil Pot", "8"), ("Fried Perch", "9"), ("Nut Roast", "12"))]
    page += [read("with rice", 50, 220), read("Large", 50, 250)]
    understand(page, eye)
    assert eye.asked == []


def test_level_places_and_places_in_the_picture_belong_together() -> None:
    bend = turned(-5)
    page = levelling([read(f"Some dish of number {index}", 60, 80 + 40 * index, bend=bend) for index in range(12)])
    x, y = page.in_picture(page.level_x(300, 200), page.level_y(300, 200))
    assert (x, y) == pytest.approx((300, 200), abs=1)


DISHES = listing(("Lentil Pot", "8"), ("Fried Perch", "9"), ("Nut Roast", "12"))


@pytest.mark.parametrize(
    "line",
    [
        read("Turnip Mash", 50, 180 + 16 * 24),
        read("TURNIP MASH", 50, 220),
        read("Turnip Mash", 50, 220, height=34),
        read("Turnip Mash", 90, 220),
        read("Turnip Mash of the Grand Old Harbour House of Mary", 50, 220),
    ],
    ids=["far below", "capitals", "larger", "indented", "no room"],
)
def test_a_name_unlike_those_with_a_price_is_not_asked_about(line: ReadLine) -> None:
    eye = Eye("7")
    understand([*DISHES, line], eye)
    assert eye.asked == []


def test_where_something_was_read_nobody_looks_again() -> None:
    eye = Eye("7")
    understand([*DISHES, read("Turnip Mash", 50, 220), read_right("Vegan", 600, 220)], eye)
    assert eye.asked == []


def test_a_page_of_names_is_not_looked_at_for_ever() -> None:
    eye = Eye("")
    names = [(f"Dish of Day {chr(65 + row % 26)}", "8" if row % 8 == 0 else "") for row in range(60)]
    understand(listing(*names), eye)
    assert len(eye.asked) == MOST_PLACES


def below(centred: bool, *, missing: str) -> list[ReadLine]:
    """Names with their prices below them, that of one of them passed over."""
    page = []
    for index, name in enumerate(("Egg", "Slow Roasted Turnip Mash", "Pie", "Braised Ham with Peas")):
        y = 100 + 80 * index
        page.append(read(name, 300 - 6 * len(name) if centred else 50, y))
        if name != missing:
            page.append(read("8.50", 300 - 24 if centred else 50, y + 28))
    return page


@pytest.mark.parametrize(("centred", "x"), [(True, 300), (False, 74)])
def test_a_missed_price_is_found_below_the_name_where_prices_stand_so(centred: bool, x: float) -> None:
    eye = Eye("7.30")
    page = below(centred, missing="Braised Ham with Peas")
    assert dishes(page, eye)["Braised Ham with Peas"] == 7.3
    ((top_left, _, bottom_right, _),) = eye.asked
    assert (top_left[0] + bottom_right[0]) / 2 == pytest.approx(x, abs=10)
    assert (top_left[1] + bottom_right[1]) / 2 == pytest.approx(368, abs=4)


def test_where_something_stands_below_the_name_nobody_looks_again() -> None:
    eye = Eye("7.30")
    understand([*below(True, missing="Pie"), read("vegan", 270, 288)], eye)
    assert eye.asked == []
