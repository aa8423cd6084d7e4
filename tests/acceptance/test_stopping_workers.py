"""Workers that are asked to stop: what they work on is finished or put back, never charged and never lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from jobqueue import ExtractionJob
from jobqueue.database import Database
from jobqueue.store.workers import known_workers
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.integration.jobs import row, waiting_for_locks
from tests.processes import Processes
from tests.scripted_extractor import held_key
from tests.tcp_proxy import TcpProxy

PATIENCE = "60"  # longer than the test: only the second signal ends the wait
SHORT = "1"


def taken(application: Application, script: str) -> ExtractionJob:
    """A job that a worker has begun."""
    job = application.submit(script)
    assert application.redis.blpop([held_key(job.image_url)], timeout=30)
    return job


def charged(engine: Engine, job: ExtractionJob) -> int:
    found = row(engine, job.id)
    return int(found["attempt"] - found["uncharged_attempts"])


@pytest.mark.parametrize(
    ("pool", "seconds", "signals", "remapped"),
    [
        pytest.param("prefork", SHORT, [signal.SIGQUIT], False, id="soft"),
        pytest.param("prefork", SHORT, [signal.SIGTERM], True, id="soft by a remapped SIGTERM"),
        pytest.param("prefork", PATIENCE, [signal.SIGTERM, signal.SIGQUIT, signal.SIGQUIT], False, id="cold"),
        pytest.param("threads", SHORT, [signal.SIGQUIT], False, id="soft with threads"),
    ],
)
def test_a_worker_that_stops_puts_its_jobs_back_without_charging_them(
    own_application: Application,
    processes: Processes,
    engine: Engine,
    pool: str,
    seconds: str,
    signals: list[signal.Signals],
    remapped: bool,
) -> None:
    environment: dict[str, Any] = {"JOBQUEUE_SOFT_SHUTDOWN_SECONDS": seconds, "JOBQUEUE_LEASE_SECONDS": "60"}
    if remapped:
        environment["REMAP_SIGTERM"] = "SIGQUIT"
    with processes.notifier():
        with processes.worker(f"--pool={pool}", **environment) as worker:
            job = taken(own_application, "hold,ok")
            for number in signals:
                worker.send_signal(number)
                says = {signal.SIGTERM: "Warm shutdown", signal.SIGQUIT: "Initiating Soft Shutdown"}[number]
                if len(signals) > 1:
                    eventually(lambda says=says: says in worker.log_path.read_text(), what=says)  # type: ignore[misc]
            if len(signals) > 1:
                eventually(lambda: row(engine, job.id)["status"] == "queued", what="the job put back")
                worker.kill()  # it would sit out the rest of its minute
            else:
                worker.wait(timeout=20)
            found = row(engine, job.id)
            assert (found["status"], found["attempt"], found["error_code"]) == ("queued", 1, "WORKER_STOPPED")
            assert charged(engine, job) == 0
            if len(signals) == 1:
                assert Database(engine).statement(known_workers) == (), "its row would say for an hour that it hangs"
        with processes.worker():
            ended = own_application.finished(job)
    # Its lease was a minute long, so it was not the lease's end that freed it.
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert own_application.story(job) == ["queued", "processing", "queued", "processing", "completed"]


def test_an_extraction_that_heeds_no_signal_does_not_keep_its_worker(
    own_application: Application, processes: Processes, engine: Engine
) -> None:
    with (
        processes.notifier(),
        processes.worker(JOBQUEUE_SOFT_SHUTDOWN_SECONDS=SHORT, JOBQUEUE_LEASE_SECONDS="60") as worker,
    ):
        job = taken(own_application, "deaf")
        worker.send_signal(signal.SIGQUIT)
        worker.wait(timeout=20)
        assert row(engine, job.id)["status"] == "queued"


@pytest.mark.parametrize(
    ("away", "says"),
    [(TcpProxy.refuse, "could not be put back ("), (TcpProxy.freeze, "could not be put back in time")],
    ids=["refuses", "never answers"],
)
def test_a_worker_whose_database_is_away_stops_and_its_job_runs_again_after_its_lease(
    own_application: Application,
    processes: Processes,
    database_proxy: TcpProxy,
    behind_proxy: str,
    away: Callable[[TcpProxy], None],
    says: str,
) -> None:
    with processes.notifier():
        with processes.worker(DATABASE_URL=behind_proxy, JOBQUEUE_SOFT_SHUTDOWN_SECONDS=SHORT) as worker:
            job = taken(own_application, "hold,ok")
            away(database_proxy)
            worker.send_signal(signal.SIGQUIT)
            worker.wait(timeout=30)
            said = worker.log_path.read_text()
            assert says in said
            assert "Exception in thread" not in said
        with processes.worker():
            ended = own_application.finished(job)
    assert (ended.status, ended.attempt) == ("completed", 2)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_stops_waits_for_a_slow_database(
    own_application: Application,
    processes: Processes,
    engine: Engine,
    database_proxy: TcpProxy,
    behind_proxy: str,
    pool: str,
) -> None:
    """What it still has to say takes longer than everything else that it does at its end."""
    environment: dict[str, Any] = {"JOBQUEUE_SOFT_SHUTDOWN_SECONDS": SHORT, "JOBQUEUE_LEASE_SECONDS": "60"}
    with processes.notifier(), processes.worker(f"--pool={pool}", DATABASE_URL=behind_proxy, **environment) as worker:
        job = taken(own_application, "hold")
        eventually(lambda: Database(engine).statement(known_workers), what="a worker that speaks")
        database_proxy.on_connection = lambda: time.sleep(0.6)
        worker.send_signal(signal.SIGQUIT)
        worker.wait(timeout=30)
        assert row(engine, job.id)["status"] == "queued"
        assert Database(engine).statement(known_workers) == ()


def test_a_worker_does_not_exit_before_its_jobs_are_put_back(
    own_application: Application, processes: Processes, engine: Engine
) -> None:
    with (
        processes.notifier(),
        processes.worker("--pool=threads", JOBQUEUE_SOFT_SHUTDOWN_SECONDS=SHORT, JOBQUEUE_LEASE_SECONDS="60") as worker,
    ):
        job = taken(own_application, "hold")
        with engine.begin() as holder:
            holder.execute(text("SELECT FROM menu_extraction_jobs WHERE id = :id FOR UPDATE"), {"id": job.id})
            worker.send_signal(signal.SIGQUIT)
            eventually(lambda: waiting_for_locks(engine), what="the job being put back")
            with pytest.raises(TimeoutError):
                worker.wait(timeout=2)
        worker.wait(timeout=20)
        assert row(engine, job.id)["status"] == "queued"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_without_work_ends_in_good_order(processes: Processes, pool: str) -> None:
    with processes.worker(f"--pool={pool}", JOBQUEUE_SOFT_SHUTDOWN_SECONDS=PATIENCE) as worker:
        worker.send_signal(signal.SIGQUIT)
        assert worker.wait(timeout=20) == 0
