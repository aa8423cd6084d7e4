"""A migration whose connection is cut in a step that may take long: the next one completes it."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from jobqueue.database import create_database_engine, translated_errors
from jobqueue.errors import QueueUnavailableError
from jobqueue.migration import migrate, migrations_folder
from tests.eventually import eventually
from tests.integration.old_database import rows, script
from tests.integration.test_migrations import catalogue

GATE = 4711
# Statements of this kind wait at their beginning for the lock that the test holds.
WAIT_AT_GATE = f"""
    CREATE FUNCTION wait_at_gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_query() LIKE '{{statement}}' THEN
            PERFORM pg_advisory_xact_lock({GATE});
        END IF;
    END
    $$;
    CREATE EVENT TRIGGER gate ON ddl_command_start EXECUTE FUNCTION wait_at_gate();
"""
NO_GATE = "DROP EVENT TRIGGER gate; DROP FUNCTION wait_at_gate()"
AT_GATE = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    made = create_database_engine(empty_database_url)
    yield made
    made.dispose()


def downgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with translated_errors(), engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.downgrade(config, revision)
        finally:
            connection.invalidate()


def interrupted(engine: Engine, statement: str, migration: Callable[[], None]) -> None:
    """Begin the migration and cut its connection in the first statement that is like ``statement``."""
    script(engine, WAIT_AT_GATE.format(statement=statement))
    with ThreadPoolExecutor(1) as thread, engine.connect() as holder:
        holder.execute(text(f"SELECT pg_advisory_lock({GATE})"))
        migrating = thread.submit(migration)
        try:
            (pid,) = eventually(lambda: rows(engine, AT_GATE), what="the statement", within=60)
            rows(engine, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
            with pytest.raises(QueueUnavailableError):
                migrating.result(timeout=30)
        finally:
            holder.execute(text(f"SELECT pg_advisory_unlock({GATE})"))
    script(engine, NO_GATE)


# Everything that looks through the jobs, in the order of its execution.
SCANS = [
    ("0004", "CREATE %INDEX CONCURRENTLY%user_id_new%"),
    ("0004", "CREATE %INDEX CONCURRENTLY%retry_of_new%"),
    ("0008", "%VALIDATE CONSTRAINT %uncharged_attempts%"),
    ("0009", "%VALIDATE CONSTRAINT %uncharged_attempts%"),
    ("0009", "CREATE %INDEX CONCURRENTLY%jobs_finished_new%"),
]


@pytest.mark.parametrize(("revision", "statement"), SCANS)
def test_an_upgrade_that_was_cut_off_in_a_scan_is_completed_by_the_next_one(
    empty: Engine, engine: Engine, revision: str, statement: str
) -> None:
    migrate(empty, revision)
    interrupted(empty, statement, lambda: migrate(empty))
    migrate(empty)
    assert catalogue(empty) == catalogue(engine)
    assert rows(empty, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []


def test_a_downgrade_that_was_cut_off_is_completed_by_the_next_one(empty: Engine) -> None:
    migrate(empty, "0009")
    before = catalogue(empty)["indexes"]
    migrate(empty)
    interrupted(empty, "DROP INDEX CONCURRENTLY%jobs_finished%", lambda: downgrade(empty, "0009"))
    downgrade(empty, "0009")
    assert catalogue(empty)["indexes"] == before


def test_the_way_back_takes_the_uncharged_attempts_from_unfinished_jobs(empty: Engine) -> None:
    """The version before claims a job only if its ``attempt`` is below four."""
    migrate(empty)
    user = uuid4()
    script(empty, f"INSERT INTO auth.users (id) VALUES ('{user}')")
    script(
        empty,
        f"""
        INSERT INTO menu_extraction_jobs (user_id, image_url, status, attempt, uncharged_attempts, error_message)
        VALUES ('{user}', 'put back', 'queued', 4, 4, NULL), ('{user}', 'tried', 'queued', 3, 1, NULL),
               ('{user}', 'held', 'processing', 5, 2, NULL), ('{user}', 'charged', 'queued', 2, 0, NULL),
               ('{user}', 'ended', 'failed', 5, 2, 'No menu.')
        """,
    )
    events = "SELECT count(*) FROM menu_extraction_job_events"
    (before,) = rows(empty, events)
    downgrade(empty, "0008")
    attempts: dict[Any, Any] = dict(rows(empty, "SELECT image_url, attempt FROM menu_extraction_jobs"))
    assert attempts == {"put back": 0, "tried": 2, "held": 3, "charged": 2, "ended": 5}
    assert rows(empty, events) == [before]
