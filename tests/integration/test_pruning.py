"""Pruning: what goes, what stays whatever its age, and what it does to those who use the rows meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from jobqueue import (
    ExtractionFeedback,
    JobNotFoundError,
    JobQueueManager,
    MaxRetriesExceededError,
    QueueUnavailableError,
    Settings,
)
from jobqueue.database import Database, create_database_engine
from jobqueue.retention import prune
from jobqueue.store.pruning import age, prune_batch
from tests.eventually import eventually
from tests.integration.jobs import (
    claimed,
    completed,
    count,
    current,
    fail,
    failed,
    queued,
    some_hash,
    waiting_for_locks,
)
from tests.integration.pruned import exists, later, made_old, pruned, publish_all

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_old_finished_jobs_go_with_their_events_and_feedback(
    manager: JobQueueManager, engine: Engine, settings: Settings, user_id: UUID, other_user_id: UUID
) -> None:
    old, young = completed(manager, engine, user_id), completed(manager, engine, other_user_id)
    feedback = ExtractionFeedback(engine, settings=settings)
    for job in (old, young):
        feedback.give(job.id, job.user_id, "excellent")
    publish_all(engine)
    made_old(engine, old.id, NOW - 31 * DAY)
    made_old(engine, young.id, NOW - 29 * DAY)
    assert pruned(engine, now=NOW) == (1, 3)
    assert manager.get_job_status(old.id) is None
    assert manager.job_history(old.id) == []
    assert (len(manager.job_history(young.id)), count(engine, "extraction_feedback")) == (3, 1)
    assert [one.extractions for one in feedback.figures()] == [1]
    assert pruned(engine, now=NOW) == (0, 0)


def test_age_is_counted_from_the_end_of_a_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = failed(manager, engine, user_id)
    publish_all(engine)
    made_old(engine, job.id, created=NOW - 90 * DAY, finished=NOW - 29 * DAY)
    assert pruned(engine, now=NOW) == (0, 0)
    assert pruned(engine, now=NOW + 2 * DAY) == (1, 3)


def test_an_unfinished_job_stays_however_old(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    waiting, running = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, running.id)
    publish_all(engine)
    for job in (waiting, running):
        made_old(engine, job.id, NOW - 1000 * DAY)
    assert pruned(engine, now=NOW) == (0, 0)
    assert count(engine) == 2


@pytest.mark.parametrize(
    ("created", "now", "stays"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC), True),
        (datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC), False),
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), datetime(2026, 4, 1, 0, 30, tzinfo=UTC), True),
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), datetime(2026, 4, 1, 1, 0, tzinfo=UTC), False),
    ],
)
def test_what_quotas_and_hourly_limits_count_stays(
    manager: JobQueueManager, engine: Engine, user_id: UUID, created: datetime, now: datetime, stays: bool
) -> None:
    job = completed(manager, engine, user_id)
    publish_all(engine)
    made_old(engine, job.id, created)
    clocked = JobQueueManager(engine, settings=manager._settings, clock=lambda: now)
    before = clocked.check_quota(user_id), clocked.check_rate_limit(user_id)
    pruned(engine, days=0, now=now)
    assert exists(engine, job.id) is stays
    assert (clocked.check_quota(user_id), clocked.check_rate_limit(user_id)) == before


@pytest.mark.parametrize("numbered", [False, True])
def test_a_job_stays_until_its_events_were_published(
    manager: JobQueueManager, engine: Engine, user_id: UUID, numbered: bool
) -> None:
    from tests.integration.event_numbering import number_all

    job = completed(manager, engine, user_id)
    if numbered:
        number_all(engine)
    assert pruned(engine) == (0, 0)
    publish_all(engine)
    assert pruned(engine) == (1, 3)
    assert not exists(engine, job.id)


def test_a_line_of_retries_stays_while_one_of_it_does_and_goes_as_a_whole(
    manager: JobQueueManager, engine: Engine, user_on_plan: Callable[..., UUID]
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 5, "hourly_uploads": -1})
    line = [failed(manager, engine, user)]
    for _ in range(3):
        line.append(manager.retry_job(line[-1].id, user))
        fail(engine, line[-1].id, claimed(engine, line[-1].id).attempt)
    publish_all(engine)
    for job in line[:3]:
        made_old(engine, job.id, datetime(2025, 12, 24, tzinfo=UTC))
    charged = manager.check_quota(user).current
    assert pruned(engine, now=datetime.now(UTC) + timedelta(minutes=1)) == (0, 0)
    assert manager.check_quota(user).current == charged
    with pytest.raises(MaxRetriesExceededError):
        manager.retry_job(line[3].id, user)
    assert current(manager, line[3].id).retry_of == line[2].id
    assert pruned(engine, batch=1) == (4, 12)
    assert count(engine) == 0


def test_a_line_stays_whole_also_when_it_is_the_original_that_has_to_stay(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    original = failed(manager, engine, user_id)
    new = manager.retry_job(original.id, user_id)
    fail(engine, new.id, claimed(engine, new.id).attempt)
    publish_all(engine)
    made_old(engine, new.id, datetime(2025, 12, 24, tzinfo=UTC))
    assert pruned(engine, now=datetime.now(UTC) + timedelta(minutes=1)) == (0, 0)
    assert count(engine) == 2


def test_a_job_answers_while_it_is_kept_and_then_leads_to_a_new_one(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    digest = some_hash()
    job = completed(manager, engine, user_id, image_hash=digest)
    publish_all(engine)
    assert pruned(engine, days=80) == (0, 0)
    answer = manager.submit_job(user_id, job.image_url, digest)
    assert (answer.job.id, answer.cached) == (job.id, True)
    assert pruned(engine) == (1, 3)
    anew = manager.submit_job(user_id, job.image_url, digest)
    assert (anew.job.id != job.id, anew.cached) == (True, False)


def test_a_dry_run_counts_the_same_and_deletes_nothing(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for _ in range(5):
        completed(manager, engine, user_id)
    publish_all(engine)
    assert pruned(engine, dry_run=True, batch=2) == (5, 15)
    assert (count(engine), count(engine, "menu_extraction_pruned_events")) == (5, 0)
    assert pruned(engine, batch=2) == (5, 15)


def test_each_batch_is_bounded_and_committed_by_itself(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for _ in range(7):
        completed(manager, engine, user_id)
    publish_all(engine)
    moment = later()
    steps = prune(Database(engine), 30, batch=3, clock=lambda: moment)
    assert (next(steps).jobs, count(engine)) == (3, 4)
    assert (next(steps).jobs, count(engine)) == (3, 1)
    assert pruned(engine, batch=3) == (1, 3)


def test_what_somebody_holds_is_left_for_another_time_and_not_waited_for(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    held, free = completed(manager, engine, user_id), completed(manager, engine, user_id)
    publish_all(engine)
    with engine.connect() as holder:
        holder.execute(text("SELECT 1 FROM menu_extraction_jobs WHERE id = :id FOR KEY SHARE"), {"id": held.id})
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(pruned, engine).result(timeout=10) == (1, 3)
    assert (exists(engine, held.id), exists(engine, free.id)) == (True, False)
    assert pruned(engine) == (1, 3)


def test_a_retry_that_is_being_made_keeps_its_original(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    original = failed(manager, engine, user_id)
    publish_all(engine)
    with Session(engine) as session:
        new = manager.retry_job(original.id, user_id, session=session)
        assert pruned(engine) == (0, 0)
        session.commit()
    assert current(manager, new.id).retry_of == original.id


def test_a_retry_that_was_made_since_the_search_keeps_its_original(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    """Between looking for old jobs and locking them."""
    original = failed(manager, engine, user_id)
    publish_all(engine)
    made: list[UUID] = []

    def retry_now(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "SKIP LOCKED" in statement and not made:
            made.append(original.id)
            with ThreadPoolExecutor(1) as thread:
                made.append(thread.submit(manager.retry_job, original.id, user_id).result(timeout=10).id)

    event.listen(engine, "before_cursor_execute", retry_now)
    try:
        assert pruned(engine) == (0, 0)
    finally:
        event.remove(engine, "before_cursor_execute", retry_now)
    assert current(manager, made[1]).retry_of == original.id


@pytest.mark.parametrize("call", ["retry", "feedback"])
def test_a_call_that_comes_too_late_finds_no_such_job(
    manager: JobQueueManager, engine: Engine, settings: Settings, user_id: UUID, call: str
) -> None:
    job = failed(manager, engine, user_id)
    publish_all(engine)
    feedback = ExtractionFeedback(engine, settings=settings)
    moment = later()
    with engine.connect() as pruning, ThreadPoolExecutor(1) as thread:
        assert prune_batch(pruning, age(moment, moment), None, 10, dry_run=False).jobs == 1
        late = (
            thread.submit(manager.retry_job, job.id, user_id)
            if call == "retry"
            else thread.submit(feedback.give, job.id, user_id, "excellent")
        )
        eventually(lambda: waiting_for_locks(engine) == 1, what="the call waiting")
        pruning.commit()
        with pytest.raises(JobNotFoundError):
            late.result(timeout=10)
    assert count(engine) == 0


def test_pruning_gives_way_to_a_transaction_that_would_keep_it_waiting(
    manager: JobQueueManager, engine: Engine, settings: Settings, user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    ExtractionFeedback(engine, settings=settings).give(job.id, user_id, "excellent")
    publish_all(engine)
    with engine.connect() as holder:
        holder.execute(text("SELECT 1 FROM extraction_feedback FOR UPDATE"))
        with ThreadPoolExecutor(1) as thread, pytest.raises(QueueUnavailableError, match="long transaction"):
            thread.submit(pruned, engine).result(timeout=10)
    assert (count(engine), count(engine, "menu_extraction_pruned_events")) == (1, 0)
    assert pruned(engine) == (1, 3)


def test_each_users_mark_is_the_highest_of_the_pruned_cursors(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    first = completed(manager, engine, user_id)  # cursors 1 to 3
    kept = queued(manager, other_user_id)
    second = completed(manager, engine, user_id)  # 5 to 7
    publish_all(engine)
    marks = text("SELECT user_id, cursor FROM menu_extraction_pruned_events")

    def mark() -> dict[UUID, int]:
        with engine.connect() as connection:
            return {row.user_id: row.cursor for row in connection.execute(marks)}

    made_old(engine, second.id, NOW - 90 * DAY)
    assert (pruned(engine, now=NOW), mark()) == ((1, 3), {user_id: 7})
    made_old(engine, first.id, NOW - 80 * DAY)
    assert (pruned(engine, now=NOW), mark()) == ((1, 3), {user_id: 7})
    assert exists(engine, kept.id)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": user_id})
    assert mark() == {}


def test_beside_running_programs_it_disturbs_nobody(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    """Programs submit, work, retry and delete jobs while others are pruned, all of them old as soon as finished."""
    stop = threading.Event()
    leading = threading.Lock()  # two that publish take the lead from each other

    def keep_pruning() -> int:
        gone = 0
        while not stop.is_set():
            with leading:
                publish_all(engine)
            gone += pruned(engine, days=0, batch=5)[0]
        return gone

    def use(owner: UUID) -> list[UUID]:
        kept = []
        for number in range(25):
            lost = failed(manager, engine, owner)
            try:
                new = manager.retry_job(lost.id, owner).id
            except JobNotFoundError:  # pruned already
                continue
            if number % 5 == 0:
                kept.append(new)  # stays queued
            else:
                fail(engine, new, claimed(engine, new).attempt)
        return kept

    with ThreadPoolExecutor(4) as threads:
        pruners = [threads.submit(keep_pruning) for _ in range(2)]
        users = [threads.submit(use, owner) for owner in (user_id, other_user_id)]
        kept = [job for one in users for job in one.result(timeout=120)]
        stop.set()
        assert sum(one.result(timeout=60) for one in pruners) > 0
    publish_all(engine)
    pruned(engine, days=0)
    left = {job.id: job for owner in (user_id, other_user_id) for job in manager.list_user_jobs(owner, limit=1000)}
    for job in kept:
        # A retry whose original were gone would be charged.
        assert left[job].retry_of in left
    assert len(left) == 2 * len(kept)


def test_it_needs_the_rights_that_the_documentation_lists_and_no_more(
    manager: JobQueueManager, engine: Engine, user_id: UUID, database_url: str
) -> None:
    completed(manager, engine, user_id)
    publish_all(engine)
    role = f"pruner_{user_id.hex}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'pruner'; GRANT USAGE ON SCHEMA auth TO {role}")
    as_role = create_database_engine(database_url, isolation_level="AUTOCOMMIT")
    event.listen(as_role, "connect", lambda connection, _: connection.cursor().execute(f"SET ROLE {role}"))
    try:
        with pytest.raises(QueueUnavailableError, match="rights"):
            pruned(as_role)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"""
                GRANT SELECT, UPDATE, DELETE ON menu_extraction_jobs TO {role};
                GRANT SELECT, DELETE ON menu_extraction_job_events TO {role};
                GRANT SELECT, INSERT, UPDATE ON menu_extraction_pruned_events TO {role};
                GRANT SELECT ON menu_extraction_relay, auth.users TO {role};
            """)
        assert pruned(as_role) == (1, 3)
    finally:
        as_role.dispose()
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
