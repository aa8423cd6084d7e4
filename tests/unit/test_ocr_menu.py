"""From read lines to a result: sections, dishes, descriptions, and what is set aside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobqueue.menu_result import validate_result
from tests.unit.ocr_page import listing, read, read_right, turned
from worker.extractors.ocr.furniture import furniture_kind
from worker.extractors.ocr.item_name import split_name
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.result import build_result
from worker.extractors.ocr.text_line import ReadLine


def result_of(page: list[ReadLine], schema_version: str = "stage1") -> dict[str, Any]:
    layout = understand(page)
    result, confidence = build_result(layout.menu, layout.linked, schema_version)
    assert 0 <= confidence <= 1
    return validate_result(result, schema_version)


def dishes(result: dict[str, Any]) -> dict[str, list[tuple[str, float, str | None]]]:
    return {
        category["name"]: [(item["name"], item["price"], item.get("description")) for item in category["items"]]
        for category in result["menu"]["categories"]
    }


def simple_menu() -> list[ReadLine]:
    """A title, two sections with descriptions under the names, and a footer."""
    page = [read("The Grand Harbour", 150, 40, height=44), read("SOUPS", 50, 110, height=30)]
    page += [read("Onion Soup", 50, 160), read_right("$7.50", 600, 160), read("gruyere, croutons", 50, 188, height=19)]
    page += [read("Fish Soup", 50, 230), read_right("$9.00", 600, 230), read("saffron, rouille", 50, 258, height=19)]
    page += [read("ROASTS", 50, 330, height=30)]
    page += [read("Leg of Lamb", 50, 380), read_right("$19.00", 600, 380), read("mint, potatoes", 50, 408, height=19)]
    page += [read("Roast Beef", 50, 450), read_right("$21.50", 600, 450)]
    return [*page, read("All prices include VAT", 180, 560, height=18)]


EXPECTED = {
    "SOUPS": [("Onion Soup", 7.5, "gruyere, croutons"), ("Fish Soup", 9.0, "saffron, rouille")],
    "ROASTS": [("Leg of Lamb", 19.0, "mint, potatoes"), ("Roast Beef", 21.5, None)],
}


def test_a_menu_with_title_sections_descriptions_and_footer() -> None:
    result = result_of(simple_menu())
    assert dishes(result) == EXPECTED
    assert result["currency"] == "USD"
    assert [(text["text"], text["context"]) for text in result["superfluousText"]] == [
        ("All prices include VAT", "note on prices"),
        ("The Grand Harbour", "title"),
    ]
    assert result["uncertainItems"] == []


@pytest.mark.parametrize("degrees", [-6.0, 3.0, 8.0])
def test_the_same_menu_turned(degrees: float) -> None:
    bend = turned(degrees)
    page = []
    for line in simple_menu():
        a, b, c, d = (bend(*corner) for corner in line.corners)
        page.append(ReadLine(line.text, line.score, (a, b, c, d), line.centres, line.character_scores))
    assert dishes(result_of(page)) == EXPECTED


def test_confidence_follows_the_reading() -> None:
    def confidence(score: float) -> float:
        page = [read(line.text, line.corners[0][0], line.corners[0][1] + 12, score=score) for line in simple_menu()]
        value: float = result_of(page)["menu"]["categories"][0]["items"][0]["confidence"]
        return value

    assert confidence(0.99) > confidence(0.8) > confidence(0.6) > 0


def test_a_column_without_heading_continues_the_section_before() -> None:
    left = [
        read("WINES", 50, 60, height=30),
        *listing(("Merlot", "7.50"), ("Rioja", "9.00"), ("Malbec", "8.00"), right=400),
    ]
    right = listing(("Cava", "5.00"), ("Soave", "6.00"), ("Chablis", "6.50"), x=440, right=800)
    found = dishes(result_of(left + right))
    assert [name for name, _, _ in found["WINES"]] == ["Merlot", "Rioja", "Malbec", "Cava", "Soave", "Chablis"]


def test_a_name_in_two_lines_is_one_dish() -> None:
    page = [read("MAINS", 50, 50, height=32), *listing(("Grilled Salmon", "19.00"), ("Steak Frites", "22.00"))]
    page += [read("Blanquette de", 50, 185), read("Veau", 50, 211), read_right("18.00", 600, 211)]
    page += listing(("Ratatouille", "14.00"), y=256)
    assert ("Blanquette de Veau", 18.0, None) in dishes(result_of(page))["MAINS"]


def test_a_price_at_the_end_of_the_description() -> None:
    page = [read("BOWLS", 50, 50, height=32)]
    for index, (name, text) in enumerate(
        [
            ("Miso Salmon", "brown rice, edamame, radish"),
            ("Carnitas", "black beans, corn, lime"),
            ("Falafel", "with hummus and mint"),
        ]
    ):
        y = 110 + 90 * index
        page += [read(name, 50, y), read(text, 50, y + 28, height=22), read_right(f"1{index}.50", 600, y + 28)]
    assert dishes(result_of(page))["BOWLS"] == [
        ("Miso Salmon", 10.5, "brown rice, edamame, radish"),
        ("Carnitas", 11.5, "black beans, corn, lime"),
        ("Falafel", 12.5, "with hummus and mint"),
    ]


def test_names_in_larger_type_above_their_priced_line() -> None:
    page = []
    for index, name in enumerate(("PLAIN STEAK", "CHEESESTEAK", "CHICKEN PARM")):
        y = 110 + 110 * index
        page += [
            read(name, 50, y, height=34),
            read("ON A LONG ITALIAN ROLL", 50, y + 36),
            read_right("$9.50", 600, y + 36),
        ]
    ((_, found),) = dishes(result_of(page)).items()
    assert found == [(name, 9.5, "ON A LONG ITALIAN ROLL") for name in ("PLAIN STEAK", "CHEESESTEAK", "CHICKEN PARM")]


def test_a_dish_without_a_price_is_uncertain() -> None:
    page = [read("MAINS", 50, 40, height=32)]
    page += listing(("Grilled Salmon", "19.00"), ("Duck Confit", ""), ("Steak Frites", "22.00"), ("Lamb Shank", "MP"))
    result = result_of(page)
    assert [name for name, _, _ in dishes(result)["MAINS"]] == ["Grilled Salmon", "Steak Frites"]
    found = {one["text"]: one for one in result["uncertainItems"]}
    assert found["Duck Confit"]["suggestedCategory"] == "MAINS"
    assert "no price" in found["Duck Confit"]["reason"]
    assert "asked for" in found["Lamb Shank"]["reason"]


def with_a_stray_price(height: float) -> dict[str, Any]:
    """Three plain dishes, and below them a line in smaller type that reads badly and ends in a number."""
    page = [read("MAINS", 50, 40, height=32)]
    page += listing(("Grilled Salmon", "19.00"), ("Duck Confit", "21.00"), ("Steak Frites", "22.00"))
    page += [read("Quiet Garden", 50, 220, height=height, score=0.66), read_right("390.00", 600, 220, height=height)]
    return result_of(page)


def test_a_guess_is_uncertain() -> None:
    result = with_a_stray_price(height=15)
    assert [name for name, _, _ in dishes(result)["MAINS"]] == ["Grilled Salmon", "Duck Confit", "Steak Frites"]
    (guess,) = [one for one in result["uncertainItems"] if one["text"] == "Quiet Garden"]
    assert (guess["suggestedPrice"], guess["suggestedCategory"]) == (390.0, "MAINS")
    assert guess["confidence"] < 0.1
    assert "speaks against" in guess["reason"]


def test_what_is_likelier_is_a_dish_that_says_how_unsure_it_is() -> None:
    doubtful = with_a_stray_price(height=16)["menu"]["categories"][0]["items"][-1]
    assert doubtful["name"] == "Quiet Garden"
    assert 0.1 <= doubtful["confidence"] < 0.2


def test_a_page_without_currency_says_that_it_assumes_one() -> None:
    result = result_of([read("MAINS", 50, 40, height=32), *listing(("Grilled Salmon", "19.00"), ("Steak", "22.00"))])
    assert result["currency"] == "USD"
    assert any("assumption" in one["reason"] for one in result["uncertainItems"])


def test_currencies_by_majority() -> None:
    page = listing(("Soup", "€7,50"), ("Salad", "€9,00"), ("Stew", "$12,00"), ("Pie", "€11,00"))
    assert result_of(page)["currency"] == "EUR"


def test_sizes_become_variants_at_stage2() -> None:
    page = [read("COFFEE", 50, 40, height=32)]
    for index, name in enumerate(("Espresso", "Cappuccino", "Latte")):
        y = 100 + 40 * index
        page += [read(name, 50, y), read("$2.50", 400, y), read("$3.50", 520, y)]
    (category,) = result_of(page, "stage2")["menu"]["categories"]
    assert [variant["price"] for variant in category["items"][0]["variants"]] == [2.5, 3.5]
    assert "variants" not in result_of(page)["menu"]["categories"][0]["items"][0]


def test_a_surcharge_is_no_dish() -> None:
    page = listing(("Caesar Salad", "$9.00"), ("Add Chicken", "$4.00"), ("Greek Salad", "$8.00"))
    found = dishes(result_of(page))["Menu"]
    assert [name for name, _, _ in found] == ["Caesar Salad", "Greek Salad"]
    assert found[0][2] == "Add Chicken 4"


@pytest.mark.parametrize("text", ["with Ranch Dressing. Add Chicken or Ham", "Grilled Chicken or Bratwurst for"])
def test_a_surcharge_at_the_end_of_a_description_is_no_dish(text: str) -> None:
    page = listing(("Caesar Salad", "$9.00"), (text, "$4.00"), ("Greek Salad", "$8.00"))
    assert [name for name, _, _ in dishes(result_of(page))["Menu"]] == ["Caesar Salad", "Greek Salad"]


def test_several_for_one_price_are_a_dish() -> None:
    page = listing(("Caesar Salad", "$9.00"), ("Any Two Pizzas for", "$20.00"), ("Greek Salad", "$8.00"))
    assert "Any Two Pizzas for" in [name for name, _, _ in dishes(result_of(page))["Menu"]]


def test_pages_without_dishes_are_empty() -> None:
    assert result_of([])["menu"]["categories"] == []
    assert result_of([read("No smoking", 50, 50), read("Mind the step", 50, 90)])["menu"]["categories"] == []


LINES = st.builds(
    read,
    st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()) and "\x00" not in text),
    st.floats(0, 1500),
    st.floats(0, 1500),
    height=st.floats(4, 90),
    score=st.floats(0, 1),
)
MENU_LINES = st.builds(
    read,
    st.sampled_from(
        ["Soup 7.50", "MAINS", "12", "Stew", "$5", "with rice, beans and corn", "add egg 2.00", "(VG)", "- 9", "MP"]
    ),
    st.sampled_from([40.0, 44.0, 420.0, 800.0]),
    st.integers(0, 40).map(lambda row: 30.0 * row),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(LINES, MENU_LINES), max_size=40), st.sampled_from(["stage1", "stage2"]))
def test_any_page_gives_a_valid_result(page: list[ReadLine], schema_version: str) -> None:
    result_of(
        [line for line in page if all(not 0xD800 <= ord(letter) < 0xE000 for letter in line.text)], schema_version
    )


@pytest.mark.parametrize(
    ("text", "name", "description"),
    [
        ("Lasagna - beef, ricotta, basil", "Lasagna", "beef, ricotta, basil"),
        ("MOJO PORK BOWL roasted pork and rice", "MOJO PORK BOWL", "roasted pork and rice"),
        ("12. Pad Thai", "Pad Thai", ""),
        ("Fish & Chips", "Fish & Chips", ""),
        ("Surf - Turf", "Surf - Turf", ""),
        ("Pad Thai (rice noodles, egg, peanuts and lime)", "Pad Thai", "rice noodles, egg, peanuts and lime"),
    ],
)
def test_name_and_description_on_one_line(text: str, name: str, description: str) -> None:
    assert split_name(text) == (name, description)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("www.thekitchen.com", "contact"),
        ("Tel: (414) 555-1228", "contact"),
        ("Open Tuesday to Sunday 10.00 - 21.45", "opening hours"),
        ("Minimum card payment", "note on prices"),
        ("Minlmum card payment", "note on prices"),
        ("Servlce charge not includod", "note on prices"),
        ("Few Calories Salad", None),
        ("Service charge not included", "note on prices"),
        ("Please inform your server of any allergies", "note on allergies"),
        ("Family owned since 1962", "slogan"),
        ("Mixed Grill for two", None),
        ("Gluten free penne", None),
    ],
)
def test_furniture(text: str, kind: str | None) -> None:
    assert furniture_kind(text) == kind
