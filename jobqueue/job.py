"""A job as applications see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jobqueue.states import JobStatus


@dataclass(frozen=True, slots=True)
class ExtractionJob:
    """One row of ``menu_extraction_jobs``; times are UTC, ``processing_time`` is milliseconds, ``confidence`` 0..1.

    ``attempt`` counts executions begun so far; ``error`` holds the last attempt's error also while the job waits for
    its next attempt.
    """

    id: UUID
    user_id: UUID
    image_url: str
    image_hash: str | None
    status: JobStatus
    schema_version: str
    prompt_version: str
    result: dict[str, Any] | None = field(repr=False)
    error: str | None
    error_code: str | None
    processing_time: int | None
    retry_count: int
    token_usage: dict[str, Any] | None
    confidence: float | None
    uncertain_items: list[dict[str, Any]] | None = field(repr=False)
    superfluous_text: list[dict[str, Any]] | None = field(repr=False)
    attempt: int
    retry_of: UUID | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def is_finished(self) -> bool:
        return self.status.is_finished


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """``cached`` is true when an earlier completed job answers the submission and nothing new was queued."""

    job: ExtractionJob
    cached: bool


@dataclass(frozen=True, slots=True)
class JobHistoryEntry:
    """One status change of a job: ``seq`` counts 1, 2, 3, ... within the job."""

    job_id: UUID
    seq: int
    status: JobStatus
    attempt: int
    at: datetime
    worker: str | None
    error_code: str | None
    error: str | None
