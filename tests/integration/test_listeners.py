"""Both listeners, by the same tests: every change arrives, in order, once, whatever breaks in between."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text

from jobqueue import (
    AsyncJobNotificationListener,
    InvalidInputError,
    JobEvent,
    JobNotificationListener,
    JobQueueManager,
    QueueUnavailableError,
    Settings,
)
from jobqueue import replay as replay_policy
from jobqueue.async_listener import AsyncEventStream
from jobqueue.database import Database, create_database_engine
from jobqueue.embedded import EmbeddedValkey
from jobqueue.event_stream import EventStream
from jobqueue.events import user_channel
from jobqueue.settings import load_settings
from jobqueue.store.event_log import number_pending
from tests.eventually import eventually
from tests.integration.jobs import claimed, complete, queued, requeue
from tests.tcp_proxy import TcpProxy
from worker.notifier.publisher import publish_events

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _no_regular_look_into_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would repair sooner or later whatever else is broken, and hide it."""
    monkeypatch.setattr(replay_policy, "CATCH_UP_EVERY_SECONDS", 3600)


Callback = Callable[[JobEvent], Any]


class Side(Protocol):
    """What the two listeners have in common, called from a test."""

    def subscribe(self, user_id: Any, callback: Callback, after: Any = None) -> Callable[[], None]: ...

    def first_events(self, user_id: Any, number: int, after: Any, meanwhile: Callable[[], None]) -> list[int]: ...

    def close(self) -> None: ...


class Blocking:
    def __init__(self, engine: Engine | None, settings: Settings) -> None:
        self._listener = JobNotificationListener(engine, settings=settings)

    def subscribe(self, user_id: Any, callback: Callback, after: Any = None) -> Callable[[], None]:
        return self._listener.subscribe(user_id, callback, after)

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

    def subscribe(self, user_id: Any, callback: Callback, after: Any = None) -> Callable[[], None]:
        async def in_a_thread(event: JobEvent) -> None:
            await asyncio.to_thread(callback, event)

        unsubscribe = self._run(self._listener.subscribe(user_id, in_a_thread, after))
        return lambda: self._run(self._call(unsubscribe))

    @staticmethod
    async def _call(unsubscribe: Callable[[], None]) -> None:
        unsubscribe()

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


@pytest.fixture(params=SIDES)
def make_side(request: pytest.FixtureRequest, engine: Engine, settings: Settings) -> Iterator[MakeSide]:
    made: list[Side] = []

    def make(*, engine: Engine | None = engine, settings: Settings = settings) -> Side:
        made.append(request.param(engine, settings))
        return made[-1]

    yield make
    for one in made:
        one.close()  # a second time where the test has done it


@pytest.fixture
def side(make_side: MakeSide) -> Side:
    return make_side()


@dataclass
class Notifier:
    """Numbers and publishes when the test says so, and can fail to publish."""

    engine: Engine
    client: redis.Redis

    def number(self) -> list[JobEvent]:
        return [one.event for one in Database(self.engine).run(lambda c: number_pending(c, 0, 10_000)).events]

    def subscribers(self, user_id: UUID) -> int:
        return int(self.client.pubsub_numsub(user_channel(user_id))[0][1])

    def relay(self) -> list[JobEvent]:
        events = self.number()
        publish_events(self.client, events)
        return events


@pytest.fixture
def notifier(engine: Engine, redis_client: redis.Redis) -> Notifier:
    return Notifier(engine, redis_client)


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


def test_each_change_arrives_in_order_and_can_load_its_job(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    inbox = Inbox()
    side.subscribe(str(user_id), inbox)
    job = queued(manager, user_id)
    notifier.relay()
    claimed(engine, job.id)
    notifier.relay()
    complete(engine, job.id, 1)
    notifier.relay()
    inbox.wait_for(3)
    assert [(one.status.value, one.seq, one.cursor, one.attempt, one.confidence) for one in inbox.events] == [
        ("queued", 1, 1, 0, None),
        ("processing", 2, 2, 1, None),
        ("completed", 3, 3, 1, 0.9),
    ]
    assert {(one.job_id, one.user_id) for one in inbox.events} == {(job.id, user_id)}
    loaded = inbox.events[0].job()
    assert loaded is not None
    assert (loaded.id, loaded.status) == (job.id, "completed")


def test_what_happened_before_the_subscription_is_not_delivered(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    queued(manager, user_id)
    notifier.relay()
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(1) == [2]


def test_after_a_cursor_every_later_change_is_delivered_and_then_live_ones(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    for _ in range(5):
        queued(manager, user_id)
    notifier.relay()
    inbox = Inbox()
    side.subscribe(user_id, inbox, after=2)
    assert inbox.wait_for(3) == [3, 4, 5]
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(4) == [3, 4, 5, 6]


def test_nothing_is_missed_between_subscribing_and_the_first_look(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    def meanwhile() -> None:
        for _ in range(3):
            queued(manager, user_id)
            notifier.relay()

    assert side.first_events(user_id, 3, None, meanwhile) == [1, 2, 3]


def test_a_log_of_many_pages_is_replayed_whole_while_new_events_come(
    side: Side, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    many_jobs(engine, user_id, 1_200)
    notifier.relay()
    inbox = Inbox()
    side.subscribe(user_id, inbox, after=0)
    for _ in range(5):
        many_jobs(engine, user_id, 10)
        notifier.relay()
    assert inbox.wait_for(1_250) == list(range(1, 1_251))


def test_nobody_elses_events_are_delivered(
    side: Side, manager: JobQueueManager, user_id: UUID, other_user_id: UUID, notifier: Notifier
) -> None:
    inbox, other_inbox = Inbox(), Inbox()
    queued(manager, other_user_id)
    queued(manager, user_id)
    notifier.relay()
    side.subscribe(user_id, inbox, after=0)
    side.subscribe(other_user_id, other_inbox, after=0)
    assert (inbox.wait_for(1), other_inbox.wait_for(1)) == ([2], [1])
    queued(manager, other_user_id)
    queued(manager, user_id)
    notifier.relay()
    assert (inbox.wait_for(2), other_inbox.wait_for(2)) == ([2, 4], [1, 3])
    assert {event.user_id for event in inbox.events} == {user_id}


def test_what_is_published_twice_is_delivered_once(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    queued(manager, user_id)
    events = notifier.relay()
    publish_events(notifier.client, events)
    queued(manager, user_id)
    publish_events(notifier.client, [*events, *notifier.number()])
    assert inbox.wait_for(2) == [1, 2]


def test_what_the_notifier_could_not_publish_is_found_in_the_log(
    monkeypatch: pytest.MonkeyPatch, side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    monkeypatch.setattr(replay_policy, "CATCH_UP_EVERY_SECONDS", 0.3)
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    queued(manager, user_id)
    notifier.number()
    assert inbox.wait_for(1) == [1]


GARBAGE = [b"", b"\xff", b"null", b"{}", b"[" * 100_000, b'{"id": 1}', b'{"cursor": Infinity}']


def test_garbage_on_the_channel_is_ignored(
    side: Side, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    queued(manager, user_id)
    (event,) = notifier.number()
    wrong = [event.to_json().replace('"cursor": 1', f'"cursor": {value}').encode() for value in ("Infinity", "null")]
    for payload in [*GARBAGE, *wrong]:
        notifier.client.publish(user_channel(user_id), payload)
    publish_events(notifier.client, [event])
    assert inbox.wait_for(1) == [1]


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
            isinstance(one, EventStream | AsyncEventStream) and one._user_id == user_id for one in gc.get_objects()
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


@pytest.fixture
def redis_proxy(redis_url: str) -> Iterator[TcpProxy]:
    proxy = TcpProxy(("127.0.0.1", int(redis_url.rpartition(":")[2].partition("/")[0])))
    with proxy.running():
        yield proxy


@pytest.fixture
def through_proxy(make_side: MakeSide, redis_proxy: TcpProxy, redis_url: str, database_url: str) -> Side:
    """A listener whose connections to Redis go through the proxy."""
    head, _, tail = redis_url.rpartition(":")
    url = f"{head}:{redis_proxy.port}/{tail.partition('/')[2]}"
    return make_side(settings=load_settings(database_url=database_url, redis_url=url))


@pytest.mark.parametrize("times", [1, 3])
def test_a_cut_connection_heals_and_nothing_is_missed(
    through_proxy: Side,
    redis_proxy: TcpProxy,
    manager: JobQueueManager,
    user_id: UUID,
    notifier: Notifier,
    times: int,
) -> None:
    inbox = Inbox()
    through_proxy.subscribe(user_id, inbox)
    expected = 0
    for _ in range(times):
        redis_proxy.refuse()
        for _ in range(3):
            queued(manager, user_id)
        notifier.relay()
        redis_proxy.allow()
        queued(manager, user_id)
        notifier.relay()
        expected += 4
        inbox.wait_for(expected)
    assert inbox.cursors == list(range(1, expected + 1))


def test_what_happens_between_the_look_into_the_log_and_the_new_subscription_is_not_missed(
    through_proxy: Side, redis_proxy: TcpProxy, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    inbox = Inbox()
    through_proxy.subscribe(user_id, inbox)
    queued(manager, user_id)
    notifier.relay()
    inbox.wait_for(1)

    published = [1]

    def publish_to_nobody() -> None:
        queued(manager, user_id)
        published.extend(event.cursor for event in notifier.relay())

    redis_proxy.on_connection = publish_to_nobody
    redis_proxy.cut()
    eventually(lambda: redis_proxy.connections > 0 and notifier.subscribers(user_id) == 1, what="a new subscription")
    eventually(lambda: inbox.cursors == published, what="every event")
    assert len(published) > 1


def test_while_redis_is_away_the_log_still_tells(
    through_proxy: Side, redis_proxy: TcpProxy, manager: JobQueueManager, user_id: UUID, notifier: Notifier
) -> None:
    inbox = Inbox()
    through_proxy.subscribe(user_id, inbox)
    redis_proxy.refuse()
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(1) == [1]


def test_a_connection_that_died_silently_is_noticed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
    through_proxy: Side,
    redis_proxy: TcpProxy,
    manager: JobQueueManager,
    user_id: UUID,
    notifier: Notifier,
) -> None:
    monkeypatch.setattr(replay_policy, "PING_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(replay_policy, "PONG_WITHIN_SECONDS", 0.4)
    inbox = Inbox()
    through_proxy.subscribe(user_id, inbox)
    queued(manager, user_id)
    notifier.relay()
    inbox.wait_for(1)
    redis_proxy.freeze()
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(2) == [1, 2]
    redis_proxy.allow()
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(3) == [1, 2, 3]


def test_a_restart_of_redis_heals_and_misses_nothing(
    make_side: MakeSide, engine: Engine, manager: JobQueueManager, user_id: UUID, database_url: str
) -> None:
    with EmbeddedValkey() as server, redis.Redis.from_url(server.url) as client:
        notifier = Notifier(engine, client)
        side = make_side(settings=load_settings(database_url=database_url, redis_url=server.url))
        inbox = Inbox()
        side.subscribe(user_id, inbox)
        queued(manager, user_id)
        notifier.relay()
        inbox.wait_for(1)
        server.kill()
        queued(manager, user_id)
        notifier.number()
        server.start()
        queued(manager, user_id)
        notifier.relay()
        assert inbox.wait_for(3) == [1, 2, 3]
        subscribed = lambda: client.pubsub_numsub(user_channel(user_id))[0][1] == 1  # noqa: E731
        eventually(subscribed, what="a new subscription")
        queued(manager, user_id)
        notifier.relay()
        assert inbox.wait_for(4) == [1, 2, 3, 4]


def test_postgres_may_be_away_for_a_while(
    make_side: MakeSide,
    manager: JobQueueManager,
    user_id: UUID,
    notifier: Notifier,
    database_url: str,
    settings: Settings,
) -> None:
    head, _, tail = database_url.rpartition(":")
    port, _, name = tail.partition("/")
    proxy = TcpProxy(("127.0.0.1", int(port)))
    with proxy.running():
        shaky = create_database_engine(f"{head}:{proxy.port}/{name}")
        side = make_side(engine=shaky)
        inbox = Inbox()
        queued(manager, user_id)
        notifier.relay()
        side.subscribe(user_id, inbox, after=0)
        inbox.wait_for(1)
        proxy.refuse()
        queued(manager, user_id)
        notifier.relay()
        proxy.allow()
        assert inbox.wait_for(2) == [1, 2]
        shaky.dispose()


def test_many_subscribers_and_changes_at_once_all_see_everything(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    inboxes = [Inbox() for _ in range(4)]
    for inbox in inboxes:
        side.subscribe(user_id, inbox)

    def work(_number: int) -> None:
        job = queued(manager, user_id)
        claimed(engine, job.id)
        requeue(engine, job.id, 1)
        claimed(engine, job.id)
        complete(engine, job.id, 2)

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, number) for number in range(10)]
        while not all(one.done() for one in working):
            notifier.relay()
    for one in working:
        one.result()
    notifier.relay()
    for inbox in inboxes:
        inbox.wait_for(50)
        assert inbox.cursors == sorted(set(inbox.cursors))
        for job_id in {event.job_id for event in inbox.events}:
            assert [event.seq for event in inbox.events if event.job_id == job_id] == [1, 2, 3, 4, 5]


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
