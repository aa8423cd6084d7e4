"""Closing a listener while somebody reads from it: the readers end, whatever they were in the middle of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import redis
from sqlalchemy import Engine

from jobqueue import JobNotificationListener, Settings
from jobqueue.events import user_channel
from tests.eventually import eventually


def test_iterations_in_other_threads_end(
    engine: Engine, settings: Settings, redis_client: redis.Redis, user_id: UUID
) -> None:
    readers = 8
    listener = JobNotificationListener(engine, settings=settings)
    begin = Barrier(readers + 1)

    def read() -> list[object]:
        events = listener.events(user_id)
        begin.wait(10)
        return list(events)

    channel = user_channel(user_id)
    with ThreadPoolExecutor(readers) as threads:
        with listener:
            reading = [threads.submit(read) for _ in range(readers)]
            begin.wait(10)
            eventually(lambda: redis_client.publish(channel, "no event") == readers, what="all subscribed")
        assert [one.result(timeout=10) for one in reading] == [[]] * readers
