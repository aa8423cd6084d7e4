"""The leading notifier's own pruning: only when it was asked for, again and again, and never in the way."""

from __future__ import annotations

import logging
import threading
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from jobqueue import JobQueueManager
from jobqueue.database import Database, create_database_engine
from tests.conftest import add_user
from tests.eventually import eventually
from tests.integration.jobs import completed
from tests.integration.pruned import exists, made_old, publish_all
from tests.integration.test_pruning import NOW
from worker.notifier import retention
from worker.notifier.retention import Retention


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


def test_it_prunes_at_once_and_again_until_it_is_left(
    monkeypatch: pytest.MonkeyPatch, manager: JobQueueManager, engine: Engine, old_job: UUID
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.05)
    user = add_user(engine)
    with Retention(Database(engine), 30):
        eventually(lambda: not exists(engine, old_job), what="the first round")
        second = one_more(manager, engine, user)
        eventually(lambda: not exists(engine, second), what="another round")
    eventually(lambda: not any(one.name == "retention" for one in threading.enumerate()), what="the end of the thread")


def test_a_database_that_is_away_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, old_job: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.05)
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE menu_extraction_pruned_events IN ACCESS EXCLUSIVE MODE"))
        with caplog.at_level(logging.WARNING), Retention(Database(engine), 30):
            eventually(lambda: "Pruning stopped early" in caplog.text, what="a warning")
            assert exists(engine, old_job)
            holder.rollback()
            eventually(lambda: not exists(engine, old_job), what="another try")


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
