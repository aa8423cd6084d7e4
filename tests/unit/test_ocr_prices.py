"""What is a price in a line of text, and what it is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extractors.ocr.prices import LARGEST, Evidence, find_prices


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Pizza $12.00", [12.0]),
        ("CRAB DIP14", [14.0]),
        ("蔥油餅25", [25.0]),
        ("Dim Sum 12", [12.0]),
        ("12,50 €", [12.5]),
        ("€12,50", [12.5]),
        ("£ 7.95", [7.95]),
        ("Rp 45.000", [45000.0]),
        ("1,250.00", [1250.0]),
        ("Pho 45k", [45000.0]),
        ("Oysters 2.50/pc", [2.5]),
        ("Schnitzel 12,-", [12.0]),
        ("4.50 6.50 8.50", [4.5, 6.5, 8.5]),
        ("8/15", [8.0, 15.0]),
        ("Espresso 2.50 Cappuccino 3.20", [2.5, 3.2]),
        ("1 for $2.00, or 6 for $9.00", [1.0, 2.0, 6.0, 9.0]),
        ("12 .50", [12.5]),
        ("120 kr", [120.0]),
        ("NT$120", [120.0]),
        ("Gulyásleves 3 250 Ft", [3250.0]),
        ("12 500 Kč", [12500.0]),
        ("Rétes - 5 750", [5750.0]),
        ("125:-", [125.0]),
        ("Fish €12.00 - €15.00", [12.0, 15.0]),
        ("8.00 - 9.00", [8.0, 9.0]),
    ],
)
def test_reads_prices_in_every_notation(text: str, values: list[float]) -> None:
    assert [price.value for price in find_prices(text)] == values


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("S12.00", 12.0, "USD"),
        ("S9", 9.0, "USD"),
        ("S13.5", 13.5, "USD"),
        ("€ I.40", 1.4, "EUR"),
        ("II.50", 11.5, None),
        ("£l1.5O", 11.5, "GBP"),
    ],
)
def test_mends_characters_read_as_others(text: str, value: float, currency: str | None) -> None:
    (price,) = find_prices(text)
    assert (price.value, price.currency, price.repaired) == (value, currency, True)


@pytest.mark.parametrize(
    "text",
    [
        "12oz steak",
        "Beer 500 ml",
        "100% Colombian",
        "Wings (6)",
        "Tel: (375) 555-7081",
        "469-640-5655",
        "Open Tuesday to Sunday 10.00 - 21.45",
        "11:30",
        "Otevřeno denně 11.00 - 23.00",
        "Mở cửa 18.00 – 2.00",
        "Telefon 089 123456",
        "Telefon 021 123 4567",
        "7UP",
        "2nd floor",
        "since 1962",
        'pizza 12"',
        "350 kcal",
        "E5 Bakehouse",
        "August 16",
        "COMBO2",
        "92aJb77",
    ],
)
def test_leaves_other_numbers_alone(text: str) -> None:
    assert find_prices(text) == []


def test_a_market_price_has_no_value() -> None:
    (price,) = find_prices("Lobster MP")
    assert price.value is None
    assert "Lobster MP"[price.start : price.end] == "MP"


def test_evidence_tells_a_bare_number_from_a_price() -> None:
    assert [find_prices(text)[0].evidence for text in ("12", "12.50", "$12")] == [
        Evidence.WHOLE,
        Evidence.DECIMAL,
        Evidence.MARKED,
    ]


def test_a_plus_marks_a_surcharge() -> None:
    assert [price.added for price in find_prices("bacon +$2.00")] == [True]
    assert [price.added for price in find_prices("bacon $2.00")] == [False]


@given(st.text(max_size=60))
def test_any_text_gives_ordered_prices_that_lie_within_it(text: str) -> None:
    place = 0
    for price in find_prices(text):
        assert place <= price.start < price.end <= len(text)
        assert price.value is None or 0 <= price.value < LARGEST
        place = price.end


WORDS = st.lists(st.sampled_from(["Soup", "of", "the", "Day", "Crème", "Brûlée"]), min_size=1, max_size=4).map(" ".join)


@given(
    name=WORDS,
    cents=st.integers(0, 99_999),
    point=st.sampled_from(".,"),
    pattern=st.sampled_from(["{}", "${}", "{} €", "€ {}", "£{}", "{} EUR", "CHF {}", "{} zł"]),
)
def test_a_price_written_in_any_way_reads_back(name: str, cents: int, point: str, pattern: str) -> None:
    written = pattern.format(f"{cents // 100}{point}{cents % 100:02}")
    text = f"{name} {written}"
    (price,) = find_prices(text)
    assert price.value == pytest.approx(cents / 100)
    assert text[price.start : price.end].strip() == written
    assert (price.currency is None) == (pattern == "{}")
