"""What counting, retrying and cancelling need: a row to lock for each user, the line of retries, the request to cancel.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.brief_lock import lock_briefly
from migration_steps.database import run
from migration_steps.dependents import refuse_dependents
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lock_briefly("menu_extraction_jobs")
    op.create_table(
        "menu_extraction_submitters",
        sa.Column("user_id", postgresql.UUID(), sa.ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    )
    # In one statement Postgres knows that the column is empty; a key added afterwards would look through the table.
    run("""
        ALTER TABLE menu_extraction_jobs ADD COLUMN retry_of uuid CONSTRAINT menu_extraction_jobs_retry_of_fkey
            REFERENCES menu_extraction_jobs (id) ON DELETE SET NULL
    """)
    op.add_column("menu_extraction_jobs", sa.Column("cancel_requested_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    lock_briefly("menu_extraction_jobs")
    refuse_dependents("menu_extraction_jobs", ["cancel_requested_at", "retry_of"])
    refuse_dependents("menu_extraction_submitters")
    op.drop_column("menu_extraction_jobs", "cancel_requested_at")
    op.drop_column("menu_extraction_jobs", "retry_of")
    op.drop_table("menu_extraction_submitters")
