"""What was changed of the old table and how to change it back, kept in the database until the downgrade.

The old table's names and details differ from installation to installation; only the upgrade sees them.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from migration_steps.database import exists, query, run, sql_text

log = logging.getLogger("alembic.runtime.migration")

TABLE = "menu_extraction_upgrade_undo"
NOT_THERE = ("42704", "42P01")  # undefined object, undefined table


def create_log() -> None:
    run(f"CREATE TABLE {TABLE} (step integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, statement text NOT NULL)")


def was_upgraded() -> bool:
    """Whether this database's job table began as ``ocr_jobs``."""
    return exists(f"public.{TABLE}")


def change(statement: str, undo: str) -> None:
    """Execute ``statement`` and remember ``undo``."""
    # In one round trip, because the table is locked meanwhile.
    run(f"{statement};\nINSERT INTO {TABLE} (statement) VALUES ({sql_text(undo)})")


def columns_to_change_back() -> list[str]:
    """The columns that get their old type back."""
    statements = query(f"SELECT statement FROM {TABLE} WHERE statement ~ ' ALTER COLUMN [a-z_]+ TYPE ' ORDER BY step")
    return [statement.split(" ALTER COLUMN ")[1].split(" ")[0] for (statement,) in statements]


def undo_all() -> None:
    """Execute what was remembered, last first, and forget it.

    A limit that today's rows no longer keep, for example the length of addresses, is not restored: the rows are worth
    more than the limit. The log says so.
    """
    for (statement,) in query(f"SELECT statement FROM {TABLE} ORDER BY step DESC"):
        run("SAVEPOINT undo_step")
        try:
            run(statement)
        except (DataError, IntegrityError):
            run("ROLLBACK TO SAVEPOINT undo_step")
            log.warning("Left out, because rows made since the upgrade do not keep it: %s", statement)
        except ProgrammingError as error:
            # The name of a rule left out above, or of an index that was dropped since.
            if " RENAME " not in statement or getattr(error.orig, "pgcode", None) not in NOT_THERE:
                raise
            run("ROLLBACK TO SAVEPOINT undo_step")
            log.warning("Left out, because what it renames is not there any more: %s", statement)
        else:
            run("RELEASE SAVEPOINT undo_step")
    run(f"DROP TABLE {TABLE}")
