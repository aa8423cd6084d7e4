"""Every error that crosses the public API: one class per code, picklable, with its details."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from jobqueue.job import ExtractionJob


class JobQueueError(Exception):
    """The base of every error this library raises.

    ``message`` is one sentence for a person, ``code`` is for programs, ``details`` hold whatever else is known
    (for example ``reset_at``). Celery and multiprocessing pickle exceptions, so all three survive pickling.
    """

    default_code: ClassVar[str] = "JOBQUEUE_ERROR"

    def __init__(self, message: str, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.details))


def _rebuild(cls: type[JobQueueError], message: str, code: str, details: dict[str, Any]) -> JobQueueError:
    return cls(message, code, **details)


class QuotaExceededError(JobQueueError):
    """The user's monthly quota is used up; ``details`` hold ``current``, ``limit`` and ``resets_at``."""

    default_code = "QUOTA_EXCEEDED"


class RateLimitExceededError(JobQueueError):
    """Too many uploads within 60 minutes; ``reset_at`` is the moment the next one will be let in."""

    default_code = "RATE_LIMIT_EXCEEDED"

    @property
    def reset_at(self) -> datetime | None:
        value: datetime | None = self.details.get("reset_at")
        return value


class JobNotFoundError(JobQueueError):
    """No such job, or it belongs to somebody else: the two are not told apart."""

    default_code = "JOB_NOT_FOUND"


class MaxRetriesExceededError(JobQueueError):
    """The job was already retried as often as is allowed."""

    default_code = "MAX_RETRIES_EXCEEDED"


class InvalidStatusError(JobQueueError):
    """The job's status does not allow this call, for example a finished job that is to be completed again."""

    default_code = "INVALID_STATUS"


class InvalidResultError(JobQueueError):
    """An extraction result does not fit its schema version; ``details['problems']`` lists what is wrong."""

    default_code = "INVALID_RESULT"


class InvalidInputError(JobQueueError):
    """An argument or a setting is malformed; the message names it and says what is expected."""

    default_code = "INVALID_INPUT"


class UserNotFoundError(JobQueueError):
    """No such user in ``auth.users``."""

    default_code = "USER_NOT_FOUND"


class PollingTimeoutError(JobQueueError):
    """The job did not finish while the caller was willing to wait; it goes on by itself."""

    default_code = "POLLING_TIMEOUT"


class CursorExpiredError(JobQueueError):
    """The events behind the cursor cannot be replayed: some were pruned, or the cursor is of another event log.

    The latter is so when the database was restored to an earlier state, lost changes in a fail-over, or is another one.

    In their place it carries the user's jobs as they stand; every change that they do not show yet comes behind
    ``cursor``. ``jobs`` are the newest, at most 100; with ``more`` there are older ones, which
    ``list_user_jobs(user_id, before=error.jobs[-1])`` brings.
    """

    default_code = "CURSOR_EXPIRED"

    @property
    def cursor(self) -> int:
        value: int = self.details.get("cursor", 0)
        return value

    @property
    def jobs(self) -> list[ExtractionJob]:
        value: list[ExtractionJob] = self.details.get("jobs", [])
        return value

    @property
    def more(self) -> bool:
        return bool(self.details.get("more", False))


class ImageRejectedError(JobQueueError):
    """The picture may not or cannot be used; the message says why in words the uploader can act on."""

    default_code = "IMAGE_REJECTED"


class QueueUnavailableError(JobQueueError):
    """The database (or, for a subscription, Redis) could not be reached or refused the request."""

    default_code = "QUEUE_UNAVAILABLE"
