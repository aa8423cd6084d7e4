"""The hourly limit: a window that slides, and a reset time that is the very moment the next upload is let in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from jobqueue import (
    InvalidInputError,
    JobQueueManager,
    QuotaExceededError,
    RateLimitExceededError,
    Settings,
    SubmissionResult,
    UserNotFoundError,
)
from tests.clock import Clock
from tests.conftest import set_plan
from tests.integration.jobs import URL, completed, failed, queued, some_hash

MakeUser = Callable[..., UUID]
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def hour(limit: Any) -> dict[str, Any]:
    return {"ocr_jobs": -1, "hourly_uploads": limit}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(engine: Engine, settings: Settings, clock: Clock) -> JobQueueManager:
    return JobQueueManager(engine, settings=settings, clock=clock)


def refusal(manager: JobQueueManager, user_id: UUID) -> RateLimitExceededError:
    with pytest.raises(RateLimitExceededError) as caught:
        queued(manager, user_id)
    return caught.value


@pytest.mark.parametrize(("plan", "limit"), [("free", 10), ("premium", 20), ("enterprise", 50), ("gold", 10)])
def test_each_plan_has_its_hourly_limit(
    manager: JobQueueManager, user_on_plan: MakeUser, plan: str, limit: int
) -> None:
    user = user_on_plan(plan, {"ocr_jobs": -1})
    together = manager.submit_jobs(user, [{"image_url": URL, "image_hash": some_hash()} for _ in range(limit + 1)])
    assert [isinstance(one, SubmissionResult) for one in together] == [True] * limit + [False]
    check = manager.check_rate_limit(user)
    assert (check.allowed, check.current, check.limit) == (False, limit, limit)
    assert refusal(manager, user).details == {"current": limit, "limit": limit, "reset_at": check.reset_at}


@pytest.mark.parametrize("given", [None, "3", True, 3.5, -7])
def test_what_is_no_limit_leaves_the_plans(manager: JobQueueManager, user_on_plan: MakeUser, given: Any) -> None:
    assert manager.check_rate_limit(user_on_plan("premium", hour(given))).limit == 20


def test_the_window_slides_and_reset_at_is_exact(
    manager: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(3))
    begun = []
    for _ in range(3):
        begun.append(clock.now)
        queued(manager, user)
        clock.advance(minutes=17, microseconds=3)
    for oldest in begun:
        error = refusal(manager, user)
        check = manager.check_rate_limit(user)
        assert error.reset_at == check.reset_at == oldest + HOUR
        assert (check.allowed, check.current) == (False, 3)
        clock.now = oldest + HOUR - MICROSECOND
        refusal(manager, user)
        clock.now = oldest + HOUR
        assert manager.check_rate_limit(user).allowed
        assert manager.check_rate_limit(user).reset_at == clock.now
        queued(manager, user)


def test_after_a_lower_limit_the_reset_waits_for_the_upload_that_must_leave(
    manager: JobQueueManager, engine: Engine, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(5))
    begun = []
    for _ in range(5):
        begun.append(clock.now)
        queued(manager, user)
        clock.advance(minutes=5)
    set_plan(engine, user, "free", hour(2))
    check = manager.check_rate_limit(user)
    assert (check.allowed, check.current, check.limit, check.reset_at) == (False, 5, 2, begun[3] + HOUR)
    clock.now = begun[3] + HOUR - MICROSECOND
    assert refusal(manager, user).reset_at == begun[3] + HOUR
    clock.now = begun[3] + HOUR
    queued(manager, user)
    set_plan(engine, user, "free", hour(6))
    assert manager.check_rate_limit(user).allowed


def test_a_limit_of_zero_lets_nothing_in_and_names_no_moment(manager: JobQueueManager, user_on_plan: MakeUser) -> None:
    user = user_on_plan("free", hour(0))
    check = manager.check_rate_limit(user)
    assert (check.allowed, check.current, check.limit, check.reset_at) == (False, 0, 0, None)
    error = refusal(manager, user)
    assert error.reset_at is None
    assert manager.list_user_jobs(user) == []


def test_what_others_upload_is_not_counted(manager: JobQueueManager, user_on_plan: MakeUser) -> None:
    user, other = user_on_plan("free", hour(1)), user_on_plan("free", hour(1))
    queued(manager, other)
    check = manager.check_rate_limit(user)
    assert (check.allowed, check.current) == (True, 0)
    queued(manager, user)


def test_after_the_clock_was_put_back_a_later_upload_is_not_counted(
    manager: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(1))
    queued(manager, user)
    clock.now -= MICROSECOND
    assert manager.check_rate_limit(user).current == 0
    queued(manager, user)


def test_minus_one_is_unlimited(manager: JobQueueManager, user_on_plan: MakeUser) -> None:
    user = user_on_plan("free", hour(-1))
    for _ in range(12):
        queued(manager, user)
    check = manager.check_rate_limit(user)
    assert (check.allowed, check.current, check.limit) == (True, 12, -1)


def test_a_limit_given_in_the_call_replaces_the_plans(
    manager: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(10))
    first = clock.now
    queued(manager, user)
    clock.advance(minutes=1)
    queued(manager, user)
    assert manager.check_rate_limit(user, 2).reset_at == first + HOUR
    assert manager.check_rate_limit(user, 1).reset_at == first + timedelta(minutes=61)
    assert not manager.check_rate_limit(user, 0).allowed
    assert manager.check_rate_limit(user, -1).allowed
    assert manager.check_rate_limit(user, 3).allowed


@pytest.mark.parametrize("limit", [-2, 1.5, "3", True, 2**31])
def test_a_malformed_limit_is_refused(manager: JobQueueManager, user_id: UUID, limit: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        manager.check_rate_limit(user_id, limit)
    assert caught.value.details == {"argument": "limit_per_hour"}


def test_an_unknown_user_has_no_limit(manager: JobQueueManager) -> None:
    with pytest.raises(UserNotFoundError):
        manager.check_rate_limit(uuid4())


def test_a_retry_counts_as_an_upload_and_is_refused_beyond_the_limit(
    manager: JobQueueManager, engine: Engine, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(3))
    first = clock.now
    one = failed(manager, engine, user)
    other = failed(manager, engine, user)
    clock.advance(minutes=10)
    manager.retry_job(one.id, user)
    assert manager.check_rate_limit(user).current == 3
    with pytest.raises(RateLimitExceededError) as caught:
        manager.retry_job(other.id, user)
    assert caught.value.reset_at == first + HOUR
    refusal(manager, user)
    clock.now = first + HOUR
    assert manager.retry_job(other.id, user).retry_of == other.id


def test_answers_from_the_record_are_no_uploads(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user, done = user_on_plan("free", hour(2)), some_hash()
    completed(manager, engine, user, image_hash=done)
    active = queued(manager, user)
    for _ in range(5):
        assert manager.submit_job(user, URL, done).cached
        assert manager.submit_job(user, URL, active.image_hash).job.id == active.id
    assert manager.check_rate_limit(user).current == 2


def test_the_quota_is_named_first_when_both_are_used_up(manager: JobQueueManager, user_on_plan: MakeUser) -> None:
    user = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": 1})
    queued(manager, user)
    with pytest.raises(QuotaExceededError):
        queued(manager, user)


def test_the_hour_goes_on_over_the_end_of_a_month(
    manager: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", hour(1))
    clock.now = clock.now.replace(month=5, day=31, hour=23, minute=30)
    queued(manager, user)
    clock.advance(minutes=59)
    refusal(manager, user)
    clock.advance(minutes=1)
    queued(manager, user)


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_a_call_that_fills_the_hour_itself_is_told_the_same_moment_as_the_next_check(
    manager: JobQueueManager, clock: Clock, user_on_plan: MakeUser, earlier: int
) -> None:
    user = user_on_plan("free", hour(3))
    for _ in range(earlier):
        queued(manager, user)
        clock.advance(minutes=7)
    outcomes = manager.submit_jobs(user, [{"image_url": URL, "image_hash": some_hash()} for _ in range(5)])
    refused = [one for one in outcomes if isinstance(one, RateLimitExceededError)]
    assert len(refused) == 2 + earlier
    check = manager.check_rate_limit(user)
    assert {one.reset_at for one in refused} == {check.reset_at}
    assert {one.details["current"] for one in refused} == {3}
    assert check.reset_at is not None
    clock.now = check.reset_at - MICROSECOND
    refusal(manager, user)
    clock.now = check.reset_at
    queued(manager, user)
