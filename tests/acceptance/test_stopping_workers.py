"""Workers that are asked to stop: what they work on is finished or put back, never charged and never lost."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from sqlalchemy import Engine

from jobqueue import ExtractionJob
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.integration.jobs import row
from tests.processes import Processes
from tests.scripted_extractor import held_key

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
        with processes.worker():
            ended = own_application.finished(job)
    # Its lease was a minute long, so it was not the lease's end that freed it.
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert own_application.story(job) == ["queued", "processing", "queued", "processing", "completed"]
