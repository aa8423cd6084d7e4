"""The rules that held for new rows alone hold for every row from here on, and finished jobs are final.

Looking through the table for a constraint lets everybody read and write meanwhile.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op
from migration_steps.adoption import OLD_COLUMNS, present_check
from migration_steps.brief_lock import lock_briefly
from migration_steps.database import query, quoted, run, run_file, scalar
from migration_steps.undo_log import change, was_upgraded

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if was_upgraded():
        with op.get_context().autocommit_block():
            validate_constraints()
        lock_briefly("menu_extraction_jobs")
        require_columns()
    run_file(revision, "guard_menu_extraction_jobs.sql")


def downgrade() -> None:
    run_file("0001", "guard_menu_extraction_jobs.sql")


def validate_constraints() -> None:
    unproven = query(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'menu_extraction_jobs'::regclass AND NOT convalidated"
    )
    for (name,) in unproven:
        run(f"ALTER TABLE menu_extraction_jobs VALIDATE CONSTRAINT {quoted(name)}")


def require_columns() -> None:
    """NOT NULL without a look at the rows, because a check has shown that none is empty."""
    for column, *_ in OLD_COLUMNS:
        check = present_check(column)
        if scalar("SELECT 1 FROM pg_constraint WHERE conname = :name", name=check):
            alter = f"ALTER TABLE menu_extraction_jobs ALTER COLUMN {column}"
            change(f"{alter} SET NOT NULL", f"{alter} DROP NOT NULL")
            change(
                f"ALTER TABLE menu_extraction_jobs DROP CONSTRAINT {check}",
                f"ALTER TABLE menu_extraction_jobs ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID",
            )
