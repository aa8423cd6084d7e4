"""Pages in other languages: hours, notes and sizes are no dishes, names keep their lines."""

from __future__ import annotations

import pytest

from tests.unit.ocr_page import listing, read, read_right
from worker.extractors.ocr.furniture import furniture_kind
from worker.extractors.ocr.item_name import split_name
from worker.extractors.ocr.layout import understand
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.text_line import ReadLine


def sections(page: list[ReadLine]) -> dict[str, list[str]]:
    return {category.name: [item.name for item in category.items] for category in understand(page).menu.categories}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Her gün açık 11.00 - 23.00", "opening hours"),
        ("Chiuso il lunedì", "opening hours"),
        ("Telefon 08-123 45 67", "contact"),
        ("ĐT: 028 3822 1234", "contact"),
        ("Ceny zawierają podatek VAT", "note on prices"),
        ("Alla priser inkl. moms", "note on prices"),
        ("Zapytaj obsługę o alergeny", "note on allergies"),
        ("Alerjiniz varsa lütfen bildirin", "note on allergies"),
        ("1932 óta", "slogan"),
        ("Od 1956 roku", "slogan"),
    ],
)
def test_furniture_is_told_in_other_languages(text: str, kind: str) -> None:
    assert furniture_kind(text) == kind


@pytest.mark.parametrize("text", ["Moules marinières", "Kuzu güveç", "Od šefa kuhinje", "Cola 0,3", "Serviettenknödel"])
def test_a_dish_is_no_furniture(text: str) -> None:
    assert furniture_kind(text) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Cá kho tộ –tôm, mực", ("Cá kho tộ", "tôm, mực")),
        ("CHEESE STEAK or CHICKEN STEAK", ("CHEESE STEAK or CHICKEN STEAK", "")),
        ("CHEESE STEAK with fried onions", ("CHEESE STEAK", "with fried onions")),
    ],
)
def test_a_name_ends_at_its_description(text: str, parts: tuple[str, str]) -> None:
    assert split_name(text) == parts


def test_volumes_over_columns_of_prices_are_no_prices() -> None:
    page = [read("Birre", 50, 60, height=34), read_right("0,31", 480, 62), read_right("0,51", 600, 62)]
    for index, name in enumerate(("Chiara", "Rossa", "Bianca")):
        y = 120 + 40 * index
        page += [read(name, 50, y), read_right("4,50", 480, y), read_right("6,50", 600, y)]
    assert sections(page) == {"Birre": ["Chiara", "Rossa", "Bianca"]}
    texts = [piece.text for piece in cut_pieces(straighten(page)) if hasattr(piece, "text")]
    assert {"0,3 l", "0,5 l"} <= set(texts)


def test_a_small_price_stays_one_where_others_are_small() -> None:
    page = listing(("Bread", "0,31"), ("Butter", "0,80"), ("Salt", "0,20"), ("Egg", "1,10"))
    assert sections(page) == {"Menu": ["Bread", "Butter", "Salt", "Egg"]}


def test_a_heading_over_a_name_that_has_its_price_below_stays_a_heading() -> None:
    """Some prices below stand under a description in smaller type, others right under the name."""
    page: list[ReadLine] = []
    dishes = (("Polévky", ("Kulajda", "Vývar")), ("Dezerty", ("Medovník", "Bublanina")))
    for section, (heading, names) in enumerate(dishes):
        y = 100 + 300 * section
        page.append(read(heading, 250, y, height=36))
        for index, name in enumerate(names):
            top = y + 46 + 110 * index
            page.append(read(name, 240, top, height=26))
            if index:
                page.append(read("máslo, smetana", 245, top + 26, height=18))
            page.append(read(f"1{section}{index} CZK", 255, top + (54 if index else 30), height=26))
    assert sections(page) == {heading: list(names) for heading, names in dishes}


def test_a_year_is_no_price() -> None:
    page = [*listing(("Espresso", "3"), ("Latte", "4"), ("Mocha", "5"), ("Tea", "3")), read("Torino 1895", 50, 300)]
    assert [item for names in sections(page).values() for item in names] == ["Espresso", "Latte", "Mocha", "Tea"]
