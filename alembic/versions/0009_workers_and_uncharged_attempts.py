"""Which workers live, and the attempts that a worker gave back because it was asked to stop.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.brief_lock import lock_briefly
from migration_steps.database import run, scalar

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JOBS = "menu_extraction_jobs"
WORKERS = "menu_extraction_workers"
CHECK = f"{JOBS}_uncharged_attempts_not_negative"


def upgrade() -> None:
    lock_briefly(JOBS)
    # Neither the column with its constant default nor the check of new rows alone looks through the table. The next
    # revision does, because a scan that is interrupted here would leave a revision that cannot be run again.
    run(f"ALTER TABLE {JOBS} ADD COLUMN uncharged_attempts smallint NOT NULL DEFAULT '0'")
    run(f"ALTER TABLE {JOBS} ADD CONSTRAINT {CHECK} CHECK (uncharged_attempts >= 0) NOT VALID")
    now = sa.text("clock_timestamp()")
    op.create_table(
        WORKERS,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("consuming", sa.Boolean, nullable=False),
        sa.Column("stopping", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("received_at", sa.DateTime(timezone=True)),
    )
    if scalar("SELECT to_regprocedure('auth.uid()')") is not None:
        run(f"ALTER TABLE {WORKERS} ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table(WORKERS)
    lock_briefly(JOBS)
    # The version before charges every attempt, and would neither claim nor end a job with too many. One status at a
    # time, each by its own index, because everybody waits for the lock.
    for status in ("queued", "processing"):
        unfinished = f"status = '{status}' AND uncharged_attempts > 0"
        run(f"UPDATE {JOBS} SET attempt = attempt - uncharged_attempts WHERE {unfinished}")  # noqa: S608 - our own names
    run(f"ALTER TABLE {JOBS} DROP COLUMN uncharged_attempts")
