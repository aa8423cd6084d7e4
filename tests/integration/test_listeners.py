"""Both listeners, by the same tests: every change arrives, in order, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobqueue import JobQueueManager
from jobqueue import replay as replay_policy
from jobqueue.events import user_channel
from tests.integration.jobs import claimed, complete, queued, requeue
from tests.listener_sides import Inbox, Notifier, Side, many_jobs

pytestmark = pytest.mark.usefixtures("no_regular_look_into_the_log")


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
    notifier.publish(events)
    queued(manager, user_id)
    notifier.publish([*events, *notifier.number()])
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
    notifier.publish([event])
    assert inbox.wait_for(1) == [1]


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
