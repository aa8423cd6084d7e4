"""The way back to the old table, and up again."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from jobqueue import (
    JobQueueManager,
)
from jobqueue.migration import migrate
from jobqueue.settings import Settings
from tests.integration.jobs import completed
from tests.integration.old_database import (
    ALICE,
    BOB,
    ROWS,
    heard,
    rows,
    script,
)
from tests.integration.test_migrations import catalogue, downgrade, public_tables
from tests.scripted_extractor import RESULT


def test_there_and_back_is_the_old_database(old: Engine) -> None:
    schema, before = catalogue(old), rows(old, ROWS)
    migrate(old)
    first = catalogue(old)
    downgrade(old)
    assert catalogue(old) == schema
    assert public_tables(old) == ["alembic_version", "ocr_jobs"]
    after = rows(old, ROWS)
    filled = ("retry_count", "created_at", "completed_at")  # an empty value that was filled in stays filled in
    for was, now in zip(before, after, strict=True):
        assert {**now, **{name: was[name] for name in filled if was[name] is None}} == was
    migrate(old)
    assert catalogue(old) == first


def test_rows_made_since_the_upgrade_are_in_the_old_table_after_the_downgrade(
    upgraded: Engine, settings: Settings
) -> None:
    script(upgraded, f"INSERT INTO profiles VALUES ('{ALICE}', 'enterprise')")
    manager = JobQueueManager(upgraded, settings=settings)
    job = completed(manager, upgraded, ALICE)
    downgrade(upgraded)
    (found,) = rows(upgraded, "SELECT to_jsonb(ocr_jobs) FROM ocr_jobs WHERE id = :id", id=job.id)
    assert (found["status"], found["result"], found["image_hash"]) == ("completed", RESULT, job.image_hash)
    script(upgraded, "UPDATE ocr_jobs SET status = 'failed' WHERE status = 'queued'")
    migrate(upgraded)
    assert rows(upgraded, "SELECT result FROM menu_extraction_jobs WHERE id = :id", id=job.id) == [RESULT]


@pytest.mark.parametrize(("length", "limit"), [(500, 500), (501, None)])
def test_an_address_too_long_for_the_old_column_is_kept_whole(upgraded: Engine, length: int, limit: int | None) -> None:
    url = "https://x/".ljust(length, "a")
    script(
        upgraded, f"INSERT INTO menu_extraction_jobs (user_id, image_url, image_hash) VALUES ('{BOB}', '{url}', 'h')"
    )
    downgrade(upgraded)
    assert url in rows(upgraded, "SELECT image_url FROM ocr_jobs")
    query = """SELECT character_maximum_length FROM information_schema.columns
               WHERE table_name = 'ocr_jobs' AND column_name = 'image_url'"""
    assert rows(upgraded, query) == [limit]
    migrate(upgraded)
    assert url in rows(upgraded, "SELECT image_url FROM menu_extraction_jobs")


def test_the_old_notification_works_again_after_the_downgrade(upgraded: Engine) -> None:
    downgrade(upgraded)
    with upgraded.connect() as listener:
        listener.execute(text("LISTEN ocr_jobs"))
        listener.commit()
        script(upgraded, f"INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES ('{BOB}', 'x', 'y')")
        assert heard(listener)[0].keys() == {"id", "status", "user_id"}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, upgraded: Engine) -> Engine:
    """A table whose rewriting would take long."""
    from migration_steps import old_limits  # type: ignore[import-not-found]  # on the path since a migration

    monkeypatch.setattr(old_limits, "LARGEST_REWRITE_BYTES", 0)
    return upgraded


ADDRESS_TYPE = """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                  WHERE attrelid = 'ocr_jobs'::regclass AND attname = 'image_url'"""

ADDRESS_CHECK = "SELECT convalidated FROM pg_constraint WHERE contype = 'c' AND conname LIKE '%image_url%'"


def test_a_large_table_is_not_rewritten_and_keeps_the_limit_as_a_check(large: Engine) -> None:
    first, file = catalogue(large), rows(large, "SELECT pg_relation_filenode('menu_extraction_jobs')")
    for _ in range(2):
        downgrade(large)
        assert rows(large, "SELECT pg_relation_filenode('ocr_jobs')") == file
        assert rows(large, ADDRESS_TYPE) == ["text"]
        assert rows(
            large, "SELECT convalidated FROM pg_constraint WHERE contype = 'c' AND conname LIKE '%image_url%'"
        ) == [True]
        with pytest.raises(DBAPIError, match="ocr_jobs_image_url_length"):
            script(large, "UPDATE ocr_jobs SET image_url = repeat('a', 501)")
        migrate(large)
        assert catalogue(large) == first


def test_after_that_a_small_table_gets_its_old_type_back(large: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    downgrade(large)
    migrate(large)
    monkeypatch.undo()
    downgrade(large)
    assert rows(large, ADDRESS_TYPE) == ["character varying(500)"]
    assert rows(large, ADDRESS_CHECK) == []


def test_a_large_table_with_a_longer_address_keeps_no_limit(large: Engine) -> None:
    url = "https://x/".ljust(501, "a")
    script(large, f"INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES ('{BOB}', '{url}')")
    downgrade(large)
    assert rows(large, ADDRESS_TYPE) == ["text"]
    script(large, "UPDATE ocr_jobs SET error_message = 'x' WHERE length(image_url) > 500")


def test_an_index_that_was_dropped_since_stays_away(upgraded: Engine) -> None:
    script(upgraded, "DROP INDEX idx_menu_extraction_jobs_status")
    downgrade(upgraded)
    assert rows(upgraded, "SELECT count(*) FROM ocr_jobs") == [8]


def test_jobs_without_a_hash_come_along_although_the_old_table_demanded_one(upgraded: Engine) -> None:
    script(upgraded, f"INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES ('{BOB}', 'x')")
    downgrade(upgraded)
    assert rows(upgraded, "SELECT image_url FROM ocr_jobs WHERE image_hash IS NULL") == ["x"]
    migrate(upgraded)
