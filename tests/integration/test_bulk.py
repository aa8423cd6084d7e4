"""Submitting many at once: each entry has its own outcome, as if they had been submitted one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from jobqueue import (
    ImageRejectedError,
    InvalidInputError,
    JobQueueError,
    JobQueueManager,
    QuotaExceededError,
    SubmissionResult,
    UserNotFoundError,
)
from tests.image_server import ImageServer
from tests.integration.jobs import URL, completed, count, current, failed, queued, some_hash

MakeUser = Callable[..., UUID]


def entry(image_hash: str | None = None, **more: Any) -> dict[str, Any]:
    return {"image_url": URL, "image_hash": image_hash or some_hash(), **more}


def codes(outcomes: list[SubmissionResult | JobQueueError]) -> list[str]:
    return [one.code if isinstance(one, JobQueueError) else "ok" for one in outcomes]


def accepted(outcome: SubmissionResult | JobQueueError) -> SubmissionResult:
    assert isinstance(outcome, SubmissionResult)
    return outcome


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_each_entry_has_its_outcome_in_order(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    done, active, bad = (some_hash() for _ in range(3))
    cached = completed(manager, engine, user_id, image_hash=done)
    under_way = queued(manager, user_id, image_hash=active)
    broken = failed(manager, engine, user_id, image_hash=bad)
    outcomes = manager.submit_jobs(
        user_id,
        [
            entry(),
            entry(done),
            entry("not a hash"),
            entry(active),
            entry(bad),
            entry(done, force=True),
            entry(image_url="ftp://pictures.example/menu.png"),
            entry(done, prompt_version="v2"),
        ],
    )
    assert codes(outcomes) == ["ok", "ok", "INVALID_INPUT", "ok", "ok", "ok", "INVALID_INPUT", "ok"]
    jobs = [None if isinstance(one, JobQueueError) else one.job.id for one in outcomes]
    assert [one.cached for one in outcomes if isinstance(one, SubmissionResult)] == [False, True] + [False] * 4
    assert (jobs[1], jobs[3]) == (cached.id, under_way.id)
    new = {jobs[0], jobs[4], jobs[5], jobs[7]}
    assert len(new) == 4
    assert not new & {cached.id, under_way.id, broken.id}
    assert count(engine) == 7
    for outcome in outcomes:
        if isinstance(outcome, SubmissionResult):
            assert current(manager, outcome.job.id) == outcome.job


def test_the_same_picture_twice_in_one_call_is_one_job(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user, picture = user_on_plan("free", {"ocr_jobs": 2, "hourly_uploads": -1}), some_hash()
    outcomes = manager.submit_jobs(user, [entry(picture), entry(), entry(picture), entry(picture.upper()), entry()])
    assert codes(outcomes) == ["ok"] * 4 + ["QUOTA_EXCEEDED"]
    ids = [accepted(one).job.id for one in outcomes[:4]]
    assert ids[0] == ids[2] == ids[3] != ids[1]
    assert count(engine) == 2


def test_a_forced_entry_answers_the_later_ones_as_it_would_have_one_by_one(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    picture = some_hash()
    old = completed(manager, engine, user_id, image_hash=picture)
    before, forced, after, again = (
        accepted(one)
        for one in manager.submit_jobs(
            user_id, [entry(picture), entry(picture, force=True), entry(picture), entry(picture, force=True)]
        )
    )
    assert (before.job.id, before.cached) == (old.id, True)
    assert (after.job.id, after.cached) == (forced.job.id, False)
    assert again.job.id != forced.job.id
    assert count(engine) == 3


def test_what_is_left_of_the_quota_goes_to_the_first(
    manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser
) -> None:
    user, done = user_on_plan("free", {"ocr_jobs": 3, "hourly_uploads": -1}), some_hash()
    completed(manager, engine, user, image_hash=done)
    outcomes = manager.submit_jobs(user, [entry(), entry(), entry(), entry(done), entry()])
    assert codes(outcomes) == ["ok", "ok", "QUOTA_EXCEEDED", "ok", "QUOTA_EXCEEDED"]
    assert [one.details["current"] for one in outcomes if isinstance(one, QuotaExceededError)] == [3, 3]
    assert manager.check_quota(user).current == count(engine) == 3


def test_an_hourly_limit_of_zero_refuses_all(manager: JobQueueManager, engine: Engine, user_on_plan: MakeUser) -> None:
    user = user_on_plan("enterprise", {"hourly_uploads": 0})
    assert codes(manager.submit_jobs(user, [entry(), entry(force=True)])) == ["RATE_LIMIT_EXCEEDED"] * 2
    assert count(engine) == 0


def test_defaults_hold_for_entries_that_do_not_say_otherwise(manager: JobQueueManager, user_id: UUID) -> None:
    outcomes = manager.submit_jobs(
        user_id, [entry(), entry(schema_version="stage1", prompt_version="v3")], schema_version="stage2"
    )
    jobs = [accepted(one).job for one in outcomes]
    assert [(job.schema_version, job.prompt_version) for job in jobs] == [("stage2", "v1.0"), ("stage1", "v3")]


def test_lists_show_the_last_entry_first(manager: JobQueueManager, user_id: UUID) -> None:
    outcomes = manager.submit_jobs(user_id, [entry() for _ in range(20)])
    assert [job.id for job in manager.list_user_jobs(user_id)] == [accepted(one).job.id for one in reversed(outcomes)]


def test_addresses_alone_are_fetched_and_hashed_and_each_fails_on_its_own(
    manager: JobQueueManager, user_id: UUID, image_server: ImageServer
) -> None:
    urls = [image_server.url("/menu.png"), image_server.url("/missing.png"), image_server.url("/menu.jpg")]
    outcomes = manager.submit_jobs(user_id, urls)
    assert codes(outcomes) == ["ok", "IMAGE_REJECTED", "ok"]
    assert isinstance(outcomes[1], ImageRejectedError)
    assert accepted(outcomes[0]).job.image_hash == image_server.sha256("/menu.png")
    assert accepted(outcomes[2]).job.image_hash == image_server.sha256("/menu.jpg")


@pytest.mark.parametrize("size", [1, 10, 200])
def test_the_number_of_statements_does_not_grow_with_the_number_of_entries(
    manager: JobQueueManager, engine: Engine, user_id: UUID, size: int
) -> None:
    with statements(engine) as sent:
        assert set(codes(manager.submit_jobs(user_id, [entry() for _ in range(size)]))) == {"ok"}
    assert len(sent) <= 5
    assert count(engine) == count(engine, "menu_extraction_job_events") == size


def test_nothing_to_submit_is_no_error(manager: JobQueueManager, user_id: UUID) -> None:
    assert manager.submit_jobs(user_id, []) == []


def test_a_generator_will_do(manager: JobQueueManager, user_id: UUID) -> None:
    assert codes(manager.submit_jobs(user_id, (entry() for _ in range(3)))) == ["ok"] * 3


@pytest.mark.parametrize(
    "odd",
    [5, None, b"http://x.example/a.png", ["http://x.example/a.png"], {}, {"image_url": URL, "hash": "x"}],
    ids=str,
)
def test_an_entry_of_another_shape_is_refused_alone(manager: JobQueueManager, user_id: UUID, odd: Any) -> None:
    assert codes(manager.submit_jobs(user_id, [entry(), odd, entry()])) == ["ok", "INVALID_INPUT", "ok"]


@pytest.mark.parametrize("submissions", [None, 5, URL, b"", entry()], ids=str)
def test_what_is_no_list_of_submissions_is_refused(
    manager: JobQueueManager, engine: Engine, user_id: UUID, submissions: Any
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        manager.submit_jobs(user_id, submissions)
    assert caught.value.details["argument"] == "submissions"
    assert count(engine) == 0


@pytest.mark.parametrize("submissions", [[], [entry()]], ids=["none", "one"])
def test_an_unknown_user_concerns_all(manager: JobQueueManager, engine: Engine, submissions: Any) -> None:
    with pytest.raises(UserNotFoundError):
        manager.submit_jobs(uuid4(), submissions)
    with pytest.raises(InvalidInputError):
        manager.submit_jobs("nobody", submissions)
    assert count(engine) == 0


def test_in_the_callers_transaction_all_or_none(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    with Session(engine) as session:
        manager.submit_jobs(user_id, [entry(), entry()], session=session)
        assert count(engine) == 0
        session.rollback()
        kept = manager.submit_jobs(user_id, [entry(), entry("bad"), entry()], session=session)
        session.commit()
    assert codes(kept) == ["ok", "INVALID_INPUT", "ok"]
    assert count(engine) == count(engine, "menu_extraction_job_events") == 2
