"""The relay: what was numbered is published and dispatched at least once, whatever dies in between."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy import Engine, text

from jobqueue import JobEvent, JobQueueManager
from jobqueue.database import Database
from jobqueue.redis_connection import connect_redis
from jobqueue.store.event_log import published_cursor
from jobqueue.store.leadership import LeadLostError
from jobqueue.store.relay_state import relay_state
from tests.integration.event_numbering import INSERT, lead, number_all
from tests.integration.jobs import claimed, queued, requeue
from worker.notifier import relay as relay_module
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.publisher import Publisher, StaleTermError
from worker.notifier.relay import Relay

QUEUE = "menu_extraction"


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
        leading = lead(engine)
        made = Relay(Database(engine), Publisher(redis_client, leading.term, leading.installation), dispatcher, leading)
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
    leading = lead(engine)
    publisher = Publisher(redis_client, leading.term, leading.installation)
    crashing = Relay(Database(engine), publisher, CrashingDispatcher(Celery(set_as_current=False)), leading)
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
    leading = lead(engine)
    publisher = Publisher(connect_redis("redis://127.0.0.1:1/0"), leading.term, leading.installation)
    away = Relay(Database(engine), publisher, dispatcher, leading)
    with pytest.raises(RedisError):
        away.drain()
    make_relay().drain()
    assert [one["id"] for one in subscriber.received(1)] == [str(job.id)]


def test_more_events_than_one_batch_all_come_out(
    engine: Engine, user_id: UUID, relay: Relay, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "DRAIN_SECONDS", 60)
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


class FeedingDispatcher(Dispatcher):
    """While the relay hands on what there was, somebody else submits more, for so many seconds."""

    def __init__(self, app: Celery, engine: Engine, user_id: UUID, seconds: float) -> None:
        super().__init__(app)
        self._engine = engine
        self._user_id = user_id
        self._until = time.monotonic() + seconds
        self.calls = 0

    def dispatch(self, job_ids: Sequence[UUID]) -> None:
        self.calls += 1
        if time.monotonic() < self._until:
            with self._engine.begin() as connection:
                connection.execute(INSERT, {"user": self._user_id})


def test_while_events_keep_coming_it_pauses_for_the_rest_of_the_notifiers_work(
    engine: Engine, user_id: UUID, redis_client: redis.Redis
) -> None:
    leading = lead(engine)
    publisher = Publisher(redis_client, leading.term, leading.installation)
    feeding = FeedingDispatcher(Celery(set_as_current=False), engine, user_id, seconds=15)
    relay = Relay(Database(engine), publisher, feeding, leading)
    feeding.dispatch([])
    began = time.monotonic()
    relayed = relay.drain()
    assert relay_module.DRAIN_SECONDS <= time.monotonic() - began < 10
    assert relay.has_more
    assert relayed == feeding.calls - 1
    feeding.close()


def test_a_stop_is_heeded_between_two_batches(
    engine: Engine, user_id: UUID, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "DRAIN_SECONDS", 60)
    leading = lead(engine)
    publisher = Publisher(redis_client, leading.term, leading.installation)
    feeding = FeedingDispatcher(Celery(set_as_current=False), engine, user_id, seconds=15)
    relay = Relay(Database(engine), publisher, feeding, leading, stopping=lambda: feeding.calls == 3)
    feeding.dispatch([])
    assert relay.drain() == 2
    assert relay.has_more
    feeding.close()


def test_after_everything_was_relayed_there_is_no_more(manager: JobQueueManager, user_id: UUID, relay: Relay) -> None:
    queued(manager, user_id)
    assert relay.drain() == 1
    assert not relay.has_more


def test_what_was_numbered_without_an_answer_comes_out_although_nothing_follows(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    other_user_id: UUID,
    relay: Relay,
    subscriber: Subscriber,
) -> None:
    jobs = [queued(manager, one) for one in (user_id, other_user_id)]
    number_all(engine)  # in the relay's own term; the connection broke before the answer arrived
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": other_user_id})
    relay.drain()
    assert [one["id"] for one in subscriber.received(1)] == [str(jobs[0].id)]
    assert relay.drain() == 0
    assert Database(engine).run(published_cursor) == 2
    assert Database(engine).run(relay_state).relayed_at is not None


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


SENSELESS = ["status = 'lost'", "at = 'infinity'", "at = '4000-01-01 BC'", "confidence = 'NaN'"]


@pytest.mark.parametrize("change", SENSELESS)
@pytest.mark.parametrize("numbered", [False, True], ids=["pending", "numbered"])
def test_an_event_that_makes_no_sense_stops_nobody_elses(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    make_relay: MakeRelay,
    subscriber: Subscriber,
    change: str,
    numbered: bool,
) -> None:
    queued(manager, user_id)
    if numbered:
        number_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE menu_extraction_job_events SET {change}"))  # noqa: S608 - our own text
    job = queued(manager, user_id)
    relay = make_relay()
    relay.drain()
    assert [(one["id"], one["cursor"]) for one in subscriber.received(1)] == [(str(job.id), 2)]
    assert relay.drain() == 0
    assert Database(engine).run(published_cursor) == 2


def test_a_deletion_in_progress_holds_up_only_its_own_users_events(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    other_user_id: UUID,
    relay: Relay,
    subscriber: Subscriber,
) -> None:
    queued(manager, other_user_id)
    with engine.connect() as deleting:
        deleting.execute(text("DELETE FROM auth.users WHERE id = :id"), {"id": other_user_id})
        job = queued(manager, user_id)
        assert relay.drain() == 1
        assert [one["id"] for one in subscriber.received(1)] == [str(job.id)]
        deleting.commit()
    assert relay.drain() == 0


def test_a_relay_that_lost_the_lead_numbers_and_publishes_nothing(
    manager: JobQueueManager, engine: Engine, user_id: UUID, make_relay: MakeRelay, subscriber: Subscriber
) -> None:
    first = make_relay()
    second = make_relay()
    job = queued(manager, user_id)
    with pytest.raises(LeadLostError):
        first.drain()
    assert second.drain() == 1
    assert [one["id"] for one in subscriber.received(1)] == [str(job.id)]


def test_redis_hears_of_a_new_leader_that_has_nothing_to_say_and_again_after_it_was_emptied(
    engine: Engine, make_relay: MakeRelay, redis_client: redis.Redis
) -> None:
    old = lead(engine)
    publisher = Publisher(redis_client, old.term, old.installation)
    publisher.publish(())
    new = make_relay()
    with pytest.raises(StaleTermError):
        publisher.publish(())
    redis_client.flushdb()
    new.look_after_redis()
    with pytest.raises(StaleTermError):
        publisher.publish(())


def test_what_it_had_numbered_before_it_lost_the_lead_is_published_by_the_next_one_alone(
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    make_relay: MakeRelay,
    subscriber: Subscriber,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped = make_relay()
    job = queued(manager, user_id)
    publish = Publisher.publish

    def stopped_before(publisher: Publisher, events: Sequence[JobEvent]) -> None:
        monkeypatch.setattr(Publisher, "publish", publish)
        make_relay()
        claimed(engine, job.id)
        make_relay().drain()
        publisher.publish(events)

    monkeypatch.setattr(Publisher, "publish", stopped_before)
    with pytest.raises(StaleTermError):
        stopped.drain()
    assert [one["seq"] for one in subscriber.received(2)] == [1, 2]


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
