"""What programs read: the JSON of the HTTP API, which the commands print with ``--json`` as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from jobqueue.errors import CursorExpiredError, JobQueueError, RateLimitExceededError
from jobqueue.job import ExtractionJob
from jobqueue.limits import QuotaCheckResult, RateLimitCheckResult
from jobqueue.states import JobStatus

# How long a menu usually takes, in seconds; clients show it while they wait.
ESTIMATED_SECONDS = 30


class Shape(BaseModel):
    """Names are camelCase, moments ISO 8601 in UTC."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, from_attributes=True
    )


class JobState(Shape):
    """``processing_time`` is milliseconds, ``confidence`` 0..1."""

    id: UUID
    status: JobStatus
    result: dict[str, Any] | None
    error: str | None
    confidence: float | None
    processing_time: int | None
    created_at: datetime
    completed_at: datetime | None


class JobDetails(JobState):
    """The whole job."""

    user_id: UUID
    image_url: str
    image_hash: str | None
    schema_version: str
    prompt_version: str
    error_code: str | None
    retry_count: int
    retry_of: UUID | None
    attempt: int
    token_usage: dict[str, Any] | None
    uncertain_items: list[dict[str, Any]] | None
    superfluous_text: list[dict[str, Any]] | None
    started_at: datetime | None


class Answer(Shape):
    success: Literal[True] = True


class SubmitAnswer(Answer):
    job_id: UUID
    cached: bool
    estimated_time: int = ESTIMATED_SECONDS


class StatusAnswer(Answer):
    job: JobState


class JobAnswer(Answer):
    job_id: UUID
    job: JobDetails


class JobsAnswer(Answer):
    jobs: list[JobDetails]


class RateLimit(Shape):
    """Uploads within the last 60 minutes; a ``limit`` of -1 is unlimited."""

    allowed: bool
    current: int
    limit: int
    reset_at: datetime | None


class QuotaAnswer(Answer):
    """Jobs accepted in this calendar month (UTC); a ``limit`` of -1 is unlimited."""

    allowed: bool
    current: int
    limit: int
    reason: str | None
    resets_at: datetime
    rate_limit: RateLimit


class HistoryEntry(Shape):
    job_id: UUID
    seq: int
    status: JobStatus
    attempt: int
    at: datetime
    worker: str | None
    error_code: str | None
    error: str | None


class HistoryAnswer(Answer):
    history: list[HistoryEntry]


class Figures(Shape):
    """One prompt and schema version; see ``jobqueue.quality.ExtractionFigures``."""

    prompt_version: str
    schema_version: str
    extractions: int
    completed: int
    failed: int
    mean_confidence: float | None
    mean_processing_time: float | None
    input_tokens: int | None
    output_tokens: int | None
    estimated_cost: float | None
    jobs_with_feedback: int
    jobs_corrected: int
    correction_rate: float | None


class FiguresAnswer(Answer):
    figures: list[Figures]


class PruneAnswer(Answer):
    """What was removed, or with ``dry_run`` would be."""

    jobs: int
    events: int
    older_than_days: int
    dry_run: bool


class Event(Shape):
    job_id: UUID
    user_id: UUID
    status: JobStatus
    confidence: float | None
    attempt: int
    seq: int
    cursor: int
    at: datetime


class Health(Shape):
    """``ready``: jobs can be submitted. ``healthy``: they are done as well; ``reasons`` says in words what is not."""

    ready: bool
    healthy: bool
    reasons: list[str]


class HealthProblem(Shape):
    code: str
    message: str


class Worker(Shape):
    """Ages in seconds; see ``jobqueue.health.WorkerPresence``."""

    name: str
    seen_ago: float
    consuming: bool
    stopping: bool
    received_ago: float
    holds: int


class QueueFigures(Shape):
    """Ages in seconds; see ``jobqueue.health.QueueState``."""

    due: int
    oldest_due: float | None
    processing: int
    orphaned_for: float | None
    oldest_unrelayed: float | None
    leader: str | None
    led: bool
    unled_for: float | None
    swept_ago: float | None
    workers: list[Worker]


class HealthDetails(Shape):
    """For operators; the route tells strangers no more than ``Health`` does."""

    ready: bool
    healthy: bool
    problems: list[HealthProblem]
    state: QueueFigures | None


class ErrorAnswer(Shape):
    """``error`` is a sentence for a person, ``code`` is for programs."""

    error: str
    code: str


class RateLimitErrorAnswer(ErrorAnswer):
    reset_at: datetime | None


class CursorExpiredAnswer(ErrorAnswer):
    """The user's newest jobs as they stand, and the cursor to go on from; with ``more`` older ones are left out."""

    cursor: int
    jobs: list[JobDetails]
    more: bool


def error_answer(error: JobQueueError) -> ErrorAnswer:
    if isinstance(error, CursorExpiredError):
        jobs = [JobDetails.model_validate(job) for job in error.jobs]
        return CursorExpiredAnswer(
            error=error.message, code=error.code, cursor=error.cursor, jobs=jobs, more=error.more
        )
    if isinstance(error, RateLimitExceededError):
        return RateLimitErrorAnswer(error=error.message, code=error.code, reset_at=error.reset_at)
    return ErrorAnswer(error=error.message, code=error.code)


def job_answer(job: ExtractionJob) -> JobAnswer:
    return JobAnswer(job_id=job.id, job=JobDetails.model_validate(job))


def quota_answer(quota: QuotaCheckResult, rate: RateLimitCheckResult) -> QuotaAnswer:
    return QuotaAnswer(
        allowed=quota.allowed,
        current=quota.current,
        limit=quota.limit,
        reason=quota.reason,
        resets_at=quota.resets_at,
        rate_limit=RateLimit.model_validate(rate),
    )
