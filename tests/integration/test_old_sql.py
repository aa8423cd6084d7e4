"""Statements of old programs through the view of the old name."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from psycopg2 import errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from jobqueue.migration import migrate
from tests.integration.old_database import (
    ALICE,
    BOB,
    OLD_ROWS,
    URL,
    as_role,
    heard,
    jobs,
    listening,
    rows,
    script,
)
from tests.old_table import OLD_DATABASE
from tests.scripted_extractor import RESULT


class TestOldSql:
    """Statements of old programs through the view."""

    def test_insert_with_defaults_and_returning(self, upgraded: Engine) -> None:
        with upgraded.begin() as connection, listening(upgraded) as listener:
            made = connection.execute(
                text("INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES (:u, :url, 'h') RETURNING *"),
                {"u": BOB, "url": URL},
            ).one()
            connection.commit()
            assert (made.status, made.retry_count, made.result) == ("queued", 0, None)
            assert made.created_at is not None
            (told,) = heard(listener)
        assert (told["id"], told["status"], told["user_id"], told["seq"]) == (str(made.id), "queued", str(BOB), 1)

    def test_update_fires_the_trigger_and_delete_deletes(self, upgraded: Engine) -> None:
        with listening(upgraded) as listener:
            script(upgraded, "UPDATE ocr_jobs SET status = 'processing' WHERE image_url LIKE '%?1'")
            script(
                upgraded,
                f"""UPDATE ocr_jobs SET status = 'completed', result = '{json.dumps(RESULT)}', processing_time = 5
                    WHERE image_url LIKE '%?1'""",
            )
            assert [(one["seq"], one["status"]) for one in heard(listener, 2)] == [(2, "processing"), (3, "completed")]
        assert jobs(upgraded)["1"].completed_at is not None
        script(upgraded, "DELETE FROM ocr_jobs WHERE image_url LIKE '%?1'")
        assert "1" not in jobs(upgraded)

    def test_on_conflict(self, upgraded: Engine) -> None:
        job = jobs(upgraded)["4"].id
        upsert = """INSERT INTO ocr_jobs (id, user_id, image_url, image_hash) VALUES (:id, :u, 'x', 'y')
                    ON CONFLICT (id) DO UPDATE SET error_message = 'again' RETURNING error_message"""
        assert rows(upgraded, upsert, id=job, u=BOB) == ["again"]
        nothing = (
            "INSERT INTO ocr_jobs (id, user_id, image_url) VALUES (:id, :u, 'x') ON CONFLICT DO NOTHING RETURNING 1"
        )
        assert rows(upgraded, nothing, id=job, u=BOB) == []

    def test_for_update_locks_the_row_of_the_table(self, upgraded: Engine) -> None:
        locked = "SELECT id FROM ocr_jobs WHERE status = 'queued' ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED"
        with upgraded.begin() as connection:
            (first,) = connection.execute(text(locked)).one()
            assert rows(upgraded, locked) != [first]
            free = "SELECT id FROM menu_extraction_jobs WHERE id = :id FOR UPDATE SKIP LOCKED"
            assert rows(upgraded, free, id=first) == []

    def test_grants_are_those_of_the_table(self, bare: Engine) -> None:
        reader = f"reader_{uuid4().hex[:8]}"
        script(
            bare,
            OLD_DATABASE
            + OLD_ROWS
            + f"""
            CREATE ROLE {reader}; GRANT USAGE ON SCHEMA auth TO {reader};
            GRANT SELECT ON ocr_jobs TO {reader}; GRANT UPDATE (error_message) ON ocr_jobs TO {reader};
            """,
        )
        migrate(bare)
        with as_role(bare, reader, ALICE) as connection:
            assert connection.execute(text("SELECT count(*) FROM ocr_jobs")).scalar() == 3
            connection.execute(text("UPDATE ocr_jobs SET error_message = 'x'"))
            with pytest.raises(DBAPIError) as caught, connection.begin_nested():
                connection.execute(text("DELETE FROM ocr_jobs"))
            assert isinstance(caught.value.orig, errors.InsufficientPrivilege)
        script(bare, f"DROP OWNED BY {reader}; DROP ROLE {reader}")

    @pytest.mark.parametrize(
        ("statement", "error"),
        [
            ("TRUNCATE ocr_jobs", errors.WrongObjectType),
            (
                "INSERT INTO ocr_jobs (id) VALUES (NULL) ON CONFLICT ON CONSTRAINT ocr_jobs_pkey DO NOTHING",
                errors.UndefinedObject,
            ),
        ],
    )
    def test_what_postgres_does_not_do_with_a_view(
        self, upgraded: Engine, statement: str, error: type[Exception]
    ) -> None:
        with pytest.raises(DBAPIError) as caught:
            script(upgraded, statement)
        assert isinstance(caught.value.orig, error)

    def test_copy_takes_a_query_but_not_the_view(self, upgraded: Engine) -> None:
        with upgraded.begin() as connection:
            driver: Any = connection.connection.cursor()
            out = StringIO()
            driver.copy_expert("COPY (SELECT id FROM ocr_jobs) TO STDOUT", out)
            assert len(out.getvalue().splitlines()) == 8
        for statement in ("COPY ocr_jobs TO STDOUT", "COPY ocr_jobs (user_id, image_url) FROM STDIN"):
            with upgraded.begin() as connection:
                driver = connection.connection.cursor()
                with pytest.raises(errors.WrongObjectType):
                    driver.copy_expert(statement, StringIO(f"{BOB}\tx\n"))

    def test_copy_into_the_table_makes_jobs(self, upgraded: Engine) -> None:
        with upgraded.begin() as connection:
            driver: Any = connection.connection.cursor()
            driver.copy_expert(
                "COPY menu_extraction_jobs (user_id, image_url) FROM STDIN", StringIO(f"{BOB}\t{URL}?new\n")
            )
        job = jobs(upgraded)["new"]
        history = "SELECT status FROM menu_extraction_job_events WHERE job_id = :id"
        assert rows(upgraded, history, id=job.id) == ["queued"]
