"""What pruning needs: how far each user's events were pruned, and an index that leads to the oldest finished jobs.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.database import run, scalar
from migration_steps.dependents import refuse_dependents
from migration_steps.online_index import build_index, remove_index
from sqlalchemy.dialects.postgresql import UUID

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JOBS = "menu_extraction_jobs"
TABLE = "menu_extraction_pruned_events"
FINISHED = "idx_menu_extraction_jobs_finished"
POLICY = (
    f'CREATE POLICY "Users can view how far own events were pruned" ON {TABLE} FOR SELECT USING (auth.uid() = user_id)'
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        run(f"ALTER TABLE {JOBS} VALIDATE CONSTRAINT {JOBS}_uncharged_attempts_not_negative")
        build_index(FINISHED, "(created_at, id) WHERE completed_at IS NOT NULL")
    op.create_table(
        TABLE,
        sa.Column(
            "user_id",
            UUID(as_uuid=True),
            sa.ForeignKey("auth.users.id", ondelete="CASCADE", name=f"{TABLE}_user_id_fkey"),
            primary_key=True,
        ),
        sa.Column("cursor", sa.BigInteger, nullable=False),
    )
    # A listener that runs with a user's own rights must see it, or it would take pruned events for none.
    if scalar("SELECT to_regprocedure('auth.uid()')") is not None:
        run(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
        run(POLICY)


def downgrade() -> None:
    refuse_dependents(TABLE)
    # First, because an interruption leaves what was done before it: then this begins anew.
    with op.get_context().autocommit_block():
        remove_index(FINISHED)
    op.drop_table(TABLE)
