"""Long lines are recognised few at a time: together they took more memory than a worker has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.extractors.ocr.engine import LONGEST_SUM, lines_at_once


@pytest.mark.parametrize(
    ("shapes", "count"),
    [([20.0] * 24, 24), ([120.0] * 12, 1), ([60.0] * 24, 3), ([50.0, *[8.0] * 23], 4), ([500.0], 1), ([1.0], 1)],
)
def test_the_longer_the_lines_the_fewer(shapes: list[float], count: int) -> None:
    assert lines_at_once(shapes) == count


@given(st.lists(st.floats(0.1, 400), min_size=1, max_size=24))
def test_no_six_lines_exceed_the_sum_unless_one_does(lengths: list[float]) -> None:
    shapes = sorted(lengths, reverse=True)
    count = lines_at_once(shapes)
    assert 1 <= count <= len(shapes)
    together = min(count, 6)
    assert together == 1 or together * shapes[0] <= LONGEST_SUM
