"""Putting a job into the state that a test begins with."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from jobqueue import ExtractionJob, JobQueueManager
from jobqueue.database import Database
from jobqueue.store.claim import ClaimedJob, claim_job
from jobqueue.store.completion import Completion, complete_attempt, fail_attempt, requeue_attempt
from jobqueue.store.recovery import AttemptLimits, ReapedJob, reap_expired_leases
from jobqueue.store.workers import record_worker
from tests.scripted_extractor import RESULT

LIMITS = AttemptLimits(time_limit=120, lease_seconds=10)
URL = "https://pictures.example/menu.png"
_numbers = itertools.count(1)


def some_hash() -> str:
    """A SHA-256 that no other test has."""
    return f"{next(_numbers):064x}"


def queued(manager: JobQueueManager, user_id: UUID, **options: Any) -> ExtractionJob:
    options.setdefault("image_hash", some_hash())
    return manager.submit_job(user_id, URL, **options).job


def claim(engine: Engine, job_id: UUID, *, worker: str | None = None, lease_seconds: float = 60) -> ClaimedJob | None:
    """By an execution of its own in ``worker-1`` unless the test names one."""
    worker = worker or f"worker-1/{next(_numbers)}"
    return Database(engine).run(lambda c: claim_job(c, job_id, worker=worker, lease_seconds=lease_seconds))


def claimed(engine: Engine, job_id: UUID, **options: Any) -> ClaimedJob:
    job = claim(engine, job_id, **options)
    assert job is not None
    return job


def complete(engine: Engine, job_id: UUID, attempt: int, result: dict[str, Any] | None = None) -> bool:
    completion = Completion(result=result or RESULT, processing_time=12, confidence=0.9)
    return Database(engine).run(lambda c: complete_attempt(c, job_id, attempt, completion))


def fail(engine: Engine, job_id: UUID, attempt: int, message: str = "No menu.") -> bool:
    return Database(engine).run(
        lambda c: fail_attempt(c, job_id, attempt, code="NO_MENU_FOUND", message=message, processing_time=3)
    )


def requeue(engine: Engine, job_id: UUID, attempt: int, delay_seconds: float = 0) -> bool:
    return Database(engine).run(
        lambda c: requeue_attempt(c, job_id, attempt, code="BUSY", message="Busy.", delay_seconds=delay_seconds)
    )


def reap(engine: Engine, batch: int = 100) -> list[ReapedJob]:
    """What the sweeper does each second, with the default limits."""
    return Database(engine).run(lambda c: reap_expired_leases(c, 0, batch, LIMITS))


def completed(manager: JobQueueManager, engine: Engine, user_id: UUID, **options: Any) -> ExtractionJob:
    result = options.pop("result", None)
    job = queued(manager, user_id, **options)
    assert complete(engine, job.id, claimed(engine, job.id).attempt, result)
    return current(manager, job.id)


def failed(manager: JobQueueManager, engine: Engine, user_id: UUID, **options: Any) -> ExtractionJob:
    job = queued(manager, user_id, **options)
    assert fail(engine, job.id, claimed(engine, job.id).attempt)
    return current(manager, job.id)


def current(manager: JobQueueManager, job_id: UUID) -> ExtractionJob:
    job = manager.get_job_status(job_id)
    assert job is not None
    return job


def report_worker(
    engine: Engine,
    name: str,
    *,
    begins: bool = False,
    consuming: bool = True,
    stopping: bool = False,
    received_age: float | None = 0,
) -> None:
    """What a worker's main process does every few seconds."""
    said = {"begins": begins, "consuming": consuming, "stopping": stopping}
    Database(engine).run(lambda c: record_worker(c, name, **said, received_age=received_age))


def row(engine: Engine, job_id: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM menu_extraction_jobs WHERE id = :id"), {"id": job_id})
        return dict(found.mappings().one())


def count(engine: Engine, table: str = "menu_extraction_jobs") -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - our own name


def waiting_for_locks(engine: Engine) -> int:
    """How many sessions of this database wait for somebody else's lock."""
    with engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(connection.execute(text(query)).scalar_one())
