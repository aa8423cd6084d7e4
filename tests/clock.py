"""A clock that shows what the test sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class Clock:
    """Pass it as ``clock=`` to a ``JobQueueManager``."""

    now: datetime = datetime(2026, 5, 17, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> datetime:
        """The new time, later by ``timedelta(**amount)``."""
        self.now += timedelta(**amount)
        return self.now
