"""Rows of a tilted page become level; the places along them keep their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ocr_page import read, turned
from worker.extractors.ocr.straighten import levelling, straighten
from worker.extractors.ocr.text_line import ReadLine

NAMES = [f"Dish of the day number {index}" for index in range(12)]


@given(st.floats(-12, 12))
def test_name_and_price_of_a_turned_page_stand_in_one_row(degrees: float) -> None:
    bend = turned(degrees)
    page = [read(name, 60, 80 + 40 * index, bend=bend) for index, name in enumerate(NAMES)]
    page += [read("12.50", 900, 80 + 40 * index, bend=bend) for index in range(12)]
    lines = straighten(page)
    names = [line for line in lines if line.text.startswith("Dish")]
    prices = [line for line in lines if line.text == "12.50"]
    for name, price in zip(names, prices, strict=True):
        assert price.y == pytest.approx(name.y, abs=6)
        assert price.x0 > name.x1
    assert [name.text for name in names] == NAMES


def test_a_bent_page_is_straightened_along_its_rows() -> None:
    def bend(x: float, y: float) -> tuple[float, float]:
        return x, y + 0.12 * x * (y / 500 - 0.5)  # rows fan out from level in the middle

    page = [read(name, 60, 80 + 40 * index, bend=bend) for index, name in enumerate(NAMES)]
    page += [read("a rather long line here", 600, 80 + 40 * index, bend=bend) for index in range(12)]
    lines = straighten(page)
    left = [line.y for line in lines if line.text.startswith("Dish")]
    right = [line.y for line in lines if line.text.startswith("a rather")]
    assert right == pytest.approx(left, abs=5)


def test_words_keep_their_places_within_the_line() -> None:
    (line,) = straighten([read("Soup of the day", 100, 50)])
    assert [word.text for word in line.words] == ["Soup", "of", "the", "day"]
    assert line.x0 == pytest.approx(100)
    assert line.words[1].x0 == pytest.approx(100 + 5 * 12, abs=6)
    assert all(before.x1 <= after.x0 for before, after in zip(line.words, line.words[1:], strict=False))


def test_lines_that_run_up_the_page_are_left_out() -> None:
    upright = read("Happy Hour", 10, 20)
    corners = tuple((300 - y, x) for x, y in upright.corners)
    sideways = ReadLine("x", 0.9, (corners[0], corners[1], corners[2], corners[3]), (0.5,), (0.9,))
    assert [line.text for line in straighten([upright, sideways])] == ["Happy Hour"]
    assert straighten([]) == []


def test_lines_steeper_than_half_a_right_angle_are_left_out() -> None:
    lines = [read("Happy Hour", 10, 20), read("Every Day", 200, 100, bend=turned(60))]
    assert [line.text for line in straighten(lines)] == ["Happy Hour"]


def lines_with_slopes(*slopes: float) -> list[ReadLine]:
    page = []
    for index, slope in enumerate(slopes):
        y = 80.0 + 40 * index
        page.append(read(NAMES[index], 60, y, bend=lambda x, y, slope=slope: (x, y + slope * x)))  # type: ignore[misc]
    return page


def test_a_few_lines_say_how_the_page_is_turned_but_not_how_it_is_bent() -> None:
    page = levelling(lines_with_slopes(0.0, 0.004, 0.008, 0.012, 0.016))
    assert page.tilt == pytest.approx(0.008, abs=0.001)
    assert not page.slopes[1:].any()


@pytest.mark.parametrize("stray", [[0.04], [0.5, 0.5, 0.5]], ids=["a little", "far"])
def test_lines_that_lie_otherwise_do_not_turn_the_page(stray: list[float]) -> None:
    assert levelling(lines_with_slopes(*[0.0] * 4, *stray)).tilt == pytest.approx(0.0, abs=0.001)
