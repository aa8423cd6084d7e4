"""Giving a column its old limit of length back without a long lock.

Postgres rewrites a table to make ``varchar(500)`` of ``text``, and nobody reads it meanwhile. A large table keeps
``text`` and gets a check that says the same, which is proven while everybody reads and writes. The next upgrade takes
that check for the limit that it stands for.
"""

from __future__ import annotations

import logging
import re

from sqlalchemy.exc import IntegrityError

from migration_steps.database import query, run, scalar
from migration_steps.undo_log import TABLE as UNDO_LOG
from migration_steps.undo_log import change

log = logging.getLogger("alembic.runtime.migration")

OLD, NEW = "ocr_jobs", "menu_extraction_jobs"
# Rewritten within about a second.
LARGEST_REWRITE_BYTES = 64 * 1024 * 1024

_LIMIT = re.compile(rf"ALTER TABLE {NEW} ALTER COLUMN (\w+) TYPE character varying\((\d+)\)")
_CONDITION = re.compile(r"CHECK \(\(char_length\(\w+\) <= (\d+)\)\)")
_STAND_IN = re.compile(rf"(?:{OLD}|{NEW})_(\w+)_length")


def _check(table: str, column: str) -> str:
    return f"{table}_{column}_length"


def add_checks_instead_of_limits() -> list[str]:
    """Add the checks for new rows to a large table and return their columns; they are to be proven afterwards.

    A check that an interrupted downgrade left is made anew.
    """
    if scalar(f"SELECT pg_table_size('{NEW}')") <= LARGEST_REWRITE_BYTES:
        return []
    columns = []
    for (statement,) in query(f"SELECT statement FROM {UNDO_LOG} ORDER BY step"):
        limit = _LIMIT.fullmatch(statement)
        if limit is not None:
            column, length = limit.groups()
            run(f"ALTER TABLE {NEW} DROP CONSTRAINT IF EXISTS {_check(NEW, column)}")
            condition = f"CHECK (char_length({column}) <= {length})"
            run(f"ALTER TABLE {NEW} ADD CONSTRAINT {_check(NEW, column)} {condition} NOT VALID")
            columns.append(column)
    return columns


def prove_checks(columns: list[str]) -> None:
    """Look through the table; a check that a row does not keep goes. To be called outside a transaction."""
    for column in columns:
        name = _check(NEW, column)
        try:
            run(f"ALTER TABLE {NEW} VALIDATE CONSTRAINT {name}")
        except IntegrityError:
            run(f"ALTER TABLE {NEW} DROP CONSTRAINT {name}")


def keep_checks_instead_of_limits(columns: list[str]) -> None:
    """Give the proven checks their old names and have the undo log forget the limits."""
    for column in columns:
        query(
            f"DELETE FROM {UNDO_LOG} WHERE statement LIKE :limit",
            limit=f"ALTER TABLE {NEW} ALTER COLUMN {column} TYPE character varying(%",
        )
        proven = scalar("SELECT 1 FROM pg_constraint WHERE conname = :name", name=_check(NEW, column))
        if proven:
            run(f"ALTER TABLE {NEW} RENAME CONSTRAINT {_check(NEW, column)} TO {_check(OLD, column)}")
            log.warning(
                "The column %s of ocr_jobs stays text with a check of its length, because to change its type back "
                "would keep the table locked while it is rewritten.",
                column,
            )
        else:
            log.warning("The column %s of ocr_jobs keeps no limit, because rows made since are longer.", column)


def take_checks_for_limits() -> None:
    """On the renamed table of a later upgrade: drop the checks and remember the limits again."""
    checks = query(
        """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE conrelid = to_regclass(:table) AND contype = 'c' AND conname LIKE 'ocr_jobs_%_length'""",
        table=NEW,
    )
    for name, definition in checks:
        named, length = (
            _STAND_IN.fullmatch(name),
            _CONDITION.fullmatch(definition),
        )
        if named is not None and length is not None:
            change(
                f"ALTER TABLE {NEW} DROP CONSTRAINT {name}",
                f"ALTER TABLE {NEW} ALTER COLUMN {named[1]} TYPE character varying({length[1]})",
            )
