"""Cancelling with a real worker and a real notifier: whenever the request comes, the job ends as cancelled, once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from jobqueue import ExtractionJob, InvalidStatusError
from jobqueue.store.cancellation import CANCELLED_MESSAGE
from tests.acceptance.conftest import Application
from tests.eventually import eventually
from tests.processes import LEASE_SECONDS, Processes
from tests.scripted_extractor import held_key, release_key


def running_job(application: Application, script: str) -> tuple[ExtractionJob, int]:
    """A job in the middle of its extraction, and the process that runs it."""
    job = application.submit(script)
    eventually(lambda: application.redis.llen(held_key(job.image_url)), what="the extraction")
    return job, int(application.redis.lrange(held_key(job.image_url), 0, 0)[0])


def assert_cancelled(application: Application, job: ExtractionJob, *story: str) -> None:
    ended = application.finished(job)
    assert (ended.status, ended.error_code, ended.error) == ("failed", "CANCELLED", CANCELLED_MESSAGE)
    assert ended.result is None
    assert application.story(job) == [*story, "failed"]


def assert_the_worker_goes_on(application: Application) -> None:
    assert application.finished(application.submit("ok")).status == "completed"


def test_a_queued_job_is_never_extracted(own_application: Application, processes: Processes) -> None:
    with processes.notifier():
        job, other = own_application.submit("ok"), own_application.submit("ok")
        eventually(lambda: own_application.redis.llen("menu_extraction") == 2, what="both messages")
        own_application.manager.cancel_job(job.id, own_application.user_id)
        assert_cancelled(own_application, job, "queued")
        with processes.worker(concurrency=1):
            assert own_application.finished(other).status == "completed"
            eventually(lambda: own_application.redis.llen("menu_extraction") == 0, what="the message being dropped")
    assert own_application.executions(job) == 0
    assert_cancelled(own_application, job, "queued")


def test_a_running_job_stops_when_its_worker_notices(application: Application) -> None:
    job, _pid = running_job(application, "report")
    asked = time.monotonic()
    assert application.manager.cancel_job(job.id, application.user_id).status == "processing"
    assert_cancelled(application, job, "queued", "processing")
    assert time.monotonic() - asked < 4 * LEASE_SECONDS
    assert application.executions(job) == 1
    assert_the_worker_goes_on(application)


def test_a_request_just_before_the_completion_decides(application: Application) -> None:
    job, _pid = running_job(application, "hold")
    application.manager.cancel_job(job.id, application.user_id)
    application.redis.rpush(release_key(job.image_url), "go")
    assert_cancelled(application, job, "queued", "processing")
    assert application.executions(job) == 1
    assert_the_worker_goes_on(application)


def test_a_request_just_after_the_completion_is_refused(application: Application) -> None:
    job = application.submit("ok")
    ended = application.finished(job)
    with pytest.raises(InvalidStatusError):
        application.manager.cancel_job(job.id, application.user_id)
    assert application.manager.get_job_status(job.id) == ended


def test_a_worker_lost_after_the_request_leaves_no_second_attempt(application: Application) -> None:
    job, pid = running_job(application, "hold,ok")
    application.manager.cancel_job(job.id, application.user_id)
    os.kill(pid, signal.SIGKILL)
    assert_cancelled(application, job, "queued", "processing")
    assert application.executions(job) == 1
    assert_the_worker_goes_on(application)


def test_a_job_that_lost_one_worker_is_cancelled_wherever_it_is(application: Application) -> None:
    job, pid = running_job(application, "hold,hold,ok")
    os.kill(pid, signal.SIGKILL)
    # Queued again or in its second attempt already: the request decides in both.
    eventually(lambda: len(application.story(job)) >= 3, what="the lost attempt being noticed")
    application.manager.cancel_job(job.id, application.user_id)
    application.redis.rpush(release_key(job.image_url), "go")
    ended = application.finished(job)
    assert ended.error_code == "CANCELLED"
    assert application.story(job)[-1] == "failed"
    assert application.executions(job) <= 2
