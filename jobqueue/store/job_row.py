"""From a row of ``menu_extraction_jobs`` to the job that applications see."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row

from jobqueue.job import ExtractionJob
from jobqueue.states import JobStatus
from jobqueue.tables import JOBS

JOB_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(
    JOBS.c[name]
    for name in (
        "id", "user_id", "image_url", "image_hash", "status", "schema_version", "prompt_version", "result",
        "error_message", "error_code", "processing_time", "retry_count", "token_usage", "confidence",
        "uncertain_items", "superfluous_text", "attempt", "retry_of", "created_at", "started_at", "completed_at",
    )
)  # fmt: skip


def job_from_row(row: Row[Any]) -> ExtractionJob:
    return ExtractionJob(
        id=row.id,
        user_id=row.user_id,
        image_url=row.image_url,
        image_hash=row.image_hash,
        status=JobStatus(row.status),
        schema_version=row.schema_version,
        prompt_version=row.prompt_version,
        result=row.result,
        error=row.error_message,
        error_code=row.error_code,
        processing_time=row.processing_time,
        retry_count=row.retry_count,
        token_usage=row.token_usage,
        confidence=row.confidence,
        uncertain_items=row.uncertain_items,
        superfluous_text=row.superfluous_text,
        attempt=row.attempt,
        retry_of=row.retry_of,
        created_at=row.created_at.astimezone(UTC),
        started_at=utc(row.started_at),
        completed_at=utc(row.completed_at),
    )


def utc(moment: datetime | None) -> datetime | None:
    """The driver gives times in the zone that the server or the session happens to be set to."""
    return None if moment is None else moment.astimezone(UTC)
