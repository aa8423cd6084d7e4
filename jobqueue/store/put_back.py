"""Giving back the jobs of a worker that was asked to stop: they are due at once, and the attempt is not charged."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, case, false, func, null, or_, update

from jobqueue.states import JobStatus
from jobqueue.store.cancellation import CANCELLED_CODE, CANCELLED_MESSAGE
from jobqueue.tables import JOBS

WORKER_STOPPED_CODE = "WORKER_STOPPED"
WORKER_STOPPED_MESSAGE = "The worker was asked to stop; the extraction begins anew on another one."


def put_back_jobs(connection: Connection, workers: list[str]) -> list[UUID]:
    """Queue what these workers hold, each a process ``name/pid``; returns the jobs.

    The attempt number stays, so what such a worker still writes is refused. A job whose user asked for its
    cancellation ends instead.
    """
    # A claim names the execution too: name/pid/token. Without false() no workers at all would mean every worker.
    theirs = or_(false(), *[func.starts_with(JOBS.c.worker, f"{worker}/") for worker in workers])
    cancelled = JOBS.c.cancel_requested_at.is_not(None)
    rows = connection.execute(
        update(JOBS)
        .where(JOBS.c.status == JobStatus.PROCESSING.value, theirs)
        .values(
            status=case((cancelled, JobStatus.FAILED.value), else_=JobStatus.QUEUED.value),
            uncharged_attempts=JOBS.c.uncharged_attempts + 1,
            run_after=func.clock_timestamp(),
            lease_expires_at=null(),
            error_code=case((cancelled, CANCELLED_CODE), else_=WORKER_STOPPED_CODE),
            error_message=case((cancelled, CANCELLED_MESSAGE), else_=WORKER_STOPPED_MESSAGE),
        )
        .returning(JOBS.c.id)
    )
    return list(rows.scalars())
