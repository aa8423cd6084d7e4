"""The monthly quota: what it counts, in whose month, and what overrides it."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager, QuotaExceededError, Settings, SubmissionResult, UserNotFoundError
from tests.clock import Clock
from tests.conftest import set_plan
from tests.integration.jobs import URL, claimed, completed, count, fail, failed, queued, some_hash

MakeUser = Callable[..., UUID]
MILLISECOND = timedelta(milliseconds=1)


def month(quota: int) -> dict[str, int]:
    return {"ocr_jobs": quota, "hourly_uploads": -1}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clocked(engine: Engine, settings: Settings, clock: Clock) -> JobQueueManager:
    return JobQueueManager(engine, settings=settings, clock=clock)


def refusal(manager: JobQueueManager, user_id: UUID) -> QuotaExceededError:
    before = manager.list_user_jobs(user_id, limit=1000)
    with pytest.raises(QuotaExceededError) as caught:
        queued(manager, user_id)
    assert manager.list_user_jobs(user_id, limit=1000) == before
    return caught.value


@pytest.mark.parametrize(("plan", "quota"), [("free", 5), ("premium", 50), ("gold", 5), (None, 5)])
def test_exactly_the_plans_number_gets_in(
    manager: JobQueueManager, user_on_plan: MakeUser, plan: str | None, quota: int
) -> None:
    user = user_on_plan(plan, {"hourly_uploads": -1})
    for number in range(quota):
        assert manager.check_quota(user).current == number
        assert manager.check_quota(user).allowed
        queued(manager, user)
    check = manager.check_quota(user)
    assert (check.allowed, check.current, check.limit) == (False, quota, quota)
    assert check.reason is not None
    error = refusal(manager, user)
    assert error.details == {"current": quota, "limit": quota, "resets_at": check.resets_at}
    assert str(quota) in error.message


def test_enterprise_has_no_quota(manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser) -> None:
    user = user_on_plan("enterprise", {"hourly_uploads": -1})
    for _ in range(60):
        queued(manager, user)
    check = manager.check_quota(user)
    assert (check.allowed, check.current, check.limit, check.reason) == (True, 60, -1, None)


@pytest.mark.parametrize(
    ("given", "limit"), [(-1, -1), (0, 0), (2, 2), (None, 5), ("2", 5), (True, 5), (2.0, 5), (-2, 5)]
)
def test_what_stands_in_plan_limits(manager: JobQueueManager, user_on_plan: MakeUser, given: Any, limit: int) -> None:
    user = user_on_plan("free", {"ocr_jobs": given, "hourly_uploads": -1})
    assert manager.check_quota(user).limit == limit
    for _ in range(6 if limit < 0 else limit):
        queued(manager, user)
    if limit >= 0:
        assert refusal(manager, user).details["limit"] == limit


@pytest.mark.parametrize("plan_limits", [None, [], "many", 7])
def test_plan_limits_that_are_no_object_leave_the_plan(
    manager: JobQueueManager, user_on_plan: MakeUser, plan_limits: Any
) -> None:
    assert manager.check_quota(user_on_plan("premium", plan_limits)).limit == 50


def test_a_user_without_a_profile_is_on_free(manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser) -> None:
    user = user_on_plan()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM profiles WHERE id = :id"), {"id": user})
    assert manager.check_quota(user).limit == 5
    for _ in range(5):
        queued(manager, user)
    refusal(manager, user)


def test_a_change_of_plan_holds_for_the_next_submission(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", month(1))
    queued(manager, user)
    refusal(manager, user)
    set_plan(engine, user, "free", month(2))
    queued(manager, user)
    set_plan(engine, user, "free", month(1))
    check = manager.check_quota(user)
    assert (check.allowed, check.current, check.limit) == (False, 2, 1)
    refusal(manager, user)


def test_an_unknown_user_has_no_quota(manager: JobQueueManager) -> None:
    with pytest.raises(UserNotFoundError):
        manager.check_quota(uuid4())


def test_answers_from_the_record_charge_nothing_and_are_given_beyond_the_quota(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user, done, active = user_on_plan("free", month(2)), some_hash(), some_hash()
    completed(manager, engine, user, image_hash=done)
    first = queued(manager, user, image_hash=active)
    assert manager.submit_job(user, URL, done).cached
    assert manager.submit_job(user, URL, active).job.id == first.id
    assert manager.check_quota(user).current == 2
    refusal(manager, user)
    with pytest.raises(QuotaExceededError):
        manager.submit_job(user, URL, done, force=True)


@pytest.mark.parametrize("end", ["failed", "cancelled", "processing"])
def test_what_became_of_a_job_gives_nothing_back(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser, end: str
) -> None:
    user = user_on_plan("free", month(1))
    job = queued(manager, user)
    if end == "cancelled":
        manager.cancel_job(job.id, user)
    else:
        attempt = claimed(engine, job.id).attempt
        if end == "failed":
            fail(engine, job.id, attempt)
    refusal(manager, user)


def test_a_retry_charges_nothing_and_is_let_in_beyond_the_quota(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", month(2))
    job = failed(manager, engine, user)
    manager.retry_job(job.id, user)
    assert manager.check_quota(user).current == 1
    last = failed(manager, engine, user)
    manager.retry_job(last.id, user)
    assert manager.check_quota(user).current == 2
    refusal(manager, user)


def test_other_users_jobs_are_not_counted(manager: JobQueueManager, user_on_plan: MakeUser) -> None:
    one, other = user_on_plan("free", month(1)), user_on_plan("free", month(1))
    queued(manager, one)
    assert manager.check_quota(other).current == 0
    queued(manager, other)


BOUNDARIES = [
    datetime(year, number, 1, tzinfo=UTC)
    for year, number in [(2026, 1), (2026, 2), (2026, 3), (2024, 3), (2000, 3), (2100, 3), (2026, 5), (2027, 1)]
]


@pytest.mark.parametrize("begin", BOUNDARIES, ids=lambda moment: f"{moment:%Y-%m}")
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_the_month_turns_at_midnight_utc_whatever_the_servers_zone(
    clocked: JobQueueManager, engine: Engine, clock: Clock, user_on_plan: MakeUser, begin: datetime, zone: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE \"{engine.url.database}\" SET timezone TO '{zone}'"))
    engine.dispose()
    try:
        user = user_on_plan("free", month(1))
        clock.now = begin - MILLISECOND
        queued(clocked, user)
        error = refusal(clocked, user)
        assert error.details["resets_at"] == clocked.check_quota(user).resets_at == begin
        clock.now = begin
        check = clocked.check_quota(user)
        following = begin + timedelta(days=monthrange(begin.year, begin.month)[1])
        assert (check.allowed, check.current, check.resets_at) == (True, 0, following)
        queued(clocked, user)
        assert refusal(clocked, user).details["resets_at"] == following
        clock.now = following - MILLISECOND
        refusal(clocked, user)
        clock.now = following
        queued(clocked, user)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f'ALTER DATABASE "{engine.url.database}" RESET timezone'))
        engine.dispose()


def test_a_leap_day_belongs_to_february(clocked: JobQueueManager, clock: Clock, user_on_plan: MakeUser) -> None:
    user = user_on_plan("free", month(2))
    clock.now = datetime(2024, 2, 1, tzinfo=UTC)
    queued(clocked, user)
    clock.now = datetime(2024, 2, 29, 23, 59, 59, 999_000, UTC)
    queued(clocked, user)
    assert refusal(clocked, user).details["resets_at"] == datetime(2024, 3, 1, tzinfo=UTC)


def test_after_the_clock_was_put_back_a_job_of_the_next_month_is_not_counted(
    clocked: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": -1})
    clock.now = datetime(2026, 6, 1, tzinfo=UTC)
    queued(clocked, user)
    clock.now = datetime(2026, 5, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert clocked.check_quota(user).current == 0
    queued(clocked, user)


def test_jobs_submitted_together_count_in_the_month_they_were_let_in(
    clocked: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", month(3))
    clock.now = datetime(2026, 3, 1, tzinfo=UTC)
    clocked.submit_jobs(user, [{"image_url": URL, "image_hash": some_hash()} for _ in range(3)])
    assert clocked.check_quota(user).current == 3
    refusal(clocked, user)


def test_jobs_submitted_together_at_the_turn_of_the_month_keep_their_order(
    clocked: JobQueueManager, clock: Clock, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("enterprise", {"hourly_uploads": -1})
    clock.now = datetime(2026, 3, 1, tzinfo=UTC)
    same = {"image_url": URL, "image_hash": some_hash()}
    outcomes = clocked.submit_jobs(user, [{**same, "force": True} for _ in range(12)])
    made = [outcome.job.id for outcome in outcomes if isinstance(outcome, SubmissionResult)]
    assert [job.id for job in clocked.list_user_jobs(user)] == made[::-1]
    assert clocked.submit_job(user, URL, same["image_hash"]).job.id == made[-1]


def test_the_databases_clock_decides_when_none_is_injected(manager: JobQueueManager, engine: Engine) -> None:
    from tests.conftest import add_user

    user = add_user(engine)
    job = queued(manager, user)
    with engine.connect() as connection:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert timedelta(0) <= now - job.created_at < timedelta(seconds=30)
    assert count(engine) == 1
