"""Reading jobs: status, pages, history, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from jobqueue import InvalidInputError, JobQueueManager, JobStatus, Settings
from jobqueue.database import create_database_engine
from tests.integration.jobs import claimed, complete, completed, current, failed, queued, requeue


def test_an_unknown_job_is_none(manager: JobQueueManager, user_id: UUID) -> None:
    assert manager.get_job_status(uuid4()) is None
    assert manager.get_job_status(uuid4(), user_id) is None
    assert manager.job_history(uuid4()) == []


def test_somebody_elses_job_is_invisible(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    job = completed(manager, engine, user_id)
    assert manager.get_job_status(job.id, other_user_id) is None
    assert manager.job_history(job.id, other_user_id) == []
    assert manager.list_user_jobs(other_user_id) == []
    assert manager.list_user_jobs(other_user_id, before=job) == []
    assert manager.get_job_status(str(job.id), str(user_id)) == job
    assert len(manager.job_history(job.id, user_id)) == 3


@pytest.mark.parametrize("call", ["get_job_status", "job_history", "list_user_jobs"])
def test_a_malformed_id_is_refused(manager: JobQueueManager, call: str) -> None:
    with pytest.raises(InvalidInputError):
        getattr(manager, call)("not-a-uuid")


def test_jobs_are_listed_newest_first(manager: JobQueueManager, user_id: UUID) -> None:
    jobs = [queued(manager, user_id) for _ in range(5)]
    assert manager.list_user_jobs(user_id) == jobs[::-1]
    assert manager.list_user_jobs(user_id, limit=2) == [jobs[4], jobs[3]]


def test_twenty_are_a_page_unless_told_otherwise(manager: JobQueueManager, user_id: UUID) -> None:
    for _ in range(21):
        queued(manager, user_id)
    assert len(manager.list_user_jobs(user_id)) == 20


@pytest.mark.parametrize("by", ["job", "id", "text"])
def test_pages_follow_each_other_without_gap_or_repeat_even_at_the_same_moment(
    manager: JobQueueManager, engine: Engine, user_id: UUID, by: str
) -> None:
    jobs = {queued(manager, user_id).id for _ in range(7)}
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET created_at = '2026-01-01Z'"))
    seen: list[UUID] = []
    before: Any = None
    while page := manager.list_user_jobs(user_id, limit=3, before=before):
        seen += [job.id for job in page]
        last = page[-1]
        before = {"job": last, "id": last.id, "text": str(last.id)}[by]
    assert len(seen) == 7
    assert set(seen) == jobs


def test_new_jobs_do_not_shift_a_page(manager: JobQueueManager, user_id: UUID) -> None:
    jobs = [queued(manager, user_id) for _ in range(4)]
    first = manager.list_user_jobs(user_id, limit=2)
    queued(manager, user_id)
    assert manager.list_user_jobs(user_id, limit=2, before=first[-1]) == [jobs[1], jobs[0]]


def test_a_moment_is_a_position_too(manager: JobQueueManager, user_id: UUID) -> None:
    first, second = queued(manager, user_id), queued(manager, user_id)
    assert manager.list_user_jobs(user_id, before=second.created_at) == [first]
    assert manager.list_user_jobs(user_id, before=datetime.now(UTC) + timedelta(minutes=1)) == [second, first]
    assert manager.list_user_jobs(user_id, before=datetime(2000, 1, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize("before", [datetime(2026, 1, 1), "yesterday", 5, "0" * 31])  # noqa: DTZ001 - that is the point
def test_a_malformed_position_is_refused(manager: JobQueueManager, user_id: UUID, before: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        manager.list_user_jobs(user_id, before=before)
    assert caught.value.details["argument"] == "before"


def test_a_list_may_be_of_one_status(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    waiting, done, ended = (
        queued(manager, user_id),
        completed(manager, engine, user_id),
        failed(manager, engine, user_id),
    )
    running = queued(manager, user_id)
    claimed(engine, running.id)
    for status, job in (
        (JobStatus.QUEUED, waiting),
        ("processing", running),
        ("completed", done),
        (JobStatus.FAILED, ended),
    ):
        assert [one.id for one in manager.list_user_jobs(user_id, status=status)] == [job.id]


def test_the_history_tells_every_change_with_attempt_time_and_error(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id, worker="first")
    requeue(engine, job.id, 1)
    claimed(engine, job.id, worker="second")
    complete(engine, job.id, 2)
    history = manager.job_history(job.id)
    assert [(one.seq, one.status.value, one.attempt, one.worker, one.error_code, one.error) for one in history] == [
        (1, "queued", 0, None, None, None),
        (2, "processing", 1, "first", None, None),
        (3, "queued", 1, "first", "BUSY", "Busy."),
        (4, "processing", 2, "second", None, None),
        (5, "completed", 2, "second", None, None),
    ]
    assert [one.at for one in history] == sorted(one.at for one in history)
    assert {one.job_id for one in history} == {job.id}


def test_times_are_utc_whatever_the_database_thinks_of(
    manager: JobQueueManager, engine: Engine, user_id: UUID, database_url: str, settings: Settings
) -> None:
    job = completed(manager, engine, user_id)
    elsewhere = create_database_engine(
        make_url(database_url).update_query_dict({"options": "-ctimezone=Asia/Tokyo"}).render_as_string(False)
    )
    read = current(JobQueueManager(elsewhere, settings=settings), job.id)
    history = JobQueueManager(elsewhere, settings=settings).job_history(job.id)
    elsewhere.dispose()
    assert read == job
    times = [read.created_at, read.started_at, read.completed_at, *(one.at for one in history)]
    assert [moment.utcoffset() for moment in times if moment is not None] == [timedelta(0)] * 6


def test_a_job_does_not_print_what_was_on_the_picture(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = completed(manager, engine, user_id)
    assert job.result is not None
    assert "Miso" in str(job.result)
    assert "Miso" not in repr(job)
