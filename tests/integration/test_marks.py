"""``mark_job_completed`` and ``mark_job_failed``: for applications that run extractions outside Celery."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jobqueue import (
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    JobQueueManager,
)
from jobqueue.database import Database
from jobqueue.store.completion import cancel_attempt, fail_attempt, requeue_attempt
from tests.integration.jobs import (
    URL,
    claim,
    claimed,
    complete,
    completed,
    count,
    current,
    failed,
    queued,
    requeue,
    row,
    some_hash,
)
from tests.scripted_extractor import RESULT

USAGE = {"inputTokens": 12, "outputTokens": 34, "estimatedCost": 0.01}
ABSENT: dict[str, Any] = {}


def test_everything_given_is_stored(manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    uncertain, superfluous = [{"text": "a"}], [{"text": "b"}]
    done = manager.mark_job_completed(str(job.id), RESULT, 1234, USAGE, 0.5, uncertain, superfluous)
    assert (done.status, done.result, done.processing_time, done.token_usage) == ("completed", RESULT, 1234, USAGE)
    assert (done.confidence, done.uncertain_items, done.superfluous_text) == (0.5, uncertain, superfluous)
    assert (done.error, done.error_code, done.attempt, done.retry_count) == (None, None, 0, 0)
    assert done.started_at is not None
    assert done.completed_at is not None
    assert current(manager, job.id) == done
    assert [entry.status for entry in manager.job_history(job.id)] == ["queued", "completed"]


def test_the_results_own_lists_fill_the_columns(manager: JobQueueManager, user_id: UUID) -> None:
    done = manager.mark_job_completed(queued(manager, user_id).id, RESULT, 0)
    assert (done.uncertain_items, done.superfluous_text) == (RESULT["uncertainItems"], RESULT["superfluousText"])
    assert (done.confidence, done.token_usage) == (None, None)


def test_whoever_counted_nothing_leaves_what_earlier_attempts_cost(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    spent: dict[str, Any] = {"code": "BUSY", "message": "Busy.", "delay_seconds": 0}
    claimed(engine, job.id)
    assert Database(engine).run(lambda c: requeue_attempt(c, job.id, 1, **spent, token_usage=USAGE))
    claimed(engine, job.id)
    assert Database(engine).run(lambda c: requeue_attempt(c, job.id, 2, **spent))
    assert manager.mark_job_completed(job.id, RESULT, 0).token_usage == USAGE


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_end_without_a_count_leaves_it_too(
    manager: JobQueueManager, engine: Engine, user_id: UUID, cancelled: bool
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    busy: dict[str, Any] = {"code": "BUSY", "message": "Busy.", "delay_seconds": 0, "token_usage": USAGE}
    assert Database(engine).run(lambda c: requeue_attempt(c, job.id, 1, **busy))
    claimed(engine, job.id)
    if cancelled:
        manager.cancel_job(job.id, user_id)
        assert Database(engine).run(lambda c: cancel_attempt(c, job.id, 2))
    else:
        gone: dict[str, Any] = {"code": "NO_MENU_FOUND", "message": "No menu.", "processing_time": 3}
        assert Database(engine).run(lambda c: fail_attempt(c, job.id, 2, **gone))
    ended = current(manager, job.id)
    assert (ended.status, ended.token_usage) == ("failed", USAGE)


def test_a_marked_job_answers_the_next_submission(manager: JobQueueManager, user_id: UUID) -> None:
    picture = some_hash()
    done = manager.mark_job_completed(queued(manager, user_id, image_hash=picture).id, RESULT, 1)
    again = manager.submit_job(user_id, URL, picture)
    assert (again.job, again.cached) == (done, True)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    result = deepcopy(RESULT)
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return result


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        "menu",
        {},
        {"dishes": []},
        {"menu": {}},
        changed(["currency"], "ZZZ"),
        changed(["menu", "categories", 0, "items", 0, "price"], -1),
        changed(["menu", "categories", 0, "items", 0, "name"], ""),
        changed(["menu", "categories", 0, "confidence"], 1.5),
        changed(["menu", "categories", 0, "name"], "a\x00"),
        changed(["other"], float("nan")),
        changed(["other"], object()),
    ],
    ids=lambda result: str(result)[:40],
)
def test_a_malformed_result_changes_nothing(
    manager: JobQueueManager, engine: Engine, user_id: UUID, result: Any
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    before = row(engine, job.id)
    with pytest.raises(InvalidResultError) as caught:
        manager.mark_job_completed(job.id, result, 5)
    assert caught.value.code == "INVALID_RESULT"
    assert caught.value.details["problems"]
    assert row(engine, job.id) == before
    assert len(manager.job_history(job.id)) == 2
    assert complete(engine, job.id, 1)


def test_the_jobs_own_schema_version_decides(manager: JobQueueManager, user_id: UUID) -> None:
    bad_in_stage2 = changed(["menu", "categories", 0, "items", 0, "variants"], [{"price": "free"}])
    one, two = queued(manager, user_id), queued(manager, user_id, schema_version="stage2")
    with pytest.raises(InvalidResultError, match="stage2"):
        manager.mark_job_completed(two.id, bad_in_stage2, 5)
    assert manager.mark_job_completed(two.id, RESULT, 5).status == "completed"
    assert manager.mark_job_completed(one.id, RESULT, 5).status == "completed"


@pytest.mark.parametrize(
    "odd",
    [
        {"processing_time": -1},
        {"processing_time": 1.5},
        {"processing_time": "5"},
        {"processing_time": True},
        {"processing_time": 2**31},
        {"confidence": 1.01},
        {"confidence": -0.1},
        {"confidence": float("nan")},
        {"confidence": "high"},
        {"confidence": True},
        {"token_usage": []},
        {"token_usage": {"inputTokens": float("inf")}},
        {"token_usage": {"note": "\x00"}},
        {"uncertain_items": [{1, 2}]},
        {"uncertain_items": "crab"},
        {"superfluous_text": {"text": "a"}},
        {"superfluous_text": [{"text": "\x00"}]},
        {"job_id": "x"},
        {"job_id": None},
    ],
    ids=str,
)
def test_malformed_arguments_are_one_typed_error_and_change_nothing(
    manager: JobQueueManager, engine: Engine, user_id: UUID, odd: dict[str, Any]
) -> None:
    job = queued(manager, user_id)
    before = row(engine, job.id)
    with pytest.raises((InvalidInputError, InvalidResultError)) as caught:
        manager.mark_job_completed(**{"job_id": job.id, "result": RESULT, "processing_time": 5, **odd})
    assert "\n" not in caught.value.message
    assert row(engine, job.id) == before


def test_a_failure_is_stored_with_its_words(manager: JobQueueManager, user_id: UUID) -> None:
    job = queued(manager, user_id)
    ended = manager.mark_job_failed(job.id, "The provider is out of credit.")
    assert (ended.status, ended.error, ended.error_code) == (
        "failed",
        "The provider is out of credit.",
        "EXTRACTION_FAILED",
    )
    assert (ended.retry_count, ended.result) == (0, None)
    assert ended.completed_at is not None
    last = manager.job_history(job.id)[-1]
    assert (last.status, last.error, last.error_code) == ("failed", ended.error, "EXTRACTION_FAILED")


def test_increment_retry_adds_one(manager: JobQueueManager, user_id: UUID) -> None:
    assert manager.mark_job_failed(queued(manager, user_id).id, "Busy.", increment_retry=True).retry_count == 1


def test_a_long_message_is_cut(manager: JobQueueManager, user_id: UUID) -> None:
    error = manager.mark_job_failed(queued(manager, user_id).id, "x" * 10_000_000).error
    assert error == "x" * 2000


@pytest.mark.parametrize("message", ["", "  ", None, 5, "a\x00b"])
def test_a_failure_needs_words(manager: JobQueueManager, engine: Engine, user_id: UUID, message: Any) -> None:
    job = queued(manager, user_id)
    with pytest.raises(InvalidInputError) as caught:
        manager.mark_job_failed(job.id, message)
    assert caught.value.details == {"argument": "error_message"}
    assert row(engine, job.id)["status"] == "queued"


Mark = Callable[[JobQueueManager, UUID], Any]
MARKS: list[Mark] = [
    lambda manager, job: manager.mark_job_completed(job, RESULT, 5),
    lambda manager, job: manager.mark_job_failed(job, "No menu.", increment_retry=True),
]


@pytest.mark.parametrize("mark", MARKS, ids=["completed", "failed"])
@pytest.mark.parametrize("state", [completed, failed])
def test_a_finished_job_is_not_changed(
    manager: JobQueueManager, engine: Engine, user_id: UUID, mark: Mark, state: Any
) -> None:
    job = state(manager, engine, user_id)
    before = row(engine, job.id)
    with pytest.raises(InvalidStatusError) as caught:
        mark(manager, job.id)
    assert caught.value.details == {"status": job.status.value}
    assert row(engine, job.id) == before


@pytest.mark.parametrize("mark", MARKS, ids=["completed", "failed"])
def test_an_unknown_job_is_not_found(manager: JobQueueManager, mark: Mark) -> None:
    with pytest.raises(JobNotFoundError):
        mark(manager, uuid4())


@pytest.mark.parametrize("mark", MARKS, ids=["completed", "failed"])
def test_a_workers_late_write_is_refused_after_the_mark(
    manager: JobQueueManager, engine: Engine, user_id: UUID, mark: Mark
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    ended = mark(manager, job.id)
    assert not complete(engine, job.id, 1)
    assert not requeue(engine, job.id, 1)
    assert claim(engine, job.id) is None
    assert current(manager, job.id) == ended


@pytest.mark.parametrize("mark", MARKS, ids=["completed", "failed"])
def test_a_rollback_of_the_caller_takes_the_mark_back(
    manager: JobQueueManager, engine: Engine, user_id: UUID, mark: Mark
) -> None:
    job = queued(manager, user_id)
    with Session(engine) as session:
        with pytest.raises(JobQueueError):
            manager.mark_job_completed(job.id, {}, 5, session=session)
        if mark is MARKS[0]:
            manager.mark_job_completed(job.id, RESULT, 5, session=session)
        else:
            manager.mark_job_failed(job.id, "No menu.", session=session)
        assert current(manager, job.id).status == "queued"
        session.rollback()
    assert current(manager, job.id) == job
    assert count(engine, "menu_extraction_job_events") == 1


def test_the_history_tells_every_attempt_with_its_worker_and_error(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id, worker="kitchen-1")
    requeue(engine, job.id, 1)
    claimed(engine, job.id, worker="kitchen-2")
    complete(engine, job.id, 2)
    history = manager.job_history(job.id, user_id)
    assert [(one.seq, one.status, one.attempt, one.worker, one.error_code) for one in history] == [
        (1, "queued", 0, None, None),
        (2, "processing", 1, "kitchen-1", None),
        (3, "queued", 1, "kitchen-1", "BUSY"),
        (4, "processing", 2, "kitchen-2", None),
        (5, "completed", 2, "kitchen-2", None),
    ]
    assert history[2].error == "Busy."
    assert [one.at for one in history] == sorted(one.at for one in history)
    assert manager.job_history(job.id, other_user_id) == manager.job_history(uuid4()) == []
