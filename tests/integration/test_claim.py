"""Claiming a job and the fence that its attempt number is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database
from jobqueue.store.claim import claim_job, renew_leases
from jobqueue.store.completion import Completion, complete_job, fail_job
from tests.eventually import eventually
from tests.integration.jobs import (
    claim,
    claimed,
    complete,
    completed,
    current,
    fail,
    failed,
    queued,
    requeue,
    row,
    waiting_for_locks,
)
from tests.scripted_extractor import RESULT


def test_a_claim_tells_the_worker_what_to_do_and_counts_the_attempt(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id, image_hash="ab" * 32, schema_version="stage2", prompt_version="v2")
    mine = claimed(engine, job.id, worker="worker-7", lease_seconds=30)
    assert (mine.id, mine.user_id, mine.image_url, mine.image_hash) == (job.id, user_id, job.image_url, "ab" * 32)
    assert (mine.schema_version, mine.prompt_version, mine.attempt) == ("stage2", "v2", 1)
    found = row(engine, job.id)
    assert (found["status"], found["attempt"], found["worker"]) == ("processing", 1, "worker-7")
    left = found["lease_expires_at"] - datetime.now(UTC)
    assert timedelta(seconds=20) < left <= timedelta(seconds=30)
    assert found["started_at"] is not None


def test_there_is_nothing_to_claim_for_an_unknown_a_running_or_a_finished_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    running = queued(manager, user_id)
    claimed(engine, running.id)
    for job_id in (
        uuid4(),
        running.id,
        completed(manager, engine, user_id).id,
        failed(manager, engine, user_id).id,
    ):
        assert claim(engine, job_id) is None
    assert current(manager, running.id).attempt == 1


def test_a_job_that_waits_for_its_retry_is_not_claimed_before_it_is_due(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert requeue(engine, job.id, 1, delay_seconds=60)
    assert claim(engine, job.id) is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE menu_extraction_jobs SET run_after = clock_timestamp()"))
    assert claimed(engine, job.id).attempt == 2


def test_no_message_however_late_begins_a_fifth_attempt(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    for attempt in (1, 2, 3, 4):
        assert claimed(engine, job.id).attempt == attempt
        assert requeue(engine, job.id, attempt)
    assert claim(engine, job.id) is None


@pytest.mark.parametrize("first_commits", [True, False])
def test_of_two_workers_one_blocks_on_the_other_and_gets_what_that_one_leaves(
    manager: JobQueueManager, engine: Engine, user_id: UUID, first_commits: bool
) -> None:
    job = queued(manager, user_id)
    with engine.connect() as first, ThreadPoolExecutor(1) as second:
        assert claim_job(first, job.id, worker="first", lease_seconds=60) is not None
        late = second.submit(claim, engine, job.id, worker="second")
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second worker waiting")
        assert not late.done()
        if first_commits:
            first.commit()
            assert late.result(timeout=10) is None
        else:
            first.rollback()
            assert late.result(timeout=10) is not None
    found = row(engine, job.id)
    assert (found["attempt"], found["worker"]) == (1, "first" if first_commits else "second")


def test_of_sixteen_claims_at_once_exactly_one_gets_the_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda number: claim(engine, job.id, worker=f"worker-{number}"), range(16)))
    assert len([one for one in got if one is not None]) == 1
    assert len(manager.job_history(job.id)) == 2


def test_a_late_attempt_can_write_nothing(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert requeue(engine, job.id, 1)
    claimed(engine, job.id, worker="worker-2")
    before = row(engine, job.id)
    assert not complete(engine, job.id, 1)
    assert not fail(engine, job.id, 1)
    assert not requeue(engine, job.id, 1)
    assert renewed(engine, [(job.id, 1)]) == {}
    assert row(engine, job.id) == before
    assert complete(engine, job.id, 2)


@pytest.mark.parametrize("write", [complete, fail, requeue])
def test_an_attempt_that_was_put_back_can_write_nothing_even_before_the_next_begins(
    manager: JobQueueManager, engine: Engine, user_id: UUID, write: type
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert requeue(engine, job.id, 1, delay_seconds=60)
    before = row(engine, job.id)
    assert not write(engine, job.id, 1)
    assert row(engine, job.id) == before


@pytest.mark.parametrize("write", [complete, fail, requeue])
def test_a_finished_job_refuses_the_same_attempts_second_answer(
    manager: JobQueueManager, engine: Engine, user_id: UUID, write: type
) -> None:
    job = completed(manager, engine, user_id)
    before = row(engine, job.id)
    assert not write(engine, job.id, 1)
    assert row(engine, job.id) == before


def renewed(engine: Engine, held: list[tuple[UUID, int]]) -> dict[tuple[UUID, int], bool]:
    return Database(engine).run(lambda c: renew_leases(c, held, 600))


def test_leases_are_renewed_for_those_that_still_hold_them(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    held, taken, done = (queued(manager, user_id) for _ in range(3))
    for job in (held, taken, done):
        claimed(engine, job.id, lease_seconds=5)
    requeue(engine, taken.id, 1)
    claimed(engine, taken.id, lease_seconds=5)
    complete(engine, done.id, 1)
    assert renewed(engine, [(held.id, 1), (taken.id, 1), (done.id, 1)]) == {(held.id, 1): False}
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert row(engine, held.id)["lease_expires_at"] > soon
    assert row(engine, taken.id)["lease_expires_at"] < soon
    assert row(engine, done.id)["lease_expires_at"] is None


def test_a_completed_attempt_stores_everything_and_clears_the_last_error(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    requeue(engine, job.id, 1)
    assert current(manager, job.id).error == "Busy."
    claimed(engine, job.id)
    complete(engine, job.id, 2)
    stored = current(manager, job.id)
    assert stored.result == RESULT
    assert (stored.status, stored.attempt, stored.confidence, stored.processing_time) == ("completed", 2, 0.9, 12)
    assert (stored.error, stored.error_code) == (None, None)
    assert stored.completed_at is not None
    assert stored.started_at is not None
    assert stored.created_at <= stored.started_at <= stored.completed_at


@pytest.mark.parametrize("message", ["x" * 1_000_000, "a\x00b", "", "ü" * 5000, "\ud800 lone surrogate"])
def test_any_error_text_can_be_stored(manager: JobQueueManager, engine: Engine, user_id: UUID, message: str) -> None:
    job = queued(manager, user_id)
    claimed(engine, job.id)
    assert fail(engine, job.id, 1, message)
    stored = current(manager, job.id)
    assert stored.status == "failed"
    assert stored.error is not None
    assert len(stored.error) <= 2000
    assert "\x00" not in stored.error


def test_an_application_may_end_a_job_whoever_holds_it_but_only_once(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    waiting, running = queued(manager, user_id), queued(manager, user_id)
    claimed(engine, running.id)
    database = Database(engine)
    completion = Completion(result=RESULT, processing_time=5)
    assert database.run(lambda c: complete_job(c, waiting.id, completion))
    assert database.run(lambda c: fail_job(c, running.id, code="GIVEN_UP", message="Given up.", increment_retry=True))
    assert (current(manager, waiting.id).status, current(manager, running.id).status) == ("completed", "failed")
    assert current(manager, running.id).retry_count == 1
    assert not database.run(lambda c: complete_job(c, running.id, completion))
    assert not database.run(lambda c: fail_job(c, waiting.id, code="X", message="x", increment_retry=True))
    assert current(manager, waiting.id).retry_count == 0
    assert not complete(engine, running.id, 1)
