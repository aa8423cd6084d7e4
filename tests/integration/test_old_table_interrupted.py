"""An upgrade that is interrupted, that finds the table in use, or that cannot take the table over."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from jobqueue.errors import QueueUnavailableError
from jobqueue.migration import migrate
from tests.eventually import eventually
from tests.integration.old_database import (
    BOB,
    URL,
    rows,
    script,
)
from tests.integration.test_migrations import catalogue, downgrade, public_tables
from tests.old_table import TABLE, USERS
from tests.processes import REPOSITORY


def test_an_upgrade_that_was_interrupted_goes_on(old: Engine) -> None:
    for revision in ("0001", "0002", "0003", "0004", "0005"):
        migrate(old, revision)
        script(old, f"INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES ('{BOB}', '{URL}?x', 'y')")
    migrate(old)
    assert rows(old, "SELECT count(*) FROM ocr_jobs") == [13]
    assert rows(old, "SELECT count(*) FROM menu_extraction_job_events WHERE seq = 1 AND status = 'queued'") == [7]


def test_an_upgrade_that_cannot_get_the_table_says_so_and_changes_nothing(
    old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from migration_steps import brief_lock  # type: ignore[import-not-found]  # on the path since a migration

    monkeypatch.setattr(brief_lock, "TRIES", 2)
    monkeypatch.setattr(brief_lock, "WAIT", "100ms")
    monkeypatch.setattr(brief_lock, "PAUSE_SECONDS", 0.01)
    schema = catalogue(old)
    with old.begin() as reader:
        reader.execute(text("SELECT count(*) FROM ocr_jobs"))
        with pytest.raises(QueueUnavailableError, match="long transaction keeps the table ocr_jobs in use"):
            migrate(old)
    assert catalogue(old) == schema
    migrate(old)


def test_an_old_table_that_cannot_be_taken_over_is_refused_in_a_sentence(bare: Engine) -> None:
    script(bare, USERS + TABLE.replace("id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "id bigserial PRIMARY KEY"))
    with pytest.raises(QueueUnavailableError, match="column id of ocr_jobs is bigint; it must be uuid"):
        migrate(bare)
    assert public_tables(bare) == ["ocr_jobs"]


WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("revision", ["base", "0001", "0002", "0003", "0004"])
def test_an_upgrade_that_is_killed_is_completed_by_the_next_one(
    old: Engine, empty_database_url: str, revision: str
) -> None:
    """It is killed while it waits for the lock that this test holds, in the revision after this one."""
    if revision != "base":
        migrate(old, revision)
    table = "ocr_jobs" if revision == "base" else "menu_extraction_jobs"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DATABASE_URL": empty_database_url}
    with old.begin() as holder:
        holder.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        upgrading = subprocess.Popen(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            eventually(lambda: rows(old, WAITING), what="the upgrade waiting for the table", within=60)
        finally:
            upgrading.kill()
            upgrading.wait()
    migrate(old)
    assert rows(old, "SELECT count(*) FROM ocr_jobs") == [8]
    assert rows(old, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert rows(old, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid") == []


def test_behind_a_long_reader_nobody_waits_longer_than_the_upgrade_tries(
    old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the upgrade waits for its lock everybody queues behind it; so it waits briefly, and again."""
    from migration_steps import brief_lock  # on the path since a migration

    refused = threading.Event()
    monkeypatch.setattr(brief_lock, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(brief_lock.log, "info", lambda *_: refused.set())
    with ThreadPoolExecutor(1) as thread:
        with old.begin() as reader:
            reader.execute(text("SELECT count(*) FROM ocr_jobs"))
            upgrading = thread.submit(migrate, old)
            eventually(lambda: rows(old, WAITING), what="the upgrade waiting for the table", within=60)
            # Comes after the upgrade in the queue; without a limit to its wait it would be stopped by this deadline.
            with old.begin() as other:
                other.execute(text("SET LOCAL statement_timeout = '10s'"))
                other.execute(text("SELECT count(*) FROM ocr_jobs"))
            assert refused.wait(20)
            assert not upgrading.done()
        upgrading.result(60)
    assert rows(old, "SELECT count(*) FROM menu_extraction_jobs") == [8]


def test_the_way_back_locks_the_view_before_its_table(old: Engine) -> None:
    """In the order of whoever uses the view: in the other order the two wait for each other until one is ended."""
    migrate(old, "0001")
    with ThreadPoolExecutor(1) as thread:
        with old.begin() as reader:
            reader.execute(text("SELECT count(*) FROM menu_extraction_jobs"))
            going_back = thread.submit(downgrade, old)
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = to_regclass('menu_extraction_jobs')"
            (pid, *_) = eventually(lambda: rows(old, waiting), what="the downgrade waiting for the table")
            held = "SELECT mode FROM pg_locks WHERE granted AND pid = :pid AND relation = to_regclass('ocr_jobs')"
            modes = rows(old, held, pid=pid)
        going_back.result(60)
    assert "AccessExclusiveLock" in modes
