"""Old table or none on a database of Supabase's shape: nobody sees another's jobs."""

# ruff: noqa: S608 - statements are put together from this file's own values

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
import redis
from psycopg2 import errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from jobqueue import CursorExpiredError
from jobqueue.database import create_database_engine
from jobqueue.migration import migrate
from tests.integration.old_database import (
    ALICE,
    BOB,
    OLD_ROWS,
    as_role,
    rows,
    script,
)
from tests.integration.test_migrations import downgrade, public_tables
from tests.listener_sides import MakeSide, Notifier
from tests.old_table import ASKING_USER, OLD_DATABASE, USERS


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


def test_no_relation_and_no_function_leads_to_anothers_rows(bare: Engine, api_roles: str) -> None:
    """Whatever there is in the schema, also what a later revision adds."""
    script(bare, USERS + ASKING_USER + SUPABASE)
    migrate(bare)
    script(
        bare,
        f"""
        INSERT INTO auth.users VALUES ('{ALICE}'), ('{BOB}');
        INSERT INTO profiles VALUES ('{ALICE}', 'free');
        INSERT INTO menu_extraction_jobs
            (id, user_id, image_url, image_hash, status, result, completed_at, prompt_version)
            VALUES ('{ALICE}', '{ALICE}', 'of-alice', 'of-alice', 'completed', '{{"of": "alice"}}', now(), 'of-alice');
        INSERT INTO extraction_feedback (job_id, user_id, feedback_type, comment)
            VALUES ('{ALICE}', '{ALICE}', 'excellent', 'of-alice');
        """,
    )
    in_the_schema = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')"
    relations = rows(bare, f"SELECT relname FROM pg_class WHERE {in_the_schema}")
    assert {"menu_extraction_jobs", "ocr_jobs", "menu_extraction_quality", "extraction_feedback"} <= set(relations)
    content = "SELECT coalesce(string_agg(t::text, ' '), '') FROM public.{} AS t"
    seen_by_alice = ""
    for relation in relations:
        with as_role(bare, "authenticated", ALICE) as connection:
            seen_by_alice += connection.execute(text(content.format(relation))).scalar_one()
        for role, user in (("authenticated", BOB), ("anon", None)):
            with as_role(bare, role, user) as connection:
                assert "alice" not in connection.execute(text(content.format(relation))).scalar_one().lower(), relation
    assert seen_by_alice.count("of-alice") >= 4
    attempts = (
        f"UPDATE {{}} SET error_message = 'by bob' WHERE id = '{ALICE}'",
        f"UPDATE {{}} SET user_id = '{BOB}'",
        "DELETE FROM {}",
    )
    with as_role(bare, "authenticated", BOB) as connection:
        for attempt in attempts:
            for table in ("ocr_jobs", "menu_extraction_jobs"):
                assert connection.execute(text(attempt.format(table))).rowcount == 0
        for insert in (
            f"INSERT INTO ocr_jobs (user_id, image_url, image_hash) VALUES ('{ALICE}', 'x', 'y')",
            "INSERT INTO extraction_feedback (job_id, user_id, feedback_type) "
            f"VALUES ('{ALICE}', '{BOB}', 'excellent')",
        ):
            with pytest.raises(DBAPIError) as caught, connection.begin_nested():
                connection.execute(text(insert))
            assert isinstance(caught.value.orig, errors.InsufficientPrivilege)
    open_doors = """
        SELECT proname FROM pg_proc CROSS JOIN unnest(ARRAY['anon', 'authenticated']) AS role
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
            AND has_function_privilege(role, pg_proc.oid, 'EXECUTE')
    """
    assert rows(bare, open_doors) == []


@pytest.fixture
def as_alice(bare: Engine, api_roles: str, empty_database_url: str) -> Iterator[Engine]:
    """Every connection has the rights of Alice, who has one job with an event; Bob has another."""
    script(bare, USERS + ASKING_USER + SUPABASE)
    migrate(bare)
    script(bare, f"INSERT INTO auth.users VALUES ('{ALICE}'), ('{BOB}')")
    for owner in (ALICE, BOB):
        script(bare, f"INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES ('{owner}', 'x')")
    made = create_database_engine(
        f"{empty_database_url}?options=-crole%3D{api_roles}%20-crequest.jwt.claim.sub%3D{ALICE}"
    )
    yield made
    made.dispose()


def test_a_listener_with_a_users_own_rights_knows_where_the_log_ends(
    bare: Engine, as_alice: Engine, make_side: MakeSide, redis_client: redis.Redis
) -> None:
    notifier = Notifier(bare, redis_client)
    assert len(notifier.relay()) == 2
    side = make_side(engine=as_alice)
    from_now_on = side.events(ALICE)
    script(bare, f"INSERT INTO menu_extraction_jobs (user_id, image_url) VALUES ('{ALICE}', 'x')")
    notifier.relay()
    assert from_now_on.next().cursor == 3
    assert [side.events(ALICE, after).next().cursor for after in (0, 2)] == [1, 3]
    with pytest.raises(CursorExpiredError) as caught:
        side.events(ALICE, 4)
    assert (caught.value.cursor, len(caught.value.jobs)) == (3, 2)


def test_where_the_log_ends_is_all_that_is_told_of_the_relay_and_nobody_can_write_it(
    bare: Engine, as_alice: Engine
) -> None:
    for statement in (
        "UPDATE menu_extraction_newest_cursor SET cursor = 7",
        "INSERT INTO menu_extraction_newest_cursor VALUES (7)",
        "DELETE FROM menu_extraction_newest_cursor",
    ):
        with pytest.raises(DBAPIError) as caught, as_alice.begin() as connection:
            connection.execute(text(statement))
        assert isinstance(caught.value.orig, errors.ObjectNotInPrerequisiteState), caught.value
    with as_alice.connect() as connection:
        assert connection.execute(text("SELECT * FROM menu_extraction_newest_cursor")).all() == [(0,)]
        assert connection.execute(text("SELECT * FROM menu_extraction_relay")).all() == []
    # A role that may read the log and nothing else needs no grant for this.
    assert rows(bare, "SELECT has_table_privilege('pg_monitor', 'menu_extraction_newest_cursor', 'SELECT')") == [True]
