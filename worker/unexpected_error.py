"""Telling operators of an unexpected error without its text, into which an extractor may have put anything."""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def without_texts(error: BaseException) -> str:
    """Where ``error`` and what led to it were raised: types and lines of code, but no messages."""
    return "\nwhile handling\n".join(
        f"{''.join(traceback.format_tb(one.__traceback__))}{type(one).__qualname__}" for one in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
