"""The API that applications call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from jobqueue.arguments import (
    checked_error_message,
    checked_image_hash,
    checked_limit,
    checked_list,
    checked_milliseconds,
    checked_page_position,
    checked_prompt_version,
    checked_rate_limit,
    checked_seconds,
    checked_status,
    checked_uuid,
)
from jobqueue.database import SessionFactory
from jobqueue.errors import JobQueueError
from jobqueue.job import ExtractionJob, JobHistoryEntry, SubmissionResult
from jobqueue.limits import QuotaCheckResult, RateLimitCheckResult
from jobqueue.menu_result import check_schema_version
from jobqueue.picture_hash import with_hash, with_hashes
from jobqueue.redis_connection import SUBSCRIBER_TIMEOUTS, connect_redis
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings
from jobqueue.states import JobStatus
from jobqueue.store import cancellation, completion, lookup, marks, retry, submission, usage
from jobqueue.store.lookup import refuse_inactive
from jobqueue.store.submitter import Clock
from jobqueue.submission import Submission, checked_entry, checked_submission, checked_submissions
from jobqueue.waiting import wait_for_finish

OnUpdate = Callable[[ExtractionJob], Any]


class JobQueueManager:
    """Submits menu extractions and reads their state. Thread-safe; make one per process.

    Takes an SQLAlchemy ``Engine`` or session factory; without one it connects to ``DATABASE_URL``. Every method that
    writes takes ``session=``: then it takes part in the caller's transaction, nothing is committed or published before
    the caller commits, and a rollback leaves no trace. Every method raises ``JobQueueError`` subclasses only.
    """

    def __init__(
        self,
        engine_or_session_factory: Engine | SessionFactory | None = None,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or load_settings()
        self._database, self._own_engine = open_database(engine_or_session_factory, self._settings)
        # The database's clock, unless a test brings its own: many processes then agree on the month and the hour.
        self._clock = clock

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
        neither charges anything. ``force=True`` always makes a new one. ``image_hash`` is the SHA-256 of the picture in
        hexadecimal; without it the picture is fetched and hashed first.

        Raises ``QuotaExceededError``, ``RateLimitExceededError``, ``InvalidInputError``, ``UserNotFoundError``,
        ``QueueUnavailableError``, and without ``image_hash`` ``ImageRejectedError``.
        """
        user = checked_uuid(user_id, "user_id")
        wanted = checked_submission(image_url, image_hash, schema_version, prompt_version, force)
        hashed = with_hash(wanted, self._settings)
        (outcome,) = self._database.run(
            lambda connection: submission.submit(connection, user, [hashed], self._clock), session
        )
        if isinstance(outcome, JobQueueError):
            raise outcome
        return outcome

    def submit_jobs(
        self,
        user_id: UUID | str,
        submissions: Iterable[str | Mapping[str, Any]],
        *,
        schema_version: str = "stage1",
        prompt_version: str = "v1.0",
        force: bool = False,
        session: Session | None = None,
    ) -> list[SubmissionResult | JobQueueError]:
        """Submit many at once, in one transaction and few round trips; one outcome each, in order.

        A submission is an address or a mapping of ``submit_job``'s arguments; the keyword arguments are its defaults.
        Each succeeds or fails on its own: its outcome is a ``SubmissionResult`` or the error that refused it. Raises
        for what concerns all of them: ``InvalidInputError`` for the user id, ``UserNotFoundError``,
        ``QueueUnavailableError``.
        """
        user = checked_uuid(user_id, "user_id")
        defaults = {"schema_version": schema_version, "prompt_version": prompt_version, "force": force}
        entries = checked_submissions(submissions)
        prepared = with_hashes(entries, lambda entry: checked_entry(entry, defaults), self._settings)
        good = [one for one in prepared if isinstance(one, Submission)]
        stored = self._database.run(lambda connection: submission.submit(connection, user, good, self._clock), session)
        outcomes = iter(stored)
        return [next(outcomes) if isinstance(one, Submission) else one for one in prepared]

    def retry_job(self, job_id: UUID | str, user_id: UUID | str, *, session: Session | None = None) -> ExtractionJob:
        """Make a new job from a failed one, with ``retry_count`` one higher and ``retry_of`` naming the old one.

        Simultaneous calls make one job and all return it. Charges no monthly quota but counts as an upload of the hour.
        Raises ``JobNotFoundError``, ``InvalidStatusError`` (the job has not failed, or a newer one took its place),
        ``MaxRetriesExceededError`` after three, ``RateLimitExceededError``.
        """
        job, user = checked_uuid(job_id, "job_id"), checked_uuid(user_id, "user_id")
        return self._database.run(lambda connection: retry.retry(connection, job, user, self._clock), session)

    def cancel_job(self, job_id: UUID | str, user_id: UUID | str, *, session: Session | None = None) -> ExtractionJob:
        """Cancel the job: a queued one at once, a running one as soon as its worker notices (within seconds).

        It ends ``failed`` with ``error_code`` ``CANCELLED``. Raises ``JobNotFoundError``, and ``InvalidStatusError``
        for a finished job.
        """
        job, user = checked_uuid(job_id, "job_id"), checked_uuid(user_id, "user_id")

        def work(connection: Connection) -> ExtractionJob:
            cancelled = cancellation.cancel(connection, job, user)
            return cancelled or refuse_inactive(connection, job, user)

        return self._database.run(work, session)

    def check_quota(self, user_id: UUID | str) -> QuotaCheckResult:
        """Whether one more job fits into this calendar month (UTC). Raises ``UserNotFoundError``."""
        user = checked_uuid(user_id, "user_id")
        return self._database.run(lambda connection: usage.check_quota(connection, user, self._clock))

    def check_rate_limit(self, user_id: UUID | str, limit_per_hour: int | None = None) -> RateLimitCheckResult:
        """Whether one more upload is let in now; ``limit_per_hour`` (-1 is unlimited) replaces the plan's limit.

        Raises ``InvalidInputError`` and ``UserNotFoundError``.
        """
        user = checked_uuid(user_id, "user_id")
        limit = None if limit_per_hour is None else checked_rate_limit(limit_per_hour)
        return self._database.run(lambda connection: usage.check_rate_limit(connection, user, limit, self._clock))

    def mark_job_completed(
        self,
        job_id: UUID | str,
        result: dict[str, Any],
        processing_time: int,
        token_usage: dict[str, Any] | None = None,
        confidence: float | None = None,
        uncertain_items: list[dict[str, Any]] | None = None,
        superfluous_text: list[dict[str, Any]] | None = None,
        *,
        session: Session | None = None,
    ) -> ExtractionJob:
        """Complete a job that the application extracted itself; ``processing_time`` is in milliseconds.

        ``uncertain_items`` and ``superfluous_text`` default to the result's own lists; without ``token_usage`` what
        earlier attempts cost stays. Raises ``InvalidResultError``
        for a result that does not fit the job's schema version (nothing is changed), ``JobNotFoundError``,
        ``InvalidInputError``, and ``InvalidStatusError`` for a finished or cancelled job.
        """
        job = checked_uuid(job_id, "job_id")
        done = completion.Completion(
            result=result,
            processing_time=checked_milliseconds(processing_time),
            confidence=confidence,
            token_usage=token_usage,
            uncertain_items=checked_list(uncertain_items, "uncertain_items"),
            superfluous_text=checked_list(superfluous_text, "superfluous_text"),
        )
        return self._database.run(lambda connection: marks.mark_completed(connection, job, done), session)

    def mark_job_failed(
        self,
        job_id: UUID | str,
        error_message: str,
        increment_retry: bool = False,
        *,
        session: Session | None = None,
    ) -> ExtractionJob:
        """Fail a job that the application extracted itself; ``increment_retry`` adds one to its ``retry_count``.

        Raises ``JobNotFoundError``, ``InvalidInputError``, and ``InvalidStatusError`` for a finished or cancelled job.
        """
        job = checked_uuid(job_id, "job_id")
        message = checked_error_message(error_message)
        again = bool(increment_retry)
        return self._database.run(
            lambda connection: marks.mark_failed(connection, job, message, increment_retry=again), session
        )

    def find_existing_job(
        self,
        user_id: UUID | str,
        image_hash: str,
        *,
        schema_version: str = "stage1",
        prompt_version: str = "v1.0",
    ) -> ExtractionJob | None:
        """The job that a submission of this picture would be answered with, or ``None`` if it would make a new one."""
        user = checked_uuid(user_id, "user_id")
        key = Submission(
            "",
            checked_image_hash(image_hash),
            check_schema_version(schema_version),
            checked_prompt_version(prompt_version),
            False,
        )
        return self._database.statement(lambda connection: submission.find_existing(connection, user, key))

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
        position = checked_page_position(before)
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
        return connect_redis(self._settings.required_redis_url, **SUBSCRIBER_TIMEOUTS)
