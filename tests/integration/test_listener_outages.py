"""Connections to Redis that are cut, die silently or are away for a while: the listeners heal and miss nothing."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine

from jobqueue import JobQueueManager
from jobqueue import replay as replay_policy
from jobqueue.embedded import EmbeddedValkey
from jobqueue.events import user_channel
from jobqueue.settings import load_settings
from tests.eventually import eventually
from tests.integration.jobs import queued
from tests.listener_sides import Inbox, MakeSide, Notifier, Side
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


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
