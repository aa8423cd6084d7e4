"""``retry_job``: a new job from a failed one, once for each, three times in a line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import (
    ExtractionJob,
    InvalidInputError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueManager,
    MaxRetriesExceededError,
)
from jobqueue.store.claim import ClaimedJob
from tests.eventually import eventually
from tests.integration.jobs import (
    URL,
    claimed,
    complete,
    completed,
    count,
    current,
    fail,
    failed,
    queued,
    requeue,
    row,
    some_hash,
    waiting_for_locks,
)


def fail_again(engine: Engine, job: ExtractionJob) -> ClaimedJob:
    attempt = claimed(engine, job.id)
    assert fail(engine, job.id, attempt.attempt)
    return attempt


def test_the_new_job_is_a_fresh_one_that_names_the_old(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    old = failed(manager, engine, user_id, schema_version="stage2", prompt_version="v7")
    new = manager.retry_job(str(old.id), str(user_id))
    assert new.id != old.id
    assert (new.retry_of, new.retry_count, new.status) == (old.id, 1, "queued")
    assert (new.attempt, new.result, new.error, new.error_code, new.completed_at) == (0, None, None, None, None)
    for column in ("user_id", "image_url", "image_hash", "schema_version", "prompt_version"):
        assert getattr(new, column) == getattr(old, column)
    assert current(manager, old.id) == old
    assert current(manager, new.id) == new
    assert [entry.status for entry in manager.job_history(new.id)] == ["queued"]


def test_three_retries_in_a_line_and_no_fourth(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = failed(manager, engine, user_id)
    for number in (1, 2, 3):
        job = manager.retry_job(job.id, user_id)
        assert job.retry_count == number
        assert fail_again(engine, job).attempt == 1
    with pytest.raises(MaxRetriesExceededError):
        manager.retry_job(job.id, user_id)
    assert count(engine) == 4


def test_automatic_attempts_are_no_retries(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    for attempt in (1, 2, 3):
        claimed(engine, job.id)
        assert requeue(engine, job.id, attempt)
    fail_again(engine, job)
    ended = current(manager, job.id)
    assert (ended.attempt, ended.retry_count) == (4, 0)
    assert manager.retry_job(job.id, user_id).retry_count == 1


def test_what_increment_retry_added_counts(manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    manager.mark_job_failed(job.id, "Busy.", increment_retry=True)
    assert manager.retry_job(job.id, user_id).retry_count == 2


@pytest.mark.parametrize("state", ["queued", "processing", "completed"])
def test_only_a_failed_job_is_retried(manager: JobQueueManager, engine: Engine, user_id: UUID, state: str) -> None:
    job = queued(manager, user_id)
    if state != "queued":
        claimed(engine, job.id)
    if state == "completed":
        complete(engine, job.id, 1)
    with pytest.raises(InvalidStatusError) as caught:
        manager.retry_job(job.id, user_id)
    assert state in caught.value.message
    assert count(engine) == 1


def test_a_cancelled_job_can_be_retried(manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    manager.cancel_job(job.id, user_id)
    assert manager.retry_job(job.id, user_id).retry_of == job.id


def test_unknown_jobs_and_somebody_elses_are_not_told_apart(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    theirs = failed(manager, engine, other_user_id)
    for job, user in ((uuid4(), user_id), (theirs.id, user_id), (theirs.id, uuid4())):
        with pytest.raises(JobNotFoundError):
            manager.retry_job(job, user)
    assert count(engine) == 1


@pytest.mark.parametrize(("job", "user"), [("x", None), (None, None), ("1" * 5000, None), (uuid4(), "me")])
def test_malformed_ids_are_refused(manager: JobQueueManager, user_id: UUID, job: Any, user: Any) -> None:
    with pytest.raises(InvalidInputError):
        manager.retry_job(job, user or user_id)


@pytest.mark.parametrize("state", ["queued", "processing", "completed"])
def test_a_second_call_returns_the_first_ones_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID, state: str
) -> None:
    old = failed(manager, engine, user_id)
    new = manager.retry_job(old.id, user_id)
    if state != "queued":
        claimed(engine, new.id)
    if state == "completed":
        complete(engine, new.id, 1)
    again = manager.retry_job(old.id, user_id)
    assert (again.id, again.status) == (new.id, state)
    assert count(engine) == 2


def test_once_the_retry_failed_it_is_the_one_to_retry(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    old = failed(manager, engine, user_id)
    new = manager.retry_job(old.id, user_id)
    fail_again(engine, new)
    with pytest.raises(InvalidStatusError) as caught:
        manager.retry_job(old.id, user_id)
    assert caught.value.details == {"retried_as": str(new.id)}
    assert manager.retry_job(new.id, user_id).retry_count == 2


def test_a_retry_waits_for_one_that_has_not_committed(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    old = failed(manager, engine, user_id)
    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        first = manager.retry_job(old.id, user_id, session=session)
        second = other.submit(manager.retry_job, old.id, user_id)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second call waiting")
        session.commit()
        assert second.result(timeout=10).id == first.id
    assert count(engine) == 2


@pytest.mark.parametrize("state", ["queued", "completed"])
def test_a_job_whose_picture_was_submitted_again_is_not_retried(
    manager: JobQueueManager, engine: Engine, user_id: UUID, state: str
) -> None:
    picture = some_hash()
    old = failed(manager, engine, user_id, image_hash=picture)
    newer = queued(manager, user_id, image_hash=picture)
    if state == "completed":
        complete(engine, newer.id, claimed(engine, newer.id).attempt)
    with pytest.raises(InvalidStatusError) as caught:
        manager.retry_job(old.id, user_id)
    assert caught.value.details == {"existing_job_id": str(newer.id)}
    assert count(engine) == 2


def test_an_older_result_does_not_keep_a_forced_job_from_being_retried(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    picture = some_hash()
    completed(manager, engine, user_id, image_hash=picture)
    forced = failed(manager, engine, user_id, image_hash=picture, force=True)
    assert manager.retry_job(forced.id, user_id).retry_of == forced.id


def test_while_an_older_job_of_the_picture_is_under_way_no_second_one_begins(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    picture = some_hash()
    older = queued(manager, user_id, image_hash=picture)
    forced = failed(manager, engine, user_id, image_hash=picture, force=True)
    with pytest.raises(InvalidStatusError) as caught:
        manager.retry_job(forced.id, user_id)
    assert caught.value.details == {"existing_job_id": str(older.id)}


def test_a_submission_is_answered_with_the_retry(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    old = failed(manager, engine, user_id)
    new = manager.retry_job(old.id, user_id)
    assert manager.submit_job(user_id, URL, old.image_hash).job.id == new.id


def test_without_a_hash_in_the_row_a_retry_works_too(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    with engine.begin() as connection:
        job: UUID = connection.execute(
            text(
                "INSERT INTO menu_extraction_jobs (user_id, image_url, status) "
                "VALUES (:user, :url, 'failed') RETURNING id"
            ),
            {"user": user_id, "url": URL},
        ).scalar_one()
    new = manager.retry_job(job, user_id)
    assert (new.image_hash, new.retry_of) == (None, job)


def test_the_database_itself_refuses_a_second_retry_of_one_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    from sqlalchemy.exc import IntegrityError

    old = failed(manager, engine, user_id)
    manager.retry_job(old.id, user_id)
    with pytest.raises(IntegrityError, match="idx_menu_extraction_jobs_retry_of"), engine.begin() as connection:
        connection.execute(
            text("INSERT INTO menu_extraction_jobs (user_id, image_url, retry_of) VALUES (:user, :url, :old)"),
            {"user": user_id, "url": URL, "old": old.id},
        )


def test_a_retry_outlives_the_job_it_came_from(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    old = failed(manager, engine, user_id)
    new = manager.retry_job(old.id, user_id)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM menu_extraction_jobs WHERE id = :id"), {"id": old.id})
    assert (row(engine, new.id)["retry_of"], current(manager, new.id).retry_count) == (None, 1)
