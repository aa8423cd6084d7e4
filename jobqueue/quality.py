"""What users say of their extractions, and how well each prompt version does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from jobqueue.errors import InvalidInputError

MAX_ITEM_ID_CHARACTERS = 200
MAX_COMMENT_CHARACTERS = 2_000


class FeedbackType(StrEnum):
    """``system_error``: something of ours broke; ``menu_unclear``: the picture is at fault."""

    SYSTEM_ERROR = "system_error"
    MENU_UNCLEAR = "menu_unclear"
    EXCELLENT = "excellent"
    NEEDS_IMPROVEMENT = "needs_improvement"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One remark of a user on one of their jobs; ``item_id`` names the dish it is about, in the application's terms."""

    id: UUID
    job_id: UUID
    user_id: UUID
    feedback_type: FeedbackType
    item_id: str | None
    correction_made: bool
    comment: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ExtractionFigures:
    """The finished jobs of one prompt and schema version, without cancelled ones.

    Means and ``correction_rate`` (the share of completed jobs that a user corrected, 0..1) are over completed jobs and
    ``None`` without any; ``mean_processing_time`` is milliseconds. Tokens and cost are sums over all attempts whose
    usage is known, failed ones too, ``None`` where none is; the cost is in US dollars.
    """

    prompt_version: str
    schema_version: str
    extractions: int
    completed: int
    failed: int
    mean_confidence: float | None
    mean_processing_time: float | None
    input_tokens: int | None
    output_tokens: int | None
    estimated_cost: float | None
    jobs_with_feedback: int
    jobs_corrected: int
    correction_rate: float | None


def checked_feedback_type(value: Any) -> FeedbackType:
    try:
        return FeedbackType(value)
    except ValueError:
        known = ", ".join(FeedbackType)
        raise InvalidInputError(f"feedback_type must be one of {known}.", argument="feedback_type") from None


def checked_item_id(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and 0 < len(value) <= MAX_ITEM_ID_CHARACTERS and value.isprintable()):
        return value
    raise InvalidInputError(f"item_id must be 1 to {MAX_ITEM_ID_CHARACTERS} printable characters.", argument="item_id")


def checked_correction_made(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidInputError("correction_made must be true or false.", argument="correction_made")


def checked_comment(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= MAX_COMMENT_CHARACTERS and "\x00" not in value:
        return value.encode(errors="replace").decode()
    raise InvalidInputError(f"comment must be text of at most {MAX_COMMENT_CHARACTERS} characters.", argument="comment")
