"""Submitting: idempotent, exactly once under concurrency, inside the caller's transaction, with typed refusals."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from jobqueue import InvalidInputError, JobQueueManager, Settings, UserNotFoundError
from tests.eventually import eventually
from tests.image_server import ImageServer
from tests.integration.jobs import URL, claimed, completed, count, current, failed, queued, some_hash, waiting_for_locks
from tests.scripted_extractor import RESULT

HASH = "ab" * 32


def test_a_new_submission_is_a_queued_job(manager: JobQueueManager, user_id: UUID) -> None:
    answer = manager.submit_job(str(user_id), URL, HASH.upper(), schema_version="stage2", prompt_version="v2")
    job = answer.job
    assert not answer.cached
    assert (job.user_id, job.image_url, job.image_hash) == (user_id, URL, HASH)
    assert (job.status, job.schema_version, job.prompt_version) == ("queued", "stage2", "v2")
    assert (job.attempt, job.retry_count, job.result, job.error, job.completed_at) == (0, 0, None, None, None)
    assert current(manager, job.id) == job


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_under_way_answers_the_same_submission(
    manager: JobQueueManager, engine: Engine, user_id: UUID, begun: bool
) -> None:
    first = queued(manager, user_id, image_hash=HASH)
    if begun:
        claimed(engine, first.id)
    again = manager.submit_job(user_id, "https://elsewhere.example/same.png", HASH)
    assert (again.job.id, again.cached) == (first.id, False)
    assert again.job.status == ("processing" if begun else "queued")
    assert count(engine) == 1
    assert len(manager.job_history(first.id)) == (2 if begun else 1)


@pytest.mark.parametrize("of_newer", [{"prompt_version": "v2"}, {"schema_version": "stage2"}])
def test_each_version_of_prompt_and_schema_has_a_job_of_its_own(
    manager: JobQueueManager, engine: Engine, user_id: UUID, of_newer: dict[str, Any]
) -> None:
    newer = manager.submit_job(user_id, URL, HASH, **of_newer).job
    usual = manager.submit_job(user_id, URL, HASH).job
    assert usual.id != newer.id
    assert manager.submit_job(user_id, URL, HASH, **of_newer).job.id == newer.id
    assert manager.submit_job(user_id, URL, HASH).job.id == usual.id
    assert count(engine) == 2


def test_a_failed_job_that_kept_a_result_does_not_answer(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    """The library stores no such row, but old code may: the table allows it."""
    with engine.begin() as connection:
        old: UUID = connection.execute(
            text(
                "INSERT INTO menu_extraction_jobs (user_id, image_url, image_hash, status, result) "
                "VALUES (:user, :url, :hash, 'failed', CAST(:result AS jsonb)) RETURNING id"
            ),
            {"user": user_id, "url": URL, "hash": HASH, "result": json.dumps(RESULT)},
        ).scalar_one()
    assert manager.find_existing_job(user_id, HASH) is None
    answer = manager.submit_job(user_id, URL, HASH)
    assert (answer.cached, answer.job.status) == (False, "queued")
    assert answer.job.id != old


def test_a_completed_job_answers_from_the_record(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    first = completed(manager, engine, user_id, image_hash=HASH)
    again = manager.submit_job(user_id, URL, HASH)
    assert (again.job, again.cached) == (first, True)
    assert count(engine) == 1


def test_a_failed_job_leads_to_a_new_one(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    first = failed(manager, engine, user_id, image_hash=HASH)
    again = manager.submit_job(user_id, URL, HASH)
    assert again.job.id != first.id
    assert (again.job.status, again.cached) == ("queued", False)


@pytest.mark.parametrize("result", [{"dishes": []}, {"menu": {}}, {"menu": {"categories": {}}}, {"menu": None}])
def test_a_result_of_the_first_generation_leads_to_a_new_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID, result: dict[str, Any]
) -> None:
    first = completed(manager, engine, user_id, image_hash=HASH, result=result)
    again = manager.submit_job(user_id, URL, HASH)
    assert again.job.id != first.id
    assert not again.cached


def test_an_older_job_in_the_present_format_still_answers(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    good = completed(manager, engine, user_id, image_hash=HASH)
    completed(manager, engine, user_id, image_hash=HASH, result={"dishes": []}, force=True)
    failed(manager, engine, user_id, image_hash=HASH, force=True)
    again = manager.submit_job(user_id, URL, HASH)
    assert (again.job.id, again.cached) == (good.id, True)


@pytest.mark.parametrize("state", [queued, completed])
def test_force_always_makes_a_new_job(manager: JobQueueManager, engine: Engine, user_id: UUID, state: Any) -> None:
    arguments = (manager, user_id) if state is queued else (manager, engine, user_id)
    first = state(*arguments, image_hash=HASH)
    forced = manager.submit_job(user_id, URL, HASH, force=True)
    assert forced.job.id != first.id
    assert (forced.job.status, forced.cached) == ("queued", False)


@pytest.mark.parametrize(
    "different", [{"image_hash": some_hash()}, {"schema_version": "stage2"}, {"prompt_version": "v1.1"}]
)
def test_another_picture_or_version_is_another_job(
    manager: JobQueueManager, user_id: UUID, different: dict[str, str]
) -> None:
    first = queued(manager, user_id, image_hash=HASH)
    assert queued(manager, user_id, **{"image_hash": HASH, **different}).id != first.id


def test_another_users_job_answers_nobody_else(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    completed(manager, engine, user_id, image_hash=HASH)
    theirs = manager.submit_job(other_user_id, URL, HASH)
    assert (theirs.cached, theirs.job.user_id) == (False, other_user_id)


def test_without_a_hash_the_pictures_bytes_decide(
    manager: JobQueueManager, user_id: UUID, image_server: ImageServer
) -> None:
    address, other_address = image_server.url(), image_server.url()
    first = manager.submit_job(user_id, address)
    assert first.job.image_hash == image_server.sha256()
    assert image_server.requests(address) == 1
    assert manager.submit_job(user_id, other_address).job.id == first.job.id


def test_sixteen_threads_with_the_same_picture_get_one_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    together = Barrier(16)

    def submit(_number: int) -> UUID:
        together.wait()
        return manager.submit_job(user_id, URL, HASH).job.id

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(submit, range(16)))) == 1
    assert count(engine) == count(engine, "menu_extraction_job_events") == 1


def test_a_submitter_waits_for_one_that_has_not_committed_and_gets_its_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        first = manager.submit_job(user_id, URL, HASH, session=session)
        second = other.submit(manager.submit_job, user_id, URL, HASH)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second submitter waiting")
        session.commit()
        assert second.result(timeout=10).job.id == first.job.id
    assert count(engine) == 1


def test_a_submitter_that_waited_for_one_that_rolled_back_makes_the_job(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with Session(engine) as session, ThreadPoolExecutor(1) as other:
        first = manager.submit_job(user_id, URL, HASH, session=session)
        second = other.submit(manager.submit_job, user_id, URL, HASH)
        eventually(lambda: waiting_for_locks(engine) == 1, what="the second submitter waiting")
        session.rollback()
        job = second.result(timeout=10).job
    assert job.id != first.job.id
    assert current(manager, job.id).status == "queued"
    assert count(engine) == 1


def test_different_users_do_not_wait_for_each_other(
    manager: JobQueueManager, engine: Engine, user_id: UUID, other_user_id: UUID
) -> None:
    with Session(engine) as session:
        manager.submit_job(user_id, URL, HASH, session=session)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(manager.submit_job, other_user_id, URL, HASH).result(timeout=10)


def test_in_the_callers_transaction_nothing_is_seen_before_the_commit(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with Session(engine) as session:
        session.execute(text("CREATE TEMPORARY TABLE orders (job uuid) ON COMMIT DROP"))
        job = manager.submit_job(user_id, URL, HASH, session=session).job
        session.execute(text("INSERT INTO orders VALUES (:id)"), {"id": job.id})
        assert manager.get_job_status(job.id) is None
        session.commit()
    assert current(manager, job.id) == job


def test_a_rollback_of_the_caller_leaves_no_trace(manager: JobQueueManager, engine: Engine, user_id: UUID) -> None:
    with Session(engine) as session:
        manager.submit_job(user_id, URL, HASH, session=session)
        session.rollback()
    assert count(engine) == count(engine, "menu_extraction_job_events") == 0


def test_after_a_refusal_the_callers_transaction_is_still_usable(
    manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    with Session(engine) as session:
        kept = manager.submit_job(user_id, URL, HASH, session=session).job
        with pytest.raises(UserNotFoundError):
            manager.submit_job(uuid4(), URL, HASH, session=session)
        session.commit()
    assert current(manager, kept.id) == kept
    assert count(engine) == 1


def test_a_session_factory_will_do(engine: Engine, settings: Settings, user_id: UUID) -> None:
    manager = JobQueueManager(sessionmaker(engine), settings=settings)
    job = manager.submit_job(user_id, URL, HASH).job
    assert manager.get_job_status(job.id) == job
    with pytest.raises(UserNotFoundError):
        manager.submit_job(uuid4(), URL, HASH)
    assert manager.list_user_jobs(user_id) == [job]


def test_without_arguments_the_manager_reads_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str, user_id: UUID
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url.replace("postgresql://", "postgres://"))
    monkeypatch.setenv("REDIS_URL", redis_url)
    manager = JobQueueManager()
    assert manager.submit_job(user_id, URL, HASH).job.status == "queued"
    manager.close()


@pytest.mark.parametrize("engine_or_factory", ["postgresql://h/d", 5, object()])
def test_what_is_no_engine_is_refused(settings: Settings, engine_or_factory: Any) -> None:
    with pytest.raises(InvalidInputError):
        JobQueueManager(engine_or_factory, settings=settings)


@pytest.mark.parametrize(
    "arguments",
    [
        {"user_id": "nobody"},
        {"user_id": None},
        {"image_url": "menu.png"},
        {"image_url": "https://example.com/a b"},
        {"image_hash": "abc"},
        {"image_hash": ""},
        {"schema_version": "stage9"},
        {"prompt_version": "x" * 51},
        {"prompt_version": "a\x00"},
    ],
    ids=str,
)
def test_malformed_arguments_are_refused_before_anything_is_written(
    manager: JobQueueManager, engine: Engine, user_id: UUID, arguments: dict[str, Any]
) -> None:
    call: dict[str, Any] = {"user_id": user_id, "image_url": URL, "image_hash": HASH, **arguments}
    with pytest.raises(InvalidInputError) as caught:
        manager.submit_job(**call)
    assert caught.value.details["argument"] == next(iter(arguments))
    assert count(engine) == 0


def test_a_user_that_does_not_exist_is_a_typed_error(manager: JobQueueManager, engine: Engine) -> None:
    with pytest.raises(UserNotFoundError) as caught:
        manager.submit_job(uuid4(), URL, HASH)
    assert caught.value.code == "USER_NOT_FOUND"
    assert count(engine) == 0


def test_a_session_on_a_connection_with_a_transaction_is_joined(
    manager: JobQueueManager, engine: Engine, settings: Settings, user_id: UUID
) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        factory = sessionmaker(connection, join_transaction_mode="create_savepoint")
        job = queued(JobQueueManager(factory, settings=settings), user_id)
        transaction.rollback()
    assert manager.get_job_status(job.id) is None


@pytest.mark.parametrize(
    "words", ["'; DROP TABLE menu_extraction_jobs; --", "%s %(user)s :id {0} ${HOME}", "\\'\"", "NULL", "\U0001f354"]
)
def test_text_that_would_be_sql_is_stored_to_the_letter(manager: JobQueueManager, user_id: UUID, words: str) -> None:
    url = f"https://pictures.example/{words.replace(' ', '+')}"
    job = manager.submit_job(user_id, url, some_hash(), prompt_version=words).job
    again = manager.submit_job(user_id, url, job.image_hash, prompt_version=words)
    assert (again.job.id, again.job.image_url, again.job.prompt_version) == (job.id, url, words)
    assert manager.mark_job_failed(job.id, words).error == words
    with pytest.raises(InvalidInputError):
        manager.list_user_jobs(user_id, status=words)
    with pytest.raises(InvalidInputError):
        manager.list_user_jobs(user_id, before=words)
