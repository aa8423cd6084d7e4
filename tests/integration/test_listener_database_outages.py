"""Connections to Postgres that are cut or die silently, and restarts of it: the listeners heal and miss nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine

from jobqueue import JobQueueManager, Settings, async_listener, event_stream
from jobqueue.database import create_database_engine
from jobqueue.embedded import EmbeddedPostgres
from jobqueue.events import user_channel
from jobqueue.migration import migrate
from tests.conftest import add_user
from tests.eventually import eventually
from tests.integration.jobs import queued
from tests.listener_sides import Blocking, Inbox, MakeSide, Notifier, OnALoop, Side
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


@dataclass(frozen=True)
class ShakyPostgres:
    proxy: TcpProxy
    engine: Engine


@pytest.fixture
def shaky_postgres(database_url: str) -> Iterator[ShakyPostgres]:
    """The database through a proxy."""
    head, _, tail = database_url.rpartition(":")
    port, _, name = tail.partition("/")
    proxy = TcpProxy(("127.0.0.1", int(port)))
    with proxy.running():
        engine = create_database_engine(f"{head}:{proxy.port}/{name}")
        yield ShakyPostgres(proxy, engine)
        engine.dispose()


def test_postgres_may_be_away_for_a_while(
    make_side: MakeSide,
    manager: JobQueueManager,
    user_id: UUID,
    other_user_id: UUID,
    notifier: Notifier,
    shaky_postgres: ShakyPostgres,
    caplog: pytest.LogCaptureFixture,
) -> None:
    side = make_side(engine=shaky_postgres.engine)
    inbox = Inbox()
    queued(manager, user_id)
    notifier.relay()
    side.subscribe(user_id, inbox, after=0)
    inbox.wait_for(1)
    shaky_postgres.proxy.refuse()
    queued(manager, other_user_id)  # so that the next one has to be looked for in the log
    queued(manager, user_id)
    notifier.relay()
    complaint = "Could not read the event log"
    eventually(lambda: complaint in caplog.text, what="a complaint")
    assert inbox.cursors == [1]
    eventually(lambda: shaky_postgres.proxy.refused >= 4, what="several tries")
    shaky_postgres.proxy.allow()
    assert inbox.wait_for(2) == [1, 3]
    assert caplog.text.count(complaint) == 1


def test_a_connection_to_postgres_that_died_silently_is_noticed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
    make_side: MakeSide,
    manager: JobQueueManager,
    user_id: UUID,
    other_user_id: UUID,
    notifier: Notifier,
    shaky_postgres: ShakyPostgres,
) -> None:
    for module in (event_stream, async_listener):
        monkeypatch.setattr(module, "ANSWER_WITHIN_SECONDS", 0.5)
    side = make_side(engine=shaky_postgres.engine)
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    queued(manager, user_id)
    notifier.relay()
    inbox.wait_for(1)
    shaky_postgres.proxy.strand()
    queued(manager, other_user_id)
    queued(manager, user_id)
    notifier.relay()
    assert inbox.wait_for(2) == [1, 3]


def test_a_restart_of_postgres_heals_and_misses_nothing(
    settings: Settings, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Both listeners at once, because the server takes long to make."""
    with EmbeddedPostgres(settings={"fsync": "off"}) as server:
        own = create_database_engine(server.url)
        migrate(own)
        user, other = add_user(own), add_user(own)
        manager = JobQueueManager(own, settings=settings)
        notifier = Notifier(own, redis_client)
        sides: list[Side] = [Blocking(own, settings), OnALoop(own, settings)]
        inboxes = [Inbox() for _ in sides]
        try:
            for side, inbox in zip(sides, inboxes, strict=True):
                side.subscribe(user, inbox)
            queued(manager, user)
            notifier.relay()
            for inbox in inboxes:
                inbox.wait_for(1)
            for ending in (server.kill, server.stop):
                ending()
                # Wakes them, so that they look into the log that is away.
                notifier.client.publish(user_channel(user), replace(inboxes[0].events[0], cursor=1_000).to_json())
                eventually(lambda: "Could not read the event log" in caplog.text, what="a failed look")
                server.start()
                queued(manager, other)
                queued(manager, user)
                notifier.relay()
            for inbox in inboxes:
                assert inbox.wait_for(3) == [1, 3, 5]
        finally:
            for side in sides:
                side.close()
            own.dispose()
