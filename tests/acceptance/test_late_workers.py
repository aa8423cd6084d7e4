"""Workers that come back too late: stopped, or cut off from Postgres, for longer than their lease."""

from __future__ import annotations

import os
import signal
import time

from sqlalchemy import Engine

from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.integration.jobs import row
from tests.processes import Processes
from tests.scripted_extractor import held_key, release_key
from tests.tcp_proxy import TcpProxy

TWICE = ["queued", "processing", "queued", "processing", "completed"]


def test_a_worker_that_was_stopped_beyond_its_lease_is_refused(
    own_application: Application, processes: Processes, engine: Engine
) -> None:
    with processes.notifier(), processes.worker() as worker:
        job = own_application.submit("hold,ok")
        held = own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        assert held is not None
        pid = int(held[1])
        os.kill(pid, signal.SIGSTOP)
        ended = own_application.finished(job)
        os.kill(pid, signal.SIGCONT)
        own_application.redis.rpush(release_key(job.image_url), "go on")
        eventually(lambda: "attempt 1 is refused" in worker.log_path.read_text(), what="the refusal")
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert own_application.story(job) == TWICE
    # The stopped attempt's answer has no token usage.
    assert row(engine, job.id)["token_usage"] is not None


def test_a_worker_whose_postgres_was_away_for_longer_than_its_lease_is_refused(
    own_application: Application, processes: Processes, database_proxy: TcpProxy, behind_proxy: str, engine: Engine
) -> None:
    with processes.notifier(), processes.worker(DATABASE_URL=behind_proxy) as worker:
        job = own_application.submit("hold,ok")
        own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        database_proxy.refuse()
        eventually(lambda: row(engine, job.id)["status"] == "queued", what="the end of the lease")
        own_application.redis.rpush(release_key(job.image_url), "go on")
        eventually(lambda: "Waiting for the database" in worker.log_path.read_text(), what="a patient worker")
        database_proxy.allow()
        ended = own_application.finished(job)
        eventually(lambda: "attempt 1 is refused" in worker.log_path.read_text(), what="the refusal")
        log = worker.log_path.read_text()
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert own_application.story(job) == TWICE
    assert log.count("does not hear that this worker lives") <= 1


def test_a_job_of_a_dead_worker_runs_again_within_15_seconds(
    own_application: Application, processes: Processes
) -> None:
    with processes.notifier(JOBQUEUE_LEASE_SECONDS="10"), processes.worker(JOBQUEUE_LEASE_SECONDS="10") as dying:
        job = own_application.submit("hold,ok")
        own_application.redis.blpop([held_key(job.image_url)], timeout=30)
        with processes.worker(JOBQUEUE_LEASE_SECONDS="10"):
            dying.kill()
            killed = time.monotonic()
            assert own_application.finished(job).attempt == 2
            assert time.monotonic() - killed < 15


def test_an_interpreter_that_is_held_for_longer_than_the_lease_loses_the_job(
    own_application: Application, processes: Processes
) -> None:
    with processes.notifier(), processes.worker() as worker:
        job = own_application.submit("selfish,ok")
        ended = own_application.finished(job)
        eventually(lambda: "attempt 1 is refused" in worker.log_path.read_text(), what="the refusal")
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert own_application.story(job) == TWICE
