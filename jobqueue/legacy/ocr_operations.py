"""The five calls of the old ``ocr_operations``, over ``JobQueueManager``. Each gives a ``DeprecationWarning``.

They keep their names and arguments. What is behind them is the new queue: a submission is idempotent and counts
towards quota and hourly limit, its job is executed, a finished job is final. Every error is a ``JobQueueError``.

The database comes from ``DATABASE_URL``, or from ``use_database``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, update

from jobqueue.arguments import (
    checked_error_message,
    checked_image_hash,
    checked_image_url,
    checked_status,
    checked_uuid,
)
from jobqueue.database import Database, SessionFactory
from jobqueue.errors import InvalidInputError
from jobqueue.job import ExtractionJob
from jobqueue.manager import JobQueueManager
from jobqueue.menu_result import refuse_unstorable
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings
from jobqueue.states import JobStatus
from jobqueue.store.job_row import JOB_COLUMNS, job_from_row
from jobqueue.store.lookup import unknown_job
from jobqueue.tables import JOBS

MAX_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OcrJob:
    """A job under the old table's column names; ``job.status`` and ``job["status"]`` are the same."""

    id: UUID
    user_id: UUID
    image_url: str
    image_hash: str | None
    status: JobStatus
    result: dict[str, Any] | None = field(repr=False)
    error_message: str | None
    processing_time: int | None
    retry_count: int
    created_at: datetime
    completed_at: datetime | None

    def __getitem__(self, column: str) -> Any:
        if column not in self.__slots__:
            raise KeyError(column)
        return getattr(self, column)


@dataclass(frozen=True, slots=True)
class _Queue:
    database: Database
    manager: JobQueueManager
    own_engine: Engine | None


_opening = Lock()
_opened: list[_Queue] = []


def use_database(
    engine_or_session_factory: Engine | SessionFactory | None = None, *, settings: Settings | None = None
) -> None:
    """Use this database from now on; without arguments the one that ``DATABASE_URL`` names.

    Called by itself with the first of the calls below. Raises ``InvalidInputError``.
    """
    with _opening:
        _open(engine_or_session_factory, settings)


def submit_job(user_id: UUID | str, image_url: str, image_hash: str) -> OcrJob:
    """Queue the extraction, or return the job that already answers it: ``JobQueueManager.submit_job``.

    Raises ``QuotaExceededError``, ``RateLimitExceededError``, ``InvalidInputError``, ``UserNotFoundError``,
    ``QueueUnavailableError``.
    """
    _warn("submit_job", "JobQueueManager.submit_job")
    return _old(_queue().manager.submit_job(user_id, image_url, checked_image_hash(image_hash)).job)


def get_job(user_id: UUID | str, job_id: UUID | str) -> OcrJob | None:
    """The user's job, ``None`` for an unknown one and for somebody else's: ``JobQueueManager.get_job_status``.

    Raises ``InvalidInputError`` and ``QueueUnavailableError``.
    """
    _warn("get_job", "JobQueueManager.get_job_status")
    job = _queue().manager.get_job_status(job_id, checked_uuid(user_id, "user_id"))
    return None if job is None else _old(job)


def get_user_jobs(user_id: UUID | str, limit: int = 20) -> list[OcrJob]:
    """The user's jobs, newest first, at most ``limit`` (1..1000): ``JobQueueManager.list_user_jobs``.

    Raises ``InvalidInputError`` and ``QueueUnavailableError``.
    """
    _warn("get_user_jobs", "JobQueueManager.list_user_jobs")
    return [_old(job) for job in _queue().manager.list_user_jobs(user_id, limit)]


def find_existing_job(user_id: UUID | str, image_hash: str) -> OcrJob | None:
    """The job that a submission of this picture would be answered with: ``JobQueueManager.find_existing_job``.

    Raises ``InvalidInputError`` and ``QueueUnavailableError``.
    """
    _warn("find_existing_job", "JobQueueManager.find_existing_job")
    job = _queue().manager.find_existing_job(user_id, image_hash)
    return None if job is None else _old(job)


def update_job(job_id: UUID | str, **columns: Any) -> OcrJob:
    """Write these of the old table's columns and return the job as it is then.

    ``id``, ``user_id`` and ``created_at`` cannot be changed. ``result`` is stored as it is given, in the old format
    too. New code reports ends with ``JobQueueManager.mark_job_completed`` and ``mark_job_failed``.

    Raises ``InvalidInputError`` for an unknown column or a wrong value, ``JobNotFoundError``, ``InvalidStatusError``
    for another status of a finished job, ``InvalidResultError`` for a completed job without result,
    ``QueueUnavailableError``.
    """
    _warn("update_job", "JobQueueManager.mark_job_completed and mark_job_failed")
    job = checked_uuid(job_id, "job_id")
    values = _checked_columns(columns)

    def work(connection: Connection) -> ExtractionJob:
        row = connection.execute(update(JOBS).where(JOBS.c.id == job).values(**values).returning(*JOB_COLUMNS)).first()
        if row is None:
            raise unknown_job()
        return job_from_row(row)

    return _old(_queue().database.run(work))


def _warn(old: str, new: str) -> None:
    # The line to change is the caller's caller.
    warnings.warn(f"jobqueue.legacy.ocr_operations.{old} is deprecated; use {new}.", DeprecationWarning, stacklevel=3)


def _queue() -> _Queue:
    with _opening:
        return _opened[0] if _opened else _open(None, None)


def _open(given: Engine | SessionFactory | None, settings: Settings | None) -> _Queue:
    settings = settings or load_settings()
    database, own_engine = open_database(given, settings)
    queue = _Queue(database, JobQueueManager(own_engine or given, settings=settings), own_engine)
    for before in _opened:
        before.manager.close()
        if before.own_engine is not None:
            before.own_engine.dispose()
    _opened[:] = [queue]
    return queue


def _old(job: ExtractionJob) -> OcrJob:
    return OcrJob(
        id=job.id,
        user_id=job.user_id,
        image_url=job.image_url,
        image_hash=job.image_hash,
        status=job.status,
        result=job.result,
        error_message=job.error,
        processing_time=job.processing_time,
        retry_count=job.retry_count,
        created_at=job.created_at,
        completed_at=job.completed_at,
    )


def _checked_columns(columns: dict[str, Any]) -> dict[str, Any]:
    if not columns:
        raise InvalidInputError("update_job was given no column to write.", argument="columns")
    unknown = sorted(set(columns) - set(_CHECKS))
    if unknown:
        known = ", ".join(_CHECKS)
        raise InvalidInputError(f"update_job cannot write {unknown[0][:50]!r}; it writes {known}.", argument=unknown[0])
    return {name: _CHECKS[name](value) for name, value in columns.items()}


def _result(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        refuse_unstorable(value, "result")
        return value
    raise InvalidInputError("result must be a mapping or None.", argument="result")


def _whole_number(name: str, *, empty: bool) -> Callable[[Any], int | None]:
    def check(value: Any) -> int | None:
        if value is None and empty:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER:
            return value
        raise InvalidInputError(f"{name} must be a whole number, 0 or more.", argument=name)

    return check


def _moment(value: Any) -> datetime | None:
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    raise InvalidInputError("completed_at must be a datetime with a time zone.", argument="completed_at")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "image_url": checked_image_url,
    "image_hash": lambda value: None if value is None else checked_image_hash(value),
    "status": lambda value: checked_status(value).value,
    "result": _result,
    "error_message": lambda value: None if value is None else checked_error_message(value),
    "processing_time": _whole_number("processing_time", empty=True),
    "retry_count": _whole_number("retry_count", empty=False),
    "completed_at": _moment,
}
