"""Callers' transactions at every isolation level: at most a typed error, and never more than the quota."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from jobqueue import ExtractionJob, JobQueueError, JobQueueManager, QueueUnavailableError, QuotaExceededError, Settings
from jobqueue.database import create_database_engine
from tests.eventually import eventually
from tests.integration.jobs import URL, count, queued, some_hash, waiting_for_locks

HASH = "ab" * 32
MakeUser = Callable[..., UUID]


Strict = Literal["REPEATABLE READ", "SERIALIZABLE"]


STRICT: list[Strict] = ["REPEATABLE READ", "SERIALIZABLE"]


def month(quota: int) -> dict[str, int]:
    return {"ocr_jobs": quota, "hourly_uploads": -1}


@pytest.mark.parametrize("strict", STRICT)
@pytest.mark.parametrize("seen_before", [False, True], ids=["first submission ever", "not the first"])
def test_a_strict_caller_with_an_old_snapshot_gets_a_typed_error_and_never_more_than_the_quota(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser, strict: Strict, seen_before: bool
) -> None:
    user = user_on_plan("free", month(2 if seen_before else 1))
    if seen_before:
        queued(manager, user)
    with Session(engine.execution_options(isolation_level=strict)) as session:
        session.execute(text("SELECT count(*) FROM menu_extraction_jobs")).scalar_one()
        queued(manager, user)
        with pytest.raises(QueueUnavailableError) as caught:
            manager.submit_job(user, URL, some_hash(), session=session)
        assert "begin the transaction again" in caught.value.message
        assert caught.value.details == {"sqlstate": "40001"}
        assert session.execute(text("SELECT 1")).scalar_one() == 1
        session.rollback()
        with pytest.raises(QuotaExceededError):
            manager.submit_job(user, URL, some_hash(), session=session)
    assert count(engine) == (2 if seen_before else 1)


@pytest.mark.parametrize("strict", STRICT)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_strict_caller_that_waited_for_another(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser, strict: Strict, end: str
) -> None:
    user = user_on_plan("free", month(1))

    def submit_strictly() -> ExtractionJob | JobQueueError:
        with Session(engine.execution_options(isolation_level=strict)) as session:
            try:
                job = manager.submit_job(user, URL, some_hash(), session=session).job
            except JobQueueError as error:
                return error
            session.commit()
            return job

    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        manager.submit_job(user, URL, some_hash(), session=session)
        waiting = other.submit(submit_strictly)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the strict caller waiting")
        getattr(session, end)()
        outcome = waiting.result(timeout=10)
    assert isinstance(outcome, QueueUnavailableError if end == "commit" else ExtractionJob)
    assert count(engine) == 1


@pytest.mark.parametrize("strict", STRICT)
def test_sixteen_strict_callers_never_exceed_the_quota(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser, strict: Strict
) -> None:
    user = user_on_plan("free", month(3))

    def submit(_number: int) -> str:
        with Session(engine.execution_options(isolation_level=strict)) as session:
            try:
                manager.submit_job(user, URL, some_hash(), session=session)
            except JobQueueError as error:
                return error.code
            session.commit()
            return "ok"

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(submit, range(48)))
    assert set(answers) <= {"ok", "QUOTA_EXCEEDED", "QUEUE_UNAVAILABLE"}
    assert answers.count("ok") == count(engine) <= 3


@pytest.mark.parametrize("level", [*STRICT, "AUTOCOMMIT"])
def test_a_session_factory_of_any_isolation_level_keeps_to_the_quota_without_errors(
    engine: Engine, settings: Settings, user_on_plan: MakeUser, level: Any
) -> None:
    user = user_on_plan("free", month(3))
    manager = JobQueueManager(sessionmaker(engine.execution_options(isolation_level=level)), settings=settings)

    def submit(_number: int) -> str:
        try:
            manager.submit_job(user, URL, some_hash())
        except JobQueueError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(submit, range(48)))
    assert (answers.count("ok"), answers.count("QUOTA_EXCEEDED")) == (3, 45)
    assert count(engine) == 3


def test_two_callers_that_lock_two_users_crosswise_get_at_most_one_typed_error(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    users = [user_on_plan("free", month(5)) for _ in range(2)]

    def both(first: Session, order: list[UUID]) -> str:
        try:
            manager.submit_job(order[1], URL, some_hash(), session=first)
        except QueueUnavailableError as error:
            first.rollback()
            return str(error.details["sqlstate"])
        first.commit()
        return "ok"

    with Session(engine) as one, Session(engine) as other, ThreadPoolExecutor(2) as threads:
        manager.submit_job(users[0], URL, some_hash(), session=one)
        manager.submit_job(users[1], URL, some_hash(), session=other)
        outcomes = [threads.submit(both, one, users), threads.submit(both, other, users[::-1])]
        assert sorted(outcome.result(timeout=20) for outcome in outcomes) == ["40P01", "ok"]
    assert count(engine) == 2


def test_a_transaction_that_has_failed_already_is_a_typed_error(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with Session(engine) as session:
        with pytest.raises(Exception, match="no_such_table"):
            session.execute(text("SELECT * FROM no_such_table"))
        with pytest.raises(QueueUnavailableError):
            manager.submit_job(user_id, URL, some_hash(), session=session)
    assert count(engine) == 0


@pytest.mark.parametrize("bind", [lambda strict: strict, sessionmaker], ids=["engine", "session factory"])
@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_one_job_per_picture_at_every_isolation_level(
    manager: JobQueueManager,
    database_url: str,
    settings: Settings,
    engine: Engine,
    user_id: UUID,
    isolation: Any,
    bind: Any,
) -> None:
    strict = create_database_engine(database_url, isolation_level=isolation)
    strict_manager = JobQueueManager(bind(strict), settings=settings)
    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        first = manager.submit_job(user_id, URL, HASH, session=session)
        second = other.submit(strict_manager.submit_job, user_id, URL, HASH)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second submitter waiting")
        session.commit()
        assert second.result(timeout=10).job.id == first.job.id
    strict.dispose()
    assert count(engine) == 1
