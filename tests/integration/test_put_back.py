"""Jobs that a stopping worker puts back: due at once, not charged, and closed to what it still writes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.cancellation import CANCELLED_MESSAGE
from jobqueue.store.put_back import WORKER_STOPPED_MESSAGE, put_back_jobs
from jobqueue.store.queue_state import queue_state
from tests.integration.jobs import claim, claimed, complete, completed, current, queued, reap, requeue, row
from tests.integration.test_recovery import expire_leases


def put_back(engine: Engine, *workers: str) -> set[UUID]:
    return set(Database(engine).statement(lambda connection: put_back_jobs(connection, list(workers))))


def test_only_the_jobs_of_these_workers_are_put_back(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    mine, also_mine, theirs, waiting = (queued(manager, user_id) for _ in range(4))
    claimed(engine, mine.id, worker="celery@a/1/c0")
    claimed(engine, also_mine.id, worker="celery@a/2/c0")
    claimed(engine, theirs.id, worker="celery@a/10/c0")
    assert put_back(engine, "celery@a/1", "celery@a/2") == {mine.id, also_mine.id}
    found = row(engine, mine.id)
    assert (found["status"], found["attempt"], found["uncharged_attempts"]) == ("queued", 1, 1)
    assert (found["error_code"], found["lease_expires_at"]) == ("WORKER_STOPPED", None)
    assert found["error_message"] == WORKER_STOPPED_MESSAGE
    assert current(manager, theirs.id).status == "processing"
    assert row(engine, waiting.id)["uncharged_attempts"] == 0
    assert [one.error_code for one in manager.job_history(mine.id)] == [None, None, "WORKER_STOPPED"]


def test_no_workers_have_no_jobs(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert put_back(engine) == set()
    assert current(manager, job.id).status == "processing"


def test_what_these_workers_hold_no_more_stays_as_it_is(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    """The rows of jobs that are finished or wait for their next attempt still name who held them last."""
    finished, waiting, taken_over = completed(manager, engine, user_id), *(queued(manager, user_id) for _ in range(2))
    claimed(engine, waiting.id)
    requeue(engine, waiting.id, 1, delay_seconds=60)
    claimed(engine, taken_over.id)
    requeue(engine, taken_over.id, 1)
    claimed(engine, taken_over.id, worker="worker-2/c0")
    before = [row(engine, job.id) for job in (finished, waiting, taken_over)]
    assert put_back(engine, "worker-1") == set()
    assert [row(engine, job.id) for job in (finished, waiting, taken_over)] == before


def test_what_was_put_back_waits_from_then_on(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    """Or a long extraction would look as if its job had been due and untouched all the time."""
    job = queued(manager, user_id)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE menu_extraction_jobs SET created_at = created_at - interval '1 hour', "
                "run_after = run_after - interval '1 hour' WHERE id = :id"
            ),
            {"id": job.id},
        )
    claimed(engine, job.id)
    put_back(engine, "worker-1")
    waits = Database(engine).run(queue_state).oldest_due
    assert waits is not None
    assert waits < 60


def test_the_worker_that_put_it_back_is_refused_from_then_on(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id, worker="celery@a/1/c0")
    put_back(engine, "celery@a/1")
    assert not complete(engine, job.id, 1)
    again = claimed(engine, job.id, worker="celery@a/1/c1")
    assert (again.attempt, again.charged_attempt) == (2, 1)
    assert not complete(engine, job.id, 1)
    assert complete(engine, job.id, 2)


def test_what_was_put_back_leaves_four_attempts(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    for _ in range(6):
        claimed(engine, job.id)
        put_back(engine, "worker-1")
    for charged in (1, 2):
        assert claimed(engine, job.id).charged_attempt == charged
        requeue(engine, job.id, 6 + charged)
    for charged, status in ((3, "queued"), (4, "failed")):
        assert claimed(engine, job.id).charged_attempt == charged
        expire_leases(engine)
        assert [one.status for one in reap(engine)] == [status]
    assert (row(engine, job.id)["attempt"], row(engine, job.id)["uncharged_attempts"]) == (10, 6)
    assert claim(engine, job.id) is None


def test_a_cancelled_job_ends_instead(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    manager.cancel_job(job.id, user_id)
    put_back(engine, "worker-1")
    ended = current(manager, job.id)
    assert (ended.status, ended.error_code, ended.error) == ("failed", "CANCELLED", CANCELLED_MESSAGE)
