"""Which currency a page means: by its marks, or else by its language and then said as a guess."""

from __future__ import annotations

import pytest

from worker.extractors.ocr.currency import page_currency
from worker.extractors.ocr.language import likely_currency

PAGES = {
    "VND": ["Phở bò tái", "Bún chả Hà Nội", "Nước dừa"],
    "PLN": ["Żurek staropolski", "Gołąbki w sosie", "Śledź w oleju"],
    "CZK": ["Předkrmy", "Hovězí guláš", "Smažený sýr, knedlíky"],
    "HUF": ["Főételek", "Fröccs, csapolt sör", "Desszertek", "Gyümölcsök, őszi"],
    "RON": ["Ciorbă de burtă", "Băuturi", "Țuică"],
    "TRY": ["Karışık ızgara", "Çoban salatası", "Yoğurt, ceviz, kaşar"],
    "SEK": ["Köttbullar på svenska", "lingon och gräddsås", "Råvaror"],
    "DKK": ["Stegt flæsk", "rødkål og løg", "Æblekage"],
    "EUR": ["Tarte aux pommes", "Assiette du chef", "Riz et légumes avec sauce"],
    "TWD": ["紅燒牛肉麵", "酸辣湯", "魯肉飯"],
    "CNY": ["红烧牛肉面", "酸辣汤", "蛋炒饭"],
    "JPY": ["ラーメン", "お好み焼き", "天ぷら"],
    "USD": ["Fish and chips with peas", "Soup of the day", "Served with fresh bread"],
}


@pytest.mark.parametrize("code", PAGES)
def test_the_language_of_a_page_without_a_mark_gives_a_guess(code: str) -> None:
    guess, certainty = page_currency([], PAGES[code])
    assert guess == code
    assert certainty < 0.5


def test_a_page_that_says_nothing_is_in_dollars_with_less_certainty() -> None:
    assert page_currency([], ["Xyz"]) == ("USD", 0.2)


def test_marks_decide_whatever_the_language() -> None:
    assert page_currency(["GBP"] * 4, PAGES["EUR"]) == ("GBP", 1.0)


@pytest.mark.parametrize(
    ("marked", "code"), [("SEK", "SEK"), ("SEK", "DKK"), ("CNY", "CNY"), ("CNY", "TWD"), ("JPY", "JPY"), ("JPY", "CNY")]
)
def test_what_one_mark_means_in_two_countries_the_language_says(marked: str, code: str) -> None:
    assert page_currency([marked] * 4, PAGES[code]) == (code, 1.0)
    assert page_currency(["CZK"] * 4, PAGES[code]) == ("CZK", 1.0)


def test_most_marks_decide_and_the_others_make_it_less_sure() -> None:
    assert page_currency(["GBP", "USD", "GBP", "GBP"], []) == ("GBP", 0.75)


def test_a_currency_that_is_only_named_is_less_sure() -> None:
    assert page_currency([], ["All prices in EUR"]) == ("EUR", 0.6)
    code, certainty = page_currency([], ["EUR, EUR or USD"])
    assert (code, round(certainty, 3)) == ("EUR", 0.4)


def test_letters_that_also_mean_something_else_name_no_currency() -> None:
    assert page_currency([], ["Fr, kr, lei", "TL, RM"]) == ("USD", 0.2)


def test_a_word_or_two_are_no_language() -> None:
    assert likely_currency(["Tarte aux pommes du chef"]) is None


def test_the_language_is_looked_for_among_those_asked_about_only() -> None:
    assert likely_currency(PAGES["EUR"], ("SEK", "DKK")) is None
