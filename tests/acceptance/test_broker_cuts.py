"""Workers whose connection to the broker breaks: they go on consuming, at full capacity, and they still stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any
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


def killed(application: Application, script: str) -> ExtractionJob:
    """A job that a worker has begun in a process that lives no more."""
    job = application.submit(script)
    held: Any = application.redis.blpop([held_key(job.image_url)], timeout=20)
    assert held, "the worker has lost capacity"
    os.kill(int(held[1]), signal.SIGKILL)
    return job


def test_a_worker_that_cannot_give_messages_back_keeps_its_capacity(
    own_application: Application, processes: Processes, broker: TcpProxy, redis_url: str
) -> None:
    with processes.notifier(), processes.worker(CELERY_BROKER_URL=behind(broker, redis_url)) as worker:
        for failures in (1, 2, 3):
            broker.cut_at = b"WATCH"
            job = killed(own_application, "hold,ok")
            eventually(
                lambda failures=failures: worker.log_path.read_text().count("did not take") >= failures,  # type: ignore[misc]
                what="a message that could not be given back",
            )
            broker.cut_at = None
            assert own_application.finished(job).status == "completed"
        release(own_application, two_at_once(own_application))


def test_a_message_whose_process_died_comes_again_at_once(own_application: Application, processes: Processes) -> None:
    with processes.notifier(), processes.worker(JOBQUEUE_LEASE_SECONDS="60") as worker:
        killed(own_application, "hold")
        eventually(lambda: worker.log_path.read_text().count(" received") == 2, what="the message once more")


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


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_cut_off_message_went_elsewhere_has_all_its_slots(
    own_application: Application, processes: Processes, broker: TcpProxy, redis_url: str, pool: str
) -> None:
    """Nothing that comes once more tells Celery that it may take as many messages as before."""

    def begun(job: ExtractionJob) -> bool:
        return own_application.redis.blpop([held_key(job.image_url)], timeout=20) is not None

    with (
        processes.notifier(),
        processes.worker(f"--pool={pool}", "--hostname=cut@here", CELERY_BROKER_URL=behind(broker, redis_url)) as cut,
    ):
        before = own_application.submit("hold")
        assert begun(before)
        with processes.worker("--hostname=other@here") as other:
            broker.cut()
            logs = (cut.log_path, other.log_path)
            once_more = lambda: sum(log.read_text().count(" received") for log in logs) >= 2  # noqa: E731
            eventually(once_more, what="the message once more")
        # Its first job is from before the cut, so it takes both that follow only if the cut has cost it no place.
        after = own_application.submit("hold")
        assert begun(after)
        release(own_application, [before])
        assert own_application.finished(before).status == "completed"
        assert own_application.executions(before) == 1, "the cut has ended what the worker was at"
        last = own_application.submit("hold")
        assert begun(last), "the worker has lost capacity"
        release(own_application, [after, last])


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
