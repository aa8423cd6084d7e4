"""What a subscription must remember to miss nothing and repeat nothing: pure, shared by the two listeners.

Redis pub/sub is a hint that may be lost; the event log in Postgres is the truth. A subscription first subscribes,
then reads the log from its position, then takes live events; whatever it already delivered is dropped by its cursor.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from jobqueue.events import JobEvent

PAGE = 500
PING_AFTER_SECONDS = 5.0
PONG_WITHIN_SECONDS = 10.0
CATCH_UP_EVERY_SECONDS = 15.0
MAX_RECONNECT_SECONDS = 5.0


@dataclass(slots=True)
class ReplayPosition:
    """The cursor of the last delivered event."""

    cursor: int

    def accept(self, event: JobEvent) -> bool:
        """Whether the event is new here; if so, the position moves on to it."""
        if event.cursor <= self.cursor:
            return False
        self.cursor = event.cursor
        return True


@dataclass(slots=True)
class Liveness:
    """Tells a silent connection from a dead one. All times are those of one monotonic clock, in seconds."""

    heard_at: float
    pinged_at: float | None = None
    caught_up_at: float = 0.0

    def heard(self, now: float) -> None:
        self.heard_at = now
        self.pinged_at = None

    def should_ping(self, now: float) -> bool:
        return self.pinged_at is None and now - self.heard_at >= PING_AFTER_SECONDS

    def is_dead(self, now: float) -> bool:
        return self.pinged_at is not None and now - self.pinged_at >= PONG_WITHIN_SECONDS

    def should_catch_up(self, now: float) -> bool:
        """A live connection may still have missed something (a notifier that could not publish), so look at times."""
        return now - self.caught_up_at >= CATCH_UP_EVERY_SECONDS


def reconnect_delay(failures: int) -> float:
    """Seconds to wait before reconnect number ``failures``, with jitter so that a crowd does not come back at once."""
    ceiling = min(0.1 * 2.0 ** min(failures, 16), MAX_RECONNECT_SECONDS)
    return ceiling * (0.5 + 0.5 * random.random())  # noqa: S311 - jitter is no secret
