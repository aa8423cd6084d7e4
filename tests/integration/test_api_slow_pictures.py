"""Pictures on slow hosts: they hold up each other, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest

from jobqueue import JobQueueManager
from jobqueue.api import picture_slots
from tests.eventually import eventually
from tests.image_server import picture
from tests.integration.api_answers import SUBMIT, refused
from tests.integration.jobs import queued
from tests.picture_host import Exchange, PictureHost, answer

# More than the threads that serve the other routes.
MANY = 50
PNG = answer(picture("PNG"), "Content-Type: image/png")


class SlowHost(PictureHost):
    """Sends a picture for any ``/slow/N`` once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._goes_on = threading.Event()
        self.scripts = {f"/slow/{number}": self._held for number in range(MANY)}
        self.scripts["/fast"] = PNG

    def _held(self, exchange: Exchange) -> None:
        while not self._goes_on.is_set() and exchange.pause(0.01):
            pass
        PNG(exchange)

    def go_on(self) -> None:
        self._goes_on.set()


@pytest.fixture
def host() -> Iterator[SlowHost]:
    with SlowHost() as made:
        yield made


@contextmanager
def submitting(api: httpx.Client, host: SlowHost, number: int) -> Iterator[list[Future[httpx.Response]]]:
    """Submissions of slow pictures under way, as many of them being fetched as there are slots."""
    with ThreadPoolExecutor(number) as threads:
        try:
            under_way = [
                threads.submit(api.post, SUBMIT, json={"imageUrl": host.url(f"/slow/{one}"), "force": True})
                for one in range(number)
            ]
            slots = min(number, picture_slots.SLOTS)
            eventually(lambda: len(host.requests) == slots, what=f"{slots} pictures being fetched")
            yield under_way
        finally:
            host.go_on()


def test_every_other_route_answers_while_slow_pictures_are_fetched(
    api: httpx.Client, host: SlowHost, manager: JobQueueManager, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    with submitting(api, host, MANY) as under_way:
        paths = [f"/api/extraction/status/{job.id}", "/api/extraction/jobs", "/api/extraction/quota", "/health"]
        assert [api.get(path).status_code for path in paths] == [200] * 4
        assert api.post(f"/api/extraction/cancel/{job.id}").status_code == 200
        assert api.post(f"/api/extraction/retry/{job.id}").status_code == 200
        assert len(host.requests) == picture_slots.SLOTS
        assert not [one for one in under_way if one.done()]
        host.go_on()
        assert {one.result().status_code for one in under_way} == {200}


def test_a_submission_without_a_slot_is_told_to_come_again(
    api: httpx.Client, host: SlowHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with submitting(api, host, picture_slots.SLOTS) as under_way:
        monkeypatch.setattr(picture_slots, "WAIT_SECONDS", 0.05)
        late = api.post(SUBMIT, json={"imageUrl": host.url("/fast")})
        body = refused(late, 503, "QUEUE_UNAVAILABLE")
        assert body["error"] == "Too many pictures are being fetched; try again in a moment."
        assert int(late.headers["retry-after"]) > 0
        host.go_on()
        assert {one.result().status_code for one in under_way} == {200}
    assert api.post(SUBMIT, json={"imageUrl": host.url("/fast")}).status_code == 200


def test_slots_are_given_back_by_pictures_that_are_refused(api: httpx.Client, host: SlowHost) -> None:
    for _ in range(picture_slots.SLOTS + 1):
        refused(api.post(SUBMIT, json={"imageUrl": host.url("/nothing")}), 422, "IMAGE_REJECTED")
    assert api.post(SUBMIT, json={"imageUrl": host.url("/fast")}).status_code == 200
