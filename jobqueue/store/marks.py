"""Ending a job that the application extracted itself, outside Celery."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from jobqueue.extraction import ExtractionOutcome
from jobqueue.job import ExtractionJob
from jobqueue.menu_result import refuse_unstorable
from jobqueue.outcome_check import check_outcome
from jobqueue.store.completion import Completion, complete_job, fail_job
from jobqueue.store.lookup import current_job, refuse_inactive

FAILED_CODE = "EXTRACTION_FAILED"


def mark_completed(connection: Connection, job_id: UUID, done: Completion) -> ExtractionJob:
    """The completed job; raises ``InvalidResultError`` before anything is written, and as ``refuse_inactive`` does."""
    schema_version = current_job(connection, job_id).schema_version
    # Without a confidence any valid one stands in for the check.
    confidence = 0.0 if done.confidence is None else done.confidence
    check_outcome(ExtractionOutcome(done.result, confidence, done.token_usage), schema_version)
    done = done.with_lists_of_result()
    refuse_unstorable(done.uncertain_items, "uncertain items")
    refuse_unstorable(done.superfluous_text, "superfluous text")
    if not complete_job(connection, job_id, done):
        return refuse_inactive(connection, job_id)
    return current_job(connection, job_id)


def mark_failed(connection: Connection, job_id: UUID, message: str, *, increment_retry: bool) -> ExtractionJob:
    """The failed job; raises as ``refuse_inactive`` does."""
    if not fail_job(connection, job_id, code=FAILED_CODE, message=message, increment_retry=increment_retry):
        return refuse_inactive(connection, job_id)
    return current_job(connection, job_id)
