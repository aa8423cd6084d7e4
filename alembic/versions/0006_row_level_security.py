"""Where the database knows who asks (``auth.uid()``, as on Supabase), everybody sees their own rows and no others.

Elsewhere nothing changes: a table that is secured by rows without a policy would be closed to the application itself.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from migration_steps.brief_lock import lock_briefly
from migration_steps.database import query, run, scalar
from migration_steps.undo_log import change, was_upgraded

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OWN_ROWS = {
    "menu_extraction_jobs": ("Users can view own menu extraction jobs", "user_id"),
    "menu_extraction_job_events": ("Users can view own menu extraction job events", "user_id"),
    "profiles": ("Users can view own profile", "id"),
}
NOBODY_ELSES = (
    "menu_extraction_submitters",
    "menu_extraction_relay",
    "menu_extraction_settings",
    "menu_extraction_upgrade_undo",
    "menu_extraction_corrected_jobs",
    "menu_extraction_replaced_indexes",
    "alembic_version",
)
CREATED_HERE = "created by menu-jobqueue"
# Supabase grants everything new to these roles, also what PUBLIC may not.
API_ROLES = ("anon", "authenticated")


def upgrade() -> None:
    if scalar("SELECT to_regprocedure('auth.uid()')") is None:
        return
    for table, (policy, column) in OWN_ROWS.items():
        if table == "profiles" and not created_here(table):
            continue
        secure(table)
        if not policies(table):
            create = f'CREATE POLICY "{policy}" ON {table} FOR SELECT USING (auth.uid() = {column})'
            apply(table, create, f'DROP POLICY "{policy}" ON {table}')
    for table in NOBODY_ELSES:
        if scalar("SELECT to_regclass(:name)", name=f"public.{table}") is not None:
            secure(table)
    for (role,) in query("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)", roles=list(API_ROLES)):
        run(f"REVOKE EXECUTE ON FUNCTION notify_menu_extraction_jobs() FROM {role}")


def secure(table: str) -> None:
    if not scalar("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:name)", name=table):
        lock_briefly(table)
        alter = f"ALTER TABLE {table} {{}} ROW LEVEL SECURITY"
        apply(table, alter.format("ENABLE"), alter.format("DISABLE"))


def apply(table: str, statement: str, undo: str) -> None:
    if table == "menu_extraction_jobs" and was_upgraded():
        change(statement, undo)
    else:
        run(statement)


def policies(table: str) -> bool:
    return bool(scalar("SELECT count(*) FROM pg_policy WHERE polrelid = to_regclass(:name)", name=table))


def created_here(table: str) -> bool:
    return bool(scalar("SELECT obj_description(to_regclass(:name), 'pg_class')", name=table) == CREATED_HERE)


def downgrade() -> None:
    """The tables made by this project go with the revisions that made them.

    What is left after all of them, the old table, had its own security before.
    """
    if scalar("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('alembic_version')"):
        run("ALTER TABLE alembic_version DISABLE ROW LEVEL SECURITY")
