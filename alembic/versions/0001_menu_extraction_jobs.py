"""The job table, its event log, the relay's position, and the users' plans.

On a Supabase database ``auth.users`` and ``profiles`` exist and are left as they are; elsewhere they are created here.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FROZEN_SQL = Path(__file__).parent.parent / "sql" / revision
CREATED_HERE = "created by menu-jobqueue"


def exists(table: str) -> bool:
    if op.get_context().as_sql:
        return False
    found = op.get_bind().execute(sa.text("SELECT to_regclass(:name)"), {"name": table}).scalar()
    return found is not None


def execute_file(name: str) -> None:
    # Escaped because the driver takes a bare % for a placeholder and SQLAlchemy a :name for a bound value.
    op.get_bind().exec_driver_sql((FROZEN_SQL / name).read_text().replace("%", "%%"))


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
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'completed', 'failed')",
            name=op.f("menu_extraction_jobs_status_exists"),
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("menu_extraction_jobs_confidence_in_range")),
        sa.CheckConstraint("retry_count >= 0", name=op.f("menu_extraction_jobs_retry_count_not_negative")),
        sa.CheckConstraint("processing_time >= 0", name=op.f("menu_extraction_jobs_processing_time_not_negative")),
        sa.CheckConstraint("attempt >= 0", name=op.f("menu_extraction_jobs_attempt_not_negative")),
        sa.CheckConstraint(
            "status <> 'completed' OR result IS NOT NULL", name=op.f("menu_extraction_jobs_completed_has_result")
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed')) = (completed_at IS NOT NULL)",
            name=op.f("menu_extraction_jobs_finished_has_completed_at"),
        ),
    )
    op.create_index(
        "idx_menu_extraction_jobs_user_id",
        "menu_extraction_jobs",
        ["user_id", sa.text("created_at DESC"), sa.text("id DESC")],
    )
    op.create_index(
        "idx_menu_extraction_jobs_image_hash",
        "menu_extraction_jobs",
        ["user_id", "image_hash", "schema_version", "prompt_version", sa.text("created_at DESC")],
        postgresql_where=sa.text("image_hash IS NOT NULL"),
    )
    op.create_index(
        "idx_menu_extraction_jobs_queued",
        "menu_extraction_jobs",
        ["run_after"],
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "idx_menu_extraction_jobs_leases",
        "menu_extraction_jobs",
        ["lease_expires_at"],
        postgresql_where=sa.text("status = 'processing'"),
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
    if not exists("auth.users"):
        create_users()
    if not exists("public.profiles"):
        create_profiles()
    create_jobs()
    create_events()
    create_relay()
    execute_file("guard_menu_extraction_jobs.sql")
    execute_file("notify_menu_extraction_jobs.sql")
    execute_file("menu_extraction_jobs_triggers.sql")
    execute_file("number_menu_extraction_events.sql")


def downgrade() -> None:
    for table in (
        "menu_extraction_settings",
        "menu_extraction_relay",
        "menu_extraction_job_events",
        "menu_extraction_jobs",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION number_menu_extraction_events(bigint, integer)")
    op.execute("DROP FUNCTION notify_menu_extraction_jobs()")
    op.execute("DROP FUNCTION guard_menu_extraction_jobs()")
    drop_if_created_here("public.profiles")
    drop_if_created_here("auth.users")


def drop_if_created_here(table: str) -> None:
    comment = op.get_bind().execute(sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": table})
    if comment.scalar() == CREATED_HERE:
        op.execute(f"DROP TABLE {table}")
