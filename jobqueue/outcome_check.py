"""Whether what an extractor answered can be stored as it is."""

from __future__ import annotations

from jobqueue.errors import InvalidResultError
from jobqueue.extraction import ExtractionOutcome
from jobqueue.menu_result import refuse_unstorable, validate_result


def check_outcome(outcome: ExtractionOutcome, schema_version: str) -> None:
    """Raise ``InvalidResultError`` when the result, its confidence or the token usage is malformed.

    Before anything is written: a refusal by the database would come too late to be told from one that is away.
    """
    validate_result(outcome.result, schema_version)
    confidence = outcome.confidence
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise InvalidResultError("The confidence is not a number from 0 to 1.", problems=["confidence"])
    if outcome.token_usage is not None and not isinstance(outcome.token_usage, dict):
        raise InvalidResultError("The token usage is not a dictionary.", problems=["token_usage"])
    refuse_unstorable(outcome.token_usage, "token usage")
