"""Waiting for a job, pushed to or by polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from celery import Celery
from sqlalchemy import Engine, event

from jobqueue import (
    ExtractionJob,
    InvalidInputError,
    JobNotFoundError,
    JobQueueManager,
    PollingTimeoutError,
    QueueUnavailableError,
    Settings,
    poll_job_status,
)
from jobqueue.database import Database, create_database_engine
from jobqueue.settings import load_settings
from tests.eventually import eventually
from tests.integration.event_numbering import lead
from tests.integration.jobs import claimed, complete, completed, failed, queued, requeue
from tests.tcp_proxy import TcpProxy
from worker.notifier.dispatcher import Dispatcher
from worker.notifier.publisher import Publisher
from worker.notifier.relay import Relay


@pytest.fixture
def relay(engine: Engine, redis_client: redis.Redis, redis_url: str) -> Iterator[Relay]:
    app = Celery(broker=redis_url, set_as_current=False)
    dispatcher = Dispatcher(app)
    leading = lead(engine)
    yield Relay(Database(engine), Publisher(redis_client, leading.term, leading.installation), dispatcher, leading)
    dispatcher.close()
    app.close()


Wait = Callable[..., ExtractionJob]


@pytest.fixture(params=["wait_for_job", "poll_job_status"])
def wait(request: pytest.FixtureRequest, manager: JobQueueManager) -> Wait:
    """Both ways of waiting, which must agree; ``timeout`` in seconds."""

    def pushed_to(job_id: Any, user_id: Any, timeout: float, **options: Any) -> ExtractionJob:
        return manager.wait_for_job(job_id, user_id, timeout, **options)

    def polling(job_id: Any, user_id: Any, timeout: float, **options: Any) -> ExtractionJob:
        attempts = max(1, round(timeout / 0.01))
        return poll_job_status(job_id, user_id, max_attempts=attempts, interval_ms=10, manager=manager, **options)

    return pushed_to if request.param == "wait_for_job" else polling


def test_a_finished_job_is_returned_at_once(
    wait: Wait, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    for job in (completed(manager, engine, user_id), failed(manager, engine, user_id)):
        seen: list[ExtractionJob] = []
        assert wait(str(job.id), str(user_id), 5, on_update=seen.append) == job
        assert seen == [job]


def test_each_change_seen_is_told_once_the_first_state_included(
    wait: Wait, manager: JobQueueManager, engine: Engine, user_id: UUID, relay: Relay
) -> None:
    job = queued(manager, user_id)
    seen: list[tuple[str, int]] = []
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(
            wait, job.id, user_id, 30, on_update=lambda now: seen.append((now.status.value, now.attempt))
        )
        steps: list[tuple[tuple[str, int], Callable[[], object]]] = [
            (("queued", 0), lambda: claimed(engine, job.id)),
            (("processing", 1), lambda: requeue(engine, job.id, 1)),
            (("queued", 1), lambda: claimed(engine, job.id)),
            (("processing", 2), lambda: complete(engine, job.id, 2)),
        ]
        for number, (state, step) in enumerate(steps, 1):
            eventually(lambda number=number: len(seen) == number, what=f"update {number}")  # type: ignore[misc]
            assert seen[-1] == state
            step()
            relay.drain()
        assert waiting.result(timeout=10).status == "completed"
    assert seen == [state for state, _step in steps] + [("completed", 2)]


def test_a_job_that_does_not_finish_in_time_goes_on_by_itself(
    wait: Wait, manager: JobQueueManager, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    began = time.monotonic()
    with pytest.raises(PollingTimeoutError) as caught:
        wait(job.id, user_id, 0.2)
    assert 0.1 < time.monotonic() - began < 3
    assert caught.value.code == "POLLING_TIMEOUT"
    assert caught.value.details == {"job_id": str(job.id), "status": "queued"}
    assert manager.get_job_status(job.id) == job


def test_a_timeout_of_zero_looks_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = completed(manager, engine, user_id)
    assert manager.wait_for_job(job.id, user_id, timeout=0) == job
    assert poll_job_status(job.id, user_id, max_attempts=1, manager=manager) == job
    with pytest.raises(PollingTimeoutError):
        manager.wait_for_job(queued(manager, user_id).id, user_id, timeout=0)


def test_an_unknown_job_and_somebody_elses_are_not_found(
    wait: Wait, manager: JobQueueManager, user_id: UUID, other_user_id: UUID
) -> None:
    theirs = queued(manager, other_user_id)
    for job_id in (uuid4(), theirs.id):
        with pytest.raises(JobNotFoundError):
            wait(job_id, user_id, 5)


def test_an_error_of_on_update_is_the_callers_own(wait: Wait, manager: JobQueueManager, user_id: UUID) -> None:
    def broken(_job: ExtractionJob) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait(queued(manager, user_id).id, user_id, 5, on_update=broken)


def test_without_a_notifier_the_table_tells(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(manager.wait_for_job, job.id, user_id, 30)
        claimed(engine, job.id)
        complete(engine, job.id, 1)
        assert waiting.result(timeout=20).status == "completed"


def test_without_redis_the_table_tells(engine: Engine, database_url: str, user_id: UUID) -> None:
    away = load_settings(database_url=database_url, redis_url="redis://127.0.0.1:1/0")
    manager = JobQueueManager(engine, settings=away)
    job = queued(manager, user_id)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(manager.wait_for_job, job.id, user_id, 30)
        claimed(engine, job.id)
        complete(engine, job.id, 1)
        assert waiting.result(timeout=20).status == "completed"
    manager.close()


@pytest.mark.parametrize("poll", [False, True], ids=["wait_for_job", "poll_job_status"])
def test_an_outage_of_the_database_does_not_end_the_waiting(
    poll: bool,
    manager: JobQueueManager,
    engine: Engine,
    settings: Settings,
    user_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobqueue.waiting.LOOK_EVERY_SECONDS", 0.05)
    job = queued(manager, user_id)
    seen = Event()
    proxy = TcpProxy(("127.0.0.1", engine.url.port or 0))
    with proxy.running(), ThreadPoolExecutor(1) as threads:
        away = create_database_engine(engine.url.set(port=proxy.port).render_as_string(hide_password=False))
        waiter = JobQueueManager(away, settings=settings)

        def wait() -> ExtractionJob:
            if poll:
                return poll_job_status(
                    job.id, user_id, max_attempts=2000, interval_ms=10, manager=waiter, on_update=lambda _: seen.set()
                )
            return waiter.wait_for_job(job.id, user_id, 60, on_update=lambda _: seen.set())

        waiting = threads.submit(wait)
        assert seen.wait(10)
        failures = Semaphore(0)
        event.listen(away, "handle_error", lambda _context: failures.release())
        proxy.refuse()
        assert all(failures.acquire(timeout=20) for _ in range(10))
        claimed(engine, job.id)
        complete(engine, job.id, 1)
        proxy.allow()
        assert waiting.result(timeout=30).status == "completed"
        proxy.refuse()
        with pytest.raises(QueueUnavailableError):
            waiter.wait_for_job(job.id, user_id, 5)
        waiter.close()
        away.dispose()


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"interval_ms": -1},
        {"interval_ms": "5"},
        {"interval_ms": float("nan")},
        {"interval_ms": float("inf")},
    ],
    ids=str,
)
def test_malformed_polling_arguments_are_refused(
    manager: JobQueueManager, user_id: UUID, arguments: dict[str, Any]
) -> None:
    job = queued(manager, user_id)
    with pytest.raises(InvalidInputError) as caught:
        poll_job_status(job.id, user_id, manager=manager, **{"max_attempts": 2, "interval_ms": 1, **arguments})
    assert caught.value.details["argument"] == next(iter(arguments))


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", None])
def test_a_malformed_timeout_is_refused(manager: JobQueueManager, user_id: UUID, timeout: Any) -> None:
    with pytest.raises(InvalidInputError):
        manager.wait_for_job(uuid4(), user_id, timeout=timeout)


def test_polling_without_a_manager_reads_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    database_url: str,
    settings: Settings,
) -> None:
    job = completed(manager, engine, user_id)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert poll_job_status(job.id, user_id) == job
