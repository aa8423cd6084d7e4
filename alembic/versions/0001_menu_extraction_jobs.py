"""The job table, its event log, the relay's position, and the users' plans.

A database that has the old table ``ocr_jobs`` keeps its rows: the table is renamed and extended, which later revisions
complete. A view of the old name serves old programs from the same moment on. On a Supabase database ``auth.users`` and
``profiles`` exist and are left as they are; elsewhere they are created here.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.adoption import NEW_COLUMNS, adopt_old_table, grant_view_as_table
from migration_steps.brief_lock import lock_briefly
from migration_steps.corrections import create_corrections, restore_rows
from migration_steps.database import exists, is_table, run, run_file, scalar
from migration_steps.dependents import refuse_dependents
from migration_steps.old_limits import add_checks_instead_of_limits, keep_checks_instead_of_limits, prove_checks
from migration_steps.undo_log import columns_to_change_back, undo_all, was_upgraded
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CREATED_HERE = "created by menu-jobqueue"
CHECKS = {
    "status_exists": "status IN ('queued', 'processing', 'completed', 'failed')",
    "confidence_in_range": "confidence BETWEEN 0 AND 1",
    "retry_count_not_negative": "retry_count >= 0",
    "processing_time_not_negative": "processing_time >= 0",
    "attempt_not_negative": "attempt >= 0",
    "completed_has_result": "status <> 'completed' OR result IS NOT NULL",
    "finished_has_completed_at": "(status IN ('completed', 'failed')) = (completed_at IS NOT NULL)",
}


def create_users() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS auth")
    op.create_table("users", sa.Column("id", postgresql.UUID(), primary_key=True), schema="auth", comment=CREATED_HERE)


def create_profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("id", postgresql.UUID(), sa.ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("plan", sa.Text(), server_default="free"),
        sa.Column("plan_limits", postgresql.JSONB()),
        comment=CREATED_HERE,
    )


def create_jobs() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "menu_extraction_jobs",
        sa.Column("id", postgresql.UUID(), server_default=sa.text("gen_random_uuid()"), primary_key=True),
        sa.Column("user_id", postgresql.UUID(), sa.ForeignKey("auth.users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("image_hash", sa.String(64)),
        sa.Column("status", sa.String(20), nullable=False, server_default="queued"),
        sa.Column("schema_version", sa.String(20), nullable=False, server_default="stage1"),
        sa.Column("prompt_version", sa.String(50), nullable=False, server_default="v1.0"),
        sa.Column("result", postgresql.JSONB()),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_code", sa.String(50)),
        sa.Column("processing_time", sa.Integer()),
        sa.Column("retry_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("token_usage", postgresql.JSONB()),
        sa.Column("confidence", sa.REAL()),
        sa.Column("uncertain_items", postgresql.JSONB()),
        sa.Column("superfluous_text", postgresql.JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("attempt", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.Column("worker", sa.Text()),
        sa.Column("event_seq", sa.Integer(), nullable=False, server_default="1"),
        *(
            sa.CheckConstraint(condition, name=op.f(f"menu_extraction_jobs_{name}"))
            for name, condition in CHECKS.items()
        ),
    )


def create_events() -> None:
    op.create_table(
        "menu_extraction_job_events",
        sa.Column(
            "job_id",
            postgresql.UUID(),
            sa.ForeignKey("menu_extraction_jobs.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", postgresql.UUID(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("confidence", sa.REAL()),
        sa.Column("worker", sa.Text()),
        sa.Column("error_code", sa.String(50)),
        sa.Column("error_message", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cursor", sa.BigInteger()),
    )
    op.create_index(
        "idx_menu_extraction_job_events_pending",
        "menu_extraction_job_events",
        ["id"],
        postgresql_where=sa.text("cursor IS NULL"),
    )
    op.create_index("idx_menu_extraction_job_events_cursor", "menu_extraction_job_events", ["cursor"], unique=True)
    op.create_index(
        "idx_menu_extraction_job_events_user_cursor",
        "menu_extraction_job_events",
        ["user_id", "cursor"],
        postgresql_where=sa.text("cursor IS NOT NULL"),
    )


def create_relay() -> None:
    op.create_table(
        "menu_extraction_relay",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("last_cursor", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("published_cursor", sa.BigInteger(), nullable=False, server_default="0"),
        sa.CheckConstraint("id = 1", name=op.f("menu_extraction_relay_one_row")),
        sa.CheckConstraint(
            "published_cursor <= last_cursor", name=op.f("menu_extraction_relay_published_was_numbered")
        ),
    )
    op.create_table(
        "menu_extraction_settings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "name <> 'notify_mode' OR value IN ('every_change', 'wake_up')",
            name=op.f("menu_extraction_settings_value_is_known"),
        ),
    )
    op.execute("INSERT INTO menu_extraction_relay (id) VALUES (1)")
    op.execute("INSERT INTO menu_extraction_settings (name, value) VALUES ('notify_mode', 'every_change')")


def upgrade() -> None:
    old = is_table("public.ocr_jobs")
    if not exists("auth.users"):
        create_users()
    if not exists("public.profiles"):
        create_profiles()
    if old:
        lock_briefly("ocr_jobs")
        adopt_old_table(CHECKS)
        create_corrections()
    else:
        create_jobs()
    create_events()
    create_relay()
    for name in (
        "guard_menu_extraction_jobs.sql",
        "notify_menu_extraction_jobs.sql",
        "menu_extraction_jobs_triggers.sql",
        "number_menu_extraction_events.sql",
        "ocr_jobs_view.sql",
    ):
        run_file(revision, name)
    grant_view_as_table()


def downgrade() -> None:
    lock_briefly("ocr_jobs")
    refuse_what_depends_on_us()
    checked: list[str] = []
    if was_upgraded():
        checked = add_checks_instead_of_limits()
        with op.get_context().autocommit_block():
            prove_checks(checked)
    # The view and then its table, in the order of those who use the view; the other order is a deadlock with them.
    lock_briefly("ocr_jobs")
    run("DROP VIEW ocr_jobs")
    for table in ("menu_extraction_settings", "menu_extraction_relay", "menu_extraction_job_events"):
        op.drop_table(table)
    if was_upgraded():
        for trigger in ("guard", "notify_insert", "notify_update"):
            run(f"DROP TRIGGER menu_extraction_jobs_{trigger} ON menu_extraction_jobs")
        keep_checks_instead_of_limits(checked)
        undo_all()
        restore_rows()
    else:
        op.drop_table("menu_extraction_jobs")
    run("DROP FUNCTION number_menu_extraction_events(bigint, integer)")
    run("DROP FUNCTION notify_menu_extraction_jobs()")
    run("DROP FUNCTION guard_menu_extraction_jobs()")
    drop_if_created_here("public.profiles")
    drop_if_created_here("auth.users")


def refuse_what_depends_on_us() -> None:
    for relation in ("ocr_jobs", "menu_extraction_job_events", "menu_extraction_relay", "menu_extraction_settings"):
        refuse_dependents(relation)
    if was_upgraded():
        refuse_dependents("menu_extraction_jobs", [name for name, *_ in NEW_COLUMNS] + columns_to_change_back())
    else:
        refuse_dependents("menu_extraction_jobs")


def drop_if_created_here(table: str) -> None:
    if scalar("SELECT obj_description(to_regclass(:name), 'pg_class')", name=table) == CREATED_HERE:
        run(f"DROP TABLE {table}")
