"""What a plain Redis client sees while jobs are worked on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.conftest import Application
from tests.eventually import eventually

FIELDS = ["id", "status", "user_id", "confidence", "seq", "attempt", "cursor", "at"]
Subscribe = Callable[..., list[dict[str, Any]]]


class PlainSubscriber:
    """``SUBSCRIBE``, and nothing else."""

    def __init__(self, application: Application, *channels: str) -> None:
        self._pubsub = application.redis.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(*channels)
        self.received: list[tuple[str, str]] = []
        for _ in channels:
            assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"

    def collect_until(self, enough: Callable[[list[tuple[str, str]]], bool]) -> list[tuple[str, str]]:
        def look() -> bool:
            message = self._pubsub.get_message(timeout=0.1)
            if message is not None:
                self.received.append((message["channel"].decode(), message["data"].decode()))
            return enough(self.received)

        eventually(look, within=30, what="enough messages")
        return self.received

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def channels(application: Application) -> Iterator[PlainSubscriber]:
    subscriber = PlainSubscriber(application, "menu_extraction_jobs", f"menu_extraction_jobs:{application.user_id}")
    yield subscriber
    subscriber.close()


def test_both_channels_carry_readable_json_with_exactly_the_agreed_fields_in_order(
    application: Application, channels: PlainSubscriber
) -> None:
    jobs = [application.submit(script) for script in ("ok", "transient,ok", "permanent")]
    stories = {str(job.id): application.story(application.finished(job)) for job in jobs}
    total = sum(len(story) for story in stories.values())

    def ours(received: list[tuple[str, str]]) -> list[tuple[str, str]]:
        # The channel of all jobs is shared with whoever else uses this Redis.
        return [(channel, payload) for channel, payload in received if str(application.user_id) in payload]

    received = ours(channels.collect_until(lambda so_far: len(ours(so_far)) >= 2 * total))
    by_channel = {
        channel: [json.loads(payload) for name, payload in received if name == channel]
        for channel in ("menu_extraction_jobs", f"menu_extraction_jobs:{application.user_id}")
    }
    assert len(received) == 2 * total
    for events in by_channel.values():
        assert all(list(event) == FIELDS for event in events)
        assert [event["cursor"] for event in events] == sorted({event["cursor"] for event in events})
        for job_id, story in stories.items():
            mine = [event for event in events if event["id"] == job_id]
            assert [event["status"] for event in mine] == story
            assert [event["seq"] for event in mine] == list(range(1, len(story) + 1))
    assert len(set(map(json.dumps, by_channel["menu_extraction_jobs"]))) == total
    assert {payload for channel, payload in received if ":" in channel} == {
        payload for channel, payload in received if ":" not in channel
    }
    first = by_channel["menu_extraction_jobs"][0]
    assert (first["user_id"], first["attempt"], first["confidence"]) == (str(application.user_id), 0, None)
    assert datetime.fromisoformat(first["at"]).utcoffset() == timedelta(0)
    completed = next(event for event in by_channel["menu_extraction_jobs"] if event["status"] == "completed")
    assert completed["confidence"] == 0.9


def test_progress_is_reported_on_the_users_progress_channel(application: Application) -> None:
    subscriber = PlainSubscriber(application, f"menu_extraction_progress:{application.user_id}")
    job = application.submit("ok")
    application.finished(job)
    received = subscriber.collect_until(lambda so_far: any("step ok" in payload for _, payload in so_far))
    subscriber.close()
    reports = [json.loads(payload) for _, payload in received]
    assert all(list(report) == ["id", "stage", "fraction"] for report in reports)
    assert {report["id"] for report in reports} == {str(job.id)}
    assert all(0 <= report["fraction"] <= 1 for report in reports)
    assert {"id": str(job.id), "stage": "step ok", "fraction": 0.5} in reports
