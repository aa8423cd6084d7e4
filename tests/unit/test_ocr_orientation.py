"""A picture is turned when its text says so, and nothing further is asked of an upright one."""

from __future__ import annotations

import pytest

from worker.extractors.ocr.orientation import lies_sideways, quarters_to_turn


def never() -> float:
    raise AssertionError("An upright picture was read a second time.")


def test_an_upright_picture_costs_nothing() -> None:
    assert quarters_to_turn(False, 0.97, never) == 0


@pytest.mark.parametrize(
    ("sideways", "score", "upside_down", "quarters"),
    [
        (False, 0.45, 0.97, 2),
        (True, 0.97, None, 1),
        (True, 0.45, 0.97, 3),
    ],
    ids=["upside down", "turned clockwise", "turned counter-clockwise"],
)
def test_turned_pictures_are_turned_back(
    sideways: bool, score: float, upside_down: float | None, quarters: int
) -> None:
    asked = never if upside_down is None else lambda: upside_down
    assert quarters_to_turn(sideways, score, asked) == quarters


@pytest.mark.parametrize(
    ("sideways", "score", "upside_down"),
    [
        (False, 0.72, 0.31),  # dark and blurred
        (False, 0.51, 0.74),  # Hebrew, which looks a little more like Latin letters from the other side
        (False, 0.79, 0.82),
        (True, 0.42, 0.44),  # columns of Chinese
    ],
)
def test_what_reads_no_better_the_other_way_stays(sideways: bool, score: float, upside_down: float) -> None:
    assert quarters_to_turn(sideways, score, lambda: upside_down) == 0


def test_the_length_of_the_lines_decides_whether_a_picture_lies_sideways() -> None:
    digits = [(True, 20.0)] * 12  # single digits are higher than wide on every page
    assert not lies_sideways([*digits, (False, 300.0), (False, 250.0)])
    assert lies_sideways([(True, 300.0), (True, 250.0), (False, 90.0)])
    assert not lies_sideways([])
