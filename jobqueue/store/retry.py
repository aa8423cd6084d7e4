"""Making a new job from a failed one, at most once for each and three times in a line."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, insert, select

from jobqueue.errors import InvalidStatusError, JobQueueError, MaxRetriesExceededError
from jobqueue.job import ExtractionJob
from jobqueue.retry_policy import MAX_RETRIES
from jobqueue.states import JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.store.lookup import current_job
from jobqueue.store.submission import find_existing, new_job_values, rate_limit_exceeded
from jobqueue.store.submitter import Clock, lock_submitter
from jobqueue.store.usage import hourly_usage
from jobqueue.submission import Submission
from jobqueue.tables import JOBS


def retry(connection: Connection, job_id: UUID, user_id: UUID, clock: Clock | None = None) -> ExtractionJob:
    """The new job that takes the failed one's place; of simultaneous calls one makes it and all return it.

    Charges no quota but counts as an upload of the hour. Raises ``JobNotFoundError``, ``InvalidStatusError``,
    ``MaxRetriesExceededError`` or ``RateLimitExceededError``.
    """
    current_job(connection, job_id, user_id)  # a user who has no such job may not exist, and has no row to lock
    submitter = lock_submitter(connection, user_id, clock)
    job = current_job(connection, job_id, user_id)
    successor = _successor(connection, job_id)
    if successor is not None and successor.status is not JobStatus.FAILED:
        return successor
    refused = _refuse(connection, job, successor)
    if refused is not None:
        raise refused
    rate = hourly_usage(connection, user_id, submitter.limits.hourly, submitter.now)
    if not rate.allowed:
        raise rate_limit_exceeded(rate)
    values = {
        **new_job_values(user_id, _again(job), submitter.now),
        "retry_count": job.retry_count + 1,
        "retry_of": job.id,
    }
    return job_from_row(connection.execute(insert(JOBS).values(**values).returning(*JOB_COLUMNS)).one())


def _refuse(connection: Connection, job: ExtractionJob, successor: ExtractionJob | None) -> JobQueueError | None:
    if job.status is not JobStatus.FAILED:
        return InvalidStatusError(f"The job is {job.status.value}; only a failed job can be retried.")
    if successor is not None:
        return InvalidStatusError(
            "The job was retried already and failed again; retry the newer one.", retried_as=str(successor.id)
        )
    if job.retry_count >= MAX_RETRIES:
        return MaxRetriesExceededError(f"The job was retried {MAX_RETRIES} times already; submit the picture anew.")
    # The user may have submitted the same picture again. An older result is no reason: the failed job was forced.
    other = None if job.image_hash is None else find_existing(connection, job.user_id, _again(job))
    if other is not None and (other.status.is_active or other.created_at > job.created_at):
        return InvalidStatusError(
            f"The same picture is {other.status.value} in another job.", existing_job_id=str(other.id)
        )
    return None


def _successor(connection: Connection, job_id: UUID) -> ExtractionJob | None:
    row = connection.execute(select(*JOB_COLUMNS).where(JOBS.c.retry_of == job_id)).one_or_none()
    return None if row is None else job_from_row(row)


def _again(job: ExtractionJob) -> Submission:
    return Submission(job.image_url, job.image_hash, job.schema_version, job.prompt_version, force=False)
