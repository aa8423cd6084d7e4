"""The leading notifier's own pruning: only when it was asked for, again and again, and never in the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Engine, event, text

from jobqueue import JobQueueManager, QueueUnavailableError
from jobqueue.database import Database, create_database_engine
from tests.conftest import add_user
from tests.eventually import eventually
from tests.integration.jobs import completed, count
from tests.integration.pruned import exists, made_old, publish_all
from tests.integration.test_pruning import NOW
from worker.notifier import retention
from worker.notifier.retention import Retention
from worker.postgres_deadline import DeadlineConnection, limit_waits


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FIRST_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.05)


@pytest.fixture
def old_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> UUID:
    return one_more(manager, engine, user_id)


def one_more(manager: JobQueueManager, engine: Engine, user_id: UUID) -> UUID:
    job = completed(manager, engine, user_id)
    publish_all(engine)
    made_old(engine, job.id, NOW.replace(year=2020))
    return job.id


def test_without_days_nothing_runs(engine: Engine, old_job: UUID) -> None:
    before = set(threading.enumerate())
    with Retention(Database(engine), None):
        assert set(threading.enumerate()) == before
    assert exists(engine, old_job)


def test_it_prunes_again_and_again_until_it_is_left(
    monkeypatch: pytest.MonkeyPatch, manager: JobQueueManager, engine: Engine, old_job: UUID
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 2.0)
    user = add_user(engine)
    with Retention(Database(engine), 30):
        eventually(lambda: not exists(engine, old_job), what="the first round")
        first = time.monotonic()
        second = one_more(manager, engine, user)
        eventually(lambda: not exists(engine, second), what="another round")
        assert time.monotonic() - first > 0.5, "it goes round without a pause"
    eventually(ended, what="the end of the thread")


def ended() -> bool:
    return not any(one.name == "retention" for one in threading.enumerate())


def test_what_a_round_has_pruned_is_said_and_an_empty_round_is_not(
    monkeypatch: pytest.MonkeyPatch,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.05)
    with caplog.at_level(logging.INFO, logger=retention.__name__), Retention(Database(engine), 30):
        for said in (1, 2):
            one_more(manager, engine, user_id)
            eventually(lambda said=said: len(caplog.messages) >= said, what="a word")  # type: ignore[misc]
    assert caplog.messages == ["Pruned 1 jobs and 3 events that were older than 30 days."] * 2


LOCK = text("LOCK TABLE menu_extraction_pruned_events IN ACCESS EXCLUSIVE MODE")


def test_a_database_that_is_away_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, old_job: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "BATCH", 8)
    with engine.connect() as holder:
        holder.execute(LOCK)
        with caplog.at_level(logging.WARNING), Retention(Database(engine), 30):
            eventually(lambda: caplog.text.count("Pruning was interrupted") >= 2, what="warnings")
            assert caplog.text.count("5 jobs at a step") >= 2, "a batch is to stay worth its while"
            assert exists(engine, old_job)
            holder.rollback()
            eventually(lambda: not exists(engine, old_job), what="another try")


def test_it_can_be_left_while_the_database_is_away(
    engine: Engine, old_job: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.connect() as holder:
        holder.execute(LOCK)
        with caplog.at_level(logging.WARNING), Retention(Database(engine), 30):
            eventually(lambda: "Pruning was interrupted" in caplog.text, what="a warning")
        eventually(ended, what="the end of the thread")
    assert exists(engine, old_job)


@pytest.fixture
def _slow_deletion(engine: Engine) -> Iterator[None]:
    """A fifth of a second for each job."""
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE FUNCTION delete_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(0.2); RETURN OLD; END $$;
            CREATE TRIGGER slow BEFORE DELETE ON menu_extraction_jobs FOR EACH ROW EXECUTE FUNCTION delete_slowly();
        """)
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER slow ON menu_extraction_jobs; DROP FUNCTION delete_slowly()")


@pytest.mark.usefixtures("_slow_deletion")
def test_after_a_batch_that_took_too_long_it_goes_on_with_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retention, "STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr(retention, "BATCH", 16)
    monkeypatch.setattr(retention, "SMALLEST_BATCH", 1)
    jobs = [one_more(manager, engine, user_id) for _ in range(16)]
    with caplog.at_level(logging.WARNING), Retention(Database(engine), 30):
        eventually(lambda: not any(exists(engine, job) for job in jobs), what="the end of the round", within=60)
    assert "statement timeout" in caplog.text
    assert "8 jobs at a step" in caplog.text


@pytest.mark.usefixtures("_slow_deletion")
def test_each_interruption_in_a_row_is_waited_for_longer_and_the_round_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
    manager: JobQueueManager,
    engine: Engine,
    user_id: UUID,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 1.5)
    monkeypatch.setattr(retention, "BATCH", 1)
    for _ in range(8):
        one_more(manager, engine, user_id)
    own = create_database_engine(database_url)
    begins: list[str] = []

    @event.listens_for(own, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, _statement: str, values: Any, *_rest: Any) -> None:
        if isinstance(values, dict) and "after_id" in values:
            begins.append(values["after_id"])

    def interruptions() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "Pruning was interrupted" in record.msg]

    with engine.connect() as holder:
        holder.execute(LOCK)
        with caplog.at_level(logging.WARNING), Retention(Database(own), 30):
            eventually(lambda: len(interruptions()) == 3, what="three interruptions")
            holder.rollback()
            eventually(lambda: count(engine) < 8, what="a batch that is done")
            holder.execute(LOCK)
            eventually(lambda: len(interruptions()) == 4, what="another interruption")
            holder.rollback()
            eventually(lambda: count(engine) == 0, what="the end of the round")
    own.dispose()
    told = interruptions()
    pauses = [record.args[1] for record in told if isinstance(record.args, tuple)]
    assert pauses == [1.0, 1.5, 1.5, 1.0]
    assert [after.created - before.created >= 1.0 for before, after in pairwise(told)] == [True] * 3
    # Three tries in vain and the one after them.
    assert begins.count(str(UUID(int=0))) == 4


@pytest.mark.usefixtures("_slow_deletion")
def test_it_rests_as_long_as_it_works_and_ends_between_two_batches(
    monkeypatch: pytest.MonkeyPatch, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    for _ in range(16):
        one_more(manager, engine, user_id)
    began = time.monotonic()
    with Retention(Database(engine), 30):
        eventually(lambda: count(engine) <= 8, what="half of the round")
        assert time.monotonic() - began > 14 * 0.2
    eventually(ended, what="the end of the thread")
    assert count(engine) > 0


def test_it_begins_only_when_the_lead_has_lasted(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, old_job: UUID
) -> None:
    monkeypatch.setattr(retention, "FIRST_AFTER_SECONDS", 60.0)
    for _ in range(3):
        with Retention(Database(engine), 30):
            (thread,) = (one for one in threading.enumerate() if one.name == "retention")
        thread.join(10)
        assert not thread.is_alive()
    assert exists(engine, old_job)


def test_its_own_limit_to_waiting_is_not_the_relays(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeadlineConnection, "answer_within", 0.2)
    limit_waits()
    own = retention.retention_engine(database_url)
    try:
        assert Database(own).run(lambda c: c.execute(text("SELECT 7 FROM pg_sleep(0.6)")).scalar_one()) == 7
        monkeypatch.setattr(retention._Patient, "answer_within", 0.2)
        with pytest.raises(QueueUnavailableError):
            Database(own).run(lambda c: c.execute(text("SELECT pg_sleep(2)")))
    finally:
        own.dispose()
        psycopg2.extensions.set_wait_callback(None)


def test_it_does_not_hold_up_whoever_leaves_it(engine: Engine, old_job: UUID, database_url: str) -> None:
    own = create_database_engine(database_url)
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE menu_extraction_relay IN ACCESS EXCLUSIVE MODE"))
        with Retention(Database(own), 30):
            pass
        assert exists(engine, old_job)
        holder.rollback()
    eventually(lambda: not exists(engine, old_job), what="the end of the batch that was under way")
    own.dispose()
