"""The rules under real contention: eight processes with eight calls each, and processes killed in the middle of one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from jobqueue import (
    ExtractionJob,
    InvalidStatusError,
    JobQueueManager,
    QuotaExceededError,
    RateLimitExceededError,
    SubmissionResult,
)
from jobqueue.store.claim import ClaimedJob
from tests.contenders import Call, Stopped, race, stopped
from tests.eventually import eventually
from tests.integration.jobs import URL, completed, count, current, failed, queued, row, some_hash, waiting_for_locks

MakeUser = Callable[..., UUID]
EIGHT_TIMES_EIGHT = 64


def ids(outcomes: list[Any]) -> list[UUID]:
    return [one.job.id for one in outcomes if isinstance(one, SubmissionResult)]


def submissions(user: UUID, *, picture: str | None = None, number: int = EIGHT_TIMES_EIGHT) -> list[Call]:
    return [("submit_job", (user, URL, picture or some_hash())) for _ in range(number)]


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"ocr_jobs": 5, "hourly_uploads": -1}, QuotaExceededError),
        ({"ocr_jobs": -1, "hourly_uploads": 5}, RateLimitExceededError),
    ],
    ids=["quota", "hour"],
)
def test_with_three_uploads_left_exactly_three_of_sixty_four_get_in(
    manager: JobQueueManager,
    engine: Engine,
    database_url: str,
    user_on_plan: MakeUser,
    limits: dict[str, int],
    error: type[Exception],
) -> None:
    user = user_on_plan("free", limits)
    earlier = [queued(manager, user).id for _ in range(2)]
    outcomes = race(database_url, submissions(user))
    assert len(set(ids(outcomes))) == 3
    assert sum(isinstance(one, error) for one in outcomes) == 61
    listed = {job.id for job in manager.list_user_jobs(user, limit=100)}
    assert listed == {*earlier, *ids(outcomes)}
    assert count(engine) == count(engine, "menu_extraction_job_events") == 5
    refused = manager.check_rate_limit(user) if error is RateLimitExceededError else manager.check_quota(user)
    assert (refused.allowed, refused.current, refused.limit) == (False, 5, 5)


def test_sixty_four_submissions_of_one_picture_are_one_job_and_one_charge(
    manager: JobQueueManager, engine: Engine, database_url: str, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": 1})
    outcomes = race(database_url, submissions(user, picture=some_hash()))
    assert len(ids(outcomes)) == EIGHT_TIMES_EIGHT
    assert len(set(ids(outcomes))) == 1
    assert count(engine) == count(engine, "menu_extraction_job_events") == 1
    assert manager.check_quota(user).current == manager.check_rate_limit(user).current == 1


def test_bulk_and_single_submissions_share_what_is_left(
    manager: JobQueueManager, engine: Engine, database_url: str, user_on_plan: MakeUser
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 40, "hourly_uploads": -1})
    bulk: list[Call] = [
        ("submit_jobs", (user, [{"image_url": URL, "image_hash": some_hash()} for _ in range(5)])) for _ in range(16)
    ]
    single = submissions(user, number=16)
    outcomes = race(database_url, [call for pair in zip(bulk, single, strict=True) for call in pair])
    flat = [one for outcome in outcomes for one in (outcome if isinstance(outcome, list) else [outcome])]
    assert len(set(ids(flat))) == len(ids(flat)) == count(engine) == 40
    assert sum(isinstance(one, QuotaExceededError) for one in flat) == 56


@pytest.mark.parametrize("same_picture", [False, True])
def test_when_the_winner_rolls_back_its_place_goes_to_another(
    manager: JobQueueManager,
    engine: Engine,
    database_url: str,
    user_on_plan: MakeUser,
    same_picture: bool,
) -> None:
    user = user_on_plan("free", {"ocr_jobs": 3, "hourly_uploads": -1})
    picture = some_hash() if same_picture else None
    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        winner = manager.submit_job(user, URL, picture or some_hash(), session=session).job
        running = other.submit(race, database_url, submissions(user, picture=picture))
        eventually(lambda: waiting_for_locks(engine) >= 32, what="the others waiting")
        session.rollback()
        outcomes = running.result(timeout=60)
    assert winner.id not in ids(outcomes)
    assert len(set(ids(outcomes))) == count(engine) == (1 if same_picture else 3)
    assert len(ids(outcomes)) == (EIGHT_TIMES_EIGHT if same_picture else 3)


def test_different_users_do_not_wait_for_each_other(
    manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID, user_on_plan: MakeUser
) -> None:
    others = [user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": -1}) for _ in range(8)]
    with Session(engine) as session:
        manager.submit_job(user_id, URL, some_hash(), session=session)
        calls = [call for other in others for call in submissions(other, number=8)]
        outcomes = race(database_url, calls)
        session.rollback()
    assert len(ids(outcomes)) == 8
    assert [manager.check_quota(other).current for other in others] == [1] * 8


def test_sixteen_retries_of_one_job_make_one(
    manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID
) -> None:
    old = failed(manager, engine, user_id)
    outcomes = race(database_url, [("retry_job", (old.id, user_id))] * 16)
    assert all(isinstance(one, ExtractionJob) for one in outcomes)
    (new,) = {one.id for one in outcomes}
    assert (row(engine, new)["retry_of"], row(engine, new)["retry_count"]) == (old.id, 1)
    assert count(engine) == 2


def test_retries_and_submissions_of_one_picture_make_one_job(
    manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID
) -> None:
    old = failed(manager, engine, user_id)
    retries: list[Call] = [("retry_job", (old.id, user_id))] * 16
    outcomes = race(database_url, [*retries, *submissions(user_id, picture=old.image_hash, number=16)])
    assert count(engine) == 2
    (new,) = set(ids(outcomes))
    for outcome in outcomes[:16]:
        if isinstance(outcome, InvalidStatusError):
            assert outcome.details == {"existing_job_id": str(new)}
        else:
            assert outcome.id == new


def test_a_cancellation_against_a_claim_ends_in_one_of_two_ways(
    manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID
) -> None:
    jobs = [queued(manager, user_id) for _ in range(32)]
    calls: list[Call] = []
    for number, job in enumerate(jobs):
        pair: list[Call] = [("cancel_job", (job.id, user_id)), ("claim", (job.id,))]
        calls += pair if number % 2 else pair[::-1]
    outcomes = race(database_url, calls)
    for number, job in enumerate(jobs):
        pair_outcomes = outcomes[2 * number : 2 * number + 2]
        cancelled, claimed = pair_outcomes if number % 2 else pair_outcomes[::-1]
        found = row(engine, job.id)
        if claimed is None:
            assert (found["status"], found["error_code"], found["attempt"]) == ("failed", "CANCELLED", 0)
            assert cancelled.status == "failed"
        else:
            assert isinstance(claimed, ClaimedJob)
            assert (found["status"], found["attempt"]) == ("processing", 1)
            assert found["cancel_requested_at"] is not None
            assert cancelled.status == "processing"


def test_one_claim_of_many_wins(manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID) -> None:
    job = queued(manager, user_id)
    outcomes = race(database_url, [("claim", (job.id,))] * 32)
    (winner,) = [one for one in outcomes if one is not None]
    assert winner == ClaimedJob(job.id, user_id, URL, job.image_hash, "stage1", "v1.0", attempt=1, charged_attempt=1)
    assert current(manager, job.id).attempt == 1


def stops(database_url: str, call: Callable[[], Call]) -> Iterator[tuple[Call, Stopped]]:
    """The call stopped before each of its steps in turn, up to its return; each time with fresh arguments."""
    for step in itertools.count(1):
        made = call()
        with stopped(database_url, made, step) as process:
            yield made, process
        if process.has_finished:
            return


def test_a_submitter_killed_before_any_of_its_statements_blocks_loses_and_doubles_nothing(
    manager: JobQueueManager, engine: Engine, database_url: str, user_on_plan: MakeUser, user_id: UUID
) -> None:
    waited: dict[str, bool] = {}

    def submission() -> Call:
        return submissions(user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": 1}), picture=some_hash(), number=1)[0]

    for call, process in stops(database_url, submission):
        user, _url, picture = call[1]
        with ThreadPoolExecutor(1) as other:
            queued(manager, user_id)  # somebody else's submission goes through meanwhile
            answer = other.submit(manager.submit_job, user, URL, picture)
            eventually(lambda answer=answer: answer.done() or waiting_for_locks(engine) == 1)  # type: ignore[misc]
            waited[" ".join(process.next_step.split())] = not answer.done()
            process.kill()
            killed = time.monotonic()
            job = answer.result(timeout=10).job
            assert time.monotonic() - killed < 5
        assert [one.id for one in manager.list_user_jobs(user)] == [job.id]
        assert len(manager.job_history(job.id)) == 1
        assert manager.check_quota(user).current == 1
        with pytest.raises(QuotaExceededError):
            queued(manager, user)
    assert len(waited) >= 7
    *_statements, last, returned = waited
    assert (last, returned) == ("COMMIT", "RETURN")
    assert [waited[last], waited[returned], waited[next(iter(waited))]] == [True, False, False]


def test_a_retry_killed_before_any_of_its_statements_blocks_loses_and_doubles_nothing(
    manager: JobQueueManager, engine: Engine, database_url: str, user_id: UUID, user_on_plan: MakeUser
) -> None:
    steps = []

    def retry() -> Call:
        user = user_on_plan("free", {"ocr_jobs": -1, "hourly_uploads": 2})
        return ("retry_job", (failed(manager, engine, user).id, user))

    for call, process in stops(database_url, retry):
        steps.append(process.next_step)
        with ThreadPoolExecutor(1) as other:
            queued(manager, user_id)
            answer = other.submit(manager.retry_job, *call[1])
            eventually(lambda answer=answer: answer.done() or waiting_for_locks(engine) == 1)  # type: ignore[misc]
            process.kill()
            new = answer.result(timeout=10)
        old, user = call[1]
        assert (new.retry_of, new.retry_count) == (old, 1)
        assert {job.id for job in manager.list_user_jobs(user)} == {old, new.id}
        assert manager.check_rate_limit(user).current == 2
    assert len(steps) >= 8
    assert steps[-2:] == ["COMMIT", "RETURN"]


def test_a_call_with_many_entries_killed_before_any_of_its_statements_is_all_or_nothing(
    manager: JobQueueManager, engine: Engine, database_url: str, user_on_plan: MakeUser
) -> None:
    def bulk() -> Call:
        user = user_on_plan("free", {"ocr_jobs": 5, "hourly_uploads": -1})
        return ("submit_jobs", (user, [{"image_url": URL, "image_hash": some_hash()} for _ in range(5)]))

    for call, process in stops(database_url, bulk):
        user, entries = call[1]
        process.kill()
        eventually(lambda: idle_in_transaction(engine) == 0, what="the end of the killed process's transaction")
        assert len(manager.list_user_jobs(user)) == (5 if process.has_finished else 0)
        assert len(set(ids(manager.submit_jobs(user, entries)))) == 5
        assert manager.check_quota(user).current == 5


def idle_in_transaction(engine: Engine) -> int:
    with engine.connect() as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        return int(connection.execute(text(query)).scalar_one())


def test_a_cached_answer_is_the_same_for_all_and_charges_nobody(
    manager: JobQueueManager, engine: Engine, database_url: str, user_on_plan: MakeUser
) -> None:
    user, picture = user_on_plan("free", {"ocr_jobs": 1, "hourly_uploads": 1}), some_hash()
    done = completed(manager, engine, user, image_hash=picture)
    outcomes = race(database_url, submissions(user, picture=picture))
    assert {(one.job.id, one.cached) for one in outcomes} == {(done.id, True)}
    assert count(engine) == manager.check_quota(user).current == 1
