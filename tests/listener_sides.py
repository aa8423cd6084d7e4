"""The blocking and the asyncio listener behind one face, and a notifier that works when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text

from jobqueue import AsyncJobNotificationListener, CursorExpiredError, JobEvent, JobNotificationListener, Settings
from jobqueue.database import Database
from jobqueue.events import user_channel
from tests.eventually import eventually
from tests.integration.event_numbering import number
from worker.notifier.publisher import Publisher

T = TypeVar("T")


Callback = Callable[[JobEvent], Any]
OnExpired = Callable[[CursorExpiredError], Any]


@dataclass
class Events:
    """An iteration over a user's events, one by one."""

    next: Callable[[], JobEvent]
    close: Callable[[], None]


class Side(Protocol):
    """What the two listeners have in common, called from a test."""

    def subscribe(
        self, user_id: Any, callback: Callback, after: Any = None, on_expired: OnExpired | None = None
    ) -> Callable[[], None]: ...

    def events(self, user_id: Any, after: Any = None) -> Events: ...

    def first_events(self, user_id: Any, number: int, after: Any, meanwhile: Callable[[], None]) -> list[int]: ...

    def close(self) -> None: ...


class Blocking:
    def __init__(self, engine: Engine | None, settings: Settings) -> None:
        self._listener = JobNotificationListener(engine, settings=settings)

    def subscribe(
        self, user_id: Any, callback: Callback, after: Any = None, on_expired: OnExpired | None = None
    ) -> Callable[[], None]:
        return self._listener.subscribe(user_id, callback, after, on_expired)

    def events(self, user_id: Any, after: Any = None) -> Events:
        stream = self._listener.events(user_id, after)
        return Events(lambda: next(stream), stream.close)

    def first_events(self, user_id: Any, number: int, after: Any, meanwhile: Callable[[], None]) -> list[int]:
        with self._listener.events(user_id, after) as stream:
            meanwhile()
            return [next(stream).cursor for _ in range(number)]

    def close(self) -> None:
        self._listener.close()


class OnALoop:
    """The asyncio listener, on an event loop in a thread of its own."""

    def __init__(self, engine: Engine | None, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._listener = self._run(self._make(engine, settings))

    @staticmethod
    async def _make(engine: Engine | None, settings: Settings) -> AsyncJobNotificationListener:
        return AsyncJobNotificationListener(engine, settings=settings)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def subscribe(
        self, user_id: Any, callback: Callback, after: Any = None, on_expired: OnExpired | None = None
    ) -> Callable[[], None]:
        async def in_a_thread(event: JobEvent) -> None:
            await asyncio.to_thread(callback, event)

        unsubscribe = self._run(self._listener.subscribe(user_id, in_a_thread, after, on_expired))
        return lambda: self._run(self._call(unsubscribe))

    @staticmethod
    async def _call(unsubscribe: Callable[[], None]) -> None:
        unsubscribe()

    def events(self, user_id: Any, after: Any = None) -> Events:
        stream = self._listener.events(user_id, after)
        self._run(stream.open())

        async def following() -> JobEvent:
            return await anext(stream)

        return Events(lambda: self._run(following()), lambda: self._run(stream.close()))

    def first_events(self, user_id: Any, number: int, after: Any, meanwhile: Callable[[], None]) -> list[int]:
        async def collect() -> list[int]:
            found: list[int] = []
            async with self._listener.events(user_id, after) as stream:
                await asyncio.to_thread(meanwhile)
                async for event in stream:
                    found.append(event.cursor)
                    if len(found) == number:
                        break
            return found

        return self._run(collect())

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._run(self._listener.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


SIDES = [pytest.param(Blocking, id="blocking"), pytest.param(OnALoop, id="asyncio")]


MakeSide = Callable[..., Side]


@dataclass
class Notifier:
    """Numbers and publishes when the test says so, and can fail to publish."""

    engine: Engine
    client: redis.Redis

    def number(self) -> list[JobEvent]:
        return Database(self.engine).run(lambda connection: number(connection, 10_000))

    def publish(self, events: Sequence[JobEvent]) -> None:
        Publisher(self.client, 0, UUID(int=0)).publish(events)

    def subscribers(self, user_id: UUID) -> int:
        return int(self.client.pubsub_numsub(user_channel(user_id))[0][1])

    def relay(self) -> list[JobEvent]:
        events = self.number()
        self.publish(events)
        return events


class Inbox:
    """A callback that keeps what it was called with."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []

    def __call__(self, event: JobEvent) -> None:
        self.events.append(event)

    @property
    def cursors(self) -> list[int]:
        return [event.cursor for event in self.events]

    def wait_for(self, number: int) -> list[int]:
        eventually(lambda: len(self.events) >= number, what=f"{number} events")
        return self.cursors


def many_jobs(engine: Engine, user_id: UUID, number: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO menu_extraction_jobs (user_id, image_url) SELECT :user, 'x' FROM generate_series(1, :n)"),
            {"user": user_id, "n": number},
        )
