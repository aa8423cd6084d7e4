"""How often a job is attempted and how long it waits in between."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.retry_policy import MAX_ATTEMPTS, MAX_BACKOFF_SECONDS, backoff_seconds, may_retry

attempts = st.integers(1, 10_000)
bases = st.floats(0.001, 600)
randoms = st.randoms(use_true_random=False)


def test_a_job_is_executed_at_most_four_times() -> None:
    executions = 1
    while may_retry(executions):
        executions += 1
    assert executions == MAX_ATTEMPTS == 4


@given(attempts, bases, randoms)
def test_the_wait_lies_in_the_upper_half_of_its_exponential_interval(
    attempt: int, base: float, rng: random.Random
) -> None:
    ceiling = min(base * 2.0 ** min(attempt - 1, 100), MAX_BACKOFF_SECONDS)
    assert ceiling / 2 <= backoff_seconds(attempt, base, rng=rng) <= ceiling


@given(st.integers(1, 3), st.floats(0.1, 60), randoms)
def test_a_later_attempt_never_waits_less_than_an_earlier_one(attempt: int, base: float, rng: random.Random) -> None:
    assert backoff_seconds(attempt, base, rng=rng) <= backoff_seconds(attempt + 1, base, rng=rng)


@given(attempts, bases, randoms, st.floats(0, 10_000))
def test_the_providers_own_wish_is_a_lower_bound_up_to_the_cap(
    attempt: int, base: float, rng: random.Random, retry_after: float
) -> None:
    delay = backoff_seconds(attempt, base, rng=rng, retry_after=retry_after)
    assert delay >= min(retry_after, MAX_BACKOFF_SECONDS)
    assert delay <= MAX_BACKOFF_SECONDS


def test_the_waits_of_a_crowd_are_spread_and_never_zero() -> None:
    delays = {backoff_seconds(1, 2.0) for _ in range(200)}
    assert len(delays) > 100
    assert min(delays) >= 1.0


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        backoff_seconds(attempt, 1.0)
