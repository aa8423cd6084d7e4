"""Checks of what callers pass in: each returns the value in its proper form or raises ``InvalidInputError``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jobqueue.errors import InvalidInputError
from jobqueue.job import ExtractionJob
from jobqueue.states import JobStatus

MAX_URL_CHARACTERS = 2_048
MAX_PROMPT_VERSION_CHARACTERS = 50
MAX_PAGE = 1_000
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def checked_uuid(value: Any, argument: str) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and len(value) <= 64:
        try:
            return UUID(value)
        except ValueError:
            pass
    raise InvalidInputError(f"{argument} is not a UUID.", argument=argument)


def checked_image_url(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInputError(
            "image_url is missing; give the http or https address of a picture.", argument="image_url"
        )
    if len(value) > MAX_URL_CHARACTERS:
        raise InvalidInputError(f"image_url is longer than {MAX_URL_CHARACTERS} characters.", argument="image_url")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F or "\ud800" <= char <= "\udfff" for char in value):
        raise InvalidInputError(
            "image_url holds a space or a control character; percent-encode it.", argument="image_url"
        )
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme.lower() not in ("http", "https"):
        raise InvalidInputError("image_url is not an http or https address.", argument="image_url")
    return value


def checked_image_hash(value: Any) -> str:
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return value.lower()
    raise InvalidInputError("image_hash is not a SHA-256: give 64 hexadecimal digits.", argument="image_hash")


def checked_prompt_version(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= MAX_PROMPT_VERSION_CHARACTERS and value.isprintable():
        return value
    raise InvalidInputError(
        f"prompt_version must be 1 to {MAX_PROMPT_VERSION_CHARACTERS} printable characters.", argument="prompt_version"
    )


def checked_status(value: Any) -> JobStatus:
    try:
        return JobStatus(value)
    except ValueError:
        known = ", ".join(JobStatus)
        raise InvalidInputError(f"status must be one of {known}.", argument="status") from None


def checked_limit(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PAGE:
        return value
    raise InvalidInputError(f"limit must be a whole number from 1 to {MAX_PAGE}.", argument="limit")


def checked_seconds(value: Any, argument: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise InvalidInputError(f"{argument} must be a number of seconds, 0 or more.", argument=argument)


def checked_cursor(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63):
        return value
    raise InvalidInputError("after must be the cursor of an event: a whole number, 0 or more.", argument="after")


def checked_rate_limit(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 2**31:
        return value
    raise InvalidInputError("limit_per_hour must be a whole number, -1 (unlimited) or more.", argument="limit_per_hour")


def checked_milliseconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise InvalidInputError(
        "processing_time must be a whole number of milliseconds, 0 or more.", argument="processing_time"
    )


def checked_error_message(value: Any) -> str:
    if isinstance(value, str) and value.strip() and "\x00" not in value:
        return value
    raise InvalidInputError("error_message must be text that says what went wrong.", argument="error_message")


def checked_list(value: Any, argument: str) -> list[Any] | None:
    if value is None or isinstance(value, list):
        return value
    raise InvalidInputError(f"{argument} must be a list.", argument=argument)


def checked_page_position(before: Any) -> UUID | datetime | None:
    """What a page of jobs begins after: the last job of the page before (or its id), or a moment."""
    if isinstance(before, ExtractionJob):
        return before.id
    if isinstance(before, datetime):
        if before.tzinfo is None:
            raise InvalidInputError("before must carry a time zone.", argument="before")
        return before
    return None if before is None else checked_uuid(before, "before")
