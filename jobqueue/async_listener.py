"""Subscribing to a user's job events from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self
from uuid import UUID
from weakref import WeakSet

import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from jobqueue.arguments import checked_cursor, checked_uuid
from jobqueue.database import Database, SessionFactory
from jobqueue.errors import CursorExpiredError, QueueUnavailableError
from jobqueue.event_stream import ANSWER_WITHIN_SECONDS, job_loader
from jobqueue.events import JobEvent, user_channel
from jobqueue.redis_connection import SUBSCRIBER_TIMEOUTS, connect_redis_async, trouble
from jobqueue.replay import NOBODY_TOLD, PAGE, WAIT_SECONDS, Feed, Step
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
        self._closed = asyncio.Event()
        self._pubsub: Any = None
        self._opened = False
        self._feed = Feed(user_id, job_loader(database, user_id), time.monotonic())

    async def open(self) -> Self:
        """Subscribe and fix the starting point; iteration does it by itself if it was not done before."""
        if self._opened:
            return self
        try:
            await self._subscribe()
            if self._after is None:
                now = await asyncio.to_thread(self._database.statement, current_cursor, ANSWER_WITHIN_SECONDS)
                self._feed.begin(now, resumed=False)
            else:
                self._feed.begin(self._after, resumed=True)
                await self._read()
        except BaseException as error:
            if isinstance(error, CursorExpiredError):
                self._after = error.cursor
            await self._drop_subscription()
            raise
        self._opened = True
        return self

    @property
    def cursor(self) -> int:
        """The cursor of the last event handed out; pass it as ``after`` to go on from there."""
        return self._feed.cursor

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        return self

    async def __anext__(self) -> JobEvent:
        await self.open()
        while not self._closed.is_set():
            if self._feed.ready:
                return self._feed.ready.popleft()
            await self._advance()
        await self._part()
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
        await self._part()

    async def _advance(self) -> None:
        match self._feed.next_step(time.monotonic()):
            case Step.READ_LOG:
                try:
                    await self._read()
                except QueueUnavailableError as error:
                    self._feed.unreadable(error, time.monotonic())
            case Step.SUBSCRIBE:
                await self._subscribe()
            case Step.RECEIVE:
                await self._receive()
            case Step.WAIT:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), self._feed.pause(time.monotonic()))

    async def _read(self) -> None:
        def look(connection: Connection) -> list[JobEvent]:
            return events_after(connection, self._user_id, self._feed.position, PAGE, self._feed.doubted)

        try:
            page = await asyncio.to_thread(self._database.statement, look, ANSWER_WITHIN_SECONDS)
        except CursorExpiredError as error:
            self._feed.expired(error)
            raise
        self._feed.read(page, time.monotonic())

    async def _receive(self) -> None:
        try:
            message = await self._pubsub.get_message(timeout=WAIT_SECONDS)
            if self._feed.received(message, time.monotonic()):
                await self._pubsub.ping()
        except (RedisError, OSError) as error:
            await self._lost(error)

    async def _subscribe(self) -> None:
        try:
            self._pubsub = self._client.pubsub()
            await self._pubsub.subscribe(user_channel(self._user_id))
        except (RedisError, OSError) as error:
            await self._lost(error)
        else:
            self._feed.subscribing(time.monotonic())

    async def _lost(self, error: Exception) -> None:
        await self._drop_subscription()
        self._feed.lost(trouble(error), time.monotonic())

    async def _part(self) -> None:
        if self._pubsub is not None and self._pubsub.connection is not None:
            # aclose() does not wait for the end of TLS, and a loop that ends before it leaves the socket open.
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.connection.disconnect()
        await self._drop_subscription()

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
        self._client = connect_redis_async(settings.required_redis_url, **SUBSCRIBER_TIMEOUTS)
        self._database, self._own_engine = open_database(engine_or_session_factory, settings)
        # Weak: a listener may live as long as its application and serve subscriptions without number.
        self._streams: WeakSet[AsyncEventStream] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    def events(self, user_id: UUID | str, after: int | None = None) -> AsyncEventStream:
        """The user's events, from when iteration begins (or ``async with`` is entered), or behind ``after``.

        Raises ``InvalidInputError`` for a malformed argument. Iteration raises ``QueueUnavailableError`` when it cannot
        begin because Postgres is away, and ``CursorExpiredError`` when events behind the cursor have been pruned or the
        cursor is of another database's log; after that error it goes on from the error's cursor.
        """
        stream = AsyncEventStream(self._client, self._database, checked_uuid(user_id, "user_id"), checked_cursor(after))
        self._streams.add(stream)
        return stream

    async def subscribe(
        self,
        user_id: UUID | str,
        on_job_update: Callable[[JobEvent], Any],
        after: int | None = None,
        on_expired: Callable[[CursorExpiredError], Any] | None = None,
    ) -> Callable[[], None]:
        """As ``JobNotificationListener.subscribe``, in a task; callbacks may be coroutine functions.

        Subscribed when it returns; the returned ``unsubscribe`` ends it at once.
        """
        stream = await self.events(user_id, after).open()
        task = asyncio.create_task(_deliver(stream, on_job_update, on_expired), name="job-notifications")
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


async def _deliver(
    stream: AsyncEventStream,
    on_job_update: Callable[[JobEvent], Any],
    on_expired: Callable[[CursorExpiredError], Any] | None,
) -> None:
    async with stream:
        while True:
            try:
                async for event in stream:
                    await _call(on_job_update, event, f"on event {event.seq} of job {event.job_id}")
            except CursorExpiredError as error:
                if on_expired is None:
                    log.error(NOBODY_TOLD, error.cursor)  # noqa: TRY400 - no traceback: nothing of ours went wrong
                else:
                    await _call(on_expired, error, "on an expired cursor")
            else:
                return


async def _call(callback: Callable[[Any], Any], argument: Any, occasion: str) -> None:
    try:
        outcome = callback(argument)
        if inspect.isawaitable(outcome):
            await outcome
    except Exception:
        log.exception("A callback failed %s.", occasion)
