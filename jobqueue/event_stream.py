"""One user's events as a blocking stream: live from Redis, completed from the event log in Postgres."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from threading import Event
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import redis
from redis.exceptions import RedisError

from jobqueue.database import Database
from jobqueue.errors import CursorExpiredError, QueueUnavailableError
from jobqueue.events import JobEvent, JobLoader, user_channel
from jobqueue.redis_connection import trouble
from jobqueue.replay import PAGE, WAIT_SECONDS, Feed, Step
from jobqueue.store.event_log import current_cursor, events_after
from jobqueue.store.lookup import get_job

log = logging.getLogger(__name__)

ANSWER_WITHIN_SECONDS = 5.0


class EventStream:
    """Iterates over one user's events; begins at the moment it is made, or behind the cursor ``after``.

    A dropped connection heals by itself, and what happened meanwhile is delivered from the log. Raises
    ``CursorExpiredError`` where the log does not reach back far enough or is not the one that the cursor came from;
    iterating on afterwards goes on behind the snapshot that the error carries. Not for use by several threads at once,
    except ``close``, which ends a blocked iteration within half a second.
    """

    def __init__(self, client: redis.Redis, database: Database, user_id: UUID, after: int | None = None) -> None:
        self._client = client
        self._database = database
        self._user_id = user_id
        self._closed = Event()
        self._pubsub: Any = None
        self._feed = Feed(user_id, job_loader(database, user_id), time.monotonic())
        try:
            self._subscribe()
            if after is None:
                self._feed.begin(database.statement(current_cursor, ANSWER_WITHIN_SECONDS), resumed=False)
            else:
                self._feed.begin(after, resumed=True)
                self._read()
        except BaseException:
            self._drop_subscription()
            raise

    @property
    def cursor(self) -> int:
        """The cursor of the last event handed out; pass it as ``after`` to go on from there."""
        return self._feed.cursor

    def poll(self, timeout: float) -> JobEvent | None:
        """The next event, or ``None`` when none came within ``timeout`` seconds or the stream was closed."""
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            waited = self._advance(max(0.0, min(WAIT_SECONDS, deadline - time.monotonic())))
            if self._feed.ready:
                return self._feed.ready.popleft()
            if waited and time.monotonic() >= deadline:
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

    def _advance(self, wait: float) -> bool:
        """Do one thing; whether it was one that waits."""
        if self._feed.ready:
            return False
        match self._feed.next_step(time.monotonic()):
            case Step.READ_LOG:
                try:
                    self._read()
                except QueueUnavailableError as error:
                    self._feed.unreadable(error, time.monotonic())
                return False
            case Step.SUBSCRIBE:
                self._subscribe()
                return False
            case Step.RECEIVE:
                self._receive(wait)
            case Step.WAIT:
                self._closed.wait(min(wait, self._feed.pause(time.monotonic())))
        return True

    def _read(self) -> None:
        try:
            page = self._database.statement(
                lambda connection: events_after(
                    connection, self._user_id, self._feed.position, PAGE, self._feed.doubted
                ),
                ANSWER_WITHIN_SECONDS,
            )
        except CursorExpiredError as error:
            self._feed.expired(error)
            raise
        self._feed.read(page, time.monotonic())

    def _receive(self, wait: float) -> None:
        try:
            message = self._pubsub.get_message(timeout=wait)
            if self._feed.received(message, time.monotonic()):
                self._pubsub.ping()
        except (RedisError, OSError) as error:
            self._lost(error)
        except ValueError:
            # The listener was closed by another thread, and the socket with it.
            if not self._closed.is_set():
                raise

    def _subscribe(self) -> None:
        try:
            self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
            self._pubsub.subscribe(user_channel(self._user_id))
        except (RedisError, OSError) as error:
            self._lost(error)
        else:
            self._feed.subscribing(time.monotonic())

    def _lost(self, error: Exception) -> None:
        self._drop_subscription()
        self._feed.lost(trouble(error), time.monotonic())

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
