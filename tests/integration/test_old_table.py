"""A database with the old table: upgraded in place with its data, used by old SQL, brought back, upgraded again."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

import json
import select
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2 import errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from jobqueue import (
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    JobQueueManager,
)
from jobqueue.database import Database, create_database_engine
from jobqueue.errors import QueueUnavailableError
from jobqueue.legacy import ocr_operations
from jobqueue.migration import migrate
from jobqueue.settings import Settings
from jobqueue.store.event_log import number_pending
from jobqueue.store.recovery import reap_expired_leases
from tests.integration.jobs import claimed, completed, some_hash
from tests.integration.test_migrations import catalogue, downgrade, public_tables
from tests.old_table import ASKING_USER, OLD_DATABASE, TABLE, USERS
from tests.scripted_extractor import RESULT

ALICE, BOB = UUID(int=1), UUID(int=2)
URL = "https://pictures.example/menu.png"
# What only a database with a past has: the way back, and an index that old queries may rely on.
OF_THE_UPGRADE = (
    "menu_extraction_corrected_jobs",
    "menu_extraction_replaced_indexes",
    "menu_extraction_upgrade_undo",
    "idx_menu_extraction_jobs_status",
)

OLD_ROWS = f"""
    INSERT INTO auth.users VALUES ('{ALICE}', 'alice@example.com'), ('{BOB}', 'bob@example.com');
    INSERT INTO ocr_jobs (user_id, image_url, image_hash, status, result, error_message, processing_time, retry_count,
                          created_at, completed_at) VALUES
        ('{ALICE}', '{URL}?1', repeat('1', 64), 'queued', NULL, NULL, NULL, 0, '2026-01-01Z', NULL),
        ('{ALICE}', '{URL}?2', repeat('2', 64), 'processing', NULL, NULL, NULL, 0, '2026-01-02Z', NULL),
        ('{ALICE}', '{URL}?3', repeat('3', 64), 'completed', '{{"items": []}}', NULL, 900, 1, '2026-01-03Z', '2026-01-03 00:01Z'),
        ('{BOB}', '{URL}?4', repeat('4', 64), 'failed', NULL, 'No text.', 70, 3, '2026-01-04Z', '2026-01-04 00:01Z'),
        -- What the new rules do not allow:
        ('{BOB}', '{URL}?5', repeat('5', 64), 'completed', '{{"items": []}}', NULL, 2000, NULL, '2026-01-05Z', NULL),
        ('{BOB}', '{URL}?6', repeat('6', 64), 'completed', NULL, NULL, -1, -2, '2026-01-06Z', '2026-01-06 00:01Z'),
        ('{BOB}', '{URL}?7', repeat('7', 64), NULL, NULL, NULL, NULL, 0, NULL, NULL),
        ('{BOB}', '{URL}?8', repeat('8', 64), 'queued', NULL, NULL, NULL, 0, '2026-01-08Z', '2026-01-08 00:01Z');
"""  # noqa: E501 - one line a row
ROWS = "SELECT to_jsonb(ocr_jobs) FROM ocr_jobs ORDER BY image_url"


@pytest.fixture
def bare(empty_database_url: str) -> Iterator[Engine]:
    made = create_database_engine(empty_database_url)
    yield made
    made.dispose()


@pytest.fixture
def old(bare: Engine) -> Engine:
    script(bare, OLD_DATABASE + OLD_ROWS)
    return bare


@pytest.fixture
def upgraded(old: Engine) -> Engine:
    migrate(old)
    return old


def script(engine: Engine, statements: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statements.replace("%", "%%"))


def rows(engine: Engine, query: str, **values: Any) -> list[Any]:
    with engine.begin() as connection:
        return [row[0] if len(row) == 1 else tuple(row) for row in connection.execute(text(query), values)]


def jobs(engine: Engine) -> dict[str, Any]:
    """The rows of the new table by the number at the end of their address."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM menu_extraction_jobs")).all()
    return {row.image_url.partition("?")[2]: row for row in found}


def without_past(schema: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {part: [row for row in found if not row[0].startswith(OF_THE_UPGRADE)] for part, found in schema.items()}


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
    batch = Database(upgraded).run(lambda connection: number_pending(connection, 0, 100))
    assert {one.event.job_id for one in batch.events if one.dispatch} == {found["1"].id, found["8"].id}
    assert {one.event.seq for one in batch.events} == {1}
    assert claimed(upgraded, found["1"].id).attempt == 1

    assert found["2"].lease_expires_at is not None
    script(upgraded, "UPDATE menu_extraction_jobs SET lease_expires_at = now() WHERE status = 'processing'")
    (reaped, *_) = Database(upgraded).run(lambda connection: reap_expired_leases(connection, 10))
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


@pytest.fixture
def api_roles(bare: Engine) -> Iterator[str]:
    """Supabase's shape: the roles of its API, to which everything new is granted, and profiles with policies."""
    script(
        bare,
        """
        DO $$ BEGIN
            IF to_regrole('authenticated') IS NULL THEN CREATE ROLE authenticated; END IF;
            IF to_regrole('anon') IS NULL THEN CREATE ROLE anon; END IF;
            IF to_regrole('service_role') IS NULL THEN CREATE ROLE service_role BYPASSRLS; END IF;
        END $$;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
        """,
    )
    yield "authenticated"
    script(bare, "DROP OWNED BY anon, authenticated, service_role")


SUPABASE = """
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
    CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users (id), plan text, plan_limits jsonb);
    ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "Own profile" ON public.profiles FOR SELECT USING (auth.uid() = id);
"""
OURS = (
    "menu_extraction_jobs", "menu_extraction_job_events", "menu_extraction_submitters", "menu_extraction_relay",
    "menu_extraction_settings", "menu_extraction_corrected_jobs", "menu_extraction_upgrade_undo", "alembic_version",
)  # fmt: skip


@pytest.mark.parametrize("with_old_table", [True, False])
def test_on_supabase_nobody_sees_anothers_jobs(bare: Engine, api_roles: str, with_old_table: bool) -> None:
    script(bare, (OLD_DATABASE + OLD_ROWS if with_old_table else USERS + ASKING_USER) + SUPABASE)
    policies = "SELECT p::text FROM pg_policies AS p WHERE tablename = 'profiles'"
    before = rows(bare, policies)
    migrate(bare)
    assert rows(bare, policies) == before
    if not with_old_table:
        script(bare, f"INSERT INTO auth.users VALUES ('{ALICE}'), ('{BOB}')")
        for owner in (ALICE, BOB):
            script(bare, f"INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES ('{owner}', 'x')")
    askers: list[tuple[str, UUID | None, set[UUID]]] = [
        ("authenticated", ALICE, {ALICE}),
        ("authenticated", BOB, {BOB}),
        ("anon", None, set()),
    ]
    for role, user, seen in askers:
        with as_role(bare, role, user) as connection:
            for table in ("menu_extraction_jobs", "menu_extraction_job_events", "ocr_jobs"):
                found = connection.execute(text(f"SELECT user_id FROM {table}"))
                assert set(found.scalars()) == seen, (role, table)
            for table in set(OURS[2:]) & set(public_tables(bare)):
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0, table
                written = connection.execute(text(f"DELETE FROM {table}"))
                assert written.rowcount == 0
    with as_role(bare, "service_role", None) as connection:
        assert connection.execute(text("SELECT count(DISTINCT user_id) FROM ocr_jobs")).scalar() == 2
    assert rows(bare, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                      " AND NOT relrowsecurity") == []  # fmt: skip
    downgrade(bare)
    assert rows(bare, policies) == before


def test_a_role_that_may_insert_jobs_needs_no_rights_on_the_event_log(bare: Engine, api_roles: str) -> None:
    script(bare, OLD_DATABASE + OLD_ROWS + SUPABASE)
    migrate(bare)
    script(
        bare,
        """
        REVOKE ALL ON menu_extraction_job_events, menu_extraction_settings, menu_extraction_relay FROM authenticated;
        CREATE POLICY "Users can insert own jobs" ON menu_extraction_jobs FOR INSERT WITH CHECK (auth.uid() = user_id);
        """,
    )
    with as_role(bare, api_roles, ALICE) as connection:
        insert = "INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES (:u, 'x', 'y') RETURNING id"
        job = connection.execute(text(insert), {"u": ALICE}).scalar_one()
        with pytest.raises(DBAPIError) as caught, connection.begin_nested():
            connection.execute(text(insert), {"u": BOB})
        assert isinstance(caught.value.orig, errors.InsufficientPrivilege)
        # Nor may it make events of jobs that do not exist, with a table of its own.
        connection.execute(text("CREATE TEMPORARY TABLE mine (LIKE menu_extraction_jobs)"))
        with pytest.raises(DBAPIError) as caught, connection.begin_nested():
            connection.execute(
                text(
                    "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION notify_menu_extraction_jobs()"
                )
            )
        assert isinstance(caught.value.orig, errors.InsufficientPrivilege)
    assert rows(bare, "SELECT status FROM menu_extraction_job_events WHERE job_id = :id", id=job) == ["queued"]


@pytest.fixture
def operations(engine: Engine, settings: Settings) -> Iterator[Any]:
    ocr_operations.use_database(engine, settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield ocr_operations


class TestOldOperations:
    """``jobqueue.legacy.ocr_operations``."""

    def test_submit_get_list_find(self, operations: Any, user_id: UUID, other_user_id: UUID) -> None:
        digest = some_hash()
        job = operations.submit_job(user_id, URL, digest)
        assert operations.submit_job(user_id, URL, digest) == job
        assert operations.get_job(user_id, job.id) == job == operations.find_existing_job(user_id, digest)
        assert operations.get_job(other_user_id, job.id) is None
        assert operations.find_existing_job(user_id, some_hash()) is None
        second = operations.submit_job(str(user_id), URL, some_hash())
        assert operations.get_user_jobs(user_id) == [second, job]
        assert operations.get_user_jobs(user_id, limit=1) == [second]
        assert (job.status, job["status"], job["error_message"]) == ("queued", "queued", None)
        with pytest.raises(KeyError):
            job["confidence"]

    def test_update_writes_old_columns(self, operations: Any, user_id: UUID) -> None:
        job = operations.submit_job(user_id, URL, some_hash())
        assert operations.update_job(job.id, status="processing").status == "processing"
        done = operations.update_job(str(job.id), status="completed", result={"items": []}, processing_time=7)
        assert (done.status, done.result, done.processing_time) == ("completed", {"items": []}, 7)
        assert done.completed_at is not None
        with pytest.raises(InvalidStatusError):
            operations.update_job(job.id, status="queued", completed_at=None)

    @pytest.mark.parametrize(
        ("columns", "error", "says"),
        [
            ({"confidence": 1}, InvalidInputError, "cannot write 'confidence'"),
            ({"user_id": ALICE}, InvalidInputError, "cannot write 'user_id'"),
            ({}, InvalidInputError, "no column"),
            ({"status": "done"}, InvalidInputError, "status must be one of"),
            ({"status": None}, InvalidInputError, "status must be one of"),
            ({"status": "completed"}, InvalidResultError, "needs a result"),
            ({"result": "text"}, InvalidInputError, "result must be a mapping"),
            ({"error_message": "\x00"}, InvalidInputError, "error_message"),
            ({"retry_count": None}, InvalidInputError, "retry_count"),
            ({"processing_time": -1}, InvalidInputError, "processing_time"),
            ({"image_hash": "abc"}, InvalidInputError, "SHA-256"),
        ],
    )
    def test_update_refuses_in_a_sentence(
        self, operations: Any, user_id: UUID, columns: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        job = operations.submit_job(user_id, URL, some_hash())
        with pytest.raises(error, match=says):
            operations.update_job(job.id, **columns)
        assert operations.get_job(user_id, job.id) == job

    def test_update_of_an_unknown_job(self, operations: Any) -> None:
        with pytest.raises(JobNotFoundError):
            operations.update_job(uuid4(), status="failed")

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("submit_job", (ALICE, URL, "0" * 64)),
            ("get_job", (ALICE, ALICE)),
            ("get_user_jobs", (ALICE,)),
            ("find_existing_job", (ALICE, "0" * 64)),
            ("update_job", (ALICE,)),
        ],
    )
    def test_each_call_warns_at_the_line_that_calls_it(self, operations: Any, name: str, arguments: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with suppress(JobQueueError):
                getattr(operations, name)(*arguments)
        (warning,) = [one for one in caught if one.category is DeprecationWarning]
        assert Path(warning.filename) == Path(__file__)
        assert name in str(warning.message)

    def test_without_use_database_the_settings_name_it(
        self, database_url: str, user_id: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setattr(ocr_operations, "_opened", [])
        with pytest.warns(DeprecationWarning, match="get_user_jobs"):
            assert ocr_operations.get_user_jobs(user_id) == []
        ocr_operations._opened[0].own_engine.dispose()  # type: ignore[union-attr]


@contextmanager
def as_role(engine: Engine, role: str, user: UUID | None) -> Iterator[Connection]:
    """What a request of this user does, as Supabase's API does it; nothing is kept unless the caller commits."""
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('request.jwt.claim.sub', :user, true)"), {"user": str(user or "")})
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        yield connection


@contextmanager
def listening(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as listener:
        listener.execute(text("LISTEN menu_extraction_jobs"))
        listener.commit()
        yield listener


def heard(listener: Connection, count: int = 1) -> list[dict[str, Any]]:
    """The payloads of ``count`` notifications."""
    driver: Any = listener.connection.dbapi_connection
    assert isinstance(driver, psycopg2.extensions.connection)
    driver.poll()
    while len(driver.notifies) < count:
        assert select.select([driver], [], [], 10)[0], "no notification came"
        driver.poll()
    return [json.loads(one.payload) for one in driver.notifies]
