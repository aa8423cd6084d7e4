"""Old rows get what the new table demands; unfinished jobs get their first event, which has them executed.

In small steps that commit by themselves, beside running programs. A fresh database has no such rows.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op
from migration_steps.corrections import correct_rows
from migration_steps.undo_log import was_upgraded

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if was_upgraded():
        with op.get_context().autocommit_block():
            correct_rows()


def downgrade() -> None:
    """The first revision's downgrade gives the rows their old values back, once the table allows them."""
