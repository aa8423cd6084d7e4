"""What an extractor is: the picture it is given, the outcome it returns, the two kinds of error it may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

ProgressReport = Callable[[str, float], None]
"""``report(stage, fraction)``: best effort, fraction 0..1 of the stage; it never raises on a broken connection."""


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A downloaded picture that has already been checked: a JPEG, PNG or WebP within the size limits."""

    data: bytes
    media_type: str
    sha256: str
    url: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ExtractionOutcome:
    """``result`` in the job's schema version, ``confidence`` 0..1 for the whole, usage where a model was paid."""

    result: dict[str, Any]
    confidence: float
    token_usage: dict[str, Any] | None = None


@runtime_checkable
class Extractor(Protocol):
    """Turns a picture of a menu into a result.

    One instance serves one worker process: one job at a time in Celery's prefork pool, several at once, each in its own
    thread, in the threads pool.
    """

    name: str

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome: ...


class TransientExtractionError(Exception):
    """Trying again later may help: network, timeout, HTTP 408/429/5xx, an overloaded provider.

    ``retry_after`` (seconds) is the provider's own wish and replaces the computed backoff where it is longer.
    ``token_usage`` is what the failed attempt cost, where a model was paid for it.
    """

    def __init__(
        self,
        message: str,
        code: str = "EXTRACTION_FAILED",
        retry_after: float | None = None,
        token_usage: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code, retry_after, token_usage)
        self.message = message
        self.code = code
        self.retry_after = retry_after
        self.token_usage = token_usage

    def __str__(self) -> str:
        return self.message


class PermanentExtractionError(Exception):
    """Trying again cannot help; the job fails at once with this code and message. ``token_usage`` as above."""

    def __init__(
        self, message: str, code: str = "EXTRACTION_FAILED", token_usage: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message, code, token_usage)
        self.message = message
        self.code = code
        self.token_usage = token_usage

    def __str__(self) -> str:
        return self.message
