"""Making a job, once per picture and version."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, insert, select

from jobqueue.job import ExtractionJob, SubmissionResult
from jobqueue.menu_result import has_categories
from jobqueue.states import ACTIVE, JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.tables import JOBS

# Any constant will do; it keeps these locks apart from other users of advisory locks in the same database.
LOCK_SEED = 0x6D656E75


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked for, already checked."""

    user_id: UUID
    image_url: str
    image_hash: str
    schema_version: str
    prompt_version: str
    force: bool


def submit(connection: Connection, submission: Submission) -> SubmissionResult:
    """Insert the job, or return the one that already answers this submission.

    One user's submissions go one after the other: the lock is held to the end of the transaction, so a submitter that
    waited sees what the one before it committed, and different users never wait for each other.
    """
    key = func.hashtextextended(str(submission.user_id), LOCK_SEED)
    connection.execute(select(func.pg_advisory_xact_lock(key)))
    if not submission.force:
        existing = find_existing(connection, submission)
        if existing is not None:
            return SubmissionResult(existing, cached=existing.status is JobStatus.COMPLETED)
    row = connection.execute(
        insert(JOBS)
        .values(
            user_id=submission.user_id,
            image_url=submission.image_url,
            image_hash=submission.image_hash,
            schema_version=submission.schema_version,
            prompt_version=submission.prompt_version,
        )
        .returning(*JOB_COLUMNS)
    ).one()
    return SubmissionResult(job_from_row(row), cached=False)


def find_existing(connection: Connection, submission: Submission) -> ExtractionJob | None:
    """The newest job that spares a new extraction: one under way, or a completed one in the present format."""
    rows = connection.execute(
        select(*JOB_COLUMNS)
        .where(
            JOBS.c.user_id == submission.user_id,
            JOBS.c.image_hash == submission.image_hash,
            JOBS.c.schema_version == submission.schema_version,
            JOBS.c.prompt_version == submission.prompt_version,
            JOBS.c.status != JobStatus.FAILED.value,
        )
        .order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc())
    )
    for row in rows:
        if row.status in ACTIVE or has_categories(row.result):
            return job_from_row(row)
    return None
