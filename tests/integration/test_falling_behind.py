"""What the listeners make of messages that never come, of late commits, and of subscribers that are too slow."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine

from jobqueue import JobEvent, JobQueueManager, Settings
from jobqueue.embedded import EmbeddedValkey
from jobqueue.events import user_channel
from tests.integration.event_numbering import INSERT
from tests.integration.jobs import queued
from tests.listener_sides import Inbox, MakeSide, Notifier, Side

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


def test_a_notifier_that_skips_messages_makes_no_gap(
    side: Side, manager: JobQueueManager, user_id: UUID, other_user_id: UUID, notifier: Notifier
) -> None:
    """The connection stands, and yet messages are missing, as behind a proxy that reconnects by itself."""
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    for _ in range(3):
        queued(manager, user_id)
        queued(manager, other_user_id)
        notifier.number()
        queued(manager, user_id)
        notifier.relay()
    assert inbox.wait_for(6) == [1, 3, 4, 6, 7, 9]
    assert not any(event.replayed for event in inbox.events)


def test_a_transaction_that_commits_late_is_not_skipped(
    side: Side, manager: JobQueueManager, engine: Engine, user_id: UUID, notifier: Notifier
) -> None:
    """Its event was written, and drew its id, before those of others that were delivered long ago."""
    inbox = Inbox()
    side.subscribe(user_id, inbox)
    with engine.connect() as slow:
        late = slow.execute(INSERT, {"user": user_id}).scalar_one()
        quick = [queued(manager, user_id).id for _ in range(3)]
        notifier.relay()
        inbox.wait_for(3)
        slow.commit()
    notifier.relay()
    inbox.wait_for(4)
    assert [event.job_id for event in inbox.events] == [*quick, late]


def test_a_slow_subscriber_is_cut_off_by_redis_and_told_what_was_replayed_while_others_go_on(
    make_side: MakeSide,
    engine: Engine,
    manager: JobQueueManager,
    user_id: UUID,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with EmbeddedValkey() as server, redis.Redis.from_url(server.url) as client:
        client.config_set("client-output-buffer-limit", "pubsub 100000 0 0")
        notifier = Notifier(engine, client)
        side = make_side(settings=settings.model_copy(update={"redis_url": SecretStr(server.url)}))
        slow, quick = Inbox(), Inbox()
        begun, may_go_on = threading.Event(), threading.Event()

        def wait_first(event: JobEvent) -> None:
            begun.set()
            may_go_on.wait(60)
            slow(event)

        side.subscribe(user_id, wait_first)
        side.subscribe(user_id, quick)
        queued(manager, user_id)
        notifier.relay()
        assert begun.wait(20)
        filler, sent = b"x" * 90_000, 0
        while notifier.subscribers(user_id) > 1:
            # What the slow one does not read fills the buffers of both systems before it fills Redis's own.
            client.publish(user_channel(user_id), filler)
            queued(manager, user_id)
            notifier.relay()
            sent += 1
            quick.wait_for(1 + sent)
        for _ in range(5):
            queued(manager, user_id)
        notifier.relay()
        expected = list(range(1, sent + 7))
        assert quick.wait_for(sent + 6) == expected
        assert not any(event.replayed for event in quick.events)
        assert slow.cursors == []
        may_go_on.set()
        assert slow.wait_for(sent + 6) == expected
        assert not slow.events[0].replayed
        assert all(event.replayed for event in slow.events[-5:])
        assert caplog.text.count("The subscription to Redis was interrupted") == 1
        side.close()
