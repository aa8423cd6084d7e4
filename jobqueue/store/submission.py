"""Making jobs: once per picture and version, within the user's limits, decided in the transaction that inserts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, insert, select, tuple_

from jobqueue.errors import JobQueueError, QuotaExceededError, RateLimitExceededError
from jobqueue.job import ExtractionJob, SubmissionResult
from jobqueue.limits import HOUR, UNLIMITED, QuotaCheckResult, RateLimitCheckResult, month_start
from jobqueue.menu_result import has_categories
from jobqueue.states import ACTIVE, JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.store.submitter import Clock, Submitter, lock_submitter
from jobqueue.store.usage import hourly_usage, monthly_usage
from jobqueue.submission import Submission
from jobqueue.tables import JOBS

Outcome = SubmissionResult | JobQueueError

# Made once: putting them together costs more than what Postgres does with them.
_SPARING = (
    select(*JOB_COLUMNS)
    .where(
        JOBS.c.user_id == bindparam("user_id"),
        tuple_(JOBS.c.image_hash, JOBS.c.schema_version, JOBS.c.prompt_version).in_(bindparam("keys", expanding=True)),
        JOBS.c.image_hash.is_not(None),
        JOBS.c.status != JobStatus.FAILED.value,
    )
    .order_by(JOBS.c.created_at, JOBS.c.id)
)
_INSERT = insert(JOBS).returning(*JOB_COLUMNS)


def submit(
    connection: Connection, user_id: UUID, submissions: Sequence[Submission], clock: Clock | None = None
) -> list[Outcome]:
    """One outcome for each submission, in order: its job, or the error that refused it.

    The user's row is locked first, so what is read afterwards cannot change before the insert commits.
    """
    submitter = lock_submitter(connection, user_id, clock)
    answers = _existing(connection, user_id, [one for one in submissions if not one.force])
    allowance: Allowance | None = None
    outcomes: list[Outcome | None] = [None] * len(submissions)
    # The first submission of each new job, and the later ones in the same call that ask for the same.
    accepted: list[int] = []
    repeats: dict[int, int] = {}
    first_of_key: dict[tuple[str | None, str, str], int] = {}
    for place, one in enumerate(submissions):
        existing = None if one.force else answers.get(one.key)
        if not one.force and one.key in first_of_key:
            repeats[place] = first_of_key[one.key]
        elif existing is not None:
            outcomes[place] = SubmissionResult(existing, cached=existing.status is JobStatus.COMPLETED)
        else:
            allowance = allowance or Allowance(connection, submitter)
            refused = allowance.refuse()
            if refused is not None:
                outcomes[place] = refused
                continue
            first_of_key[one.key] = place
            accepted.append(place)
            allowance.charge()
    jobs = _insert(connection, submitter, [submissions[place] for place in accepted])
    for place, job in zip(accepted, jobs, strict=True):
        outcomes[place] = SubmissionResult(job, cached=False)
    for place, first in repeats.items():
        outcomes[place] = outcomes[first]
    return [outcome for outcome in outcomes if outcome is not None]


class Allowance:
    """What is left of the user's quota and hourly limit while the user's row is locked; unlimited is not counted."""

    def __init__(self, connection: Connection, submitter: Submitter) -> None:
        limits, user_id, now = submitter.limits, submitter.user_id, submitter.now
        self._connection = connection
        self._submitter = submitter
        self._quota = None if limits.monthly == UNLIMITED else monthly_usage(connection, user_id, limits.monthly, now)
        self._rate = None if limits.hourly == UNLIMITED else hourly_usage(connection, user_id, limits.hourly, now)
        self._charged = 0

    def charge(self) -> None:
        self._charged += 1

    def refuse(self) -> JobQueueError | None:
        """The error for one more submission, or ``None`` when it fits."""
        quota, rate = self._quota, self._rate
        if quota is not None and quota.current + self._charged >= quota.limit:
            return quota_exceeded(replace(quota, current=quota.current + self._charged))
        if rate is not None and rate.current + self._charged >= rate.limit:
            return rate_limit_exceeded(rate if not rate.allowed else self._rate_after_this_call(rate))
        return None

    def _rate_after_this_call(self, before: RateLimitCheckResult) -> RateLimitCheckResult:
        # The jobs of this very call fill the hour; the oldest that has to leave it may lie before them or among them.
        limit, now = before.limit, self._submitter.now
        current = before.current + self._charged
        older = limit - self._charged
        if older <= 0:
            first = _creation_times(now, self._charged)[0]
            return RateLimitCheckResult(False, current, limit, first + HOUR)
        earlier = hourly_usage(self._connection, self._submitter.user_id, older, now)
        return RateLimitCheckResult(False, current, limit, earlier.reset_at)


def quota_exceeded(check: QuotaCheckResult) -> QuotaExceededError:
    return QuotaExceededError(
        f"The monthly quota of {check.limit} extractions is used up; it begins anew on {check.resets_at:%Y-%m-%d} UTC.",
        current=check.current,
        limit=check.limit,
        resets_at=check.resets_at,
    )


def rate_limit_exceeded(check: RateLimitCheckResult) -> RateLimitExceededError:
    again = "" if check.reset_at is None else f"; the next one is let in at {check.reset_at:%Y-%m-%d %H:%M:%S} UTC"
    return RateLimitExceededError(
        f"At most {check.limit} uploads are let in within 60 minutes{again}.",
        current=check.current,
        limit=check.limit,
        reset_at=check.reset_at,
    )


def find_existing(connection: Connection, user_id: UUID, submission: Submission) -> ExtractionJob | None:
    """The newest job that spares a new extraction: one under way, or a completed one in the present format."""
    return _existing(connection, user_id, [submission]).get(submission.key)


def _existing(
    connection: Connection, user_id: UUID, submissions: Sequence[Submission]
) -> dict[tuple[str | None, str, str], ExtractionJob]:
    keys = {one.key for one in submissions if one.image_hash is not None}
    if not keys:
        return {}
    found = {}
    for row in connection.execute(_SPARING, {"user_id": user_id, "keys": list(keys)}):
        if row.status in ACTIVE or has_categories(row.result):
            found[row.image_hash, row.schema_version, row.prompt_version] = job_from_row(row)
    return found


def _insert(connection: Connection, submitter: Submitter, submissions: Sequence[Submission]) -> list[ExtractionJob]:
    if not submissions:
        return []
    # The ids are made here to tell the rows apart: rows that must come back in order are inserted one by one. Sorted,
    # because at the very beginning of a month the times are equal and only the ids keep the order.
    ids = sorted(uuid4() for _ in submissions)
    times = _creation_times(submitter.now, len(submissions))
    values = [
        {"id": job_id, **new_job_values(submitter.user_id, one, created_at)}
        for job_id, one, created_at in zip(ids, submissions, times, strict=True)
    ]
    inserted = connection.execute(_INSERT, values)
    jobs = {row.id: job_from_row(row) for row in inserted}
    return [jobs[one["id"]] for one in values]


def _creation_times(now: datetime, count: int) -> list[datetime]:
    """For jobs let in together: a microsecond apart, so that lists keep their order, and all in the month charged."""
    earliest = month_start(now)
    return [max(now - timedelta(microseconds=count - 1 - place), earliest) for place in range(count)]


def new_job_values(user_id: UUID, submission: Submission, created_at: datetime) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "image_url": submission.image_url,
        "image_hash": submission.image_hash,
        "schema_version": submission.schema_version,
        "prompt_version": submission.prompt_version,
        "created_at": created_at,
    }
