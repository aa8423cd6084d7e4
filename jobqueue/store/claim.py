"""Claiming a job: moving it from queued to processing yields the attempt number that fences every later write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, case, func, or_, tuple_, update

from jobqueue.retry_policy import MAX_ATTEMPTS
from jobqueue.states import JobStatus
from jobqueue.store.interval import seconds_from_now
from jobqueue.tables import JOBS


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """What a worker needs to know of the job it now holds.

    ``attempt`` is its fencing token, ``charged_attempt`` the number among the ``MAX_ATTEMPTS`` that the job may have.
    ``token_usage`` is that of the attempts before this one.
    """

    id: UUID
    user_id: UUID
    image_url: str
    image_hash: str | None
    schema_version: str
    prompt_version: str
    attempt: int
    charged_attempt: int
    token_usage: dict[str, Any] | None = None


CHARGED_ATTEMPTS = JOBS.c.attempt - JOBS.c.uncharged_attempts


def claim_job(connection: Connection, job_id: UUID, *, worker: str, lease_seconds: float) -> ClaimedJob | None:
    """Take the job if it is queued and due; ``None`` when there is nothing to do.

    A message may arrive twice, late, or for a job that somebody else holds: the row decides, in one statement.
    ``worker`` names one execution and never another one: a claim whose answer was lost finds its own row when it is
    repeated, and the attempt is not counted again.
    """
    due = and_(
        JOBS.c.status == JobStatus.QUEUED.value,
        JOBS.c.run_after <= func.clock_timestamp(),
        CHARGED_ATTEMPTS < MAX_ATTEMPTS,
    )
    mine = and_(JOBS.c.status == JobStatus.PROCESSING.value, JOBS.c.worker == worker)
    row = connection.execute(
        update(JOBS)
        .where(JOBS.c.id == job_id, or_(due, mine))
        .values(
            status=JobStatus.PROCESSING.value,
            attempt=JOBS.c.attempt + case((mine, 0), else_=1),
            worker=worker,
            started_at=func.clock_timestamp(),
            lease_expires_at=seconds_from_now(lease_seconds),
            error_code=None,
            error_message=None,
        )
        .returning(
            JOBS.c.id,
            JOBS.c.user_id,
            JOBS.c.image_url,
            JOBS.c.image_hash,
            JOBS.c.schema_version,
            JOBS.c.prompt_version,
            JOBS.c.attempt,
            CHARGED_ATTEMPTS,
            JOBS.c.token_usage,
        )
    ).one_or_none()
    return None if row is None else ClaimedJob(*row)


def renew_leases(
    connection: Connection, held: list[tuple[UUID, int]], lease_seconds: float
) -> dict[tuple[UUID, int], bool]:
    """Keep these (job, attempt) pairs for another ``lease_seconds``.

    Returns those that are still held, each with whether its user has asked for it to be cancelled.
    """
    renewed = connection.execute(
        update(JOBS)
        .where(tuple_(JOBS.c.id, JOBS.c.attempt).in_(held), JOBS.c.status == JobStatus.PROCESSING.value)
        .values(lease_expires_at=seconds_from_now(lease_seconds))
        .returning(JOBS.c.id, JOBS.c.attempt, JOBS.c.cancel_requested_at)
    )
    return {(row.id, row.attempt): row.cancel_requested_at is not None for row in renewed}
