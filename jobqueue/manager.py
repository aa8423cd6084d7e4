"""The API that applications call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jobqueue.arguments import (
    checked_image_hash,
    checked_image_url,
    checked_limit,
    checked_prompt_version,
    checked_seconds,
    checked_status,
    checked_uuid,
)
from jobqueue.database import SessionFactory
from jobqueue.errors import InvalidInputError
from jobqueue.fetch import compute_sha256_from_url
from jobqueue.job import ExtractionJob, JobHistoryEntry, SubmissionResult
from jobqueue.menu_result import check_schema_version
from jobqueue.redis_connection import connect_redis
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings
from jobqueue.states import JobStatus
from jobqueue.store import lookup, submission
from jobqueue.waiting import wait_for_finish

OnUpdate = Callable[[ExtractionJob], Any]


class JobQueueManager:
    """Submits menu extractions and reads their state. Thread-safe; make one per process.

    Takes an SQLAlchemy ``Engine`` or session factory; without one it connects to ``DATABASE_URL``. Every method that
    writes takes ``session=``: then it takes part in the caller's transaction, nothing is committed or published before
    the caller commits, and a rollback leaves no trace. Every method raises ``JobQueueError`` subclasses only.
    """

    def __init__(
        self, engine_or_session_factory: Engine | SessionFactory | None = None, *, settings: Settings | None = None
    ) -> None:
        self._settings = settings or load_settings()
        self._database, self._own_engine = open_database(engine_or_session_factory, self._settings)

    def submit_job(
        self,
        user_id: UUID | str,
        image_url: str,
        image_hash: str | None = None,
        *,
        schema_version: str = "stage1",
        prompt_version: str = "v1.0",
        force: bool = False,
        session: Session | None = None,
    ) -> SubmissionResult:
        """Queue the extraction of the menu at ``image_url``; idempotent per user, picture and versions.

        A job under way for the same picture is returned as it is; a completed one is returned with ``cached=True``;
        ``force=True`` always makes a new one. ``image_hash`` is the SHA-256 of the picture in hexadecimal; without it
        the picture is fetched and hashed first.

        Raises ``InvalidInputError``, ``UserNotFoundError``, ``QueueUnavailableError``, and without ``image_hash``
        ``ImageRejectedError``.
        """
        user = checked_uuid(user_id, "user_id")
        url = checked_image_url(image_url)
        check_schema_version(schema_version)
        prompt = checked_prompt_version(prompt_version)
        digest = (
            compute_sha256_from_url(url, settings=self._settings)
            if image_hash is None
            else checked_image_hash(image_hash)
        )
        wanted = submission.Submission(user, url, digest, schema_version, prompt, bool(force))
        return self._database.run(lambda connection: submission.submit(connection, wanted), session)

    def get_job_status(self, job_id: UUID | str, user_id: UUID | str | None = None) -> ExtractionJob | None:
        """The job, or ``None`` when it does not exist or belongs to somebody other than ``user_id``."""
        job = checked_uuid(job_id, "job_id")
        user = None if user_id is None else checked_uuid(user_id, "user_id")
        return self._database.statement(lambda connection: lookup.get_job(connection, job, user))

    def list_user_jobs(
        self,
        user_id: UUID | str,
        limit: int = 20,
        status: JobStatus | str | None = None,
        before: ExtractionJob | UUID | str | datetime | None = None,
    ) -> list[ExtractionJob]:
        """The user's jobs, newest first, at most ``limit`` (1..1000).

        For the next page pass the last job of this one (or its id) as ``before``; a moment works too.
        """
        user = checked_uuid(user_id, "user_id")
        wanted = None if status is None else checked_status(status)
        position = _page_position(before)
        count = checked_limit(limit)
        return self._database.statement(
            lambda connection: lookup.list_jobs(connection, user, limit=count, status=wanted, before=position)
        )

    def job_history(self, job_id: UUID | str, user_id: UUID | str | None = None) -> list[JobHistoryEntry]:
        """Every status change of the job, in order; empty for an unknown job and for somebody else's."""
        job = checked_uuid(job_id, "job_id")
        user = None if user_id is None else checked_uuid(user_id, "user_id")
        return self._database.statement(lambda connection: lookup.job_history(connection, job, user))

    def wait_for_job(
        self,
        job_id: UUID | str,
        user_id: UUID | str,
        timeout: float = 300,
        on_update: OnUpdate | None = None,
    ) -> ExtractionJob:
        """Return the job once it has finished. Pushed to through Redis; the table is asked only now and then.

        ``on_update(job)`` is called for each change seen, the first state included. Raises ``JobNotFoundError``, and
        ``PollingTimeoutError`` when the job has not finished within ``timeout`` seconds; the job itself goes on.
        """
        return wait_for_finish(
            self._redis,
            self._database,
            checked_uuid(job_id, "job_id"),
            checked_uuid(user_id, "user_id"),
            timeout=checked_seconds(timeout, "timeout"),
            on_update=on_update,
        )

    def close(self) -> None:
        """Close the connections this manager opened itself."""
        if "_redis" in self.__dict__:
            self._redis.close()
        if self._own_engine is not None:
            self._own_engine.dispose()

    @cached_property
    def _redis(self) -> Any:
        return connect_redis(self._settings.required_redis_url)


def _page_position(before: Any) -> UUID | datetime | None:
    if isinstance(before, ExtractionJob):
        return before.id
    if isinstance(before, datetime):
        if before.tzinfo is None:
            raise InvalidInputError("before must carry a time zone.", argument="before")
        return before
    return None if before is None else checked_uuid(before, "before")
