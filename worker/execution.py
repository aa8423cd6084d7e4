"""Running one attempt of a job: claim, fetch, extract, validate, store. The row decides, whatever messages say."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection

from jobqueue.database import Database
from jobqueue.errors import ImageRejectedError, InvalidResultError, QueueUnavailableError
from jobqueue.extraction import ExtractionOutcome, PermanentExtractionError, TransientExtractionError
from jobqueue.fetch import fetch_image
from jobqueue.outcome_check import check_outcome
from jobqueue.retry_policy import MAX_ATTEMPTS, backoff_seconds, may_retry
from jobqueue.states import JobStatus
from jobqueue.store.cancellation import CANCELLED_CODE
from jobqueue.store.claim import ClaimedJob, claim_job
from jobqueue.store.completion import (
    Completion,
    attempt_ended,
    cancel_attempt,
    complete_attempt,
    fail_attempt,
    requeue_attempt,
)
from jobqueue.token_usage import added_usage
from worker.lease_keeper import Lease
from worker.progress import JobCancelledError, LeaseLostError, ProgressReporter
from worker.resources import WorkerResources
from worker.unexpected_error import without_texts

log = logging.getLogger(__name__)

# How long an attempt waits for a database that is away before its work is given up.
PATIENCE_SECONDS = 60.0

T = TypeVar("T")


class AttemptFailedError(Exception):
    """A transient failure, already written: the job is queued again and due in ``delay_seconds``.

    Operators see this text, so it names the code and nothing of the user's.
    """

    def __init__(self, code: str, attempt: int, delay_seconds: float) -> None:
        super().__init__(code, attempt, delay_seconds)
        self.code = code
        self.delay_seconds = delay_seconds

    def __str__(self) -> str:
        return f"{self.code} in attempt {self.args[1]} of {MAX_ATTEMPTS}"


class JobFailedError(Exception):
    """The job ended as failed, already written; this tells Celery and with it Flower."""


class AttemptLostError(Exception):
    """The attempt could not write how it ended; its lease runs out and the job is taken back."""

    def __str__(self) -> str:
        return "the worker ran out of memory"


def execute_job(resources: WorkerResources, job_id: UUID, worker: str) -> None:
    """Run the job's next attempt if it is due; does nothing if it is not, or if somebody else holds it.

    ``worker`` names the process; the claim adds a token to it, so that a repeated claim finds itself and no other.
    Raises ``AttemptFailedError`` when another attempt is to follow and ``JobFailedError`` when none is.
    """
    lease_seconds = resources.settings.lease_seconds
    execution = f"{worker}/{secrets.token_hex(4)}"
    job = patiently(
        resources.database,
        lambda connection: claim_job(connection, job_id, worker=execution, lease_seconds=lease_seconds),
    )
    if job is None:
        log.info("Job %s is not due here; its message is dropped.", job_id)
        return
    with resources.leases.hold(job) as lease:
        Attempt(resources, job, lease).run()


class Attempt:
    """One execution of a claimed job."""

    def __init__(self, resources: WorkerResources, job: ClaimedJob, lease: Lease) -> None:
        self._resources = resources
        self._job = job
        self._lease = lease
        self._began = time.monotonic()
        # Of this attempt and those before it; also an attempt that fails is paid for.
        self._token_usage = job.token_usage

    def run(self) -> None:
        try:
            outcome = self._extract()
        except (LeaseLostError, JobCancelledError):
            self._end_if_cancelled()
            log.warning("Job %s was taken over; attempt %d stops.", self._job.id, self._job.attempt)
        except (PermanentExtractionError, ImageRejectedError) as error:
            self._spend(getattr(error, "token_usage", None))
            self._fail(error.code, error.message)
        except InvalidResultError as error:
            self._fail("INVALID_RESULT", f"The extractor's answer could not be used. {error.message}")
        except TransientExtractionError as error:
            self._spend(error.token_usage)
            self._try_again(error.code, error.message, error.retry_after)
        except SoftTimeLimitExceeded:
            limit = self._resources.settings.time_limit
            self._try_again("TIMEOUT", f"The extraction took longer than {limit} seconds.")
        except MemoryError:
            self._try_again("OUT_OF_MEMORY", "The worker ran out of memory on this picture.")
        except (ConnectionError, TimeoutError):
            self._try_again("NETWORK_ERROR", "The connection broke during the extraction.")
        except Exception as error:
            number, job = self._job.attempt, self._job.id
            log.error("Attempt %d of job %s met an unexpected error:\n%s", number, job, without_texts(error))  # noqa: TRY400
            log.debug("Attempt %d of job %s met an unexpected error, in full:", number, job, exc_info=True)
            self._fail("EXTRACTION_FAILED", f"The extraction stopped on an internal error ({type(error).__name__}).")
        else:
            self._complete(outcome)

    def _extract(self) -> ExtractionOutcome:
        report = ProgressReporter(self._resources.redis, self._job, self._lease)
        report("fetching", 0.0)
        image = fetch_image(self._job.image_url, self._resources.settings)
        if self._job.image_hash is not None and image.sha256 != self._job.image_hash:
            raise PermanentExtractionError(
                "The picture at this address is not the one that was submitted (its SHA-256 differs); submit it again.",
                "IMAGE_CHANGED",
            )
        outcome = self._resources.extractor.extract(
            image,
            schema_version=self._job.schema_version,
            prompt_version=self._job.prompt_version,
            report=report,
        )
        self._spend(getattr(outcome, "token_usage", None))
        check_outcome(outcome, self._job.schema_version)
        return outcome

    def _spend(self, token_usage: Any) -> None:
        self._token_usage = added_usage(self._token_usage, token_usage)

    def _complete(self, outcome: ExtractionOutcome) -> None:
        completion = Completion(
            result=outcome.result,
            processing_time=self._elapsed_ms(),
            confidence=outcome.confidence,
            token_usage=self._token_usage,
            uncertain_items=outcome.result.get("uncertainItems", []),
            superfluous_text=outcome.result.get("superfluousText", []),
        )
        completed = self._store(
            lambda c: complete_attempt(c, self._job.id, self._job.attempt, completion), JobStatus.COMPLETED
        )
        if completed:
            log.info("Job %s completed in %d ms.", self._job.id, completion.processing_time)

    def _try_again(self, code: str, message: str, retry_after: float | None = None) -> None:
        attempt, charged = self._job.attempt, self._job.charged_attempt
        if not may_retry(charged):
            self._fail(code, f"{message} This was attempt {charged} of {MAX_ATTEMPTS}; try again later.")
            return
        delay = backoff_seconds(charged, self._resources.settings.retry_backoff, retry_after=retry_after)
        queued = self._store(
            lambda c: requeue_attempt(
                c,
                self._job.id,
                attempt,
                code=code,
                message=message,
                delay_seconds=delay,
                token_usage=self._token_usage,
            ),
            JobStatus.QUEUED,
            code,
        )
        if queued:
            # Flower shows tracebacks with all that led to them, and what an extractor said is not for it.
            raise AttemptFailedError(code, charged, delay) from None

    def _fail(self, code: str, message: str) -> None:
        elapsed = self._elapsed_ms()
        failed = self._store(
            lambda c: fail_attempt(
                c,
                self._job.id,
                self._job.attempt,
                code=code,
                message=message,
                processing_time=elapsed,
                token_usage=self._token_usage,
            ),
            JobStatus.FAILED,
            code,
        )
        if failed:
            raise JobFailedError(code) from None

    def _store(self, write: Callable[[Connection], bool], status: JobStatus, code: str | None = None) -> bool:
        """Write the attempt's end, which is ``status`` and ``code``; false when the fence refused it."""
        written = self._write(write, status, code)
        if not written:
            self._end_if_cancelled()
            log.warning("Job %s was taken over; attempt %d is refused.", self._job.id, self._job.attempt)
        return written

    def _end_if_cancelled(self) -> None:
        cancelled = self._write(
            lambda c: cancel_attempt(c, self._job.id, self._job.attempt, token_usage=self._token_usage),
            JobStatus.FAILED,
            CANCELLED_CODE,
        )
        if cancelled:
            raise JobFailedError(CANCELLED_CODE) from None

    def _write(self, write: Callable[[Connection], bool], status: JobStatus, code: str | None) -> bool:
        """A write whose answer was lost is refused when it is repeated, though it took effect; the history knows."""
        database, job = self._resources.database, self._job
        return patiently(database, write) or patiently(
            database, lambda c: attempt_ended(c, job.id, job.attempt, status, code)
        )

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)


def patiently(database: Database, work: Callable[[Connection], T]) -> T:
    """Do the work, waiting a while for a database that is away; then raises ``QueueUnavailableError``."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return database.statement(work)
        except QueueUnavailableError as error:
            if time.monotonic() >= give_up_at:
                raise
            log.warning("Waiting for the database: %s", error)
            time.sleep(0.5)
