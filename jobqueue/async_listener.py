"""Subscribing to a user's job events from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self
from uuid import UUID
from weakref import WeakSet

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy import Engine

from jobqueue.arguments import checked_cursor, checked_uuid
from jobqueue.database import Database, SessionFactory
from jobqueue.errors import QueueUnavailableError
from jobqueue.event_stream import WAIT_SECONDS, job_loader
from jobqueue.events import JobEvent, user_channel
from jobqueue.redis_connection import connect_redis_async, trouble
from jobqueue.replay import PAGE, Liveness, ReplayPosition, reconnect_delay
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings
from jobqueue.store.event_log import current_cursor, events_after

log = logging.getLogger(__name__)


class AsyncEventStream:
    """The asyncio counterpart of ``EventStream``: ``async for event in stream``."""

    def __init__(
        self, client: redis.asyncio.Redis, database: Database, user_id: UUID, after: int | None = None
    ) -> None:
        self._client = client
        self._database = database
        self._user_id = user_id
        self._after = after
        self._load = job_loader(database, user_id)
        self._closed = asyncio.Event()
        self._buffer: deque[JobEvent] = deque()
        self._pubsub: Any = None
        self._failures = 0
        self._liveness = Liveness(time.monotonic())
        self._position: ReplayPosition | None = None
        self._must_catch_up = True

    async def open(self) -> Self:
        """Subscribe and fix the starting point; iteration does it by itself if it was not done before."""
        if self._position is None:
            await self._subscribe()
            start = self._after
            if start is None:
                start = await asyncio.to_thread(self._database.statement, current_cursor)
            self._position = ReplayPosition(start)
        return self

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        return self

    async def __anext__(self) -> JobEvent:
        await self.open()
        while not self._closed.is_set():
            if self._buffer:
                return self._buffer.popleft()
            await self._advance()
        await self._drop_subscription()
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the stream; a pending iteration stops soon."""
        self.end()

    def end(self) -> None:
        """The same, at once. Cancelling alone would not do: callbacks and drivers may swallow a cancellation."""
        self._closed.set()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        await self._drop_subscription()

    async def _advance(self) -> None:
        try:
            # The log first: a subscription to a Redis that does not answer takes seconds to fail.
            if self._must_catch_up or self._liveness.should_catch_up(time.monotonic()):
                await self._catch_up()
            if self._pubsub is None and not self._buffer:
                await self._subscribe()
            if not self._buffer and self._pubsub is not None:
                await self._receive()
        except (RedisError, OSError) as error:
            await self._lost(error)
        except QueueUnavailableError as error:
            log.warning("Could not read the event log: %s", error)
            await self._pause()
        else:
            if self._pubsub is None and not self._buffer:
                await self._pause()

    async def _receive(self) -> None:
        message = await self._pubsub.get_message(timeout=WAIT_SECONDS)
        now = time.monotonic()
        if message is None:
            if self._liveness.is_dead(now):
                raise RedisError("no answer to a ping")
            if self._liveness.should_ping(now):
                await self._pubsub.ping()
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
        if not self._must_catch_up and self._position is not None and self._position.accept(event):
            self._buffer.append(event.with_loader(self._load))

    async def _catch_up(self) -> None:
        assert self._position is not None  # noqa: S101 - open() has set it
        position = self._position
        page = await asyncio.to_thread(
            self._database.statement, lambda connection: events_after(connection, self._user_id, position.cursor, PAGE)
        )
        for event in page:
            if position.accept(event):
                self._buffer.append(event.with_loader(self._load))
        self._must_catch_up = len(page) == PAGE
        self._liveness.caught_up_at = time.monotonic()

    async def _subscribe(self) -> None:
        try:
            self._pubsub = self._client.pubsub()
            await self._pubsub.subscribe(user_channel(self._user_id))
            self._liveness.heard(time.monotonic())
        except (RedisError, OSError) as error:
            await self._lost(error)

    async def _lost(self, error: Exception) -> None:
        if self._failures == 0:
            log.warning("The subscription to Redis was interrupted (%s); reconnecting.", trouble(error))
        await self._drop_subscription()
        self._must_catch_up = True

    async def _pause(self) -> None:
        self._failures += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), reconnect_delay(self._failures))
        self._must_catch_up = True

    async def _drop_subscription(self) -> None:
        if self._pubsub is not None:
            pubsub, self._pubsub = self._pubsub, None
            with contextlib.suppress(RedisError, OSError):
                await pubsub.aclose()


class AsyncJobNotificationListener:
    """``JobNotificationListener`` for asyncio: the same names, ``async for`` and ``async with``."""

    def __init__(
        self, engine_or_session_factory: Engine | SessionFactory | None = None, *, settings: Settings | None = None
    ) -> None:
        settings = settings or load_settings()
        self._client = connect_redis_async(settings.required_redis_url)
        self._database, self._own_engine = open_database(engine_or_session_factory, settings)
        # Weak: a listener may live as long as its application and serve subscriptions without number.
        self._streams: WeakSet[AsyncEventStream] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    def events(self, user_id: UUID | str, after: int | None = None) -> AsyncEventStream:
        """The user's events, from when iteration begins (or ``async with`` is entered), or behind ``after``.

        Raises ``InvalidInputError`` for a malformed argument; iteration raises ``QueueUnavailableError`` when the
        starting point cannot be read because Postgres is away.
        """
        stream = AsyncEventStream(self._client, self._database, checked_uuid(user_id, "user_id"), checked_cursor(after))
        self._streams.add(stream)
        return stream

    async def subscribe(
        self, user_id: UUID | str, on_job_update: Callable[[JobEvent], Any], after: int | None = None
    ) -> Callable[[], None]:
        """Call (and await, if it is a coroutine function) ``on_job_update(event)`` for each event, in a task.

        Subscribed when it returns; the returned ``unsubscribe`` ends it at once.
        """
        stream = await self.events(user_id, after).open()
        task = asyncio.create_task(_deliver(stream, on_job_update), name="job-notifications")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def unsubscribe() -> None:
            stream.end()
            task.cancel()

        return unsubscribe

    async def close(self) -> None:
        """End all subscriptions and connections."""
        streams = list(self._streams)
        tasks = list(self._tasks)
        for stream in streams:
            stream.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            await stream.__aexit__(None, None, None)
        await self._client.aclose()
        if self._own_engine is not None:
            await asyncio.to_thread(self._own_engine.dispose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _deliver(stream: AsyncEventStream, on_job_update: Callable[[JobEvent], Any]) -> None:
    async with stream:
        async for event in stream:
            try:
                outcome = on_job_update(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:
                log.exception("A callback failed on event %s of job %s.", event.seq, event.job_id)
