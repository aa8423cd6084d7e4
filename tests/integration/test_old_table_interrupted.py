"""An upgrade that is interrupted, that finds the table in use, or that cannot take the table over."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from jobqueue.errors import QueueUnavailableError
from jobqueue.migration import migrate
from tests.integration.old_database import (
    BOB,
    URL,
    rows,
    script,
)
from tests.integration.test_migrations import catalogue, public_tables
from tests.old_table import TABLE, USERS


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
