"""Cancelling a job: a queued one at once, a running one as soon as its worker notices."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, case, func, or_, update

from jobqueue.job import ExtractionJob
from jobqueue.states import ACTIVE, JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.tables import JOBS

CANCELLED_CODE = "CANCELLED"
CANCELLED_MESSAGE = "The job was cancelled by its user."


def cancel(connection: Connection, job_id: UUID, user_id: UUID) -> ExtractionJob | None:
    """The job as it is now: failed, or still processing with the request noted; ``None`` if it was not active.

    One statement, so a worker either claims before it and finds the request, or finds nothing to claim.
    """
    # Without a lease there is no worker that could notice, for example after a status set by plain SQL.
    at_once = or_(JOBS.c.status == JobStatus.QUEUED.value, JOBS.c.lease_expires_at.is_(None))
    row = connection.execute(
        update(JOBS)
        .where(
            JOBS.c.id == job_id,
            JOBS.c.user_id == user_id,
            JOBS.c.status.in_([status.value for status in ACTIVE]),
        )
        .values(
            status=case((at_once, JobStatus.FAILED.value), else_=JOBS.c.status),
            error_code=case((at_once, CANCELLED_CODE), else_=JOBS.c.error_code),
            error_message=case((at_once, CANCELLED_MESSAGE), else_=JOBS.c.error_message),
            cancel_requested_at=func.coalesce(JOBS.c.cancel_requested_at, func.clock_timestamp()),
        )
        .returning(*JOB_COLUMNS)
    ).one_or_none()
    return None if row is None else job_from_row(row)
