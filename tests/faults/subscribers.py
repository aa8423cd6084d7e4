"""Who listens while things break: one that resumes with its cursor again and again, one that never lets go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import redis
from sqlalchemy import Engine

from jobqueue import AsyncJobNotificationListener, JobEvent, JobNotificationListener, JobQueueError, Settings
from jobqueue.events import ALL_JOBS_CHANNEL

RESUME_AFTER_EVENTS = 97


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as it came, and when (Unix time)."""

    job_id: UUID
    seq: int
    status: str
    cursor: int
    at: float

    @classmethod
    def now(cls, event: JobEvent) -> Seen:
        return cls(event.job_id, event.seq, event.status.value, event.cursor, time.time())


class Subscriber(Protocol):
    seen: list[Seen]

    def close(self) -> None: ...


class ResumingSubscriber:
    """Reads some events with the blocking iterator, lets go, and resumes with the last cursor it handled."""

    def __init__(self, engine: Engine, settings: Settings, user_id: UUID) -> None:
        self.seen: list[Seen] = []
        self._listener = JobNotificationListener(engine, settings=settings)
        self._user_id = user_id
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resuming-subscriber", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._read_some()
            except JobQueueError:
                self._closing.wait(0.1)

    def _read_some(self) -> None:
        cursor = self.seen[-1].cursor if self.seen else 0
        begun_with = len(self.seen)
        with self._listener.events(self._user_id, after=cursor) as stream:
            while not self._closing.is_set() and len(self.seen) - begun_with < RESUME_AFTER_EVENTS:
                event = stream.poll(0.1)
                if event is not None:
                    self.seen.append(Seen.now(event))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._listener.close()


class ConstantSubscriber:
    """Iterates with the asyncio listener from the first event to the last."""

    def __init__(self, engine: Engine, settings: Settings, user_id: UUID) -> None:
        self.seen: list[Seen] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="constant-subscriber", daemon=True)
        self._thread.start()
        self._listener: AsyncJobNotificationListener = self._call(self._open(engine, settings))
        self._stream = self._listener.events(user_id, after=0)
        self._reading = asyncio.run_coroutine_threadsafe(self._read(), self._loop)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    @staticmethod
    async def _open(engine: Engine, settings: Settings) -> AsyncJobNotificationListener:
        return AsyncJobNotificationListener(engine, settings=settings)

    async def _read(self) -> None:
        async for event in self._stream:
            self.seen.append(Seen.now(event))

    def close(self) -> None:
        self._call(self._stream.close())
        with contextlib.suppress(Exception):
            self._reading.result(timeout=30)
        self._call(self._listener.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def failure(self) -> BaseException | None:
        """What ended the iteration, which nothing may."""
        return self._reading.exception(timeout=0) if self._reading.done() else None


class PlainSubscriber:
    """What ``redis-cli SUBSCRIBE`` would see: repeated events are fine here, disorder within a job is not."""

    def __init__(self, redis_url: str) -> None:
        self.seen: list[Seen] = []
        self._url = redis_url
        self._closing = threading.Event()
        self.subscribed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plain-subscriber", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._read()
            except redis.RedisError:
                self._closing.wait(0.1)

    def _read(self) -> None:
        with redis.Redis.from_url(self._url) as client, client.pubsub() as pubsub:
            pubsub.subscribe(ALL_JOBS_CHANNEL)
            while not self._closing.is_set():
                message = pubsub.get_message(timeout=0.1)
                if message is not None and message["type"] == "message":
                    data = json.loads(message["data"])
                    self.seen.append(Seen(UUID(data["id"]), data["seq"], data["status"], data["cursor"], time.time()))
                elif message is not None:
                    self.subscribed.set()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
