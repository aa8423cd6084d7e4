"""Ending an attempt. A worker's writes carry its attempt number; a late worker's number no longer matches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, update

from jobqueue.states import ACTIVE, JobStatus
from jobqueue.store.cancellation import CANCELLED_CODE, CANCELLED_MESSAGE
from jobqueue.store.interval import seconds_from_now
from jobqueue.tables import EVENTS, JOBS

MAX_ERROR_CHARACTERS = 2_000
MAX_CODE_CHARACTERS = 50


@dataclass(frozen=True, slots=True)
class Completion:
    """A validated result and what goes with it; ``processing_time`` in milliseconds."""

    result: dict[str, Any]
    processing_time: int
    confidence: float | None = None
    token_usage: dict[str, Any] | None = None
    uncertain_items: list[dict[str, Any]] | None = None
    superfluous_text: list[dict[str, Any]] | None = None

    def with_lists_of_result(self) -> Completion:
        """The same, with the result's own lists where none were given."""
        uncertain, superfluous = self.uncertain_items, self.superfluous_text
        return replace(
            self,
            uncertain_items=self.result.get("uncertainItems", []) if uncertain is None else uncertain,
            superfluous_text=self.result.get("superfluousText", []) if superfluous is None else superfluous,
        )

    def values(self) -> dict[str, Any]:
        return {
            "status": JobStatus.COMPLETED.value,
            "result": self.result,
            "processing_time": self.processing_time,
            "confidence": self.confidence,
            **_spent(self.token_usage),
            "uncertain_items": self.uncertain_items,
            "superfluous_text": self.superfluous_text,
            "error_code": None,
            "error_message": None,
        }


def complete_attempt(connection: Connection, job_id: UUID, attempt: int, completion: Completion) -> bool:
    """Store the result of this attempt; false when the attempt no longer holds the job or it was cancelled."""
    return _write_as(connection, job_id, attempt, completion.values())


def fail_attempt(
    connection: Connection,
    job_id: UUID,
    attempt: int,
    *,
    code: str,
    message: str,
    processing_time: int,
    token_usage: dict[str, Any] | None = None,
) -> bool:
    """End the job as failed; false when the attempt no longer holds it or it was cancelled."""
    values = {
        "status": JobStatus.FAILED.value,
        "processing_time": processing_time,
        **_spent(token_usage),
        **_error(code, message),
    }
    return _write_as(connection, job_id, attempt, values)


def requeue_attempt(
    connection: Connection,
    job_id: UUID,
    attempt: int,
    *,
    code: str,
    message: str,
    delay_seconds: float,
    token_usage: dict[str, Any] | None = None,
) -> bool:
    """Put the job back for another attempt after ``delay_seconds``; false as above."""
    values = {
        "status": JobStatus.QUEUED.value,
        "run_after": seconds_from_now(delay_seconds),
        "lease_expires_at": None,
        **_spent(token_usage),
        **_error(code, message),
    }
    return _write_as(connection, job_id, attempt, values)


def complete_job(connection: Connection, job_id: UUID, completion: Completion) -> bool:
    """Complete the job whoever holds it: for applications that run extractions themselves; false as above."""
    return _write_active(connection, job_id, completion.values())


def fail_job(connection: Connection, job_id: UUID, *, code: str, message: str, increment_retry: bool) -> bool:
    """Fail the job whoever holds it; false as above."""
    values: dict[str, Any] = {"status": JobStatus.FAILED.value, **_error(code, message)}
    if increment_retry:
        values["retry_count"] = JOBS.c.retry_count + 1
    return _write_active(connection, job_id, values)


def _spent(token_usage: dict[str, Any] | None) -> dict[str, Any]:
    """Whoever counted nothing leaves what the attempts before have cost."""
    return {} if token_usage is None else {"token_usage": token_usage}


def _error(code: str, message: str) -> dict[str, str]:
    return {
        "error_code": _storable(code)[:MAX_CODE_CHARACTERS],
        "error_message": _storable(message)[:MAX_ERROR_CHARACTERS],
    }


def _storable(value: str) -> str:
    """The text without what Postgres refuses: an extractor's words must never keep its failure from being stored."""
    return value.replace("\x00", "").encode(errors="replace").decode()


def cancel_attempt(
    connection: Connection, job_id: UUID, attempt: int, *, token_usage: dict[str, Any] | None = None
) -> bool:
    """End the job as cancelled if its user asked for that; false when nobody did or the attempt no longer holds it."""
    values = {
        "status": JobStatus.FAILED.value,
        **_spent(token_usage),
        **_error(CANCELLED_CODE, CANCELLED_MESSAGE),
    }
    wanted = (*_held_by(job_id, attempt), JOBS.c.cancel_requested_at.is_not(None))
    return bool(connection.execute(update(JOBS).where(*wanted).values(**values)).rowcount)


def attempt_ended(connection: Connection, job_id: UUID, attempt: int, status: JobStatus, code: str | None) -> bool:
    """Whether this attempt has ended so; asked by whoever was refused, because an answer may have been lost.

    The number is one execution's alone, and the history knows its end also when the next attempt has begun.
    """
    ends = select(EVENTS.c.seq).where(
        EVENTS.c.job_id == job_id,
        EVENTS.c.attempt == attempt,
        EVENTS.c.status == status.value,
        EVENTS.c.error_code.is_not_distinct_from(None if code is None else _error(code, "")["error_code"]),
    )
    return connection.execute(ends).first() is not None


def _held_by(job_id: UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return (JOBS.c.id == job_id, JOBS.c.attempt == attempt, JOBS.c.status == JobStatus.PROCESSING.value)


def _write_as(connection: Connection, job_id: UUID, attempt: int, values: dict[str, Any]) -> bool:
    # A cancellation that came in time decides, whatever the attempt came to.
    mine = (*_held_by(job_id, attempt), JOBS.c.cancel_requested_at.is_(None))
    return bool(connection.execute(update(JOBS).where(*mine).values(**values)).rowcount)


def _write_active(connection: Connection, job_id: UUID, values: dict[str, Any]) -> bool:
    active = (
        JOBS.c.id == job_id,
        JOBS.c.status.in_([status.value for status in ACTIVE]),
        JOBS.c.cancel_requested_at.is_(None),
    )
    values = {"started_at": func.coalesce(JOBS.c.started_at, func.clock_timestamp()), **values}
    return bool(connection.execute(update(JOBS).where(*active).values(**values)).rowcount)
