"""Finding jobs that nobody works on any more: their worker died, or their message was lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, null, or_, select, update

from jobqueue.retry_policy import MAX_ATTEMPTS
from jobqueue.states import JobStatus
from jobqueue.store.cancellation import CANCELLED_CODE, CANCELLED_MESSAGE
from jobqueue.store.claim import CHARGED_ATTEMPTS
from jobqueue.store.interval import seconds_from_now
from jobqueue.store.leadership import fence
from jobqueue.tables import JOBS

WORKER_LOST_CODE = "WORKER_LOST"
WORKER_LOST_MESSAGE = "The worker stopped in the middle of the extraction."
WORKER_LOST_FINALLY = (
    f"The worker stopped in the middle of the extraction, in attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS}; this picture "
    "may be what stops it: submit another photo of the menu."
)
TIMEOUT_CODE = "TIMEOUT"


@dataclass(frozen=True, slots=True)
class ReapedJob:
    """A job taken from a worker that no longer renews its lease; it is queued again or failed for good."""

    id: UUID
    attempt: int
    status: JobStatus


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """What workers are set to, in seconds: how long an attempt may take, and how long a lease lasts."""

    time_limit: float
    lease_seconds: float


def reap_expired_leases(connection: Connection, term: int, batch: int, limits: AttemptLimits) -> list[ReapedJob]:
    """Put back jobs whose lease ran out; the lost attempt counts, and after the last one the job fails.

    An attempt that had gone on for longer than the time limit when its lease was last renewed is said to have been
    broken off after that time: its process was killed for not heeding the limit, or, with threads, which know no limit,
    for whatever reason.

    Jobs that another transaction holds locked are left for later. Nothing happens unless ``term`` is the newest.
    """
    return _reap(connection, term, _expired().limit(batch), limits)


def expired_leases(connection: Connection, batch: int) -> list[UUID]:
    """The jobs whose lease ran out, oldest first."""
    return list(connection.execute(_expired().limit(batch)).scalars())


def reap_expired_lease(connection: Connection, term: int, job_id: UUID, limits: AttemptLimits) -> list[ReapedJob]:
    """The same for one job."""
    return _reap(connection, term, _expired().where(JOBS.c.id == job_id), limits)


def _expired() -> Select[UUID]:
    return (
        select(JOBS.c.id)
        .where(JOBS.c.status == JobStatus.PROCESSING.value, JOBS.c.lease_expires_at < func.clock_timestamp())
        .order_by(JOBS.c.lease_expires_at)
    )


def _reap(connection: Connection, term: int, jobs: Select[UUID], limits: AttemptLimits) -> list[ReapedJob]:
    expired = jobs.with_for_update(skip_locked=True).cte("expired")
    used_up = CHARGED_ATTEMPTS >= MAX_ATTEMPTS
    cancelled = JOBS.c.cancel_requested_at.is_not(None)
    too_long = JOBS.c.lease_expires_at - JOBS.c.started_at >= timedelta(
        seconds=limits.time_limit + limits.lease_seconds
    )
    # Where no limit ends an attempt (threads), a long one may have lost its worker for another reason.
    timeout = f"The extraction was broken off after more than {limits.time_limit:g} seconds"
    reaped = connection.execute(
        update(JOBS)
        .where(JOBS.c.id == expired.c.id, fence(term))
        .values(
            status=case((or_(cancelled, used_up), JobStatus.FAILED.value), else_=JobStatus.QUEUED.value),
            run_after=func.clock_timestamp(),
            lease_expires_at=null(),
            error_code=case((cancelled, CANCELLED_CODE), (too_long, TIMEOUT_CODE), else_=WORKER_LOST_CODE),
            error_message=case(
                (cancelled, CANCELLED_MESSAGE),
                (
                    and_(too_long, used_up),
                    f"{timeout}, in attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS}; submit a smaller or clearer photo.",
                ),
                (too_long, f"{timeout}."),
                (used_up, WORKER_LOST_FINALLY),
                else_=WORKER_LOST_MESSAGE,
            ),
        )
        .returning(JOBS.c.id, JOBS.c.attempt, JOBS.c.status)
    )
    return [ReapedJob(row.id, row.attempt, JobStatus(row.status)) for row in reaped]


def overdue_jobs(connection: Connection, grace_seconds: float, batch: int) -> list[UUID]:
    """Jobs that have been due for longer than ``grace_seconds`` and that no worker has claimed, oldest first."""
    return _due_before(connection, seconds_from_now(-grace_seconds), batch)


def overtaken_jobs(connection: Connection, grace_seconds: float, batch: int) -> list[UUID]:
    """Those that were due ``grace_seconds`` before a job was submitted that a worker has in hand already.

    Messages keep their order, so theirs would have come first. Only first attempts tell how far the queue has come: a
    message of a later attempt may be an old one that was delivered again.
    """
    youngest_in_hand = (
        select(func.max(JOBS.c.created_at))
        .where(JOBS.c.status == JobStatus.PROCESSING.value, JOBS.c.attempt == 1)
        .scalar_subquery()
    )
    return _due_before(connection, youngest_in_hand - timedelta(seconds=grace_seconds), batch)


def begin_waiting_again(connection: Connection, term: int, job_ids: list[UUID]) -> list[UUID]:
    """Count these jobs' waiting from now on, because their messages are sent to the end of the queue.

    Returns those that still wait and that no other transaction holds locked; none unless ``term`` is the newest.
    """
    waiting = (
        select(JOBS.c.id)
        .where(JOBS.c.id.in_(job_ids), JOBS.c.status == JobStatus.QUEUED.value)
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    rows = connection.execute(
        update(JOBS)
        .where(JOBS.c.id == waiting.c.id, fence(term))
        .values(run_after=func.clock_timestamp())
        .returning(JOBS.c.id)
    )
    begun = set(rows.scalars())
    return [job_id for job_id in job_ids if job_id in begun]


def _due_before(connection: Connection, moment: ColumnElement[datetime], batch: int) -> list[UUID]:
    rows = connection.execute(
        select(JOBS.c.id)
        .where(JOBS.c.status == JobStatus.QUEUED.value, JOBS.c.run_after < moment)
        .order_by(JOBS.c.run_after)
        .limit(batch)
    )
    return list(rows.scalars())
