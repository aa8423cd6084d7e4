"""Waiting for a condition instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float = 20.0, what: str = "the condition") -> T:
    """The first truthy value of ``look()``; fails when there was none ``within`` so many seconds."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within:g} s; last seen: {seen!r}")
        time.sleep(0.01)
    return seen
