"""``cancel_job``: a queued job ends at once, a running one cannot end in any other way."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import InvalidInputError, InvalidStatusError, JobNotFoundError, JobQueueManager
from jobqueue.database import Database
from jobqueue.store.claim import renew_leases
from jobqueue.store.completion import cancel_attempt
from jobqueue.store.recovery import overdue_jobs
from tests.integration.jobs import (
    claim,
    claimed,
    complete,
    completed,
    count,
    current,
    fail,
    failed,
    queued,
    reap,
    requeue,
    row,
    some_hash,
)
from tests.integration.test_recovery import expire_leases
from tests.scripted_extractor import RESULT


def story(manager: JobQueueManager, job_id: UUID) -> list[str]:
    return [entry.status.value for entry in manager.job_history(job_id)]


def end_as_cancelled(engine: Engine, job_id: UUID, attempt: int) -> bool:
    return Database(engine).run(lambda c: cancel_attempt(c, job_id, attempt))


def test_a_queued_job_ends_at_once_and_is_never_claimed(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    ended = manager.cancel_job(str(job.id), str(user_id))
    assert (ended.status, ended.error_code) == ("failed", "CANCELLED")
    assert ended.error == "The job was cancelled by its user."
    assert ended.completed_at is not None
    assert ended == current(manager, job.id)
    assert claim(engine, job.id) is None
    assert Database(engine).run(lambda c: overdue_jobs(c, -60, 10)) == []
    assert story(manager, job.id) == ["queued", "failed"]
    assert manager.job_history(job.id)[-1].error_code == "CANCELLED"


def test_a_job_between_two_attempts_ends_at_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    requeue(engine, job.id, 1)
    assert manager.cancel_job(job.id, user_id).error_code == "CANCELLED"
    assert story(manager, job.id) == ["queued", "processing", "queued", "failed"]


def test_a_running_job_is_told_through_its_lease(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job, other = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, job.id)
    claimed(engine, other.id)
    asked = manager.cancel_job(job.id, user_id)
    assert (asked.status, asked.error_code, asked.completed_at) == ("processing", None, None)
    assert story(manager, job.id) == ["queued", "processing"]
    renewed = Database(engine).run(lambda c: renew_leases(c, [(job.id, 1), (other.id, 1)], 60))
    assert renewed == {(job.id, 1): True, (other.id, 1): False}


@pytest.mark.parametrize("end", [complete, fail, requeue])
def test_whatever_a_running_attempt_comes_to_the_job_ends_as_cancelled(
    manager: JobQueueManager, engine: Engine, user_id: UUID, end: Any
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    manager.cancel_job(job.id, user_id)
    assert not end(engine, job.id, 1)
    assert current(manager, job.id).status == "processing"
    assert end_as_cancelled(engine, job.id, 1)
    ended = current(manager, job.id)
    assert (ended.status, ended.error_code, ended.result) == ("failed", "CANCELLED", None)
    assert not end_as_cancelled(engine, job.id, 1)


def test_an_attempt_ends_no_job_that_nobody_cancelled(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert not end_as_cancelled(engine, job.id, 1)
    assert current(manager, job.id).status == "processing"


@pytest.mark.parametrize(
    "mark",
    [
        lambda manager, job_id: manager.mark_job_completed(job_id, RESULT, 5),
        lambda manager, job_id: manager.mark_job_failed(job_id, "No menu."),
    ],
    ids=["completed", "failed"],
)
def test_an_application_that_marks_a_cancelled_job_is_refused(
    manager: JobQueueManager, engine: Engine, user_id: UUID, mark: Any
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    manager.cancel_job(job.id, user_id)
    before = row(engine, job.id)
    with pytest.raises(InvalidStatusError, match="being cancelled"):
        mark(manager, job.id)
    assert row(engine, job.id) == before


def test_a_worker_that_is_lost_after_the_request_leaves_a_cancelled_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    manager.cancel_job(job.id, user_id)
    expire_leases(engine)
    (reaped,) = reap(engine)
    assert (reaped.id, reaped.status) == (job.id, "failed")
    assert current(manager, job.id).error_code == "CANCELLED"
    assert claim(engine, job.id) is None


def test_a_job_that_was_set_to_processing_without_a_worker_ends_at_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET status = 'processing' WHERE id = :id"), {"id": job.id})
    ended = manager.cancel_job(job.id, user_id)
    assert (ended.status, ended.error_code) == ("failed", "CANCELLED")


def test_asking_twice_is_asking_once(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    manager.cancel_job(job.id, user_id)
    asked_at = row(engine, job.id)["cancel_requested_at"]
    assert manager.cancel_job(job.id, user_id).status == "processing"
    assert row(engine, job.id)["cancel_requested_at"] == asked_at


@pytest.mark.parametrize("state", [completed, failed])
def test_a_finished_job_is_not_cancelled(manager: JobQueueManager, engine: Engine, user_id: UUID, state: Any) -> None:
    job = state(manager, engine, user_id)
    with pytest.raises(InvalidStatusError) as caught:
        manager.cancel_job(job.id, user_id)
    assert caught.value.details == {"status": job.status.value}
    assert current(manager, job.id) == job


def test_unknown_jobs_and_somebody_elses_are_not_told_apart(
    manager: JobQueueManager, user_id: UUID, other_user_id: UUID
) -> None:
    theirs = queued(manager, other_user_id)
    for job in (uuid4(), theirs.id):
        with pytest.raises(JobNotFoundError):
            manager.cancel_job(job, user_id)
    assert current(manager, theirs.id) == theirs
    with pytest.raises(InvalidInputError):
        manager.cancel_job("x", user_id)
    with pytest.raises(InvalidInputError):
        manager.cancel_job(theirs.id, "x")


def test_a_rollback_takes_the_request_back(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    waiting, running = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, running.id)
    with Session(engine) as session:
        for job in (waiting, running):
            manager.cancel_job(job.id, user_id, session=session)
        session.rollback()
    assert current(manager, waiting.id) == waiting
    assert complete(engine, running.id, 1)
    assert count(engine, "menu_extraction_job_events") == 4


def test_a_cancelled_picture_can_be_submitted_again(manager: JobQueueManager, user_id: UUID) -> None:
    picture = some_hash()
    job = queued(manager, user_id, image_hash=picture)
    manager.cancel_job(job.id, user_id)
    assert queued(manager, user_id, image_hash=picture).id != job.id
