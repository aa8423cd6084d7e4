"""The notifier that works leads by a lease with a term, which fences every write of one that led before.

A notifier of the version before can number no more events from here on; it says so now and then until it is replaced.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migration_steps.brief_lock import lock_briefly
from migration_steps.database import run, run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = "menu_extraction_relay"


def upgrade() -> None:
    lock_briefly(TABLE)
    op.add_column(TABLE, sa.Column("leader", sa.Text))
    op.add_column(TABLE, sa.Column("term", sa.BigInteger, nullable=False, server_default="0"))
    for name in ("lead_until", "relayed_at", "swept_at"):
        op.add_column(TABLE, sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column(
        TABLE,
        sa.Column("installation", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
    )
    run("DROP FUNCTION number_menu_extraction_events(bigint, integer)")
    run_file(revision, "number_menu_extraction_events.sql")


def downgrade() -> None:
    lock_briefly(TABLE)
    run("DROP FUNCTION number_menu_extraction_events(bigint, bigint, integer)")
    for name in ("installation", "swept_at", "relayed_at", "lead_until", "term", "leader"):
        op.drop_column(TABLE, name)
    run_file("0001", "number_menu_extraction_events.sql")
