"""Reading jobs and their history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

from sqlalchemy import Connection, select, tuple_

from jobqueue.errors import InvalidStatusError, JobNotFoundError
from jobqueue.job import ExtractionJob, JobHistoryEntry
from jobqueue.states import JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.tables import EVENTS, JOBS


def get_job(connection: Connection, job_id: UUID, user_id: UUID | None = None) -> ExtractionJob | None:
    query = select(*JOB_COLUMNS).where(JOBS.c.id == job_id)
    if user_id is not None:
        query = query.where(JOBS.c.user_id == user_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else job_from_row(row)


def current_job(connection: Connection, job_id: UUID, user_id: UUID | None = None) -> ExtractionJob:
    """The job; raises ``JobNotFoundError``."""
    job = get_job(connection, job_id, user_id)
    if job is None:
        raise unknown_job()
    return job


def refuse_inactive(connection: Connection, job_id: UUID, user_id: UUID | None = None) -> NoReturn:
    """Say why a change that needs an active job found none."""
    job = current_job(connection, job_id, user_id)
    if job.is_finished:
        raise InvalidStatusError(f"The job is already {job.status.value}.", status=job.status.value)
    raise InvalidStatusError("The job is being cancelled by its user.", status=job.status.value)


def unknown_job() -> JobNotFoundError:
    return JobNotFoundError("There is no such job.")


def list_jobs(
    connection: Connection,
    user_id: UUID,
    *,
    limit: int,
    status: JobStatus | None = None,
    before: UUID | datetime | None = None,
) -> list[ExtractionJob]:
    """A user's jobs, newest first; ``before`` is the last job of the page before, or a moment."""
    query = select(*JOB_COLUMNS).where(JOBS.c.user_id == user_id)
    if status is not None:
        query = query.where(JOBS.c.status == status.value)
    if isinstance(before, datetime):
        query = query.where(JOBS.c.created_at < before)
    elif before is not None:
        last = select(JOBS.c.created_at, JOBS.c.id).where(JOBS.c.id == before, JOBS.c.user_id == user_id)
        query = query.where(tuple_(JOBS.c.created_at, JOBS.c.id) < last.scalar_subquery())
    query = query.order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit)
    return [job_from_row(row) for row in connection.execute(query)]


def job_history(connection: Connection, job_id: UUID, user_id: UUID | None = None) -> list[JobHistoryEntry]:
    query = select(EVENTS).where(EVENTS.c.job_id == job_id).order_by(EVENTS.c.seq)
    if user_id is not None:
        query = query.where(EVENTS.c.user_id == user_id)
    rows = connection.execute(query)
    return [
        JobHistoryEntry(
            job_id=row.job_id,
            seq=row.seq,
            status=JobStatus(row.status),
            attempt=row.attempt,
            at=row.at.astimezone(UTC),
            worker=row.worker,
            error_code=row.error_code,
            error=row.error_message,
        )
        for row in rows
    ]
