"""The one order of all events: cursors that grow in commit order, relayed at least once, whatever dies in between."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, text

from jobqueue import JobEvent, JobQueueManager
from jobqueue.database import Database
from jobqueue.redis_connection import connect_redis
from jobqueue.store.event_log import (
    current_cursor,
    events_after,
    number_pending,
    published_cursor,
    unpublished,
)
from tests.eventually import eventually
from tests.integration.jobs import claimed, complete, queued, requeue, waiting_for_locks
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.relay import Relay

QUEUE = "menu_extraction"
INSERT = text("INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES (:user, 'x') RETURNING id")


def number(connection: Connection, batch: int = 100) -> list[JobEvent]:
    return [one.event for one in number_pending(connection, 0, batch).events]


def number_all(engine: Engine) -> list[JobEvent]:
    return Database(engine).run(number)


def log(engine: Engine, user_id: UUID, after: int = 0) -> list[JobEvent]:
    return Database(engine).run(lambda c: events_after(c, user_id, after, 1000))


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    app = Celery(broker=redis_url, set_as_current=False)
    app.conf.task_default_queue = QUEUE
    made = Dispatcher(app)
    yield made
    made.close()
    app.close()


MakeRelay = Callable[[], Relay]


@pytest.fixture
def make_relay(engine: Engine, redis_client: redis.Redis, dispatcher: Dispatcher) -> MakeRelay:
    """What a notifier does when it begins to lead."""

    def make() -> Relay:
        made = Relay(Database(engine), redis_client, dispatcher)
        made.resume()
        return made

    return make


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay()


class Subscriber:
    """A plain Redis client on a user's channel."""

    def __init__(self, client: redis.Redis, user_id: UUID) -> None:
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(f"menu_extraction_jobs:{user_id}")
        assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"

    def received(self, number: int) -> list[dict[str, Any]]:
        """The next ``number`` events, which must be all there are."""
        found = [self._pubsub.get_message(timeout=5) for _ in range(number)]
        self._pubsub.ping()
        assert self._pubsub.get_message(timeout=5)["type"] == "pong"
        return [json.loads(one["data"]) for one in found]

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def subscriber(redis_client: redis.Redis, user_id: UUID) -> Iterator[Subscriber]:
    made = Subscriber(redis_client, user_id)
    yield made
    made.close()


def dispatched(client: redis.Redis) -> list[str]:
    """The job ids of the messages that wait in the broker, oldest first."""
    return [json.loads(raw)["headers"]["id"] for raw in reversed(client.lrange(QUEUE, 0, -1))]


def test_events_are_numbered_in_order_and_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    other = queued(manager, user_id)
    numbered = number_all(engine)
    assert [(one.job_id, one.seq, one.cursor) for one in numbered] == [(job.id, 1, 1), (job.id, 2, 2), (other.id, 1, 3)]
    assert number_all(engine) == []
    complete(engine, job.id, 1)
    assert [(one.seq, one.cursor) for one in number_all(engine)] == [(3, 4)]
    assert Database(engine).run(current_cursor) == 4


def test_numbering_takes_the_oldest_first_in_batches(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    jobs = [queued(manager, user_id).id for _ in range(5)]
    batches = [Database(engine).run(lambda c: number(c, 2)) for _ in range(3)]
    assert [[one.job_id for one in batch] for batch in batches] == [jobs[0:2], jobs[2:4], jobs[4:]]
    assert [one.cursor for batch in batches for one in batch] == [1, 2, 3, 4, 5]


def test_a_transaction_that_commits_late_gets_a_later_cursor_and_is_not_skipped(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with engine.connect() as slow:
        slow_job = slow.execute(INSERT, {"user": user_id}).scalar_one()
        quick = queued(manager, user_id)
        assert [(one.job_id, one.cursor) for one in number_all(engine)] == [(quick.id, 1)]
        seen = log(engine, user_id)[-1].cursor
        slow.commit()
    assert log(engine, user_id, after=seen) == []
    number_all(engine)
    assert [(one.job_id, one.cursor) for one in log(engine, user_id, after=seen)] == [(slow_job, 2)]


def test_a_rolled_back_change_leaves_no_gap(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    with engine.connect() as doomed:
        doomed.execute(INSERT, {"user": user_id})
        queued(manager, user_id)
        doomed.rollback()
    queued(manager, user_id)
    assert [one.cursor for one in number_all(engine)] == [1, 2]


def test_a_job_that_is_deleted_while_its_event_is_numbered_stops_nobody(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    doomed, kept = queued(manager, user_id), queued(manager, user_id)
    with engine.connect() as deleting, ThreadPoolExecutor(1) as relay:
        deleting.execute(text("DELETE FROM menu_extraction_jobs WHERE id = :id"), {"id": doomed.id})
        numbering = relay.submit(number_all, engine)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the relay waiting for the row")
        deleting.commit()
        (event,) = numbering.result(timeout=10)
    assert event.job_id == kept.id
    later = queued(manager, user_id)
    assert [one.job_id for one in number_all(engine)] == [later.id]
    cursors = [one.cursor for one in log(engine, user_id)]
    assert cursors == sorted(set(cursors))
    assert Database(engine).run(current_cursor) == cursors[-1]


def test_of_two_relays_one_waits_and_numbers_only_what_the_other_left(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    first_job = queued(manager, user_id)
    with engine.connect() as first, ThreadPoolExecutor(1) as second:
        assert [one.job_id for one in number(first)] == [first_job.id]
        late_job = queued(manager, user_id)
        late = second.submit(number_all, engine)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second relay waiting")
        first.commit()
        (numbered,) = late.result(timeout=10)
    assert numbered.job_id == late_job.id
    assert numbered.cursor > 1


def test_many_relays_and_writers_at_once_number_every_event_exactly_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    def write(_number: int) -> None:
        job = queued(manager, user_id)
        claimed(engine, job.id)
        complete(engine, job.id, 1)

    with ThreadPoolExecutor(8) as threads:
        writers = [threads.submit(write, number) for number in range(20)]
        relays = [threads.submit(number_all, engine) for _ in range(40)]
        numbered = [one for relay in relays for one in relay.result()]
        for writer in writers:
            writer.result()
    numbered += number_all(engine)
    assert len({(one.job_id, one.seq) for one in numbered}) == len({one.cursor for one in numbered}) == 60
    assert Database(engine).run(current_cursor) == max(one.cursor for one in numbered)
    for job in {one.job_id for one in numbered}:
        history = [one.seq for one in log(engine, user_id) if one.job_id == job]
        assert history == [1, 2, 3]


def test_the_published_mark_never_moves_back(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    for _ in range(3):
        queued(manager, user_id)
    number_all(engine)
    database = Database(engine)
    database.run(lambda c: number_pending(c, 2, 10))
    database.run(lambda c: number_pending(c, 1, 10))
    assert database.run(published_cursor) == 2
    assert [one.event.cursor for one in database.run(lambda c: unpublished(c, 2, 10))] == [3]


def test_a_users_log_holds_nobody_elses_events(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    mine = queued(manager, user_id)
    queued(manager, other_user_id)
    number_all(engine)
    assert [one.job_id for one in log(engine, user_id)] == [mine.id]


def test_the_relay_publishes_and_dispatches_what_committed(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    relay: Relay,
    subscriber: Subscriber,
    redis_client: redis.Redis,
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    waiting = queued(manager, user_id)
    assert relay.drain() == 3
    assert [(one["id"], one["status"], one["cursor"]) for one in subscriber.received(3)] == [
        (str(job.id), "queued", 1),
        (str(job.id), "processing", 2),
        (str(waiting.id), "queued", 3),
    ]
    # The first job has a worker already; only the second waits for one.
    assert dispatched(redis_client) == [str(waiting.id)]
    assert relay.drain() == 0
    assert Database(engine).run(published_cursor) == 3


def test_a_job_that_waits_for_its_retry_is_announced_but_not_dispatched(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    relay: Relay,
    subscriber: Subscriber,
    redis_client: redis.Redis,
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    requeue(engine, job.id, 1, delay_seconds=60)
    relay.drain()
    assert [one["status"] for one in subscriber.received(3)] == ["queued", "processing", "queued"]
    assert dispatched(redis_client) == []


class CrashingDispatcher(Dispatcher):
    """A notifier that dies after publishing and before it can hand the jobs on."""

    def dispatch(self, job_ids: Sequence[UUID]) -> None:
        raise SystemExit(f"killed before {len(job_ids)} messages")


def test_what_was_numbered_and_not_marked_comes_out_again_from_the_next_notifier(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    make_relay: MakeRelay,
    subscriber: Subscriber,
    redis_client: redis.Redis,
) -> None:
    crashing = Relay(Database(engine), redis_client, CrashingDispatcher(Celery(set_as_current=False)))
    jobs = [str(queued(manager, user_id).id) for _ in range(2)]
    with pytest.raises(SystemExit):
        crashing.drain()
    assert [one["cursor"] for one in subscriber.received(2)] == [1, 2]
    jobs.append(str(queued(manager, user_id).id))
    make_relay().drain()
    assert [(one["id"], one["cursor"]) for one in subscriber.received(3)] == list(zip(jobs, (1, 2, 3), strict=True))
    assert dispatched(redis_client) == jobs


def test_what_another_notifier_numbered_meanwhile_is_published_in_order(
    manager: JobQueueManager, engine: Engine, user_id: UUID, relay: Relay, subscriber: Subscriber
) -> None:
    jobs = [str(queued(manager, user_id).id) for _ in range(2)]
    number_all(engine)  # by one that believes it leads, and stops right after
    jobs.append(str(queued(manager, user_id).id))
    relay.drain()
    assert [(one["id"], one["cursor"]) for one in subscriber.received(3)] == list(zip(jobs, (1, 2, 3), strict=True))


def test_what_could_not_be_published_is_published_when_redis_is_back(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    make_relay: MakeRelay,
    dispatcher: Dispatcher,
    subscriber: Subscriber,
) -> None:
    job = queued(manager, user_id)
    away = Relay(Database(engine), connect_redis("redis://127.0.0.1:1/0"), dispatcher)
    with pytest.raises(RedisError):
        away.drain()
    make_relay().drain()
    assert [one["id"] for one in subscriber.received(1)] == [str(job.id)]


def test_more_events_than_one_batch_all_come_out(
    manager: JobQueueManager, engine: Engine, user_id: UUID, relay: Relay, redis_client: redis.Redis
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO menu_extraction_jobs (user_id, image_url) SELECT :user, 'x' FROM generate_series(1, 450)"
            ),
            {"user": user_id},
        )
    assert relay.drain() == 450
    assert len(set(dispatched(redis_client))) == 450
    assert Database(engine).run(published_cursor) == 450


def test_the_relay_goes_on_when_the_user_of_an_unpublished_event_was_deleted(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    other_user_id: UUID,
    make_relay: MakeRelay,
    subscriber: Subscriber,
    redis_client: redis.Redis,
) -> None:
    queued(manager, other_user_id)
    number_all(engine)  # and the notifier dies before it publishes
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": other_user_id})
    job = queued(manager, user_id)
    make_relay().drain()
    assert [(one["id"], one["cursor"]) for one in subscriber.received(1)] == [(str(job.id), 2)]
    assert dispatched(redis_client) == [str(job.id)]


def test_the_message_carries_the_id_alone_and_is_called_after_the_job(
    manager: JobQueueManager, user_id: UUID, relay: Relay, redis_client: redis.Redis
) -> None:
    job = queued(manager, user_id)
    relay.drain()
    (raw,) = redis_client.lrange(QUEUE, 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == "worker.tasks.extract_menu"
    assert message["headers"]["id"] == message["properties"]["correlation_id"] == str(job.id)

    args, kwargs, _embedded = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == ([str(job.id)], {})
    for private in (str(user_id), job.image_url, str(job.image_hash)):
        assert private not in f"{message} {args} {kwargs}"


def test_waiting_messages_are_counted_and_an_empty_queue_has_none(dispatcher: Dispatcher, redis_client: Any) -> None:
    assert dispatcher.waiting_messages() == 0
    dispatcher.dispatch([UUID(int=1), UUID(int=2)])
    assert dispatcher.waiting_messages() == 2
    assert dispatched(redis_client) == [str(UUID(int=1)), str(UUID(int=2))]
