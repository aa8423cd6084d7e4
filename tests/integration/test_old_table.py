"""A database with the old table, upgraded in place with its data."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from jobqueue.database import Database, create_database_engine
from jobqueue.migration import migrate
from jobqueue.store.event_log import number_pending
from tests.integration.jobs import claimed, reap
from tests.integration.old_database import (
    ALICE,
    ROWS,
    jobs,
    rows,
    script,
    without_past,
)
from tests.integration.test_migrations import catalogue, downgrade
from tests.old_table import ASKING_USER, OLD_DATABASE, TABLE, USERS


def test_the_upgraded_schema_is_a_fresh_one(upgraded: Engine, database_maker: Any) -> None:
    with database_maker.database() as url:
        fresh = create_database_engine(url)
        script(fresh, USERS + ASKING_USER)
        migrate(fresh)
        expected = catalogue(fresh)
        fresh.dispose()
    assert without_past(catalogue(upgraded)) == expected


def test_nothing_keeps_its_old_name(upgraded: Engine) -> None:
    named = rows(
        upgraded,
        """SELECT relname FROM pg_class UNION ALL SELECT conname FROM pg_constraint UNION ALL
           SELECT tgname FROM pg_trigger UNION ALL SELECT polname FROM pg_policy UNION ALL
           SELECT proname FROM pg_proc ORDER BY 1""",
    )
    assert [name for name in named if "ocr" in name.lower() and "procr" not in name] == ["ocr_jobs"]  # the view
    assert "Users can view own menu extraction jobs" in named
    assert {f"idx_menu_extraction_jobs_{name}" for name in ("status", "user_id", "image_hash")} <= set(named)


def test_an_owned_sequence_another_policy_and_another_trigger_are_renamed_too(bare: Engine) -> None:
    script(
        bare,
        OLD_DATABASE
        + """
        ALTER TABLE ocr_jobs ADD COLUMN number bigserial;
        CREATE POLICY "Users can delete own OCR jobs" ON ocr_jobs FOR DELETE USING (auth.uid() = user_id);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER ocr_jobs_touch BEFORE UPDATE ON ocr_jobs FOR EACH ROW EXECUTE FUNCTION touch();
        """,
    )
    before = catalogue(bare)
    migrate(bare)
    assert rows(bare, "SELECT pg_get_serial_sequence('menu_extraction_jobs', 'number')") == [
        "public.menu_extraction_jobs_number_seq"
    ]
    assert "Users can delete own menu extraction jobs" in rows(bare, "SELECT polname FROM pg_policy")
    assert "menu_extraction_jobs_touch" in rows(bare, "SELECT tgname FROM pg_trigger")
    downgrade(bare)
    assert catalogue(bare) == before


def test_rows_and_defaults(upgraded: Engine) -> None:
    found = jobs(upgraded)
    assert len(found) == 8
    done = found["3"]
    assert (done.result, done.processing_time, done.retry_count, done.status) == ({"items": []}, 900, 1, "completed")
    assert {(row.schema_version, row.prompt_version, row.attempt) for row in found.values()} == {("stage1", "v1.0", 0)}
    assert found["4"].error_message == "No text."


def test_what_the_new_rules_do_not_allow_is_filled_in_or_corrected(upgraded: Engine) -> None:
    found = jobs(upgraded)
    filled = found["5"]
    assert (filled.status, filled.retry_count) == ("completed", 0)
    assert (filled.completed_at - filled.created_at).total_seconds() == 2
    no_result, no_status, contradictory = found["6"], found["7"], found["8"]
    assert (no_result.status, no_result.error_code, no_result.retry_count, no_result.processing_time) == (
        "failed", "RESULT_MISSING", 0, None,
    )  # fmt: skip
    assert (no_status.status, no_status.error_code) == ("failed", "STATUS_MISSING")
    assert no_status.created_at is not None
    assert (contradictory.status, contradictory.completed_at) == ("queued", None)


def test_every_constraint_holds_for_every_row(upgraded: Engine) -> None:
    assert rows(upgraded, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert rows(upgraded, "SELECT indexrelid FROM pg_index WHERE NOT indisvalid") == []


def test_queued_jobs_are_dispatched_and_jobs_in_work_get_a_lease_that_ends(upgraded: Engine) -> None:
    found = jobs(upgraded)
    batch = Database(upgraded).run(lambda connection: number_pending(connection, 0, 0, 100))
    assert {one.job_id for one in batch.events if one.dispatch} == {found["1"].id, found["8"].id}
    assert {one.event.seq for one in batch.events if one.event} == {1}
    assert claimed(upgraded, found["1"].id).attempt == 1

    assert found["2"].lease_expires_at is not None
    script(upgraded, "UPDATE menu_extraction_jobs SET lease_expires_at = now() WHERE status = 'processing'")
    (reaped, *_) = reap(upgraded)
    assert reaped.id == found["2"].id
    history = "SELECT seq, status FROM menu_extraction_job_events WHERE job_id = :id ORDER BY 1"
    assert rows(upgraded, history, id=reaped.id) == [(1, "processing"), (2, "queued")]


def test_a_job_that_had_finished_is_final_and_tells_nobody(upgraded: Engine) -> None:
    with pytest.raises(DBAPIError, match="already completed"):
        script(upgraded, "UPDATE ocr_jobs SET status = 'queued', completed_at = NULL WHERE image_url LIKE '%?3'")
    done = jobs(upgraded)["3"].id
    assert rows(upgraded, "SELECT seq FROM menu_extraction_job_events WHERE job_id = :id", id=done) == []


def test_a_row_of_nobody_is_set_aside_and_comes_back(bare: Engine) -> None:
    no_key = TABLE.replace("NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE", "")
    script(bare, USERS + no_key + f"INSERT INTO auth.users VALUES ('{ALICE}')")
    for user in (ALICE, uuid4(), None):
        with bare.begin() as connection:
            connection.execute(
                text("INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES (:u, 'x', 'y')"), {"u": user}
            )
    before = rows(bare, ROWS)
    migrate(bare)
    assert rows(bare, "SELECT user_id FROM menu_extraction_jobs") == [ALICE]
    downgrade(bare)
    assert sorted(map(str, rows(bare, ROWS))) == sorted(map(str, before))
