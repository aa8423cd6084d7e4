"""What becomes of errors that no provider's answer brings about: the library's own."""

from __future__ import annotations

from pydantic_ai.exceptions import ModelConnectionError, ModelTimeoutError, UnexpectedModelBehavior

from jobqueue.extraction import PermanentExtractionError, TransientExtractionError
from worker.extractors.llm.provider_errors import extraction_error

USAGE = {"inputTokens": 7, "outputTokens": 3, "estimatedCost": None}


def test_a_connection_that_takes_too_long_to_be_made_is_told_from_one_that_fails() -> None:
    slow = extraction_error(ModelTimeoutError("gpt-5", "no connection within five seconds"), USAGE)
    broken = extraction_error(ModelConnectionError("gpt-5", "connection reset"), USAGE)
    assert isinstance(slow, TransientExtractionError)
    assert isinstance(broken, TransientExtractionError)
    assert (slow.code, broken.code) == ("PROVIDER_TIMEOUT", "PROVIDER_UNREACHABLE")
    assert slow.token_usage == broken.token_usage == USAGE


def test_an_answer_that_is_none_is_asked_for_again_and_one_that_stays_useless_is_not() -> None:
    garbled = UnexpectedModelBehavior("The response has no message.")
    useless = UnexpectedModelBehavior("Exceeded the retries.")
    useless.__cause__ = ValueError("No categories.")
    again, never = extraction_error(garbled, USAGE), extraction_error(useless, USAGE)
    assert isinstance(again, TransientExtractionError)
    assert isinstance(never, PermanentExtractionError)
    assert (again.code, never.code) == ("PROVIDER_ERROR", "INVALID_RESULT")
    assert again.token_usage == never.token_usage == USAGE
