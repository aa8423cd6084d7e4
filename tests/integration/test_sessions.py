"""``session=``: the caller's transaction decides, our errors leave it usable, no isolation level lets more in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg2
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from jobqueue import (
    ExtractionJob,
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    JobQueueManager,
    QueueUnavailableError,
    QuotaExceededError,
    RateLimitExceededError,
    Settings,
    UserNotFoundError,
)
from tests.eventually import eventually
from tests.integration.jobs import URL, claimed, count, failed, queued, row, some_hash, waiting_for_locks
from tests.scripted_extractor import RESULT

MakeUser = Callable[..., UUID]
Strict = Literal["REPEATABLE READ", "SERIALIZABLE"]
STRICT: list[Strict] = ["REPEATABLE READ", "SERIALIZABLE"]


def month(quota: int) -> dict[str, int]:
    return {"ocr_jobs": quota, "hourly_uploads": -1}


class Prepared:
    """One job in each state that a call needs."""

    def __init__(self, manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
        self.manager = manager
        self.user_id = user_id
        self.failed = failed(manager, engine, user_id)
        self.queued = queued(manager, user_id)
        self.running = queued(manager, user_id)
        claimed(engine, self.running.id)

    def submit(self, session: Session) -> Any:
        return self.manager.submit_job(self.user_id, URL, some_hash(), session=session)

    def submit_many(self, session: Session) -> Any:
        entries = [{"image_url": URL, "image_hash": some_hash()} for _ in range(2)]
        return self.manager.submit_jobs(self.user_id, entries, session=session)

    def retry(self, session: Session) -> Any:
        return self.manager.retry_job(self.failed.id, self.user_id, session=session)

    def cancel_queued(self, session: Session) -> Any:
        return self.manager.cancel_job(self.queued.id, self.user_id, session=session)

    def cancel_running(self, session: Session) -> Any:
        return self.manager.cancel_job(self.running.id, self.user_id, session=session)

    def complete(self, session: Session) -> Any:
        return self.manager.mark_job_completed(self.running.id, RESULT, 5, session=session)

    def fail(self, session: Session) -> Any:
        return self.manager.mark_job_failed(self.running.id, "No menu.", True, session=session)


CALLS = [
    Prepared.submit,
    Prepared.submit_many,
    Prepared.retry,
    Prepared.cancel_queued,
    Prepared.cancel_running,
    Prepared.complete,
    Prepared.fail,
]


@pytest.fixture
def prepared(manager: JobQueueManager, engine: Engine, user_id: UUID) -> Prepared:
    return Prepared(manager, engine, user_id)


@pytest.fixture
def listening(database_url: str) -> Iterator[Callable[[], int]]:
    """How many notifications other programs have got."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("LISTEN menu_extraction_jobs")

    def heard() -> int:
        connection.poll()
        return len(connection.notifies)

    yield heard
    connection.close()


def everything(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        tables = ("menu_extraction_jobs", "menu_extraction_job_events", "menu_extraction_submitters")
        return [
            connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()  # noqa: S608 - our own names
            for table in tables
        ]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_nothing_is_seen_before_the_commit_and_a_rollback_leaves_no_trace(
    prepared: Prepared, engine: Engine, listening: Callable[[], int], call: Callable[[Prepared, Session], Any]
) -> None:
    before, heard = everything(engine), listening()
    with Session(engine) as session:
        call(prepared, session)
        assert everything(engine) == before
        session.rollback()
    assert everything(engine) == before
    assert listening() == heard


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_commit_of_the_caller_makes_it_so(
    prepared: Prepared, engine: Engine, listening: Callable[[], int], call: Callable[[Prepared, Session], Any]
) -> None:
    before, heard = everything(engine), listening()
    with Session(engine) as session:
        call(prepared, session)
        session.commit()
    after = everything(engine)
    assert after != before
    new_events = len(after[1]) - len(before[1])
    assert new_events == {"submit_many": 2, "cancel_running": 0}.get(call.__name__, 1)
    eventually(lambda: listening() == heard + new_events, what="one notification for each change")


Refused = tuple[str, type[JobQueueError], Callable[[Prepared, Session], Any]]
REFUSED: list[Refused] = [
    ("unknown user", UserNotFoundError, lambda p, s: p.manager.submit_job(uuid4(), URL, some_hash(), session=s)),
    ("unknown users", UserNotFoundError, lambda p, s: p.manager.submit_jobs(uuid4(), [], session=s)),
    ("bad hash", InvalidInputError, lambda p, s: p.manager.submit_job(p.user_id, URL, "x", session=s)),
    ("retry queued", InvalidStatusError, lambda p, s: p.manager.retry_job(p.queued.id, p.user_id, session=s)),
    ("retry unknown", JobNotFoundError, lambda p, s: p.manager.retry_job(uuid4(), p.user_id, session=s)),
    ("cancel failed", InvalidStatusError, lambda p, s: p.manager.cancel_job(p.failed.id, p.user_id, session=s)),
    ("cancel unknown", JobNotFoundError, lambda p, s: p.manager.cancel_job(uuid4(), p.user_id, session=s)),
    ("complete with", InvalidResultError, lambda p, s: p.manager.mark_job_completed(p.queued.id, {}, 5, session=s)),
    (
        "complete failed",
        InvalidStatusError,
        lambda p, s: p.manager.mark_job_completed(p.failed.id, RESULT, 5, session=s),
    ),
    ("fail failed", InvalidStatusError, lambda p, s: p.manager.mark_job_failed(p.failed.id, "x", session=s)),
]


@pytest.mark.parametrize(("error", "call"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_an_error_of_ours_leaves_the_callers_transaction_usable(
    prepared: Prepared, engine: Engine, error: type[JobQueueError], call: Callable[[Prepared, Session], Any]
) -> None:
    before = count(engine)
    with Session(engine) as session:
        session.execute(text("CREATE TEMPORARY TABLE orders (name text) ON COMMIT DROP"))
        session.execute(text("INSERT INTO orders VALUES ('first')"))
        with pytest.raises(error):
            call(prepared, session)
        session.execute(text("INSERT INTO orders VALUES ('second')"))
        prepared.submit(session)
        assert session.execute(text("SELECT count(*) FROM orders")).scalar_one() == 2
        session.commit()
    assert count(engine) == before + 1


def test_a_refusal_for_lack_of_quota_leaves_it_usable_too(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 2, "hourly_uploads": 1})
    with Session(engine) as session:
        kept = manager.submit_job(user, URL, some_hash(), session=session).job
        with pytest.raises(RateLimitExceededError):
            manager.submit_job(user, URL, some_hash(), session=session)
        assert manager.submit_job(user, URL, kept.image_hash, session=session).job.id == kept.id
        session.commit()
    assert count(engine) == 1


def test_calls_in_one_transaction_see_each_other(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user, picture = user_on_plan("free", month(2)), some_hash()
    with Session(engine) as session:
        first = manager.submit_job(user, URL, picture, session=session).job
        assert manager.submit_job(user, URL, picture, session=session).job.id == first.id
        manager.mark_job_failed(first.id, "No menu.", session=session)
        again = manager.retry_job(first.id, user, session=session)
        manager.mark_job_completed(again.id, RESULT, 5, session=session)
        assert manager.submit_job(user, URL, picture, session=session).cached
        other = manager.submit_job(user, URL, some_hash(), session=session).job
        manager.cancel_job(other.id, user, session=session)
        with pytest.raises(QuotaExceededError):
            manager.submit_job(user, URL, some_hash(), session=session)
        session.commit()
    assert (row(engine, again.id)["status"], row(engine, other.id)["error_code"]) == ("completed", "CANCELLED")
    assert count(engine) == 3


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
