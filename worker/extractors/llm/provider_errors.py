"""What went wrong at the provider, in words that an operator or a user can act on.

A provider's own text may quote the key, the account or the picture: it goes nowhere. Its error codes, which are plain
words, go to the worker's log.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    OutputTokenLimitExceeded,
    UnexpectedModelBehavior,
)

from jobqueue.extraction import PermanentExtractionError, TransientExtractionError

log = logging.getLogger(__name__)

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_TRANSIENT_STATUSES = frozenset({408, 409, 425})

# The first class that fits decides, so the narrower stand before the wider.
_TRANSIENT: tuple[tuple[type[Exception], str, str], ...] = (
    (ModelRateLimitError, "PROVIDER_RATE_LIMITED", "The model provider's rate limit is reached."),
    (ModelUnavailableError, "PROVIDER_OVERLOADED", "The model provider is overloaded or unavailable."),
    (ModelServerError, "PROVIDER_ERROR", "The model provider had an error of its own."),
    (ModelTimeoutError, "PROVIDER_TIMEOUT", "The model provider did not answer in time."),
    (TimeoutError, "PROVIDER_TIMEOUT", "The model provider did not answer in time."),
    (ModelConnectionError, "PROVIDER_UNREACHABLE", "The connection to the model provider failed or broke."),
)
_PERMANENT: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ModelQuotaExceededError,
        "PROVIDER_QUOTA_EXHAUSTED",
        "The account at the model provider has no quota or credit left; its owner has to renew it.",
    ),
    (
        ModelAuthenticationError,
        "PROVIDER_REFUSED_KEY",
        "The model provider refused the worker's key; the operator has to correct JOBQUEUE_LLM_API_KEY.",
    ),
    (
        ModelNotFoundError,
        "UNKNOWN_MODEL",
        "The model provider does not know the model; the operator has to correct JOBQUEUE_LLM_MODEL or "
        "JOBQUEUE_LLM_BASE_URL.",
    ),
    (
        ModelContextWindowExceededError,
        "MODEL_CONTEXT_EXCEEDED",
        "The picture is too much for the model's context; send a smaller one, or one for each page.",
    ),
    (
        ModelRequestRejectedError,
        "PROVIDER_REJECTED_REQUEST",
        "The model provider rejected the request; the operator finds its error code in the worker's log.",
    ),
    (
        ContentFilterError,
        "MODEL_REFUSED",
        "The model refused to read this picture; if it does show a menu, submit another photo of it.",
    ),
    (
        OutputTokenLimitExceeded,
        "ANSWER_TRUNCATED",
        "The model's answer was cut off at its length limit before anything of it could be used; send the menu in "
        "several pictures.",
    ),
)


def extraction_error(
    error: AgentRunError | TimeoutError, token_usage: dict[str, Any] | None
) -> TransientExtractionError | PermanentExtractionError:
    """The error to raise instead of ``error``; a provider's ``Retry-After`` goes with it."""
    _log(error)
    for kind, code, message in _TRANSIENT:
        if isinstance(error, kind):
            return _transient(message, code, error, token_usage)
    for kind, code, message in _PERMANENT:
        if isinstance(error, kind):
            return PermanentExtractionError(message, code, token_usage)
    if isinstance(error, ModelHTTPError) and 400 <= error.status_code < 500:
        if error.status_code in _TRANSIENT_STATUSES:
            return _transient("The model provider asks to try again later.", "PROVIDER_ERROR", error, token_usage)
        return PermanentExtractionError(
            f"The model provider rejected the request with status {error.status_code}.",
            "PROVIDER_REJECTED_REQUEST",
            token_usage,
        )
    if isinstance(error, UnexpectedModelBehavior) and error.__cause__ is not None:
        # pydantic-ai gives the last answer's problems as the cause once the repairs are used up.
        return PermanentExtractionError(
            "Nothing of the model's answer could be used, not even after it was asked to correct it.",
            "INVALID_RESULT",
            token_usage,
        )
    return _transient("The model provider's answer could not be read.", "PROVIDER_ERROR", error, token_usage)


def _transient(
    message: str, code: str, error: Exception, token_usage: dict[str, Any] | None
) -> TransientExtractionError:
    return TransientExtractionError(message, code, getattr(error, "retry_after", None), token_usage)


def _log(error: AgentRunError | TimeoutError) -> None:
    words = [type(error).__name__]
    if isinstance(error, ModelHTTPError):
        words.append(f"status {error.status_code}")
    if isinstance(error, ModelAPIError):
        codes = (error.provider_error_code, error.provider_error_type)
        words += [code for code in codes if code and _PLAIN_WORD.fullmatch(code)]
    log.warning("The model provider: %s.", ", ".join(words))
