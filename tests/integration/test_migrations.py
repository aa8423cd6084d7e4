"""The migrations: there and back, beside what a database already holds, and equal to models and SQL files."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from jobqueue.database import create_database_engine
from jobqueue.errors import JobQueueError
from jobqueue.migration import migrate, migrations_folder
from jobqueue.tables import metadata
from tests.eventually import eventually
from tests.old_table import OLD_DATABASE
from tests.processes import REPOSITORY

TABLES = ["menu_extraction_job_events", "menu_extraction_jobs", "menu_extraction_relay", "menu_extraction_settings"]
LOCK = "hashtextextended('menu_extraction_migration', 0)"

CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity,
               identity_generation
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid IS DISTINCT FROM to_regclass('alembic_version')
        ORDER BY 1, 2""",
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1""",
    "policies": "SELECT tablename, policyname, cmd, roles::text, qual, with_check FROM pg_policies ORDER BY 1, 2",
    "row security": """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relrowsecurity AND relname <> 'alembic_version' ORDER BY 1""",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
}


def catalogue(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {name: [tuple(one) for one in connection.execute(text(query))] for name, query in CATALOGUE.items()}


def downgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")


def public_tables(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
        return [name for (name,) in found]


@pytest.fixture
def empty(empty_database_url: str) -> Any:
    engine = create_database_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_up_down_and_up_again(empty: Engine) -> None:
    migrate(empty)
    first = catalogue(empty)
    assert set(TABLES) < set(public_tables(empty))

    downgrade(empty)
    assert public_tables(empty) == ["alembic_version"]
    assert catalogue(empty)["functions"] == []
    with empty.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('auth.users')")).scalar() is None

    migrate(empty)
    assert catalogue(empty) == first


def test_migrating_a_migrated_database_changes_nothing(engine: Engine, user_id: Any) -> None:
    before = catalogue(engine)
    migrate(engine)
    assert catalogue(engine) == before


def test_models_and_sql_files_make_the_database_that_the_migrations_make(engine: Engine, empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE SCHEMA auth"))
        connection.execute(text("CREATE TABLE alembic_version ()"))
        metadata.create_all(connection)
        folder = REPOSITORY / "jobqueue" / "sql"
        files = sorted(folder.glob("*.sql"), key=lambda path: path.name.endswith("_triggers.sql"))
        for file in files:
            connection.exec_driver_sql(file.read_text().replace("%", "%%"))
    expected, found = catalogue(empty), catalogue(engine)
    for part in CATALOGUE:
        assert found[part] == expected[part]
    assert [name for name, _ in found["functions"]] == [
        "guard_menu_extraction_jobs",
        "notify_menu_extraction_jobs",
        "number_menu_extraction_events",
    ]
    assert "menu_extraction_jobs_notify_insert" in dict(found["triggers"])
    assert "menu_extraction_jobs_notify_update" in dict(found["triggers"])


@pytest.mark.parametrize("file", sorted((REPOSITORY / "jobqueue" / "sql").glob("*.sql")), ids=lambda file: file.name)
def test_the_newest_frozen_copy_is_the_present_file(file: Path) -> None:
    newest = max(migrations_folder().glob(f"sql/*/{file.name}"))
    assert newest.read_text() == file.read_text()


SUPABASE_LIKE = """
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, instance_id uuid);
    CREATE TABLE public.profiles (
        id uuid PRIMARY KEY REFERENCES auth.users (id), plan text CHECK (plan <> ''), plan_limits jsonb, avatar text
    );
    ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "Users can view own profile" ON public.profiles FOR SELECT USING (true);
    INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-000000000001', 'a@example.com', NULL);
    INSERT INTO public.profiles VALUES
        ('00000000-0000-0000-0000-000000000001', 'premium', '{"ocr_jobs": 7}', 'a.png');
"""
PLATFORM = """
    SELECT (SELECT array_agg(users::text) FROM auth.users), (SELECT array_agg(profiles::text) FROM profiles),
           (SELECT array_agg(c::text ORDER BY c.table_name, c.column_name) FROM information_schema.columns AS c
            WHERE c.table_name IN ('users', 'profiles')),
           (SELECT array_agg(p::text) FROM pg_policies AS p),
           obj_description('auth.users'::regclass), obj_description('profiles'::regclass)
"""


def test_a_supabase_databases_users_and_profiles_are_left_alone(empty: Engine) -> None:
    def platform() -> tuple[Any, ...]:
        with empty.connect() as connection:
            return tuple(connection.execute(text(PLATFORM)).one())

    with empty.begin() as connection:
        connection.exec_driver_sql(SUPABASE_LIKE)
    before = platform()
    migrate(empty)
    assert platform() == before
    with empty.begin() as connection:
        connection.execute(text("INSERT INTO menu_extraction_jobs (user_id, image_url) SELECT id, 'x' FROM auth.users"))
    downgrade(empty)
    assert platform() == before
    assert public_tables(empty) == ["alembic_version", "profiles"]


def waiting_migrations(engine: Engine) -> int:
    """How many sessions have asked for the migrations' lock and found it taken."""
    with engine.connect() as connection:
        query = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND ((state = 'idle' AND query = 'COMMIT') OR query LIKE 'SELECT pg_try_advisory_lock%')
        """
        return int(connection.exec_driver_sql(query.replace("%", "%%")).scalar_one())


UPGRADE = ("-m", "alembic", "upgrade", "head")
MIGRATE = ("-c", "from jobqueue.cli import main; main()", "migrate")


@pytest.mark.parametrize(
    ("before", "commands"),
    [("", (UPGRADE, UPGRADE)), (OLD_DATABASE, (MIGRATE, MIGRATE)), (OLD_DATABASE, (MIGRATE, UPGRADE))],
    ids=["empty", "old_table", "old_table_both_commands"],
)
def test_of_migrations_begun_at_once_one_works_and_the_others_wait(
    empty: Engine, empty_database_url: str, before: str, commands: tuple[tuple[str, ...], ...]
) -> None:
    if before:
        with empty.begin() as connection:
            connection.exec_driver_sql(before)
    with empty.connect() as gate, ThreadPoolExecutor(2) as threads:
        gate.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
        begun = [threads.submit(run, *command, DATABASE_URL=empty_database_url) for command in commands]
        eventually(lambda: waiting_migrations(empty) == 2, what="two migrations waiting")
        gate.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
        for one in begun:
            assert one.result().returncode == 0, one.result().stderr
    assert set(TABLES) < set(public_tables(empty))


def test_a_migration_that_fails_does_not_lock_out_the_next_one(empty: Engine, empty_database_url: str) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE menu_extraction_settings ()"))
    with pytest.raises(JobQueueError):
        migrate(empty)
    # The failed migration's process lives on, and with it the connections in its pool.
    assert public_tables(empty) == ["menu_extraction_settings"]
    with empty.begin() as connection:
        connection.execute(text("DROP TABLE menu_extraction_settings"))
    other = create_database_engine(f"{empty_database_url}?options=-clock_timeout%3D2000")
    migrate(other)
    other.dispose()
    assert set(TABLES) < set(public_tables(empty))


def test_a_database_that_a_newer_version_migrated_is_refused_in_one_sentence(empty: Engine) -> None:
    migrate(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(JobQueueError) as caught:
        migrate(empty)
    assert "\n" not in caught.value.message


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def alembic(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "alembic", *arguments, **environment)


def test_alembics_own_command_does_the_same(empty: Engine, empty_database_url: str, engine: Engine) -> None:
    ran = alembic("upgrade", "head", DATABASE_URL=empty_database_url)
    assert ran.returncode == 0, ran.stderr
    assert catalogue(empty) == catalogue(engine)


OTHERS_THINGS = "CREATE TABLE recipes (id integer PRIMARY KEY); CREATE INDEX recipes_by_id ON recipes (id)"
OTHERS_INDEX = "CREATE INDEX by_worker ON menu_extraction_jobs (worker)"


@pytest.mark.parametrize("before", ["", SUPABASE_LIKE, OLD_DATABASE], ids=["empty", "supabase", "old_table"])
def test_alembic_check_finds_what_the_models_say(empty: Engine, empty_database_url: str, before: str) -> None:
    with empty.begin() as connection:
        connection.exec_driver_sql(before + OTHERS_THINGS)
    migrate(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql(OTHERS_INDEX)
    checked = alembic("check", DATABASE_URL=empty_database_url)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE profiles DROP COLUMN plan", "profiles.plan"),
        ("DROP INDEX idx_menu_extraction_jobs_leases", "idx_menu_extraction_jobs_leases"),
        ("CREATE TABLE menu_extraction_leftovers ()", "menu_extraction_leftovers"),
        ("ALTER TABLE menu_extraction_jobs ALTER COLUMN attempt SET DEFAULT 7", "menu_extraction_jobs.attempt"),
    ],
)
def test_alembic_check_tells_what_differs(empty: Engine, empty_database_url: str, change: str, found: str) -> None:
    migrate(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql(change)
    checked = alembic("check", DATABASE_URL=empty_database_url)
    assert checked.returncode != 0
    assert found in checked.stderr


def test_the_statements_that_alembic_prints_make_the_same_database(
    empty: Engine, empty_database_url: str, engine: Engine
) -> None:
    printed = alembic("upgrade", "head", "--sql", DATABASE_URL=empty_database_url)
    assert printed.returncode == 0, printed.stderr
    with empty.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(printed.stdout.replace("%", "%%"))
    assert catalogue(empty) == catalogue(engine)


def test_alembic_without_an_address_says_which_variable_is_missing(tmp_path: Path) -> None:
    ran = alembic("upgrade", "head")
    assert ran.returncode != 0
    assert "DATABASE_URL is not set" in ran.stderr.splitlines()[-1]
