"""``session=``: the caller's transaction decides, and our errors leave it usable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import (
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    JobQueueManager,
    QuotaExceededError,
    RateLimitExceededError,
    UserNotFoundError,
)
from tests.eventually import eventually
from tests.integration.jobs import URL, claimed, count, failed, queued, row, some_hash
from tests.scripted_extractor import RESULT

MakeUser = Callable[..., UUID]


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
