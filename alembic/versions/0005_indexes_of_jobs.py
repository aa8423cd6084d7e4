"""The job table's indexes, built while the table is in use.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op
from migration_steps.online_index import build_index, forget_replaced, remove_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_menu_extraction_jobs_user_id": "(user_id, created_at DESC, id DESC)",
    "idx_menu_extraction_jobs_image_hash": (
        "(user_id, image_hash, schema_version, prompt_version, created_at DESC) WHERE image_hash IS NOT NULL"
    ),
    "idx_menu_extraction_jobs_queued": "(run_after) WHERE status = 'queued'",
    "idx_menu_extraction_jobs_leases": "(lease_expires_at) WHERE status = 'processing'",
}
# Unique, so that two simultaneous retries cannot both make a job.
ONE_RETRY = "idx_menu_extraction_jobs_retry_of"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            build_index(name, definition)
        build_index(ONE_RETRY, "(retry_of) WHERE retry_of IS NOT NULL", unique=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in (*INDEXES, ONE_RETRY):
            remove_index(name)
        forget_replaced()
