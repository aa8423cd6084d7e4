"""What a subscription must remember to miss nothing and repeat nothing: pure, shared by the two listeners.

The event log in Postgres is what is delivered; a message on Redis pub/sub says that there is something new in it.
A message also carries its event, which is taken from it without a look into the log when it is the very next of all
events: cursors are numbered without a hole and become visible in their own order, so nothing can lie in between.
A subscription first subscribes, then reads the log from its position, then waits for messages.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any
from uuid import UUID

from jobqueue.errors import CursorExpiredError, QueueUnavailableError
from jobqueue.events import JobEvent, JobLoader, user_channel

log = logging.getLogger(__name__)

PAGE = 500
WAIT_SECONDS = 0.5
PING_AFTER_SECONDS = 5.0
PONG_WITHIN_SECONDS = 10.0
CATCH_UP_EVERY_SECONDS = 15.0
DOUBT_FOR_SECONDS = 1.0
# Events handed out last, so that one that comes once more is known for what it is.
REMEMBERED = 100
MAX_RECONNECT_SECONDS = 5.0
SAY_AGAIN_AFTER_SECONDS = 30.0
SAY_AGAIN_AT_MOST_EVERY_SECONDS = 3600.0
# An interruption so long after the last one is news again.
CALM_SECONDS = 60.0
NOBODY_TOLD = (
    "Events were pruned before a subscription got to them, or the database was restored; it goes on behind cursor %d. "
    "Pass on_expired to subscribe() to get the jobs as they stood then."
)


class Step(Enum):
    """What a stream has to do next."""

    READ_LOG = auto()
    SUBSCRIBE = auto()
    RECEIVE = auto()
    WAIT = auto()


class NoAnswerError(ConnectionError):
    """A ping was not answered: the other end is gone although the connection stands."""


class Feed:
    """One subscription's state. A stream does what ``next_step`` says and tells how it went; ``ready`` holds events.

    All times are those of one monotonic clock, in seconds.
    """

    def __init__(self, user_id: UUID, load: JobLoader, now: float) -> None:
        self.ready: deque[JobEvent] = deque()
        self._user_id = user_id
        self._load = load
        self._position = 0
        # Every event of the user's from here to the position was taken in, and is among the last ones.
        self._known_from = 0
        self._last: deque[tuple[int, UUID, int]] = deque()
        self._doubted: JobEvent | None = None
        self._expired_at: int | None = None
        self._subscribed = False
        self._confirmed = False
        self._must_read = False
        self._behind = False
        self._line = Liveness(heard_at=now, caught_up_at=now)
        self._redis = Outage(now)
        self._log = Outage(now)

    def begin(self, cursor: int, *, resumed: bool) -> None:
        """Fix the starting point; ``resumed`` if it is not the present moment but an earlier one."""
        self._position = self._known_from = cursor
        self._must_read = self._behind = resumed

    @property
    def position(self) -> int:
        """The cursor behind which the log has to be read."""
        return self._position

    @property
    def doubted(self) -> JobEvent | None:
        """An event that came too late: if the log holds it, this is not the log that was followed up to here."""
        return self._doubted

    @property
    def cursor(self) -> int:
        """The cursor of the last event that was handed out."""
        return self.ready[0].cursor - 1 if self.ready else self._position

    def next_step(self, now: float) -> Step:
        if (self._must_read or self._line.should_catch_up(now)) and now >= self._log.retry_at:
            return Step.READ_LOG
        if self._subscribed:
            return Step.RECEIVE
        return Step.SUBSCRIBE if now >= self._redis.retry_at else Step.WAIT

    def pause(self, now: float) -> float:
        """How long ``WAIT`` lasts."""
        due = [self._redis.retry_at] + ([self._log.retry_at] if self._must_read else [])
        return max(0.0, min(due) - now)

    def subscribing(self, now: float) -> None:
        """The subscription was sent; its confirmation will be a message."""
        self._subscribed = True
        self._line.heard(now)

    def received(self, message: dict[str, Any] | None, now: float) -> bool:
        """Take in a message, or that there was none; whether to send a ping. Raises ``NoAnswerError``."""
        if message is None:
            return self._line.silent(now)
        self._line.heard(now)
        if message["type"] == "subscribe":
            self._confirmed = self._must_read = True
            self._redis.over()
        elif message["type"] == "message":
            self._take(message["data"])
        return False

    def _take(self, payload: bytes) -> None:
        try:
            event = JobEvent.from_json(payload)
        except ValueError:
            event = None
        if event is None or event.user_id != self._user_id:
            log.warning("Ignored a message on %s that is not a job event of this user.", user_channel(self._user_id))
        elif event.cursor == self._position + 1 and not self._must_read:
            self._accept(event)
        elif event.cursor > self._position:
            self._must_read = True
        elif event.cursor <= self._known_from:
            # Most likely it comes once more. But perhaps the log was set back, and this is new.
            self._line.in_doubt = True
        elif _identity(event) not in self._last:
            # Taken in already, it would be known. Its job was deleted before the log was read, or the log is another.
            self._doubted = event
            self._must_read = True

    def read(self, page: Sequence[JobEvent], now: float) -> None:
        """What the log holds behind the position, ``PAGE`` events at most."""
        for event in page:
            self._accept(replace(event, replayed=self._behind))
        self._line.caught_up(now)
        self._doubted = self._expired_at = None
        self._log.over()
        self._must_read = len(page) == PAGE
        self._behind = self._behind and (self._must_read or not self._confirmed)

    def expired(self, error: CursorExpiredError) -> None:
        """The log does not lead on from the position: go on behind the snapshot that the error carries.

        Raises ``QueueUnavailableError`` when the last snapshot ended at the same cursor: it leads nowhere.
        """
        if error.cursor == self._expired_at:
            raise QueueUnavailableError(
                f"The event log names cursor {error.cursor} to go on from and refuses it; its pruned events "
                "(menu_extraction_pruned_events) lie behind its newest one (menu_extraction_relay)."
            ) from error
        self._position = self._known_from = self._expired_at = error.cursor
        self._last.clear()
        self._doubted = None

    def unreadable(self, error: Exception, now: float) -> None:
        """The log could not be read."""
        if self._log.failed(now):
            log.warning("Could not read the event log, trying again until it works: %s", error)

    def lost(self, reason: str, now: float) -> None:
        """The subscription broke, or could not be made."""
        if self._redis.failed(now):
            log.warning("The subscription to Redis was interrupted (%s); reconnecting.", reason)
        self._subscribed = self._confirmed = False
        self._must_read = self._behind = True

    def _accept(self, event: JobEvent) -> None:
        if event.cursor > self._position:
            self._position = event.cursor
            self._last.append(_identity(event))
            if len(self._last) > REMEMBERED:
                self._known_from = self._last.popleft()[0]
            self.ready.append(event.with_loader(self._load))


def _identity(event: JobEvent) -> tuple[int, UUID, int]:
    return event.cursor, event.job_id, event.seq


@dataclass(slots=True)
class Liveness:
    """Tells a silent connection from a dead one."""

    heard_at: float
    caught_up_at: float
    pinged_at: float | None = None
    in_doubt: bool = False

    def heard(self, now: float) -> None:
        self.heard_at = now
        self.pinged_at = None

    def silent(self, now: float) -> bool:
        """Whether it is time to ping. Raises ``NoAnswerError`` when the last ping was not answered in time."""
        if self.pinged_at is None:
            if now - self.heard_at < PING_AFTER_SECONDS:
                return False
            self.pinged_at = now
            return True
        if now - self.pinged_at >= PONG_WITHIN_SECONDS:
            raise NoAnswerError
        return False

    def should_catch_up(self, now: float) -> bool:
        """A live connection may still have missed something (a notifier that could not publish), so look at times."""
        return now - self.caught_up_at >= (DOUBT_FOR_SECONDS if self.in_doubt else CATCH_UP_EVERY_SECONDS)

    def caught_up(self, now: float) -> None:
        self.caught_up_at = now
        self.in_doubt = False


class Outage:
    """When to try again, and how often to say so: however long it lasts, the log stays short."""

    def __init__(self, now: float) -> None:
        self.retry_at = now
        self._failures = 0
        self._failed_at = now - CALM_SECONDS
        self._say_at = now
        self._say_after = SAY_AGAIN_AFTER_SECONDS

    def failed(self, now: float) -> bool:
        """Note a failure; whether to say so."""
        if now - self._failed_at >= CALM_SECONDS:
            self._say_at, self._say_after = now, SAY_AGAIN_AFTER_SECONDS
        self._failures += 1
        self._failed_at = now
        self.retry_at = now + reconnect_delay(self._failures)
        if now < self._say_at:
            return False
        self._say_at = now + self._say_after
        self._say_after = min(2 * self._say_after, SAY_AGAIN_AT_MOST_EVERY_SECONDS)
        return True

    def over(self) -> None:
        self._failures = 0


def reconnect_delay(failures: int) -> float:
    """Seconds to wait before reconnect number ``failures``, with jitter so that a crowd does not come back at once."""
    ceiling = min(0.1 * 2.0 ** min(failures, 16), MAX_RECONNECT_SECONDS)
    return ceiling * (0.5 + 0.5 * random.random())  # noqa: S311 - jitter is no secret
