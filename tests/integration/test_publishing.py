"""Publishing on Redis: fenced by the term there too, whatever Redis has forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from jobqueue import JobEvent, JobStatus
from jobqueue.embedded import EmbeddedValkey
from worker.notifier.publisher import Publisher, StaleTermError

USER = uuid4()
HERE, ELSEWHERE = UUID(int=1), UUID(int=2)


def event(cursor: int) -> JobEvent:
    return JobEvent(UUID(int=1), USER, JobStatus.QUEUED, None, 0, cursor, cursor, datetime.now(UTC))


class Subscriber:
    def __init__(self, client: redis.Redis) -> None:
        self._pubsub: Any = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe("menu_extraction_jobs", f"menu_extraction_jobs:{USER}")
        for _ in range(2):
            assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"

    def cursors(self) -> list[tuple[bool, int]]:
        """Channel (the user's or not) and cursor of all that came."""
        self._pubsub.ping()
        found = []
        while (message := self._pubsub.get_message(timeout=5))["type"] != "pong":
            data = json.loads(message["data"])
            if data["user_id"] == str(USER):  # other tests publish to the channel of all jobs, too
                found.append((b":" in message["channel"], data["cursor"]))
        return found

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def subscriber(redis_client: redis.Redis) -> Iterator[Subscriber]:
    made = Subscriber(redis_client)
    yield made
    made.close()


def test_a_batch_goes_to_both_channels_in_order(redis_client: redis.Redis, subscriber: Subscriber) -> None:
    Publisher(redis_client, 1, HERE).publish([event(1), event(2)])
    assert subscriber.cursors() == [(False, 1), (True, 1), (False, 2), (True, 2)]


def test_an_older_term_publishes_nothing_and_hears_the_newest(
    redis_client: redis.Redis, subscriber: Subscriber
) -> None:
    old, new = Publisher(redis_client, 3, HERE), Publisher(redis_client, 10, HERE)
    old.publish([event(1)])
    new.publish(())  # nothing to say yet, but it leads
    with pytest.raises(StaleTermError) as refused:
        old.publish([event(2)])
    assert refused.value.newest == 10
    new.publish([event(3)])
    assert [cursor for _channel, cursor in subscriber.cursors()] == [1, 1, 3, 3]


def test_terms_of_another_installation_are_another_matter(redis_client: redis.Redis, subscriber: Subscriber) -> None:
    Publisher(redis_client, 10, HERE).publish([event(1)])
    Publisher(redis_client, 3, ELSEWHERE).publish([event(2)])
    assert len(subscriber.cursors()) == 4


def test_after_flushall_it_publishes_and_fences_again(redis_client: redis.Redis, subscriber: Subscriber) -> None:
    old, new = Publisher(redis_client, 1, HERE), Publisher(redis_client, 2, HERE)
    new.publish([event(1)])
    redis_client.flushdb()
    redis_client.script_flush()
    new.publish([event(2)])
    with pytest.raises(StaleTermError):
        old.publish([event(1)])
    assert [cursor for _channel, cursor in subscriber.cursors()] == [1, 1, 2, 2]


def test_on_a_replaced_redis_it_publishes_at_once() -> None:
    with EmbeddedValkey() as server, redis.Redis.from_url(server.url) as client:
        publisher = Publisher(client, 5, HERE)
        publisher.publish([event(1)])
        server.restart()
        client.close()
        with redis.Redis.from_url(server.url) as listening:
            subscriber = Subscriber(listening)
            publisher.publish([event(2)])
            assert len(subscriber.cursors()) == 2
            subscriber.close()


def test_one_round_trip_however_large_the_batch() -> None:
    with EmbeddedValkey() as server, redis.Redis.from_url(server.url) as client:
        publisher = Publisher(client, 1, HERE)
        publisher.publish(())
        client.config_resetstat()
        publisher.publish([event(cursor) for cursor in range(1, 201)])
        stats = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert stats["cmdstat_publish"]["calls"] == 400
