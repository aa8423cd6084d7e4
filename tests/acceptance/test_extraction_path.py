"""From submission to result with a real worker and a real notifier, for everything an extraction may come to."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from jobqueue import ExtractionJob
from jobqueue.retry_policy import MAX_ATTEMPTS
from tests.acceptance.conftest import Application, Running
from tests.scripted_extractor import RESULT


def test_a_picture_becomes_a_stored_menu(application: Application) -> None:
    job = application.submit("ok")
    assert (job.status, job.attempt, job.result) == ("queued", 0, None)
    ended = application.finished(job)
    assert ended.status == "completed"
    assert ended.result == RESULT
    assert ended.confidence == 0.9
    assert ended.uncertain_items == RESULT["uncertainItems"]
    assert ended.superfluous_text == RESULT["superfluousText"]
    assert ended.token_usage == {"inputTokens": 12, "outputTokens": 34, "estimatedCost": 0.01}
    assert ended.processing_time is not None
    assert 0 <= ended.processing_time < 20_000
    assert (ended.error, ended.error_code, ended.attempt, ended.retry_count) == (None, None, 1, 0)
    assert ended.started_at is not None
    assert ended.completed_at is not None
    assert job.created_at <= ended.started_at <= ended.completed_at
    assert application.story(job) == ["queued", "processing", "completed"]
    assert application.executions(job) == 1
    assert application.images.requests(job.image_url) == 1


@pytest.mark.parametrize("path", ["/menu.jpg", "/menu.webp"])
def test_jpeg_and_webp_are_read_too(application: Application, path: str) -> None:
    assert application.finished(application.submit("ok", path=path)).status == "completed"


def test_a_transient_error_is_retried(application: Application) -> None:
    job = application.submit("transient,ok")
    ended = application.finished(job)
    assert (ended.status, ended.attempt, ended.error) == ("completed", 2, None)
    assert application.story(job) == ["queued", "processing", "queued", "processing", "completed"]
    waiting = application.manager.job_history(job.id)[2]
    assert (waiting.error_code, waiting.error) == ("PROVIDER_OVERLOADED", "The provider is overloaded.")


def test_a_job_fails_after_exactly_four_executions(application: Application) -> None:
    job = application.submit("transient")
    ended = application.finished(job)
    assert (ended.status, ended.attempt, ended.error_code) == ("failed", 4, "PROVIDER_OVERLOADED")
    assert ended.error is not None
    assert ended.error.startswith("The provider is overloaded.")
    assert application.executions(job) == MAX_ATTEMPTS == 4
    assert application.story(job) == ["queued", "processing"] * 4 + ["failed"]


def test_a_permanent_error_fails_at_once(application: Application) -> None:
    job = application.submit("permanent,ok")
    ended = application.finished(job)
    assert (ended.status, ended.error_code) == ("failed", "NO_MENU_FOUND")
    assert ended.error == "There is no menu on this picture."
    assert application.executions(job) == 1


def test_a_killed_worker_child_costs_one_attempt(application: Application) -> None:
    job = application.submit("kill,ok")
    ended = application.finished(job)
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert application.executions(job) == 2
    assert application.manager.job_history(job.id)[2].error_code == "WORKER_LOST"


def test_a_picture_that_always_kills_its_worker_does_not_circle(application: Application) -> None:
    job = application.submit("kill")
    ended = application.finished(job)
    assert (ended.status, ended.error_code, ended.attempt) == ("failed", "WORKER_LOST", 4)
    assert application.executions(job) == 4
    assert application.finished(application.submit("ok")).status == "completed"


@pytest.mark.parametrize(
    ("script", "code", "executions"),
    [("malformed", "INVALID_RESULT", 1), ("unexpected", "EXTRACTION_FAILED", 1), ("memory", "OUT_OF_MEMORY", 4)],
)
def test_what_an_extractor_does_wrong_ends_the_job_with_words(
    application: Application, script: str, code: str, executions: int
) -> None:
    job = application.submit(script)
    ended = application.finished(job)
    assert (ended.status, ended.error_code, ended.result) == ("failed", code, None)
    assert application.executions(job) == executions
    assert ended.error
    assert "Traceback" not in ended.error


def test_no_secret_of_an_unexpected_error_reaches_the_row_or_its_history(application: Application) -> None:
    job = application.submit("unexpected")
    ended = application.finished(job)
    assert "secret-token" not in f"{ended}{application.manager.job_history(job.id)}"


def test_another_picture_than_the_submitted_one_is_refused(application: Application) -> None:
    job = application.submit("ok", image_hash="0" * 64)
    ended = application.finished(job)
    assert (ended.status, ended.error_code) == ("failed", "IMAGE_CHANGED")
    assert application.executions(job) == 0


@pytest.mark.parametrize("path", ["/missing.png", "/menu.pdf"])
def test_a_picture_that_is_none_is_rejected_without_an_extraction(application: Application, path: str) -> None:
    job = application.submit("ok", path=path, image_hash="0" * 64)
    ended = application.finished(job)
    assert (ended.status, ended.error_code) == ("failed", "IMAGE_REJECTED")
    assert ended.error
    assert application.executions(job) == 0


def test_the_same_picture_again_is_answered_from_the_record(application: Application) -> None:
    first = application.submit("ok")
    application.finished(first)
    again = application.manager.submit_job(application.user_id, first.image_url, first.image_hash)
    assert (again.cached, again.job.id, again.job.result) == (True, first.id, RESULT)
    assert application.executions(first) == 1


def test_without_a_hash_the_picture_is_fetched_and_hashed_first(application: Application, running: Running) -> None:
    from jobqueue import JobQueueManager
    from jobqueue.settings import load_settings

    settings = load_settings(
        database_url=running.settings.required_database_url,
        redis_url=running.settings.required_redis_url,
        private_image_hosts=frozenset({"127.0.0.1"}),
    )
    manager = JobQueueManager(running.engine, settings=settings)
    url = application.images.url(script="ok")
    job = manager.submit_job(application.user_id, url).job
    assert job.image_hash == application.images.sha256()
    assert manager.wait_for_job(job.id, application.user_id, timeout=30).status == "completed"
    manager.close()


def test_on_update_sees_the_first_state_and_the_last(application: Application) -> None:
    seen: list[ExtractionJob] = []
    job = application.submit("transient,ok")
    application.manager.wait_for_job(job.id, application.user_id, timeout=30, on_update=seen.append)
    assert seen[0].status in ("queued", "processing")
    assert seen[-1].status == "completed"
    states = [(one.status, one.attempt) for one in seen]
    assert len(set(states)) == len(states)


def test_many_jobs_at_once_all_end(application: Application) -> None:
    jobs = [application.submit(("ok", "transient,ok", "permanent")[number % 3]) for number in range(30)]
    statuses = [application.finished(job).status.value for job in jobs]
    assert statuses == ["completed", "completed", "failed"] * 10
    assert [application.executions(job) for job in jobs] == [1, 2, 1] * 10


def test_what_operators_see_of_a_failed_task_holds_nothing_private(application: Application, running: Running) -> None:
    job = application.submit("unexpected")
    application.finished(job)
    printed = "".join(log.read_text() for log in running.logs.glob("*celery*.log"))
    assert str(job.id) in printed
    assert str(application.user_id) not in printed
    assert json.dumps(RESULT)[:40] not in printed
    assert UUID(str(job.id))
