"""Errors as HTTP answers: one status for each code, one body for all."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from jobqueue.errors import JobQueueError, RateLimitExceededError
from jobqueue.json_shapes import ErrorAnswer, error_answer

STATUSES = {
    "QUOTA_EXCEEDED": 403,
    "RATE_LIMIT_EXCEEDED": 429,
    "JOB_NOT_FOUND": 404,
    "MAX_RETRIES_EXCEEDED": 409,
    "INVALID_STATUS": 409,
    "INVALID_INPUT": 422,
    "IMAGE_REJECTED": 422,
    # The token is genuine, but its user was deleted.
    "USER_NOT_FOUND": 401,
    "QUEUE_UNAVAILABLE": 503,
}
UNAVAILABLE_RETRY_SECONDS = 5
NEVER_RETRY_SECONDS = 3600


def response_for(error: JobQueueError) -> JSONResponse:
    status = STATUSES.get(error.code, 500)
    return error_response(status, error_answer(error), _headers(status, error))


def error_response(status: int, answer: ErrorAnswer, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(answer.model_dump(mode="json"), status, headers)


def validation_response(error: RequestValidationError) -> JSONResponse:
    """The first problem as a sentence, without the value that was sent."""
    first = error.errors()[0]
    return error_response(
        422, ErrorAnswer(error=_sentence(first["type"], first["loc"], first["msg"]), code="INVALID_INPUT")
    )


def _sentence(kind: str, place: tuple[str | int, ...], problem: str) -> str:
    if kind == "extra_forbidden":
        return "The body has a field that is not known; see /openapi.json for those that are."
    names = [part for part in place[1:] if isinstance(part, str)]
    if kind == "json_invalid" or not names:
        return "The body is not a JSON object; send one with Content-Type: application/json."
    if kind == "missing":
        return f"{names[0]} is missing."
    return f"{names[0]} is wrong: {problem[:1].lower()}{problem[1:]}."


def _headers(status: int, error: JobQueueError) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    if status == 503:
        return {"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)}
    if isinstance(error, RateLimitExceededError):
        return {"Retry-After": str(_seconds_until(error.reset_at))}
    return {}


def _seconds_until(moment: datetime | None) -> int:
    if moment is None:
        return NEVER_RETRY_SECONDS
    return max(1, math.ceil((moment - datetime.now(UTC)).total_seconds()))
