"""How far the events are numbered, readable with a user's own rights.

Where the relay's row is closed to them (Supabase), a listener took the newest cursor for 0.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from migration_steps.database import run, run_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file(revision, "menu_extraction_newest_cursor_view.sql")


def downgrade() -> None:
    run("DROP VIEW menu_extraction_newest_cursor")
