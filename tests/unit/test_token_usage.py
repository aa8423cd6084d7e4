"""What the attempts of a job cost together; an unknown figure is never 0."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from jobqueue.token_usage import added_usage

PRICED = {"inputTokens": 100, "outputTokens": 20, "estimatedCost": 0.25}
UNPRICED = {"inputTokens": 10, "outputTokens": 2, "estimatedCost": None}


@pytest.mark.parametrize(
    ("earlier", "latest", "together"),
    [
        (None, None, None),
        (None, PRICED, PRICED),
        (PRICED, None, PRICED),
        (PRICED, PRICED, {"inputTokens": 200, "outputTokens": 40, "estimatedCost": 0.5}),
        (UNPRICED, UNPRICED, {"inputTokens": 20, "outputTokens": 4, "estimatedCost": None}),
        (PRICED, UNPRICED, {"inputTokens": 110, "outputTokens": 22, "estimatedCost": 0.25}),
        (UNPRICED, PRICED, {"inputTokens": 110, "outputTokens": 22, "estimatedCost": 0.25}),
        (
            {"model": "a"},
            {"model": "b"},
            {"model": "b", "inputTokens": None, "outputTokens": None, "estimatedCost": None},
        ),
    ],
)
def test_figures_are_added_over_the_attempts_that_know_them(earlier: Any, latest: Any, together: Any) -> None:
    assert added_usage(earlier, latest) == together


@pytest.mark.parametrize(
    "malformed",
    [
        [1],
        "many",
        {"estimatedCost": float("nan")},
        {"estimatedCost": Decimal(1)},
        {"model": "a\x00"},
        {"model": "\ud800"},
    ],
)
def test_a_usage_that_cannot_be_stored_counts_as_none(malformed: Any) -> None:
    assert added_usage(PRICED, malformed) == PRICED
    assert added_usage(None, malformed) is None


@pytest.mark.parametrize("strange", [True, "12", [1]])
def test_what_is_no_number_is_not_added(strange: Any) -> None:
    together = added_usage({"inputTokens": strange}, {"inputTokens": 5})
    assert together is not None
    assert together["inputTokens"] == 5
