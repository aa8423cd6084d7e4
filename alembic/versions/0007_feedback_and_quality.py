"""What users say of their extractions, and the figures of each prompt version.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.database import run, run_file, scalar
from sqlalchemy.dialects.postgresql import UUID

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = "extraction_feedback"
POLICIES = (
    f'CREATE POLICY "Users can view own extraction feedback" ON {TABLE} FOR SELECT USING (auth.uid() = user_id)',
    f'CREATE POLICY "Users can give feedback on own jobs" ON {TABLE} FOR INSERT WITH CHECK (auth.uid() = user_id AND '
    "EXISTS (SELECT FROM menu_extraction_jobs AS jobs WHERE jobs.id = job_id AND jobs.user_id = auth.uid()))",
)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", UUID(as_uuid=True), primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column(
            "job_id",
            UUID(as_uuid=True),
            sa.ForeignKey("menu_extraction_jobs.id", ondelete="CASCADE", name=f"{TABLE}_job_id_fkey"),
            nullable=False,
        ),
        sa.Column(
            "user_id",
            UUID(as_uuid=True),
            sa.ForeignKey("auth.users.id", ondelete="CASCADE", name=f"{TABLE}_user_id_fkey"),
            nullable=False,
        ),
        sa.Column("feedback_type", sa.String(20), nullable=False),
        sa.Column("item_id", sa.String(200)),
        sa.Column("correction_made", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("comment", sa.Text),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.CheckConstraint(
            "feedback_type IN ('system_error', 'menu_unclear', 'excellent', 'needs_improvement')",
            name="feedback_type_exists",
        ),
    )
    op.create_index(f"idx_{TABLE}_job_id", TABLE, ["job_id", "created_at"])
    op.create_index(f"idx_{TABLE}_user_id", TABLE, ["user_id"])
    run_file(revision, "menu_extraction_quality_view.sql")
    if scalar("SELECT to_regprocedure('auth.uid()')") is not None:
        run(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
        for policy in POLICIES:
            run(policy)


def downgrade() -> None:
    run("DROP VIEW menu_extraction_quality")
    op.drop_table(TABLE)
