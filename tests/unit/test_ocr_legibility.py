"""What the engine makes of scripts that it does not know is told from what it makes of a bad photo."""

from __future__ import annotations

import pytest

from tests.unit.ocr_page import listing, read, read_right
from worker.extractors.ocr.legibility import REASON, judge, unread_items
from worker.extractors.ocr.text_line import ReadLine

PRICES = ("12.00", "8.50", "9.50", "11.00", "7.00")


def page(*names: tuple[str, float], prices: tuple[str, ...] = PRICES, price_score: float = 1.0) -> list[ReadLine]:
    """Names with their scores, each with a price at the right."""
    lines = []
    for row, (name, score) in enumerate(names):
        lines.append(read(name, 50, 100 + 40 * row, score=score))
        lines.append(read_right(prices[row], 600, 100 + 40 * row, score=price_score))
    return lines


def blank(row: int, width: float = 220) -> ReadLine:
    x, y = 50.0, 100.0 + 40 * row
    return ReadLine("", 0.0, ((x, y), (x + width, y), (x + width, y + 24), (x, y + 24)), (), ())


def prices_alone() -> list[ReadLine]:
    return [read_right(price, 600, 100 + 40 * row) for row, price in enumerate(PRICES)]


THAI = page(("9277Jb77", 0.4), ("NAlnUINA", 0.4), ("Tanl", 0.35), ("7Nea", 0.49), ("U", 0.63))
CYRILLIC_CAPITALS = page(("BEΦCTPOΓAHOB", 0.9), ("KAPKOE B ΓOPIIIOUKE", 0.93), ("ΓOΛYBЦЫ", 0.85))
GREEK = page(("Mουσακ σπιτικ", 0.89), ("Σουβλκι χοιρινó", 0.87), ("ασττσι φορνου", 0.87))
VIETNAMESE = page(("Ph bò tái nm", 0.99), ("Bún ch Hà Ni", 0.99), ("Cơm tm sưn bì ch", 0.99), ("Bánh mì tht nưng", 1.0))


@pytest.mark.parametrize("lines", [THAI, CYRILLIC_CAPITALS, GREEK, VIETNAMESE], ids=["Thai", "capitals", "Greek", "ở"])
def test_a_page_of_guesses_is_hopeless(lines: list[ReadLine]) -> None:
    assert judge(lines, []).hopeless


def test_a_page_of_blanks_is_hopeless() -> None:
    assert judge(prices_alone(), [blank(row) for row in range(5)]).hopeless


def test_a_few_characters_in_a_long_box_are_as_good_as_none() -> None:
    lines = prices_alone()
    for row in range(5):
        sparse = blank(row)
        lines.append(ReadLine(" -", 0.9, sparse.corners, (0.1, 0.9), (0.9, 0.9)))
    assert judge(lines, []).hopeless


def test_a_blurred_page_is_read_as_well_as_it_can_be() -> None:
    """Its digits are no clearer than its words."""
    lines = page(*[(f"Chcken Curny {row}", 0.55) for row in "abcde"], price_score=0.6)
    judged = judge(lines, [blank(9)])
    assert (judged.lines, judged.guesses, judged.blanks, judged.hopeless) == (lines, [], [], False)


def test_a_page_without_numbers_is_not_judged_by_scores() -> None:
    lines = [read(f"Chcken Curny {row}", 50, 100, score=0.5) for row in "abcde"]
    assert judge(lines, []).lines == lines


def test_a_few_faint_words_are_no_script() -> None:
    lines = page(("Mushroom Soup", 0.98), ("Caesar Salad", 0.97), ("Club Sandwich", 0.99), ("Tnffle Frles", 0.6))
    judged = judge(lines, [])
    assert (judged.lines, judged.guesses) == (lines, [])


@pytest.mark.parametrize("name", ["Crème brûlée", "Żurek z białą kiełbasą", "Đuveč", "İskender, ızgara", "5 µm Ω π"])
def test_accented_latin_letters_and_symbols_are_read(name: str) -> None:
    lines = listing((name, "12.00"), ("Soup", "8.50"), ("Rice", "9.50"))
    judged = judge(lines, [])
    assert (judged.lines, judged.hopeless) == (lines, False)


def test_of_two_languages_the_readable_one_stays() -> None:
    english = page(("Prawn Fried Rice", 0.99), ("Tom Yum Goong", 0.99), ("Pad Thai", 0.99))
    thai = [read("92aJb77", 50, 300, score=0.4), read("NAlnUINA", 50, 340, score=0.4), read("U", 50, 390, score=0.3)]
    mark = read("2", 110, 325, height=14)
    judged = judge([*english, *thai, mark], [blank(7)])
    assert (judged.lines, judged.guesses, judged.hopeless) == (english, [*thai, mark], False)
    assert len(judged.blanks) == 1
    assert unread_items(judged) == [
        {"text": "92aJb77", "reason": REASON, "confidence": 0.12},
        {"text": "NAlnUINA", "reason": REASON, "confidence": 0.12},
        {"text": "3 more lines", "reason": REASON, "confidence": 0.0},
    ]


def test_on_a_vietnamese_page_only_what_has_kept_its_letters_stays() -> None:
    english = [read("Rare beef noodle soup", 50, 120), read("Grilled pork, rice, fish sauce", 50, 160)]
    names = [read("Ph bò tái 12.00", 50, 100), read("Cơm sưn nưng 9.50", 50, 140)]
    judged = judge([*english, *names], [])
    assert (judged.lines, judged.guesses) == (english, names)
    assert [item.get("suggestedPrice") for item in unread_items(judged)] == [12.0, 9.5]


def test_nothing_read_is_nothing_to_judge() -> None:
    assert judge([], []).lines == []
    assert not judge([], []).hopeless


@pytest.mark.parametrize(("faint", "hopeless"), [(4, True), (3, False)])
def test_most_of_a_page_is_seven_tenths_of_its_words(faint: int, hopeless: bool) -> None:
    lines = page(*[("NAlnUINA", 0.4 if row < faint else 0.99) for row in range(5)])
    assert judge(lines, []).hopeless is hopeless


def test_two_clear_numbers_are_too_few_to_blame_the_script() -> None:
    lines = page(("Chcken Curny", 0.5), ("Tnffle Frles", 0.5))
    judged = judge(lines, [])
    assert (judged.lines, judged.hopeless) == (lines, False)


def test_a_word_as_long_as_the_guess_that_it_touches_is_no_mark_of_it() -> None:
    english = page(("Prawn Fried Rice", 0.99), ("Tom Yum Goong", 0.99), ("Pad Thai", 0.99))
    guesses = [read("92aJb77xx", 50, 300, score=0.4), read("NAlnUINAx", 50, 340, score=0.4)]
    word = read("Noodles", 60, 310)
    assert word in judge([*english, *guesses, word], []).lines


def test_what_could_not_be_read_is_listed_from_the_top() -> None:
    english = page(("Prawn Fried Rice", 0.99), ("Tom Yum Goong", 0.99), ("Pad Thai", 0.99))
    lower, upper = read("NAlnUINA", 50, 340, score=0.4), read("92aJbxxx", 50, 300, score=0.4)
    assert [item["text"] for item in unread_items(judge([*english, lower, upper], []))] == ["92aJbxxx", "NAlnUINA"]
