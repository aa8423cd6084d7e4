"""What speaks for a heading, and what against it, each by itself."""

from __future__ import annotations

from dataclasses import replace

from worker.extractors.ocr.headers import Surroundings, header_rating
from worker.extractors.ocr.link import Row
from worker.extractors.ocr.pieces import TextPiece
from worker.extractors.ocr.style import PageStyle

STYLE = PageStyle(
    name_height=24, text_height=24, names_in_capitals=False, step=40, price_on_description=False, larger_above=False
)
IN_CAPITALS = replace(STYLE, names_in_capitals=True)
AMONG_LINES = Surroundings(gap_above=1.0, gap_below=1.0, priced_follows=3, names_left=50, names_right=600)


def rating(
    text: str = "Warm Things",
    around: Surroundings = AMONG_LINES,
    style: PageStyle = STYLE,
    *,
    x0: float = 50,
    x1: float = 180,
    height: float = 24,
) -> float:
    return header_rating(Row([TextPiece(text, x0, x1, 100, height, 0.98)]), style, around)


def test_larger_type_and_capitals_speak_for_a_heading() -> None:
    assert rating(height=20) < rating(height=24) < rating(height=30) < rating(height=36)
    assert rating("WARM THINGS") > rating()
    assert rating("WARM THINGS", style=IN_CAPITALS) == rating()
    assert rating(style=IN_CAPITALS) < rating()


def test_room_above_and_a_price_soon_below_speak_for_a_heading() -> None:
    assert rating(around=replace(AMONG_LINES, gap_above=None)) == rating(around=replace(AMONG_LINES, gap_above=1.5))
    assert rating() < rating(around=replace(AMONG_LINES, gap_above=1.5))
    assert rating(around=replace(AMONG_LINES, gap_above=1.5)) < rating(around=replace(AMONG_LINES, gap_above=2.2))
    assert rating() < rating(around=replace(AMONG_LINES, priced_follows=2))
    assert rating() > rating(around=replace(AMONG_LINES, priced_follows=None))
    assert rating() < rating(around=replace(AMONG_LINES, sizes_beside=True))


def test_a_word_for_sections_speaks_for_a_heading() -> None:
    assert rating("Warm Soups") > rating()


def test_the_middle_of_its_column_speaks_for_a_heading() -> None:
    assert rating(x0=260, x1=390) > rating()
    assert rating(x0=400, x1=530) == rating()
    assert rating(x0=50, x1=600) == rating()


def test_the_wording_of_a_description_speaks_against_it() -> None:
    assert rating("Warm Things of the House") < rating()
    assert rating("Warm Things of the House on the Hill") < rating("Warm Things of the House")
    assert rating("Warm, Things") < rating()
    assert rating("warm things") == rating("(warm things)") == rating('"Warm Things"') < rating()
    assert rating("Warm Things.") < rating()


def test_what_has_no_word_is_none() -> None:
    assert rating("7 & 8", height=60) == -3.0
