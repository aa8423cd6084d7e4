"""One user's events as a blocking stream: live from Redis, completed from the event log in Postgres."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from threading import Event
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import redis
from redis.exceptions import RedisError

from jobqueue.database import Database
from jobqueue.errors import QueueUnavailableError
from jobqueue.events import JobEvent, JobLoader, user_channel
from jobqueue.redis_connection import trouble
from jobqueue.replay import PAGE, Liveness, ReplayPosition, reconnect_delay
from jobqueue.store.event_log import current_cursor, events_after
from jobqueue.store.lookup import get_job

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5


class EventStream:
    """Iterates over one user's events; begins at the moment it is made, or behind the cursor ``after``.

    A dropped connection heals by itself, and what happened meanwhile is delivered from the log. Not for use by
    several threads at once, except ``close``, which ends a blocked iteration within half a second.
    """

    def __init__(self, client: redis.Redis, database: Database, user_id: UUID, after: int | None = None) -> None:
        self._client = client
        self._database = database
        self._user_id = user_id
        self._load = job_loader(database, user_id)
        self._closed = Event()
        self._buffer: deque[JobEvent] = deque()
        self._pubsub: Any = None
        self._failures = 0
        self._retry_at = 0.0
        self._liveness = Liveness(time.monotonic())
        self._subscribe_or_plan()
        self._position = ReplayPosition(database.statement(current_cursor) if after is None else after)
        self._must_catch_up = True

    @property
    def cursor(self) -> int:
        """The cursor of the last event handed out; pass it as ``after`` to go on from there."""
        return self._buffer[0].cursor - 1 if self._buffer else self._position.cursor

    def poll(self, timeout: float) -> JobEvent | None:
        """The next event, or ``None`` when none came within ``timeout`` seconds or the stream was closed."""
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            self._advance(max(0.0, min(WAIT_SECONDS, deadline - time.monotonic())))
            if self._buffer:
                return self._buffer.popleft()
            if time.monotonic() >= deadline:
                return None
        return None

    def __iter__(self) -> Iterator[JobEvent]:
        return self

    def __next__(self) -> JobEvent:
        while not self._closed.is_set():
            event = self.poll(WAIT_SECONDS)
            if event is not None:
                return event
        self._drop_subscription()
        raise StopIteration

    def close(self) -> None:
        """End the stream; a blocked ``next`` raises ``StopIteration`` soon."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._drop_subscription()

    def _advance(self, wait: float) -> None:
        if self._buffer:
            return
        if self._must_catch_up or self._liveness.should_catch_up(time.monotonic()):
            self._catch_up(wait)
        if self._buffer:
            return
        if self._pubsub is None and time.monotonic() >= self._retry_at:
            self._subscribe_or_plan()
        if self._pubsub is None:
            self._closed.wait(min(wait, max(0.0, self._retry_at - time.monotonic())))
            self._must_catch_up = True
            return
        try:
            self._receive(wait)
        except (RedisError, OSError) as error:
            self._lost(error)
        except ValueError:
            # The listener was closed by another thread, and the socket with it.
            if not self._closed.is_set():
                raise

    def _receive(self, wait: float) -> None:
        message = self._pubsub.get_message(timeout=wait)
        now = time.monotonic()
        if message is None:
            if self._liveness.is_dead(now):
                raise RedisError("no answer to a ping")
            if self._liveness.should_ping(now):
                self._pubsub.ping()
                self._liveness.pinged_at = now
            return
        self._liveness.heard(now)
        if message["type"] == "subscribe":
            self._failures = 0
            self._must_catch_up = True
        elif message["type"] == "message":
            self._deliver(message["data"])

    def _deliver(self, payload: bytes) -> None:
        event: JobEvent | None
        try:
            event = JobEvent.from_json(payload)
        except ValueError:
            event = None
        # Whoever may publish on Redis can send anything; another's event would move the position, too.
        if event is None or event.user_id != self._user_id:
            log.warning("Ignored a message on %s that is not a job event of this user.", user_channel(self._user_id))
            return
        # Behind a page that was not read to its end, only the log knows the order.
        if not self._must_catch_up and self._position.accept(event):
            self._buffer.append(event.with_loader(self._load))

    def _catch_up(self, wait: float) -> None:
        try:
            page = self._database.statement(lambda c: events_after(c, self._user_id, self._position.cursor, PAGE))
        except QueueUnavailableError as error:
            self._failures += 1
            log.warning("Could not read the event log: %s", error)
            self._closed.wait(min(wait, reconnect_delay(self._failures)))
            self._must_catch_up = True
            return
        for event in page:
            if self._position.accept(event):
                self._buffer.append(event.with_loader(self._load))
        self._must_catch_up = len(page) == PAGE
        self._liveness.caught_up_at = time.monotonic()

    def _subscribe_or_plan(self) -> None:
        try:
            self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
            self._pubsub.subscribe(user_channel(self._user_id))
            self._liveness.heard(time.monotonic())
        except (RedisError, OSError) as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        if self._failures == 0:
            log.warning("The subscription to Redis was interrupted (%s); reconnecting.", trouble(error))
        self._drop_subscription()
        self._failures += 1
        self._retry_at = time.monotonic() + reconnect_delay(self._failures)
        self._must_catch_up = True

    def _drop_subscription(self) -> None:
        if self._pubsub is not None:
            pubsub, self._pubsub = self._pubsub, None
            try:
                pubsub.close()
            except (RedisError, OSError):
                log.debug("Closing a broken subscription failed.", exc_info=True)


def job_loader(database: Database, user_id: UUID) -> JobLoader:
    """What ``JobEvent.job`` calls."""
    return lambda job_id: database.statement(lambda connection: get_job(connection, job_id, user_id))
