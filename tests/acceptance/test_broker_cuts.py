"""Workers whose connection to the broker breaks: they go on consuming, at full capacity, and they still stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from jobqueue import ExtractionJob
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.processes import Processes
from tests.scripted_extractor import held_key, release_key
from tests.tcp_proxy import TcpProxy

CUTS = 10


@pytest.fixture
def broker(redis_url: str) -> Iterator[TcpProxy]:
    proxy = TcpProxy(("127.0.0.1", urlsplit(redis_url).port or 0))
    with proxy.running():
        yield proxy


def behind(broker: TcpProxy, redis_url: str) -> str:
    return redis_url.replace(f":{urlsplit(redis_url).port}/", f":{broker.port}/")


def two_at_once(application: Application) -> list[ExtractionJob]:
    """Two jobs that the worker, which has two slots, works on at the same time."""
    jobs = [application.submit("hold") for _ in range(2)]
    for job in jobs:
        assert application.redis.blpop([held_key(job.image_url)], timeout=20), "the worker has lost capacity"
    return jobs


def release(application: Application, jobs: list[ExtractionJob]) -> None:
    for job in jobs:
        application.redis.rpush(release_key(job.image_url), "go on")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_acknowledgements_fail_keeps_its_capacity(
    own_application: Application, processes: Processes, broker: TcpProxy, redis_url: str, pool: str
) -> None:
    with (
        processes.notifier(),
        processes.worker(f"--pool={pool}", CELERY_BROKER_URL=behind(broker, redis_url)) as worker,
    ):
        for failed in range(0, 6, 2):
            jobs = two_at_once(own_application)
            broker.cut_at = b"ZREM"
            release(own_application, jobs)
            failures = failed + 2
            eventually(
                lambda failures=failures: worker.log_path.read_text().count("did not take") >= failures,  # type: ignore[misc]
                what="failed acknowledgements",
            )
            broker.cut_at = None
        release(own_application, two_at_once(own_application))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_connection_was_cut_ten_times_works_at_full_capacity(
    own_application: Application, processes: Processes, broker: TcpProxy, redis_url: str, pool: str
) -> None:
    with (
        processes.notifier(),
        processes.worker(f"--pool={pool}", CELERY_BROKER_URL=behind(broker, redis_url)) as worker,
    ):
        for _ in range(CUTS):
            jobs = two_at_once(own_application)
            broker.cut()
            release(own_application, jobs)
            for job in jobs:
                assert own_application.finished(job).status == "completed"
                assert own_application.executions(job) == 1
                assert own_application.story(job) == ["queued", "processing", "completed"]
        release(own_application, two_at_once(own_application))
        assert worker.poll() is None


def test_a_worker_whose_connection_was_cut_stops_soon_after_its_last_job(
    own_application: Application, processes: Processes, broker: TcpProxy, redis_url: str
) -> None:
    with processes.notifier(), processes.worker(CELERY_BROKER_URL=behind(broker, redis_url)) as worker:
        job = own_application.submit("hold")
        assert own_application.redis.blpop([held_key(job.image_url)], timeout=20)
        broker.cut()
        eventually(lambda: worker.log_path.read_text().count(" received") == 2, what="the message once more")
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: "Warm shutdown" in worker.log_path.read_text(), what="the warm shutdown")
        release(own_application, [job])
        released = time.monotonic()
        assert worker.wait(timeout=60) == 0
        assert time.monotonic() - released < 15
        assert own_application.finished(job).status == "completed"
