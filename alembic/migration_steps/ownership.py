"""Which tables and indexes of a database are this project's, for ``alembic check`` and autogeneration."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.sql.schema import SchemaItem

PREFIX = "menu_extraction_"
# Of the upgrade of an old table; no model describes them.
FROM_THE_PAST = (
    "menu_extraction_corrected_jobs",
    "menu_extraction_replaced_indexes",
    "menu_extraction_upgrade_undo",
    "idx_menu_extraction_jobs_status",
)


def is_ours(
    item: SchemaItem, name: str | None, kind: str, in_database: bool, counterpart: SchemaItem | None = None
) -> bool:
    """Whether to compare this object with the models; the parameters are those of Alembic's ``include_object``."""
    if name in FROM_THE_PAST:
        return False
    if isinstance(item, Table):
        if item.schema is not None:
            return False  # auth.users, the platform's
        if in_database:
            return item.name.startswith(PREFIX)
        # A table of users' plans without our comment is the platform's.
        return not isinstance(counterpart, Table) or counterpart.comment == item.comment
    if kind == "index" and in_database and name is not None:
        return name.startswith(f"idx_{PREFIX}")
    return True
