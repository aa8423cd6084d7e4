"""Statements of an attempt that took effect although the worker no longer waited for their answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import psycopg2
import pytest
import redis
from sqlalchemy import Connection, Engine, text

from jobqueue import ExtractionJob, JobQueueManager, Settings
from jobqueue.database import Database
from jobqueue.extraction import ExtractionOutcome, PermanentExtractionError, TransientExtractionError
from jobqueue.states import JobStatus
from jobqueue.store.completion import attempt_ended
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import claim, claimed, current, queued, reap, requeue, row, waiting_for_locks
from tests.integration.test_execution import OneStep, Step, raising, returning
from tests.integration.test_recovery import expire_leases
from tests.scripted_extractor import RESULT
from worker.execution import AttemptFailedError, JobFailedError, execute_job
from worker.lease_keeper import LeaseKeeper
from worker.postgres_deadline import DeadlineConnection, deadline_engine
from worker.resources import WorkerResources

Resources = Callable[[Step], WorkerResources]
OK = ExtractionOutcome(RESULT, 0.5, token_usage={"inputTokens": 7})


@pytest.fixture
def job(manager: JobQueueManager, user_id: UUID, image_server: ImageServer) -> ExtractionJob:
    return manager.submit_job(user_id, image_server.url(), image_server.sha256()).job


@pytest.fixture
def impatient(
    database_url: str, settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Resources]:
    """A worker that waits for each answer a moment only."""
    monkeypatch.setattr(DeadlineConnection, "answer_within", 0.4)
    engine = deadline_engine(database_url, pool_size=2)
    database = Database(engine)
    yield lambda step: WorkerResources(
        settings, database, redis_client, OneStep(step), LeaseKeeper(database, settings.lease_seconds)
    )
    engine.dispose()
    psycopg2.extensions.set_wait_callback(None)


def lock(connection: Connection, job: ExtractionJob) -> None:
    connection.execute(text("SELECT FROM menu_extraction_jobs WHERE id = :id FOR UPDATE"), {"id": job.id})


def execution(job: ExtractionJob, resources: WorkerResources) -> Callable[[ThreadPoolExecutor], Future[None]]:
    return lambda threads: threads.submit(execute_job, resources, job.id, "celery@a/1")


def released_late(engine: Engine, connection: Connection) -> None:
    """Give the row free when the worker has taken one statement for lost and repeats it."""
    eventually(lambda: waiting_for_locks(engine) >= 3, what="a repeated statement")
    connection.rollback()


def test_a_claim_whose_answer_was_lost_is_found_by_its_repetition(
    manager: JobQueueManager, engine: Engine, job: ExtractionJob, impatient: Resources
) -> None:
    with ThreadPoolExecutor(1) as threads, engine.connect() as other:
        lock(other, job)
        done = execution(job, impatient(returning(OK)))(threads)
        released_late(engine, other)
        done.result(timeout=30)
    assert [(one.status, one.attempt) for one in manager.job_history(job.id)] == [
        ("queued", 0),
        ("processing", 1),
        ("completed", 1),
    ]


@pytest.mark.parametrize(
    ("step", "wants_cancelling", "raised", "status"),
    [
        pytest.param(returning(OK), False, None, "completed", id="completed"),
        pytest.param(
            raising(TransientExtractionError("Busy.", "BUSY")), False, AttemptFailedError, "queued", id="again"
        ),
        pytest.param(raising(PermanentExtractionError("No.", "NO_MENU")), False, JobFailedError, "failed", id="failed"),
        pytest.param(returning(OK), True, JobFailedError, "failed", id="cancelled"),
    ],
)
def test_an_end_whose_answer_was_lost_is_this_attempts_own(
    manager: JobQueueManager,
    engine: Engine,
    job: ExtractionJob,
    impatient: Resources,
    caplog: pytest.LogCaptureFixture,
    step: Step,
    wants_cancelling: bool,
    raised: type[Exception] | None,
    status: str,
) -> None:
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(1) as threads, engine.connect() as other:
        locked: Future[None] = Future()

        def ends_on_a_locked_row(image: object, report: object) -> object:
            if wants_cancelling:
                manager.cancel_job(job.id, job.user_id)
            lock(other, job)
            locked.set_result(None)
            return step(image, report)  # type: ignore[arg-type]

        done = execution(job, impatient(ends_on_a_locked_row))(threads)
        locked.result(timeout=30)
        released_late(engine, other)
        if raised is None:
            done.result(timeout=30)
        else:
            with pytest.raises(raised):
                done.result(timeout=30)
    assert (current(manager, job.id).status, current(manager, job.id).attempt) == (status, 1)
    assert "taken over" not in caplog.text


def test_only_the_execution_that_claimed_it_finds_a_job_again(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    made = queued(manager, user_id)
    first = claimed(engine, made.id, worker="celery@a/1/aa")
    assert claim(engine, made.id, worker="celery@a/1/aa") == first
    assert claim(engine, made.id, worker="celery@a/1/ab") is None
    assert (row(engine, made.id)["attempt"], len(manager.job_history(made.id))) == (1, 2)


def test_the_history_knows_an_end_from_what_others_made_of_the_attempt(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    def ended(attempt: int, code: str) -> bool:
        return Database(engine).run(lambda c: attempt_ended(c, made.id, attempt, JobStatus.QUEUED, code))

    made = queued(manager, user_id)
    claimed(engine, made.id)
    requeue(engine, made.id, 1)
    claimed(engine, made.id)
    expire_leases(engine)
    reap(engine)
    assert [ended(1, "BUSY"), ended(2, "BUSY"), ended(2, "WORKER_LOST")] == [True, False, True]
