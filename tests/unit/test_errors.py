"""One error class per code, and each survives the pickling that Celery and multiprocessing do."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

import jobqueue
from jobqueue.errors import JobQueueError, RateLimitExceededError

CODES = {
    "QUOTA_EXCEEDED",
    "RATE_LIMIT_EXCEEDED",
    "JOB_NOT_FOUND",
    "MAX_RETRIES_EXCEEDED",
    "INVALID_STATUS",
    "INVALID_RESULT",
    "INVALID_INPUT",
    "USER_NOT_FOUND",
    "POLLING_TIMEOUT",
    "CURSOR_EXPIRED",
    "IMAGE_REJECTED",
    "QUEUE_UNAVAILABLE",
}


def error_classes() -> list[type[JobQueueError]]:
    return [cls for cls in JobQueueError.__subclasses__() if cls.__module__ == "jobqueue.errors"]


def test_there_is_exactly_one_class_for_each_code() -> None:
    assert sorted(cls.default_code for cls in error_classes()) == sorted(CODES)


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.default_code)
def test_every_class_is_part_of_the_public_api(cls: type[JobQueueError]) -> None:
    assert getattr(jobqueue, cls.__name__) is cls
    assert cls.__name__ in jobqueue.__all__


@pytest.mark.parametrize("cls", [JobQueueError, *error_classes()], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_message_code_and_details_survive_pickling(cls: type[JobQueueError], protocol: int) -> None:
    original = cls("Say what to do.", reset_at=datetime(2026, 2, 1, tzinfo=UTC), current=5, limit=5)
    copy = pickle.loads(pickle.dumps(original, protocol))  # noqa: S301 - our own bytes
    assert type(copy) is cls
    assert copy.message == str(copy) == "Say what to do."
    assert copy.code == original.code == cls.default_code
    assert copy.details == {"reset_at": datetime(2026, 2, 1, tzinfo=UTC), "current": 5, "limit": 5}


def test_a_code_given_at_the_raise_survives_pickling_too() -> None:
    copy = pickle.loads(pickle.dumps(JobQueueError("Text.", "SPECIAL")))  # noqa: S301 - our own bytes
    assert (copy.code, copy.details) == ("SPECIAL", {})


def test_the_rate_limit_tells_when_the_next_upload_is_let_in() -> None:
    moment = datetime(2026, 2, 1, 12, tzinfo=UTC)
    assert RateLimitExceededError("Too many.", reset_at=moment).reset_at == moment
    assert RateLimitExceededError("Too many.").reset_at is None


def test_extraction_errors_survive_pickling() -> None:
    from jobqueue.extraction import PermanentExtractionError, TransientExtractionError

    transient = pickle.loads(pickle.dumps(TransientExtractionError("Busy.", "PROVIDER_OVERLOADED", 7.5)))  # noqa: S301
    assert (str(transient), transient.code, transient.retry_after) == ("Busy.", "PROVIDER_OVERLOADED", 7.5)
    permanent = pickle.loads(pickle.dumps(PermanentExtractionError("No menu.", "NO_MENU_FOUND")))  # noqa: S301
    assert (str(permanent), permanent.code) == ("No menu.", "NO_MENU_FOUND")
