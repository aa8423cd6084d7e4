"""Callbacks and streams of the listeners: how they begin, what they may do, and how they end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine

from jobqueue import (
    AsyncJobNotificationListener,
    InvalidInputError,
    JobEvent,
    JobNotificationListener,
    JobQueueManager,
    QueueUnavailableError,
    Settings,
)
from jobqueue.async_listener import AsyncEventStream
from jobqueue.event_stream import EventStream
from jobqueue.events import user_channel
from jobqueue.settings import load_settings
from tests.eventually import eventually
from tests.integration.jobs import queued
from tests.listener_sides import Inbox, MakeSide, Notifier, Side, many_jobs

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


def test_a_callback_that_raises_is_logged_and_the_next_event_delivered(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()

    def broken(event: JobEvent) -> None:
        inbox(event)
        raise ZeroDivisionError

    side.subscribe(user_id, broken)
    for _ in range(3):
        queued(manager, user_id)
        notifier.relay()
    assert inbox.wait_for(3) == [1, 2, 3]
    assert "ZeroDivisionError" in caplog.text


def test_after_unsubscribing_no_further_call_begins(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    gone, stays = Inbox(), Inbox()
    unsubscribe = side.subscribe(user_id, gone)
    side.subscribe(user_id, stays)
    queued(manager, user_id)
    notifier.relay()
    gone.wait_for(1)
    unsubscribe()
    queued(manager, user_id)
    notifier.relay()
    assert stays.wait_for(2) == [1, 2]
    assert gone.cursors == [1]
    unsubscribe()


def test_a_slow_callback_misses_nothing_and_holds_up_nobody_else(
    side: Side, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    may_go_on = threading.Event()
    slow, quick = Inbox(), Inbox()

    def wait_first(event: JobEvent) -> None:
        may_go_on.wait(30)
        slow(event)

    side.subscribe(user_id, wait_first)
    side.subscribe(user_id, quick)
    for _ in range(20):
        many_jobs(engine, user_id, 10)
        notifier.relay()
    assert quick.wait_for(200) == list(range(1, 201))
    assert slow.cursors == []
    may_go_on.set()
    assert slow.wait_for(200) == list(range(1, 201))


def test_closing_ends_subscriptions_and_leaves_no_connection(
    make_side: MakeSide, user_id: UUID, redis_client: redis.Redis
) -> None:
    def subscribers() -> int:
        return int(redis_client.pubsub_numsub(user_channel(user_id))[0][1])

    side = make_side()
    for _ in range(3):
        side.subscribe(user_id, Inbox())
    unsubscribe = side.subscribe(user_id, Inbox())
    eventually(lambda: subscribers() == 4, what="four subscriptions")
    unsubscribe()
    eventually(lambda: subscribers() == 3, what="three subscriptions")
    side.close()
    eventually(lambda: subscribers() == 0, what="no subscription")


def test_ended_subscriptions_are_forgotten(side: Side, user_id: UUID, redis_client: redis.Redis) -> None:
    for _ in range(5):
        side.subscribe(user_id, Inbox())()
    channel = user_channel(user_id)
    eventually(lambda: redis_client.pubsub_numsub(channel)[0][1] == 0, what="no subscription")

    def kept() -> int:
        gc.collect()
        return sum(
            # By type: other objects in memory pretend to be of any class, and load Celery's settings when asked.
            type(one) in (EventStream, AsyncEventStream) and one._user_id == user_id
            for one in gc.get_objects()
        )

    eventually(lambda: kept() == 0, what="no stream in memory")


@pytest.mark.parametrize("user_id", ["nobody", None, 5])
def test_a_malformed_user_is_refused(side: Side, user_id: Any) -> None:
    with pytest.raises(InvalidInputError):
        side.subscribe(user_id, Inbox())


@pytest.mark.parametrize("after", [-1, "1", 1.5, True])
def test_a_malformed_cursor_is_refused(side: Side, user_id: UUID, after: Any) -> None:
    with pytest.raises(InvalidInputError):
        side.subscribe(user_id, Inbox(), after)


def test_a_subscription_needs_postgres_to_begin(make_side: MakeSide, user_id: UUID, redis_url: str) -> None:
    away = load_settings(database_url="postgresql://u:p@127.0.0.1:1/d", redis_url=redis_url)
    with pytest.raises(QueueUnavailableError):
        make_side(engine=None, settings=away).subscribe(user_id, Inbox())


def test_an_iterator_ends_when_it_is_closed_elsewhere(engine: Engine, settings: Settings, user_id: UUID) -> None:
    with JobNotificationListener(engine, settings=settings) as listener:
        stream = listener.events(user_id)
        with ThreadPoolExecutor(1) as threads:
            rest = threads.submit(list, stream)
            began = time.monotonic()
            stream.close()
            assert rest.result(timeout=5) == []
            assert time.monotonic() - began < 2


def test_a_stream_tells_where_to_go_on(
    engine: Engine, settings: Settings, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    with JobNotificationListener(engine, settings=settings) as listener:
        with listener.events(user_id, after=0) as stream:
            for _ in range(6):
                queued(manager, user_id)
            notifier.relay()
            assert [next(stream).cursor for _ in range(2)] == [1, 2]
            position = stream.cursor
        with listener.events(user_id, after=position) as stream:
            assert [next(stream).cursor for _ in range(4)] == [3, 4, 5, 6]
            assert stream.poll(0) is None


def test_an_event_knows_only_its_own_users_job(
    engine: Engine, settings: Settings, manager: JobQueueManager, user_id: UUID, other_user_id: UUID, notifier: Notifier
) -> None:
    with JobNotificationListener(engine, settings=settings) as listener, listener.events(user_id) as stream:
        theirs = queued(manager, other_user_id)
        queued(manager, user_id)
        notifier.relay()
        event = next(stream)
        assert event.job() is not None
        assert replace(event, job_id=theirs.id).job() is None


def test_unsubscribing_from_inside_the_callback_works(
    engine: Engine, settings: Settings, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    seen: list[int] = []
    ended = threading.Event()
    with JobNotificationListener(engine, settings=settings) as listener:

        def once(event: JobEvent) -> None:
            seen.append(event.cursor)
            unsubscribe()
            ended.set()

        unsubscribe = listener.subscribe(user_id, once)
        many_jobs(engine, user_id, 3)
        notifier.relay()
        assert ended.wait(10)
    assert seen == [1]


@pytest.mark.parametrize("ending", ["unsubscribe", "close"])
def test_an_asyncio_callback_that_swallows_its_cancellation_cannot_keep_the_subscription_alive(
    engine: Engine, settings: Settings, manager: JobQueueManager, user_id: UUID, notifier: Notifier, ending: str
) -> None:
    for _ in range(3):
        queued(manager, user_id)
    notifier.relay()

    async def run() -> list[int]:
        begun: list[int] = []
        in_callback, ended = asyncio.Event(), asyncio.Event()

        async def stubborn(event: JobEvent) -> None:
            begun.append(event.cursor)
            in_callback.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if ended.is_set():
                    raise
                ended.set()

        listener = AsyncJobNotificationListener(engine, settings=settings)
        unsubscribe = await listener.subscribe(user_id, stubborn, after=0)
        await in_callback.wait()
        if ending == "unsubscribe":
            unsubscribe()
            await ended.wait()
        await asyncio.wait_for(listener.close(), 10)
        return begun

    assert asyncio.run(run()) == [1]
